//! `[admin]`.

use super::Subject;
use crate::config::problem::Problems;

pub fn check(subject: &Subject<'_>, problems: &mut Problems) {
    let settings = &subject.settings.admin;
    let table = subject.document.table("admin");
    let has_token = table.text("token_file").is_some_and(|name| !name.is_empty());
    if settings.allow_steering && !has_token {
        problems.error(
            table.place("allow_steering"),
            "has no effect, since without a token nobody may sign in",
            "write token_file, or allow_steering = false",
        );
    }
    let in_clear = settings.listen.filter(|listen| !listen.ip().is_loopback());
    if let Some(listen) = in_clear.filter(|_| settings.token.is_some()) {
        problems.warning(
            table.place("listen"),
            format!("is {listen}, and the token of the status page crosses the network in clear"),
            "listen on 127.0.0.1 and come through ssh -L or a proxy that speaks TLS",
        );
    }
}
