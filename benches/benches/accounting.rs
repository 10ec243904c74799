//! What accounting costs between the journal and SQL: processor time of this process and of PostgreSQL, a report.
//!
//! `cargo bench --profile perf --bench accounting -- DATABASE [SESSIONS [BATCH]]`, with the process id of PostgreSQL's
//! postmaster in `POSTMASTER`. The database is filled and not emptied again: give it one of its own. Without a database
//! a SQLite file is made and removed.

use chrono_tz::Tz;
use journal::Position;
use kernel::db::Location;
use kernel::id::Uuid;
use kernel::{FixedClock, Kernel, Keyring, OrganisationId, SeededRng, Time};
use std::sync::Arc;
use std::time::Instant;
use usage::writer::memory::Memory;
use usage::{Entry, Item, Origin, Outcome, Stretch, apply_with};

const NOON: i64 = 1_800_014_400;
/// Sessions that are open at once.
const OPEN: u64 = 50_000;
/// Ticks of the processor clock a second: what Linux counts `/proc/PID/stat` in.
const TICKS: f64 = 100.0;

fn put(packet: &mut Vec<u8>, kind: u8, value: &[u8]) {
    packet.push(kind);
    packet.push(u8::try_from(value.len() + 2).unwrap_or(2));
    packet.extend_from_slice(value);
}

/// The report of a session: 0 is its Start, 4 its Stop. They come in the same distance.
fn report(session: u64, step: u32, received: Time) -> Entry {
    let mut packet = vec![4, 1, 0, 0];
    packet.extend_from_slice(&[7; 16]);
    let mac = format!(
        "02-00-{:02X}-{:02X}-{:02X}-{:02X}",
        session >> 24 & 255,
        session >> 16 & 255,
        session >> 8 & 255,
        session & 255
    );
    let nas = u32::try_from(session % 100).unwrap_or(0);
    let number = |packet: &mut Vec<u8>, kind, value: u32| put(packet, kind, &value.to_be_bytes());
    put(
        &mut packet,
        1,
        format!("user-{:06}", session % 100_000).as_bytes(),
    );
    number(&mut packet, 4, 0x0a00_0001 + nas);
    put(&mut packet, 32, format!("ap-{nas}").as_bytes());
    number(&mut packet, 5, 1);
    number(&mut packet, 61, 19);
    put(&mut packet, 30, b"AA-BB-CC-DD-EE-FF:Guests");
    put(&mut packet, 31, mac.as_bytes());
    put(
        &mut packet,
        44,
        format!("{:016X}", session.wrapping_mul(0x9E37_79B9_7F4A_7C15)).as_bytes(),
    );
    number(&mut packet, 40, [1, 3, 3, 3, 2][step as usize]);
    number(&mut packet, 45, 1);
    number(&mut packet, 8, 0x0a80_0000 | (session as u32 & 0xffff));
    put(&mut packet, 77, b"CONNECT 54Mbps 802.11g");
    if step > 0 {
        number(&mut packet, 46, step * 300);
        number(&mut packet, 42, step * 1_000_000);
        number(&mut packet, 43, step * 9_000_000);
        number(&mut packet, 52, 0);
        number(&mut packet, 53, 0);
        number(&mut packet, 47, step * 1_000);
        number(&mut packet, 48, step * 7_000);
    }
    if step == 4 {
        number(&mut packet, 49, 1);
    }
    let length = u16::try_from(packet.len()).unwrap_or(0).to_be_bytes();
    packet[2..4].copy_from_slice(&length);
    Entry {
        received,
        nas: Uuid::from_u128(0xa000 + u128::from(nas)),
        organisation: OrganisationId(Uuid::from_u128(0xb000 + u128::from(session % 10))),
        membership: Some(Uuid::from_u128(
            0xc << 64 | u128::from((session % 100_000).wrapping_mul(0x9E37_79B9_7F4A_7C15)),
        )),
        group: Some("guests".into()),
        source: "10.0.0.1".parse().expect("an address"),
        flips_octets: false,
        packet,
    }
}

