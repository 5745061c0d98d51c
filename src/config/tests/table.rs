//! The options table against the parser, the reference and itself.

use proptest::prelude::*;

use super::site::{CONNECTORS, Site, TOP, repository};
use crate::config::options::{self, Default, Kind, SECTIONS};
use crate::config::{Document, Place, Problems, Value, differences, read, reference, render};

#[test]
fn every_key_belongs_to_a_section_and_stands_once() {
    let keys: Vec<_> = options::all().collect();
    for key in &keys {
        assert!(SECTIONS.iter().any(|section| section.name == key.section), "{}", key.section);
        let same = keys.iter().filter(|other| other.section == key.section && other.name == key.name);
        assert_eq!(same.count(), 1, "{}.{}", key.section, key.name);
        assert!(key.doc.ends_with('.'), "{}.{}: the sentence ends in a full stop", key.section, key.name);
    }
}

/// What the table calls a default must be something that the parser takes when it is written.
#[test]
fn every_default_can_be_written_out() {
    for key in options::all() {
        let value = match key.default {
            Default::Required | Default::Nothing | Default::Derived(_) => continue,
            Default::Bool(_) | Default::Integer(_) | Default::Text(_) | Default::List(_) => {
                key.default.toml()
            }
        };
        let section = SECTIONS.iter().find(|section| section.name == key.section).unwrap();
        let header = match section.named_by {
            _ if section.name.is_empty() => String::new(),
            None => format!("[{}]\n", section.name),
            Some(_) => format!("[[{}]]\n", section.name),
        };
        let text = format!("{header}{} = {value}\n", key.name);
        let mut problems = Problems::new("sealpost.toml".as_ref());
        let document = parse(&text, &mut problems).unwrap();
        let path = if key.section.is_empty() {
            key.name.to_owned()
        } else {
            format!("{}.{}", key.section, key.name)
        };
        let about_it: Vec<_> =
            problems.into_sorted().into_iter().filter(|problem| problem.key == path).collect();
        assert!(about_it.is_empty(), "{text}{about_it:?}");
        let table = document.tables(section.name).next().unwrap();
        assert!(table.is_written(key.name), "{text}");
    }
}

/// The contract's own sample values (CONTRACT section 1).
#[test]
fn every_key_of_the_table_parses_with_a_sample() {
    let site = Site::new();
    let names_all = std::fs::read_to_string(repository().join("config/edge.toml")).unwrap();
    for key in options::all() {
        let mentioned = names_all
            .lines()
            .any(|line| line.trim_start_matches(['#', ' ']).split(['=', ' ']).next() == Some(key.name));
        assert!(mentioned, "config/edge.toml names every option, but not {}", key.name);
    }
    // Uncommented, the sample's defaults are still a configuration that parses.
    let uncommented: String = names_all
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest) if is_assignment(rest) && !rest.contains('…') => format!("{rest}\n"),
            Some(_) | None => format!("{line}\n"),
        })
        .collect();
    let path = site.write("sealpost.toml", uncommented);
    let document = read(&path).unwrap_or_else(|problems| panic!("{}", super::site::lines(&problems)));
    let unwritten: Vec<_> = options::all()
        .filter(|key| !document.tables(key.section).any(|table| table.is_written(key.name)))
        .map(|key| key.name)
        .collect();
    assert_eq!(unwritten, ["spki_pins"]);
}

fn is_assignment(line: &str) -> bool {
    line.split_once('=').is_some_and(|(key, _)| {
        !key.trim().is_empty() && key.trim().bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
    })
}

#[test]
fn the_page_in_docs_is_the_reference() {
    let page = std::fs::read_to_string(repository().join("docs/configuration.md")).unwrap();
    assert!(
        page == reference::markdown(),
        "docs/configuration.md differs from the table; run `sealpost config reference > docs/configuration.md`"
    );
}

#[test]
fn the_reference_has_every_key_with_its_unit() {
    let json = reference::to_json();
    let rows = json.as_array().unwrap();
    assert_eq!(rows.len(), options::all().count());
    let is_rate = |row: &&serde_json::Value| {
        row["section"] == "receive_connector" && row["key"] == "message_rate_limit"
    };
    let rate = rows.iter().find(is_rate).unwrap();
    assert_eq!(rate["unit"], "messages per minute");
    assert_eq!(rate["default"], "`600`");
    let row = reference::markdown().lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(row, rows.len());
}

#[test]
fn what_show_prints_can_be_read_back_and_means_the_same() {
    let site = Site::new();
    let text = format!("{TOP}{CONNECTORS}\n[[partner]]\nname = 'A \"B\"'\ndomains = [\"a.example\"]\n");
    let document = read(&site.write("sealpost.toml", text)).unwrap();
    let shown = render::text(&render::select(&document, None).unwrap());
    let again = read(&site.write("again.toml", &shown))
        .unwrap_or_else(|problems| panic!("{}\n{shown}", super::site::lines(&problems)));
    assert_eq!(differences(&document, &again), []);
}

