//! The one thread that writes, and its group commit.
//!
//! A commit costs a flush of the disk, a write inside it only microseconds. So the thread takes all
//! requests that wait, runs them in one transaction, commits once, and only then answers them. While
//! it flushes, the next group gathers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use outdial_domain::ErrorKind;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::fault::{Fault, Outcome};

/// How many requests may wait; more senders wait for their turn.
const QUEUE: usize = 2048;

/// How many requests share a commit at most: bounds the wait of the first.
const GROUP: usize = 512;

/// Counts of what the writer has done since the store was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct WriteStats {
    /// Transactions committed.
    pub commits: u64,
    /// Requests answered after a commit.
    pub writes: u64,
}

#[derive(Debug, Default)]
struct Counters {
    commits: AtomicU64,
    writes: AtomicU64,
}

/// The handle of the thread. Dropping it lets the thread finish what waits, and joins it.
#[derive(Debug)]
pub(crate) struct Writer {
    // `None` only inside `drop`: the thread ends when the last sender is gone.
    sender: Option<mpsc::Sender<Message>>,
    thread: Option<JoinHandle<()>>,
    counters: Arc<Counters>,
}

enum Message {
    Write(Box<dyn Job>),
    Close(oneshot::Sender<Outcome<()>>),
}

impl Writer {
    /// Starts the thread on a connection that is set up. `guard` is dropped when the thread ends.
    pub(crate) fn start<G: Send + 'static>(
        connection: Connection,
        guard: G,
    ) -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let counters = Arc::new(Counters::default());
        let thread = Thread { connection, counters: Arc::clone(&counters) };
        let thread = std::thread::Builder::new()
            .name("sqlite-writer".into())
            .spawn(move || thread.run(receiver, guard))?;
        Ok(Self { sender: Some(sender), thread: Some(thread), counters })
    }

    /// Runs `work` in a transaction and gives its result once that is on the disk.
    ///
    /// When `work` fails, nothing it wrote stays. It may run twice, the first time undone.
    pub(crate) async fn run<T, F>(&self, work: F) -> Outcome<T>
    where
        T: Send + 'static,
        F: FnMut(&Connection) -> Outcome<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let request = Request { work, outcome: None, reply };
        self.send(Message::Write(Box::new(request))).await?;
        answer.await.map_err(|_| Fault::closed())?
    }

    /// Finishes what waits, moves everything into the main file, and ends the thread.
    pub(crate) async fn close(&self) -> Outcome<()> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Close(reply)).await?;
        answer.await.map_err(|_| Fault::closed())?
    }

    pub(crate) fn stats(&self) -> WriteStats {
        WriteStats {
            commits: self.counters.commits.load(Ordering::Relaxed),
            writes: self.counters.writes.load(Ordering::Relaxed),
        }
    }

    /// How many requests wait.
    #[cfg(test)]
    pub(crate) fn queued(&self) -> usize {
        let sender = self.sender.as_ref();
        sender.map_or(0, |sender| sender.max_capacity() - sender.capacity())
    }

    async fn send(&self, message: Message) -> Outcome<()> {
        let sender = self.sender.as_ref().ok_or_else(Fault::closed)?;
        sender.send(message).await.map_err(|_| Fault::closed())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.sender.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the SQLite writer thread panicked");
        }
    }
}

/// A request without its type.
trait Job: Send {
    /// Runs the work; `false` when it failed.
    fn run(&mut self, connection: &Connection) -> bool;
    /// Answers with what the last run gave.
    fn reply(self: Box<Self>);
    /// Answers that the transaction failed.
    fn fail(self: Box<Self>, kind: ErrorKind, message: &str);
}

struct Request<T, F> {
    work: F,
    outcome: Option<Outcome<T>>,
    reply: oneshot::Sender<Outcome<T>>,
}

