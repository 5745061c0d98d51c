//! `sealpost counters --watch` on a terminal: each series with its value, its rate and the last
//! minute as a line of blocks, drawn over the last picture.

use std::collections::{BTreeMap, VecDeque};
use std::env;
use std::fmt::Write as _;
use std::io::IsTerminal;

use jiff::Timestamp;

use crate::cli::exposition::Sample;
use crate::observe::text;

/// Looks remembered of each series: a minute.
const LOOKS: usize = 60;
/// Series remembered; a server with more secure domains has more zeros than news.
const SERIES_MAX: usize = 5_000;
/// Columns of the line of blocks: half a minute, or a fifth of a narrow window.
const SPARKS_MAX: usize = 30;
const VALUE_WIDTH: usize = 12;
const RATE_WIDTH: usize = 10;
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const ASCII_BLOCKS: [char; 8] = ['_', '.', ':', '-', '=', '+', '*', '#'];

/// How the picture may look.
#[derive(Clone, Copy, Debug)]
pub struct Canvas {
    pub columns: usize,
    pub rows: usize,
    pub colour: bool,
    /// The terminal shows more than ASCII.
    pub unicode: bool,
}

/// What was seen so far.
#[derive(Debug, Default)]
pub struct Watch {
    courses: BTreeMap<String, Course>,
}

#[derive(Debug)]
struct Course {
    values: VecDeque<f64>,
}

impl Canvas {
    /// Of standard output; `None` where nothing can be drawn on it.
    pub fn of_stdout() -> Option<Self> {
        let out = std::io::stdout();
        let is_dumb = env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        if !out.is_terminal() || is_dumb {
            return None;
        }
        let size = rustix::termios::tcgetwinsize(&out).ok();
        let (columns, rows) = size.map_or((80, 24), |size| (size.ws_col.into(), size.ws_row.into()));
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .into_iter()
            .find_map(|name| env::var(name).ok().filter(|value| !value.is_empty()));
        let utf8 = |locale: String| {
            let locale = locale.to_ascii_lowercase();
            locale.contains("utf-8") || locale.contains("utf8")
        };
        Some(Self {
            columns: if columns == 0 { 80 } else { columns },
            rows: if rows == 0 { 24 } else { rows },
            colour: env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
            unicode: locale.is_some_and(utf8),
        })
    }
}

impl Canvas {
    fn sparks(self) -> usize {
        SPARKS_MAX.min(self.columns / 5)
    }
}

impl Watch {
    /// Takes note of a look.
    pub fn note(&mut self, samples: &[Sample]) {
        let mut seen = BTreeMap::new();
        for sample in samples.iter().take(SERIES_MAX) {
            let series = sample.series();
            let mut values = self.courses.remove(&series).map_or_else(VecDeque::new, |course| course.values);
            // A counter that went back is one of a server that was started anew.
            if values.back().is_some_and(|last| is_counter(&sample.name) && sample.value < *last) {
                values.clear();
            }
            if values.len() > LOOKS {
                values.pop_front();
            }
            values.push_back(sample.value);
            seen.insert(series, Course { values });
        }
        self.courses = seen;
    }

    /// The picture of the last look.
    pub fn draw(&self, samples: &[Sample], title: &str, canvas: Canvas, all: bool) -> String {
        let mut lines = vec![paint(&text::escape(title), Tone::Head, canvas), String::new()];
        lines.extend(latencies(self, samples).into_iter().map(|line| paint(&line, Tone::Plain, canvas)));
        let sparks = canvas.sparks();
        let head =
            format!("{:>VALUE_WIDTH$} {:>RATE_WIDTH$}  {:<sparks$}  series", "value", "a second", "lately");
        lines.push(paint(&cut(&head, canvas.columns), Tone::Quiet, canvas));
        let wanted = |sample: &&Sample| {
            all || (sample.value != 0.0
                && !["_bucket", "_sum", "_count"].iter().any(|end| sample.name.ends_with(end)))
        };
        let shown: Vec<&Sample> = samples.iter().filter(wanted).collect();
        let room = canvas.rows.saturating_sub(lines.len() + 2).max(1);
        let now = Timestamp::now().as_second() as f64;
        for sample in shown.iter().take(room) {
            lines.push(self.line(sample, canvas, now));
        }
        if shown.is_empty() {
            lines.push("all counters are 0 (--all shows them)".to_owned());
        }
        if shown.len() > room {
            let more = format!("{} more; a taller window shows them", shown.len() - room);
            lines.push(paint(&more, Tone::Quiet, canvas));
        }
        // Home, each line to its end, then what is left of the last picture.
        let mut picture = String::from("\u{1b}[H");
        for line in lines {
            // Writing to a String cannot fail.
            let _ = writeln!(picture, "{line}\u{1b}[K");
        }
        picture + "\u{1b}[J"
    }

