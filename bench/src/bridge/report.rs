//! Plain lines.

use crate::Agent;
use crate::measure::{Direction, Measured};
use crate::print_line;

pub(crate) fn heading(agent: Agent) {
    print_line("");
    print_line(match agent {
        Agent::Opus => "agents speak Opus (48 kHz, mono, 32 kbit/s), phones µ-law",
        Agent::Pcmu => "agents speak µ-law, phones µ-law",
    });
    print_line(
        "              |       | % of a core/call |     KiB |      phone → room: lost,  marks, latency |      room → phone: lost,  marks, latency | machine",
    );
    print_line(
        "              | calls |     own   server |   /call |  packets silent missed   p50 /   p99 ms |  packets silent missed   p50 /   p99 ms | busy %",
    );
}

pub(crate) fn row(measured: &Measured) {
    print_line(&format!(
        "{:<13} | {:>5} | {:>7} {:>8} | {:>7} | {} | {} | {:>6.0}",
        measured.path,
        measured.calls,
        number(measured.cpu, 3),
        number(measured.server_cpu, 3),
        number(measured.memory, 0),
        direction(&measured.to_room),
        direction(&measured.to_phone),
        measured.busy
    ));
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}

fn direction(direction: &Direction) -> String {
    let millis = |share| number(direction.percentile(share), 1);
    let counts = &direction.counts;
    format!(
        "{:>3}/{:>6} {:>5} {:>3}/{:>3} {:>6} / {:>6}",
        counts.lost,
        counts.received,
        counts.silent,
        direction.missed(),
        counts.marks,
        millis(0.5),
        millis(0.99)
    )
}

/// The bridge beside livekit-sip, and the latencies beside those of the room alone.
pub(crate) fn ratios(all: &[Measured]) {
    let direct = all.iter().find(|measured| measured.path == "room only");
    let base = all.iter().find(|measured| measured.path == "livekit-sip");
    for measured in all.iter().filter(|measured| measured.path != "room only") {
        let mut line = format!("{} with {} calls:", measured.path, measured.calls);
        if let Some(direct) = direct {
            line += &format!(
                " added latency p50/p99 {} ms to the room, {} ms to the phone",
                added(&measured.to_room, &direct.to_room),
                added(&measured.to_phone, &direct.to_phone)
            );
        }
        if let Some(base) = base.filter(|base| base.path != measured.path) {
            let times = |base: Option<f64>, own: Option<f64>| {
                number(base.zip(own).map(|(base, own)| base / own), 1)
            };
            line += &format!(
                "; {} x the calls per core and {} x the calls per memory of livekit-sip",
                times(base.cpu, measured.cpu),
                times(base.memory, measured.memory)
            );
        }
        print_line(&line);
    }
}

fn added(measured: &Direction, direct: &Direction) -> String {
    let added = |share| {
        let (own, base) = (measured.percentile(share), direct.percentile(share));
        number(own.zip(base).map(|(own, base)| own - base), 1)
    };
    format!("{}/{}", added(0.5), added(0.99))
}
