//! G.711, by the tables of ITU-T G.711 and not by the server's.

/// A law of G.711.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Law {
    /// A-law, payload type 8.
    Pcma,
    /// Mu-law, payload type 0.
    Pcmu,
}

impl Law {
    /// Its payload type (RFC 3551, section 6).
    pub fn payload_type(self) -> u8 {
        match self {
            Self::Pcma => 8,
            Self::Pcmu => 0,
        }
    }

    /// The law with this payload type.
    pub fn of(payload_type: u8) -> Option<Self> {
        [Self::Pcma, Self::Pcmu].into_iter().find(|law| law.payload_type() == payload_type)
    }

    /// Its name in SDP.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pcma => "PCMA",
            Self::Pcmu => "PCMU",
        }
    }

    /// The sample of a byte.
    pub fn decode(self, byte: u8) -> i16 {
        let (code, offset, negative) = match self {
            Self::Pcmu => (!byte, 132, byte & 0x80 == 0),
            Self::Pcma => (byte ^ 0x55, 0, (byte ^ 0x55) & 0x80 == 0),
        };
        let (exponent, mantissa) = (i32::from(code >> 4 & 7), i32::from(code & 15));
        let amplitude = match self {
            Self::Pcmu => (((mantissa << 3) + offset) << exponent) - offset,
            Self::Pcma if exponent == 0 => (mantissa << 4) + 8,
            Self::Pcma => ((mantissa << 4) + 0x108) << (exponent - 1),
        };
        let sample = if negative { -amplitude } else { amplitude };
        i16::try_from(sample).unwrap()
    }

    /// The byte of a sample.
    pub fn encode(self, sample: i16) -> u8 {
        let negative = sample < 0;
        let amplitude = i32::from(sample).abs().min(32_635);
        let (exponent, mantissa) = match self {
            Self::Pcmu => {
                let exponent = (amplitude + 132).ilog2() - 7;
                (exponent, (amplitude + 132) >> (exponent + 3))
            }
            Self::Pcma if amplitude < 256 => (0, amplitude >> 4),
            Self::Pcma => {
                let exponent = amplitude.ilog2() - 7;
                (exponent, amplitude >> (exponent + 3))
            }
        };
        let code = u8::try_from(exponent << 4).unwrap() | u8::try_from(mantissa & 15).unwrap();
        match self {
            Self::Pcmu => !(code | u8::from(negative) << 7),
            Self::Pcma => (code | u8::from(!negative) << 7) ^ 0x55,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Law;

    #[test]
    fn known_codes() {
        let mu = [(0xff, 0), (0x7f, 0), (0x80, 32124), (0x00, -32124), (0xf0, 120)];
        let a = [(0xd5, 8), (0x55, -8), (0xaa, 32256), (0x2a, -32256), (0x80, 5504)];
        for (law, known) in [(Law::Pcmu, mu), (Law::Pcma, a)] {
            for (byte, sample) in known {
                assert_eq!(law.decode(byte), sample, "{law:?} {byte:02x}");
                // Mu-law has two zeros.
                assert_eq!(law.decode(law.encode(sample)), sample, "{law:?} {byte:02x}");
            }
            for sample in (-32_000..32_000_i16).step_by(7) {
                let off = (i32::from(law.decode(law.encode(sample))) - i32::from(sample)).abs();
                assert!(off <= i32::from(sample).abs() / 16 + 8, "{law:?} {sample}: {off}");
            }
        }
    }
}
