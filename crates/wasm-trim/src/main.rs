//! The command: `wasm-trim IN.wasm OUT.wasm [--keep name,name,…]`.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Drops the callbacks a proxy-wasm module doesn't use from its exports, and the code only they reached.
#[derive(Parser)]
struct Arguments {
    /// The module as it was built
    input: PathBuf,
    /// Where the trimmed module goes; may be the input
    output: PathBuf,
    /// The callbacks that stay exported
    #[arg(long, value_delimiter = ',', value_name = "NAME,…", default_value = wasm_trim::DEFAULT_KEEP)]
    keep: Vec<String>,
}

fn run(arguments: &Arguments) -> Result<String, Box<dyn Error>> {
    let (input, output) = (arguments.input.display(), arguments.output.display());
    let wasm =
        std::fs::read(&arguments.input).map_err(|error| format!("can't read {input}: {error}"))?;
    let trimmed =
        wasm_trim::trim(&wasm, &arguments.keep).map_err(|error| format!("{input}: {error}"))?;
    std::fs::write(&arguments.output, &trimmed.wasm)
        .map_err(|error| format!("can't write {output}: {error}"))?;
    let (dropped, before, after) = (trimmed.dropped.len(), wasm.len(), trimmed.wasm.len());
    Ok(format!(
        "{output}: {dropped} callbacks dropped, {before} → {after} bytes"
    ))
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(done) => {
            println!("{done}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("wasm-trim: {error}");
            ExitCode::FAILURE
        }
    }
}
