//! `stamp_exchange_headers`: the stamp in the words an internal Exchange understands.

use crate::policy::{SendConnector, Settings};

use super::record::MessageMeta;

/// The header fields to put in front of a domain-secured message, CRLF included; nothing for
/// others, or where the connector does not ask for them.
pub fn render(settings: &Settings, connector: &SendConnector, meta: &MessageMeta) -> String {
    match &meta.secured {
        Some(domain) if connector.stamp_exchange_headers => format!(
            "X-MS-Exchange-Organization-AuthAs: Partner\r\n\
             X-MS-Exchange-Organization-AuthDomain: {domain}\r\n\
             X-MS-Exchange-Organization-AuthSource: {}\r\n",
            settings.hostname
        ),
        _ => String::new(),
    }
}
