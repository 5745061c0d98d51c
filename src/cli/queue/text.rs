//! Messages in the queue, for people.

use serde_json::Value;

/// Where values stand behind their labels.
pub(super) const VALUE_AT: usize = 14;

pub(super) fn field<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or("-")
}

/// Times without the fraction of a second.
pub(super) fn moment(value: &Value, key: &str) -> String {
    let text = field(value, key);
    match text.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => text.to_owned(),
    }
}

/// One message of a list.
pub(super) fn listed(message: &Value) -> String {
    let secure =
        message["tls_domain"].as_str().map_or(String::new(), |domain| format!(" (domain-secured: {domain})"));
    let redirected = message["recipients"].as_array().into_iter().flatten().any(is_redirected);
    let mut text = format!(
        "{}  {:9} {}  {} bytes\n  from <{}>  next hop {}{}{secure}\n",
        field(message, "id"),
        field(message, "status"),
        moment(message, "received"),
        message["size"],
        message["sender"].as_str().unwrap_or_default(),
        field(message, "next_hop"),
        if redirected { " (redirected)" } else { "" },
    );
    for recipient in message["recipients"].as_array().into_iter().flatten() {
        text += &recipient_text(recipient);
    }
    text
}

fn is_redirected(recipient: &Value) -> bool {
    recipient["redirected"] == true
}

fn recipient_text(recipient: &Value) -> String {
    let mut text = format!("  to   <{}>  {}", field(recipient, "address"), field(recipient, "status"));
    if recipient["status"] == "retry" {
        text += &format!(", next attempt {}", moment(recipient, "next_attempt"));
    }
    if is_redirected(recipient) {
        text += &format!(", redirected to {}", field(recipient, "next_hop"));
    }
    text.push('\n');
    if let Some(fault) = recipient["fault"].as_str() {
        text += &format!("       {fault}\n");
    }
    if let Some(reply) = recipient["last_reply"].as_str() {
        text += &format!("       {reply}\n");
    }
    text
}

/// One message with all that `queue show` tells.
pub(super) fn shown(message: &Value) -> String {
    let mut text = String::new();
    let lines = ["id", "sender", "status", "received", "expires", "next_hop", "connector", "tls_domain"];
    for key in lines {
        text += &format!("{key:<13} {}\n", field(message, key));
    }
    text += &format!("{:<13} {} bytes\n", "size", message["size"]);
    for recipient in message["recipients"].as_array().into_iter().flatten() {
        text += &recipient_text(recipient);
        if let Some(session) = recipient["session"].as_str() {
            text += &format!("       last session: sealpost log explain {session}\n");
        }
    }
    text += &format!("why           sealpost queue why {}\n", field(message, "id"));
    text
}

/// What `queue why` tells.
pub(super) fn why(why: &Value) -> String {
    let mut text = format!("{}  to <{}>\n", field(why, "id"), field(why, "recipient"));
    if let Some(fault) = why["fault"].as_str() {
        text += &format!("fault         {fault}\n");
    }
    if let (Some(policy), Some(wanted_got)) = (why["policy"].as_str(), why["wanted_got"].as_str()) {
        text += &format!("policy        {policy} {wanted_got}\n");
    }
    text += &format!("reason        {}\n", field(why, "reason"));
    for (key, label) in [
        ("wanted", "wanted"),
        ("got", "got"),
        ("remedy", "remedy"),
        ("mended_by", "mended by"),
        ("host", "host"),
        ("last_reply", if why["reply_from_peer"] == false { "our status" } else { "reply" }),
    ] {
        // The reason of a failed check ends with its remedy.
        let told =
            key == "remedy" && why[key].as_str().is_some_and(|remedy| field(why, "reason").contains(remedy));
        if let Some(value) = why[key].as_str().filter(|value| !value.is_empty() && !told) {
            text += &format!("{label:<13} {value}\n");
        }
    }
    if let Some(session) = why["session"].as_str() {
        text += &format!("session       {session}; to see it: sealpost log explain {session}\n");
    }
    if why["last_attempt"].is_string() {
        text += &format!("last attempt  {}\n", moment(why, "last_attempt"));
    }
    text += &format!("attempts      {}\n", why["attempts"]);
    text += &format!("next attempt  {}\n", moment(why, "next_attempt"));
    text += &format!("expires       {}\n", moment(why, "expires"));
    let transcript = why["transcript"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !transcript.is_empty() {
        text += "last lines of the conversation\n";
    }
    for line in transcript {
        text += &format!("  {}\n", line.as_str().unwrap_or_default());
    }
    text
}
