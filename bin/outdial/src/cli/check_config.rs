//! `outdial check-config`.

use std::process::ExitCode;

use super::out;
use crate::settings::{Origin, Settings, Sources};

/// Prints the settings in force as TOML, each with where it came from, secrets masked.
pub(super) fn print(sources: &Sources) -> anyhow::Result<ExitCode> {
    let (_, effective) = Settings::explain(sources)?;
    let lines: Vec<_> =
        effective.iter().map(|one| format!("{} = {}", one.key, one.value)).collect();
    let width = lines.iter().map(|line| line.chars().count()).max().unwrap_or_default().min(60);
    for (line, one) in lines.iter().zip(&effective) {
        let origin = match &one.origin {
            Origin::Variable(name) => name.clone(),
            other => other.to_string(),
        };
        out::line(format_args!("{line:width$}  # {origin}"))?;
    }
    Ok(ExitCode::SUCCESS)
}
