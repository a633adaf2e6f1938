//! Small modules in the text format, one for each part of the ABI that the no-op module doesn't touch.
//!
//! They call a function and log one byte: the status it returned. What each expects was seen on Envoy 1.40.0.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "tests may panic, their helpers too"
)]

use std::time::Duration;

use pairwatch_wasm_host::{Exchange, Host, HttpAnswer, Outcome, Plugin, Value, Vm};

/// The head of every module: the imports, memory with some text, an allocator that only goes forward, and `say`, which
/// logs one byte.
const HEAD: &str = r#"
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (import "env" "proxy_get_current_time_nanoseconds" (func $now (param i32) (result i32)))
  (import "env" "proxy_set_tick_period_milliseconds" (func $ticks (param i32) (result i32)))
  (import "env" "proxy_get_buffer_bytes" (func $buffer (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_header_map_value" (func $header (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_header_map_pairs" (func $headers (param i32 i32 i32) (result i32)))
  (import "env" "proxy_get_property" (func $get (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_property" (func $set (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_send_local_response"
    (func $respond (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_shared_data" (func $share (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_register_shared_queue" (func $register (param i32 i32 i32) (result i32)))
  (import "env" "proxy_resolve_shared_queue" (func $resolve (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_enqueue_shared_queue" (func $enqueue (param i32 i32 i32) (result i32)))
  (import "env" "proxy_dequeue_shared_queue" (func $dequeue (param i32 i32 i32) (result i32)))
  (import "env" "proxy_define_metric" (func $define (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_increment_metric" (func $increment (param i32 i64) (result i32)))
  (import "env" "proxy_http_call"
    (func $call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_call_foreign_function" (func $foreign (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_grpc_cancel" (func $grpc (param i32) (result i32)))
  (memory (export "memory") 1)
  (global $free (mut i32) (i32.const 4096))
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "malloc") (param i32) (result i32)
    (global.get $free)
    (global.set $free (i32.add (global.get $free) (local.get 0))))
  (func $say (param i32)
    (i32.store8 (i32.const 0) (local.get 0))
    (drop (call $log (i32.const 2) (i32.const 0) (i32.const 1))))
  (func $tell ;; logs what a call handed over, whose pointer and size are at 8 and 12
    (drop (call $log (i32.const 2) (i32.load (i32.const 8)) (i32.load (i32.const 12)))))
  (data (i32.const 100) "key")
  (data (i32.const 110) "expr_createexpr_evaluateexpr_delete")
  (data (i32.const 150) "request.path")
  (data (i32.const 170) "\01\00\00\00\07\00\00\00\03\00\00\00x-found\00yes\00")
  (data (i32.const 200) ":path")
  (data (i32.const 220) "\03\00\00\00\07\00\00\00\04\00\00\00\05\00\00\00\02\00\00\00\0a\00\00\00\01\00\00\00")
  (data (i32.const 248) ":method\00POST\00:path\00/a\00:authority\00h\00")
"#;

fn start(host: &Host, body: &str) -> Vm {
    let wasm = wat::parse_str(format!("(module {HEAD} {body})")).expect("a test's module");
    let module = host.compile(&wasm).expect("a test's module");
    module.vm().expect("a test's module")
}

/// What was logged since: one byte per line, or text.
fn said(host: &Host) -> Vec<String> {
    let readable = |message: String| match message.as_bytes() {
        [status @ ..=31] => status.to_string(),
        _ => message,
    };
    let logs = host.take_logs().into_iter();
    logs.map(|line| readable(line.message)).collect()
}

fn one_exchange(host: &Host, body: &str, exchange: &Exchange) -> Outcome {
    let mut vm = start(host, body);
    let root = vm.root(&Plugin::default()).unwrap();
    vm.exchange(root, exchange).unwrap()
}

#[test]
fn the_configuration_is_read_in_on_configure_and_nowhere_later() {
    let host = Host::new();
    let body = r#"
      (func $read (call $say (call $buffer (i32.const 7) (i32.const 0) (i32.const 99) (i32.const 8) (i32.const 12))))
      (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (call $read) (i32.const 1))
      (func (export "proxy_on_configure") (param i32 i32) (result i32)
        (call $read) (call $tell) (drop (call $ticks (i32.const 100))) (i32.const 1))
      (func (export "proxy_on_tick") (param i32) (call $read))"#;
    let mut vm = start(&host, body);
    let root = vm.root(&Plugin::configured("{}")).unwrap();
    assert_eq!(vm.tick_period(root), Some(Duration::from_millis(100)));
    assert!(vm.tick(root).unwrap());
    assert_eq!(said(&host), ["1", "0", "{}", "1"]);
}

#[test]
fn a_refused_configuration_is_told_from_a_trap() {
    let host = Host::new();
    let refuses =
        r#"(func (export "proxy_on_configure") (param i32 i32) (result i32) (i32.const 0))"#;
    let error = start(&host, refuses).root(&Plugin::default()).unwrap_err();
    assert!(error.is_refusal() && !error.is_trap());
    assert_eq!(error.to_string(), "proxy_on_configure returned false");

    let traps = r#"(func (export "proxy_on_configure") (param i32 i32) (result i32) unreachable)"#;
    let error = start(&host, traps).root(&Plugin::default()).unwrap_err();
    assert!(error.is_trap() && !error.is_refusal());
    assert_eq!(
        error.to_string(),
        "proxy_on_configure trapped: wasm trap: wasm `unreachable` instruction executed"
    );
}

#[test]
fn a_trap_names_its_last_words_and_the_vm_stays_dead() {
    let host = Host::new();
    let body = r#"(func (export "proxy_on_log") (param i32)
      (drop (call $log (i32.const 5) (i32.const 100) (i32.const 3))) unreachable)"#;
    let mut vm = start(&host, body);
    let root = vm.root(&Plugin::default()).unwrap();
    let exchange = Exchange::new("GET", "/", 200);
    let error = vm.exchange(root, &exchange).unwrap_err().to_string();
    assert!(error.starts_with("proxy_on_log trapped: "), "{error}");
    assert!(error.ends_with("; it last logged: key"), "{error}");
    let again = vm.exchange(root, &exchange).unwrap_err();
    assert!(
        again.to_string().contains("the VM was dead already"),
        "{again}"
    );
}

#[test]
fn an_endless_loop_ends_in_a_trap() {
    let host = Host::new();
    let body = r#"(func (export "proxy_on_log") (param i32) (loop $for_ever (br $for_ever)))"#;
    let mut vm = start(&host, body);
    let root = vm.root(&Plugin::default()).unwrap();
    let error = vm
        .exchange(root, &Exchange::new("GET", "/", 200))
        .unwrap_err();
    assert!(error.is_trap(), "{error}");
}

#[test]
fn the_clock_stands_still_until_the_test_moves_it() {
    let host = Host::new();
    let body = r#"(func (export "proxy_on_log") (param i32)
      (drop (call $now (i32.const 16)))
      (drop (call $log (i32.const 2) (i32.const 16) (i32.const 8))))"#;
    host.set_now(Duration::from_nanos(u64::from_le_bytes(*b"time: 1!")));
    let mut vm = start(&host, body);
    let root = vm.root(&Plugin::default()).unwrap();
    vm.exchange(root, &Exchange::default()).unwrap();
    host.advance(Duration::from_nanos(1 << 48));
    vm.exchange(root, &Exchange::default()).unwrap();
    assert_eq!(said(&host), ["time: 1!", "time: 2!"]);
}

#[test]
fn nothing_but_the_log_may_be_called_while_the_module_starts() {
    let host = Host::new();
    let early = format!(
        r#"(module {HEAD} (func (export "_initialize") (drop (call $now (i32.const 0)))))"#
    );
    let module = host.compile(&wat::parse_str(early).unwrap()).unwrap();
    let error = module.vm().err().expect("Envoy stops such a VM");
    assert!(error.is_trap(), "{error}");
}

#[test]
fn headers_are_in_reach_where_envoy_has_them() {
    let host = Host::new();
    let body = r#"
      (func $path (call $say (call $header (i32.const 0) (i32.const 200) (i32.const 5) (i32.const 8) (i32.const 12))))
      (func $all (call $say (call $headers (i32.const 0) (i32.const 8) (i32.const 12)))
        (call $say (i32.eqz (i32.load (i32.const 12)))))
      (func (export "proxy_on_context_create") (param i32 i32) (if (local.get 1) (then (call $path))))
      (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (call $path) (call $tell) (i32.const 0))
      (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) (call $path) (call $all) (i32.const 0))
      (func (export "proxy_on_log") (param i32) (call $path) (call $all))
      (func (export "proxy_on_delete") (param i32) (call $path))"#;
    one_exchange(&host, body, &Exchange::new("GET", "/here", 200));
    // Creation; request; response, where one header is refused but the whole map is empty; log; deletion.
    assert_eq!(
        said(&host),
        ["2", "0", "/here", "2", "0", "1", "0", "0", "0", "2"]
    );
}

#[test]
fn a_request_that_never_came_to_the_filter_is_only_logged() {
    let host = Host::new();
    let body = r#"
      (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) unreachable)
      (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) unreachable)
      (func (export "proxy_on_log") (param i32) (call $say (i32.const 9)))"#;
    let exchange = Exchange {
        log_only: true,
        ..Exchange::new("GET", "/", 400)
    };
    one_exchange(&host, body, &exchange);
    assert_eq!(said(&host), ["9"]);
}

#[test]
fn a_property_that_was_set_is_read_back_and_recorded() {
    let host = Host::new();
    let body = r#"(func (export "proxy_on_log") (param i32)
      (call $say (call $get (i32.const 100) (i32.const 3) (i32.const 8) (i32.const 12)))
      (call $say (call $set (i32.const 100) (i32.const 3) (i32.const 200) (i32.const 5)))
      (call $say (call $get (i32.const 100) (i32.const 3) (i32.const 8) (i32.const 12)))
      (call $tell))"#;
    let outcome = one_exchange(&host, body, &Exchange::default());
    assert_eq!(said(&host), ["1", "0", "0", ":path"]);
    assert_eq!(outcome.set_property(["key"]), Some(&b":path"[..]));
}

#[test]
fn a_local_response_takes_the_place_of_the_upstreams() {
    let host = Host::new();
    let body = r#"
      (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
        (drop (call $respond (i32.const 403) (i32.const 0) (i32.const 0) (i32.const 100) (i32.const 3)
          (i32.const 170) (i32.const 24) (i32.const -1)))
        (i32.const 1))
      (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) (call $say (local.get 1)) (i32.const 0))
      (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32) unreachable)"#;
    let mut exchange = Exchange::new("POST", "/", 200);
    exchange.request_body = b"never seen".to_vec();
    let outcome = one_exchange(&host, body, &exchange);
    let response = outcome.local_response.expect("a response was sent");
    assert_eq!(
        (
            response.status,
            response.body.as_slice(),
            response.grpc_status
        ),
        (403, &b"key"[..], -1)
    );
    assert_eq!(response.headers, [(b"x-found".to_vec(), b"yes".to_vec())]);
    assert_eq!(
        outcome.response_headers.len(),
        4,
        "the status, the header, length and type"
    );
    assert!(!outcome.paused);
    assert_eq!(said(&host), ["4"]);
}

#[test]
fn a_queue_tells_the_vm_that_took_it_last() {
    let host = Host::new();
    let body = r#"
      (func (export "proxy_on_configure") (param i32 i32) (result i32) (drop (call $ticks (i32.const 1))) (i32.const 1))
      (func (export "proxy_on_tick") (param i32)
        (call $say (call $register (i32.const 100) (i32.const 3) (i32.const 16))))
      (func (export "proxy_on_queue_ready") (param i32 i32)
        (call $say (call $dequeue (local.get 1) (i32.const 8) (i32.const 12))) (call $tell)
        (call $say (call $dequeue (local.get 1) (i32.const 8) (i32.const 12))))
      (func (export "proxy_on_log") (param i32)
        (call $say (call $resolve (i32.const 0) (i32.const 0) (i32.const 100) (i32.const 3) (i32.const 16)))
        (call $say (call $enqueue (i32.load (i32.const 16)) (i32.const 200) (i32.const 5))))"#;
    let mut worker = start(&host, body);
    let mut aggregator = start(&host, body);
    let stream = worker.root(&Plugin::default()).unwrap();
    let owner = aggregator.root(&Plugin::default()).unwrap();

    worker.exchange(stream, &Exchange::default()).unwrap();
    assert_eq!(said(&host), ["1", "1"], "there is no queue yet");
    aggregator.tick(owner).unwrap();
    worker.exchange(stream, &Exchange::default()).unwrap();
    assert_eq!(said(&host), ["0", "0", "0"]);
    assert_eq!(host.queue("", "key"), Some(vec![b":path".to_vec()]));
    assert_eq!(worker.deliver_queues().unwrap(), 0);
    assert_eq!(aggregator.deliver_queues().unwrap(), 1);
    assert_eq!(said(&host), ["0", ":path", "7"]);

    assert!(host.delete_queue("", "key"));
    worker.exchange(stream, &Exchange::default()).unwrap();
    assert_eq!(
        said(&host),
        ["1", "1"],
        "a queue that is gone is found neither by name nor by token"
    );
}

#[test]
fn shared_data_and_metrics_are_the_hosts() {
    let host = Host::new();
    let body = r#"(func (export "proxy_on_log") (param i32)
      (call $say (call $share (i32.const 100) (i32.const 3) (i32.const 200) (i32.const 5) (i32.const 0)))
      (call $say (call $share (i32.const 100) (i32.const 3) (i32.const 200) (i32.const 5) (i32.const 99)))
      (call $say (call $define (i32.const 0) (i32.const 100) (i32.const 3) (i32.const 16)))
      (call $say (call $increment (i32.load (i32.const 16)) (i64.const 2)))
      (call $say (call $increment (i32.const 400) (i64.const 2))))"#;
    for _ in 0..2 {
        one_exchange(&host, body, &Exchange::default());
        assert_eq!(said(&host), ["0", "8", "0", "0", "1"]);
    }
    assert_eq!(host.shared_data("", "key"), Some(b":path".to_vec()));
    assert_eq!(
        host.counter("key"),
        Some(4),
        "two VMs count into one counter"
    );
    assert_eq!(host.metric_names(), ["key"]);
}

const EXPRESSIONS: &str = r#"
  (func (export "proxy_on_configure") (param i32 i32) (result i32)
    (call $say (call $foreign (i32.const 110) (i32.const 11) (i32.const 150) (i32.const 12) (i32.const 8) (i32.const 12)))
    (if (i32.load (i32.const 8))
      (then (i32.store (i32.const 16) (i32.load (i32.load (i32.const 8)))) (call $say (i32.load (i32.const 16)))))
    (i32.const 1))
  (func $evaluate
    (call $say (call $foreign (i32.const 121) (i32.const 13) (i32.const 16) (i32.const 4) (i32.const 8) (i32.const 12))))
  (func (export "proxy_on_log") (param i32)
    (call $evaluate)
    (if (i32.load (i32.const 12)) (then (call $tell)))
    (call $say (call $foreign (i32.const 121) (i32.const 13) (i32.const 16) (i32.const 3) (i32.const 8) (i32.const 12)))
    (call $say (call $foreign (i32.const 134) (i32.const 11) (i32.const 16) (i32.const 4) (i32.const 8) (i32.const 12)))
    (call $evaluate))"#;

#[test]
fn expressions_are_created_once_and_evaluated_by_the_test() {
    let host = Host::new();
    host.evaluate_expressions(|text, exchange| {
        assert_eq!(text, "request.path");
        exchange.get(["request", "path"]).map(<[u8]>::to_vec)
    });
    one_exchange(&host, EXPRESSIONS, &Exchange::new("GET", "/seen", 200));
    // Created, as token 0; evaluated; a token too short; deleted; no longer found.
    assert_eq!(said(&host), ["0", "0", "0", "/seen", "2", "0", "1"]);
}

#[test]
fn an_expression_that_fails_is_an_internal_failure() {
    let host = Host::new();
    host.evaluate_expressions(|_, _| None);
    one_exchange(&host, EXPRESSIONS, &Exchange::default());
    assert_eq!(said(&host)[2], "10");
}

#[test]
fn a_host_without_expressions_does_not_find_them() {
    let host = Host::new();
    one_exchange(&host, EXPRESSIONS, &Exchange::default());
    assert_eq!(said(&host)[0], "1");
}

#[test]
fn an_http_call_goes_to_a_known_cluster_and_is_answered_by_the_test() {
    let host = Host::new();
    let body = r#"
      (func $send (call $say (call $call (i32.const 100) (i32.const 3) (i32.const 220) (i32.const 66) (i32.const 200)
        (i32.const 5) (i32.const 0) (i32.const 0) (i32.const 250) (i32.const 16))))
      (func (export "proxy_on_configure") (param i32 i32) (result i32) (drop (call $ticks (i32.const 1))) (i32.const 1))
      (func (export "proxy_on_tick") (param i32) (call $send))
      (func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32)
        (call $say (local.get 2))
        (call $say (call $buffer (i32.const 4) (i32.const 0) (local.get 3) (i32.const 8) (i32.const 12))) (call $tell))"#;
    let mut vm = start(&host, body);
    let root = vm.root(&Plugin::default()).unwrap();
    vm.tick(root).unwrap();
    assert_eq!(said(&host), ["2"], "no such cluster");
    host.add_cluster("key");
    vm.tick(root).unwrap();
    assert_eq!(said(&host), ["0"]);
    let calls = host.take_http_calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(
        (calls[0].body.as_slice(), calls[0].timeout),
        (&b":path"[..], Duration::from_millis(250))
    );
    vm.answer(&calls[0], &HttpAnswer::status(200, b"stored"))
        .unwrap();
    assert_eq!(said(&host), ["1", "0", "stored"]);
}

#[test]
fn what_the_host_lacks_is_unimplemented_and_counted() {
    let host = Host::new();
    let body =
        r#"(func (export "proxy_on_log") (param i32) (call $say (call $grpc (i32.const 1))))"#;
    one_exchange(&host, body, &Exchange::default());
    assert_eq!(said(&host), ["12"]);
    assert_eq!(host.counts().host_call("proxy_grpc_cancel"), 1);
}

#[test]
fn calls_and_bytes_are_counted_both_ways() {
    let host = Host::new();
    let body = r#"(func (export "proxy_on_log") (param i32)
      (drop (call $get (i32.const 100) (i32.const 3) (i32.const 8) (i32.const 12))))"#;
    let mut vm = start(&host, body);
    let root = vm.root(&Plugin::default()).unwrap();
    let before = host.counts();
    let exchange = Exchange::default().property(["key"], Value::Int(1));
    vm.exchange(root, &exchange).unwrap();
    let spent = host.counts().since(&before);
    assert_eq!(
        (spent.bytes_out, spent.bytes_in),
        (3, 8),
        "the path out, the value in"
    );
    assert_eq!(
        spent.host_calls.into_iter().collect::<Vec<_>>(),
        [("proxy_get_property".to_owned(), 1)]
    );
    let guest_calls = [("malloc".to_owned(), 1), ("proxy_on_log".to_owned(), 1)];
    assert_eq!(
        spent.guest_calls.into_iter().collect::<Vec<_>>(),
        guest_calls
    );
}

#[test]
fn a_module_that_envoy_would_refuse_is_refused() {
    let host = Host::new();
    let error = |text: &str| {
        let wasm = wat::parse_str(text).expect("a test's module");
        host.compile(&wasm).err().expect("refused").to_string()
    };
    let no_marker =
        error(r#"(module (func (export "malloc") (param i32) (result i32) (i32.const 0)))"#);
    assert!(
        no_marker.ends_with("no export proxy_abi_version_0_2_1"),
        "{no_marker}"
    );
    let no_allocator = error(r#"(module (func (export "proxy_abi_version_0_2_1")))"#);
    assert!(
        no_allocator.ends_with("no export malloc or proxy_on_memory_allocate"),
        "{no_allocator}"
    );
}
