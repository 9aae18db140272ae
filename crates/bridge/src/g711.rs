//! G.711: the audio of telephones, 8,000 samples a second, a byte each.

#[cfg(test)]
mod tests;

/// Samples, and bytes, in 20 ms.
pub(crate) const FRAME: usize = 160;

/// A law of G.711.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// A-law: the world.
    Pcma,
    /// µ-law: North America and Japan.
    Pcmu,
}

impl Codec {
    /// The static RTP payload type (RFC 3551, table 4).
    pub(crate) const fn payload_type(self) -> u8 {
        match self {
            Self::Pcma => 8,
            Self::Pcmu => 0,
        }
    }

    /// The encoding name in SDP, without the clock rate.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Pcma => "PCMA",
            Self::Pcmu => "PCMU",
        }
    }

    /// The code of silence.
    pub(crate) const fn silence(self) -> u8 {
        match self {
            Self::Pcma => 0xD5,
            Self::Pcmu => 0xFF,
        }
    }

    /// The sample of a code.
    pub(crate) fn decode(self, code: u8) -> i16 {
        self.samples()[usize::from(code)]
    }

    /// The samples of all codes.
    pub(crate) const fn samples(self) -> &'static [i16; 256] {
        match self {
            Self::Pcma => &A_LAW,
            Self::Pcmu => &MU_LAW,
        }
    }

    /// The code of a sample.
    pub(crate) const fn encode(self, sample: i16) -> u8 {
        match self {
            Self::Pcma => encode_a_law(sample),
            Self::Pcmu => encode_mu_law(sample),
        }
    }

    /// The loudness of a payload as RFC 6464 wants it: 0 (the loudest there is) to -127 dBov.
    pub(crate) fn level(self, payload: &[u8]) -> i8 {
        let squares = match self {
            Self::Pcma => &A_SQUARES,
            Self::Pcmu => &MU_SQUARES,
        };
        let sum: u64 = payload.iter().map(|&code| u64::from(squares[usize::from(code)])).sum();
        // What the quietest codes make of silence is silence.
        if payload.is_empty() || sum <= payload.len() as u64 * QUIET {
            return -127;
        }
        let power = sum as f32 / payload.len() as f32 / FULL_SCALE;
        (10.0 * power.log10()).round().clamp(-127.0, 0.0) as i8
    }
}

/// The square of ±8: A-law has no zero.
const QUIET: u64 = 64;
/// The square of a full-scale sample: 0 dBov.
const FULL_SCALE: f32 = 32_768.0 * 32_768.0;

/// What is added in µ-law before the segment is looked for; samples have 14 bits with the sign.
const BIAS: u16 = 33;
/// With the bias it fills 13 bits.
const CLIP: u16 = 8_158;

const fn encode_mu_law(sample: i16) -> u8 {
    let sample = sample >> 2;
    let (magnitude, mask) = (sample.unsigned_abs(), if sample < 0 { 0x7F } else { 0xFF });
    let biased = (if magnitude > CLIP { CLIP } else { magnitude }) + BIAS;
    // 6 bits and fewer are segment 0. The bias sets the sixth: there is no fewer.
    let segment = (u16::BITS - biased.leading_zeros() - 6) as u16;
    let code = (segment << 4) | ((biased >> (segment + 1)) & 0x0F);
    code as u8 ^ mask
}

const fn encode_a_law(sample: i16) -> u8 {
    let sample = sample >> 3;
    let (magnitude, mask) = if sample < 0 { (!sample, 0x55) } else { (sample, 0xD5) };
    let magnitude = magnitude.cast_unsigned();
    // 5 bits and fewer are segment 0.
    let segment = ((u16::BITS - (magnitude | 0x1F).leading_zeros()) - 5) as u16;
    let shift = if segment < 2 { 1 } else { segment };
    let code = (segment << 4) | ((magnitude >> shift) & 0x0F);
    code as u8 ^ mask
}

const fn decode_mu_law(code: u8) -> i16 {
    let code = !code;
    let segment = (code >> 4) & 0x07;
    let biased = ((((code & 0x0F) as i16) << 3) + 0x84) << segment;
    if code & 0x80 == 0 { biased - 0x84 } else { 0x84 - biased }
}

const fn decode_a_law(code: u8) -> i16 {
    let code = code ^ 0x55;
    let segment = (code >> 4) & 0x07;
    let step = ((code & 0x0F) as i16) << 4;
    let magnitude = match segment {
        0 => step + 0x008,
        _ => (step + 0x108) << (segment - 1),
    };
    if code & 0x80 == 0 { -magnitude } else { magnitude }
}

static A_LAW: [i16; 256] = {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        table[code] = decode_a_law(code as u8);
        code += 1;
    }
    table
};

static MU_LAW: [i16; 256] = {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        table[code] = decode_mu_law(code as u8);
        code += 1;
    }
    table
};

static A_SQUARES: [u32; 256] = squares(&A_LAW);
static MU_SQUARES: [u32; 256] = squares(&MU_LAW);

const fn squares(samples: &[i16; 256]) -> [u32; 256] {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        let magnitude = samples[code].unsigned_abs() as u32;
        table[code] = magnitude * magnitude;
        code += 1;
    }
    table
}
