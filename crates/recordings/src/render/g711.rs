//! G.711: a byte is a sample (ITU-T G.711).

/// mu-law to linear.
pub(super) static MU_LAW: [i16; 256] = table(true);
/// A-law to linear.
pub(super) static A_LAW: [i16; 256] = table(false);

const fn table(mu_law: bool) -> [i16; 256] {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        table[code] = if mu_law { from_mu_law(code as u8) } else { from_a_law(code as u8) };
        code += 1;
    }
    table
}

const fn from_mu_law(code: u8) -> i16 {
    let code = !code;
    let (segment, step) = ((code >> 4) & 7, (code & 15) as i16);
    let magnitude = (((step << 3) + 0x84) << segment) - 0x84;
    if code & 0x80 == 0 { magnitude } else { -magnitude }
}

const fn from_a_law(code: u8) -> i16 {
    let code = code ^ 0x55;
    let (segment, step) = ((code >> 4) & 7, (code & 15) as i16);
    let magnitude = match segment {
        0 => (step << 4) + 8,
        _ => ((step << 4) + 0x108) << (segment - 1),
    };
    if code & 0x80 == 0 { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_and_the_middle_are_those_of_the_standard() {
        assert_eq!((MU_LAW[0xFF], MU_LAW[0x7F]), (0, 0));
        assert_eq!((MU_LAW[0x80], MU_LAW[0x00]), (32_124, -32_124));
        assert_eq!((A_LAW[0xD5], A_LAW[0x55]), (8, -8));
        assert_eq!((A_LAW[0xAA], A_LAW[0x2A]), (32_256, -32_256));
    }
}
