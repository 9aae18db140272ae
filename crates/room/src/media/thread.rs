//! One media thread: many participants on a wheel of 20 ms.

use crate::media::{outbox::Outbox, seat::Seat, socket::Batch};
use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc::{Receiver, Sender},
    },
    time::{Duration, Instant},
};

/// Slots of the wheel: every participant has its turn every 20 ms, a quarter of them each 5 ms.
const SLOTS: usize = 4;
const STEP: Duration = Duration::from_millis(20 / SLOTS as u64);
/// A thread that is later than this does not make up for it.
const MAX_LATE: Duration = Duration::from_millis(200);

/// Seats are sent here.
#[derive(Clone)]
pub(crate) struct Worker {
    pub(crate) seats: Sender<Arc<Seat>>,
    pub(crate) load: Arc<AtomicUsize>,
}

/// Where connected seats go on to; empty on a thread that keeps them.
pub(crate) type Next = Vec<Worker>;

/// Runs until every sender is gone and every seat is closed.
pub(crate) fn run(seats: &Receiver<Arc<Seat>>, load: &AtomicUsize, next: &Next) {
    let mut wheel: [Vec<Arc<Seat>>; SLOTS] = Default::default();
    let (mut batch, mut outbox) = (Batch::new(), Outbox::default());
    let mut at = Instant::now();
    let mut slot = 0;
    loop {
        if wheel.iter().all(Vec::is_empty) {
            let Ok(seat) = seats.recv() else { return };
            add(&mut wheel, seat);
            at = Instant::now();
        }
        while let Ok(seat) = seats.try_recv() {
            add(&mut wheel, seat);
        }
        at = sleep_until(at);
        slot = (slot + 1) % SLOTS;
        let now = Instant::now();
        for (index, seats) in wheel.iter_mut().enumerate() {
            seats.retain(|seat| {
                turn(seat, now, index == slot, &mut batch, &mut outbox);
                let done = seat.is_closed() || (seat.is_up() && hand_over(seat, next));
                if done {
                    load.fetch_sub(1, Relaxed);
                }
                !done
            });
        }
        outbox.flush();
    }
}

fn add(wheel: &mut [Vec<Arc<Seat>>; SLOTS], seat: Arc<Seat>) {
    if let Some(slot) = wheel.iter_mut().min_by_key(|slot| slot.len()) {
        slot.push(seat);
    }
}

/// Waits for a step of the wheel and returns when the next is due.
fn sleep_until(at: Instant) -> Instant {
    let now = Instant::now();
    if at > now {
        std::thread::sleep(at - now);
    }
    if now.saturating_duration_since(at) > MAX_LATE {
        return now + STEP;
    }
    at + STEP
}

/// A seat's turn. When it is not that of its slot, only if it is in a hurry.
fn turn(seat: &Seat, now: Instant, tick: bool, batch: &mut Batch, outbox: &mut Outbox) {
    if seat.is_closed() || !(tick || seat.is_urgent()) {
        return;
    }
    // a panic of a sink or a source must not end the others on this thread
    let turn = AssertUnwindSafe(|| seat.turn(now, tick, batch, outbox));
    if std::panic::catch_unwind(turn).is_err() {
        tracing::error!("a participant panicked on a media thread and is closed");
        seat.give_up();
    }
}

/// Moves a connected seat to the thread with the fewest.
fn hand_over(seat: &Arc<Seat>, next: &Next) -> bool {
    let Some(worker) = next.iter().min_by_key(|w| w.load.load(Relaxed)) else { return false };
    worker.load.fetch_add(1, Relaxed);
    worker.seats.send(Arc::clone(seat)).is_ok()
}
