use super::*;
use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

const LONG: Duration = Duration::from_secs(3600);

/// A range of its own for each test, below where the system takes ports from, that no other
/// program uses at the moment.
fn range(pairs: u16) -> RangeInclusive<u16> {
    static NEXT: LazyLock<AtomicU16> =
        LazyLock::new(|| AtomicU16::new(rand::random_range(6_000..12_000)));
    for _ in 0..1000 {
        let first = 2 * NEXT.fetch_add(pairs, Ordering::Relaxed);
        let last = first + 2 * pairs - 1;
        if (first..=last).all(|port| UdpSocket::bind((LOCALHOST, port)).is_ok()) {
            return first..=last;
        }
    }
    panic!("no free ports");
}

fn ports(pairs: u16, cooldown: Duration) -> Ports {
    Ports::new(LOCALHOST, range(pairs), cooldown).unwrap()
}

#[test]
fn ranges() {
    #[track_caller]
    fn check(range: RangeInclusive<u16>, pairs: Option<usize>) {
        let ports = Ports::new(LOCALHOST, range.clone(), LONG);
        assert_eq!(ports.as_ref().ok().map(Ports::pairs), pairs, "{range:?}");
        if let Err(error) = ports {
            assert!(error.to_string().starts_with("sip.rtp_ports: "), "{error}");
        }
    }
    check(31_000..=31_100, Some(50));
    check(31_000..=31_099, Some(50));
    check(31_001..=31_100, Some(49));
    check(31_000..=31_001, Some(1));
    check(65_534..=65_535, Some(1));
    check(2..=65_535, Some(32_767));
    check(31_001..=31_002, None);
    check(31_000..=31_000, None);
    check(65_535..=65_535, None);
    check(0..=100, None);
    #[expect(clippy::reversed_empty_ranges, reason = "what a setting may say")]
    check(31_100..=31_000, None);
}

#[test]
fn pairs_are_bound_and_do_not_block() {
    let ports = ports(4, LONG);
    let mut seen = HashSet::new();
    let pairs: Vec<_> = (0..4).map(|_| ports.take(Instant::now()).unwrap()).collect();
    for pair in &pairs {
        let (rtp, rtcp) = (pair.rtp.local_addr().unwrap(), pair.rtcp.local_addr().unwrap());
        assert_eq!((rtp.ip(), rtp.port()), (LOCALHOST, pair.port()));
        assert_eq!((rtcp.ip(), rtcp.port()), (LOCALHOST, pair.port() + 1));
        assert_eq!(pair.port() % 2, 0);
        assert!(seen.insert(pair.port()));
        let mut buffer = [0; 10];
        assert_eq!(pair.rtp.recv(&mut buffer).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(pair.rtcp.recv(&mut buffer).unwrap_err().kind(), ErrorKind::WouldBlock);
    }
}

#[test]
fn when_all_are_taken_the_error_names_the_setting() {
    let ports = ports(3, LONG);
    let now = Instant::now();
    let pairs: Vec<_> = (0..3).map(|_| ports.take(now).unwrap()).collect();
    let error = ports.take(now).unwrap_err();
    assert!(matches!(error, PortsError::Exhausted { in_use: 3, resting: 0, foreign: 0, .. }));
    assert!(error.to_string().contains("sip.rtp_ports"), "{error}");
    drop(pairs);
    let error = ports.take(now).unwrap_err();
    assert!(matches!(error, PortsError::Exhausted { in_use: 0, resting: 3, foreign: 0, .. }));
}

#[test]
fn a_used_pair_rests() {
    let ports = ports(1, LONG);
    let pair = ports.take(Instant::now()).unwrap();
    let port = pair.port();
    drop(pair);
    let before = Instant::now() + LONG - Duration::from_secs(60);
    assert!(matches!(ports.take(before), Err(PortsError::Exhausted { resting: 1, .. })));
    let after = Instant::now() + LONG;
    assert_eq!(ports.take(after).unwrap().port(), port);
}

#[test]
fn pairs_are_taken_in_turn() {
    let ports = ports(5, Duration::ZERO);
    let taken: Vec<_> = (0..10).map(|_| ports.take(Instant::now()).unwrap().port()).collect();
    // Each is used again only after all others were.
    assert_eq!(taken[..5].iter().collect::<HashSet<_>>().len(), 5);
    assert_eq!(taken[..5], taken[5..]);
}

#[test]
fn ports_of_other_programs_are_passed_over() {
    let range = range(3);
    let first = *range.start();
    // One has the RTP port of a pair, another the RTCP port.
    let even = UdpSocket::bind((LOCALHOST, first)).unwrap();
    let odd = UdpSocket::bind((LOCALHOST, first + 3)).unwrap();
    let ports = Ports::new(LOCALHOST, range, LONG).unwrap();
    let pair = ports.take(Instant::now()).unwrap();
    assert_eq!(pair.port(), first + 4);
    let error = ports.take(Instant::now()).unwrap_err();
    let expected = matches!(error, PortsError::Exhausted { in_use: 1, resting: 0, foreign: 2, .. });
    assert!(expected, "{error}");
    // They were never ours, so that they need not rest when they are free.
    drop((even, odd));
    let pairs: Vec<_> = (0..2).map(|_| ports.take(Instant::now()).unwrap().port()).collect();
    assert_eq!(pairs.iter().collect::<HashSet<_>>(), HashSet::from([&first, &(first + 2)]));
}

#[test]
fn an_address_of_another_machine() {
    // TEST-NET-1: nobody has it.
    let ports = Ports::new("192.0.2.1".parse().unwrap(), range(50), LONG).unwrap();
    let error = ports.take(Instant::now()).unwrap_err();
    assert!(matches!(error, PortsError::Bind { .. }), "{error}");
    assert!(error.to_string().contains("192.0.2.1"), "{error}");
}

#[test]
fn calls_come_and_go_at_once() {
    let ports = ports(40, Duration::ZERO);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..50 {
                    // A moment later than another thread gives one back.
                    let now = Instant::now() + LONG;
                    let held: Vec<_> = (0..4).map(|_| ports.take(now).unwrap()).collect();
                    let distinct: HashSet<_> = held.iter().map(PortPair::port).collect();
                    assert_eq!(distinct.len(), 4);
                }
            });
        }
    });
    assert!(ports.take(Instant::now()).is_ok());
}