    fn line(&self, sample: &Sample, canvas: Canvas, now: f64) -> String {
        let series = sample.series();
        let values = self.courses.get(&series).map(|course| &course.values);
        let counter = is_counter(&sample.name);
        let steps: Vec<f64> = match values {
            Some(values) if counter => values.iter().zip(values.iter().skip(1)).map(|(a, b)| b - a).collect(),
            Some(values) => values.iter().copied().collect(),
            None => Vec::new(),
        };
        let rate = steps.last().copied().filter(|rate| counter && *rate > 0.0);
        let rate_text = rate.map_or(String::new(), |rate| format!("+{}", short(rate)));
        let sparks = sparks(&steps, canvas);
        let room = canvas.columns.saturating_sub(VALUE_WIDTH + RATE_WIDTH + canvas.sparks() + 5);
        let name = cut(&text::escape(&short_name(sample)), room);
        let value = if sample.is_moment() { distance(sample.value, now) } else { short(sample.value) };
        let line = format!("{value:>VALUE_WIDTH$} {rate_text:>RATE_WIDTH$}  {sparks}  {name}");
        let tone = match rate {
            Some(_) if is_trouble(&sample.name) => Tone::Warn,
            Some(_) => Tone::Live,
            None => Tone::Plain,
        };
        paint(&line, tone, canvas)
    }

    /// What was added within the last minute.
    fn added(&self, series: &str) -> f64 {
        let values = self.courses.get(series).map(|course| &course.values);
        values.and_then(|values| Some(values.back()? - values.front()?)).unwrap_or(0.0)
    }
}

/// `accept to durable: half within 2.5 ms, 99 % within 10 ms (120 in the last minute)`.
fn latencies(watch: &Watch, samples: &[Sample]) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, words) in [
        ("sealpost_accept_to_durable_seconds", "accept to durable"),
        ("sealpost_accept_to_delivered_seconds", "accept to delivered"),
    ] {
        let bucket = format!("{name}_bucket");
        let buckets: Vec<(f64, f64)> = samples
            .iter()
            .filter(|sample| sample.name == bucket)
            .filter_map(|sample| {
                let (_, bound) = sample.labels.iter().find(|(label, _)| label == "le")?;
                Some((bound.parse().ok()?, watch.added(&sample.series())))
            })
            .collect();
        let count = buckets.last().map_or(0.0, |(_, count)| *count);
        if count > 0.0 {
            let within = |part: f64| {
                let bound = buckets.iter().find(|(_, below)| *below >= count * part).map(|(bound, _)| *bound);
                bound
                    .filter(|bound| bound.is_finite())
                    .map_or("longer than all bounds".to_owned(), |bound| format!("within {}", span(bound)))
            };
            lines.push(format!(
                "{words}: half {}, 99 % {} ({} in the last minute)",
                within(0.5),
                within(0.99),
                short(count)
            ));
        }
    }
    if !lines.is_empty() {
        lines.push(String::new());
    }
    lines
}

fn span(seconds: f64) -> String {
    match seconds {
        _ if seconds < 1.0 => format!("{} ms", short(seconds * 1000.0)),
        _ if seconds < 120.0 => format!("{} s", short(seconds)),
        _ => format!("{} min", (seconds / 60.0).round()),
    }
}

fn is_counter(name: &str) -> bool {
    ["_total", "_count", "_sum", "_bucket"].iter().any(|end| name.ends_with(end))
}

/// `messages_received Internet`: without what all have in common, and the values of the labels alone,
/// so that a window of 80 columns shows what tells two series apart.
fn short_name(sample: &Sample) -> String {
    let name = sample.name.strip_prefix("sealpost_").unwrap_or(&sample.name);
    let name = name.strip_suffix("_total").unwrap_or(name);
    let labels = sample.labels.iter().map(|(_, value)| format!(" {value}"));
    [name.to_owned()].into_iter().chain(labels).collect()
}

fn is_trouble(name: &str) -> bool {
    ["failures", "refused", "deferred", "bounced", "lost", "limits_reached"]
        .iter()
        .any(|word| name.contains(word))
}

fn short(value: f64) -> String {
    if value.abs() >= 1e12 {
        return format!("{value:.3e}");
    }
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// How far a moment is from now: `in 34 d`, `5 min ago`.
fn distance(moment: f64, now: f64) -> String {
    let away = (moment - now).abs();
    let text = match away {
        _ if moment <= 0.0 => return "never".to_owned(),
        _ if away < 120.0 => format!("{away:.0} s"),
        _ if away < 7200.0 => format!("{:.0} min", (away / 60.0).floor()),
        _ if away < 172_800.0 => format!("{:.0} h", (away / 3600.0).floor()),
        _ => format!("{:.0} d", (away / 86_400.0).floor()),
    };
    if moment >= now { format!("in {text}") } else { format!("{text} ago") }
}

/// The newest at the right end, the highest the tallest; nothing is the lowest block.
fn sparks(steps: &[f64], canvas: Canvas) -> String {
    let blocks = if canvas.unicode { BLOCKS } else { ASCII_BLOCKS };
    let shown = &steps[steps.len().saturating_sub(canvas.sparks())..];
    let highest = shown.iter().copied().fold(0.0, f64::max);
    let block = |step: &f64| {
        let part = if highest > 0.0 { (step / highest).clamp(0.0, 1.0) } else { 0.0 };
        // At most seven, so that it is a place in the array.
        blocks[(part * 7.0).round() as usize]
    };
    let missing = canvas.sparks() - shown.len();
    std::iter::repeat_n(' ', missing).chain(shown.iter().map(block)).collect()
}

fn cut(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.to_owned();
    }
    text.chars().take(columns.saturating_sub(1)).chain(['>']).collect()
}

