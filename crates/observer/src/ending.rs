//! When the transcript of a call is over. Pure.

use std::time::Duration;

use outdial_domain::TranscriptStatus;
use tokio::time::Instant;

/// After the leg's end an agent still tells what it said and heard. Nothing came for so long: it
/// told all.
const QUIET: Duration = Duration::from_millis(500);

/// What an agent told before it left may arrive behind the news that it left.
const IN_FLIGHT: Duration = Duration::from_millis(350);

/// It had time enough. The end is promised within 2 s of the leg's.
const LONGEST: Duration = Duration::from_millis(1_800);

/// What decides about the end of a transcript.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ending {
    /// When the leg ended.
    pub(crate) leg: Option<Instant>,
    /// When the last agent left, unless another came.
    pub(crate) agent_left: Option<Instant>,
    /// When something of a transcript last came.
    pub(crate) heard: Option<Instant>,
    /// Words may be missing.
    pub(crate) is_partial: bool,
}

impl Ending {
    /// When nothing more is waited for; `None` while the leg goes on. `is_open`: something is still
    /// being told.
    pub(crate) fn due(&self, is_open: bool) -> Option<Instant> {
        let leg = self.leg?;
        let last = leg + LONGEST;
        let heard = self.heard.map_or(leg, |heard| heard.max(leg));
        let early = match self.agent_left {
            Some(left) => left.max(heard) + IN_FLIGHT,
            None if is_open => last,
            None => heard + QUIET,
        };
        Some(early.min(last))
    }

    /// What the transcript is.
    pub(crate) fn status(&self, is_lost: bool) -> TranscriptStatus {
        if self.is_partial || is_lost {
            TranscriptStatus::Partial
        } else {
            TranscriptStatus::Complete
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_a_transcript_is_over() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let check = |leg, left, heard, is_open, expect: Option<u64>| {
            let ending = Ending {
                leg: Option::map(leg, at),
                agent_left: Option::map(left, at),
                heard: Option::map(heard, at),
                is_partial: false,
            };
            assert_eq!(ending.due(is_open), expect.map(at), "{leg:?} {left:?} {heard:?} {is_open}");
        };
        // The call goes on, with or without an agent.
        check(None, None, Some(10), true, None);
        check(None, Some(10), None, false, None);
        // Quiet since the end, or since the last word.
        check(Some(1_000), None, None, false, Some(1_500));
        check(Some(1_000), None, Some(400), false, Some(1_500));
        check(Some(1_000), None, Some(1_200), false, Some(1_700));
        check(Some(1_000), None, Some(2_700), false, Some(2_800));
        // Someone's words are still being told.
        check(Some(1_000), None, Some(1_200), true, Some(2_800));
        // Nobody is there to tell anything.
        check(Some(1_000), Some(200), None, true, Some(1_350));
        check(Some(1_000), Some(1_100), Some(900), true, Some(1_450));
        check(Some(1_000), Some(1_100), Some(1_110), false, Some(1_460));
        check(Some(1_000), Some(2_790), Some(900), true, Some(2_800));
    }
}
