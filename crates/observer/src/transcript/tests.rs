use super::*;

/// Plays streams to a collector and keeps the lines.
pub(super) struct Player {
    pub(super) collector: Collector,
    pub(super) now: Moment,
    start: Moment,
    lines: Vec<TranscriptLine>,
    /// Something was waited for too long.
    pub(super) overtaken: bool,
}

impl Player {
    pub(super) fn new() -> Self {
        let at = DateTime::from_timestamp_millis(1_800_000_000_000).unwrap();
        let now = Moment { at, tick: Instant::now() };
        Self {
            collector: Collector::default(),
            now,
            start: now,
            lines: Vec::new(),
            overtaken: false,
        }
    }

    pub(super) fn at(&mut self, millis: u64) -> &mut Self {
        let now = self.start.after(millis);
        assert!(now.tick >= self.now.tick, "time goes on");
        self.now = now;
        self.take()
    }

    fn take(&mut self) -> &mut Self {
        self.lines.extend(self.collector.take(self.now));
        self.overtaken |= self.collector.open.iter().any(|segment| segment.is_overtaken);
        self
    }

    pub(super) fn open(&mut self, stream: &str, segment: &str, is_final: bool) -> &mut Self {
        let speaker = if segment.starts_with('U') { Speaker::User } else { Speaker::Agent };
        let identity = if speaker == Speaker::User { "phone" } else { "agent" };
        let segment = Some(segment);
        self.collector.open(Header { stream, segment, speaker, identity, is_final }, self.now);
        self.take()
    }

    pub(super) fn text(&mut self, stream: &str, text: &str) -> &mut Self {
        self.collector.append(stream, text);
        self.take()
    }

    pub(super) fn close(&mut self, stream: &str, is_final: bool) -> &mut Self {
        self.collector.close(stream, is_final, self.now);
        self.take()
    }

    /// One guess of what the callee says, as a stream of its own.
    fn guess(&mut self, stream: &str, segment: &str, text: &str, is_final: bool) -> &mut Self {
        self.open(stream, segment, is_final).text(stream, text).close(stream, is_final)
    }

    pub(super) fn voice(&mut self, is_active: bool) -> &mut Self {
        self.collector.voice(is_active, self.now);
        self.take()
    }

    pub(super) fn flush(&mut self) -> &mut Self {
        self.lines.extend(self.collector.flush(self.now));
        assert!(!self.collector.is_open() && self.collector.due().is_none());
        self
    }

    /// The lines since the last look: who, when, what.
    pub(super) fn said(&mut self) -> Vec<(char, i64, String)> {
        let start = self.start.at;
        let lines = self.lines.drain(..).map(|line| {
            let who = if line.speaker == Speaker::User { 'u' } else { 'a' };
            (who, (line.timestamp - start).num_milliseconds(), line.text)
        });
        lines.collect()
    }

    fn says(&mut self, expect: &[(char, i64, &str)]) -> &mut Self {
        let said = self.said();
        let said: Vec<_> = said.iter().map(|(who, at, text)| (*who, *at, text.as_str())).collect();
        assert_eq!(said, expect);
        self
    }
}

#[test]
fn an_agent_speaks_in_one_growing_stream() {
    let mut p = Player::new();
    p.at(10).open("1", "A1", false).text("1", " Hello").at(400).text("1", " there. ");
    p.says(&[]).at(900).close("1", true).says(&[('a', 10, "Hello there.")]);
    assert!(!p.collector.is_lost());
}

#[test]
fn a_callee_speaks_in_streams_of_guesses() {
    let mut p = Player::new();
    p.at(10).guess("1", "U1", "what", false);
    p.at(200).guess("2", "U1", "what is the", false);
    p.says(&[]);
    p.at(500).guess("3", "U1", "What is the time?", true);
    p.says(&[('u', 10, "What is the time?")]);
    // A final one without guesses; final in the trailer only; in pieces.
    p.at(600).guess("4", "U2", "Hm.", true).says(&[('u', 600, "Hm.")]);
    p.at(700).open("5", "U3", false).text("5", "O").text("5", "h.").close("5", true);
    p.says(&[('u', 700, "Oh.")]);
}

#[test]
fn nothing_is_no_line() {
    let mut p = Player::new();
    p.open("1", "A1", false).text("1", " \n").close("1", true);
    p.open("2", "A2", false).close("2", true);
    // The guess is withdrawn.
    p.guess("3", "U1", "uh", false).guess("4", "U1", "", true);
    p.flush().says(&[]);
}

