//! What the shipped module holds beside its code: nothing of the machine that built it, nothing to debug it with, and none of
//! what only tests need.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "what panics in a test fails it"
)]

use pairwatch_testbed::paths;

fn module() -> Vec<u8> {
    std::fs::read(paths::plugin_module().unwrap()).unwrap()
}

/// The number that stands at the front, in LEB128, and what is behind it. (WebAssembly core specification, 5.2.2)
fn number(bytes: &[u8]) -> (usize, &[u8]) {
    let end = bytes.iter().position(|b| b & 0x80 == 0).unwrap();
    let digits = bytes[..=end].iter().rev();
    let number = digits.fold(0usize, |n, b| (n << 7) | usize::from(b & 0x7F));
    (number, &bytes[end + 1..])
}

/// The names of the custom sections. (The same, 5.5.3)
fn custom_sections(module: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = module.strip_prefix(b"\0asm\x01\0\0\0").unwrap();
    while let Some((id, after)) = rest.split_first() {
        let (size, after) = number(after);
        let (section, after) = after.split_at(size);
        if *id == 0 {
            let (length, name) = number(section);
            names.push(String::from_utf8_lossy(&name[..length]).into_owned());
        }
        rest = after;
    }
    names
}

fn find(module: &[u8], text: &str) -> Option<String> {
    let text = text.as_bytes();
    let at = module.windows(text.len()).position(|w| w == text)?;
    let around = &module[at.saturating_sub(20)..(at + 80).min(module.len())];
    Some(String::from_utf8_lossy(around).into_owned())
}

#[test]
fn the_module_has_no_custom_sections() {
    assert_eq!(custom_sections(&module()), Vec::<String>::new());
}

#[test]
fn the_module_names_no_folder_of_the_machine_that_built_it() {
    let module = module();
    let workspace = paths::workspace().display().to_string();
    let home = std::env::var("HOME").unwrap_or_default();
    // `/rustc/COMMIT/library` stays: what the compiler's makers call the sources of the standard library they ship, the same
    // for everybody and in code that is compiled already.
    let folders = [
        "/home/", "/root/", "/Users/", "/usr/", "/tmp/", "/work", ".cargo", ".rustup", "C:\\",
    ];
    let own = [workspace.as_str(), home.as_str()];
    for folder in own.into_iter().filter(|f| f.len() > 1).chain(folders) {
        assert_eq!(find(&module, folder), None, "{folder} is in the module");
    }
}

#[test]
fn the_module_can_not_be_told_to_trap() {
    let module = module();
    for text in ["x-pairwatch-fault", "pairwatch.fault", "fault injected"] {
        assert_eq!(find(&module, text), None, "{text} is in the module");
    }
    let faulty = std::fs::read(paths::workspace().join("target/pairwatch-faults.wasm")).unwrap();
    assert!(
        find(&faulty, "x-pairwatch-fault").is_some(),
        "the tests' own module shows what is looked for"
    );
}
