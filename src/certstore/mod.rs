//! Our own certificates: PEM files become checked values.

mod load;

pub use load::{CertificateError, load};
