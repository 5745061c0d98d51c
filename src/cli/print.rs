//! What commands print. A reader that has gone away (`| head`) is no error of ours.

use std::io::{self, Write};

/// `println!`, but for that.
macro_rules! outln {
    ($($words:tt)*) => {
        crate::cli::print::print_out(format!("{}\n", format_args!($($words)*)))
    };
}

pub fn print_out(text: impl AsRef<[u8]>) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_ref()).and_then(|()| out.flush());
}

pub fn print_json(value: &serde_json::Value) {
    print_out(format!("{value:#}\n"));
}
