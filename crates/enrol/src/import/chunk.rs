//! One chunk: the people it makes and how far the batch got, in one transaction.

use super::check::is_spoken_for;
use super::decide::{Decision, decide};
use super::desk::{Desk, PILE, Pile};
use super::holders::Holders;
use super::meet::METHOD;
use super::problem::{Problem, Problems};
use super::row::{Row, numbered};
use super::rows::Item;
use super::scan::{Scan, names};
use super::{CHUNK_ROWS, FIRST_ROWS, MIN_ROWS};
use crate::batch::{self, Batch, Part, Status, passwords};
use access::admit::Admission;
use access::group::Group;
use identity::holders::{Asked, Holder};
use identity::{Kind, NewPassword, NewPerson, Organisation, Store};
use kernel::{Error, Kernel, Tx};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// How long a transaction may take, about: every reader of news waits for the oldest one. The next chunk is smaller
/// after one that took longer, and larger after one that took less than half of it.
const CHUNK_TIME: Duration = Duration::from_millis(200);
/// How often a row is tried before it counts as bad: the first time another process may have taken its name between
/// the question and the answer.
const MAX_TRIES: u32 = 3;
/// How many numbers after a username are asked about at a time.
const NUMBERS: u64 = 64;
/// For how many usernames it is remembered which numbers are taken; beyond, the search begins anew.
const MAX_NUMBERED: usize = 100_000;
/// Highest number after a username; far more than rows of a file.
const MAX_NUMBER: u64 = 10_000_000;

/// An import under way.
pub(super) struct Import<'a> {
    pub(super) kernel: &'a Kernel,
    pub(super) organisation: &'a Organisation,
    pub(super) scan: &'a Scan,
    pub(super) store: Store,
    pub(super) groups: BTreeMap<String, Group>,
    pub(super) batch: Batch,
    /// What was left out in this run.
    pub(super) problems: Problems,
    pub(super) warnings: Problems,
    /// Lines that the database refused, how often and why last.
    faults: HashMap<u64, (u32, String)>,
    /// From which number on a username may be free.
    numbers: HashMap<String, u64>,
    /// [`CHUNK_TIME`].
    pub(super) chunk_time: Duration,
    /// Rows of the next transaction.
    pub(super) size: usize,
}

/// How a chunk ended.
pub(super) enum Ended {
    /// So many rows are dealt with.
    Rows(usize),
    /// The next row is bad, and those before it are in: the import stops.
    Stopped(Vec<Problem>),
    /// A row was refused and nothing is done: try the chunk again, which deals with it.
    Again,
}

impl<'a> Import<'a> {
    pub(super) fn new(
        kernel: &'a Kernel,
        organisation: &'a Organisation,
        scan: &'a Scan,
        groups: BTreeMap<String, Group>,
        batch: Batch,
    ) -> Result<Self, Error> {
        let store = Store::from_word(&batch.terms.store).ok_or_else(|| {
            Error::Invalid(format!(
                "batch '{}': '{}' is not a way to keep passwords",
                batch.name, batch.terms.store
            ))
        })?;
        Ok(Self {
            kernel,
            organisation,
            scan,
            store,
            groups,
            batch,
            problems: Problems::default(),
            warnings: Problems::default(),
            faults: HashMap::new(),
            numbers: HashMap::new(),
            chunk_time: CHUNK_TIME,
            size: FIRST_ROWS,
        })
    }

    pub(super) fn named_group(&self, row: &Row) -> Option<&Group> {
        match &row.group {
            Some(name) => self.groups.get(name),
            None => self
                .groups
                .values()
                .find(|group| Some(group.id.0) == self.batch.group),
        }
    }

    pub(super) fn default_group(&self) -> Option<&Group> {
        self.groups.values().find(|group| group.is_default)
    }

    /// Whether an error is about what a row says, and not about the database.
    pub(super) fn is_about_row(error: &Error) -> bool {
        matches!(
            error,
            Error::Invalid(_) | Error::Conflict(_) | Error::NotFound(_)
        )
    }

    /// Notes that the database refused a row.
    pub(super) fn fault(&mut self, line: u64, error: &Error) {
        let fault = self.faults.entry(line).or_default();
        *fault = (fault.0 + 1, error.to_string());
    }

    fn refused(&self, line: u64) -> Option<Vec<Problem>> {
        let (tries, reason) = self.faults.get(&line)?;
        (*tries >= MAX_TRIES).then(|| vec![Problem::new(line, None, reason.clone())])
    }

