//! When to stop.

use std::io;

use tokio_util::sync::CancellationToken;

/// A wish to stop: first with patience, then at once. Clones are the same wish.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    begun: CancellationToken,
    forced: CancellationToken,
}

impl Shutdown {
    /// Nobody wishes to stop yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins: no new calls, running ones may finish within `server.drain_timeout`.
    pub fn begin(&self) {
        self.begun.cancel();
    }

    /// Stops now, whatever is running.
    pub fn force(&self) {
        self.begin();
        self.forced.cancel();
    }

    /// Resolves when the stop has begun.
    pub async fn begun(&self) {
        self.begun.cancelled().await;
    }

    /// Resolves when the stop is to be at once.
    pub async fn forced(&self) {
        self.forced.cancelled().await;
    }

    /// Begins at this process's first SIGTERM or SIGINT (Ctrl-C) and forces at the second. Replaces
    /// what these signals do otherwise, until the process ends.
    ///
    /// # Errors
    /// When signals cannot be listened for.
    pub fn on_signals() -> io::Result<Self> {
        let shutdown = Self::new();
        let mut signals = Signals::listen()?;
        let wish = shutdown.clone();
        // Lives as long as the runtime: there is nothing to join.
        tokio::spawn(async move {
            let first = signals.next().await;
            tracing::info!(signal = first, "stopping; once more stops at once");
            wish.begin();
            let second = signals.next().await;
            tracing::warn!(signal = second, "stopping at once");
            wish.force();
        });
        Ok(shutdown)
    }
}

#[cfg(unix)]
struct Signals {
    term: tokio::signal::unix::Signal,
    int: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let (term, int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok(Self { term, int })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.term.recv() => "SIGTERM",
            _ = self.int.recv() => "SIGINT",
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> &'static str {
        match tokio::signal::ctrl_c().await {
            Ok(()) => "Ctrl-C",
            Err(_) => std::future::pending().await,
        }
    }
}
