use super::*;

const NOT_HEARD: Event = Event::OneWay(OneWay::CalleeNotHeard);

/// The events of so long a talk, with the second of each.
fn events_of(rig: &mut Rig, seconds: u64) -> Vec<(u64, Event)> {
    let start = rig.now;
    let mut told = Vec::new();
    for _ in 0..seconds * 50 {
        rig.talk(20);
        let at = (rig.now - start).as_secs();
        told.extend(rig.events().into_iter().map(|event| (at, event)));
    }
    told
}

fn just_answered() -> Rig {
    let mut rig = Rig::early();
    rig.leg.answered(rig.now);
    rig
}

#[test]
fn nothing_since_the_answer_is_told_once() {
    let mut rig = just_answered();
    assert_eq!(events_of(&mut rig, 200), [(5, NOT_HEARD), (60, Event::NoMedia)]);
    assert_eq!(rig.leg.quality().one_way, Some(OneWay::CalleeNotHeard));
    // Then something comes after all.
    rig.receive(audio(SSRC, 0));
    assert_eq!(rig.leg.quality().one_way, None);
}

#[test]
fn before_the_answer_nothing_is_missed_and_early_media_counts_for_nothing() {
    let mut rig = Rig::early();
    rig.stream_from(PEER, SSRC, 0..100);
    assert_eq!(events_of(&mut rig, 300), [(0, Event::EarlyAudio)]);
    rig.leg.answered(rig.now);
    assert_eq!(events_of(&mut rig, 100), [(5, NOT_HEARD), (60, Event::NoMedia)]);
}

#[test]
fn silence_is_told_once_each_time() {
    let mut rig = just_answered();
    rig.receive(audio(SSRC, 0));
    let told = events_of(&mut rig, 100);
    assert_eq!(told, [(0, Event::FirstAudio), (30, Event::MediaSilence)]);
    rig.receive(audio(SSRC, 1));
    assert_eq!(events_of(&mut rig, 100), [(0, Event::MediaBack), (30, Event::MediaSilence)]);
}

#[test]
fn comfort_noise_digits_and_reports_are_signs_of_life() {
    let rr = [0x80, 201, 0, 1, 0, 0, 0xBE, 0xEF].to_vec();
    let noise = packet(13, SSRC, 1, 0, &[0x7F]);
    let flash = packet(101, SSRC, 1, 0, &[16, 0x8A, 0, 160]);
    for sign in [rr, noise, flash] {
        let mut rig = just_answered();
        rig.receive(audio(SSRC, 0));
        assert_eq!(events_of(&mut rig, 20), [(0, Event::FirstAudio)]);
        rig.receive(sign.clone());
        assert_eq!(events_of(&mut rig, 20), []);
        let told = events_of(&mut rig, 12);
        assert!(told.contains(&(10, Event::MediaSilence)), "{sign:?} {told:?}");
    }
}

#[test]
fn reports_alone_are_no_audio() {
    let mut rig = just_answered();
    let mut told = Vec::new();
    for _ in 0..20 {
        rig.receive([0x80, 201, 0, 1, 0, 0, 0xBE, 0xEF].to_vec());
        told.extend(events_of(&mut rig, 4).into_iter().map(|(_, event)| event));
    }
    assert_eq!(told, [NOT_HEARD, Event::NoMedia]);
}

#[test]
fn strangers_are_no_sign_of_life() {
    let mut rig = just_answered();
    let mut told = Vec::new();
    for n in 0..700 {
        rig.receive_from("203.0.113.9:4000", audio(SSRC, n));
        rig.pass(80);
        rig.talk(20);
        told.extend(rig.events());
    }
    assert_eq!(told, [NOT_HEARD, Event::NoMedia]);
}

#[test]
fn on_hold_nothing_is_missed() {
    let mut rig = just_answered();
    rig.receive(audio(SSRC, 0));
    events_of(&mut rig, 20);
    for hold in [
        Remote { direction: Direction::Inactive, ..remote() },
        Remote { direction: Direction::SendOnly, ..remote() },
        Remote { direction: Direction::RecvOnly, ..remote() },
        Remote { address: None, ..remote() },
    ] {
        rig.remote(&hold);
        assert_eq!(events_of(&mut rig, 100), []);
    }
    rig.remote(&remote());
    assert_eq!(events_of(&mut rig, 100), [(30, Event::MediaSilence)]);
}
