//! Small readings and corrections of SDP and ICE text that str0m leaves to its user.

use crate::options::AudioCodec;
use str0m::Candidate;

/// Moves the payload type of `codec` to the front of the m-line that carries track `cid`: the
/// server registers a published track under the first codec of its m-line.
pub(crate) fn prefer_codec(sdp: &str, cid: &str, codec: AudioCodec) -> String {
    let mut sections: Vec<String> = Vec::new();
    for line in sdp.split_inclusive("\r\n") {
        if line.starts_with("m=") || sections.is_empty() {
            sections.push(String::new());
        }
        if let Some(section) = sections.last_mut() {
            section.push_str(line);
        }
    }
    for section in &mut sections {
        if carries(section, cid)
            && let Some(payload_type) = payload_type(section, codec)
        {
            *section = with_first(section, &payload_type);
        }
    }
    sections.concat()
}

fn carries(section: &str, cid: &str) -> bool {
    section.lines().any(|line| {
        line.strip_prefix("a=msid:").is_some_and(|ids| ids.split(' ').nth(1) == Some(cid))
    })
}

fn payload_type(section: &str, codec: AudioCodec) -> Option<String> {
    let name = match codec {
        AudioCodec::Opus => "opus/48000",
        AudioCodec::Pcmu => "pcmu/8000",
        AudioCodec::Pcma => "pcma/8000",
    };
    section.lines().find_map(|line| {
        let (payload_type, encoding) = line.strip_prefix("a=rtpmap:")?.split_once(' ')?;
        encoding.to_ascii_lowercase().starts_with(name).then(|| payload_type.to_owned())
    })
}

fn with_first(section: &str, payload_type: &str) -> String {
    let Some((media, rest)) = section.split_once("\r\n") else { return section.to_owned() };
    let fields: Vec<&str> = media.split(' ').collect();
    // m=audio 9 UDP/TLS/RTP/SAVPF 111 0 8
    let Some((head, types)) = fields.split_at_checked(3) else { return section.to_owned() };
    let mut line = head.join(" ");
    for field in
        std::iter::once(payload_type).chain(types.iter().copied().filter(|t| *t != payload_type))
    {
        line.push(' ');
        line.push_str(field);
    }
    format!("{line}\r\n{rest}")
}

/// Reads the candidate of a trickle message. `None`: not UDP, or damaged.
pub(crate) fn candidate(init: &str) -> Option<Candidate> {
    let init: serde_json::Value = serde_json::from_str(init).ok()?;
    let text = init.get("candidate")?.as_str()?;
    // str0m would accept TCP candidates, but there are no TCP sockets here
    if !text.to_ascii_lowercase().contains(" udp ") {
        return None;
    }
    Candidate::from_sdp_string(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SDP: &str = "v=0\r\ns=-\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111 0 8\r\na=mid:a\r\n\
        a=rtpmap:111 opus/48000/2\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
        a=msid:PA_1 cid-1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111 0 8\r\na=mid:b\r\n\
        a=rtpmap:111 opus/48000/2\r\na=rtpmap:0 PCMU/8000\r\na=recvonly\r\n";

    #[test]
    fn prefers_the_codec_in_the_section_of_the_track_only() {
        let out = prefer_codec(SDP, "cid-1", AudioCodec::Pcma);
        let media: Vec<&str> = out.lines().filter(|l| l.starts_with("m=")).collect();
        assert_eq!(
            media,
            ["m=audio 9 UDP/TLS/RTP/SAVPF 8 111 0", "m=audio 9 UDP/TLS/RTP/SAVPF 111 0 8"]
        );
        assert_eq!(out.len(), SDP.len());
    }

    #[test]
    fn leaves_other_sdp_alone() {
        assert_eq!(prefer_codec(SDP, "cid-2", AudioCodec::Pcma), SDP);
        assert_eq!(prefer_codec("", "x", AudioCodec::Opus), "");
        assert_eq!(prefer_codec("m=\r\na=msid:a b", "b", AudioCodec::Opus), "m=\r\na=msid:a b");
    }

    #[test]
    fn reads_udp_candidates_only() {
        let udp = r#"{"candidate":"candidate:1 1 udp 2130706431 127.0.0.1 7882 typ host"}"#;
        let tcp = r#"{"candidate":"candidate:1 1 tcp 1671430143 127.0.0.1 7881 typ host tcptype passive"}"#;
        assert!(candidate(udp).is_some());
        assert!(candidate(tcp).is_none());
        for bad in ["", "{}", "[]", r#"{"candidate":7}"#, r#"{"candidate":"x udp y"}"#] {
            assert!(candidate(bad).is_none(), "{bad}");
        }
    }
}
