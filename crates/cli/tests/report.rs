//! `pairwatch report`: what is on the page, and the page in a real browser.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::string_slice,
    reason = "a test that panics is a test that fails"
)]

mod common;
#[path = "common/logs.rs"]
mod logs;

use common::{pairwatch, scratch};
use logs::{START, STUFFING, case, log, text};
use pairwatch_engine::Time;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

/// What a client may call itself and ask for.
const HOSTILE: &str = r#"</script><img src=x onerror="problems.push('ran')"><!--"#;

/// The stuffing case's log, with a client that would like to be code.
fn lines() -> Vec<String> {
    let mut lines = log(&case(STUFFING));
    for at in 0..40 {
        lines.push(
            json!({
                "start_time": Time(START + 200_000 + at * 1000).rfc3339(),
                "method": "GET",
                "path": format!("/{HOSTILE}"),
                "response_code": 200,
                "duration": 5,
                "downstream_peer": HOSTILE,
                "upstream_cluster": "shop",
                "user": "=HYPERLINK(\"x\")",
            })
            .to_string(),
        );
    }
    lines
}

/// A report on a log.
fn report(lines: &[String]) -> String {
    let config = scratch("config.json", case(STUFFING).config.to_string().as_bytes());
    let file = scratch("access.log", &text(lines));
    pairwatch(["report", "--config", &config, &file])
        .succeeds()
        .stdout
}

