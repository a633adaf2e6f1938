//! Exchanges as data: what a client and what a backend do, step by step.
//!
//! ```yaml
//! - name: a body in two pieces
//!   client:
//!   - send: "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nab"
//!   - heard: "ab"          # the backend got that much: no sleep, and the same bytes each time
//!   - send: "cd"
//!   - until: "ok\n"
//!   backend:
//!   - until: "abcd"
//!   - send: "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n"
//!   expect: "HTTP/1.1 200 OK"
//! ```
//!
//! A text's characters are bytes (up to U+00FF, `"\xff"` in YAML). A text may also be a list of parts: texts, `{repeat: x,
//! times: n}`, `{count: "x-{}: v\r\n", times: n}` with a number in the place of `{}`, and `{random: n, seed: s}`, printable
//! and other bytes but those that end a header.

use anyhow::{Context, Result};
use serde::Deserialize;

use super::h2;
use crate::prng::Prng;

/// One exchange.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    /// What it is about.
    pub name: String,
    /// What the client does.
    #[serde(default)]
    pub client: Vec<Step>,
    /// What the backend does with its one connection …
    #[serde(default)]
    pub backend: Vec<Step>,
    /// … or with one after the other.
    #[serde(default)]
    pub backends: Vec<Vec<Step>>,
    /// What the client must have got, so that the exchange is what its name says: a part of its rendered recording.
    pub expect: Option<String>,
    /// What the backend must have got.
    pub expect_backend: Option<String>,
    /// Streams of it that Envoy counts but gives up before it makes their filters: no filter ever sees those.
    #[serde(default)]
    pub unfiltered: u64,
    /// Whether the backends' side is left out of comparisons: where it depends on when a reset is noticed.
    #[serde(default)]
    pub client_only: bool,
}

/// What one side does.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// Sends bytes.
    Send(Text),
    /// Awaits that what came contains this.
    Until(Text),
    /// Awaits that what came to the other side contains this.
    Heard(Text),
    /// Awaits that the other side has closed.
    End,
    /// Says that no more will be sent.
    HalfClose,
    /// Closes at once, with a reset.
    Reset,
    /// Closes.
    Close,
    /// HTTP/2: begins a connection.
    H2Open(Side),
    /// HTTP/2: header fields.
    H2Headers {
        /// The stream.
        stream: u32,
        /// Whether it ends with them.
        #[serde(default)]
        end: bool,
        /// Names and values.
        fields: Vec<(Text, Text)>,
    },
    /// HTTP/2: data.
    H2Data {
        /// The stream.
        stream: u32,
        /// Whether it ends with them.
        #[serde(default)]
        end: bool,
        /// The data.
        text: Text,
    },
    /// HTTP/2: resets a stream, as cancelled.
    H2Reset {
        /// The stream.
        stream: u32,
    },
    /// HTTP/2: awaits the end of a stream, a reset included.
    H2Ended {
        /// The stream.
        stream: u32,
    },
}

/// Who begins an HTTP/2 connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// With the preface.
    Client,
    /// With settings only.
    Server,
}

/// Bytes, or how to make them.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Text {
    /// As they are.
    Plain(String),
    /// One part after the other.
    Parts(Vec<Part>),
}

/// A part of a text.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Part {
    /// As it is.
    Plain(String),
    /// The same text again and again.
    Repeat {
        /// The text.
        repeat: String,
        /// How often.
        times: usize,
    },
    /// A text with a number in the place of `{}`, from 0 on.
    Count {
        /// The text.
        count: String,
        /// How often.
        times: usize,
    },
    /// Bytes by chance, none that ends a line or a string.
    Random {
        /// How many.
        random: usize,
        /// Of the generator.
        seed: u64,
    },
}

impl Text {
    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Plain(text) => latin(text),
            Self::Parts(parts) => parts.iter().flat_map(Part::bytes).collect(),
        }
    }
}

impl Part {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Plain(text) => latin(text),
            Self::Repeat { repeat, times } => latin(repeat).repeat(*times),
            Self::Count { count, times } => (0..*times)
                .flat_map(|i| latin(&count.replace("{}", &i.to_string())))
                .collect(),
            Self::Random { random, seed } => {
                let mut dice = Prng::new(*seed);
                (0..*random).map(|_| header_byte(&mut dice)).collect()
            }
        }
    }
}

/// Any byte but NUL, CR and LF, which no header holds.
fn header_byte(dice: &mut Prng) -> u8 {
    loop {
        let byte = dice.below(256) as u8;
        if !matches!(byte, 0 | b'\r' | b'\n') {
            return byte;
        }
    }
}

fn latin(text: &str) -> Vec<u8> {
    text.chars()
        .map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?'))
        .collect()
}

impl Exchange {
    /// The backends' scripts, in the order of their connections.
    #[must_use]
    pub fn scripts(&self) -> Vec<Vec<Step>> {
        let one = (!self.backend.is_empty()).then(|| self.backend.clone());
        one.into_iter().chain(self.backends.clone()).collect()
    }
}

/// Reads a list of exchanges.
///
/// # Errors
/// With what can't be read.
pub fn read(yaml: &str) -> Result<Vec<Exchange>> {
    // By way of JSON's tree: there a step is a map of one entry, where YAML's own form would be a tag.
    let tree: serde_json::Value = serde_yaml_ng::from_str(yaml).context("reading as YAML")?;
    let serde_json::Value::Array(all) = tree else {
        anyhow::bail!("no list of exchanges");
    };
    all.into_iter()
        .map(|one| {
            let name = one.get("name").map(ToString::to_string).unwrap_or_default();
            serde_json::from_value(one).with_context(|| format!("the exchange {name}"))
        })
        .collect()
}

/// The bytes that a step sends; nothing where it sends none.
pub(super) fn sent(step: &Step) -> Option<Vec<u8>> {
    let end = |end: bool| if end { h2::END_STREAM } else { 0 };
    Some(match step {
        Step::Send(text) => text.bytes(),
        Step::H2Open(side) => match side {
            Side::Client => {
                let settings = h2::frame(h2::SETTINGS, 0, 0, &h2::NO_TABLE);
                [h2::PREFACE, &settings].concat()
            }
            Side::Server => h2::frame(h2::SETTINGS, 0, 0, &[]),
        },
        Step::H2Headers {
            stream,
            end: last,
            fields,
        } => {
            let fields: Vec<_> = fields.iter().map(|(n, v)| (n.bytes(), v.bytes())).collect();
            let block = h2::block(fields.iter().map(|(n, v)| (&n[..], &v[..])));
            h2::frame(h2::HEADERS, h2::END_HEADERS | end(*last), *stream, &block)
        }
        Step::H2Data {
            stream,
            end: last,
            text,
        } => h2::frame(h2::DATA, end(*last), *stream, &text.bytes()),
        // CANCEL (RFC 9113, 7).
        Step::H2Reset { stream } => h2::frame(h2::RST_STREAM, 0, *stream, &8u32.to_be_bytes()),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{Step, read};

    #[test]
    fn a_script_is_read_with_its_bytes_and_a_mistake_is_an_error() -> anyhow::Result<()> {
        let all = read(
            "- name: one\n  client:\n  - send: [\"a\\xff\", {repeat: b, times: 3}, {count: \"{},\", times: 2}]\n  - close\n",
        )?;
        let [Step::Send(text), Step::Close] = &all[0].client[..] else {
            panic!("{all:?}")
        };
        assert_eq!(text.bytes(), b"a\xffbbb0,1,");
        assert!(read("- name: two\n  client:\n  - sned: x\n").is_err());
        Ok(())
    }
}
