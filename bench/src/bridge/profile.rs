//! Where a process spends its time, sampled with perf (Debian: linux-perf).

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

/// What a function belongs to, by words of its symbol or, before that, of its library.
const PARTS: &[(&str, &str)] = &[
    ("kernel", "[k] [kernel"),
    ("SRTP and DTLS", "aws_lc aes_ gcm ghash sha1 sha256 srtp EVP dimpl"),
    (
        "Opus",
        "opus silk celt clt_ ec_dec ec_enc quant mdct decode_pulses deemphasis exp_rotation \
         denormalise laplace comb_filter haar1 tf_decode anti_collapse allocation bits2pulses pvq",
    ),
    ("SCTP", "sctp"),
    ("str0m", "str0m is::"),
    ("outdial-bridge", "outdial_bridge rtp_types rtcp_types"),
    ("outdial-room", "outdial_room"),
    ("SIP", "outdial_sip rsipstack"),
    ("tokio and WebSocket", "tokio mio:: tungstenite livekit"),
    ("memory", "alloc free memcpy memmove memset memcmp"),
    ("clock", "clock vdso"),
];
/// The most expensive functions are named.
const FUNCTIONS: usize = 20;

/// Samples the process for `time` and prints where that went.
pub(crate) async fn print(pid: u32, time: Duration) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("perf.data");
    let record = Command::new("perf")
        .args(["record", "-q", "-e", "cpu-clock", "-F", "997", "-p", &pid.to_string(), "-o"])
        .arg(&data)
        .args(["--", "sleep", &time.as_secs().to_string()])
        .output()
        .await
        .context("perf is not there (Debian: linux-perf)")?;
    ensure!(record.status.success(), "perf: {}", String::from_utf8_lossy(&record.stderr));
    let report = Command::new("perf")
        .args(["report", "--stdio", "--no-children", "-F", "overhead,dso,symbol", "-i"])
        .arg(&data)
        .output()
        .await?;
    let report = String::from_utf8_lossy(&report.stdout).into_owned();
    let rows: Vec<(f64, &str)> = report.lines().filter_map(row).collect();
    let mut parts: Vec<(&str, f64)> = Vec::new();
    for (share, symbol) in &rows {
        let part = part_of(symbol);
        match parts.iter_mut().find(|(name, _)| *name == part) {
            Some((_, sum)) => *sum += share,
            None => parts.push((part, *share)),
        }
    }
    parts.sort_by(|a, b| b.1.total_cmp(&a.1));
    crate::print_line("profile of the process, % of its samples:");
    for (part, share) in parts {
        crate::print_line(&format!("{share:6.1}  {part}"));
    }
    crate::print_line("its most expensive functions:");
    for (share, symbol) in rows.iter().take(FUNCTIONS) {
        crate::print_line(&format!("{share:6.1}  {symbol}"));
    }
    Ok(())
}

/// `12.34%  library  [.] symbol`
fn row(line: &str) -> Option<(f64, &str)> {
    let (share, symbol) = line.trim().split_once('%')?;
    Some((share.trim().parse().ok()?, symbol.trim()))
}

fn part_of(symbol: &str) -> &'static str {
    let found = PARTS.iter().find(|(_, words)| words.split(' ').any(|word| symbol.contains(word)));
    found.map_or("other", |(part, _)| part)
}