#[derive(Clone, Copy)]
enum Tone {
    Head,
    Quiet,
    Plain,
    Live,
    Warn,
}

fn paint(text: &str, tone: Tone, canvas: Canvas) -> String {
    let text = cut(text, canvas.columns);
    let code = match tone {
        Tone::Head => "1",
        Tone::Quiet => "2",
        Tone::Live => "32",
        Tone::Warn => "33",
        Tone::Plain => return text,
    };
    if canvas.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::exposition::parse;

    const CANVAS: Canvas = Canvas { columns: 100, rows: 24, colour: false, unicode: true };

    fn watch(looks: &[&str]) -> (Watch, Vec<Sample>) {
        let mut watch = Watch::default();
        let mut last = Vec::new();
        for look in looks {
            last = parse(look);
            watch.note(&last);
        }
        (watch, last)
    }

    fn lines(picture: &str) -> Vec<String> {
        picture.replace("\u{1b}[K", "").lines().map(|line| line.trim_end().to_owned()).collect()
    }

    #[test]
    fn a_counter_has_its_rate_and_its_course() {
        let (watch, last) =
            watch(&["a_total 1\n", "a_total 5\n", "a_total 5\n", "a_total 7\nb{c=\"x\"} 3\n"]);
        let picture = lines(&watch.draw(&last, "Sealpost", CANVAS, false));
        assert_eq!(picture[3], format!("{:>12} {:>10}  {:>20}  a", "7", "+2", "█▁▅"));
        assert_eq!(picture[4], format!("{:>12} {:>10}  {:>20}  b x", "3", "", "█"));
        let ascii = Canvas { unicode: false, colour: true, ..CANVAS };
        let picture = watch.draw(&last, "Sealpost", ascii, false);
        assert!(picture.contains("\u{1b}[32m") && picture.contains("#_="), "{picture}");
    }

    #[test]
    fn the_picture_fits_its_window() {
        let text: String = (0..50).map(|n| format!("series_with_a_long_name_{n}_total 1\n")).collect();
        let (watch, last) = watch(&[&text]);
        let narrow = Canvas { columns: 60, rows: 10, ..CANVAS };
        let picture = lines(&watch.draw(&last, &"title ".repeat(30), narrow, false));
        assert!(picture.len() <= 10, "{picture:#?}");
        assert!(
            picture.iter().all(|line| line.trim_start_matches("\u{1b}[H").chars().count() <= 60),
            "{picture:#?}"
        );
        assert!(picture.iter().any(|line| line.contains("45 more")), "{picture:#?}");
    }

    #[test]
    fn latencies_are_those_of_the_last_minute() {
        let name = "sealpost_accept_to_durable_seconds";
        let look = |a, b, c| {
            format!(
                "{name}_bucket{{le=\"0.005\"}} {a}\n{name}_bucket{{le=\"0.1\"}} {b}\n{name}_bucket{{le=\"+Inf\"}} {c}\n"
            )
        };
        let (watch, last) = watch(&[&look(50, 50, 50), &look(59, 60, 60)]);
        assert_eq!(
            latencies(&watch, &last)[0],
            "accept to durable: half within 5 ms, 99 % within 100 ms (10 in the last minute)"
        );
    }

    #[test]
    fn moments_are_told_by_their_distance() {
        for (moment, text) in [
            (1e9 + 34.5 * 86_400.0, "in 34 d"),
            (1e9 + 7300.0, "in 2 h"),
            (1e9 - 300.0, "5 min ago"),
            (1e9 + 3.0, "in 3 s"),
            (0.0, "never"),
        ] {
            assert_eq!(distance(moment, 1e9), text);
        }
        let (watch, last) = watch(&["c_expiry_timestamp_seconds 1000\nb_sum 0.06099999999999999\n"]);
        let picture = watch.draw(&last, "Sealpost", CANVAS, true);
        assert!(picture.contains(" d ago ") && picture.contains(" 0.061 "), "{picture}");
    }

    #[test]
    fn a_server_that_was_started_anew_has_no_negative_rate() {
        let (watch, last) = watch(&["a_total 100\n", "a_total 2\n"]);
        let picture = watch.draw(&last, "Sealpost", CANVAS, false);
        assert!(!picture.contains('-'), "{picture}");
    }

    #[test]
    fn what_others_named_cannot_steer_the_terminal() {
        let (watch, last) = watch(&["a{subject=\"\u{1b}[2Jx\"} 1\n"]);
        assert!(!watch.draw(&last, "Sealpost", CANVAS, false).contains("\u{1b}[2J"));
    }
}
