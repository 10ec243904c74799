//! What accounting must come to, reckoned from the acknowledged packets alone.
//!
//! It reads packets by itself and knows nothing of the server's code: a session used the largest of each counter, it is
//! over once a Stop was acknowledged, and it has as many reports as there are different packets. That holds for
//! well-behaved NASes only: an id is never used again, counters carry Gigawords or stay below 4 GiB, no NAS restarts
//! in between, nothing is heard after the Stop, and a retransmission is the same packet.

use kernel::{Db, Error};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Differences that are told; more say no more.
const MAX_DIFFERENCES: usize = 20;

/// What a session, or a person, came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum {
    /// Seconds online.
    pub seconds: i64,
    /// Octets from the client.
    pub input: i64,
    /// Octets to the client.
    pub output: i64,
}

/// A session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Life {
    /// User-Name.
    pub username: String,
    /// Its totals.
    pub sum: Sum,
    /// Whether it is over.
    pub is_over: bool,
    /// How many different packets told of it.
    pub reports: i64,
}

/// Sessions by Acct-Session-Id and Calling-Station-Id.
pub type Lives = BTreeMap<(String, String), Life>;

/// What the acknowledged packets come to.
#[derive(Debug, Default)]
pub struct Model {
    seen: BTreeSet<u64>,
    lives: Lives,
}

impl Model {
    /// Takes an Accounting-Request that was answered. One that was taken before changes nothing.
    ///
    /// # Panics
    /// When it is no report about a session.
    pub fn acknowledge(&mut self, packet: &[u8]) {
        let mut digest = DefaultHasher::new();
        packet.hash(&mut digest);
        if !self.seen.insert(digest.finish()) {
            return;
        }
        let told = Told::read(packet).expect("a report with status and session id");
        let life = self.lives.entry(told.key).or_default();
        life.username = told.username;
        life.reports += 1;
        life.is_over |= told.is_stop;
        life.sum.seconds = life.sum.seconds.max(told.sum.seconds);
        life.sum.input = life.sum.input.max(told.sum.input);
        life.sum.output = life.sum.output.max(told.sum.output);
    }

    /// How many different packets were taken.
    pub fn reports(&self) -> u64 {
        self.seen.len() as u64
    }

    /// The sessions.
    pub fn lives(&self) -> &Lives {
        &self.lives
    }

    /// What each person used.
    pub fn usage(&self) -> BTreeMap<String, Sum> {
        let mut people: BTreeMap<String, Sum> = BTreeMap::new();
        for life in self.lives.values() {
            let sum = people.entry(life.username.clone()).or_default();
            sum.seconds += life.sum.seconds;
            sum.input += life.sum.input;
            sum.output += life.sum.output;
        }
        people.retain(|_, sum| *sum != Sum::default());
        people
    }

    /// Where the database says something else; empty is right. Everybody who has sessions must be known as somebody.
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub async fn differences(&self, db: &Db) -> Result<Vec<String>, Error> {
        let (lives, usage) = stored(db).await?;
        let mut told = Vec::new();
        tell(&mut told, "session", &self.lives, &lives);
        tell(&mut told, "usage of", &self.usage(), &usage);
        let reports: i64 = lives.values().map(|life| life.reports).sum();
        if u64::try_from(reports) != Ok(self.reports()) {
            let distinct = self.reports();
            told.push(format!(
                "{distinct} reports were acknowledged, {reports} are counted"
            ));
        }
        Ok(told)
    }
}

fn tell<K: Ord + std::fmt::Debug, V: PartialEq + std::fmt::Debug>(
    told: &mut Vec<String>,
    what: &str,
    expected: &BTreeMap<K, V>,
    stored: &BTreeMap<K, V>,
) {
    let keys: BTreeSet<&K> = expected.keys().chain(stored.keys()).collect();
    for key in keys {
        let (expect, got) = (expected.get(key), stored.get(key));
        if expect != got && told.len() < MAX_DIFFERENCES {
            told.push(format!(
                "{what} {key:?}: expected {expect:?}, stored {got:?}"
            ));
        }
    }
}

struct Told {
    key: (String, String),
    username: String,
    is_stop: bool,
    sum: Sum,
}

