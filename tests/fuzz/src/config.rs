//! Configuration files: no panic; whatever is wrong is told in clean lines that name a key, a line or
//! the file; what is taken shows as the same file again.

use std::path::PathBuf;

use sealpost::config::{differences, read, render};

use super::lab::scratch;

pub fn run(input: &[u8]) {
    let path: PathBuf = scratch("sealpost.toml", input);
    match read(&path) {
        Ok(document) => {
            assert!(differences(&document, &document).is_empty());
            let tables = render::select(&document, None).expect("all sections");
            let _ = (render::text(&tables), render::to_json(&tables));
            for table in tables {
                let _ = table.label();
            }
        }
        Err(problems) => {
            assert!(!problems.is_empty());
            for problem in problems {
                assert!(!problem.what.is_empty() && !problem.remedy.is_empty());
                assert!(!problem.to_string().chars().any(char::is_control), "{problem}");
            }
        }
    }
}
