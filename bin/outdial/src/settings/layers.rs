//! Where values come from: defaults, file, environment; the later one wins.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use config::{Environment, File, FileFormat, Map, Source, Value, ValueKind};

use super::SettingsError;

/// The defaults, with the comments that document every setting.
pub const DEFAULTS: &str = include_str!("defaults.toml");

const PREFIX: &str = "OUTDIAL_";
/// Names the settings file, and so is no setting itself.
const CONFIG_VARIABLE: &str = "OUTDIAL_CONFIG";
const DEFAULT_FILE: &str = "outdial.toml";

/// Where to look for settings.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The settings file; must exist. `None`: `OUTDIAL_CONFIG`, else `outdial.toml` in
    /// [`folder`](Self::folder), which may be missing.
    pub file: Option<PathBuf>,
    /// The working directory.
    pub folder: PathBuf,
    /// The environment variables.
    pub variables: Vec<(OsString, OsString)>,
}

impl Sources {
    /// The working directory and environment of this process, and the file that a person named.
    pub fn of_process(file: Option<PathBuf>) -> Self {
        Self { file, folder: PathBuf::new(), variables: std::env::vars_os().collect() }
    }
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Built into the program.
    Default,
    /// The settings file.
    File(PathBuf),
    /// An environment variable, by its name.
    Variable(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
        }
    }
}

/// A value, and where it came from.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// The value of every setting by its dotted name.
pub(super) type Entries = BTreeMap<String, Entry>;

/// Reads all sources. Unknown settings are all reported together.
pub(super) fn collect(sources: &Sources) -> Result<Entries, SettingsError> {
    let mut entries = defaults()?;
    let mut problems = Vec::new();
    for (key, entry) in file_entries(sources)?.into_iter().chain(variable_entries(sources)?) {
        if let Some(known) = entries.get_mut(&key) {
            *known = entry;
        } else if !is_empty_section(&entries, &key, &entry) {
            problems.push(unknown(&entries, &key, &entry.origin));
        }
    }
    if problems.is_empty() { Ok(entries) } else { Err(SettingsError { problems }) }
}

/// The defaults alone.
pub(super) fn defaults() -> Result<Entries, SettingsError> {
    let table = File::from_str(DEFAULTS, FileFormat::Toml)
        .collect()
        .map_err(|error| SettingsError::one(format!("the built-in defaults: {error}")))?;
    let entries = flatten(table).into_iter();
    Ok(entries.map(|(key, value)| (key, Entry { value, origin: Origin::Default })).collect())
}

fn file_entries(sources: &Sources) -> Result<Vec<(String, Entry)>, SettingsError> {
    let Some(path) = file_path(sources)? else { return Ok(Vec::new()) };
    let text = std::fs::read_to_string(sources.folder.join(&path)).map_err(|error| {
        SettingsError::one(format!("the settings file {} cannot be read: {error}", path.display()))
    })?;
    let table = table_of(&text).map_err(|(place, rule)| {
        SettingsError::one(format!("{}{place} is not TOML: {rule}", path.display()))
    })?;
    let origin = Origin::File(path);
    let entries = flatten(table).into_iter();
    Ok(entries.map(|(key, value)| (key, Entry { value, origin: origin.clone() })).collect())
}

/// Reads TOML; an error is its place, as `:line:column`, and the rule. Neither quotes the text: a
/// secret may stand where it breaks off.
fn table_of(text: &str) -> Result<Map<String, Value>, (String, String)> {
    if let Err(error) = toml::de::DeTable::parse(text) {
        let rule = error.message().to_owned();
        return Err((error.span().map_or_else(String::new, |span| place(text, span.start)), rule));
    }
    let table = File::from_str(text, FileFormat::Toml).collect();
    table.map_err(|_| (String::new(), "it holds a number that is too large".to_owned()))
}

/// `:line:column`, both counted from 1.
fn place(text: &str, offset: usize) -> String {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |start| start.chars().count()) + 1;
    format!(":{line}:{column}")
}

/// A file that was named must exist; the one in the working directory need not.
fn file_path(sources: &Sources) -> Result<Option<PathBuf>, SettingsError> {
    let variable = sources.variables.iter().find(|(name, _)| name == CONFIG_VARIABLE);
    let variable = variable.map(|(_, path)| path).filter(|path| !path.is_empty());
    let (path, by) = match (&sources.file, variable) {
        (Some(path), _) => (path.clone(), "--config"),
        (None, Some(path)) => (PathBuf::from(path), CONFIG_VARIABLE),
        (None, None) => {
            let path = Path::new(DEFAULT_FILE);
            return Ok(sources.folder.join(path).exists().then(|| path.to_owned()));
        }
    };
    if !sources.folder.join(&path).exists() {
        return Err(SettingsError::one(format!(
            "there is no settings file {}: {by} names it",
            path.display()
        )));
    }
    Ok(Some(path))
}

