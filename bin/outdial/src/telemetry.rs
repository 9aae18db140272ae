//! Logs and metrics of the whole process.

use std::sync::OnceLock;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

use crate::settings::{Log, LogFormat};

/// Sends logs to standard error. Does nothing when the process has a subscriber already.
pub(crate) fn log(log: &Log) {
    let filter = EnvFilter::try_new(&log.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_span_events(FmtSpan::NONE);
    let set = match log.format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text => builder.with_ansi(colours(std::io::stderr())).try_init(),
    };
    if set.is_ok() {
        log_panics();
    }
}

/// Whether to write colours to a stream: only to a terminal, and only to people who want them
/// (<https://no-color.org>).
pub(crate) fn colours(stream: impl std::io::IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn log_panics() {
    std::panic::set_hook(Box::new(|info| {
        let text = info.payload_as_str().unwrap_or("unknown reason");
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("unnamed").to_owned();
        tracing::error!(place, thread, "a task panicked: {text}");
    }));
}

/// The process's metrics. Recorders are global: several servers in one process share one.
pub(crate) fn metrics() -> Option<&'static PrometheusHandle> {
    static METRICS: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    METRICS
        .get_or_init(|| {
            let recorder = PrometheusBuilder::new().build_recorder();
            let handle = recorder.handle();
            // An application that embeds the server may have a recorder of its own.
            metrics::set_global_recorder(recorder).ok().map(|()| handle)
        })
        .as_ref()
}
