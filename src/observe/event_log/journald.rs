//! Records as systemd's journal takes them on its own socket: one field a line, values with line
//! ends behind their length.

use serde_json::Value;

use super::render::Rendered;
use super::syslog::severity;
use crate::policy::Facility;

/// Longest record, octets; a socket takes some 200 KiB.
const RECORD_BYTES_MAX: usize = 64 << 10;
/// Longest name of a field (systemd.journal-fields(7)).
const NAME_MAX: usize = 64;

/// `MESSAGE`, `PRIORITY` and what journalctl knows, then each field of the event as `SEALPOST_…`.
pub(super) fn record(rendered: &Rendered, facility: Facility) -> Vec<u8> {
    let mut record = Vec::with_capacity(1024);
    field(&mut record, "MESSAGE", &rendered.text());
    field(&mut record, "PRIORITY", &severity(rendered.level).to_string());
    field(&mut record, "SYSLOG_IDENTIFIER", "sealpost");
    field(&mut record, "SYSLOG_FACILITY", &facility.code.to_string());
    field(&mut record, "TARGET", rendered.target);
    let Some(Value::Object(fields)) = &rendered.fields else { return record };
    for (name, value) in fields {
        let name = name_of(name);
        match value {
            Value::String(text) => field(&mut record, &name, text),
            // A field may be given more than once: so is a list.
            Value::Array(values) => values.iter().for_each(|value| match value {
                Value::String(text) => field(&mut record, &name, text),
                value => field(&mut record, &name, &value.to_string()),
            }),
            Value::Null => {}
            value => field(&mut record, &name, &value.to_string()),
        }
    }
    record
}

/// Upper-case letters, digits and underscores.
fn name_of(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    format!("SEALPOST_{}", name.chars().map(plain).collect::<String>()).chars().take(NAME_MAX).collect()
}

fn field(record: &mut Vec<u8>, name: &str, value: &str) {
    if record.len() + name.len() + value.len() + 10 > RECORD_BYTES_MAX {
        return;
    }
    record.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        record.push(b'\n');
        record.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        record.push(b'=');
    }
    record.extend_from_slice(value.as_bytes());
    record.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_of_an_event_is_a_field_of_the_record() {
        let fields = serde_json::json!({
            "event": "InboundJudged", "faults": ["Expired", "NameMismatch"], "size": 7, "nothing": null
        });
        let rendered = Rendered {
            message: "InboundJudged verdict=bad".to_owned(),
            fields: Some(fields),
            level: tracing::Level::WARN,
            target: "sealpost::event",
            ..Rendered::default()
        };
        let record = record(&rendered, Facility::from_name("mail").unwrap());
        assert_eq!(
            String::from_utf8(record).unwrap(),
            "MESSAGE=InboundJudged verdict=bad\nPRIORITY=4\nSYSLOG_IDENTIFIER=sealpost\nSYSLOG_FACILITY=2\n\
             TARGET=sealpost::event\nSEALPOST_EVENT=InboundJudged\nSEALPOST_FAULTS=Expired\n\
             SEALPOST_FAULTS=NameMismatch\nSEALPOST_SIZE=7\n"
        );
    }

    #[test]
    fn a_value_with_line_ends_stands_behind_its_length() {
        let mut record = Vec::new();
        field(&mut record, "MESSAGE", "a\nPRIORITY=0");
        assert_eq!(record, b"MESSAGE\n\x0c\0\0\0\0\0\0\0a\nPRIORITY=0\n");
        field(&mut record, "BIG", &"x".repeat(RECORD_BYTES_MAX));
        assert!(record.len() < 100);
    }
}
