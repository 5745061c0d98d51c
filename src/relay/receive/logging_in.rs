//! What the driver does about clients that log in.

use std::time::Instant;

use crate::policy::quota::source_of;
use crate::session::receive::Input;
use crate::smtp::sasl::plain::Attempt;

use super::Driver;

impl Driver {
    /// Whether the client has guessed too often. Asked only where somebody may log in.
    pub(super) fn auth_blocked(&self, now: Instant) -> bool {
        let source = source_of(self.opening.remote.ip());
        self.opening.connector.authentication.is_offered() && self.shared.auth_failures.blocks(source, now)
    }

    pub(super) async fn check_password(&mut self, attempt: Attempt) {
        if self.flush().await {
            let is_right = self.shared.passwords.check(attempt).await;
            self.input(Input::PasswordChecked(is_right));
        }
    }
}
