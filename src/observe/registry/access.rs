//! Who came, who logged in, and who took too much.

use crate::policy::{Limit, Scope};

use super::{AccessEvent, Counters, Level, authentication_labels};

impl Counters {
    /// Also says how much the event matters.
    pub(in crate::observe) fn accessed(&self, event: &AccessEvent) -> Level {
        let (mechanism, result, level) = match event {
            AccessEvent::ConnectionNotAdmitted { .. } => return Level::Info,
            AccessEvent::ProxyHeaderRefused { .. } => return Level::Warning,
            AccessEvent::LimitReached { connector, limit, scope, .. } => {
                self.limit_reached(connector, *limit, *scope);
                return Level::Warning;
            }
            AccessEvent::AdminSignedIn { .. } => return self.signed_in("ok", Level::Info),
            AccessEvent::AdminSignInFailed { blocked: false, .. } => {
                return self.signed_in("failed", Level::Warning);
            }
            // That somebody guesses was told before it was cut off.
            AccessEvent::AdminSignInFailed { blocked: true, .. } => {
                return self.signed_in("blocked", Level::Debug);
            }
            AccessEvent::AuthenticationSucceeded { mechanism, .. } => (*mechanism, "ok", Level::Info),
            AccessEvent::AuthenticationFailed { mechanism, .. } => (*mechanism, "failed", Level::Warning),
        };
        self.authentications.get_or_create(&authentication_labels(mechanism, result)).inc();
        level
    }

    fn signed_in(&self, result: &str, level: Level) -> Level {
        self.admin_sign_ins.get_or_create(&[("result", result.to_owned())]).inc();
        level
    }

    fn limit_reached(&self, connector: &str, limit: Limit, scope: Scope) {
        let labels = [
            ("connector", connector.to_owned()),
            ("limit", limit.as_str().to_owned()),
            ("scope", scope.as_str().to_owned()),
        ];
        self.limits_reached.get_or_create(&labels).inc();
    }
}
