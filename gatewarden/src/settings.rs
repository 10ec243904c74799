//! The configuration file: the sections of every crate that obeys one, read together.

use crate::failure::Failure;
use crate::retention::RetentionConfig;
use aaa_server::RadiusConfig;
use kernel::config::{Document, annotate};
use mgmt_api::HttpConfig;
use std::path::Path;

kernel::config! {
    /// Where the process keeps its things.
    pub struct ServerConfig in "server" {
        /// The data folder: journal, keys, node id, and the embedded database. The option --data and the environment
        /// variable GATEWARDEN_DATA go before it; without any of them it is systemd's state folder, else
        /// $XDG_DATA_HOME/gatewarden, else ~/.local/share/gatewarden.
        data: Option<String> = None,
        /// The database: "postgres://user@host/name", or "sqlite:PATH". Unset, it is gatewarden.db in the data folder.
        /// The option --database and the environment variable GATEWARDEN_DATABASE go before it.
        database: Option<String> = None,
    }
}

kernel::config! {
    /// The log, on standard error.
    pub struct LogConfig in "log" {
        /// What is told: "error", "warn", "info", "debug" or "trace"; or by crate, as in "info,aaa_server=debug".
        level: String = "info".to_owned(),
        /// "text" for people, "json" for programs.
        format: String = "text".to_owned(),
    }
}

/// Every section.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// `[server]`
    pub server: ServerConfig,
    /// `[radius]`
    pub radius: RadiusConfig,
    /// `[http]`
    pub http: HttpConfig,
    /// `[retention]`
    pub retention: RetentionConfig,
    /// `[log]`
    pub log: LogConfig,
}

impl Settings {
    /// Reads the file, if one is named, and the environment.
    ///
    /// # Errors
    /// One sentence with file, line and the nearest right name.
    pub fn read(file: Option<&Path>) -> Result<Self, Failure> {
        let (name, text) = match file {
            None => ("environment".to_owned(), String::new()),
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|e| {
                    Failure::usage(format!(
                        "cannot read the configuration {}: {e}",
                        path.display()
                    ))
                })?;
                (path.display().to_string(), text)
            }
        };
        Self::parse(&name, &text, |variable| std::env::var(variable).ok())
    }

    fn parse(
        name: &str,
        text: &str,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Failure> {
        let mut document = Document::parse(name, text)?;
        let settings = Self {
            server: document.section(&environment)?,
            radius: document.section(&environment)?,
            http: document.section(&environment)?,
            retention: document.section(&environment)?,
            log: document.section(&environment)?,
        };
        document.finish()?;
        if !matches!(settings.log.format.as_str(), "text" | "json") {
            return Err(Failure::usage(format!(
                "{name}: [log] format: '{}' is neither \"text\" nor \"json\"",
                settings.log.format
            )));
        }
        crate::log::check(&settings.log.level).map_err(|failure| {
            Failure::usage(format!(
                "{name}: {}",
                failure.sentence().unwrap_or_default()
            ))
        })?;
        settings
            .radius
            .listeners()
            .map_err(|reason| Failure::usage(format!("{name}: [radius]: {reason}")))?;
        Ok(settings)
    }

    /// The annotated defaults: a file that can be used as it is.
    pub fn defaults() -> String {
        let sections = [
            annotate::<ServerConfig>(),
            annotate::<RadiusConfig>(),
            annotate::<HttpConfig>(),
            annotate::<RetentionConfig>(),
            annotate::<LogConfig>(),
        ];
        format!(
            "# Gatewarden's configuration. Every line shows a default; delete what you do not change.\n\
             # Each setting can also be given in the environment: GATEWARDEN_RADIUS_AUTH_PORTS='[1812, 1645]'.\n\
             # Organisations, NASes, people, groups are rows in the database, not settings: see 'gatewarden --help'.\n\n\
             {}",
            sections.concat().trim_end().to_owned() + "\n"
        )
    }

    /// Which settings differ in a way that only a restart can put into force. The level of the log is the one that
    /// needs none.
    pub fn needs_restart(&self, new: &Settings) -> Vec<&'static str> {
        let mut sections = Vec::new();
        if self.server != new.server {
            sections.push("[server]");
        }
        if self.radius != new.radius {
            sections.push("[radius]");
        }
        if self.http != new.http {
            sections.push("[http]");
        }
        if self.retention != new.retention {
            sections.push("[retention]");
        }
        if self.log.format != new.log.format {
            sections.push("[log] format");
        }
        sections
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, String> {
        Settings::parse("g.toml", text, |_| None)
            .map_err(|f| f.sentence().unwrap_or_default().to_owned())
    }

    #[test]
    fn the_printed_defaults_are_the_defaults() {
        assert_eq!(read(&Settings::defaults()), Ok(Settings::default()));
    }

    #[test]
    fn a_wrong_line_is_named_with_the_nearest_right_one() {
        let check = |text: &str, expect: &str| assert_eq!(read(text), Err(expect.to_owned()));
        check(
            "[radius]\nauth_port = [1812]",
            "g.toml, line 2: unknown setting 'auth_port'; did you mean 'auth_ports'?",
        );
        check(
            "[htp]\n",
            "g.toml, line 1: unknown section 'htp'; did you mean 'http'?",
        );
        check(
            "[log]\nformat = 'xml'",
            "g.toml: [log] format: 'xml' is neither \"text\" nor \"json\"",
        );
        check(
            "[radius]\nauth_ports = [1813]",
            "g.toml: [radius]: port 1813 is given for authentication and for accounting; a port serves one of them",
        );
    }

    #[test]
    fn a_changed_level_needs_no_restart_and_a_changed_port_does() {
        let old = Settings::default();
        let mut new = old.clone();
        new.log.level = "debug".into();
        assert!(old.needs_restart(&new).is_empty());
        new.radius.auth_ports = vec![1645];
        assert_eq!(old.needs_restart(&new), ["[radius]"]);
    }
}
