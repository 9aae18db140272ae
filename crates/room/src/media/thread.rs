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

/// Slots of the wheel: every participant has its turn every 20 ms, in a slot that comes 5 ms after the
/// one before.
const SLOTS: usize = 4;
/// Participants that a slot takes before the next is used. Few wake-ups for many participants cost
/// least, but in its slot a participant waits for those before it.
const FULL: usize = 32;
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
        let idle = idle_steps(&wheel, slot);
        at = sleep_until(at + STEP * idle as u32);
        slot = (slot + 1 + idle) % SLOTS;
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
    let fullest = wheel.iter().filter(|slot| slot.len() < FULL).map(Vec::len).max();
    let fewest = wheel.iter().map(Vec::len).min();
    let slot = wheel.iter_mut().find(|slot| Some(slot.len()) == fullest.or(fewest));
    if let Some(slot) = slot {
        slot.push(seat);
    }
}

/// Steps after that of `slot` in which nobody has a turn: the thread sleeps through them.
fn idle_steps(wheel: &[Vec<Arc<Seat>>; SLOTS], slot: usize) -> usize {
    if wheel.iter().flatten().any(|seat| seat.is_urgent()) {
        return 0;
    }
    let is_used = |idle: &usize| !wheel[(slot + 1 + idle) % SLOTS].is_empty();
    (0..SLOTS).find(is_used).unwrap_or(0)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{core::peer::Peer, options::Limits};

    /// As after a session's step: a peer without connections is in no hurry.
    fn seat() -> Arc<Seat> {
        let peer = Peer::new(true, String::new());
        let (seat, _inlet) = Seat::new(peer, [127, 0, 0, 1].into(), Limits::default());
        seat.with(|_| ());
        Arc::new(seat)
    }

    fn lengths(wheel: &[Vec<Arc<Seat>>; SLOTS]) -> [usize; SLOTS] {
        std::array::from_fn(|n| wheel[n].len())
    }

    #[test]
    fn a_slot_is_filled_before_the_next_is_used() {
        let mut wheel: [Vec<Arc<Seat>>; SLOTS] = Default::default();
        (0..FULL + 1).for_each(|_| add(&mut wheel, seat()));
        assert_eq!(lengths(&wheel), [FULL, 1, 0, 0]);
        wheel[0].clear();
        add(&mut wheel, seat());
        assert_eq!(lengths(&wheel), [0, 2, 0, 0]);
        (0..FULL * SLOTS).for_each(|_| add(&mut wheel, seat()));
        assert_eq!(lengths(&wheel), [FULL + 1, FULL + 1, FULL, FULL]);
    }

    #[test]
    fn the_thread_sleeps_through_steps_without_turns() {
        let mut wheel: [Vec<Arc<Seat>>; SLOTS] = Default::default();
        wheel[1].push(seat());
        let idle = |wheel: &_| [0, 1, 2, 3].map(|slot| idle_steps(wheel, slot));
        assert_eq!(idle(&wheel), [0, 3, 2, 1]);
        wheel[3].push(seat());
        assert_eq!(idle(&wheel), [0, 1, 0, 1]);
        // a participant that connects has turns in every step
        let peer = Peer::new(true, String::new());
        let (urgent, _inlet) = Seat::new(peer, [127, 0, 0, 1].into(), Limits::default());
        wheel[3].push(Arc::new(urgent));
        assert_eq!(idle(&wheel), [0; SLOTS]);
    }
}
