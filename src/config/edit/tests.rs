//! A file after a change is the file before it, but for what was meant.

use proptest::prelude::*;

use super::*;

const FILE: &str = r#"# The edge of Contoso.
hostname = "mail1.contoso.example" # EHLO
data_directory = "/var/lib/sealpost"

[transport]
# who is secure
tls_send_domain_secure_list = [
    "woodgrovebank.example", # since May
    # asked for by the board
    "fabrikam.example", # since June
]
# header_from = "mark"

# A partner.
[[partner]]
name = "Woodgrove Bank"
domains = ["woodgrovebank.example"] # one
# mode = "report"

# Another.
[[partner]]
name = "Fabrikam"
domains = ["fabrikam.example"]

# The end.
"#;

fn changed(text: &str, key: &str, what: &Edit) -> String {
    edit(text, &Target::parse(key).unwrap(), what).unwrap()
}

fn set(values: &[&str]) -> Edit {
    Edit::Set(values.iter().map(|value| (*value).to_owned()).collect())
}

fn members(remove: &[&str], add: &[&str]) -> Edit {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    Edit::Members { remove: words(remove), add: words(add) }
}

#[test]
fn a_value_changes_in_its_place() {
    let text = changed(FILE, "hostname", &set(&["mx.contoso.example"]));
    assert_eq!(text, FILE.replace("mail1.contoso.example", "mx.contoso.example"));
    let text = changed(FILE, "partner.Woodgrove Bank.domains", &members(&[], &["wg.example"]));
    let list = "[\"woodgrovebank.example\", \"wg.example\"] # one";
    assert_eq!(text, FILE.replace("[\"woodgrovebank.example\"] # one", list));
}

#[test]
fn a_new_key_stands_behind_the_last_of_its_table() {
    let text = changed(FILE, "partner.\"Woodgrove Bank\".mode", &set(&["report"]));
    assert_eq!(text, FILE.replace("] # one\n", "] # one\nmode = \"report\"\n"));
    let text = changed(FILE, "transport.header_from", &set(&["reject"]));
    assert_eq!(text, FILE.replace("since June\n]\n", "since June\n]\nheader_from = \"reject\"\n"));
    let text = changed(FILE, "admin.listen", &set(&[""]));
    assert_eq!(text, format!("{FILE}\n[admin]\nlisten = \"\"\n"));
    assert_eq!(changed("", "hostname", &set(&["a.example"])), "hostname = \"a.example\"\n");
    assert_eq!(changed("[trust]", "trust.crl_fetch", &set(&["false"])), "[trust]\ncrl_fetch = false\n");
    let dotted = "queue.cut_through = true\nhostname = \"a.example\"\n";
    let text = changed(dotted, "queue.max_messages", &set(&["7"]));
    assert_eq!(text, "queue.cut_through = true\nqueue.max_messages = 7\nhostname = \"a.example\"\n");
}

#[test]
fn comments_on_lines_of_their_own_stay_when_a_key_goes() {
    let text = changed(FILE, "transport.tls_send_domain_secure_list", &Edit::Unset);
    assert!(text.contains("# who is secure\n# header_from"), "{text}");
    assert_eq!(changed(FILE, "partner.Fabrikam.mode", &Edit::Unset), FILE);
}

#[test]
fn no_empty_table_is_left_behind() {
    for rest in ["", "\n# Partners.\n[[partner]]\nname = \"F\"\n"] {
        let without = format!("hostname = \"a.example\"\n{rest}");
        let with = format!("hostname = \"a.example\"\n\n[stamp]\nselector = \"s\"\n{rest}");
        assert_eq!(changed(&with, "stamp.selector", &Edit::Unset), without);
        let two = with.replace("selector", "signing_key = \"k\"\nselector");
        assert_eq!(changed(&two, "stamp.selector", &Edit::Unset), two.replace("selector = \"s\"\n", ""));
    }
    // What is commented out belongs below its header.
    let with = "[stamp]\nselector = \"s\"\n# signing_key = \"k\"\n";
    assert_eq!(changed(with, "stamp.selector", &Edit::Unset), "[stamp]\n# signing_key = \"k\"\n");
    let with = "[stamp]\n# ours\nselector = \"s\"\n";
    assert_eq!(changed(with, "stamp.selector", &Edit::Unset), "[stamp]\n# ours\n");
    assert_eq!(changed("stamp.selector = \"s\"\n", "stamp.selector", &Edit::Unset), "");
}