    /// Imports rows until they or half the time of one transaction are used up. The names of all of them were asked
    /// about within the transaction.
    pub(super) async fn chunk(
        &mut self,
        items: &[Item],
        tx: Tx,
        mut holders: Holders,
    ) -> Result<Ended, Error> {
        let started = Instant::now();
        let mut problems = Problems::default();
        let mut warnings = Problems::default();
        let (mut done, mut skipped, mut stopped) = (0, 0, None);
        let mut pile = Pile::default();
        let mut desk = Desk::new(tx);
        for item in items {
            let outcome = match self.examine(item, &holders) {
                Ok((row, decision)) => {
                    // Which numbers are free is asked within the transaction.
                    if matches!(decision, Decision::CreateNumbered)
                        && Self::is_taken(desk.tx().await.map(|_| ()))?
                    {
                        return Ok(Ended::Again);
                    }
                    let entered = self.enter(&mut desk, row, decision, &mut holders, &mut pile);
                    match entered.await {
                        Ok(said) => Ok(said),
                        Err(e) if Self::is_about_row(&e) => {
                            Err(vec![Problem::new(item.line, None, e.to_string())])
                        }
                        Err(e) => return Err(e),
                    }
                }
                Err(bad) => Err(bad),
            };
            match outcome {
                Ok(said) => warnings.extend(said),
                Err(bad) if self.batch.terms.skip_bad => {
                    skipped += 1;
                    problems.extend(bad);
                }
                Err(bad) => {
                    stopped = Some(bad);
                    break;
                }
            }
            done += 1;
            if pile.admissions.len() >= PILE
                && Self::is_taken(self.write(&mut desk, &mut pile).await)?
            {
                return Ok(Ended::Again);
            }
            if started.elapsed() > self.chunk_time / 2 {
                break;
            }
        }
        if Self::is_taken(self.write(&mut desk, &mut pile).await)? {
            return Ok(Ended::Again);
        }
        let (mut tx, said) = match desk.close().await {
            Err(Error::Conflict(_)) => return Ok(Ended::Again),
            other => other?,
        };
        warnings.merge(said);
        let before = self.batch.rows_done;
        let mut after = self.batch.clone();
        after.rows_done += done as u64;
        after.rows_skipped += skipped;
        after.status = if stopped.is_some() {
            Status::Failed
        } else {
            Status::Processing
        };
        batch::advance(&mut tx, self.kernel, before, &after).await?;
        tx.commit().await?;
        self.measure(started.elapsed());
        self.batch = after;
        self.problems.merge(problems);
        self.warnings.merge(warnings);
        Ok(match stopped {
            Some(problems) => Ended::Stopped(problems),
            None => Ended::Rows(done),
        })
    }

    /// Whether somebody took a name in the same instant, which gave the transaction up: the question finds them the
    /// next time.
    fn is_taken(written: Result<(), Error>) -> Result<bool, Error> {
        match written {
            Ok(()) => Ok(false),
            Err(Error::Conflict(_)) => Ok(true),
            Err(e) => Err(e),
        }
    }

    /// Begins to write a pile, and leaves an empty one.
    async fn write(&self, desk: &mut Desk, pile: &mut Pile) -> Result<(), Error> {
        if pile.admissions.is_empty() {
            return Ok(());
        }
        let organisation = self.organisation.id;
        let pile = std::mem::take(pile);
        desk.write(self.kernel, organisation, self.batch.id, pile)
            .await
    }

    /// Makes the next chunk smaller or larger, by what this one took.
    fn measure(&mut self, took: Duration) {
        if took > self.chunk_time {
            self.size = (self.size / 2).max(MIN_ROWS);
        } else if took < self.chunk_time / 2 {
            self.size = (self.size * 2).min(CHUNK_ROWS);
        }
    }

