//! Nodes: one running process is a node at a time.
//!
//! A node's id lies in its data folder, and what it has written of its journal into the database is counted by that id.
//! Whoever copies a data folder copies the id: both servers would then take the other's count for their own, and reports
//! that were acknowledged would be lost. So a server claims its id before it uses it and says every few seconds that it
//! is still there.
//!
//! [`claim`] is called while the data folder's own lock is held. Where the last holder sat in the very same folder, that
//! lock proves that it is gone, and nobody waits: a server that was killed comes back at once. Otherwise the holder is
//! watched for a few seconds, and the claim is refused when it is seen alive. This must **never** be decided by comparing
//! two machines' clocks alone.

use crate::{Error, Kernel, Time};
use std::path::Path;
use std::time::Duration;

/// How often [`Lease::beat`] is to be called: often enough to be seen while another process watches.
pub const BEAT_EVERY: Duration = Duration::from_secs(2);
/// How long one look lasts.
const LOOK: Duration = Duration::from_secs(1);
/// Looks at a holder before it counts as gone: two beats and a slow database.
const LOOKS: u32 = 6;
/// Seconds after which a holder that says nothing is gone for sure; far more than two machines' clocks may differ.
const GONE_AFTER_SECONDS: i64 = 120;
/// Names are for a sentence.
const MAX_NAME_CHARACTERS: usize = 300;

crate::statements! {
    /// Statements of this file.
    pub STATEMENTS;
    HOLDER = "SELECT name, place, boot, seen FROM node WHERE id = $1";
    APPEAR = "INSERT INTO node (id, name, place, boot, started, seen) VALUES ($1, $2, $3, $4, $5, $5)
        ON CONFLICT (id) DO NOTHING";
    TAKE = "UPDATE node SET name = $2, place = $3, boot = $4, started = $5, seen = $5
        WHERE id = $1 AND boot = $6 AND seen = $7";
    BEAT = "UPDATE node SET seen = $3 WHERE id = $1 AND boot = $2";
    RUNNING = "SELECT COUNT(*) AS number FROM node WHERE boot <> '' AND seen > $1";
    RELEASE = "UPDATE node SET boot = '', seen = $3 WHERE id = $1 AND boot = $2";
}

#[derive(sqlx::FromRow)]
struct HolderRow {
    name: String,
    place: String,
    boot: String,
    seen: Time,
}

#[derive(sqlx::FromRow)]
struct NumberRow {
    number: i64,
}

/// Whether a server works with this database, or did until a moment ago.
///
/// # Errors
/// [`Error::Engine`].
pub async fn is_any_running(kernel: &Kernel) -> Result<bool, Error> {
    let since = kernel.now().plus_seconds(-GONE_AFTER_SECONDS);
    let running: Option<NumberRow> = kernel.db.first(RUNNING, crate::values![since]).await?;
    Ok(running.is_some_and(|running| running.number > 0))
}

/// Who claims: the data folder, for people and to be recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Claimant {
    name: String,
    place: String,
}

/// The right to be a node, until it is released or found taken.
#[derive(Debug)]
pub struct Lease {
    node: String,
    boot: String,
    claimant: Claimant,
}

impl Claimant {
    /// Of a folder on this host.
    fn of(folder: &Path) -> Self {
        let read = |path: &str| std::fs::read_to_string(path).map(|text| text.trim().to_owned());
        let host = read("/proc/sys/kernel/hostname").unwrap_or_else(|_| "?".to_owned());
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        let name = format!("{host}:{}", folder.display());
        Self {
            name: name
                .chars()
                .filter(|character| !character.is_control())
                .take(MAX_NAME_CHARACTERS)
                .collect(),
            place: read("/proc/sys/kernel/random/boot_id")
                .ok()
                .filter(|boot| !boot.is_empty())
                .and_then(|boot| Some(format!("{boot} {}", folder_number(&folder)?)))
                .unwrap_or_default(),
        }
    }
}

