//! What a member is doing and has used: how much of each period, and which sessions are open.
//!
//! Gathered from memory after the rules were walked, and only what they ask for. What SQL has counted comes from
//! [`usage::Tally`], what was heard since from [`usage::Live`]; both together are what was used up to the last report, and
//! a session that reports regularly is reckoned on from there. Nothing here waits for a database.

use crate::facts::{Facts, Walk};
use crate::limit::{Limit, Period, local_day, midnight};
use crate::question::Question;
use chrono::{Datelike, NaiveDate};
use kernel::{Db, Error, Time};
use proof::mac::Mac;
use smallvec::SmallVec;
use std::sync::atomic::{AtomicBool, Ordering};
use usage::{Live, LiveSession, Tally, Totals};

/// Octets of a MAC address as it is written.
const MAC_OCTETS: usize = "AA-BB-CC-DD-EE-FF".len();

/// A session that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Going {
    /// Whose device.
    pub device: u64,
    /// It is the device that asks.
    pub is_asker: bool,
    /// Its NAS has forgotten to end it.
    pub is_stale: bool,
}

/// What a member is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Activity {
    /// Whether it is known. Where it is not, no limit is held against anybody.
    pub is_known: bool,
    /// What was used in each period that a limit speaks of.
    used: SmallVec<[(Period, Totals); 4]>,
    /// Open sessions.
    pub going: SmallVec<[Going; 4]>,
    /// Sessions that the organisation's people have open together.
    pub of_organisation: u64,
}

impl Activity {
    /// What was used in a period.
    pub fn used(&self, period: Period) -> Totals {
        self.used
            .iter()
            .find(|(known, _)| *known == period)
            .map(|(_, totals)| *totals)
            .unwrap_or_default()
    }

    /// One that a test has made up.
    pub fn of(used: &[(Period, Totals)], going: &[Going]) -> Self {
        Self {
            is_known: true,
            used: used.into(),
            going: going.into(),
            of_organisation: 0,
        }
    }

    /// How many sessions others of the member's devices have open.
    pub fn sessions(&self) -> usize {
        self.others().count()
    }

    /// On how many other devices.
    pub fn devices(&self) -> usize {
        let mut seen = SmallVec::<[u64; 8]>::new();
        for going in self.others() {
            if !seen.contains(&going.device) {
                seen.push(going.device);
            }
        }
        seen.len()
    }

    fn others(&self) -> impl Iterator<Item = &Going> {
        self.going
            .iter()
            .filter(|going| !going.is_asker && !going.is_stale)
    }
}

/// Where usage is counted.
#[derive(Debug, Default)]
pub struct Usage {
    /// Open sessions.
    pub live: Live,
    /// Running totals.
    pub tally: Tally,
    was_loaded: AtomicBool,
}

impl Usage {
    /// Whether everything that SQL knows is here.
    pub fn is_complete(&self) -> bool {
        self.live.is_complete() && self.tally.is_complete()
    }

    /// Reads both.
    ///
    /// # Errors
    /// [`Error::Engine`]; it may be called again.
    pub async fn load(&self, db: &Db) -> Result<(), Error> {
        if !self.tally.is_complete() {
            self.tally.load(db).await?;
        }
        self.live.load(db).await?;
        self.was_loaded.store(true, Ordering::Release);
        Ok(())
    }

    /// Reads again what other nodes may have changed: open sessions, and what was used since the day before yesterday.
    ///
    /// # Errors
    /// [`Error::Engine`]; it may be called again.
    pub async fn refresh(&self, db: &Db, now: Time) -> Result<(), Error> {
        // Zones are at most a day apart from UTC.
        let since = now.plus_seconds(-2 * 86_400).to_chrono().date_naive();
        self.tally.refresh(db, &since.to_string()).await?;
        self.live.load(db).await
    }

    /// Whether both were read once. They may be incomplete all the same: more is open, or was used by more, than fits.
    pub fn was_loaded(&self) -> bool {
        self.was_loaded.load(Ordering::Acquire)
    }

