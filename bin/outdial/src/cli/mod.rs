//! The command line.

mod archive;
mod check_config;
mod doctor;
mod doctor_sip;
mod doctor_store;
mod keys;
pub(crate) mod out;

use std::ffi::OsString;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};

use crate::settings::{Settings, Sources};
use crate::{Shutdown, demo, run, telemetry};

/// Outbound phone calls for AI assistants.
#[derive(Debug, Parser)]
#[command(version, about, propagate_version = true)]
struct Cli {
    /// The settings file [env: OUTDIAL_CONFIG] [default: outdial.toml, if there is one]
    #[arg(long, global = true, value_name = "PATH")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server (the default)
    Serve,
    /// Show a whole simulated call, from the request to the verified webhook
    Demo(demo::Options),
    /// Manage API keys
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Write everything that is kept into one file, to move it to another store or to keep it
    Export(archive::Export),
    /// Read what `export` wrote into the store, and verify it
    Import(archive::Import),
    /// Print the settings in force and where each came from
    CheckConfig,
    /// Try what the server needs: data folder, store, LiveKit, webhooks, clock
    Doctor,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Create an API key and print it; with SQLite, needs a stopped server
    Create(CreateKey),
}

#[derive(Debug, Args)]
struct CreateKey {
    /// The account the key is for; made when there is none of that name
    #[arg(long, value_name = "NAME")]
    account: String,
    /// What to call the key
    #[arg(long, value_name = "LABEL", default_value = "cli")]
    name: String,
    /// Let the key create keys for any account through POST /keys
    #[arg(long)]
    admin: bool,
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    main_from(std::env::args_os())
}

/// Runs a command line, beginning with the program's name, to the end of the process's work.
pub fn main_from(arguments: impl IntoIterator<Item: Into<OsString> + Clone>) -> ExitCode {
    let cli = Cli::parse_from(arguments);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(execute(cli)),
        Err(error) => Err(anyhow::Error::new(error).context("no threads can be started")),
    };
    done.unwrap_or_else(|error| {
        out::complain(&error);
        ExitCode::FAILURE
    })
}

async fn execute(cli: Cli) -> anyhow::Result<ExitCode> {
    let sources = Sources::of_process(cli.config);
    match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => serve(&sources).await,
        Command::Demo(options) => demo::show(options).await,
        Command::Keys(KeysCommand::Create(new)) => keys::create(&sources, new).await,
        Command::Export(options) => archive::export(&sources, options).await,
        Command::Import(options) => archive::import(&sources, options).await,
        Command::CheckConfig => check_config::print(&sources),
        Command::Doctor => doctor::examine(&sources).await,
    }
}

async fn serve(sources: &Sources) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(sources)?;
    telemetry::log(&settings.log);
    let shutdown = Shutdown::on_signals().context("signals cannot be listened for")?;
    let bind = settings.server.bind;
    let listener = TcpListener::bind(bind).with_context(|| {
        format!("{bind} cannot be listened on: set server.bind to a free address")
    })?;
    run(settings, listener, shutdown).await?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        super::Cli::command().debug_assert();
    }
}
