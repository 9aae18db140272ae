//! What a person sees of the demo.

use std::io::{self, Write};
use std::time::{Duration, Instant};

const WIDTH: usize = 96;
const LABEL: usize = 11;
/// Where the text of an event begins: two spaces, the time, two spaces, the label.
const INDENT: usize = 2 + 7 + 2 + LABEL;

/// A colour, as its SGR code (ECMA-48, section 8.3.117).
#[derive(Debug, Clone, Copy)]
enum Colour {
    Bold = 1,
    Dim = 2,
    Red = 31,
    Green = 32,
    Yellow = 33,
    Blue = 34,
    Magenta = 35,
}

/// Writes headings, facts and timed events in aligned columns.
pub(super) struct View<W> {
    out: W,
    colours: bool,
    began: Instant,
}

impl<W: Write> View<W> {
    pub(super) fn new(out: W, colours: bool) -> Self {
        Self { out, colours, began: Instant::now() }
    }

    /// From now on event times count.
    pub(super) fn begin(&mut self) {
        self.began = Instant::now();
    }

    pub(super) fn heading(&mut self, text: &str) -> io::Result<()> {
        let text = self.paint(Colour::Bold, text);
        writeln!(self.out, "\n{text}\n")?;
        self.out.flush()
    }

    pub(super) fn text(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{text}")?;
        self.out.flush()
    }

    /// A label and what it stands for.
    pub(super) fn fact(&mut self, label: &str, text: &str) -> io::Result<()> {
        let label = self.paint(Colour::Dim, &format!("{label:LABEL$}"));
        writeln!(self.out, "  {label}{text}")?;
        self.out.flush()
    }

    /// Something that happens now.
    pub(super) fn event(&mut self, label: &str, text: &str) -> io::Result<()> {
        self.event_at(self.began.elapsed(), label, text)
    }

    fn event_at(&mut self, at: Duration, label: &str, text: &str) -> io::Result<()> {
        let colour = match label {
            "agent" => Colour::Green,
            "user" => Colour::Yellow,
            "webhook" => Colour::Magenta,
            _ => Colour::Blue,
        };
        let time = self.paint(Colour::Dim, &format!("{:>5.2} s", at.as_secs_f64()));
        let label = self.paint(colour, &format!("{label:LABEL$}"));
        let lines = wrap(text, WIDTH - INDENT).join(&format!("\n{}", " ".repeat(INDENT)));
        writeln!(self.out, "  {time}  {label}{lines}")?;
        self.out.flush()
    }

    /// JSON with line breaks, its keys in the order in which they came.
    pub(super) fn json(&mut self, text: &str) -> io::Result<()> {
        for line in indented(text).lines() {
            writeln!(self.out, "  {line}")?;
        }
        self.out.flush()
    }

    /// A check, and why it failed if it did.
    pub(super) fn check(&mut self, what: &str, failure: Option<&str>) -> io::Result<()> {
        match failure {
            None => {
                let mark = self.paint(Colour::Green, "ok      ");
                writeln!(self.out, "  {mark}{what}")
            }
            Some(why) => {
                let mark = self.paint(Colour::Red, "failed  ");
                writeln!(self.out, "  {mark}{what}: {why}")
            }
        }?;
        self.out.flush()
    }

    fn paint(&self, colour: Colour, text: &str) -> String {
        match self.colours {
            true => format!("\x1b[{}m{text}\x1b[0m", colour as u8),
            false => text.to_owned(),
        }
    }
}

/// Lines of at most `width` characters, broken between words.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let used = lines.last().map_or(0, |line| line.chars().count());
        if used > 0 && used + 1 + word.chars().count() > width {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

/// Compact JSON with line breaks and indents.
fn indented(compact: &str) -> String {
    let (mut text, mut depth, mut quoted, mut escaped) = (String::new(), 0_usize, false, false);
    let line = |depth: usize| format!("\n{}", "  ".repeat(depth));
    let mut characters = compact.chars().peekable();
    while let Some(c) = characters.next() {
        let ends = matches!(characters.peek(), Some('}' | ']'));
        match c {
            _ if quoted => text.push(c),
            '{' | '[' => {
                depth += 1;
                text.push(c);
                if !ends {
                    text += &line(depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                if !text.ends_with(['{', '[']) {
                    text += &line(depth);
                }
                text.push(c);
            }
            ',' => text += &format!(",{}", line(depth)),
            ':' => text += ": ",
            _ => text.push(c),
        }
        quoted ^= c == '"' && !escaped;
        escaped = quoted && c == '\\' && !escaped;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(colours: bool, show: impl Fn(&mut View<&mut Vec<u8>>)) -> String {
        let mut out = Vec::new();
        show(&mut View::new(&mut out, colours));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn columns_are_aligned_and_long_lines_broken() {
        let text = shown(false, |view| {
            view.event_at(Duration::from_millis(340), "status", "ringing").unwrap();
            let words = "word ".repeat(20);
            view.event_at(Duration::from_millis(12_345), "agent", &words).unwrap();
            view.check("all is well", None).unwrap();
            view.check("the rest", Some("is not")).unwrap();
        });
        let words = |count| vec!["word"; count].join(" ");
        let expect = [
            "   0.34 s  status     ringing",
            &format!("  12.35 s  agent      {}", words(15)),
            &format!("                      {}", words(5)),
            "  ok      all is well",
            "  failed  the rest: is not\n",
        ]
        .join("\n");
        assert_eq!(text, expect);
    }

    #[test]
    fn json_keeps_its_order() {
        let compact = r#"{"b":[1,{"a":"x: \"{,\\"}],"a":{},"c":[]}"#;
        let text = indented(compact);
        let expect = "{\n  \"b\": [\n    1,\n    {\n      \"a\": \"x: \\\"{,\\\\\"\n    }\n  ],\n  \
                      \"a\": {},\n  \"c\": []\n}";
        assert_eq!(text, expect);
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(read(&text), read(compact));
    }

    #[test]
    fn colours_are_for_those_who_want_them() {
        let status = |view: &mut View<&mut Vec<u8>>| view.fact("server", "here").unwrap();
        assert!(shown(true, status).contains('\x1b'));
        assert!(!shown(false, status).contains('\x1b'));
    }
}
