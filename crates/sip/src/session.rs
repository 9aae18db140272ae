//! Session timers (RFC 4028): who refreshes, and when.

use std::time::Duration;

/// Longer ones are of no use to us.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// What a Session-Expires header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SessionExpires {
    pub(crate) after: Duration,
    pub(crate) refresher: Option<Refresher>,
}

/// By the roles in the transaction that carries the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refresher {
    Uac,
    Uas,
}

impl SessionExpires {
    /// Reads the value of a Session-Expires header.
    pub(crate) fn parse(value: &str) -> Option<Self> {
        let mut parts = value.split(';');
        let seconds: u32 = parts.next()?.trim().parse().ok()?;
        let refresher = parts.find_map(|part| {
            let (name, value) = part.split_once('=')?;
            if !name.trim().eq_ignore_ascii_case("refresher") {
                None
            } else if value.trim().eq_ignore_ascii_case("uac") {
                Some(Refresher::Uac)
            } else if value.trim().eq_ignore_ascii_case("uas") {
                Some(Refresher::Uas)
            } else {
                None
            }
        });
        Some(Self { after: Duration::from_secs(seconds.into()).min(LONGEST), refresher })
    }

    /// The value of the header, with the refresher by the roles of its transaction.
    pub(crate) fn header(after: Duration, refresher: Refresher) -> String {
        let who = match refresher {
            Refresher::Uac => "uac",
            Refresher::Uas => "uas",
        };
        format!("{};refresher={who}", after.as_secs())
    }
}

/// What we have to do about the session timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Duty {
    /// Refresh after half of the interval.
    Refresh { every: Duration },
    /// The peer refreshes; end the call when it does not.
    Watch { expires: Duration },
}

impl Duty {
    /// From a 2xx to a request of ours. `least` guards against a peer that wants refreshes all the time.
    pub(crate) fn from_response(header: &str, least: Duration) -> Option<Self> {
        let session = SessionExpires::parse(header)?;
        let after = session.after.max(least);
        match session.refresher? {
            Refresher::Uac => Some(Self::Refresh { every: after }),
            Refresher::Uas => Some(Self::Watch { expires: after }),
        }
    }

    /// When there is something to do.
    pub(crate) fn due(self) -> Duration {
        match self {
            Self::Refresh { every } => every / 2,
            Self::Watch { expires } => expires,
        }
    }
}

/// What a request of the peer says about the session timer, and what our 200 says to it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Nothing: the session has no timer.
    Nothing,
    /// Shorter than we take: 422 with Min-SE.
    TooShort,
    /// The header of our 200, and what we do from now on.
    Granted { header: String, duty: Duty },
}

impl Asked {
    /// From the Session-Expires header of a request of the peer.
    pub(crate) fn of(header: Option<&str>, least: Duration) -> Self {
        let Some(session) = header.and_then(SessionExpires::parse) else { return Self::Nothing };
        if session.after < least {
            return Self::TooShort;
        }
        // Who asked and did not say otherwise goes on asking.
        let refresher = session.refresher.unwrap_or(Refresher::Uac);
        let duty = match refresher {
            Refresher::Uac => Duty::Watch { expires: session.after },
            Refresher::Uas => Duty::Refresh { every: session.after },
        };
        Self::Granted { header: SessionExpires::header(session.after, refresher), duty }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: Duration = Duration::from_secs(90);

    #[test]
    fn headers_are_read_and_written() {
        let check = |text: &str, expect: Option<(u64, Option<Refresher>)>| {
            let read = SessionExpires::parse(text).map(|s| (s.after.as_secs(), s.refresher));
            assert_eq!(read, expect, "{text}");
        };
        check("1800", Some((1800, None)));
        check(" 1800 ; refresher = UAC ", Some((1800, Some(Refresher::Uac))));
        check("90;foo;refresher=uas;x=y", Some((90, Some(Refresher::Uas))));
        check("90;refresher=proxy", Some((90, None)));
        check("4294967295;refresher=uas", Some((86_400, Some(Refresher::Uas))));
        check("4294967296", None);
        check("-1", None);
        check("", None);
        assert_eq!(
            SessionExpires::header(Duration::from_secs(5), Refresher::Uas),
            "5;refresher=uas"
        );
    }

    #[test]
    fn who_refreshes() {
        let s = Duration::from_secs;
        assert_eq!(
            Duty::from_response("1800;refresher=uac", LEAST),
            Some(Duty::Refresh { every: s(1800) })
        );
        assert_eq!(
            Duty::from_response("1;refresher=uac", LEAST),
            Some(Duty::Refresh { every: s(90) })
        );
        assert_eq!(
            Duty::from_response("1800;refresher=uas", LEAST),
            Some(Duty::Watch { expires: s(1800) })
        );
        assert_eq!(Duty::from_response("1800", LEAST), None);
        assert_eq!(Duty::Refresh { every: s(90) }.due(), s(45));
        assert_eq!(Asked::of(None, LEAST), Asked::Nothing);
        assert_eq!(Asked::of(Some("60;refresher=uac"), LEAST), Asked::TooShort);
        assert_eq!(
            Asked::of(Some("120"), LEAST),
            Asked::Granted {
                header: "120;refresher=uac".to_owned(),
                duty: Duty::Watch { expires: s(120) }
            }
        );
        assert_eq!(
            Asked::of(Some("120;refresher=uas"), LEAST),
            Asked::Granted {
                header: "120;refresher=uas".to_owned(),
                duty: Duty::Refresh { every: s(120) }
            }
        );
    }

    #[test]
    fn any_header() {
        bolero::check!().with_type::<String>().for_each(|text| {
            if let Some(read) = SessionExpires::parse(text) {
                assert!(read.after <= LONGEST);
            }
            let _ = Asked::of(Some(text), LEAST);
        });
    }
}