    /// Takes over what SQL has by now.
    pub fn applied(&self, applied: &usage::AppliedSession) {
        // In this order what was used is counted twice for a moment, rather than not at all.
        self.tally.applied(applied);
        self.live.applied(applied);
    }

    /// What a member is doing, as far as the rules ask for it. It is not known before the books were loaded.
    pub fn activity(
        &self,
        now: Time,
        question: Option<&Question<'_>>,
        facts: &Facts,
        walk: &Walk<'_>,
    ) -> Activity {
        let (Some((_, member)), Some(organisation)) = (facts.member(), &facts.organisation) else {
            return Activity::default();
        };
        let asker = question.and_then(|question| self.device_of(question));
        let zone = organisation.zone;
        let (today, _) = local_day(now, zone);
        let since = member.since(zone);
        let mut used: SmallVec<[(Period, Totals, Option<NaiveDate>); 4]> = SmallVec::new();
        walk.each_limit(|limit: &Limit| {
            if used.iter().any(|(known, ..)| *known == limit.period) {
                return;
            }
            used.push((
                limit.period,
                Totals::default(),
                limit.period.first_day(today, since),
            ));
        });
        // All of them together: one look at what the database has counted.
        let number = |day: Option<NaiveDate>| day.map_or(i32::MIN, |day| day.num_days_from_ce());
        let days: SmallVec<[i32; 4]> = used.iter().map(|(_, _, day)| number(*day)).collect();
        let mut sums = self.tally.since_each(member.id.0, &days).into_iter();
        for (_, totals, _) in &mut used {
            *totals = sums.next().unwrap_or_default();
        }
        let mut going = SmallVec::new();
        self.live.visit(member.id.0, |session, is_open| {
            let is_stale = session.is_stale(now, walk.interim_seconds());
            for (_, totals, first_day) in &mut used {
                // Mostly nothing: then nobody needs to know when a day began.
                if !session.uncounted().is_zero() {
                    let begin = first_day
                        .map_or_else(|| Time::from_unix_micros(0), |day| midnight(day, zone));
                    *totals = totals.plus(uncounted_since(session, begin));
                }
                if is_open && !is_stale {
                    totals.seconds += reckoned_seconds(session, now);
                }
            }
            if is_open {
                going.push(Going {
                    device: session.device,
                    is_asker: asker == Some(session.device),
                    is_stale,
                });
            }
        });
        Activity {
            is_known: self.is_complete(),
            used: used
                .into_iter()
                .map(|(period, totals, _)| (period, totals))
                .collect(),
            going,
            of_organisation: self.live.of_organisation(organisation.id),
        }
    }

    /// The device that asks, where it says which it is. A name alone is no device: it is what all of them have alike.
    pub fn device_of(&self, question: &Question<'_>) -> Option<u64> {
        if let Some(mac) = question.asker.mac {
            let text = spelled(mac);
            return std::str::from_utf8(&text)
                .ok()
                .map(|text| self.live.device(text));
        }
        let calling = question
            .packet
            .get(radius_wire::attrs::CALLING_STATION_ID)
            .filter(|calling| !calling.is_empty())?;
        let identity = usage::report::words::identity(Some(calling), None);
        Some(self.live.device(&identity))
    }
}

/// An address as sessions name it. Written by hand: every limited login asks, and the formatter takes ten times as long.
fn spelled(mac: Mac) -> [u8; MAC_OCTETS] {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut text = [b'-'; MAC_OCTETS];
    for (part, octet) in text.chunks_mut(3).zip(mac.octets()) {
        part[0] = DIGITS[usize::from(octet >> 4)];
        part[1] = DIGITS[usize::from(octet & 15)];
    }
    text
}

