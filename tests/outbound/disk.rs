//! A disk that runs full: new mail is turned away for now, nothing is lost, and when there is room
//! again mail goes on.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::TempDir;

use super::common::missing;
use super::lab::{Lab, SENDER, letter};
use super::peer::{Answer, Part};

/// A small file system of its own, gone when dropped.
pub struct SmallDisk(TempDir);

impl SmallDisk {
    /// None where we may not mount.
    pub fn mount(octets: usize) -> Option<Self> {
        let directory = tempfile::Builder::new().prefix("sealpost-disk-").tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={octets}"), "tmpfs"])
            .arg(directory.path())
            .output()
            .is_ok_and(|output| output.status.success());
        mounted.then(|| Self(directory))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _gone = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_for_now_loses_nothing_and_recovers() {
    let Some(disk) = SmallDisk::mount(12 << 20) else {
        return missing(
            "a_full_disk_refuses_for_now_loses_nothing_and_recovers",
            "no right to mount a tmpfs",
        );
    };
    let mut lab = Lab::below(tempfile::Builder::new().prefix("edge-").tempdir_in(disk.path()).unwrap());
    let up = Arc::new(AtomicBool::new(false));
    let is_up = Arc::clone(&up);
    let part = Part::default().playing(move |moment| match moment.verb {
        "CONNECT" if !is_up.load(Ordering::Relaxed) => Answer::Close,
        _ => Answer::Usual,
    });
    let peer = lab.peer("sink.example", part).await;
    let edge = lab.start("[queue]\nretry_intervals = [\"10 min\"]\n").await;
    let mut taken = 0;
    let refused = loop {
        let content = [letter(&format!("number {taken}")), b"filler\r\n".repeat(40_000)].concat();
        let reply = edge.offer(SENDER, "", &["bob@sink.example"], &content).await;
        if reply.code != 250 {
            break reply;
        }
        taken += 1;
        assert!(taken < 100, "12 MiB never fill");
    };
    assert_eq!(refused.code, 452, "{refused}");
    assert!(refused.text.starts_with("4.3.1 "), "{refused}");
    assert!(taken > 5, "{taken}");
    let listed = edge.list(&[]).await;
    assert_eq!(listed.len(), taken, "what was acknowledged is there, and nothing else");
    // The disk is still full: the server answers its operator, and delivers.
    edge.until("all were tried", |listed| listed.iter().all(|message| message["status"] == "retry")).await;
    up.store(true, Ordering::Relaxed);
    let (status, _, error) = edge.command(&["queue", "retry", "--all"]).await;
    assert_eq!(status, 0, "{error}");
    edge.until("the queue empties", <[_]>::is_empty).await;
    assert_eq!(peer.messages().len(), taken);
    // There is room again, and the server has seen it.
    edge.until_series("sealpost_back_pressure{resource=\"free-disk\"}", 0.0).await;
    edge.submit(SENDER, &["bob@sink.example"], &letter("afterwards")).await;
    peer.message(|message| message.content.ends_with(b"afterwards\r\n")).await;
}
