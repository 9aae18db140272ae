//! The room name: the one identifier of a call that the published API promises.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{AssistantId, CallService, E164};

/// A room name, and so the id of a call.
///
/// Two forms exist: `{assistant_id}_{suffix}`, and `exotel-{to_number}-{suffix}` for calls through
/// Exotel. The suffix is 12 random characters `[a-z0-9]` (about 62 bits); 4 to 32 are read.
///
/// ```
/// use outdial_domain::RoomName;
/// let name: RoomName = "550e8400-e29b-41d4-a716-446655440000_abc123def456".parse().unwrap();
/// assert_eq!(name.suffix(), "abc123def456");
/// let exotel: RoomName = "exotel-+918044319240-abc123".parse().unwrap();
/// assert_eq!(exotel.to_number().unwrap().as_str(), "+918044319240");
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RoomName {
    text: Box<str>,
    parts: Parts,
}

#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Parts {
    Assistant(AssistantId),
    Exotel(E164),
}

/// The text is no room name of this server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a room name is {{assistant_id}}_{{suffix}} or exotel-{{to_number}}-{{suffix}}, \
     the suffix 4 to 32 characters a-z and 0-9"
)]
pub struct RoomNameError;

impl RoomName {
    /// The name of a new call's room, with a fresh random suffix.
    pub fn new(service: CallService, assistant: AssistantId, to_number: &E164) -> Self {
        let suffix = crate::random_text(12);
        match service {
            CallService::Twilio => Self {
                text: format!("{assistant}_{suffix}").into(),
                parts: Parts::Assistant(assistant),
            },
            CallService::Exotel => Self {
                text: format!("exotel-{to_number}-{suffix}").into(),
                parts: Parts::Exotel(to_number.clone()),
            },
        }
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The random part, unique for each call.
    pub fn suffix(&self) -> &str {
        let separator = match self.parts {
            Parts::Assistant(_) => '_',
            Parts::Exotel(_) => '-',
        };
        self.text.rsplit_once(separator).map_or("", |(_, suffix)| suffix)
    }

    /// The assistant, for the form that names it.
    pub fn assistant_id(&self) -> Option<AssistantId> {
        match self.parts {
            Parts::Assistant(id) => Some(id),
            Parts::Exotel(_) => None,
        }
    }

    /// The called number, for the form that names it.
    pub fn to_number(&self) -> Option<&E164> {
        match &self.parts {
            Parts::Exotel(number) => Some(number),
            Parts::Assistant(_) => None,
        }
    }
}

impl FromStr for RoomName {
    type Err = RoomNameError;

    fn from_str(text: &str) -> Result<Self, RoomNameError> {
        let (parts, suffix) = if let Some(rest) = text.strip_prefix("exotel-") {
            let (number, suffix) = rest.rsplit_once('-').ok_or(RoomNameError)?;
            (Parts::Exotel(number.parse().map_err(|_| RoomNameError)?), suffix)
        } else {
            let (id, suffix) = text.rsplit_once('_').ok_or(RoomNameError)?;
            (Parts::Assistant(id.parse().map_err(|_| RoomNameError)?), suffix)
        };
        let good = (4..=32).contains(&suffix.len())
            && suffix.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if good { Ok(Self { text: text.into(), parts }) } else { Err(RoomNameError) }
    }
}

impl TryFrom<String> for RoomName {
    type Error = RoomNameError;
    fn try_from(text: String) -> Result<Self, RoomNameError> {
        text.parse()
    }
}

impl From<RoomName> for String {
    fn from(name: RoomName) -> Self {
        name.text.into()
    }
}

impl fmt::Display for RoomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// For logs: the name, with the number masked that an Exotel room name holds.
impl fmt::Debug for RoomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.parts {
            Parts::Assistant(_) => f.write_str(&self.text),
            Parts::Exotel(number) => {
                write!(f, "exotel-{}-{}", number.masked(), self.suffix())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read_back_into_their_parts() {
        let assistant = AssistantId::random();
        let number: E164 = "+918044319240".parse().unwrap();
        let twilio = RoomName::new(CallService::Twilio, assistant, &number);
        let exotel = RoomName::new(CallService::Exotel, assistant, &number);
        for (name, id, to) in [(&twilio, Some(assistant), None), (&exotel, None, Some(&number))] {
            let back: RoomName = name.as_str().parse().unwrap();
            assert_eq!(&back, name);
            assert_eq!((back.assistant_id(), back.to_number()), (id, to));
            assert_eq!(back.suffix().len(), 12);
        }
        assert!(exotel.as_str().starts_with("exotel-+918044319240-"));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "room",
            "550e8400-e29b-41d4-a716-446655440000",
            "550e8400-e29b-41d4-a716-446655440000_",
            "550e8400-e29b-41d4-a716-446655440000_ABC123",
            "550e8400-e29b-41d4-a716-446655440000_abc123\n",
            "exotel-918044319240-abc123",
            "exotel-+918044319240",
            "exotel-+918044319240-../x",
        ] {
            assert!(text.parse::<RoomName>().is_err(), "{text:?}");
        }
    }
}
