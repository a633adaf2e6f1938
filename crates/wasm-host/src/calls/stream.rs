//! Header maps, properties, local responses.

use wasmtime::Linker;

use crate::context::{CALL_HEADERS, Context, LAST_MAP, first};
use crate::exchange::{Headers, LocalResponse};
use crate::guest::{Answer, Fail, Guest, Status};
use crate::host::State;
use crate::value::{pairs, parse_pairs};

/// Streams to continue or to close: request, response, downstream, upstream.
const LAST_STREAM: u32 = 3;

pub(super) fn define(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    super::functions! { linker,
        proxy_get_header_map_pairs(guest, map: u32, at: u32, size_at: u32) {
            known(map)?;
            let found = match guest.context()? {
                Context::Stream(stream) => stream.map(map),
                Context::Root(root) => root.answer.as_ref().and_then(|answer| {
                    (map == CALL_HEADERS).then_some(&answer.headers)
                }),
            };
            // A map that isn't in reach reads as empty.
            let found = found.filter(|headers| !headers.is_empty());
            let bytes = found.map(|headers| pairs(headers.iter().map(|(name, value)| (name, value))));
            guest.give(&bytes.unwrap_or_default(), at, size_at)
        }
        proxy_get_header_map_value(guest, map: u32, name: u32, size: u32, at: u32, size_at: u32) {
            known(map)?;
            let name = guest.read(name, size)?;
            let value = match guest.context()? {
                Context::Stream(stream) => stream.header(map, &name)?,
                Context::Root(root) => {
                    let headers = root.answer.as_ref().map(|answer| &answer.headers);
                    let headers = headers.filter(|all| map == CALL_HEADERS && !all.is_empty());
                    first(headers.ok_or(Status::BadArgument)?, &name).ok_or(Status::NotFound)?
                }
            };
            guest.give(&value, at, size_at)
        }
        proxy_set_header_map_pairs(guest, map: u32, data: u32, size: u32) {
            known(map)?;
            let headers = parse_pairs(&guest.read(data, size)?);
            *map_mut(guest, map)? = headers;
            Ok(())
        }
        proxy_add_header_map_value(guest, map: u32, name: u32, name_size: u32, value: u32, value_size: u32) {
            known(map)?;
            let entry = (lower(guest.read(name, name_size)?), guest.read(value, value_size)?);
            map_mut(guest, map)?.push(entry);
            Ok(())
        }
        proxy_replace_header_map_value(guest, map: u32, name: u32, name_size: u32, value: u32, value_size: u32) {
            known(map)?;
            let entry = (lower(guest.read(name, name_size)?), guest.read(value, value_size)?);
            let headers = map_mut(guest, map)?;
            headers.retain(|(name, _)| *name != entry.0);
            headers.push(entry);
            Ok(())
        }
        proxy_remove_header_map_value(guest, map: u32, name: u32, size: u32) {
            known(map)?;
            let name = lower(guest.read(name, size)?);
            map_mut(guest, map)?.retain(|(other, _)| *other != name);
            Ok(())
        }
        proxy_get_property(guest, path: u32, size: u32, at: u32, size_at: u32) {
            let path = guest.read(path, size)?;
            let own = guest.stream()?.and_then(|stream| stream.property(&path));
            let value = match own {
                Some(value) => value,
                None => guest.root()?.1.plugin.properties.get(&path).cloned().ok_or(Status::NotFound)?,
            };
            guest.give(&value, at, size_at)
        }
        proxy_set_property(guest, path: u32, path_size: u32, value: u32, value_size: u32) {
            let (path, value) = (guest.read(path, path_size)?, guest.read(value, value_size)?);
            let stream = guest.stream()?.ok_or(Status::NotFound)?;
            stream.outcome.set_properties.insert(path, value);
            Ok(())
        }
        proxy_send_local_response(guest, status: u32, details: u32, details_size: u32, body: u32, body_size: u32,
            headers: u32, headers_size: u32, grpc_status: i32)
        {
            let response = LocalResponse {
                status,
                details: guest.read(details, details_size)?,
                body: guest.read(body, body_size)?,
                headers: parse_pairs(&guest.read(headers, headers_size)?),
                grpc_status,
            };
            if let Some(stream) = guest.stream()? {
                stream.outcome.local_response.get_or_insert(response);
            }
            Ok(())
        }
        proxy_continue_stream(guest, stream: u32) {
            if stream > LAST_STREAM {
                return Err(Status::BadArgument.into());
            }
            if let Some(stream) = guest.stream()? {
                stream.outcome.paused = false;
            }
            Ok(())
        }
        proxy_close_stream(guest, stream: u32) {
            if stream > LAST_STREAM {
                return Err(Status::BadArgument.into());
            }
            if let Some(stream) = guest.stream()? {
                stream.outcome.reset = true;
            }
            Ok(())
        }
    }
    Ok(())
}

fn known(map: u32) -> Answer {
    if map > LAST_MAP {
        Err(Status::BadArgument.into())
    } else {
        Ok(())
    }
}

fn map_mut<'g>(guest: &'g mut Guest<'_>, map: u32) -> Answer<&'g mut Headers> {
    let stream = guest.stream()?.ok_or(Status::BadArgument)?;
    stream.map_mut(map).map_err(Fail::Status)
}

/// Envoy keeps names in lower case.
fn lower(mut name: Vec<u8>) -> Vec<u8> {
    name.make_ascii_lowercase();
    name
}
