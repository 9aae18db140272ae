//! The media threads.

pub(crate) mod companion;
pub(crate) mod outbox;
pub(crate) mod seat;
pub(crate) mod socket;
mod thread;

use self::thread::Worker;
use seat::Seat;
use std::{
    io,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc,
    },
};

/// How to run the media threads.
#[derive(Debug, Clone)]
pub struct MediaConfig {
    /// Number of threads, at least 1. One carries some hundred participants. 1 by default; one
    /// more thread connects new participants.
    pub threads: usize,
    /// Address that media sockets are bound to. By default the address that the default route
    /// uses, or 127.0.0.1 without one.
    pub bind: IpAddr,
}

impl Default for MediaConfig {
    fn default() -> Self {
        Self { threads: 1, bind: socket::default_address() }
    }
}

/// Handle to the media threads, cheap to clone. The threads stop when the last handle and the
/// last participant are gone.
#[derive(Clone)]
pub struct Media {
    /// The thread that connects participants; it hands them on.
    joining: Worker,
    bind: IpAddr,
}

impl std::fmt::Debug for Media {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Media").field("bind", &self.bind).finish_non_exhaustive()
    }
}

impl Media {
    /// Starts the threads.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn start(config: MediaConfig) -> io::Result<Self> {
        crate::signal_socket::register();
        let workers = (0..config.threads.max(1))
            .map(|n| spawn(format!("media-{n}"), Vec::new()))
            .collect::<io::Result<Vec<Worker>>>()?;
        // a handshake costs milliseconds; apart, it does not hold up those who talk
        let joining = spawn("media-join".to_owned(), workers)?;
        Ok(Self { joining, bind: config.bind })
    }

    pub(crate) fn bind(&self) -> IpAddr {
        self.bind
    }

    /// False: the threads are gone.
    pub(crate) fn add(&self, seat: Arc<Seat>) -> bool {
        self.joining.load.fetch_add(1, Relaxed);
        self.joining.seats.send(seat).is_ok()
    }
}

fn spawn(name: String, next: Vec<Worker>) -> io::Result<Worker> {
    let (sender, receiver) = mpsc::channel();
    let load = Arc::<AtomicUsize>::default();
    let worker = Worker { seats: sender, load: Arc::clone(&load) };
    std::thread::Builder::new().name(name).spawn(move || thread::run(&receiver, &load, &next))?;
    Ok(worker)
}
