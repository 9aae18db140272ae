//! The formats of an audio section: what each payload type stands for.

use super::body::quote;
use super::{Offer, Payload, SdpError, TELEPHONE_EVENT};
use crate::g711::Codec;
use sdp_types::{Media, RtpMap};

/// RFC 3551, table 4. Comfort noise needs no `a=rtpmap` either.
const COMFORT_NOISE: u8 = 13;

/// More payload types than this do not exist.
const PAYLOAD_TYPES: usize = 128;

/// What the peer can take, as far as we know it, what it likes best first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Formats {
    known: Vec<(u8, Payload)>,
}

impl Formats {
    /// Reads `m=` and `a=rtpmap`.
    pub(super) fn of(media: &Media) -> Self {
        let meanings = meanings(media);
        let mut known: Vec<(u8, Payload)> = Vec::new();
        for number in numbers(media) {
            let meaning = meanings.get(usize::from(number)).copied().flatten();
            let fresh = known.iter().all(|(seen, _)| *seen != number);
            if let Some(payload) = meaning.filter(|_| fresh) {
                known.push((number, payload));
            }
        }
        Self { known }
    }

    /// The first voice codec that is one of ours, with its payload type.
    pub(super) fn voice(&self, ours: &Offer, media: &Media) -> Result<(u8, Codec), SdpError> {
        let voice = self.known.iter().find_map(|(number, payload)| match payload {
            Payload::Audio(codec) if ours.codecs.contains(codec) => Some((*number, *codec)),
            _ => None,
        });
        voice.ok_or_else(|| SdpError::NoCommonCodec {
            ours: ours.codecs.iter().map(|codec| codec.name()).collect::<Vec<_>>().join(", "),
            theirs: names(media),
        })
    }

    /// The first payload type that stands for this.
    pub(super) fn number_of(&self, wanted: Payload) -> Option<u8> {
        self.known.iter().find(|(_, payload)| *payload == wanted).map(|(number, _)| *number)
    }

    /// What may come in: theirs, then what we offered, whether they repeated it or not.
    pub(super) fn accepted(self, ours: &Offer) -> Vec<(u8, Payload)> {
        let spoken = |payload: &Payload| match payload {
            Payload::Audio(codec) => ours.codecs.contains(codec),
            Payload::TelephoneEvent | Payload::ComfortNoise => true,
        };
        let mut accepted = self.known;
        accepted.retain(|(_, payload)| spoken(payload));
        let offered =
            ours.codecs.iter().map(|codec| (codec.payload_type(), Payload::Audio(*codec)));
        let usual =
            [(TELEPHONE_EVENT, Payload::TelephoneEvent), (COMFORT_NOISE, Payload::ComfortNoise)];
        for (number, payload) in offered.chain(usual) {
            if accepted.iter().all(|(taken, _)| *taken != number) {
                accepted.push((number, payload));
            }
        }
        accepted
    }
}

fn numbers(media: &Media) -> impl Iterator<Item = u8> + '_ {
    let words = media.fmt.split_ascii_whitespace();
    words.filter_map(|word| word.parse().ok()).filter(|number| usize::from(*number) < PAYLOAD_TYPES)
}

/// `a=rtpmap`, if there is one, else the static payload types. The first line for a number counts.
fn meanings(media: &Media) -> [Option<Payload>; PAYLOAD_TYPES] {
    let mut meanings = [None; PAYLOAD_TYPES];
    meanings[0] = Some(Payload::Audio(Codec::Pcmu));
    meanings[8] = Some(Payload::Audio(Codec::Pcma));
    meanings[usize::from(COMFORT_NOISE)] = Some(Payload::ComfortNoise);
    let mut mapped = [false; PAYLOAD_TYPES];
    for map in rtpmaps(media) {
        let place = usize::from(map.payload_type);
        if let (Some(meaning), Some(mapped @ false)) =
            (meanings.get_mut(place), mapped.get_mut(place))
        {
            *meaning = payload(&map);
            *mapped = true;
        }
    }
    meanings
}

fn rtpmaps(media: &Media) -> impl Iterator<Item = RtpMap> + '_ {
    let lines = media.attributes.iter().filter(|line| line.attribute == "rtpmap");
    lines.filter_map(|line| line.value.as_deref()?.trim().parse().ok())
}

fn payload(map: &RtpMap) -> Option<Payload> {
    let mono = map.encoding_params.as_deref().is_none_or(|channels| channels == "1");
    if map.clock_rate != 8000 || !mono {
        return None;
    }
    match map.encoding_name.to_ascii_uppercase().as_str() {
        "PCMA" => Some(Payload::Audio(Codec::Pcma)),
        "PCMU" => Some(Payload::Audio(Codec::Pcmu)),
        "TELEPHONE-EVENT" => Some(Payload::TelephoneEvent),
        "CN" => Some(Payload::ComfortNoise),
        _ => None,
    }
}

/// What they offer, for an error.
fn names(media: &Media) -> String {
    let mut names: Vec<String> = rtpmaps(media).map(|map| map.encoding_name).take(10).collect();
    if names.is_empty() {
        names = numbers(media).take(10).map(|number| format!("payload type {number}")).collect();
    }
    if names.is_empty() {
        return "nothing that is known".to_owned();
    }
    quote(&names.join(", "))
}
