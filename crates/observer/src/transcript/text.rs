//! From what a stream carried to what was said.

use serde_json::{Map, Value};

/// The longest line, in bytes.
pub(crate) const MAX_TEXT: usize = 64 * 1024;

/// Appends as much as a line may hold; `false` when something was cut off.
pub(super) fn append(text: &mut String, more: &str) -> bool {
    let room = MAX_TEXT.saturating_sub(text.len());
    let end = more.floor_char_boundary(room);
    text.push_str(&more[..end]);
    end == more.len()
}

/// What was said: the text itself, or the texts of the timed words that an agent with the option
/// `json_format` sends, one JSON object a line. Trimmed.
/// Source: livekit-agents 1.8, `voice/room_io/_output.py`; livekit/protocol, `TimedString`.
pub(super) fn spoken(raw: &str) -> String {
    let words = timed_words(raw);
    words.as_deref().unwrap_or(raw).trim().to_owned()
}

/// The texts of timed words; `None` when the text is an ordinary one.
fn timed_words(raw: &str) -> Option<String> {
    let mut said = String::new();
    let mut lines = raw.lines().filter(|line| !line.trim().is_empty()).peekable();
    lines.peek()?;
    while let Some(line) = lines.next() {
        match timed_word(line) {
            Some(word) => said.push_str(&word),
            // The last line may have been cut off.
            None if lines.peek().is_none() && !said.is_empty() => break,
            None => return None,
        }
    }
    Some(said)
}

fn timed_word(line: &str) -> Option<String> {
    const FIELDS: [&str; 6] =
        ["text", "start_time", "end_time", "confidence", "start_time_offset", "speaker_id"];
    if !line.starts_with('{') {
        return None;
    }
    let mut word: Map<String, Value> = serde_json::from_str(line).ok()?;
    if !word.keys().all(|key| FIELDS.contains(&key.as_str())) {
        return None;
    }
    match word.remove("text") {
        Some(Value::String(text)) => Some(text),
        // Protobuf's JSON leaves out what is empty.
        None if !word.is_empty() => Some(String::new()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_and_timed() {
        for (raw, expect) in [
            ("", ""),
            ("  Hello there. \n", "Hello there."),
            ("{not json}", "{not json}"),
            ("{\"a\": 1}", "{\"a\": 1}"),
            ("{}", "{}"),
            ("{\"text\": 5}", "{\"text\": 5}"),
            (
                "{\"text\": \"Hello \", \"start_time\": 0.1}\n{\"text\": \"there.\"}\n",
                "Hello there.",
            ),
            ("{\"text\": \"Hello\"}\n{\"end_time\": 2.5}\n", "Hello"),
            ("{\"text\": \"Hello \"}\n{\"text\": \"the", "Hello"),
            (
                "{\"text\": \"Hello\"}\nplain\n{\"text\": \"x\"}",
                "{\"text\": \"Hello\"}\nplain\n{\"text\": \"x\"}",
            ),
        ] {
            assert_eq!(spoken(raw), expect, "{raw:?}");
        }
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let mut text = "x".repeat(MAX_TEXT - 1);
        assert!(!append(&mut text, "äb"));
        assert_eq!(text.len(), MAX_TEXT - 1);
        assert!(append(&mut text, "b"));
        assert!(!append(&mut text, "c"));
        assert_eq!(text.len(), MAX_TEXT);
    }
}
