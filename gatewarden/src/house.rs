//! What operator commands work on: the database the server uses, with its keys.
//!
//! A command and a running server share the database and nothing else; the server sees a change by its event.

use crate::failure::Failure;
use crate::place::{Place, PlaceArgs};
use access::admit::found_organisation;
use access::register::SNAPSHOT_FILE;
use identity::{NewOrganisation, Organisation, organisation};
use kernel::{Clock, Kernel, Keyring, Rng, Scope, SystemClock, SystemRng};
use std::fs::File;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The organisation that is there from the beginning.
pub const DEFAULT_ORGANISATION: &str = "default";
/// The ring's file in the data folder.
const KEYS_FILE: &str = "keys";
/// Locked while an installation is opened; it is empty.
const OPENING_FILE: &str = "opening.lock";
/// The ring itself, where it does not lie in a file: the same on every node.
const KEYS_VARIABLE: &str = "GATEWARDEN_KEYS";
/// How long a server waits for its database when it can start without.
const SOON: Duration = Duration::from_secs(3);
/// Organisations that are named when one has to be chosen.
const MAX_NAMED: usize = 12;

/// An opened installation.
#[derive(Clone)]
pub struct House {
    /// Database, clock, randomness, keys.
    pub kernel: Kernel,
    /// Where it is.
    pub place: Place,
}

impl House {
    /// Opens the installation that the options name: makes the data folder, brings the schema up to date, checks the
    /// keys, and founds the first organisation.
    ///
    /// # Errors
    /// One sentence with the place.
    pub async fn open(places: &PlaceArgs) -> Result<Self, Failure> {
        Self::open_at(places.settle()?).await
    }

    /// The same for a place that is settled.
    ///
    /// # Errors
    /// One sentence with the place.
    pub async fn open_at(place: Place) -> Result<Self, Failure> {
        make_folder(&place.data)?;
        let _opening = one_at_a_time(&place.data)?;
        let db = place.database.open().await.map_err(Failure::failed)?;
        let house = Self::with(place, db)?;
        house.found().await?;
        Ok(house)
    }

    /// The same for a server. Where the database is away, and the register's snapshot lies in the data folder, the house
    /// is there without it: see [`House::open_late`]. Whether the database is open is the second.
    ///
    /// # Errors
    /// One sentence with the place.
    pub async fn open_to_serve(place: Place) -> Result<(Self, bool), Failure> {
        if !place.data.join(SNAPSHOT_FILE).exists() {
            return Ok((Self::open_at(place).await?, true));
        }
        let _opening = one_at_a_time(&place.data)?;
        let away = match tokio::time::timeout(SOON, place.database.open()).await {
            Ok(Ok(db)) => {
                let house = Self::with(place, db)?;
                house.found().await?;
                return Ok((house, true));
            }
            // It answers, and what it says does not become better by waiting.
            Ok(Err(e)) if e.is_foreign_schema() => return Err(Failure::failed(e)),
            Ok(Err(e)) => e.to_string(),
            Err(_) => format!("{} does not answer", place.database),
        };
        tracing::error!("starting from the register's snapshot, without the database: {away}");
        let db = place
            .database
            .connect_lazily()
            .await
            .map_err(Failure::failed)?;
        Ok((Self::with(place, db)?, false))
    }

    /// Opens a database that was away at the start.
    ///
    /// # Errors
    /// It is still away, or cannot be used.
    pub async fn open_late(&self) -> Result<(), Failure> {
        self.kernel.db.migrate().await.map_err(Failure::failed)?;
        self.found().await
    }

    fn with(place: Place, db: kernel::Db) -> Result<Self, Failure> {
        let rng: Arc<dyn Rng> = Arc::new(SystemRng::new());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let keys = match std::env::var(KEYS_VARIABLE)
            .ok()
            .filter(|text| !text.is_empty())
        {
            Some(text) => Keyring::parse(&text)
                .map_err(|e| Failure::usage(format!("{KEYS_VARIABLE}: {e}")))?,
            None => Keyring::open_or_create(&place.data.join(KEYS_FILE), &*rng)
                .map_err(Failure::failed)?,
        };
        let kernel = Kernel {
            db,
            clock,
            rng,
            keys: Arc::new(keys),
        };
        Ok(Self { kernel, place })
    }

