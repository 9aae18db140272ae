//! Who says what, and how long it takes.

use std::time::Duration;

use outdial_domain::{Speaker, TranscriptLine};
use tokio::time::Instant;

pub(crate) const USER_ASKS: &str = "Yes, hello. What is the status of my order?";
pub(crate) const AGENT_ANSWERS: &str = "Your order is on its way and should be with you tomorrow.";
pub(crate) const USER_LEAVES: &str = "Thank you, goodbye.";
pub(crate) const AGENT_LEAVES: &str = "Goodbye, and have a nice day.";
pub(crate) const USER_WAITS: &str = "Are you still there?";
pub(crate) const AGENT_STAYS: &str = "Yes, I am still here.";
/// What the agent says when it was told nothing.
const AGENT_GREETS: &str = "Hello.";

const CHARS_PER_SEC: f64 = 15.0;
/// An instruction can be a page long; nobody says a page in one breath.
const LONGEST: Duration = Duration::from_secs(20);

/// How long a text takes to be said.
pub(crate) fn speaking_time(text: &str) -> Duration {
    let letters = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
    Duration::from_secs_f64(f64::from(letters) / CHARS_PER_SEC).min(LONGEST)
}

/// The first line of an agent that was given `instruction`.
///
/// An instruction such as `Say: "Hello Ann"` or `Greet the customer: hello` holds the words
/// themselves behind a colon; any other is spoken as it is.
pub(crate) fn greeting(instruction: &str) -> &str {
    let text = instruction.trim();
    match quoted_words(text) {
        Some(words) => words,
        None if text.is_empty() => AGENT_GREETS,
        None => text,
    }
}

fn quoted_words(text: &str) -> Option<&str> {
    const VERBS: [&str; 7] = ["say", "greet", "tell", "ask", "start", "begin", "open"];
    let (order, words) = text.split_once(':')?;
    let verb = order.split_whitespace().next()?;
    let ordered = VERBS.iter().any(|v| v.eq_ignore_ascii_case(verb));
    // "Greet Ann. Note: ..." and "Greet Ann at 10:30" are no quotations.
    let one_sentence = !order.contains(['.', '!', '?', '\n']);
    let opens = words.starts_with(|c: char| c.is_whitespace() || "\"'“".contains(c));
    let words = unquoted(words.trim());
    (ordered && one_sentence && opens && !words.is_empty()).then_some(words)
}

fn unquoted(text: &str) -> &str {
    [('"', '"'), ('\'', '\''), ('“', '”')]
        .iter()
        .find_map(|(open, close)| text.strip_prefix(*open)?.strip_suffix(*close))
        .map_or(text, str::trim)
}

/// A line that is being spoken.
#[derive(Debug)]
pub(crate) struct Utterance {
    line: TranscriptLine,
    began: Instant,
    lasts: Duration,
    /// Whether observers have heard it; they hear it once.
    heard: bool,
}

impl Utterance {
    pub(crate) fn new(line: TranscriptLine, lasts: Duration) -> Self {
        Self { line, began: Instant::now(), lasts, heard: false }
    }

    pub(crate) fn speaker(&self) -> Speaker {
        self.line.speaker
    }

    pub(crate) fn text(&self) -> &str {
        &self.line.text
    }

    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    /// For how long it has been spoken until now.
    pub(crate) fn spoken(&self) -> Duration {
        self.began.elapsed().min(self.lasts)
    }

    /// `true` when it is asked for the first time.
    pub(crate) fn hear(&mut self) -> bool {
        !std::mem::replace(&mut self.heard, true)
    }

    /// Ends the line after a share of it, whatever the time says.
    pub(crate) fn cut(&mut self, share: f64) {
        let said = beginning(&self.line.text, share).len();
        self.line.text.truncate(said);
        self.lasts = Duration::ZERO;
    }

    /// What has been said until now; `None` when that is nothing.
    pub(crate) fn so_far(mut self) -> Option<TranscriptLine> {
        let spoken = self.spoken();
        if spoken < self.lasts {
            self.cut(spoken.as_secs_f64() / self.lasts.as_secs_f64());
        }
        (!self.line.text.is_empty()).then_some(self.line)
    }
}

/// The whole words in the first `share` (0 to 1) of a text; letters where there is no whole word.
fn beginning(text: &str, share: f64) -> &str {
    let letters = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
    // A share of a count is a small positive number: the conversion cannot go wrong.
    let keep = (f64::from(letters) * share) as usize;
    let end = text.char_indices().nth(keep).map_or(text.len(), |(i, _)| i);
    let (said, rest) = text.split_at(end);
    if rest.is_empty() || rest.starts_with(char::is_whitespace) {
        return said.trim_end();
    }
    match said.rfind(char::is_whitespace) {
        Some(space) => said[..space].trim_end(),
        None => said,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greetings() {
        let check = |instruction, words| assert_eq!(greeting(instruction), words);
        check("Say: Hello Ann", "Hello Ann");
        check("  say:\n\"Hello: Ann!\" ", "Hello: Ann!");
        check("Greet the customer: hello, how are you?", "hello, how are you?");
        check("Open with: “Hi.”", "Hi.");
        check("Say:'Hi'", "Hi");
        check("Say hello to Ann", "Say hello to Ann");
        check("Greet Ann. Note: be brief", "Greet Ann. Note: be brief");
        check("Greet Ann at 10:30", "Greet Ann at 10:30");
        check("Hello: Ann", "Hello: Ann");
        check("Say:", "Say:");
        check("Say: \"\"", "Say: \"\"");
        check(":", ":");
        check("", "Hello.");
        check(" \n", "Hello.");
    }

    #[test]
    fn beginnings_end_with_a_whole_word() {
        let check =
            |text, share, words| assert_eq!(beginning(text, share), words, "{text} {share}");
        check("one two three", 0.0, "");
        check("one two three", 0.2, "on");
        check("one two three", 0.25, "one");
        check("one two three", 0.5, "one");
        check("one two three", 0.6, "one two");
        check("one two three", 0.99, "one two");
        check("one two three", 1.0, "one two three");
        check("één twéé", 0.5, "één");
        check("日本語日本語", 0.5, "日本語");
        check("", 0.5, "");
    }

    #[test]
    fn speaking_takes_time() {
        assert_eq!(speaking_time("fifteen letters"), Duration::from_secs(1));
        assert_eq!(speaking_time(""), Duration::ZERO);
        assert_eq!(speaking_time(&"a".repeat(100_000)), LONGEST);
    }
}