#[test]
fn a_member_comes_behind_the_others_with_their_indent() {
    let key = "transport.tls_send_domain_secure_list";
    let text = changed(FILE, key, &members(&[], &["litware.example"]));
    assert_eq!(text, FILE.replace("# since June\n", "# since June\n    \"litware.example\",\n"));
    assert_eq!(changed(FILE, key, &members(&[], &["fabrikam.example"])), FILE, "it is there");
    for (before, after) in [
        ("[]", "[\"n\"]"),
        ("[\"a\"]", "[\"a\", \"n\"]"),
        ("[ \"a\" ]", "[ \"a\", \"n\" ]"),
        ("[\"a\", ]", "[\"a\", \"n\", ]"),
        ("[\n  \"a\" # x\n]", "[\n  \"a\", # x\n  \"n\"\n]"),
        ("[\n  # none yet\n]", "[\n  # none yet\n    \"n\"\n]"),
    ] {
        let text = changed(
            &format!("[trust]\ncrl_files = {before} # c\n"),
            "trust.crl_files",
            &members(&[], &["n"]),
        );
        assert_eq!(text, format!("[trust]\ncrl_files = {after} # c\n"));
    }
}

#[test]
fn a_member_goes_with_the_comment_on_its_line_and_no_other() {
    let key = "transport.tls_send_domain_secure_list";
    let text = changed(FILE, key, &members(&["woodgrovebank.example"], &[]));
    assert_eq!(text, FILE.replace("    \"woodgrovebank.example\", # since May\n", ""));
    let text = changed(FILE, key, &members(&["fabrikam.example"], &[]));
    assert_eq!(text, FILE.replace("    \"fabrikam.example\", # since June\n", ""));
    for (before, after) in [
        ("[\"n\"]", "[]"),
        ("[\"n\", \"a\"]", "[\"a\"]"),
        ("[\"a\", \"n\"]", "[\"a\"]"),
        ("[\"a\", \"n\",]", "[\"a\",]"),
        ("[ \"a\", \"n\" ]", "[ \"a\" ]"),
        ("[\n  \"n\" # x\n]", "[\n]"),
    ] {
        let text =
            changed(&format!("[trust]\ncrl_files = {before}\n"), "trust.crl_files", &members(&["n"], &[]));
        assert_eq!(text, format!("[trust]\ncrl_files = {after}\n"));
    }
}

#[test]
fn adding_to_a_default_keeps_what_it_holds() {
    let text = changed("[trust]\n", "trust.anchors", &members(&[], &["own.pem"]));
    assert_eq!(text, "[trust]\nanchors = [\"system\", \"own.pem\"]\n");
    let derived = Target::parse("partner.Fabrikam.trust_anchors").unwrap();
    let error = edit(FILE, &derived, &members(&[], &["own.pem"])).unwrap_err();
    assert!(matches!(error, EditError::DerivedList { .. }), "{error}");
}

#[test]
fn a_whole_list_keeps_the_comments_of_those_that_stay() {
    let key = "transport.tls_send_domain_secure_list";
    let text = changed(FILE, key, &set(&["fabrikam.example", "litware.example"]));
    assert!(text.contains("\"fabrikam.example\", # since June\n    \"litware.example\",\n"), "{text}");
    let text = changed(FILE, key, &set(&["litware.example", "fabrikam.example"]));
    assert!(text.contains("list = [\"litware.example\", \"fabrikam.example\"]\n"), "another order: {text}");
    assert!(changed(FILE, key, &set(&["[]"])).contains("board\n]\n"));
}

#[test]
fn tables_come_at_the_end_and_go_with_their_keys() {
    let section = Target::parse("partner.x.name").unwrap().section;
    let name = [("name", Value::from("Lit\"ware"))];
    let more = add_table(FILE.trim_end(), section, &name);
    assert!(more.ends_with("# The end.\n\n[[partner]]\nname = 'Lit\"ware'\n"), "{more}");
    assert_eq!(names(&more, section).unwrap(), ["Woodgrove Bank", "Fabrikam", "Lit\"ware"]);
    let less = remove_table(FILE, section, "Woodgrove Bank").unwrap();
    assert!(
        less.contains("# A partner.\n# mode = \"report\"\n\n# Another.\n[[partner]]\nname = \"Fab"),
        "{less}"
    );
    let error = remove_table(FILE, section, "Nobody").unwrap_err().to_string();
    assert!(error.contains("\"Woodgrove Bank\", \"Fabrikam\""), "{error}");
}