fn data(page: &str) -> Value {
    let (_, rest) = page
        .split_once(r#"<script type="application/json" id="data">"#)
        .unwrap();
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

#[test]
fn the_page_counts_what_the_log_holds() {
    let lines = lines();
    let data = data(&report(&lines));
    assert_eq!(data["meta"]["lines"], lines.len());
    let requests = |list: &Value, key: &str| -> u64 {
        list.as_array()
            .unwrap()
            .iter()
            .map(|x| x[key].as_u64().unwrap())
            .sum()
    };
    assert_eq!(requests(&data["pairs"], "n"), lines.len() as u64);
    let routes = data["pairs"].as_array().unwrap().iter();
    let by_route: u64 = routes.map(|p| requests(&p["routes"], "n")).sum();
    assert_eq!(by_route, lines.len() as u64);
    let rows = data["access"]["rows"].as_array().unwrap().iter();
    let by_row: u64 = rows.map(|row| row[4].as_u64().unwrap()).sum();
    assert_eq!(by_row, lines.len() as u64);
    let kinds: Vec<&Value> = data["incidents"]["list"]
        .as_array()
        .unwrap()
        .iter()
        .map(|i| &i["alert"]["kind"])
        .collect();
    assert!(kinds.contains(&&json!("auth_failures")), "{kinds:?}");
}

#[test]
fn the_same_log_gives_the_same_page_and_the_same_beside_a_replay() {
    let page = report(&lines());
    assert_eq!(report(&lines()), page);
    let config = scratch("config.json", case(STUFFING).config.to_string().as_bytes());
    let file = scratch("access.log", &text(&lines()));
    let out = scratch("out.html", b"");
    pairwatch(["replay", "--config", &config, "--report", &out, &file]).succeeds();
    assert_eq!(std::fs::read_to_string(out).unwrap(), page);
}

#[test]
fn nothing_on_the_page_comes_from_elsewhere() {
    let page = report(&lines());
    let shell = page.replace(&serde_json::to_string(&data(&page)).unwrap(), "");
    for way in [
        "src=",
        "@import",
        "url(",
        "fetch(",
        "XMLHttpRequest",
        "WebSocket",
    ] {
        let elsewhere = shell
            .split(r#"<script type="application/json""#)
            .next()
            .unwrap();
        assert!(!elsewhere.contains(way), "{way} in the page");
    }
    assert!(shell.contains("default-src 'none'"));
}

#[test]
fn who_accessed_what_is_a_table_no_spreadsheet_runs() {
    let config = scratch("config.json", case(STUFFING).config.to_string().as_bytes());
    let file = scratch("access.log", &text(&lines()));
    let (csv, page) = (scratch("access.csv", b""), scratch("page.html", b""));
    pairwatch([
        "report", "--config", &config, "--access", &csv, "--out", &page, &file,
    ])
    .succeeds();
    let table = std::fs::read_to_string(csv).unwrap();
    let head = "identity,source,destination,route,requests,denied,response_bytes,first,last";
    assert_eq!(table.lines().next(), Some(head));
    let row = table.lines().find(|l| l.contains("HYPERLINK")).unwrap();
    assert!(row.starts_with(r#""'=HYPERLINK("#), "{row}");
    assert!(
        row.contains(",40,0,0,2026-11-20T10:03:20.400Z,2026-11-20T10:03:59.400Z"),
        "{row}"
    );
}

/// A Chromium, if there is one.
fn chromium() -> Option<String> {
    let told = std::env::var("PAIRWATCH_CHROMIUM").ok();
    let names = ["chromium", "chromium-browser", "google-chrome", "chrome"].map(str::to_owned);
    told.into_iter().chain(names).find(|name| {
        let asked = Command::new(name).arg("--version").output();
        asked.is_ok_and(|out| out.status.success())
    })
}

/// Notes what goes wrong from the first moment on.
const LISTEN: &str = "<script>window.problems = [];
addEventListener('error', e => problems.push(e.message));
addEventListener('unhandledrejection', e => console.log('failed: ' + e.reason));
addEventListener('securitypolicyviolation', e => problems.push('blocked ' + e.blockedURI));</script>";

/// Uses the page as a person without a mouse would, and says how it went.
const USE: &str = r"<script>
// Time is the page's own, and may run ahead of what a busy machine draws.
const until = async there => {
  for (let i = 0; i < 10000 && !there(); i++) await new Promise(done => setTimeout(done, 50));
};
const light = color => {
  const [r, g, b] = color.match(/[\d.]+/g).map(Number).map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const contrast = (element, ground) => {
  const [a, b] = [light(getComputedStyle(element).color), light(getComputedStyle(ground).backgroundColor)];
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
};
(async () => {
  await until(() => document.querySelectorAll('svg[tabindex]').length > 2);
  const said = { drawn: document.documentElement.dataset.drawn };
  said.overflow = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  said.contrast = Math.min(contrast(document.body, document.body), contrast(document.querySelector('.lead'), document.body));
  said.dark = light(getComputedStyle(document.body).backgroundColor) < 0.2;
  const charts = [...document.querySelectorAll('svg[tabindex]')];
  said.charts = charts.length;
  charts[0].focus();
  charts[0].dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowRight', bubbles: true }));
  said.tip = document.getElementById('tip').textContent;
  const incident = document.querySelector('details.incident');
  incident.querySelector('summary').focus();
  incident.querySelector('summary').click();
  await until(() => incident.querySelector('.body'));
  said.evidence = incident.querySelectorAll('.body tbody tr').length;
  incident.querySelector('.body button').click();
  await until(() => document.activeElement.tagName === 'H3');
  said.focused = document.activeElement.tagName;
  said.pair = document.querySelector('#pair h3').textContent;
  const node = document.querySelector('.node');
  node.focus();
  node.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', bubbles: true }));
  await until(() => document.activeElement.type === 'search');
  said.search = document.activeElement.type;
  said.unnamed = [...document.querySelectorAll('button, input, select, [tabindex]')]
    .filter(e => e.tabIndex >= 0 && !(e.textContent.trim() || e.getAttribute('aria-label') || e.labels?.length)).length;
  said.injected = document.querySelectorAll('img').length;
  const problems = window.problems;
  console.log('SAID ' + JSON.stringify({ ...said, problems }) + ' END');
})();
</script>";

/// What the page says of itself in a browser, at a width, in light or dark; and what was on the browser's console.
fn in_browser(browser: &str, page: &str, width: u32, dark: bool) -> (Value, Vec<String>) {
    let probed = page
        .replacen("<head>", &format!("<head>{LISTEN}"), 1)
        .replacen("</body>", &format!("{USE}</body>"), 1);
    let inner = scratch(&format!("probed-{width}-{dark}.html"), probed.as_bytes());
    // A browser's own window is never as narrow as a phone's; a frame in it is.
    let frame = format!(
        "<iframe src='file://{inner}' style='border:0;width:{width}px;height:900px'></iframe>"
    );
    let outer = scratch(&format!("frame-{width}-{dark}.html"), frame.as_bytes());
    let outer = Path::new(&outer);
    let profile = outer.with_extension("profile");
    let mut command = Command::new(browser);
    command.args([
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--virtual-time-budget=2000000",
    ]);
    command.args([
        "--enable-logging=stderr",
        "--log-level=0",
        "--window-size=1300,950",
    ]);
    // 0 is dark in Chromium's own list.
    command.arg(format!(
        "--blink-settings=preferredColorScheme={}",
        u8::from(!dark)
    ));
    command.arg(format!("--user-data-dir={}", profile.display()));
    // Only a browser that is to make a picture draws frames, which what is on the page waits for.
    command.arg(format!(
        "--screenshot={}",
        outer.with_extension("png").display()
    ));
    let out = command
        .arg(format!("file://{}", outer.display()))
        .output()
        .unwrap();
    let _ = std::fs::remove_dir_all(profile);
    let (mut said, mut console) = (Value::Null, Vec::new());
    let log = String::from_utf8_lossy(&out.stderr);
    for line in log.lines().filter(|l| l.contains("CONSOLE")) {
        match line
            .split_once("\"SAID ")
            .and_then(|(_, rest)| rest.rsplit_once(" END\""))
        {
            Some((text, _)) => said = serde_json::from_str(text).unwrap(),
            None => console.push(line.to_owned()),
        }
    }
    assert!(!said.is_null(), "the page did not speak: {log}");
    (said, console)
}

#[test]
fn a_browser_shows_the_page_at_any_width_in_light_and_dark_and_by_keyboard() {
    let Some(browser) = chromium() else {
        eprintln!("skipped: no Chromium here (scripts/setup-chromium)");
        return;
    };
    let page = report(&lines());
    for (width, dark) in [(390, false), (390, true), (1280, false), (1280, true)] {
        let (said, console) = in_browser(&browser, &page, width, dark);
        let at = format!("at {width}, dark: {dark}: {said}");
        assert_eq!(said["problems"], json!([]), "{at}");
        assert!(console.is_empty(), "{at}: {console:?}");
        assert_eq!(said["drawn"], "yes", "{at}");
        assert_eq!(
            said["overflow"], 0,
            "the page is as wide as the window, {at}"
        );
        assert!(
            said["contrast"].as_f64().unwrap() >= 4.5,
            "text can be read, {at}"
        );
        assert_eq!(said["dark"], dark, "{at}");
        assert!(said["charts"].as_u64().unwrap() >= 3, "{at}");
        assert!(
            said["tip"].as_str().unwrap().contains("requests: "),
            "arrow keys, {at}"
        );
        assert!(said["evidence"].as_u64().unwrap() >= 1, "{at}");
        assert_eq!(said["focused"], "H3", "a button leads to the pair, {at}");
        assert_eq!(said["pair"], "frontend → shop", "{at}");
        assert_eq!(
            said["search"], "search",
            "a service leads to its pairs, {at}"
        );
        assert_eq!(said["unnamed"], 0, "what has the focus has a name, {at}");
        assert_eq!(said["injected"], 0, "{at}");
    }
}
