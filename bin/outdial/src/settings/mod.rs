//! Settings: built-in defaults, then a file, then the environment; checked once, all together.
//!
//! ```
//! use outdial::settings::Settings;
//! let settings = Settings::defaults()?;
//! assert_eq!(settings.server.bind.to_string(), "127.0.0.1:8000");
//! # Ok::<(), outdial::settings::SettingsError>(())
//! ```

mod layers;
mod node;
mod reader;
mod recordings;
mod sections;
mod sip;
mod store;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;

pub use self::layers::{DEFAULTS, Origin, Sources};
pub use self::node::Node;
pub use self::sections::{
    Agent, Api, Calls, Keeper, LiveKit, Log, LogFormat, Pacing, Recordings, S3, Sandbox, Secrets,
    Server, Webhooks,
};
pub(crate) use self::sections::{master_key, master_key_text};
pub use self::sip::{Sip, SipTls};
pub use self::store::{MongoDb, Store};

use self::layers::{Entries, variable_of};
use self::reader::Reader;

/// All settings of a server. Debug output masks secrets.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The folder for everything the server keeps.
    pub data_dir: PathBuf,
    /// The HTTP server.
    pub server: Server,
    /// Where everything is kept.
    pub store: Store,
    /// The LiveKit server; `None`: not set up.
    pub livekit: Option<LiveKit>,
    /// The SIP bridge; `None`: off.
    pub sip: Option<Sip>,
    /// How long agents are waited for.
    pub agent: Agent,
    /// Limits of calls.
    pub calls: Calls,
    /// How fast calls are started.
    pub pacing: Pacing,
    /// The end-of-call webhook.
    pub webhooks: Webhooks,
    /// Recordings.
    pub recordings: Recordings,
    /// Simulated calls.
    pub sandbox: Sandbox,
    /// Limits of the API.
    pub api: Api,
    /// What is logged.
    pub log: Log,
    /// Secrets at rest.
    pub secrets: Secrets,
    /// This server among those that share a store.
    pub node: Node,
}

/// A setting as it is in force, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective {
    /// Its dotted name.
    pub key: String,
    /// Its value as TOML; `***` in the place of a secret that is set.
    pub value: String,
    /// Where the value came from.
    pub origin: Origin,
}

/// What is wrong with the settings: each problem names its key, where it stands, and the fix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsError {
    /// All problems that were found.
    pub problems: Vec<String>,
}

impl SettingsError {
    fn one(problem: String) -> Self {
        Self { problems: vec![problem] }
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.problems {
            [problem] => f.write_str(problem),
            problems => {
                write!(f, "{} settings are wrong:", problems.len())?;
                problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
            }
        }
    }
}

impl std::error::Error for SettingsError {}

impl Settings {
    /// The built-in defaults alone, whatever files and environment say.
    ///
    /// # Errors
    /// Never in a released version: a test reads them.
    pub fn defaults() -> Result<Self, SettingsError> {
        read(&layers::defaults()?).map(|(settings, _)| settings)
    }

    /// Reads and checks all sources.
    ///
    /// # Errors
    /// With every problem that was found: unknown keys, wrong values, combinations that lack one.
    pub fn load(sources: &Sources) -> Result<Self, SettingsError> {
        Self::explain(sources).map(|(settings, _)| settings)
    }

    /// Like [`load`](Self::load), and tells every setting as it is in force.
    ///
    /// # Errors
    /// See [`load`](Self::load).
    pub fn explain(sources: &Sources) -> Result<(Self, Vec<Effective>), SettingsError> {
        read(&layers::collect(sources)?)
    }
}

/// The environment variable that sets `key`: `OUTDIAL_SERVER__BIND` for `server.bind`.
pub fn variable_name(key: &str) -> String {
    variable_of(key)
}

fn read(entries: &Entries) -> Result<(Settings, Vec<Effective>), SettingsError> {
    let reader = Reader::new(entries);
    let settings = sections::read(&reader);
    let (problems, asked, masks) = reader.finish();
    debug_assert_eq!(asked.len(), entries.len(), "every setting is read, none is dead");
    let settings = settings.map_err(|_| SettingsError { problems: problems.clone() })?;
    if !problems.is_empty() {
        return Err(SettingsError { problems });
    }
    let effective = entries.iter().map(|(key, entry)| Effective {
        value: reader::show_masked(&entry.value, masks.get(&**key)),
        key: key.clone(),
        origin: entry.origin.clone(),
    });
    Ok((settings, effective.collect()))
}
