//! A resolver in front of the name server, which can be told to fail.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::UdpSocket;

const QUESTION_BYTES_MAX: usize = 4096;
/// QR, RD and RA; SERVFAIL (RFC 1035 4.1.1).
const FAILED: [u8; 2] = [0x81, 0x82];

/// Passes questions over UDP on; while it fails every answer is SERVFAIL.
pub struct Resolver {
    pub address: SocketAddr,
    fails: Arc<AtomicBool>,
    failures: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Resolver {
    pub async fn before(server: SocketAddr) -> Self {
        let socket = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap());
        let address = socket.local_addr().unwrap();
        let (fails, failures) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let (failing, counted) = (Arc::clone(&fails), Arc::clone(&failures));
        let task = tokio::spawn(async move {
            let mut question = vec![0; QUESTION_BYTES_MAX];
            while let Ok((count, from)) = socket.recv_from(&mut question).await {
                let mut question = question[..count].to_vec();
                if failing.load(Ordering::SeqCst) && count > 3 {
                    counted.fetch_add(1, Ordering::SeqCst);
                    question[2..4].copy_from_slice(&FAILED);
                    let _ = socket.send_to(&question, from).await;
                } else {
                    tokio::spawn(ask(Arc::clone(&socket), question, from, server));
                }
            }
        });
        Self { address, fails, failures, task }
    }

    pub fn fail(&self, fails: bool) {
        self.fails.store(fails, Ordering::SeqCst);
    }

    /// Questions that were answered with SERVFAIL.
    pub fn failures(&self) -> usize {
        self.failures.load(Ordering::SeqCst)
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn ask(socket: Arc<UdpSocket>, question: Vec<u8>, from: SocketAddr, server: SocketAddr) {
    let own = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    own.send_to(&question, server).await.unwrap();
    let mut answer = vec![0; QUESTION_BYTES_MAX];
    let received = tokio::time::timeout(Duration::from_secs(5), own.recv(&mut answer)).await;
    if let Ok(Ok(count)) = received {
        let _ = socket.send_to(&answer[..count], from).await;
    }
}
