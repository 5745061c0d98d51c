//! Reading the event log of a server that writes it beside its sessions.

use std::path::Path;
use std::time::Duration;

/// The text of `path` once nothing was added to it for a while: what was told before a reply may stand
/// there a moment after it.
pub fn settled(path: &Path) -> String {
    let read = || std::fs::read_to_string(path).unwrap_or_default();
    let mut text = read();
    for _ in 0..20 {
        std::thread::sleep(Duration::from_millis(150));
        let longer = read();
        if longer == text {
            break;
        }
        text = longer;
    }
    text
}
