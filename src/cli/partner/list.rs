//! `sealpost partner list`: a few lines each.

use crate::cli::page::Page;
use crate::relay::partners::{PartnerView, SeenView};
use crate::trust::Direction;

use super::words;

pub fn text(views: &[PartnerView]) -> String {
    let mut page = Page::default();
    for view in views {
        page.heading(&format!("{} ({})", view.name, view.domains.join(", ")));
        page.row("  ", "mode", &mode(view));
        for direction in [Direction::Inbound, Direction::Outbound] {
            let seen: Vec<&SeenView> = view.seen.iter().filter(|seen| seen.direction == direction).collect();
            let good = seen.iter().filter_map(|seen| seen.last_good.as_ref()).max_by_key(|s| s.at);
            let failed = seen.iter().filter_map(|seen| seen.last_failed.as_ref()).max_by_key(|s| s.at);
            let label = words::direction(direction);
            page.row("  ", label, &format!("good {}", words::last(good)));
            page.row("  ", "", &format!("failed {}", words::last(failed)));
        }
        for ending in &view.expiring {
            let text = format!("{} {} {}", ending.what, ending.subject, words::days(ending.days_left));
            page.row("  ", "expires", &text);
        }
        for pin in view.pins.iter().filter(|pin| pin.tried && pin.matched.is_empty()) {
            page.row("  ", "pin", &format!("{} is the key of nothing seen last", pin.pin));
        }
        for problem in view.outbound.iter().filter_map(|outbound| outbound.problem.as_ref()) {
            page.row("  ", "problem", problem);
        }
    }
    let count = views.len();
    page.heading(&format!("{count} partner{}", if count == 1 { "" } else { "s" }));
    page.into_text()
}

fn mode(view: &PartnerView) -> String {
    let lists = match (view.send.is_empty(), view.receive.is_empty()) {
        (false, false) => "send and receive",
        (false, true) => "send",
        (true, false) => "receive",
        (true, true) => "on no list",
    };
    let report = &view.report;
    let would = match report.judged {
        0 => String::new(),
        judged => format!("; of {judged} in report mode {} would have failed", report.would_refuse),
    };
    format!("{}, {lists}{would}", words::mode(view.mode))
}
