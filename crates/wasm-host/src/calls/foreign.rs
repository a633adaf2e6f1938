//! Foreign functions: expressions.
//!
//! `expr_create` takes the expression's text and gives a token: four bytes, little-endian, counting up from zero for
//! each root context. `expr_evaluate` takes such a token and gives the value in the encoding of properties; a token that
//! is unknown is *not found*, one that isn't four bytes is a *bad argument*, an expression that fails (an attribute that
//! is absent) is an *internal failure*. `expr_delete` takes a token, known or not, and gives nothing. An expression
//! belongs to the root, also when a stream created it, and stays until it is deleted.

use wasmtime::Linker;

use crate::context::Context;
use crate::exchange::Exchange;
use crate::guest::{Answer, Guest, Status};
use crate::host::State;

pub(super) fn define(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    super::functions! { linker,
        proxy_call_foreign_function(guest, name: u32, name_size: u32, data: u32, size: u32, at: u32, size_at: u32) {
            let (name, argument) = (guest.read(name, name_size)?, guest.read(data, size)?);
            let expressions = guest.state().shared().evaluator.is_some();
            let result = match name.as_slice() {
                b"expr_create" if expressions => create(guest, &argument).map(Some),
                b"expr_evaluate" if expressions => evaluate(guest, &argument).map(Some),
                b"expr_delete" if expressions => delete(guest, &argument).map(|()| None),
                _ => return Err(Status::NotFound.into()),
            };
            match result? {
                Some(result) => guest.give_allocated(&result, at, size_at),
                None => guest.give(&[], at, size_at),
            }
        }
    }
    Ok(())
}

fn create(guest: &mut Guest<'_>, text: &[u8]) -> Answer<Vec<u8>> {
    let text = std::str::from_utf8(text).map_err(|_| Status::BadArgument)?;
    if text.trim().is_empty() {
        return Err(Status::BadArgument.into());
    }
    let (_, root) = guest.root()?;
    let token = root.next_expression;
    root.next_expression = token.wrapping_add(1);
    root.expressions.insert(token, text.to_owned());
    Ok(token.to_le_bytes().to_vec())
}

fn evaluate(guest: &mut Guest<'_>, argument: &[u8]) -> Answer<Vec<u8>> {
    let token = token(argument)?;
    let text = guest
        .root()?
        .1
        .expressions
        .get(&token)
        .cloned()
        .ok_or(Status::NotFound)?;
    let evaluator = guest
        .state()
        .shared()
        .evaluator
        .clone()
        .ok_or(Status::NotFound)?;
    let value = match guest.context()? {
        Context::Stream(stream) => evaluator(&text, &stream.exchange),
        Context::Root(_) => evaluator(&text, &Exchange::default()),
    };
    value.ok_or_else(|| Status::InternalFailure.into())
}

fn delete(guest: &mut Guest<'_>, argument: &[u8]) -> Answer {
    let token = token(argument)?;
    guest.root()?.1.expressions.remove(&token);
    Ok(())
}

fn token(argument: &[u8]) -> Answer<u32> {
    argument
        .try_into()
        .map(u32::from_le_bytes)
        .map_err(|_| Status::BadArgument.into())
}
