//! Who acts, for the audit log.

/// The login name behind this command: through sudo the one who called it.
pub fn name() -> String {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let login = variable("SUDO_USER").or_else(|| variable("USER")).or_else(|| variable("LOGNAME"));
    login.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()))
}
