//! How well the media of a call went.

use serde::{Deserialize, Serialize};

/// What was counted of a call's media between this server and the trunk: RTP packets from the callee
/// ("received") and to the callee ("sent"). Integers only, so that records compare exactly.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(default)]
pub struct MediaQuality {
    // The order of the fields is the order of counts: of two, the one that has counted more is the
    // later one.
    /// Audio packets that came from the callee.
    pub packets_received: u64,
    /// Audio packets that were sent to the callee.
    pub packets_sent: u64,
    /// Packets from the callee that never came (RFC 3550, appendix A.3).
    pub packets_lost: u64,
    /// Packets to the callee that never came there, as its side reports (RTCP).
    pub remote_packets_lost: u64,
    /// Datagrams that came from somewhere else, or were no RTP of this call: dropped unheard.
    pub discarded: u64,
    /// Interarrival jitter from the callee at the end, in microseconds (RFC 3550, section 6.4.1).
    pub jitter_us: u64,
    /// The highest such jitter.
    pub max_jitter_us: u64,
    /// The round trip to the callee's side, in microseconds, when its RTCP told.
    pub round_trip_us: Option<u64>,
    /// Whether audio seems to have gone one way only.
    pub one_way: Option<OneWay>,
}

/// Which way audio seems to have been missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OneWay {
    /// Nothing came from the callee: a firewall or NAT on the way to this server, most likely.
    CalleeNotHeard,
    /// The callee's side reports that nothing came from us.
    CalleeHearsNothing,
}

impl OneWay {
    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CalleeNotHeard => "callee_not_heard",
            Self::CalleeHearsNothing => "callee_hears_nothing",
        }
    }
}

impl MediaQuality {
    /// Lost packets from the callee per hundred that were sent by it; 0 when none were.
    pub fn loss_percent(&self) -> f64 {
        percent(self.packets_lost, self.packets_received.saturating_add(self.packets_lost))
    }

    /// Lost packets to the callee, as its side reports, per hundred sent; 0 when none were.
    pub fn remote_loss_percent(&self) -> f64 {
        percent(self.remote_packets_lost, self.packets_sent)
    }
}

/// To two decimals; 100 at most.
fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    let hundredths = u128::from(part.min(whole)) * 10_000 / u128::from(whole);
    u32::try_from(hundredths).map_or(100.0, |hundredths| f64::from(hundredths) / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_have_two_decimals() {
        let check = |received, lost, expect: f64| {
            let media = MediaQuality {
                packets_received: received,
                packets_lost: lost,
                ..Default::default()
            };
            assert_eq!(media.loss_percent(), expect, "{received} {lost}");
        };
        check(0, 0, 0.0);
        check(1000, 0, 0.0);
        check(999, 1, 0.1);
        check(2, 1, 33.33);
        check(0, 5, 100.0);
        check(u64::MAX, u64::MAX, 100.0);
        let sent = MediaQuality { packets_sent: 3, remote_packets_lost: 9, ..Default::default() };
        assert_eq!(sent.remote_loss_percent(), 100.0);
    }
}
