//! Text for a terminal of 80 columns: wrapped at blanks, and safe whatever a stranger wrote.

use std::io::IsTerminal as _;

use crate::observe::text;

const WIDTH: usize = 80;
/// A terminal that says less says nothing.
const NARROWEST: u16 = 40;

/// A page being written.
#[derive(Default)]
pub struct Page {
    text: String,
}

impl Page {
    /// A heading with an empty line before it.
    pub fn heading(&mut self, words: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.line("", "", words);
    }

    /// Words behind a label; further lines stand below the words.
    pub fn row(&mut self, indent: &str, label: &str, words: &str) {
        let start = format!("{indent}{label:<13} ");
        let hanging = " ".repeat(start.chars().count());
        self.line(&start, &hanging, words);
    }

    /// Words below an indent.
    pub fn words(&mut self, indent: &str, words: &str) {
        self.line(indent, indent, words);
    }

    /// One item of a list.
    pub fn item(&mut self, indent: &str, words: &str) {
        self.line(&format!("{indent}- "), &format!("{indent}  "), words);
    }

    /// A line that must stay whole, such as one to copy.
    pub fn verbatim(&mut self, indent: &str, line: &str) {
        self.text.push_str(indent);
        self.text.push_str(&text::escape(line));
        self.text.push('\n');
    }

    pub fn into_text(self) -> String {
        self.text
    }

    fn line(&mut self, indent: &str, hanging: &str, words: &str) {
        for line in wrap(&text::escape(words), indent, hanging) {
            self.text.push_str(line.trim_end());
            self.text.push('\n');
        }
    }
}

/// Columns of the terminal that standard output is; `None` where it is something else, whose lines
/// stay whole.
pub fn terminal_width() -> Option<usize> {
    let out = std::io::stdout();
    out.is_terminal().then(|| match rustix::termios::tcgetwinsize(&out) {
        Ok(size) if size.ws_col >= NARROWEST => size.ws_col.into(),
        Ok(_) | Err(_) => WIDTH,
    })
}

/// One line of `label value`, folded at blanks for so many columns; what does not fit goes on below
/// the value, which begins at column `value_at`, or below the words of an indented line.
pub fn fold(line: &str, value_at: usize, width: usize) -> Vec<String> {
    let indent = line.len() - line.trim_start_matches(' ').len();
    let place = if indent > 0 { indent } else { value_at };
    let (start, words) = line.split_at_checked(place).unwrap_or((line, ""));
    if line.chars().count() <= width || words.is_empty() {
        return vec![line.to_owned()];
    }
    wrap_at(words, start, &" ".repeat(start.chars().count()), width)
}

/// Breaks at blanks, and a word that is too long for a line wherever the line ends. Continuation
/// lines begin with `hanging`.
pub fn wrap(text: &str, indent: &str, hanging: &str) -> Vec<String> {
    wrap_at(text, indent, hanging, WIDTH)
}

fn wrap_at(text: &str, indent: &str, hanging: &str, width: usize) -> Vec<String> {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut lines = Vec::new();
    let mut line = indent.to_owned();
    let mut empty = true;
    for word in text.split_whitespace() {
        let mut word: Vec<char> = word.chars().collect();
        if !empty && line.chars().count() + 1 + word.len() > width {
            lines.push(std::mem::replace(&mut line, hanging.to_owned()));
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        while line.chars().count() + word.len() > width {
            let rest = word.split_off(width - line.chars().count());
            line.extend(std::mem::replace(&mut word, rest));
            lines.push(std::mem::replace(&mut line, hanging.to_owned()));
        }
        line.extend(word);
        empty = false;
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_long_value_goes_on_below_itself() {
        let line = "reason        mx.woodgrove.example answered MAIL with: 550 5.7.1 no";
        let folded = fold(line, 14, 40);
        assert_eq!(
            folded,
            [
                "reason        mx.woodgrove.example",
                "              answered MAIL with: 550",
                "              5.7.1 no"
            ]
        );
        assert_eq!(fold(line, 14, 80), [line]);
        assert_eq!(fold("  < 250 first second", 14, 14), ["  < 250 first", "  second"]);
    }

    #[test]
    fn words_are_kept_together_where_possible() {
        let text = "one two ".repeat(12);
        let lines = wrap(&text, "  ", "    ");
        assert_eq!(lines.len(), 2);
        assert!(lines[1].starts_with("    "));
        let whole = |line: &String| line.split_whitespace().all(|word| matches!(word, "one" | "two"));
        assert!(lines.iter().all(whole), "{lines:?}");
    }

    proptest! {
        #[test]
        fn no_line_is_wider_and_no_letter_is_lost(text in "\\PC{0,40}( [a-z]{0,120}){0,20}") {
            let lines = wrap(&text, "    ", "      ");
            prop_assert!(lines.iter().all(|line| line.chars().count() <= WIDTH));
            let letters = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            prop_assert_eq!(letters(&lines.concat()), letters(&text));
        }
    }
}