#[test]
fn streams_that_an_agent_does_not_send() {
    let mut p = Player::new();
    p.text("9", "of another topic").close("9", true);
    p.guess("1", "U1", "Yes.", true).says(&[('u', 0, "Yes.")]);
    // The segment is finished: nothing is said twice.
    p.guess("2", "U1", "Yes.", true).guess("3", "U1", "Yes, well.", false).flush().says(&[]);
    assert_eq!(p.collector.ignored(), 2);
    // An id that is taken, and one of any length.
    p.open("4", "A1", false).open("4", "A2", false).text("4", "Hi.").close("4", true);
    p.guess(&"5".repeat(129), "U2", "x", true).guess("6", &"U".repeat(129), "x", true);
    p.flush().says(&[('a', 0, "Hi.")]);
    assert_eq!(p.collector.ignored(), 5);
    assert!(!p.collector.is_lost());
}

#[test]
fn a_stream_without_segment_stands_alone() {
    let mut p = Player::new();
    for (stream, is_final) in [("1", false), ("2", true)] {
        let (speaker, identity) = (Speaker::Agent, "agent");
        p.collector.open(Header { stream, segment: None, speaker, identity, is_final }, p.now);
        p.text(stream, "Hi.").close(stream, false).says(&[('a', 0, "Hi.")]);
    }
}

#[test]
fn a_barge_in_cuts_the_agent_off() {
    let mut p = Player::new();
    p.at(0).open("1", "A1", false).text("1", "Your order");
    p.at(1_000).guess("2", "U1", "stop", false);
    p.at(1_400).guess("3", "U1", "Stop!", true);
    // The callee's line waits for the agent's, which was begun before.
    p.says(&[]).at(1_900).close("1", true);
    p.says(&[('a', 0, "Your order"), ('u', 1_000, "Stop!")]);
}

#[test]
fn no_line_waits_for_ever() {
    let mut p = Player::new();
    p.at(0).open("1", "A1", false).text("1", "A long story");
    p.at(1_000).guess("2", "U1", "Aha.", true);
    assert_eq!(p.collector.due(), Some(p.now.tick + HOLD));
    p.at(5_999).says(&[]).at(6_000).says(&[('u', 1_000, "Aha.")]);
    // Once overtaken, the story holds nothing up any more.
    p.at(7_000).guess("3", "U2", "I see.", true).says(&[('u', 7_000, "I see.")]);
    p.at(8_000).text("1", " ends.").close("1", true).says(&[('a', 0, "A long story ends.")]);
    assert_eq!(p.collector.due(), None);
}

#[test]
fn a_line_takes_those_before_it_along() {
    let mut p = Player::new();
    p.at(0).open("1", "A1", false).text("1", "One");
    p.at(100).open("2", "U1", false).text("2", "two");
    p.at(200).open("3", "A2", false).text("3", "three").close("3", true);
    p.at(4_000).close("2", true).says(&[]);
    p.at(5_200).says(&[('u', 100, "two"), ('a', 200, "three")]);
    p.close("1", true).says(&[('a', 0, "One")]);
}

#[test]
fn an_agent_closes_without_a_final_word() {
    // It is taken for complete after a while, ...
    let mut p = Player::new();
    p.at(0).open("1", "A1", false).text("1", "Well").close("1", false);
    p.at(100).guess("2", "U1", "Yes?", true).says(&[]);
    p.at(2_000).says(&[('a', 0, "Well"), ('u', 100, "Yes?")]);
    // ... or when the agent says something else, ...
    p.at(3_000).open("3", "A2", false).text("3", "So").close("3", false);
    p.at(3_100).open("4", "A3", false).says(&[('a', 3_000, "So")]);
    // ... or it goes on as guesses do.
    p.text("4", "Now").close("4", false);
    p.at(4_000).open("5", "A3", false).says(&[]).text("5", "Now then").close("5", true);
    p.says(&[('a', 3_100, "Now then")]);
}

#[test]
fn guesses_that_are_never_final_are_a_line_when_the_next_begin() {
    let mut p = Player::new();
    p.at(0).guess("1", "U1", "hello", false).at(60_000).says(&[]);
    p.guess("2", "U2", "is", false).says(&[('u', 0, "hello")]);
    p.flush().says(&[('u', 60_000, "is")]);
}

#[test]
fn an_agent_that_left_says_no_more() {
    let mut p = Player::new();
    p.at(0).open("1", "A1", false).text("1", "Good");
    p.guess("2", "U1", "good", false);
    p.collector.agent_left("another", false, p.now);
    assert_eq!(p.collector.due(), None);
    p.collector.agent_left("agent", false, p.now);
    // What was under way still counts.
    p.at(100).text("1", "bye").at(300).says(&[('a', 0, "Goodbye")]);
    p.collector.agent_left("agent", true, p.now);
    p.at(600).says(&[('u', 0, "good")]);
    assert!(!p.collector.is_lost() && !p.collector.is_open());
}

