//! The log, on standard error.

use crate::failure::Failure;
use crate::settings::LogConfig;
use std::io::IsTerminal;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

/// Changes what is told while the process runs.
pub struct LogLevel(reload::Handle<EnvFilter, Registry>);

fn filter(level: &str) -> Result<EnvFilter, Failure> {
    // What sqlx tells at 'info' is of interest to nobody but whoever asks for it by name.
    let text = match level.contains("sqlx") {
        true => level.to_owned(),
        false => format!("{level},sqlx=warn"),
    };
    EnvFilter::try_new(text).map_err(|e| Failure::usage(format!("[log] level: '{level}': {e}")))
}

/// Starts the log. Only the first call counts.
///
/// # Errors
/// The level is not one.
pub fn start(config: &LogConfig) -> Result<LogLevel, Failure> {
    let (filter, handle) = reload::Layer::new(filter(&config.level)?);
    let registry = tracing_subscriber::registry().with(filter);
    let is_coloured = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    // A second start would only be refused: there is one log.
    let _ = match config.format.as_str() {
        "json" => registry
            .with(fmt::layer().json().with_writer(std::io::stderr))
            .try_init(),
        _ => registry
            .with(
                fmt::layer()
                    .with_ansi(is_coloured)
                    .with_target(false)
                    .with_writer(std::io::stderr),
            )
            .try_init(),
    };
    Ok(LogLevel(handle))
}

impl LogLevel {
    /// From now on this is told.
    ///
    /// # Errors
    /// The level is not one; then it stays as it is.
    pub fn set(&self, level: &str) -> Result<(), Failure> {
        self.0
            .reload(filter(level)?)
            .map_err(|e| Failure::failed(format!("the log cannot be changed: {e}")))
    }
}
