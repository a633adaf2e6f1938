//! What the engine costs natively: `cargo run --release -p pairwatch-engine --example costs`, a part of `make bench`.
//!
//! Each of [`operations`] in nanoseconds, as the median of rounds on one thread, which differs from run to run; and in instructions
//! where there is a valgrind ([`callgrind`]), which hardly does: instructions are for telling whether a change made it cheaper,
//! nanoseconds for telling what that is worth. Nothing here passes or fails.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a measurement, not shipped: it needs a clock and may panic"
)]

mod callgrind;
mod meter;
mod operations;

use meter::Meter;

fn main() {
    // How this program runs itself under valgrind: one operation, counted.
    if let Some(name) = callgrind::wanted() {
        let operation = operations::all().into_iter().find(|o| o.name == name);
        let mut meter = Meter::counting();
        (operation.unwrap().run)(&mut meter);
        println!("{}", meter.units());
        return;
    }
    let valgrind = callgrind::is_there();
    if !valgrind {
        eprintln!("no valgrind on PATH, so no instructions: scripts/setup-valgrind");
    }
    println!(
        "{:<58} {:>9} {:>13}",
        "natively, one of each", "ns", "instructions"
    );
    for operation in operations::all() {
        let mut meter = Meter::timing();
        (operation.run)(&mut meter);
        let counted = valgrind.then(|| callgrind::count(operation.name)).flatten();
        let instructions = counted.map_or_else(String::new, |count| format!("{count:.0}"));
        println!(
            "{:<58} {:>9.0} {instructions:>13}",
            operation.name,
            meter.median()
        );
    }
    let bytes = operations::snapshot_bytes();
    println!("learned state of a pair in a snapshot: {bytes} bytes");
}
