//! What a recording sounds like.

use std::io::Cursor;
use std::ops::Range;

use ogg::PacketReader;
use opus::{Channels, Decoder};

/// Samples a second, as Ogg/Opus counts them.
const RATE: f64 = 48_000.0;
/// The longest Opus packet: 120 ms.
const LONGEST_PACKET: usize = 5760;
/// For pitch one sample in six is enough: 8000 a second.
const COARSE: usize = 6;

/// Whose side of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Left.
    Callee,
    /// Right.
    Agent,
}

/// A decoded recording. Stretches of it are in seconds from its beginning.
#[derive(Clone)]
pub struct Sound {
    callee: Vec<f32>,
    agent: Vec<f32>,
}

impl Side {
    /// The side of a transcript's `speaker`.
    ///
    /// # Panics
    /// When it is none.
    pub fn of(speaker: &str) -> Self {
        match speaker {
            "user" => Self::Callee,
            "agent" => Self::Agent,
            other => panic!("no speaker: {other}"),
        }
    }

    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Callee => Self::Agent,
            Self::Agent => Self::Callee,
        }
    }
}

impl Sound {
    /// Decodes a stereo Ogg/Opus file (RFC 7845).
    ///
    /// # Panics
    /// When it is none, or not a whole one.
    pub fn of(file: &[u8]) -> Self {
        let mut packets = PacketReader::new(Cursor::new(file));
        let head = packets.read_packet_expected().unwrap().data;
        assert!(head.starts_with(b"OpusHead\x01\x02"), "stereo Opus begins so: {head:?}");
        let skip = usize::from(u16::from_le_bytes([head[10], head[11]]));
        let tags = packets.read_packet_expected().unwrap().data;
        assert!(tags.starts_with(b"OpusTags"), "{tags:?}");

        let mut decoder = Decoder::new(48_000, Channels::Stereo).unwrap();
        let (mut samples, mut end) = (Vec::new(), None);
        while let Some(packet) = packets.read_packet().unwrap() {
            assert_eq!(end, None, "nothing comes behind the end");
            let mut piece = [0.0; 2 * LONGEST_PACKET];
            let length = decoder.decode_float(&packet.data, &mut piece, false).unwrap();
            samples.extend_from_slice(&piece[..2 * length]);
            end = packet.last_in_stream().then(|| packet.absgp_page());
        }
        let end = usize::try_from(end.expect("the end of the file")).unwrap();
        let heard = &samples[2 * skip..2 * end];
        Self::interleaved(heard)
    }