/// What tells a folder from its copies on one host: the numbers of its file system and of the folder in it.
#[cfg(unix)]
fn folder_number(folder: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let metadata = folder.metadata().ok()?;
    Some(format!("{}:{}", metadata.dev(), metadata.ino()))
}

/// Elsewhere a holder is always watched.
#[cfg(not(unix))]
fn folder_number(_folder: &Path) -> Option<String> {
    None
}

/// Claims a node id for this process. Call it while holding the lock of `folder`, the data folder that the id lies in.
/// Takes a few seconds when the last process that was this node ended without saying so in another folder or before the
/// host's last start.
///
/// # Errors
/// [`Error::Conflict`] with one sentence when another process is this node; [`Error::Engine`].
pub async fn claim(kernel: &Kernel, node: &str, folder: &Path) -> Result<Lease, Error> {
    claim_for(kernel, node, Claimant::of(folder), || {
        tokio::time::sleep(LOOK)
    })
    .await
}

async fn claim_for<W: Future<Output = ()>>(
    kernel: &Kernel,
    node: &str,
    claimant: Claimant,
    mut look: impl FnMut() -> W,
) -> Result<Lease, Error> {
    let mut fresh = [0u8; 16];
    kernel.rng.fill(&mut fresh);
    let boot: String = fresh.iter().map(|octet| format!("{octet:02x}")).collect();
    if appear(kernel, node, &boot, &claimant).await? {
        return Ok(Lease {
            node: node.to_owned(),
            boot,
            claimant,
        });
    }
    let mut holder = holder(kernel, node).await?;
    if !is_gone(&holder, &claimant, kernel.now()) {
        for _ in 0..LOOKS {
            look().await;
            let now = self::holder(kernel, node).await?;
            if (&now.boot, now.seen) != (&holder.boot, holder.seen) && !now.boot.is_empty() {
                return Err(in_use(node, &now.name));
            }
            let has_ended = now.boot.is_empty();
            holder = now;
            if has_ended {
                break;
            }
        }
    }
    let mut tx = kernel.db.begin().await?;
    let values = crate::values![
        node,
        &claimant.name,
        &claimant.place,
        &boot,
        kernel.now(),
        &holder.boot,
        holder.seen
    ];
    // Two that claim at once both find the holder gone: the row lets one of them have it.
    if tx.run(TAKE, values).await? == 0 {
        tx.rollback().await?;
        let name = self::holder(kernel, node).await?.name;
        return Err(in_use(node, &name));
    }
    tx.commit().await?;
    Ok(Lease {
        node: node.to_owned(),
        boot,
        claimant,
    })
}

/// Whether the last holder needs no watching.
fn is_gone(holder: &HolderRow, claimant: &Claimant, now: Time) -> bool {
    let has_ended = holder.boot.is_empty();
    let is_same_folder = !holder.place.is_empty() && holder.place == claimant.place;
    let is_long_silent = holder.seen < now.plus_seconds(-GONE_AFTER_SECONDS);
    has_ended || is_same_folder || is_long_silent
}

async fn appear(
    kernel: &Kernel,
    node: &str,
    boot: &str,
    claimant: &Claimant,
) -> Result<bool, Error> {
    let mut tx = kernel.db.begin().await?;
    let values = crate::values![node, &claimant.name, &claimant.place, boot, kernel.now()];
    let is_new = tx.run(APPEAR, values).await? == 1;
    tx.commit().await?;
    Ok(is_new)
}

async fn holder(kernel: &Kernel, node: &str) -> Result<HolderRow, Error> {
    let row: Option<HolderRow> = kernel.db.first(HOLDER, crate::values![node]).await?;
    row.ok_or_else(|| {
        Error::Conflict(format!(
            "node {node}: its row was just taken away; start again"
        ))
    })
}

fn in_use(node: &str, name: &str) -> Error {
    Error::Conflict(format!(
        "node {node} is running as '{name}': the data folder is a copy of that one; start this server on an empty data \
         folder of its own"
    ))
}

