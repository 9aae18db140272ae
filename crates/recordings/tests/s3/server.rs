//! A server of our own, that may be killed.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::bucket::{http, stack};

/// A versitygw with a folder of its own.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    folder: TempDir,
    process: Child,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(stack("STACK_S3_BUCKET"))).unwrap();
        // Another program may take the port between this and the server's start.
        for _ in 0..10 {
            let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let address = free.local_addr().unwrap();
            drop(free);
            let mut server = spawn(&folder, address);
            if ready(&mut server, address).await {
                return Self { address, folder, process: server };
            }
        }
        panic!("no server could be started");
    }

    /// Kills it without a warning.
    pub(crate) async fn kill(&mut self) {
        self.process.kill().await.unwrap();
    }

    /// Starts it again at the same place with the same content.
    pub(crate) async fn restart(&mut self) {
        self.process = spawn(&self.folder, self.address);
        assert!(ready(&mut self.process, self.address).await, "the server did not come back");
    }
}

fn spawn(folder: &TempDir, address: SocketAddr) -> Child {
    Command::new(stack("STACK_S3_BIN"))
        .env("ROOT_ACCESS_KEY", stack("STACK_S3_ACCESS_KEY"))
        .env("ROOT_SECRET_KEY", stack("STACK_S3_SECRET_KEY"))
        .args(["--region", "us-east-1", "--port", &address.to_string()])
        .args(["--health", "/health", "--quiet", "posix"])
        .arg(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Whether it answers, or has ended.
async fn ready(server: &mut Child, address: SocketAddr) -> bool {
    let health = async {
        let client = http();
        loop {
            if client.get(format!("http://{address}/health")).send().await.is_ok() {
                return true;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        answers = timeout(Duration::from_secs(60), health) => answers.unwrap_or(false),
        _ = server.wait() => false,
    }
}