impl Told {
    fn read(packet: &[u8]) -> Option<Told> {
        let mut attributes: BTreeMap<u8, &[u8]> = BTreeMap::new();
        let mut rest = packet.get(20..)?;
        while let [kind, length, ..] = *rest {
            attributes.insert(kind, rest.get(2..length.into())?);
            rest = &rest[length.into()..];
        }
        let text = |kind| {
            let octets: &[u8] = attributes.get(&kind).copied().unwrap_or_default();
            String::from_utf8_lossy(octets).into_owned()
        };
        let number = |kind| {
            let octets: [u8; 4] = (*attributes.get(&kind)?).try_into().ok()?;
            Some(i64::from(u32::from_be_bytes(octets)))
        };
        let long = |low, high| number(low).unwrap_or(0) + (number(high).unwrap_or(0) << 32);
        let key = (text(44), text(31));
        (!key.0.is_empty()).then_some(Told {
            key,
            username: text(1),
            is_stop: number(40)? == 2,
            sum: Sum {
                seconds: number(46).unwrap_or(0),
                input: long(42, 52),
                output: long(43, 53),
            },
        })
    }
}

#[derive(sqlx::FromRow)]
struct SessionRow {
    acct_session_id: String,
    calling_station_id: Option<String>,
    username: Option<String>,
    membership_id: Option<kernel::id::Uuid>,
    is_over: i64,
    session_seconds: i64,
    input_octets: i64,
    output_octets: i64,
    reports: i64,
}

#[derive(sqlx::FromRow)]
struct UsageRow {
    membership_id: kernel::id::Uuid,
    seconds: i64,
    input_octets: i64,
    output_octets: i64,
}

kernel::statements! {
    /// Statements of this file.
    pub STATEMENTS;
    SESSIONS = "SELECT acct_session_id, calling_station_id, username, membership_id,
            CAST(CASE WHEN stopped IS NULL THEN 0 ELSE 1 END AS BIGINT) AS is_over, session_seconds, input_octets,
            output_octets, reports FROM session_all";
    USAGE = "SELECT membership_id, CAST(SUM(seconds) AS BIGINT) AS seconds,
            CAST(SUM(input_octets) AS BIGINT) AS input_octets, CAST(SUM(output_octets) AS BIGINT) AS output_octets
        FROM usage GROUP BY membership_id";
}

/// The same from the database: sessions, and what people used by name. A session twice shows as one with a strange name.
async fn stored(db: &Db) -> Result<(Lives, BTreeMap<String, Sum>), Error> {
    let rows: Vec<SessionRow> = db.all(SESSIONS, Vec::new()).await?;
    let mut names = BTreeMap::new();
    let mut lives = Lives::new();
    for row in rows {
        let username = row.username.unwrap_or_default();
        if let Some(membership) = row.membership_id {
            names.insert(membership, username.clone());
        }
        let key = (
            row.acct_session_id,
            row.calling_station_id.unwrap_or_default(),
        );
        let life = Life {
            username,
            sum: Sum {
                seconds: row.session_seconds,
                input: row.input_octets,
                output: row.output_octets,
            },
            is_over: row.is_over != 0,
            reports: row.reports,
        };
        if let Some(twin) = lives.insert(key.clone(), life) {
            lives.insert((format!("{} again", key.0), key.1), twin);
        }
    }
    let rows: Vec<UsageRow> = db.all(USAGE, Vec::new()).await?;
    let mut usage = BTreeMap::new();
    for row in rows {
        let unknown = || format!("membership {}", row.membership_id);
        let name = names
            .get(&row.membership_id)
            .cloned()
            .unwrap_or_else(unknown);
        let sum = Sum {
            seconds: row.seconds,
            input: row.input_octets,
            output: row.output_octets,
        };
        if sum != Sum::default() {
            usage.insert(name, sum);
        }
    }
    Ok((lives, usage))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(identifier: u8, status: u8, seconds: u8, gigawords: u8) -> Vec<u8> {
        let mut packet = vec![4, identifier, 0, 0];
        packet.extend_from_slice(&[0; 16]);
        for (kind, value) in [(1, &b"bob"[..]), (44, b"s1"), (31, b"02")] {
            packet.extend_from_slice(&[kind, value.len() as u8 + 2]);
            packet.extend_from_slice(value);
        }
        for (kind, value) in [(40, status), (46, seconds), (42, 7), (52, gigawords)] {
            packet.extend_from_slice(&[kind, 6, 0, 0, 0, value]);
        }
        packet
    }

    #[test]
    fn the_largest_counts_and_a_packet_counts_once() {
        let mut model = Model::default();
        for packet in [
            packet(1, 1, 0, 0),
            packet(2, 3, 60, 1),
            packet(2, 3, 60, 1),
            packet(3, 2, 90, 0),
        ] {
            model.acknowledge(&packet);
        }
        let expect = Life {
            username: "bob".into(),
            sum: Sum {
                seconds: 90,
                input: (1 << 32) + 7,
                output: 0,
            },
            is_over: true,
            reports: 3,
        };
        assert_eq!(model.lives().values().collect::<Vec<_>>(), [&expect]);
        assert_eq!(model.usage(), BTreeMap::from([("bob".into(), expect.sum)]));
        assert_eq!(model.reports(), 3);
    }
}