#[test]
fn what_is_not_understood_is_said() {
    for (key, part) in [
        ("partnr.x.mode", "did you mean `partner`?"),
        ("partner.mode", "partner.NAME.mode"),
        ("transport.x.header_from", "transport.header_from"),
        ("transport.heder_from", "did you mean `header_from`?"),
        ("hostnam", "did you mean `hostname`?"),
    ] {
        let error = Target::parse(key).unwrap_err().to_string();
        assert!(error.contains(part), "{key}: {error}");
    }
    let refused = |text: &str, key: &str, what: &Edit| {
        edit(text, &Target::parse(key).unwrap(), what).unwrap_err().to_string()
    };
    assert!(refused("[", "hostname", &Edit::Unset).contains("not TOML"));
    assert!(refused("trust = {}", "trust.anchors", &set(&["a"])).contains("inline"));
    assert!(refused(FILE, "partner.X.mode", &set(&["report"])).contains("\"Fabrikam\""));
    assert!(refused(FILE, "queue.cut_through", &set(&["yes"])).contains("true or false"));
    assert!(refused(FILE, "hostname", &set(&["a", "b"])).contains("one value"));
    assert!(refused(FILE, "hostname", &members(&[], &["b"])).contains("no list"));
    let error = refused(FILE, "partner.Fabrikam.domains", &members(&["x"], &[]));
    assert!(error.contains("fabrikam.example"), "{error}");
}

/// A list as people write it: with or without lines of its own, commas and comments.
fn written_list() -> impl Strategy<Value = (String, Vec<String>)> {
    let member = ("[a-d]{1,3}", any::<bool>(), any::<bool>());
    (proptest::collection::vec(member, 0..5), any::<bool>(), any::<bool>()).prop_map(
        |(members, spread, comma)| {
            let mut names: Vec<String> = Vec::new();
            let mut text = "[".to_owned();
            let count = members.len();
            for (place, (name, above, beside)) in members.into_iter().enumerate() {
                let name = format!("{name}{place}.example");
                let last = place + 1 == count;
                let comma = if last && !comma { "" } else { "," };
                if spread {
                    let above = if above { format!("\n  # above {place}") } else { String::new() };
                    let beside = if beside { format!(" # beside {place}") } else { String::new() };
                    text.push_str(&format!("{above}\n  \"{name}\"{comma}{beside}"));
                } else {
                    text.push_str(&format!("{}\"{name}\"{comma}", if place == 0 { "" } else { " " }));
                }
                names.push(name);
            }
            text.push_str(if spread { "\n]" } else { "]" });
            (text, names)
        },
    )
}

proptest! {
    /// Whatever is added, removed, set or unset: all other lines stay, no comment but the one beside a
    /// member that goes is lost, and the list holds what it should.
    #[test]
    fn comments_and_other_keys_survive(
        (list, names) in written_list(),
        picks in proptest::collection::vec(any::<prop::sample::Index>(), 0..3),
        added in proptest::collection::vec("[x-z]{1,3}", 0..3),
    ) {
        let file = format!("# top\n[trust] # here\nanchors = [\"a.pem\"] # b\n# own\ncrl_files = {list} # end\n# below\n\n[queue]\n# last\n");
        let mut removed: Vec<String> = Vec::new();
        for pick in picks.iter().filter(|_| !names.is_empty()) {
            let name = pick.get(&names).clone();
            if !removed.contains(&name) { removed.push(name); }
        }
        let what = Edit::Members { remove: removed.clone(), add: added.clone() };
        let text = changed(&file, "trust.crl_files", &what);
        let mut expected: Vec<String> = names.iter().filter(|name| !removed.contains(name)).cloned().collect();
        for name in &added {
            if !expected.contains(name) { expected.push(name.clone()); }
        }
        let parsed: toml::Table = text.parse().expect("still TOML");
        let found: Vec<String> = parsed["trust"]["crl_files"].as_array().unwrap().iter()
            .map(|member| member.as_str().unwrap().to_owned()).collect();
        prop_assert_eq!(&found, &expected, "{}", text);
        prop_assert_eq!(parsed["trust"]["anchors"][0].as_str(), Some("a.pem"));
        let gone: Vec<usize> = (0..names.len()).filter(|place| removed.contains(&names[*place])).collect();
        for comment in file.split('#').skip(1).map(|rest| rest.lines().next().unwrap().trim()) {
            let may_go = gone.iter().any(|place| comment == format!("beside {place}"));
            let stays = text.lines().any(|line| line.ends_with(&format!("# {comment}")));
            prop_assert!(may_go || stays, "{} is gone from {}", comment, text);
        }
        let outside = |text: &str| text.split("crl_files").next().unwrap().to_owned();
        prop_assert_eq!(outside(&text), outside(&file));
        prop_assert!(text.ends_with("] # end\n# below\n\n[queue]\n# last\n"), "{}", text);
        if removed.is_empty() && added.is_empty() { prop_assert_eq!(text, file); }
    }

    /// Whatever a value holds, it is read as it was given.
    #[test]
    fn any_text_is_a_value(value in any::<String>()) {
        let text = changed(FILE, "transport.postmaster", &Edit::Set(vec![value.clone()]));
        let parsed: toml::Table = text.parse().expect("still TOML");
        prop_assert_eq!(parsed["transport"]["postmaster"].as_str(), Some(value.as_str()));
        prop_assert!(FILE.lines().all(|line| text.lines().any(|kept| kept == line)));
    }
}