    /// Checks that the keys are the database's, and founds the first organisation.
    async fn found(&self) -> Result<(), Failure> {
        let kernel = &self.kernel;
        kernel
            .db
            .accept_keys(&kernel.keys, kernel.now())
            .await
            .map_err(Failure::failed)?;
        found_first(kernel).await
    }

    /// Closes the database; SQLite's log is folded into its file.
    pub async fn close(self) {
        self.kernel.db.close().await;
    }

    /// The organisation that is named; without a name, the only one there is.
    ///
    /// # Errors
    /// The nearest slug, or the ones to choose from.
    pub async fn organisation(&self, slug: Option<&str>) -> Result<Organisation, Failure> {
        if let Some(slug) = slug {
            return Ok(organisation::by_slug(&self.kernel.db, slug).await?);
        }
        let mut all = organisation::all(&self.kernel.db).await?;
        match all.len() {
            1 => Ok(all.remove(0)),
            0 => Err(Failure::usage(
                "there is no organisation; make one with 'gatewarden org add NAME'",
            )),
            _ => Err(Failure::usage(format!(
                "there are several organisations; say which with --org: {}",
                slugs(&all)
            ))),
        }
    }

    /// Whose rows to show: one organisation's, or everybody's.
    ///
    /// # Errors
    /// The nearest slug.
    pub async fn scope(&self, slug: Option<&str>) -> Result<Scope, Failure> {
        Ok(match slug {
            None => Scope::Everything,
            Some(slug) => {
                Scope::Organisation(organisation::by_slug(&self.kernel.db, slug).await?.id)
            }
        })
    }

    /// Slugs by id, for tables.
    ///
    /// # Errors
    /// The database's.
    pub async fn slugs(
        &self,
    ) -> Result<std::collections::HashMap<kernel::OrganisationId, String>, Failure> {
        let all = organisation::all(&self.kernel.db).await?;
        Ok(all
            .into_iter()
            .map(|organisation| (organisation.id, organisation.slug))
            .collect())
    }
}

fn slugs(organisations: &[Organisation]) -> String {
    let mut names: Vec<&str> = organisations
        .iter()
        .take(MAX_NAMED)
        .map(|o| o.slug.as_str())
        .collect();
    if organisations.len() > MAX_NAMED {
        names.push("…");
    }
    names.join(", ")
}

/// Makes the data folder, closed to everybody else: keys and journal lie in it.
///
/// # Errors
/// The system's, with the folder.
pub fn make_folder(folder: &Path) -> Result<(), Failure> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|e| {
            Failure::failed(format!(
                "cannot make the data folder {}: {e}",
                folder.display()
            ))
        })
}

/// Holds back other processes that open the same installation, until the file is dropped: two at once would both make
/// the keys, and the tables of an SQLite database.
fn one_at_a_time(folder: &Path) -> Result<File, Failure> {
    let path = folder.join(OPENING_FILE);
    let failed =
        |e: std::io::Error| Failure::failed(format!("cannot lock {}: {e}", path.display()));
    let file = File::options()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(failed)?;
    file.lock().map_err(failed)?;
    Ok(file)
}

/// An installation begins with one organisation.
async fn found_first(kernel: &Kernel) -> Result<(), Failure> {
    if !organisation::all(&kernel.db).await?.is_empty() {
        return Ok(());
    }
    let mut new = NewOrganisation::named(DEFAULT_ORGANISATION);
    new.slug = Some(DEFAULT_ORGANISATION.to_owned());
    match found_organisation(kernel, new).await {
        // Another process was quicker.
        Err(kernel::Error::Conflict(_)) => Ok(()),
        other => Ok(other.map(|_| ())?),
    }
}
