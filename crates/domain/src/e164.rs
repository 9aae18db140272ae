//! Phone numbers in the shape of ITU-T E.164.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A phone number in E.164 *shape*: `+`, a digit 1-9, then digits; 7 to 15 digits in all.
///
/// Only the shape is checked, not a country's numbering plan: the examples of the published API
/// (`+15550100000`) are no valid numbers in any plan. Source: ITU-T E.164, section 6.
///
/// ```
/// use outdial_domain::E164;
/// let number: E164 = "+15550100000".parse().unwrap();
/// assert_eq!(number.as_str(), "+15550100000");
/// assert_eq!(number.masked(), "+155*****000");
/// assert!("555-010-0000".parse::<E164>().is_err());
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct E164(Box<str>);

/// Why a text is not an [`E164`] number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum E164Error {
    /// The text is empty.
    #[error("the number is empty")]
    Empty,
    /// The country code is missing.
    #[error("the number must start with + and the country code")]
    NoPlus,
    /// A country code never starts with 0.
    #[error("the digit after + must be 1 to 9: no country code starts with 0")]
    LeadingZero,
    /// Something else than the ASCII digits 0-9 follows the `+`.
    #[error("only the digits 0-9 may follow the +: no spaces, dashes, brackets or letters")]
    NotADigit,
    /// Fewer than 7 digits.
    #[error("the number has {0} digits, at least 7 are needed")]
    TooShort(usize),
    /// More than 15 digits.
    #[error("the number has {0} digits, at most 15 are allowed")]
    TooLong(usize),
}

impl E164 {
    /// The number with its `+`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The digits without the `+`; `'0'..='9'` only.
    pub fn digits(&self) -> &str {
        &self.0[1..]
    }

    /// For logs: the first three and the last three digits, the rest starred.
    pub fn masked(&self) -> String {
        let digits = self.digits();
        let hidden = digits.len() - 6;
        format!("+{}{}{}", &digits[..3], "*".repeat(hidden), &digits[digits.len() - 3..])
    }
}

impl FromStr for E164 {
    type Err = E164Error;

    fn from_str(text: &str) -> Result<Self, E164Error> {
        if text.is_empty() {
            return Err(E164Error::Empty);
        }
        let digits = text.strip_prefix('+').ok_or(E164Error::NoPlus)?;
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(E164Error::NotADigit);
        }
        match digits.len() {
            0..=6 => return Err(E164Error::TooShort(digits.len())),
            7..=15 => {}
            long => return Err(E164Error::TooLong(long)),
        }
        if digits.starts_with('0') {
            return Err(E164Error::LeadingZero);
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for E164 {
    type Error = E164Error;
    fn try_from(text: String) -> Result<Self, E164Error> {
        text.parse()
    }
}

impl From<E164> for String {
    fn from(number: E164) -> Self {
        number.0.into()
    }
}

impl fmt::Display for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Debug output is masked: it ends up in logs.
impl fmt::Debug for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "E164({})", self.masked())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: Result<(), E164Error>) {
        assert_eq!(text.parse::<E164>().map(|_| ()), expect, "{text:?}");
    }

    #[test]
    fn shapes() {
        use E164Error::*;
        for good in
            ["+15550100000", "+911234567890", "+918044319240", "+1234567", "+123456789012345"]
        {
            check(good, Ok(()));
        }
        check("", Err(Empty));
        check("555-010-0000", Err(NoPlus));
        check("(555) 010-0000", Err(NoPlus));
        check("15550100000", Err(NoPlus));
        check(" +15550100000", Err(NoPlus));
        check("+05550100000", Err(LeadingZero));
        check("+1555O100000", Err(NotADigit));
        check("+1 5550100000", Err(NotADigit));
        check("++15550100000", Err(NotADigit));
        check("+１５５５０１０００００", Err(NotADigit));
        check("＋15550100000", Err(NoPlus));
        check("+15550100000\r\n", Err(NotADigit));
        check("+1555\r\nVia: x", Err(NotADigit));
        check("+123456", Err(TooShort(6)));
        check("+", Err(TooShort(0)));
        check("+1234567890123456", Err(TooLong(16)));
    }

    #[test]
    fn debug_output_hides_the_middle() {
        let number: E164 = "+911234567890".parse().unwrap();
        assert_eq!(format!("{number:?}"), "E164(+911******890)");
        assert_eq!("+1234567".parse::<E164>().unwrap().masked(), "+123*567");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_taken_back_unchanged_or_refused(text in "\\PC*|\\+[0-9]{0,20}") {
            if let Ok(number) = text.parse::<E164>() {
                proptest::prop_assert_eq!(number.as_str(), text);
            }
        }
    }
}
