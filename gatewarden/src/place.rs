//! Where this installation keeps its things: configuration, data folder, database.

use crate::failure::Failure;
use crate::settings::Settings;
use kernel::db::Location;
use std::path::{Path, PathBuf};

/// Name of the embedded database in the data folder.
const DATABASE_FILE: &str = "gatewarden.db";

/// The options that say where things are. They stand before the command.
#[derive(Clone, Default, clap::Args)]
#[command(next_help_heading = "Where things are")]
pub struct PlaceArgs {
    /// The configuration file (TOML); 'gatewarden config --defaults' prints one
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "GATEWARDEN_CONFIG",
        hide_env_values = true
    )]
    pub config: Option<PathBuf>,
    /// The data folder: journal, keys and the embedded database
    #[arg(
        long,
        global = true,
        value_name = "FOLDER",
        env = "GATEWARDEN_DATA",
        hide_env_values = true
    )]
    pub data: Option<PathBuf>,
    /// The database: postgres://user@host/name or sqlite:PATH [default: gatewarden.db in the data folder]
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "GATEWARDEN_DATABASE",
        hide_env_values = true
    )]
    pub database: Option<String>,
}

/// The same, settled.
#[derive(Debug, Clone)]
pub struct Place {
    /// Every section of the configuration.
    pub settings: Settings,
    /// The configuration file, if one was named.
    pub config: Option<PathBuf>,
    /// The data folder. It may not exist yet.
    pub data: PathBuf,
    /// The database.
    pub database: Location,
}

impl PlaceArgs {
    /// The configuration file; a variable that is set to nothing counts as unset.
    pub fn config_file(&self) -> Option<&Path> {
        self.config
            .as_deref()
            .filter(|path| !path.as_os_str().is_empty())
    }

    /// The folder that was named on the command line or in the environment.
    pub fn data_folder(&self) -> Option<&Path> {
        self.data
            .as_deref()
            .filter(|path| !path.as_os_str().is_empty())
    }

    /// Settles every place.
    ///
    /// # Errors
    /// A sentence that names the file, setting or variable that is wrong.
    pub fn settle(&self) -> Result<Place, Failure> {
        let config = self.config_file();
        let settings = Settings::read(config)?;
        let data = match self.data_folder() {
            Some(folder) => folder.to_owned(),
            None => data_folder(settings.server.data.as_deref(), |name| {
                std::env::var(name).ok()
            })
            .ok_or_else(|| {
                Failure::usage("no data folder: say which with --data FOLDER or GATEWARDEN_DATA")
            })?,
        };
        let given = self
            .database
            .as_deref()
            .filter(|url| !url.is_empty())
            .or(settings.server.database.as_deref());
        let database = match given {
            Some(text) => Location::parse(text).map_err(Failure::usage)?,
            None => Location::Sqlite(data.join(DATABASE_FILE)),
        };
        Ok(Place {
            config: config.map(Path::to_owned),
            settings,
            data,
            database,
        })
    }
}

/// The data folder when nobody named one on the command line: the setting, else systemd's state folder, else XDG's.
fn data_folder(
    setting: Option<&str>,
    environment: impl Fn(&str) -> Option<String>,
) -> Option<PathBuf> {
    let absolute = |name: &str| {
        environment(name)
            // systemd lists several folders with colons between them; the first is ours.
            .map(|value| value.split(':').next().unwrap_or_default().to_owned())
            .filter(|value| value.starts_with('/'))
            .map(PathBuf::from)
    };
    setting
        .filter(|folder| !folder.is_empty())
        .map(PathBuf::from)
        .or_else(|| absolute("STATE_DIRECTORY"))
        .or_else(|| absolute("XDG_DATA_HOME").map(|folder| folder.join("gatewarden")))
        .or_else(|| absolute("HOME").map(|folder| folder.join(".local/share/gatewarden")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearer_word_wins() {
        let check = |setting: Option<&str>, variables: &[(&str, &str)], expect: Option<&str>| {
            let environment = |name: &str| {
                variables
                    .iter()
                    .find(|(known, _)| *known == name)
                    .map(|(_, value)| (*value).to_owned())
            };
            assert_eq!(data_folder(setting, environment), expect.map(PathBuf::from));
        };
        let all = [
            ("STATE_DIRECTORY", "/var/lib/g:/x"),
            ("XDG_DATA_HOME", "/d"),
            ("HOME", "/home/a"),
        ];
        check(Some("/srv/g"), &all, Some("/srv/g"));
        check(None, &all, Some("/var/lib/g"));
        check(None, &all[1..], Some("/d/gatewarden"));
        check(None, &all[2..], Some("/home/a/.local/share/gatewarden"));
        check(
            None,
            &[("XDG_DATA_HOME", "relative"), ("HOME", "/h")],
            Some("/h/.local/share/gatewarden"),
        );
        check(None, &[], None);
    }
}