fn variable_entries(sources: &Sources) -> Result<Vec<(String, Entry)>, SettingsError> {
    let mut variables = Vec::new();
    for (name, value) in &sources.variables {
        let Some(name) = name.to_str().filter(|name| is_setting_variable(name)) else { continue };
        let Some(value) = value.to_str() else {
            return Err(SettingsError::one(format!("{name} (environment) is not valid UTF-8")));
        };
        if !value.is_empty() {
            variables.push((name.to_owned(), value.to_owned()));
        }
    }
    let mut entries = Vec::new();
    for (name, value) in variables {
        let one = Map::from_iter([(name.clone(), value)]);
        let source = Environment::with_prefix("OUTDIAL").prefix_separator("_").separator("__");
        let table = source
            .source(Some(one))
            .collect()
            // Its value may be a secret.
            .map_err(|_| SettingsError::one(format!("{name} (environment) cannot be read")))?;
        for (key, value) in table {
            entries.push((key, Entry { value, origin: Origin::Variable(name.clone()) }));
        }
    }
    Ok(entries)
}

/// Kubernetes sets `OUTDIAL_SERVICE_HOST`, `OUTDIAL_PORT_8000_TCP_ADDR` and the like in every
/// container next to a service that is called `outdial`.
fn is_setting_variable(name: &str) -> bool {
    let Some(rest) = name.strip_prefix(PREFIX) else { return false };
    let service_link = rest == "SERVICE_HOST"
        || rest == "PORT"
        || rest.starts_with("PORT_")
        || rest == "SERVICE_PORT"
        || rest.starts_with("SERVICE_PORT_");
    name != CONFIG_VARIABLE && !service_link
}

fn flatten(table: Map<String, Value>) -> Vec<(String, Value)> {
    let mut flat = Vec::new();
    for (key, value) in table {
        match value.kind {
            ValueKind::Table(inner) if !inner.is_empty() => {
                flat.extend(flatten(inner).into_iter().map(|(k, v)| (format!("{key}.{k}"), v)));
            }
            _ => flat.push((key, value)),
        }
    }
    flat
}

/// The environment variable that sets `key`.
pub(super) fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_uppercase())
}

fn is_section(known: &Entries, key: &str) -> bool {
    known.keys().any(|k| k.strip_prefix(key).is_some_and(|rest| rest.starts_with('.')))
}

fn is_empty_section(known: &Entries, key: &str, entry: &Entry) -> bool {
    matches!(entry.value.kind, ValueKind::Table(_)) && is_section(known, key)
}

fn unknown(known: &Entries, key: &str, origin: &Origin) -> String {
    let (name, place) = match origin {
        Origin::Variable(variable) => (variable.clone(), "environment".to_owned()),
        other => (key.to_owned(), other.to_string()),
    };
    let shown = |key: &str| match origin {
        Origin::Variable(_) => variable_of(key),
        _ => key.to_owned(),
    };
    if is_section(known, key) {
        return format!("{name} ({place}) is a section, not a setting: name one of its keys");
    }
    match nearest(known, key) {
        Some(near) => format!("{name} ({place}) is no setting; did you mean {}?", shown(near)),
        None => format!("{name} ({place}) is no setting; docs/configuration.md lists them all"),
    }
}

/// The known key most like `key`, whichever separators were typed.
fn nearest<'a>(known: &'a Entries, key: &str) -> Option<&'a str> {
    let plain = |key: &str| key.replace(['.', '-'], "_").to_lowercase();
    let last = |key: &str| plain(key.rsplit('.').next().unwrap_or(key));
    let like = |candidate: &str| {
        let whole = strsim::jaro_winkler(&plain(key), &plain(candidate));
        // The right key in the wrong section, or without one.
        let same_key = last(key) == last(candidate);
        if same_key { whole.max(0.95) } else { whole }
    };
    // Of equals the first, by its name.
    let scored = known.keys().rev().map(|k| (like(k), k.as_str()));
    let best = scored.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 > 0.8).then_some(best.1)
}
