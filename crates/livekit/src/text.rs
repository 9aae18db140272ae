//! Texts from outside, made fit for messages and records.

/// Clipped to 200 characters, without control characters, and with the middle of every run of
/// seven digits or more starred: such a run may be a phone number.
pub(crate) fn clean(text: &str) -> String {
    let mut out = String::new();
    let mut digits = String::new();
    for c in text.trim().chars().take(200) {
        if c.is_ascii_digit() {
            digits.push(c);
        } else {
            flush(&mut out, &mut digits);
            out.push(if c.is_control() { ' ' } else { c });
        }
    }
    flush(&mut out, &mut digits);
    out
}

fn flush(out: &mut String, digits: &mut String) {
    let n = digits.len();
    if n < 7 {
        out.push_str(digits);
    } else {
        let hidden = "*".repeat(n - 6);
        out.push_str(&format!("{}{hidden}{}", &digits[..3], &digits[n - 3..]));
    }
    digits.clear();
}

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn numbers_are_masked() {
        assert_eq!(clean("to +15550100000\r\nX: 503 5060"), "to +155*****000  X: 503 5060");
        assert_eq!(clean("1234567"), "123*567");
        assert_eq!(clean(&"é".repeat(500)).chars().count(), 200);
    }
}