#[test]
fn show_finds_one_table_by_section_and_name() {
    let site = Site::new();
    let document = read(&site.write("sealpost.toml", format!("{TOP}{CONNECTORS}"))).unwrap();
    let shown = render::text(&render::select(&document, Some("send_connector.internet")).unwrap());
    assert!(shown.starts_with("[[send_connector]]\nname = \"Internet\"\n"), "{shown}");
    assert!(shown.contains("domain_secure_enabled = true  # derived\n"), "{shown}");
    assert!(shown.contains("fqdn = \"mail1.contoso.example\"  # derived\n"), "{shown}");
    let json = render::to_json(&render::select(&document, Some("queue")).unwrap());
    assert_eq!(json[0]["message_expiration"], "2 days");
    let error = render::select(&document, Some("send_connector.Inside")).unwrap_err();
    assert!(error.contains("there are: transport"), "{error}");
}

#[test]
fn a_reload_knows_what_changed_and_what_must_wait() {
    let site = Site::new();
    let old = read(&site.write("sealpost.toml", format!("{TOP}{CONNECTORS}"))).unwrap();
    let text = format!("{TOP}{CONNECTORS}").replace("0.0.0.0:25", "0.0.0.0:26");
    let text = text.replace("data_directory = \"data\"", "data_directory = \"other\"");
    let text = format!("{text}\n[transport]\ntls_send_domain_secure_list = [\"a.example\"]\n");
    let new = read(&site.write("sealpost.toml", text)).unwrap();
    let changes = differences(&old, &new);
    let keys: Vec<_> = changes.iter().map(|c| (c.key.as_str(), c.restart, c.secure_list)).collect();
    assert_eq!(
        keys,
        [
            ("data_directory", true, false),
            ("receive_connector.Internet.bindings", false, false),
            ("transport.tls_send_domain_secure_list", false, true)
        ]
    );
    assert_eq!(changes[2].old.as_deref(), Some("[]"));
    assert_eq!(changes[2].new.as_deref(), Some("[\"a.example\"]"));
}

/// With what is missing told.
fn parse(text: &str, problems: &mut Problems) -> Option<Document> {
    use crate::config::parse::{Part, parse};
    let parsed = parse("sealpost.toml".as_ref(), text, Part::Edge, problems)?;
    parsed.missing.into_iter().for_each(|missing| missing.tell(problems));
    Some(parsed.document)
}

fn parse_only(text: &str) -> (Option<Document>, Problems) {
    let mut problems = Problems::new("sealpost.toml".as_ref());
    let mut document = parse(text, &mut problems);
    if let Some(document) = &mut document {
        crate::config::derive::derive(document, &mut problems);
    }
    (document, problems)
}

/// Any value of any TOML type for any key, known or not.
fn assignment() -> impl Strategy<Value = String> {
    let names: Vec<String> =
        options::all().map(|key| key.name.to_owned()).chain(["nonsense".to_owned()]).collect();
    let value = prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        any::<bool>().prop_map(|b| b.to_string()),
        "[ -~]{0,30}".prop_map(|s| toml::Value::String(s).to_string()),
        proptest::collection::vec("[ -~äß\u{1}]{0,20}", 0..4).prop_map(|items| {
            toml::Value::Array(items.into_iter().map(toml::Value::String).collect()).to_string()
        }),
        Just("1979-05-27".to_owned()),
        Just("{ a = 1 }".to_owned()),
        Just("[1, [2], {}]".to_owned()),
        Just("0.5".to_owned()),
    ];
    (proptest::sample::select(names), value).prop_map(|(name, value)| format!("{name} = {value}\n"))
}

proptest! {
    #[test]
    fn no_text_panics(text in "(\\PC|\n|=|\\[|\\]|\"){0,200}") {
        let _ = parse_only(&text);
    }

    /// What the parser lets through has the type that the table says, and every complaint a line
    /// that is in the file.
    #[test]
    fn no_assignment_panics_and_what_passes_has_its_type(
        section in proptest::sample::select(SECTIONS),
        assignment in assignment(),
    ) {
        let header = match section.named_by {
            None if section.name.is_empty() => String::new(),
            None => format!("[{}]\n", section.name),
            Some(_) => format!("[[{}]]\n", section.name),
        };
        let text = format!("{header}{assignment}");
        let (document, problems) = parse_only(&text);
        let lines = text.lines().count();
        for problem in problems.into_sorted() {
            prop_assert!(problem.line.is_none_or(|line| (1..=lines).contains(&line)), "{}", problem);
            prop_assert!(!problem.what.is_empty() && !problem.remedy.is_empty());
        }
        let Some(document) = document else { return Ok(()) };
        for table in &document.tables {
            for key in options::of(table.section.name) {
                let fits = match (&table.entry(key.name).value, key.kind) {
                    (Value::Nothing, _) => matches!(
                        key.default,
                        Default::Required | Default::Nothing | Default::Derived(_)
                    ),
                    (Value::Bool(_), Kind::Bool) => true,
                    (Value::Integer(n), Kind::Integer { min, max }) => (min..=max).contains(n),
                    (Value::Text(_), Kind::One(_) | Kind::WordOrMany(..)) => true,
                    (Value::List(_), Kind::Many(_) | Kind::WordOrMany(..)) => true,
                    _ => false,
                };
                prop_assert!(fits, "{}.{}", table.section.name, key.name);
            }
        }
    }
}

#[test]
fn a_problem_is_one_line_with_file_line_key_and_remedy() {
    let mut problems = Problems::new("sealpost.toml".as_ref());
    problems.error(Place { line: Some(7), key: "queue.x".to_owned() }, "unknown key", "remove it");
    let problem = &problems.into_sorted()[0];
    assert_eq!(problem.to_string(), "sealpost.toml:7: queue.x: unknown key; remove it");
}
