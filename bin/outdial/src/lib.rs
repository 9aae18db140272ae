//! The outdial server: outbound phone calls for AI assistants.
//!
//! This crate puts the parts together (settings, store, LiveKit, telephony providers, engine, HTTP
//! API) and runs them. The command `outdial` is a thin shell around it; any program can embed it:
//!
//! ```
//! use std::net::TcpListener;
//! use outdial::{Server, settings::Settings};
//! use outdial_engine::NewKey;
//!
//! # fn main() -> anyhow::Result<()> {
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! let folder = tempfile::tempdir()?;
//! let mut settings = Settings::defaults()?;
//! settings.data_dir = folder.path().to_owned();
//!
//! let server = Server::start(settings, TcpListener::bind("127.0.0.1:0")?).await?;
//! let key = NewKey { account: "acme".into(), name: "crm".into(), admin: false };
//! let (_account, _key, token) = server.engine().create_key(key).await?;
//!
//! let url = format!("{}/calls", server.url());
//! let request = reqwest::Client::new().get(url).header("x-api-key", token.expose());
//! assert_eq!(request.send().await?.status(), 200);
//!
//! // Running calls may finish; the future would cut that short.
//! server.stop(std::future::pending()).await?;
//! # Ok(()) })
//! # }
//! ```

pub mod cli;
mod data_dir;
mod demo;
mod server;
pub mod settings;
mod telemetry;

pub use self::server::{Server, Shutdown, run};

/// The README's example is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
