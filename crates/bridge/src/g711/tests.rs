use super::*;

/// What Python's `audioop` makes of every code and of every sample: `lin2alaw` and its like. Encoded
/// are the first samples of each run of equal codes, from the lowest sample on.
const AUDIOOP: &str = include_str!("audioop.txt");

fn section(title: &str) -> Vec<&'static str> {
    let lines = AUDIOOP.lines().skip_while(|line| *line != title).skip(1);
    let lines = lines.take_while(|line| !line.starts_with("pcm"));
    lines.flat_map(str::split_ascii_whitespace).collect()
}

#[test]
fn every_code_and_every_sample_is_as_audioop_has_it() {
    for (codec, name) in [(Codec::Pcma, "pcma"), (Codec::Pcmu, "pcmu")] {
        let decoded: Vec<i16> =
            section(&format!("{name} decoded")).iter().map(|x| x.parse().unwrap()).collect();
        assert_eq!(decoded, codec.samples(), "{name}");

        let mut runs = section(&format!("{name} encoded")).into_iter().map(|run| {
            let (first, code) = run.split_once(':').unwrap();
            (first.parse::<i16>().unwrap(), code.parse::<u8>().unwrap())
        });
        let (mut run, mut next) = (runs.next().unwrap(), runs.next());
        assert_eq!(run.0, i16::MIN);
        for sample in i16::MIN..=i16::MAX {
            if next.is_some_and(|(first, _)| first == sample) {
                (run, next) = (next.unwrap(), runs.next());
            }
            assert_eq!(codec.encode(sample), run.1, "{name} {sample}");
        }
        assert!(next.is_none());
    }
}

#[test]
fn what_was_decoded_encodes_to_itself() {
    for code in 0..=255 {
        assert_eq!(Codec::Pcma.encode(Codec::Pcma.decode(code)), code);
        // µ-law has two zeros.
        let expect = if code == 0x7F { 0xFF } else { code };
        assert_eq!(Codec::Pcmu.encode(Codec::Pcmu.decode(code)), expect);
    }
}

#[test]
fn silence_has_its_code_and_no_level() {
    for codec in [Codec::Pcma, Codec::Pcmu] {
        assert_eq!(codec.encode(0), codec.silence());
        assert_eq!(codec.level(&[codec.silence(); FRAME]), -127);
        assert_eq!(codec.level(&[]), -127);
    }
}

#[test]
fn levels_are_decibels_of_overload() {
    let tone = |codec: Codec, amplitude: f64| -> i8 {
        let at = |n: i32| amplitude * (f64::from(n) * std::f64::consts::TAU / 20.0).sin();
        let payload: Vec<u8> = (0..160).map(|n| codec.encode(at(n) as i16)).collect();
        codec.level(&payload)
    };
    for codec in [Codec::Pcma, Codec::Pcmu] {
        assert_eq!(tone(codec, 32_767.0), -3);
        assert_eq!(tone(codec, 3_276.7), -23);
        assert_eq!(tone(codec, 327.7), -43);
        // A square wave of the loudest codes.
        let loud = codec.encode(i16::MAX);
        assert_eq!(codec.level(&[loud; FRAME]), 0, "{codec:?}");
    }
}