impl<T, F> Job for Request<T, F>
where
    T: Send,
    F: FnMut(&Connection) -> Outcome<T> + Send,
{
    fn run(&mut self, connection: &Connection) -> bool {
        let outcome = (self.work)(connection);
        self.outcome.insert(outcome).is_ok()
    }

    fn reply(self: Box<Self>) {
        // A caller that no longer waits has chosen not to know.
        let _ = self.reply.send(self.outcome.unwrap_or_else(|| Err(Fault::closed())));
    }

    fn fail(self: Box<Self>, kind: ErrorKind, message: &str) {
        let _ = self.reply.send(Err(Fault::decided(kind, message)));
    }
}

/// Why a group was not committed. Nothing of it is stored.
enum Undone {
    /// One request failed after it had written.
    ByRequest,
    /// The transaction could not begin or commit.
    ByTransaction(Fault),
}

struct Thread {
    connection: Connection,
    counters: Arc<Counters>,
}

impl Thread {
    fn run<G>(self, mut receiver: mpsc::Receiver<Message>, guard: G) {
        let mut messages = Vec::with_capacity(GROUP);
        let mut closers = Vec::new();
        while receiver.blocking_recv_many(&mut messages, GROUP) > 0 {
            let mut group = Vec::with_capacity(messages.len());
            for message in messages.drain(..) {
                match message {
                    Message::Write(job) => group.push(job),
                    Message::Close(reply) => {
                        // What is in the queue is still taken out and done.
                        receiver.close();
                        closers.push(reply);
                    }
                }
            }
            self.write(group);
        }
        let closed = self.finish();
        drop(guard);
        for closer in closers {
            let answer =
                closed.as_ref().map_err(|(kind, text)| Fault::decided(*kind, text.clone()));
            let _ = closer.send(answer.copied());
        }
    }

    fn finish(self) -> Result<(), (ErrorKind, String)> {
        let checkpoint =
            self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        let closed = checkpoint.and(self.connection.close().map_err(|(_, error)| error));
        closed.map_err(|error| Fault::from(error).describe())
    }

    fn write(&self, mut group: Vec<Box<dyn Job>>) {
        match self.attempt(&mut group) {
            Ok(()) => self.reply(group),
            Err(Undone::ByTransaction(fault)) => {
                let (kind, message) = fault.describe();
                for job in group {
                    job.fail(kind, &message);
                }
            }
            // It has failed by itself, and its own error is the answer.
            Err(Undone::ByRequest) if group.len() == 1 => self.reply(group),
            // One must not undo the others: each gets a transaction of its own.
            Err(Undone::ByRequest) => {
                for job in group {
                    self.write(vec![job]);
                }
            }
        }
    }

    fn reply(&self, group: Vec<Box<dyn Job>>) {
        for job in group {
            self.counters.writes.fetch_add(1, Ordering::Relaxed);
            job.reply();
        }
    }

    /// One transaction over the group.
    ///
    /// A request that fails without having written (a conflict, a busy trunk) needs no savepoint.
    /// One that fails later does so because the disk is full or broken, and that is rare.
    fn attempt(&self, group: &mut [Box<dyn Job>]) -> Result<(), Undone> {
        if group.is_empty() {
            return Ok(());
        }
        self.execute("BEGIN IMMEDIATE").map_err(Undone::ByTransaction)?;
        for job in group {
            let before = self.connection.total_changes();
            let done = job.run(&self.connection);
            // On some errors SQLite ends the transaction by itself.
            let ended = self.connection.is_autocommit();
            if ended || (!done && self.connection.total_changes() != before) {
                self.roll_back();
                return Err(Undone::ByRequest);
            }
        }
        if let Err(fault) = self.execute("COMMIT") {
            self.roll_back();
            return Err(Undone::ByTransaction(fault));
        }
        self.counters.commits.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn roll_back(&self) {
        if !self.connection.is_autocommit()
            && let Err(fault) = self.execute("ROLLBACK")
        {
            let (_, error) = fault.describe();
            tracing::error!(%error, "SQLite could not undo a failed transaction");
        }
    }

    fn execute(&self, statement: &str) -> Outcome<()> {
        self.connection.prepare_cached(statement)?.execute([])?;
        Ok(())
    }
}