    /// Decodes it with the program `opusdec`, which knows nothing of ours.
    ///
    /// # Panics
    /// When that program, or `opusinfo`, finds fault with it.
    #[cfg(feature = "real-stack")]
    pub fn by_opusdec(file: &[u8]) -> Self {
        use std::process::{Command, Output};
        let folder = tempfile::tempdir().unwrap();
        let run = |command: &mut Command| -> Output {
            let output = command.current_dir(folder.path()).output().expect("opus-tools");
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && !said.contains("WARNING"), "{output:?}");
            output
        };
        std::fs::write(folder.path().join("call.ogg"), file).unwrap();
        run(Command::new("opusinfo").arg("call.ogg"));
        run(Command::new("opusdec").args(["--quiet", "--no-dither", "--rate", "48000"]).args([
            "--force-stereo",
            "call.ogg",
            "call.raw",
        ]));
        let raw = std::fs::read(folder.path().join("call.raw")).unwrap();
        let samples = raw.chunks_exact(2).map(|two| i16::from_le_bytes([two[0], two[1]]));
        Self::interleaved(&samples.map(|sample| f32::from(sample) / 32_768.0).collect::<Vec<_>>())
    }

    /// What was heard on a phone, 8000 samples a second: the same on both sides.
    #[cfg(feature = "real-stack")]
    pub(crate) fn of_phone(samples: &[i16]) -> Self {
        let samples = samples.iter().map(|sample| f32::from(*sample) / 32_768.0);
        let heard: Vec<f32> = samples.flat_map(|sample| [sample; COARSE]).collect();
        Self { callee: heard.clone(), agent: heard }
    }

    fn interleaved(samples: &[f32]) -> Self {
        let side = |n| samples.iter().skip(n).step_by(2).copied().collect();
        Self { callee: side(0), agent: side(1) }
    }

    /// How long it plays.
    pub fn seconds(&self) -> f64 {
        self.callee.len() as f64 / RATE
    }

    /// The mean loudness of a stretch in dBFS: 0 is a square wave of full scale, digital silence
    /// -200.
    pub fn level(&self, side: Side, stretch: Range<f64>) -> f64 {
        let samples = self.stretch(side, stretch);
        let square: f64 = samples.iter().map(|sample| f64::from(*sample).powi(2)).sum();
        20.0 * (square / samples.len().max(1) as f64).sqrt().max(1e-10).log10()
    }

    /// Where a side is louder than `level` (dBFS): stretches, joined over pauses of up to `pause`
    /// seconds. Looks at 20 ms at a time.
    pub fn loud(&self, side: Side, level: f64, pause: f64) -> Vec<Range<f64>> {
        const LOOK: f64 = 0.02;
        let mut loud: Vec<Range<f64>> = Vec::new();
        let looks = (self.seconds() / LOOK) as u32;
        for look in 0..looks {
            let here = f64::from(look) * LOOK..f64::from(look + 1) * LOOK;
            if self.level(side, here.clone()) > level {
                match loud.last_mut() {
                    Some(last) if here.start - last.end <= pause => last.end = here.end,
                    _ => loud.push(here),
                }
            }
        }
        loud
    }

    /// The pitch of a stretch in Hz, between 100 and 1000: by autocorrelation.
    pub fn pitch(&self, side: Side, stretch: Range<f64>) -> f64 {
        let samples: Vec<f64> = self
            .stretch(side, stretch)
            .chunks_exact(COARSE)
            .map(|few| few.iter().map(|sample| f64::from(*sample)).sum())
            .collect();
        let alike = |lag: usize| {
            let pairs = samples.iter().zip(&samples[lag..]);
            pairs.map(|(a, b)| a * b).sum::<f64>() / (samples.len() - lag) as f64
        };
        let rate = RATE / COARSE as f64;
        let lags: Vec<f64> = (0..=(rate / 100.0) as usize + 1).map(alike).collect();
        let shortest = (rate / 1000.0) as usize;
        let best = lags[shortest..].iter().copied().fold(f64::MIN, f64::max);
        // A tone is like itself after two periods, too: the first such lag is the period.
        let peak = (shortest..lags.len() - 1)
            .find(|&lag| {
                let [before, here, after] = [lags[lag - 1], lags[lag], lags[lag + 1]];
                here > 0.9 * best && here >= before && here >= after
            })
            .unwrap_or(shortest);
        // The top of the parabola through the three.
        let [before, here, after] = [lags[peak - 1], lags[peak], lags[peak + 1]];
        let shift = (before - after) / (2.0 * (before - 2.0 * here + after));
        rate / (peak as f64 + shift)
    }

    fn stretch(&self, side: Side, stretch: Range<f64>) -> &[f32] {
        let samples = match side {
            Side::Callee => &self.callee,
            Side::Agent => &self.agent,
        };
        let place = |seconds: f64| ((seconds * RATE).round() as usize).min(samples.len());
        &samples[place(stretch.start)..place(stretch.end)]
    }
}

impl std::fmt::Debug for Sound {
    /// What is loud where: what a failed test wants to know.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} s", self.seconds())?;
        for side in [Side::Callee, Side::Agent] {
            write!(f, "; {side:?}:")?;
            for Range { start, end } in self.loud(side, -50.0, 0.3) {
                write!(f, " {start:.2}-{end:.2}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::{Side, Sound};

    #[test]
    fn pitch_and_level_of_a_tone() {
        for hz in [110.0, 220.0, 333.0, 440.0, 900.0] {
            let sine = (0..48_000).map(|n| 0.5 * (TAU * hz * f64::from(n) / 48_000.0).sin());
            let samples: Vec<f32> = sine.flat_map(|sample| [0.0, sample as f32]).collect();
            let sound = Sound::interleaved(&samples);
            let pitch = sound.pitch(Side::Agent, 0.2..0.7);
            assert!((pitch / hz - 1.0).abs() < 0.005, "{hz} Hz: {pitch}");
            // A sine is 3 dB below its peak.
            assert!((sound.level(Side::Agent, 0.0..1.0) + 9.03).abs() < 0.1);
            assert!(sound.level(Side::Callee, 0.0..1.0) < -190.0);
            assert_eq!(sound.loud(Side::Callee, -60.0, 0.1), []);
            assert_eq!(sound.loud(Side::Agent, -60.0, 0.1), [0.0..1.0]);
        }
    }
}
