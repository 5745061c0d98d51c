//! Open connections, as a gauge tells them.

use prometheus_client::metrics::gauge::Gauge;

/// Counts one open connection until it is dropped.
pub struct ConnectionGuard(Gauge);

impl ConnectionGuard {
    pub(super) fn new(gauge: Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}
