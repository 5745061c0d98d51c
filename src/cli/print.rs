//! What commands print. A reader that has gone away (`| head`) is no error of ours.

use std::io::{self, Write};

/// `println!`, but for that.
macro_rules! outln {
    ($($words:tt)*) => {
        crate::cli::print::print_out(format!("{}\n", format_args!($($words)*)).as_bytes())
    };
}

pub fn print_out(bytes: &[u8]) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(bytes).and_then(|()| out.flush());
}

pub fn print_json(value: &serde_json::Value) {
    print_out(format!("{value:#}\n").as_bytes());
}
