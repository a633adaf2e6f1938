//! On a small module: two callbacks, each with code of its own, and what every plugin must export.

#![allow(clippy::expect_used, reason = "tests may panic, their helpers too")]

use wasm_trim::{DEFAULT_KEEP, trim};

const MODULE: &str = r#"(module
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (import "env" "proxy_get_buffer_bytes" (func $buffer (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "_initialize"))
  (func (export "malloc") (param i32) (result i32) i32.const 1024)
  (func $only_for_bodies (param i32) (result i32)
    (call $buffer (i32.const 0) (i32.const 0) (local.get 0) (i32.const 0) (i32.const 4)))
  (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32) (call $only_for_bodies (local.get 1)))
  (func (export "proxy_on_log") (param i32)
    (drop (call $log (i32.const 2) (i32.const 0) (i32.const 5))))
  (@custom ".debug_info" "left over")
  (@custom "producers" "\00"))"#;

fn names(wasm: &[u8]) -> (Vec<String>, Vec<String>) {
    let module = walrus::Module::from_buffer(wasm).expect("a trimmed module parses");
    let exports = module
        .exports
        .iter()
        .map(|export| export.name.clone())
        .collect();
    let imports = module
        .imports
        .iter()
        .map(|import| import.name.clone())
        .collect();
    (exports, imports)
}

#[test]
fn a_callback_that_is_not_kept_goes_with_all_that_only_it_reached() {
    let wasm = wat::parse_str(MODULE).unwrap();
    let trimmed = trim(&wasm, &["proxy_on_log"]).unwrap();
    let (exports, imports) = names(&trimmed.wasm);
    assert_eq!(trimmed.dropped, ["proxy_on_request_body"]);
    assert_eq!(
        exports,
        [
            "memory",
            "proxy_abi_version_0_2_1",
            "_initialize",
            "malloc",
            "proxy_on_log"
        ]
    );
    assert_eq!(
        imports,
        ["proxy_log"],
        "an import only a dropped callback used must go too"
    );
}

#[test]
fn custom_sections_go() {
    let wasm = wat::parse_str(MODULE).unwrap();
    let trimmed = trim(&wasm, &["proxy_on_log", "proxy_on_request_body"]).unwrap();
    for section in [".debug_info", "producers", "only_for_bodies"] {
        let held = |bytes: &[u8]| {
            bytes
                .windows(section.len())
                .any(|window| window == section.as_bytes())
        };
        assert!(held(&wasm), "{section} is in the module to begin with");
        assert!(
            !held(&trimmed.wasm),
            "{section} is still in the trimmed module"
        );
    }
}

#[test]
fn the_same_module_gives_the_same_bytes() {
    let wasm = wat::parse_str(MODULE).unwrap();
    let once = trim(&wasm, &["proxy_on_log"]).unwrap().wasm;
    assert_eq!(once, trim(&wasm, &["proxy_on_log"]).unwrap().wasm);
    assert_eq!(
        once,
        trim(&once, &["proxy_on_log"]).unwrap().wasm,
        "a trimmed module has nothing left to trim"
    );
}

#[test]
fn a_kept_name_that_is_not_exported_is_refused_by_name() {
    let wasm = wat::parse_str(MODULE).unwrap();
    let error = trim(&wasm, &["proxy_on_log", "proxy_on_lgo"])
        .unwrap_err()
        .to_string();
    assert!(error.contains("`proxy_on_lgo`"), "{error}");
    assert!(
        error.contains("its callbacks: proxy_on_request_body, proxy_on_log"),
        "{error}"
    );
}

#[test]
fn the_allocator_stays_whatever_it_is_called() {
    let old = MODULE.replace("\"malloc\"", "\"proxy_on_memory_allocate\"");
    for module in [MODULE, &old] {
        let wasm = wat::parse_str(module).unwrap();
        for keep in [
            &["proxy_on_log"][..],
            &["proxy_on_log", "proxy_on_memory_allocate"][..],
        ] {
            let (exports, _) = names(&trim(&wasm, keep).unwrap().wasm);
            let allocator = |name: &String| name == "malloc" || name == "proxy_on_memory_allocate";
            assert!(
                exports.iter().any(allocator),
                "Envoy refuses a module without an allocator"
            );
        }
    }
}

#[test]
fn what_is_no_module_is_said_to_be_none() {
    let error = trim(b"<html>", &["proxy_on_log"]).unwrap_err().to_string();
    assert!(error.starts_with("not a WebAssembly module: "), "{error}");
}

#[test]
fn the_defaults_are_a_plain_list() {
    assert!(
        DEFAULT_KEEP
            .split(',')
            .all(|name| name.starts_with("proxy_on_") && !name.contains(' '))
    );
}
