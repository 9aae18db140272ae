use super::*;
use crate::{
    core::peer::{Peer, PeerEvent},
    media::{
        Media, MediaConfig,
        seat::{Inlet, Seat},
    },
    options::Limits,
};
use std::{
    net::IpAddr,
    sync::{Arc, mpsc},
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(60);
const LOCALHOST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// What a companion lives through.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Receive(u32),
    Send(u32),
    Dropped,
}

struct Diary(mpsc::Sender<Step>);

impl Companion for Diary {
    fn receive(&mut self, turn: &mut Turn<'_>) {
        // A test may have seen enough.
        let _ = self.0.send(Step::Receive(turn.ticks()));
    }

    fn send(&mut self, turn: &mut Turn<'_>) {
        let _ = self.0.send(Step::Send(turn.ticks()));
    }
}

impl Drop for Diary {
    fn drop(&mut self) {
        let _ = self.0.send(Step::Dropped);
    }
}

fn peer() -> Peer {
    Peer::new(true, String::new())
}

fn seat() -> (Arc<Seat>, Inlet) {
    let (seat, inlet) = Seat::new(peer(), LOCALHOST, Limits::default());
    (Arc::new(seat), inlet)
}

fn diary(seat: &Seat) -> mpsc::Receiver<Step> {
    let (sender, steps) = mpsc::channel();
    seat.attach(Box::new(Diary(sender)));
    steps
}

fn taken(steps: &mpsc::Receiver<Step>) -> Vec<Step> {
    steps.try_iter().collect()
}

#[test]
fn turns_come_in_pairs_and_count_what_was_left_out() {
    use Step::{Receive, Send};
    let ((seat, _inlet), mut batch) = (seat(), Batch::new());
    let steps = diary(&seat);
    let mut turn = |tick| seat.turn(Instant::now(), tick, &mut batch, &mut Outbox::default());
    turn(true);
    assert_eq!(taken(&steps), [Receive(1), Send(1)]);
    // between ticks
    turn(false);
    assert_eq!(taken(&steps), [Receive(0), Send(0)]);
    // the session holds the seat for three ticks, and then for a long time
    for (held, expect) in [(3, 4), (1_000, 11)] {
        seat.with(|_| {
            for _ in 0..held {
                turn(true);
            }
            turn(false);
        });
        assert_eq!(taken(&steps), []);
        turn(true);
        assert_eq!(taken(&steps), [Receive(expect), Send(expect)]);
    }
}

#[test]
fn it_stays_over_a_new_join_and_goes_with_the_participant() {
    let ((seat, _inlet), mut batch) = (seat(), Batch::new());
    let first = diary(&seat);
    drop(seat.replace(peer()));
    seat.turn(Instant::now(), true, &mut batch, &mut Outbox::default());
    assert_eq!(taken(&first), [Step::Receive(1), Step::Send(1)]);
    let second = diary(&seat);
    assert_eq!(taken(&first), [Step::Dropped]);
    seat.close();
    assert_eq!(taken(&second), [Step::Dropped]);
    let late = diary(&seat);
    assert_eq!(taken(&late), [Step::Dropped]);
}

#[test]
fn a_panic_ends_its_participant_only() {
    struct Broken;
    impl Companion for Broken {
        fn receive(&mut self, _: &mut Turn<'_>) {
            panic!("a companion's own fault");
        }
        fn send(&mut self, _: &mut Turn<'_>) {}
    }
    let media = Media::start(MediaConfig { bind: LOCALHOST, ..Default::default() }).unwrap();
    let ((good, _good_inlet), (bad, mut bad_inlet)) = (seat(), seat());
    let steps = diary(&good);
    bad.attach(Box::new(Broken));
    assert!(media.add(Arc::clone(&bad)) && media.add(Arc::clone(&good)));
    let told = bad_inlet.control.blocking_recv();
    assert!(matches!(told, Some(PeerEvent::Panicked)), "{told:?}");
    assert!(bad.is_closed());
    taken(&steps);
    assert!(matches!(steps.recv_timeout(PATIENCE), Ok(Step::Receive(_) | Step::Send(_))));
    good.close();
}

/// Reads a socket and sends everything back, backwards.
struct Mirror {
    socket: UdpSocket,
    counts: mpsc::Sender<usize>,
}

impl Companion for Mirror {
    fn receive(&mut self, turn: &mut Turn<'_>) {
        let count = turn.read(&self.socket, &mut |from, bytes| {
            bytes.reverse();
            self.socket.send_to(bytes, from).unwrap();
        });
        self.counts.send(count).unwrap();
    }

    fn send(&mut self, _: &mut Turn<'_>) {}
}

#[test]
fn a_flood_waits_for_the_next_turn() {
    let ((seat, _inlet), mut batch) = (seat(), Batch::new());
    let socket = crate::media::socket::open(LOCALHOST).unwrap();
    let peer = UdpSocket::bind((LOCALHOST, 0)).unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    peer.connect(socket.local_addr().unwrap()).unwrap();
    let (sender, counts) = mpsc::channel();
    seat.attach(Box::new(Mirror { socket, counts: sender }));
    for n in 0..70u8 {
        peer.send(&[n, 0]).unwrap();
    }
    for expect in [64, 6, 0] {
        seat.turn(Instant::now(), true, &mut batch, &mut Outbox::default());
        assert_eq!(counts.try_recv(), Ok(expect));
    }
    let mut answer = [1; 4];
    for n in 0..70u8 {
        assert_eq!(peer.recv(&mut answer).unwrap(), 2);
        assert_eq!(answer[..2], [0, n]);
    }
}
