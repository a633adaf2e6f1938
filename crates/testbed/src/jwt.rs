//! JSON Web Tokens: an issuer of its own, its key set, and tokens by it.

use anyhow::{Context, Result, ensure};
use rcgen::{KeyPair, PublicKeyData, SigningKey};
use serde_json::{Value, json};

/// Bytes of a coordinate of P-256, and of each half of its signatures.
const HALF: usize = 32;

/// Who makes tokens, by a key that nobody else has: ES256 (RFC 7518, 3.4).
#[derive(Debug)]
pub struct Issuer {
    name: String,
    key: KeyPair,
}

impl Issuer {
    /// An issuer of this name, with a new key.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn new(name: &str) -> Result<Self> {
        Ok(Self {
            name: name.into(),
            key: KeyPair::generate()?,
        })
    }

    /// Its public key as a JSON Web Key Set, for a verifier's `local_jwks`.
    ///
    /// # Errors
    /// When the key is no point of P-256.
    pub fn key_set(&self) -> Result<Value> {
        let point = self.key.der_bytes();
        let (x, y) = point
            .strip_prefix(&[4])
            .and_then(|p| p.split_at_checked(HALF))
            .context("a point that is not compressed")?;
        Ok(json!({"keys": [{
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "test",
            "x": base64url(x), "y": base64url(y),
        }]}))
    }

    /// A token with these claims; the issuer's name and an end in a far future are added.
    ///
    /// # Errors
    /// When it can't be signed.
    pub fn token(&self, claims: &Value) -> Result<String> {
        let mut claims = claims.as_object().context("claims are an object")?.clone();
        claims.insert("iss".into(), json!(self.name));
        // The year 2100.
        claims.insert("exp".into(), json!(4_102_444_800_u64));
        let claims = Value::Object(claims);
        let header = json!({"alg": "ES256", "kid": "test", "typ": "JWT"});
        let signed = format!(
            "{}.{}",
            base64url(header.to_string().as_bytes()),
            base64url(claims.to_string().as_bytes())
        );
        let signature = halves(&self.key.sign(signed.as_bytes())?)?;
        Ok(format!("{signed}.{}", base64url(&signature)))
    }
}

/// A token without a signature that says there is none to check: what some verifiers once believed.
#[must_use]
pub fn unsigned(claims: &Value) -> String {
    let header = json!({"alg": "none"}).to_string();
    format!(
        "{}.{}.",
        base64url(header.as_bytes()),
        base64url(claims.to_string().as_bytes())
    )
}

/// An ASN.1 signature (a sequence of two integers) as the two numbers one behind the other.
fn halves(der: &[u8]) -> Result<Vec<u8>> {
    let mut rest = der.get(2..).context("a sequence")?;
    let mut out = Vec::with_capacity(2 * HALF);
    for _ in 0..2 {
        let (&[tag, length], after) = rest.split_first_chunk::<2>().context("an integer")?;
        ensure!(tag == 2, "found tag {tag} for an integer's");
        let (number, after) = after
            .split_at_checked(length.into())
            .context("an integer's bytes")?;
        let zeros = number.iter().take_while(|b| **b == 0).count();
        let (_, number) = number.split_at(zeros);
        ensure!(number.len() <= HALF, "an integer of {} bytes", number.len());
        out.resize(out.len() + HALF - number.len(), 0);
        out.extend(number);
        rest = after;
    }
    Ok(out)
}

/// Base 64 for URLs, without padding (RFC 4648, 5).
#[must_use]
pub fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk
            .iter()
            .chain([&0; 2])
            .take(3)
            .fold(0usize, |sum, b| sum << 8 | usize::from(*b));
        for digit in 0..=chunk.len() {
            let digit = DIGITS.get(group >> (18 - 6 * digit) & 63);
            out.extend(digit.map(|d| char::from(*d)));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::base64url;

    #[test]
    fn bytes_are_written_as_in_the_rfc() {
        // RFC 4648, section 10, without padding.
        for (text, encoded) in [
            ("", ""),
            ("f", "Zg"),
            ("fo", "Zm8"),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg"),
            ("fooba", "Zm9vYmE"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64url(text.as_bytes()), encoded);
        }
        assert_eq!(base64url(&[0xfb, 0xff]), "-_8");
    }
}
