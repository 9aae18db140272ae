//! What is dialled during a call.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A key of a telephone's keypad, as a telephone event (RFC 4733, section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digit(u8);

const KEYS: &[u8; 16] = b"0123456789*#ABCD";

impl Digit {
    /// The digit of an event code; `None` for events that are no digits (a flash, a tone).
    pub fn from_code(code: u8) -> Option<Self> {
        (usize::from(code) < KEYS.len()).then_some(Self(code))
    }

    /// Its event code: 0 to 9, 10 for `*`, 11 for `#`, 12 to 15 for `A` to `D`.
    pub fn code(self) -> u8 {
        self.0
    }

    /// The key's character: `0`-`9`, `*`, `#`, `A`-`D`.
    pub fn as_char(self) -> char {
        KEYS.get(usize::from(self.0)).copied().map_or('0', char::from)
    }

    /// The digit of a character; letters in either case.
    pub fn from_char(key: char) -> Option<Self> {
        let key = u8::try_from(key).ok()?.to_ascii_uppercase();
        let code = KEYS.iter().position(|known| *known == key)?;
        u8::try_from(code).ok().map(Self)
    }
}

impl fmt::Display for Digit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_char())
    }
}

/// One step of [`Digits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DtmfStep {
    /// A digit is sent.
    Digit(Digit),
    /// Nothing is sent for so long.
    Pause(Duration),
}

/// Digits to send to the callee: 1 to 32 of `0`-`9`, `*`, `#`, `A`-`D`, among them pauses: `w` of
/// half a second, `,` of two seconds. At least one is a digit. Debug output leaves them out: they may
/// be a PIN.
///
/// ```
/// use outdial_domain::Digits;
/// assert_eq!("1w2#".parse::<Digits>().unwrap().to_string(), "1w2#");
/// assert!("12x".parse::<Digits>().is_err());
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Digits(Vec<DtmfStep>);

/// The text is no [`Digits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "digits are 1 to 32 of 0-9, *, #, A-D, w (a pause of 0.5 s) and , (a pause of 2 s), at least one \
     of them no pause"
)]
pub struct DigitsError;

const HALF: Duration = Duration::from_millis(500);
const TWO: Duration = Duration::from_secs(2);

impl Digits {
    /// At most so many digits and pauses.
    pub const MAX: usize = 32;

    /// Digits and pauses, in order.
    pub fn steps(&self) -> impl Iterator<Item = DtmfStep> + '_ {
        self.0.iter().copied()
    }
}

impl FromStr for Digits {
    type Err = DigitsError;
    fn from_str(text: &str) -> Result<Self, DigitsError> {
        let steps: Option<Vec<_>> = text
            .chars()
            .take(Self::MAX + 1)
            .map(|key| match key {
                'w' => Some(DtmfStep::Pause(HALF)),
                ',' => Some(DtmfStep::Pause(TWO)),
                key => Digit::from_char(key).map(DtmfStep::Digit),
            })
            .collect();
        let steps = steps.filter(|steps| {
            steps.len() <= Self::MAX && steps.iter().any(|s| matches!(s, DtmfStep::Digit(_)))
        });
        steps.map(Self).ok_or(DigitsError)
    }
}

impl fmt::Display for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|step| match step {
            DtmfStep::Digit(digit) => digit.fmt(f),
            DtmfStep::Pause(HALF) => f.write_str("w"),
            DtmfStep::Pause(_) => f.write_str(","),
        })
    }
}

impl fmt::Debug for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digits({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digit_is_an_event_and_a_character() {
        for code in 0..=15 {
            let digit = Digit::from_code(code).unwrap();
            assert_eq!(digit.code(), code);
            assert_eq!(Digit::from_char(digit.as_char()), Some(digit));
        }
        assert_eq!(Digit::from_code(16), None);
        assert_eq!(Digit::from_char('#').map(Digit::code), Some(11));
        assert_eq!(Digit::from_char('d').map(Digit::as_char), Some('D'));
        assert_eq!(Digit::from_char('e'), None);
        assert_eq!(Digit::from_char('\u{661}'), None);
    }

    #[test]
    fn digits() {
        let good: Digits = "1,a#w".parse().unwrap();
        let pauses: Vec<_> = good
            .steps()
            .filter_map(|step| match step {
                DtmfStep::Pause(time) => Some(time.as_millis()),
                DtmfStep::Digit(_) => None,
            })
            .collect();
        assert_eq!((good.to_string().as_str(), pauses), ("1,A#w", vec![2000, 500]));
        assert_eq!(format!("{good:?}"), "Digits(5)");
        assert!("1".repeat(32).parse::<Digits>().is_ok());
        for bad in ["", "w", ",,", "1 2", "+1", "12x", "\u{661}", &"1".repeat(33)] {
            assert!(bad.parse::<Digits>().is_err(), "{bad:?}");
        }
    }
}