impl Lease {
    /// The node's id.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Says that this process is still there. Call it every [`BEAT_EVERY`].
    ///
    /// # Errors
    /// [`Error::Conflict`] with one sentence when another process is this node now: then stop, and write nothing more
    /// under the node's id. [`Error::Engine`] while the database is away: then try again at the next beat.
    pub async fn beat(&self, kernel: &Kernel) -> Result<(), Error> {
        let mut tx = kernel.db.begin().await?;
        let beats = tx
            .run(BEAT, crate::values![&self.node, &self.boot, kernel.now()])
            .await?;
        tx.commit().await?;
        // A row that was taken away, as by a restored database, is put back.
        if beats == 1 || appear(kernel, &self.node, &self.boot, &self.claimant).await? {
            return Ok(());
        }
        let name = holder(kernel, &self.node).await?.name;
        Err(Error::Conflict(format!(
            "node {} was taken by '{name}', which runs on a copy of this data folder: give each server an empty data \
             folder of its own",
            self.node
        )))
    }

    /// Gives the id back: the next claim does not wait. One that was lost meanwhile stays with whoever has it.
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub async fn release(self, kernel: &Kernel) -> Result<(), Error> {
        let mut tx = kernel.db.begin().await?;
        tx.run(
            RELEASE,
            crate::values![&self.node, &self.boot, kernel.now()],
        )
        .await?;
        tx.commit().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Location;
    use crate::{FixedClock, Keyring, SeededRng};
    use std::cell::Cell;
    use std::sync::Arc;

    const NODE: &str = "0123456789abcdef0123456789abcdef";

    struct House {
        kernel: Kernel,
        clock: Arc<FixedClock>,
        _folder: tempfile::TempDir,
    }

    async fn house() -> House {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.db");
        let clock = Arc::new(FixedClock::new(Time::from_unix_seconds(1_800_000_000)));
        let kernel = Kernel {
            db: Location::Sqlite(path).open().await.unwrap(),
            clock: clock.clone(),
            rng: Arc::new(SeededRng::new(11)),
            keys: Arc::new(Keyring::parse(&Keyring::fresh_text(&SeededRng::new(1))).unwrap()),
        };
        House {
            kernel,
            clock,
            _folder: folder,
        }
    }

    fn at(name: &str, place: &str) -> Claimant {
        Claimant {
            name: name.to_owned(),
            place: place.to_owned(),
        }
    }

    impl House {
        /// Claims without anything happening at the looks; and how many there were.
        async fn claim(&self, claimant: Claimant) -> (Result<Lease, String>, u32) {
            let looks = Cell::new(0);
            let look = || {
                looks.set(looks.get() + 1);
                std::future::ready(())
            };
            let claimed = claim_for(&self.kernel, NODE, claimant, look).await;
            (claimed.map_err(|e| e.to_string()), looks.get())
        }
    }

    #[tokio::test]
    async fn a_copied_data_folder_is_refused_while_the_first_is_alive() {
        let house = house().await;
        let first = house.claim(at("a:/data", "1")).await.0.unwrap();
        let looks = Cell::new(0);
        let look = || {
            looks.set(looks.get() + 1);
            house.clock.advance_seconds(1);
            let (first, kernel, is_beat) = (&first, &house.kernel, looks.get() % 2 == 0);
            async move {
                if is_beat {
                    first.beat(kernel).await.unwrap();
                }
            }
        };
        let refused = claim_for(&house.kernel, NODE, at("b:/data", "2"), look).await;
        let sentence = refused.err().map(|e| e.to_string()).unwrap_or_default();
        assert!(sentence.contains("running as 'a:/data'"), "{sentence}");
        assert_eq!(looks.get(), 2);
        first.beat(&house.kernel).await.unwrap();
    }

    #[tokio::test]
    async fn a_killed_process_comes_back_at_once_in_its_own_folder() {
        let house = house().await;
        let killed = house.claim(at("a:/data", "1")).await.0.unwrap();
        let (again, looks) = house.claim(at("renamed:/data", "1")).await;
        assert!(again.is_ok());
        assert_eq!(looks, 0);
        // What is left of the one that was given up is told so.
        let taken = killed.beat(&house.kernel).await;
        assert!(matches!(taken, Err(Error::Conflict(s)) if s.contains("taken by 'renamed:/data'")));
        killed.release(&house.kernel).await.unwrap();
        again.unwrap().beat(&house.kernel).await.unwrap();
    }

    #[tokio::test]
    async fn a_silent_holder_elsewhere_is_watched_and_then_followed() {
        let house = house().await;
        let _killed = house.claim(at("a:/data", "1")).await.0.unwrap();
        let (moved, looks) = house.claim(at("b:/data", "2")).await;
        assert!(moved.is_ok());
        assert_eq!(looks, LOOKS);
        // Where a place is not known, nothing is proven by it.
        let (unknown, looks) = house.claim(at("c:/data", "")).await;
        assert!(unknown.is_ok());
        assert_eq!(looks, LOOKS);
        assert_eq!(house.claim(at("c:/data", "")).await.1, LOOKS);
        house.clock.advance_seconds(GONE_AFTER_SECONDS + 1);
        assert_eq!(house.claim(at("d:/data", "4")).await.1, 0);
    }

    #[tokio::test]
    async fn an_id_that_was_given_back_is_there_for_anybody() {
        let house = house().await;
        let first = house.claim(at("a:/data", "1")).await.0.unwrap();
        assert_eq!(first.node(), NODE);
        first.release(&house.kernel).await.unwrap();
        let (second, looks) = house.claim(at("b:/data", "2")).await;
        assert!(second.is_ok());
        assert_eq!(looks, 0);
        // Given back while it is watched: no need to look on.
        let second = Cell::new(second.ok());
        let looks = Cell::new(0);
        let look = || {
            looks.set(looks.get() + 1);
            let (given, kernel) = (second.take(), &house.kernel);
            async move {
                if let Some(lease) = given {
                    lease.release(kernel).await.unwrap();
                }
            }
        };
        assert!(
            claim_for(&house.kernel, NODE, at("c:/data", "3"), look)
                .await
                .is_ok()
        );
        assert_eq!(looks.get(), 1);
    }

    crate::statements! {
        STATEMENTS_OF_TEST;
        LOSE = "DELETE FROM node WHERE id = $1";
    }

    #[tokio::test]
    async fn a_row_that_was_taken_away_is_put_back() {
        let house = house().await;
        assert_eq!(STATEMENTS_OF_TEST.len(), 1);
        let lease = house.claim(at("a:/data", "1")).await.0.unwrap();
        let mut tx = house.kernel.db.begin().await.unwrap();
        assert_eq!(tx.run(LOSE, crate::values![NODE]).await.unwrap(), 1);
        tx.commit().await.unwrap();
        lease.beat(&house.kernel).await.unwrap();
        lease.beat(&house.kernel).await.unwrap();
        assert_eq!(holder(&house.kernel, NODE).await.unwrap().name, "a:/data");
    }

    #[tokio::test]
    async fn a_folder_is_recognised_and_its_copy_is_not() {
        let house = house().await;
        let (one, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        assert_eq!(
            Claimant::of(one.path()),
            Claimant::of(&one.path().join("."))
        );
        assert_ne!(
            Claimant::of(one.path()).name,
            Claimant::of(copy.path()).name
        );
        if cfg!(target_os = "linux") {
            assert!(!Claimant::of(one.path()).place.is_empty());
            assert_ne!(
                Claimant::of(one.path()).place,
                Claimant::of(copy.path()).place
            );
        }
        let lease = claim(&house.kernel, NODE, one.path()).await.unwrap();
        lease.beat(&house.kernel).await.unwrap();
    }
}
