use std::collections::VecDeque;

use proptest::prelude::*;

use super::tests::Player;

/// What one speaker does, step by step.
#[derive(Debug, Clone)]
enum Step {
    Open(String, String, bool),
    Text(String, String),
    Close(String, bool),
    Voice(bool),
}

fn agent_steps(number: usize, words: usize) -> Vec<Step> {
    let stream = format!("a{number}");
    let mut steps = vec![Step::Open(stream.clone(), format!("A{number}"), false)];
    steps.extend((0..words).map(|w| Step::Text(stream.clone(), format!("a{number}w{w} "))));
    steps.push(Step::Close(stream, true));
    steps
}

fn user_steps(number: usize, guesses: usize, voice: bool) -> Vec<Step> {
    let mut steps = if voice { vec![Step::Voice(true)] } else { Vec::new() };
    for guess in 1..=guesses {
        let (stream, is_final) = (format!("u{number}g{guess}"), guess == guesses);
        let text = (0..guess).map(|w| format!("u{number}w{w} ")).collect();
        steps.push(Step::Open(stream.clone(), format!("U{number}"), is_final));
        steps.push(Step::Text(stream.clone(), text));
        steps.push(Step::Close(stream, is_final));
    }
    steps.push(Step::Voice(false));
    steps
}

/// Plays both speakers' steps, interleaved as `turns` says with pauses, and gives all lines.
fn play(
    agent: &[usize],
    user: &[(usize, bool)],
    turns: &[bool],
    pauses: &[u64],
) -> (Vec<(char, i64, String)>, bool) {
    let mut agent: VecDeque<_> =
        agent.iter().enumerate().flat_map(|(n, words)| agent_steps(n, *words)).collect();
    let mut user: VecDeque<_> = user
        .iter()
        .enumerate()
        .flat_map(|(n, (guesses, voice))| user_steps(n, *guesses, *voice))
        .collect();
    let mut player = Player::new();
    let mut time = 0;
    let mut turns = turns.iter().chain(std::iter::repeat(&true));
    let mut pauses = pauses.iter().cycle();
    while !agent.is_empty() || !user.is_empty() {
        let (first, second) =
            if *turns.next().unwrap() { (&mut agent, &mut user) } else { (&mut user, &mut agent) };
        let step = first.pop_front().or_else(|| second.pop_front()).unwrap();
        time += pauses.next().unwrap();
        player.at(time);
        match step {
            Step::Open(stream, segment, is_final) => player.open(&stream, &segment, is_final),
            Step::Text(stream, text) => player.text(&stream, &text),
            Step::Close(stream, is_final) => player.close(&stream, is_final),
            Step::Voice(is_active) => player.voice(is_active),
        };
    }
    player.flush();
    assert!(!player.collector.is_lost() && player.collector.ignored() == 0);
    let overtaken = player.overtaken;
    (player.said(), overtaken)
}

fn speech() -> impl Strategy<Value = (Vec<usize>, Vec<(usize, bool)>, Vec<bool>)> {
    (
        prop::collection::vec(1..5_usize, 0..6),
        prop::collection::vec((1..4_usize, any::<bool>()), 0..6),
        prop::collection::vec(any::<bool>(), 0..80),
    )
}

fn all_was_said(lines: &[(char, i64, String)], agent: &[usize], user: &[(usize, bool)]) {
    let words = |who: char, number: usize, count: usize| {
        (0..count).map(|w| format!("{who}{number}w{w}")).collect::<Vec<_>>().join(" ")
    };
    let said = |who| lines.iter().filter(|l| l.0 == who).map(|l| l.2.clone()).collect::<Vec<_>>();
    let agent: Vec<_> = agent.iter().enumerate().map(|(n, count)| words('a', n, *count)).collect();
    let user: Vec<_> =
        user.iter().enumerate().map(|(n, (count, _))| words('u', n, *count)).collect();
    assert_eq!(said('a'), agent);
    assert_eq!(said('u'), user);
}

proptest! {
    /// Nothing is lost, doubled or out of order when everybody is quick.
    #[test]
    fn lines_come_in_the_order_of_their_beginnings(
        (agent, user, turns) in speech(),
        pauses in prop::collection::vec(0..30_u64, 1..8),
    ) {
        let (lines, overtaken) = play(&agent, &user, &turns, &pauses);
        all_was_said(&lines, &agent, &user);
        prop_assert!(!overtaken);
        prop_assert!(lines.is_sorted_by_key(|line| line.1), "{:?}", lines);
    }

    /// Nothing is lost or doubled however slow they are; only a line that was waited for too long
    /// comes late.
    #[test]
    fn slow_speakers_lose_nothing(
        (agent, user, turns) in speech(),
        pauses in prop::collection::vec(0..9_000_u64, 1..8),
    ) {
        let (lines, overtaken) = play(&agent, &user, &turns, &pauses);
        all_was_said(&lines, &agent, &user);
        prop_assert!(overtaken || lines.is_sorted_by_key(|line| line.1), "{:?}", lines);
    }

    /// Whatever is sent, nothing panics and memory stays bounded.
    #[test]
    fn nonsense_is_survived(
        steps in prop::collection::vec((0..5_u8, 0..6_u8, 0..4_u8, any::<bool>(), 0..4_000_u64), 0..200)
    ) {
        let mut player = Player::new();
        let mut time = 0;
        for (what, stream, segment, flag, pause) in steps {
            time += pause;
            player.at(time);
            let stream = stream.to_string();
            let segment = format!("{}{segment}", if flag { 'U' } else { 'A' });
            match what {
                0 => player.open(&stream, &segment, pause % 2 == 0),
                1 => player.text(&stream, "x"),
                2 => player.close(&stream, flag),
                3 => player.voice(flag),
                _ => {
                    player.collector.fail(&stream, flag, player.now);
                    player.collector.agent_left("agent", flag, player.now);
                    &mut player
                }
            };
        }
        player.flush();
    }
}
