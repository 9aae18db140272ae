//! `outdial keys`.

use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use chrono::Utc;
use outdial_domain::{ApiKey, Error};

use super::archive::is_in_use;
use super::{CreateKey, out};
use crate::data_dir::{self, DataDir};
use crate::server::store;
use crate::settings::{Settings, Sources};

/// Creates a key and prints it, and nothing else, on standard output.
pub(super) async fn create(sources: &Sources, new: CreateKey) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(sources)?;
    let CreateKey { account, name, admin } = new;
    let (account, name) = (checked("--account", &account)?, checked("--name", &name)?);
    if data_dir::database(&settings).is_some() {
        // A database without the key of its secrets is never made.
        DataDir::open(&settings)?;
    }
    let store = store::open_patiently(&settings).await.map_err(explain)?;
    let now = Utc::now();
    let account = store.account_named(account, now).await?;
    let (key, token) = ApiKey::generate(account.account_id, name, admin, now);
    store.insert_key(&key).await?;
    store.close().await.context("the key may not be stored")?;
    out::line(token.expose())?;
    Ok(ExitCode::SUCCESS)
}

fn checked<'a>(option: &str, text: &'a str) -> anyhow::Result<&'a str> {
    let text = text.trim();
    let good = (1..=100).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    ensure!(good, "{option} must be 1 to 100 characters on one line");
    Ok(text)
}

/// A database that is in use belongs to a running server.
fn explain(error: anyhow::Error) -> anyhow::Error {
    if error.downcast_ref::<Error>().is_some_and(is_in_use) {
        return error.context(
            "the server is running: create the key through it, with POST /keys and an admin key, \
             or stop it first",
        );
    }
    error
}
