//! Reads what `/metrics` and the control socket print: Prometheus' text exposition, as far as our own
//! server writes it.

/// One value of one series.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub name: String,
    /// In the order of the text.
    pub labels: Vec<(String, String)>,
    pub value: f64,
}

/// Every sample; comments and what is no sample are passed over.
pub fn parse(text: &str) -> Vec<Sample> {
    text.lines().filter(|line| !line.starts_with('#')).filter_map(parse_line).collect()
}

/// The value of the first series of this name that has all these labels.
pub fn value(text: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let mut samples = text.lines().filter(|line| line.starts_with(name)).filter_map(parse_line);
    samples.find(|sample| sample.name == name && sample.has(labels)).map(|sample| sample.value)
}

impl Sample {
    /// `name{label=value,…}`, for people.
    pub fn series(&self) -> String {
        if self.labels.is_empty() {
            return self.name.clone();
        }
        let labels: Vec<String> = self.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        format!("{}{{{}}}", self.name, labels.join(","))
    }

    /// A point in time, in seconds since 1970.
    pub fn is_moment(&self) -> bool {
        self.name.ends_with("_timestamp_seconds")
    }

    fn has(&self, labels: &[(&str, &str)]) -> bool {
        labels.iter().all(|(name, value)| self.labels.iter().any(|(n, v)| n == name && v == value))
    }
}

fn parse_line(line: &str) -> Option<Sample> {
    let (series, value) = line.rsplit_once(' ')?;
    let value = value.parse().ok()?;
    let Some((name, rest)) = series.split_once('{') else {
        return Some(Sample { name: series.to_owned(), labels: Vec::new(), value });
    };
    Some(Sample { name: name.to_owned(), labels: parse_labels(rest.strip_suffix('}')?)?, value })
}

/// `a="x",b="y \"z\""`
fn parse_labels(text: &str) -> Option<Vec<(String, String)>> {
    let mut labels = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (name, quoted) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut chars = quoted.char_indices();
        let end = loop {
            match chars.next()? {
                (_, '\\') => match chars.next()?.1 {
                    'n' => value.push('\n'),
                    c => value.push(c),
                },
                (end, '"') => break end,
                (_, c) => value.push(c),
            }
        };
        labels.push((name.to_owned(), value));
        rest = &quoted[end + 1..];
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    Some(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_read_with_their_labels() {
        let text = "# HELP a A.\n# TYPE a counter\na_total{connector=\"In \\\"x\\\", y\"} 3\n\
                    b_total 0\nc_seconds_bucket{le=\"+Inf\"} 1\nd 2.5\n# EOF\n";
        let samples = parse(text);
        assert_eq!(samples.len(), 4);
        assert_eq!(samples[0].labels, [("connector".to_owned(), "In \"x\", y".to_owned())]);
        assert_eq!(samples[0].series(), "a_total{connector=In \"x\", y}");
        assert_eq!(samples[3].value, 2.5);
    }

    #[test]
    fn a_series_is_found_by_name_and_labels() {
        let text = "# TYPE a_total counter\na_total{domain=\"x.example\",fault=\"Expired\"} 2\na_total{domain=\"y.example\"} 3\nb 1.5\n";
        assert_eq!(value(text, "a_total", &[("domain", "y.example")]), Some(3.0));
        assert_eq!(value(text, "a_total", &[("fault", "Expired"), ("domain", "x.example")]), Some(2.0));
        assert_eq!(value(text, "a_total", &[("domain", "z.example")]), None);
        assert_eq!(value(text, "b", &[]), Some(1.5));
    }
}
