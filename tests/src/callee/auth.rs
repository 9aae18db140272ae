//! Digest credentials (RFC 2617, as SIP uses them).

use md5::{Digest, Md5};

use super::message::Message;

/// Who asks for credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Challenge {
    /// The callee: 401.
    Callee,
    /// A proxy on the way: 407.
    Proxy,
}

const REALM: &str = "peer.test";

impl Challenge {
    pub(super) fn status(self) -> (u16, &'static str) {
        match self {
            Self::Callee => (401, "Unauthorized"),
            Self::Proxy => (407, "Proxy Authentication Required"),
        }
    }

    pub(super) fn header(self, nonce: &str) -> (&'static str, String) {
        let name = match self {
            Self::Callee => "WWW-Authenticate",
            Self::Proxy => "Proxy-Authenticate",
        };
        (name, format!(r#"Digest realm="{REALM}", algorithm=MD5, qop="auth", nonce="{nonce}""#))
    }

    /// Whether an INVITE has the right answer.
    pub(super) fn is_met(self, invite: &Message, user: &str, password: &str) -> bool {
        let header = invite.header(match self {
            Self::Callee => "Authorization",
            Self::Proxy => "Proxy-Authorization",
        });
        let Some(fields) = header.strip_prefix("Digest ") else { return false };
        let field = |name: &str| {
            let mut fields = fields.split(',').filter_map(|field| field.trim().split_once('='));
            fields.find(|(key, _)| *key == name).map_or("", |(_, value)| value.trim_matches('"'))
        };
        let who = hash(&[user, REALM, password]);
        let what = hash(&["INVITE", field("uri")]);
        let parts = [&*who, field("nonce"), field("nc"), field("cnonce"), field("qop"), &*what];
        field("username") == user && field("response") == hash(&parts)
    }
}

fn hash(parts: &[&str]) -> String {
    Md5::digest(parts.join(":")).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::hash;

    /// The example of RFC 2617, section 3.5.
    #[test]
    fn the_example_of_the_rfc() {
        let who = hash(&["Mufasa", "testrealm@host.com", "Circle Of Life"]);
        let what = hash(&["GET", "/dir/index.html"]);
        let nonce = "dcd98b7102dd2f0e8b11d0f600bfb0c093";
        let response = hash(&[&who, nonce, "00000001", "0a4f113b", "auth", &what]);
        assert_eq!(response, "6629fae49393a05397450978507c4ef1");
    }
}
