//! Finds a secret in what a program wrote, in whatever form it was written.

use std::fmt::Write as _;

/// How much of a secret is enough to find it, in bytes: its end, so that a secret whose beginning
/// was cut off is found too.
const TAIL_BYTES: usize = 16;
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// A text that must not be seen.
#[derive(Debug, Clone)]
pub struct Secret {
    /// How its tail may be written.
    forms: Vec<String>,
}

impl Secret {
    /// A text of 16 bytes or more, of ASCII.
    pub fn new(text: &str) -> Self {
        assert!(text.is_ascii() && text.len() >= TAIL_BYTES, "too short or too odd to be found");
        let tail = &text[text.len() - TAIL_BYTES..];
        let mut forms = vec![
            tail.to_owned(),
            // JSON, as some write it.
            serde_json::to_string(tail).expect("a text").trim_matches('"').to_owned(),
            tail.replace('/', r"\/"),
            each_odd_byte(tail, |byte| format!("\\u{byte:04x}")),
            each_odd_byte(tail, |byte| format!("\\u{byte:04X}")),
            // URLs and forms.
            each_odd_byte(tail, |byte| format!("%{byte:02X}")),
            each_odd_byte(tail, |byte| format!("%{byte:02x}")),
            // Bytes, as Rust prints them.
            joined(tail, ", ", |byte| format!("{byte}")),
            joined(tail, ",", |byte| format!("{byte}")),
            joined(tail, "", |byte| format!("{byte:02x}")),
            joined(tail, "", |byte| format!("{byte:02X}")),
        ];
        for shift in 0..3 {
            let base64 = base64_inside(tail.as_bytes(), shift);
            forms.push(base64.replace('+', "-").replace('/', "_"));
            forms.push(base64);
        }
        forms.sort();
        forms.dedup();
        Self { forms }
    }

    /// Whether a text shows it.
    pub fn is_in(&self, text: &str) -> bool {
        self.forms.iter().any(|form| text.contains(form))
    }
}

/// A text whose bytes are written by themselves, but for letters and digits.
fn each_odd_byte(text: &str, written: impl Fn(u8) -> String) -> String {
    let write = |byte: u8| match byte {
        letter_or_digit if letter_or_digit.is_ascii_alphanumeric() => char::from(byte).to_string(),
        _ => written(byte),
    };
    text.bytes().map(write).collect()
}

fn joined(text: &str, separator: &str, written: impl Fn(u8) -> String) -> String {
    text.bytes().map(written).collect::<Vec<_>>().join(separator)
}

/// What is sure to be found in the base64 of anything that holds these bytes at a position that
/// leaves a remainder of `shift` when it is divided by 3.
fn base64_inside(bytes: &[u8], shift: usize) -> String {
    let bits = bytes.iter().fold(String::new(), |mut bits, byte| {
        write!(bits, "{byte:08b}").expect("writing to a string does not fail");
        bits
    });
    // A character has 6 bits. The first whole one starts after this many.
    let skipped = (6 - shift * 8 % 6) % 6;
    let sextets = bits.as_bytes()[skipped..].chunks_exact(6);
    let value =
        |sextet: &[u8]| sextet.iter().fold(0, |value, bit| value * 2 + usize::from(*bit == b'1'));
    sextets.map(|sextet| char::from(BASE64[value(sextet)])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "AQCEAAAAKgAAAAMAAAAA/token+that/is?found=in&every/form==";

    fn is_found(text: &str) -> bool {
        Secret::new(TEXT).is_in(text)
    }

    #[test]
    fn a_secret_is_found_in_every_form() {
        // Made with Python: json, urllib.parse, base64, bytes.hex.
        for text in [
            &format!("before {TEXT} after"),
            "…nd=in&every/form==\"",
            r"AQCEAAAAKgAAAAMAAAAA\/token+that\/is?found=in&every\/form==",
            r"found\u003din\u0026every\u002fform\u003d\u003d",
            "token%2Bthat%2Fis%3Ffound%3Din%26every%2Fform%3D%3D",
            "666f756e643d696e2665766572792f666f726d3d3d",
            "[102, 111, 117, 110, 100, 61, 105, 110, 38, 101, 118, 101, 114, 121, 47, 102, 111, 114, 109, 61, 61]",
            // After 0, 1 and 2 bytes of something else.
            "QVFDRUFBQUFLZ0FBQUFNQUFBQUEvdG9rZW4rdGhhdC9pcz9mb3VuZD1pbiZldmVyeS9mb3JtPT0=",
            "eEFRQ0VBQUFBS2dBQUFBTUFBQUFBL3Rva2VuK3RoYXQvaXM/Zm91bmQ9aW4mZXZlcnkvZm9ybT09",
            "eHhBUUNFQUFBQUtnQUFBQU1BQUFBQS90b2tlbit0aGF0L2lzP2ZvdW5kPWluJmV2ZXJ5L2Zvcm09PQ==",
        ] {
            assert!(is_found(text), "{text}");
        }
    }

    #[test]
    fn other_texts_are_not_it() {
        for text in ["", "AQCEAAAAKgAAAAMAAAAA/token+that/is", "form==", "every/form=="] {
            assert!(!is_found(text), "{text}");
        }
    }
}
