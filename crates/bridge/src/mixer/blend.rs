//! Several voices at once.

/// Up to here a sum is left as it is.
const KNEE: f32 = 24_576.0;
const ROOM: f32 = 32_767.0 - KNEE;

/// Bends what is too loud, so that it does not clip.
pub(super) fn limit(sum: i32) -> i16 {
    let magnitude = sum.unsigned_abs() as f32;
    if magnitude <= KNEE {
        return sum as i16;
    }
    let over = (magnitude - KNEE) / ROOM;
    let bent = (KNEE + ROOM * over / (1.0 + over)) as i16;
    if sum < 0 { -bent } else { bent }
}
