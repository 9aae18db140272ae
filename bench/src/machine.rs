//! What processes and the machine do, from `/proc`.

use std::fs;

use anyhow::{Context, Result};

/// Ticks of the kernel's clock in a second (`getconf CLK_TCK`), the same on every Linux.
const TICKS: f64 = 100.0;

/// Processor time of a process so far, in seconds.
///
/// # Errors
/// When there is no such process.
pub fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, after) = stat.rsplit_once(')').context("no name in /proc/PID/stat")?;
    let mut times = after.split_whitespace().skip(11).map(str::parse::<f64>);
    let mut next = || Ok::<f64, anyhow::Error>(times.next().context("a short /proc/PID/stat")??);
    Ok((next()? + next()?) / TICKS)
}

/// Resident memory of a process in KiB.
///
/// # Errors
/// When there is no such process.
pub fn memory(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let text = line.and_then(|line| line.split_whitespace().next());
    Ok(text.context("no VmRSS in /proc/PID/status")?.parse()?)
}

/// Busy and all processor time of the machine so far, in seconds.
///
/// # Errors
/// On another system than Linux.
pub fn seconds() -> Result<(f64, f64)> {
    let stat = fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().context("an empty /proc/stat")?;
    let times: Vec<f64> =
        line.split_whitespace().skip(1).take(8).map(str::parse).collect::<Result<_, _>>()?;
    let all: f64 = times.iter().sum();
    let idle: f64 = times.iter().skip(3).take(2).sum(); // idle and iowait
    Ok(((all - idle) / TICKS, all / TICKS))
}

/// The processor, and the load of the last minute, for people.
pub fn describe() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown", |line| line.trim_start_matches([' ', '\t', ':']));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    format!("{cores} cores, {model}, load {load}")
}
