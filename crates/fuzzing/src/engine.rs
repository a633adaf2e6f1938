//! A made-up life of two filters and the aggregator: requests of any kind, clocks that jump, leaders that come and go.
//! Whatever happens, requests seen are requests counted or counted as dropped.

use crate::life;
use arbitrary::{Result, Unstructured};
use pairwatch_engine::Time;
use pairwatch_engine::aggregator::Aggregator;
use pairwatch_engine::config::Config;
use pairwatch_engine::counters::{Batch, Counters};
use pairwatch_engine::exchange::Exchange;
use pairwatch_engine::frame::Framed;
use pairwatch_engine::limits::Limits;
use pairwatch_engine::verdicts::Rulebook;
use std::net::IpAddr;

/// What happens next.
#[derive(Debug)]
enum Step<'a> {
    /// A filter sees some requests that are alike.
    Requests {
        filter: bool,
        times: u8,
        source: String,
        destination: String,
        identity: Option<&'a str>,
        address: Option<IpAddr>,
        method: &'a [u8],
        path: &'a [u8],
        status: u16,
        grpc_status: Option<u32>,
        sizes: [u64; 2],
        duration_us: u64,
    },
    /// Each filter sends what it counted, and the aggregator looks at the clock.
    Tick { millis: u16 },
    /// Some time passes at once.
    Sleep { millis: u32 },
    /// The clock is set to anything.
    Clock(u64),
    /// The aggregator publishes, the filters apply.
    Publish,
    /// The leader dies, and another goes on with its snapshot.
    Succeed,
}

impl<'a> Step<'a> {
    fn draw(choices: &mut Unstructured<'a>) -> Result<Self> {
        Ok(match choices.int_in_range(0..=9u8)? {
            0 => Self::Tick {
                // Three windows at most: each costs.
                millis: choices.int_in_range(0..=3000)?,
            },
            1 => Self::Sleep {
                millis: choices.arbitrary()?,
            },
            2 => Self::Clock(choices.arbitrary()?),
            3 => Self::Publish,
            4 => Self::Succeed,
            _ => Self::Requests {
                filter: choices.arbitrary()?,
                times: choices.int_in_range(0..=7)?,
                source: name(choices)?,
                destination: name(choices)?,
                identity: choices.arbitrary()?,
                address: choices.arbitrary()?,
                method: if choices.ratio(7u8, 8)? {
                    b"GET"
                } else {
                    choices.arbitrary()?
                },
                path: choices.arbitrary()?,
                status: choices.arbitrary()?,
                grpc_status: choices.arbitrary()?,
                sizes: choices.arbitrary()?,
                duration_us: choices.arbitrary()?,
            },
        })
    }
}

/// Names that come again, and names that never do.
fn name(choices: &mut Unstructured<'_>) -> Result<String> {
    Ok(if choices.ratio(7u8, 8)? {
        format!("shop/service-{}", choices.int_in_range(0..=15u8)?)
    } else {
        choices.arbitrary::<&str>()?.to_owned()
    })
}

/// Small caps are reached by few requests.
const CONFIG: &str = r#"{"windows":["1s","10s"],"learning":{"warmup":"1s"},"identity":{"claim":"sub","addresses":true},
    "limits":{"pairs":10,"routes_per_pair":4,"identities":10,"hold_bytes":16384},
    "rules":[{"type":"routes","name":"r","source":"shop/*","allow":["GET /a*"]},
             {"type":"typical","name":"t","destination":"shop/*","signal":"request_rate","times":3}]}"#;

/// Leads such a life.
pub fn life(bytes: &[u8]) {
    let config = Config::from_json(CONFIG.as_bytes()).expect("it is accepted");
    let caps = config.limits;
    let rules = Rulebook::new(&config.rules);
    let mut now = life::NOW;
    let mut engine = Aggregator::new(config.clone(), 1, now);
    let filter = || Counters::new(caps.pairs, caps.routes_per_pair, caps.hold_bytes, 1, now);
    let mut filters = [filter(), filter()];
    let mut seen = 0u64;
    let mut choices = Unstructured::new(bytes);
    while !choices.is_empty() {
        let Ok(step) = Step::draw(&mut choices) else {
            break;
        };
        match step {
            Step::Requests {
                filter,
                times,
                source,
                destination,
                identity,
                address,
                method,
                path,
                status,
                grpc_status,
                sizes: [request_bytes, response_bytes],
                duration_us,
            } => {
                let exchange = Exchange {
                    source: &source,
                    destination: &destination,
                    identity,
                    address,
                    method,
                    path,
                    status,
                    grpc_status,
                    request_bytes,
                    response_bytes,
                    duration_us,
                };
                for _ in 0..times {
                    let judgement = filters[usize::from(filter)].judge(&exchange, &rules);
                    assert!(judgement.score() <= 100, "scores end at 100");
                }
                seen += u64::from(times);
            }
            Step::Tick { millis } => {
                now = Time(now.0.saturating_add(u64::from(millis)));
                deliver(&mut filters, &mut engine, now);
                engine.advance(now);
            }
            Step::Sleep { millis } => now = Time(now.0.saturating_add(u64::from(millis))),
            Step::Clock(to) => now = Time(to),
            Step::Publish => {
                let frame = engine.limits(now).to_frame();
                let limits = Limits::from_frame(&frame).expect("what was published is read");
                filters.iter_mut().for_each(|f| f.apply(&limits));
            }
            Step::Succeed => {
                life::drain(&mut engine);
                let snapshot = engine.snapshot(1);
                (engine, _) = Aggregator::restore(config.clone(), 2, &snapshot, now)
                    .expect("a leader's snapshot is restored by the next");
            }
        }
        for filter in &filters {
            let (pairs, bytes, _) = filter.size();
            assert!(
                pairs <= 10 && bytes <= 16_384,
                "{pairs} pairs in {bytes} bytes"
            );
        }
    }
    deliver(&mut filters, &mut engine, now);
    engine.advance(now);
    life::drain(&mut engine);
    let totals = engine.totals();
    assert_eq!(
        totals.requests + totals.dropped,
        seen,
        "requests seen are requests counted or dropped"
    );
    assert!(totals.pairs <= 10 && totals.identities <= 10, "{totals:?}");
    assert!((0.0..=1.0).contains(&totals.maturity), "{totals:?}");
    life::outlives(&engine, now);
}

fn deliver(filters: &mut [Counters], engine: &mut Aggregator, now: Time) {
    for filter in filters {
        filter.tick(now);
        if let Some(batch) = filter.drain(now) {
            let sent = Batch::from_frame(&batch.to_frame()).expect("what was sent is read");
            assert_eq!(sent, batch, "a batch arrives as it was sent");
            engine.merge(sent, now);
        }
    }
}
