//! The log, on standard error.
//!
//! A server's lines go through a bounded queue to a thread that writes them: whoever reads the log slowly, or not at
//! all, must **never** hold back a receive thread. Lines beyond the queue or beyond so many a second are counted, and
//! the number of them takes their place. A command writes its few lines directly.

mod queue;

use crate::failure::Failure;
use crate::settings::LogConfig;
use queue::Queue;
use std::io::IsTerminal;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

/// Levels that can be named.
const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

/// Changes what is told while the process runs. What waits to be written is written when this is dropped.
pub struct LogLevel {
    handle: reload::Handle<EnvFilter, Registry>,
    queue: Option<Queue>,
}

/// A level, or levels by crate. A word that is neither would be taken for the name of a crate, and silence everything
/// else.
///
/// # Errors
/// What is wrong with it, and what would be right.
pub fn check(level: &str) -> Result<(), Failure> {
    filter(level).map(|_| ())
}

fn filter(level: &str) -> Result<EnvFilter, Failure> {
    let wrong = |reason: String| Failure::usage(format!("[log] level: '{level}': {reason}"));
    let parts: Vec<&str> = level.split(',').map(str::trim).collect();
    let is_level = |part: &str| LEVELS.contains(&part.to_ascii_lowercase().as_str());
    for part in &parts {
        if !is_level(part) && !part.contains(['=', '[']) {
            return Err(wrong(format!(
                "'{part}' is not a level; write one of {}, or one by crate as in \"info,aaa_server=debug\"",
                LEVELS.join(", ")
            )));
        }
    }
    let mut text = level.to_owned();
    if !parts.iter().any(|part| is_level(part)) {
        // One crate is asked for: that is no wish to hear nothing of the others.
        text = format!("info,{text}");
    }
    if !level.contains("sqlx") {
        // What sqlx tells at 'info' is of interest to nobody but whoever asks for it by name.
        text.push_str(",sqlx=warn");
    }
    EnvFilter::try_new(text).map_err(|e| wrong(e.to_string()))
}

/// Starts the log of a server. Only the first call counts.
///
/// # Errors
/// The level is not one.
pub fn start(config: &LogConfig) -> Result<LogLevel, Failure> {
    let queue = Queue::start(config.format == "json")
        .map_err(|e| Failure::failed(format!("the log: {e}")))?;
    begin(config, BoxMakeWriter::new(queue.clone()), Some(queue))
}

/// Starts the log of a command.
///
/// # Errors
/// The level is not one.
pub fn start_plain(config: &LogConfig) -> Result<LogLevel, Failure> {
    begin(config, BoxMakeWriter::new(std::io::stderr), None)
}

fn begin(
    config: &LogConfig,
    writer: BoxMakeWriter,
    queue: Option<Queue>,
) -> Result<LogLevel, Failure> {
    let (filter, handle) = reload::Layer::new(filter(&config.level)?);
    let registry = tracing_subscriber::registry().with(filter);
    let is_coloured = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    // A second start would only be refused: there is one log.
    let _ = match config.format.as_str() {
        "json" => registry
            .with(fmt::layer().json().with_writer(writer))
            .try_init(),
        _ => registry
            .with(
                fmt::layer()
                    .with_ansi(is_coloured)
                    .with_target(false)
                    .with_writer(writer),
            )
            .try_init(),
    };
    Ok(LogLevel { handle, queue })
}

impl LogLevel {
    /// From now on this is told.
    ///
    /// # Errors
    /// The level is not one; then it stays as it is.
    pub fn set(&self, level: &str) -> Result<(), Failure> {
        self.handle
            .reload(filter(level)?)
            .map_err(|e| Failure::failed(format!("the log cannot be changed: {e}")))
    }
}

impl Drop for LogLevel {
    fn drop(&mut self) {
        if let Some(queue) = &self.queue {
            queue.flush();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_level_is_an_error_and_never_silence() {
        for level in [
            "info",
            "WARN",
            "off",
            "info,aaa_server=debug",
            "aaa_server=trace",
            "[span]=debug",
        ] {
            assert!(check(level).is_ok(), "{level}");
        }
        for level in [
            "",
            "verbose",
            "inof",
            "info,",
            "aaa_server",
            "aaa_server=loud",
        ] {
            assert!(check(level).is_err(), "{level}");
        }
        let said = check("verbose").err();
        let said = said
            .as_ref()
            .and_then(Failure::sentence)
            .unwrap_or_default();
        assert!(said.contains("'verbose' is not a level"), "{said}");
    }

    #[test]
    fn a_level_for_one_crate_keeps_the_others_at_info() {
        let text = filter("aaa_server=debug").map(|filter| filter.to_string());
        assert!(text.is_ok_and(|text| text.contains("info") && text.contains("aaa_server=debug")));
    }
}