/// What a session used since a moment that no running total has: evenly spread over the time in which it was used.
fn uncounted_since(session: &LiveSession, begin: Time) -> Totals {
    let more = session.uncounted();
    if more.is_zero() || session.counted_until >= begin {
        return more;
    }
    let whole = session.reported.seconds_since(session.counted_until);
    let part = session.reported.seconds_since(begin);
    if whole <= 0 || part <= 0 {
        return Totals::default();
    }
    let share = |amount: i64| {
        let share = i128::from(amount) * i128::from(part) / i128::from(whole);
        i64::try_from(share).unwrap_or(amount)
    };
    Totals {
        seconds: share(more.seconds),
        input: share(more.input),
        output: share(more.output),
    }
}

/// How long a session that reports regularly has gone on since its last report: not longer than until the next.
fn reckoned_seconds(session: &LiveSession, now: Time) -> i64 {
    now.seconds_since(session.heard)
        .clamp(0, i64::from(session.interval_seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::OrganisationId;
    use kernel::id::Uuid;

    fn at(seconds: i64) -> Time {
        Time::from_unix_seconds(1_800_000_000 + seconds)
    }

    fn session() -> LiveSession {
        LiveSession {
            id: Uuid::nil(),
            organisation: OrganisationId(Uuid::nil()),
            nas: Uuid::nil(),
            membership: None,
            started: at(0),
            reported: at(1_000),
            heard: at(1_000),
            interval_seconds: 0,
            device: 1,
            totals: Totals {
                seconds: 1_000,
                input: 500,
                output: 10_000,
            },
            counted: Totals {
                seconds: 600,
                input: 100,
                output: 2_000,
            },
            counted_until: at(600),
        }
    }

    #[test]
    fn a_session_is_stale_when_it_missed_its_own_reports() {
        for (interval, asked, silent, expect) in [
            (0, None, 86_400, false),
            (0, None, 86_401, true),
            (0, Some(300), 900, false),
            (0, Some(300), 901, true),
            (60, None, 600, false),
            (60, None, 601, true),
            (600, Some(60), 1_800, false),
            (600, Some(60), 1_801, true),
        ] {
            let session = LiveSession {
                interval_seconds: interval,
                ..session()
            };
            let now = at(1_000 + silent);
            assert_eq!(
                session.is_stale(now, asked),
                expect,
                "{interval} {asked:?} {silent}"
            );
        }
    }

    #[test]
    fn what_is_not_counted_yet_belongs_to_the_time_in_which_it_was_used() {
        for (begin, seconds, output) in [
            (0, 400, 8_000),
            (600, 400, 8_000),
            (900, 100, 2_000),
            (1_000, 0, 0),
            (2_000, 0, 0),
        ] {
            let share = uncounted_since(&session(), at(begin));
            assert_eq!(
                (share.seconds, share.output),
                (seconds, output),
                "since {begin}"
            );
        }
    }

    #[test]
    fn a_session_that_reports_is_reckoned_on_until_its_next_report() {
        let session = LiveSession {
            interval_seconds: 300,
            ..session()
        };
        for (now, expect) in [
            (900, 0),
            (1_000, 0),
            (1_120, 120),
            (1_300, 300),
            (5_000, 300),
        ] {
            assert_eq!(reckoned_seconds(&session, at(now)), expect);
        }
        assert_eq!(reckoned_seconds(&self::session(), at(1_120)), 0);
    }

    #[test]
    fn an_address_is_spelled_as_sessions_spell_it() {
        for text in ["AA-BB-CC-00-11-22", "02-0F-F0-9A-A9-FF"] {
            let mac = Mac::parse(text.as_bytes()).expect("an address");
            assert_eq!(spelled(mac), mac.to_string().as_bytes());
            assert_eq!(spelled(mac), text.as_bytes());
        }
    }

    #[test]
    fn the_device_that_asks_and_what_is_stale_are_no_other_session() {
        let going = |device, is_asker, is_stale| Going {
            device,
            is_asker,
            is_stale,
        };
        let activity = Activity::of(
            &[],
            &[
                going(1, true, false),
                going(2, false, false),
                going(2, false, false),
                going(3, false, true),
                going(4, false, false),
            ],
        );
        assert_eq!((activity.sessions(), activity.devices()), (3, 2));
    }
}
