//! Where the database is, and how it is talked to.

use std::fmt;
use std::time::Duration;

use outdial_domain::Secret;

/// Where the database is, and how it is talked to.
#[derive(Clone)]
pub struct MongoSettings {
    /// `mongodb://…` or `mongodb+srv://…`. The path names the database; `outdial` when there is none.
    /// What the URL says of pool sizes and timeouts comes before the fields below. Writes always wait
    /// for a majority and go to the primary, whatever the URL says.
    pub url: Secret,
    /// At most so many connections to each server.
    pub max_connections: u32,
    /// How long an operation waits for a primary.
    pub server_selection_timeout: Duration,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// How long an operation may take in all.
    pub operation_timeout: Duration,
    /// The name by which the server's log knows the client.
    pub app_name: String,
}

impl MongoSettings {
    /// The database at `url`, and the defaults: 32 connections, 3 s to find a primary and to
    /// connect, 5 s for an operation.
    pub fn new(url: Secret) -> Self {
        Self {
            url,
            max_connections: 32,
            server_selection_timeout: Duration::from_secs(3),
            connect_timeout: Duration::from_secs(3),
            operation_timeout: Duration::from_secs(5),
            app_name: "outdial".to_owned(),
        }
    }
}

impl fmt::Debug for MongoSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MongoSettings").field("url", &self.url).finish_non_exhaustive()
    }
}