#[test]
fn streams_break_off() {
    let mut p = Player::new();
    p.open("1", "A1", false).text("1", "Good");
    p.collector.fail("1", false, p.now);
    p.at(300).says(&[('a', 0, "Good")]);
    assert!(!p.collector.is_lost());
    p.open("2", "A2", false).text("2", "Bad");
    p.collector.fail("2", true, p.now);
    p.at(600).says(&[('a', 300, "Bad")]);
    assert!(p.collector.is_lost());
}

#[test]
fn at_the_end_all_counts_that_was_heard() {
    let mut p = Player::new();
    p.at(0).open("1", "A1", false).text("1", "Your or");
    p.at(10).guess("2", "U1", "by", false).at(20).guess("3", "U1", "bye", false);
    p.open("4", "U1", true).flush();
    p.says(&[('a', 0, "Your or"), ('u', 10, "bye")]);
    // Late streams of it are not heard again.
    p.text("4", "Bye!").close("4", true).guess("5", "U1", "Bye!", true).flush().says(&[]);
}

#[test]
fn the_voice_tells_when_words_were_begun() {
    let mut p = Player::new();
    p.at(0).voice(true).at(900).guess("1", "U1", "my", false);
    p.at(1_800).guess("2", "U1", "my order", false).at(2_000).voice(false);
    p.at(2_500).guess("3", "U1", "My order.", true).says(&[('u', 0, "My order.")]);
    // No voice was heard.
    p.at(4_000).guess("4", "U2", "Hm.", true).says(&[('u', 4_000, "Hm.")]);
    // Final words alone, long after; a pause is no new beginning.
    p.at(5_000).voice(true).at(6_000).voice(false).at(7_000).voice(true).at(8_000).voice(false);
    p.at(17_000).guess("5", "U3", "Where?", true).says(&[('u', 5_000, "Where?")]);
    // The next sentence is begun before the words of the last one have come.
    p.at(20_000).voice(true).at(20_500).guess("6", "U4", "I", false).at(21_000).voice(false);
    p.at(21_500).voice(true).at(22_000).guess("7", "U4", "I see.", true);
    p.at(23_000).guess("8", "U5", "Good.", true);
    p.says(&[('u', 20_000, "I see."), ('u', 21_500, "Good.")]);
    // Without a pause the next words were begun when they came.
    p.at(24_000).guess("9", "U6", "Bye.", true).says(&[('u', 24_000, "Bye.")]);
}

#[test]
fn a_voice_is_believed_only_when_it_is_plausible() {
    let mut p = Player::new();
    // More than 30 s before, or silent for more than 10 s.
    p.at(0).voice(true).at(30_000).guess("1", "U1", "a", true).says(&[('u', 30_000, "a")]);
    p.at(31_000).voice(false).at(32_000).voice(true).at(33_000).voice(false);
    p.at(43_000).guess("2", "U2", "b", true).says(&[('u', 43_000, "b")]);
    // A cough before.
    p.at(44_000).voice(true).at(44_100).voice(false).at(60_000).voice(true);
    p.at(61_000).guess("3", "U3", "c", true).says(&[('u', 60_000, "c")]);
    // Never before a line that has been given.
    p.at(62_000).voice(false).at(63_000).voice(true).at(63_500);
    p.open("4", "A1", false).text("4", "d").close("4", true);
    p.at(64_000).guess("5", "U4", "e", true).says(&[('a', 63_500, "d"), ('u', 63_500, "e")]);
}

#[test]
fn memory_is_bounded() {
    let mut p = Player::new();
    for i in 0..1_000 {
        p.open(&format!("a{i}"), &format!("A{i}"), false).text(&format!("a{i}"), "x");
    }
    assert_eq!(p.collector.open.len(), MAX_OPEN);
    assert!(p.collector.is_lost() && p.collector.ignored() == 1_000 - MAX_OPEN as u64);
    // Lines behind an open segment wait, but not too many.
    for i in 0..1_000 {
        p.guess(&format!("u{i}"), &format!("U{i}"), "y", true);
    }
    p.collector.close("a31", true, p.now);
    for i in 0..1_000 {
        p.guess(&format!("v{i}"), &format!("UV{i}"), "y", true);
    }
    assert!(p.collector.waiting.len() <= MAX_WAITING + 1);
    assert!(p.collector.finished.len() <= MAX_FINISHED);
    let mut p = Player::new();
    p.open("1", "A1", false);
    for _ in 0..100 {
        p.text("1", &"z".repeat(10_000));
    }
    p.close("1", true);
    assert!(p.collector.is_lost());
    assert_eq!(p.lines[0].text.len(), text::MAX_TEXT);
}

#[test]
fn timed_words() {
    let mut p = Player::new();
    p.open("1", "A1", false);
    p.text("1", "{\"text\": \"Good \", \"start_time\": 0.1}\n{\"text\"").text("1", ": \"day.\"}\n");
    p.close("1", true).says(&[('a', 0, "Good day.")]);
}