    /// What is to become of a row, or everything that is wrong with it.
    pub(super) fn examine<'i>(
        &self,
        item: &'i Item,
        holders: &Holders,
    ) -> Result<(&'i Row, Decision), Vec<Problem>> {
        let row = item.row.as_ref().map_err(Clone::clone)?;
        if let Some(refused) = self.refused(item.line) {
            return Err(refused);
        }
        let repeated = self.scan.claims.check(row);
        if !repeated.is_empty() {
            return Err(repeated);
        }
        Ok((row, decide(self.scan.has_header, row, holders)?))
    }

    async fn enter(
        &mut self,
        desk: &mut Desk,
        row: &Row,
        decision: Decision,
        holders: &mut Holders,
        pile: &mut Pile,
    ) -> Result<Option<Problem>, Error> {
        let username = match decision {
            Decision::Create => row.wanted_username().to_owned(),
            Decision::CreateNumbered => self.free_username(desk.tx().await?, row, holders).await?,
            Decision::Match(holder) => {
                // Whoever is known was met before; somebody who is not a member appeared a moment ago.
                if holder.membership.is_none() {
                    return Err(Error::Conflict(
                        "somebody with this e-mail address is just being made".to_owned(),
                    ));
                }
                return Ok(self.kept_name(row, holder, holders));
            }
        };
        let made_up = row.password.is_none().then(|| {
            Zeroizing::new(kernel::rng::readable_text(
                &*self.kernel.rng,
                passwords::LENGTH,
            ))
        });
        let password = match (&row.password, &made_up) {
            (Some(given), _) => Some(NewPassword::given(given, self.store)),
            (None, Some(made_up)) => Some(NewPassword::typed(made_up, self.store)?),
            (None, None) => None,
        };
        let value = |name: &Option<super::row::Name>| name.as_ref().map(|name| name.value.clone());
        let new = NewPerson {
            username: username.clone(),
            password,
            email: value(&row.email),
            first_name: row.first_name.clone(),
            last_name: row.last_name.clone(),
            phone_number: value(&row.phone),
            mac: value(&row.mac),
            expires: row.expires.or(self.batch.expires),
            verified: true,
            method: METHOD.to_owned(),
        };
        let group = self.named_group(row).or_else(|| self.default_group());
        let rules = row.rules.clone();
        let admission = Admission::new(self.kernel, self.organisation, new, group, rules)?;
        let (person, membership) = (admission.person(), admission.membership());
        let generated =
            made_up.map(|made_up| passwords::seal(self.kernel, person.0, &username, &made_up));
        pile.parts.push(Part {
            person,
            created_person: true,
            created_membership: true,
            line: row.line,
            generated,
        });
        pile.admissions.push(admission);
        let holder = Holder {
            person,
            membership: Some(membership),
        };
        holders.put(Kind::Username, &username, holder);
        for (kind, _, _, folded) in names(row).filter(|(kind, ..)| *kind != Kind::Username) {
            holders.put(kind, folded, holder);
        }
        Ok(None)
    }

    /// What to say when a row gives somebody who is known another username.
    fn kept_name(&self, row: &Row, holder: Holder, holders: &Holders) -> Option<Problem> {
        // Without a header row a username is a wish.
        let username = row.username.as_deref().filter(|_| self.scan.has_header)?;
        let has_it = holders
            .of(Kind::Username, username)
            .is_some_and(|known| known.person == holder.person);
        let reason = "whoever has this e-mail address is known by another username, and keeps it";
        (!has_it).then(|| Problem::new(row.line, Some("username"), reason))
    }

    /// The username that a row wants, with the first number that makes it free.
    async fn free_username(
        &mut self,
        tx: &mut Tx,
        row: &Row,
        holders: &mut Holders,
    ) -> Result<String, Error> {
        let base = row.wanted_username();
        let claims = &self.scan.claims;
        let is_free = |holders: &Holders, name: &str| {
            holders.of(Kind::Username, name).is_none() && !is_spoken_for(claims, row.line, name)
        };
        if is_free(holders, base) {
            return Ok(base.to_owned());
        }
        let mut number = self.numbers.get(base).copied().unwrap_or(1);
        while number < MAX_NUMBER {
            let numbers = number..number + NUMBERS;
            let block: BTreeSet<(Kind, String)> = numbers
                .clone()
                .map(|number| (Kind::Username, numbered(base, number)))
                .collect();
            holders.ask(Asked::Tx(tx), self.organisation, block).await?;
            for number in numbers {
                let name = numbered(base, number);
                if is_free(holders, &name) {
                    if self.numbers.len() >= MAX_NUMBERED {
                        self.numbers.clear();
                    }
                    self.numbers.insert(base.to_owned(), number);
                    return Ok(name);
                }
            }
            number += NUMBERS;
        }
        Err(Error::Conflict(format!(
            "username '{base}' exists with every number up to {MAX_NUMBER}"
        )))
    }
}