/// User and system time of a process, seconds.
fn processor_seconds(stat: &str) -> f64 {
    let text = std::fs::read_to_string(stat).unwrap_or_default();
    let fields: Vec<&str> = text
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks = |n: usize| {
        fields
            .get(n)
            .and_then(|f| f.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    (ticks(11) + ticks(12)) / TICKS
}

/// The same of everything PostgreSQL runs.
fn postgres_seconds() -> f64 {
    let Ok(postmaster) = std::env::var("POSTMASTER") else {
        return 0.0;
    };
    let children =
        std::fs::read_to_string(format!("/proc/{postmaster}/task/{postmaster}/children"));
    let children = children.unwrap_or_default();
    let all = children
        .split_whitespace()
        .map(|pid| processor_seconds(&format!("/proc/{pid}/stat")));
    all.sum()
}

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    let argument = |n: usize, other: u64| {
        arguments
            .get(n)
            .and_then(|a| a.parse().ok())
            .unwrap_or(other)
    };
    let (sessions, batch) = (argument(1, 100_000), argument(2, 2_000));
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("bench.db").display().to_string();
    let location = arguments
        .first()
        .filter(|a| *a != "sqlite")
        .cloned()
        .unwrap_or(file);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let rng = SeededRng::new(3);
    let kernel = Kernel {
        db: runtime.block_on(async {
            Location::parse(&location)
                .expect("an address")
                .open()
                .await
                .expect("a database")
        }),
        clock: Arc::new(FixedClock::new(Time::from_unix_seconds(NOON))),
        keys: Arc::new(Keyring::parse(&Keyring::fresh_text(&rng)).expect("keys")),
        rng: Arc::new(SeededRng::new(std::process::id().into())),
    };
    let apart = OPEN / 4;
    let mut all: Vec<Item> = Vec::new();
    for time in 0..sessions + 4 * apart {
        for step in 0..5 {
            let Some(session) = time
                .checked_sub(u64::from(step) * apart)
                .filter(|s| *s < sessions)
            else {
                continue;
            };
            let received = Time::from_unix_micros(
                NOON * 1_000_000 + (time as i64) * 300_000_000 / apart as i64,
            );
            all.push((
                Position(all.len() as u64 + 1),
                Ok(report(session, step, received)),
            ));
        }
    }
    let origin = Origin {
        node: format!("n{}", std::process::id()),
        journal: "j".into(),
    };
    let mut memory = Memory::default();
    let (own, theirs, begun) = (
        processor_seconds("/proc/self/stat"),
        postgres_seconds(),
        Instant::now(),
    );
    let (mut rows, mut longest) = (0, 0.0_f64);
    for items in all.chunks(batch as usize) {
        let stretch = Stretch {
            after: Position(items[0].0.0 - 1),
            upto: items[items.len() - 1].0,
        };
        let began = Instant::now();
        let outcome = runtime.block_on(apply_with(
            &kernel,
            &origin,
            stretch,
            items,
            |_| Tz::UTC,
            &mut memory,
        ));
        longest = longest.max(began.elapsed().as_secs_f64());
        match outcome {
            Ok(Outcome::Applied(applied)) => rows += applied.sessions.len(),
            other => panic!("{other:?}"),
        }
    }
    let per_report = |seconds: f64| seconds * 1e6 / all.len() as f64;
    println!(
        "{} reports, {rows} rows, {batch} a batch: {:.0} reports/s; a report: {:.1} us here, {:.1} us in PostgreSQL; longest batch {:.0} ms; {} remembered",
        all.len(),
        all.len() as f64 / begun.elapsed().as_secs_f64(),
        per_report(processor_seconds("/proc/self/stat") - own),
        per_report(postgres_seconds() - theirs),
        longest * 1e3,
        memory.len(),
    );
}
