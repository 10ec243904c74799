//! People who are known already: they become members, and get what the row says of time, group and rules.
//!
//! They are dealt with before the transaction of their chunk, because every step here can be repeated: a chunk that is
//! killed halfway meets them once more and changes nothing. Names and passwords must **never** be touched.

use super::admission;
use super::check::asked_names;
use super::chunk::Import;
use super::decide::Decision;
use super::holders::Holders;
use super::problem::{Problem, Problems};
use super::row::Row;
use super::rows::Item;
use crate::batch::{self, Part};
use identity::holders::{Asked, Holder};
use identity::{MembershipId, membership};
use kernel::{Error, Tx};
use std::time::Instant;

/// How it was settled who an imported person is.
pub(super) const METHOD: &str = "manual";

/// How meeting ended.
pub(super) enum Met {
    /// Nobody of the chunk is known. Who has its names was asked within this transaction, which has written nothing.
    Nobody(Tx, Holders),
    /// Every known person among so many first rows is dealt with, or stands behind a row that stops the import.
    Rows(usize),
    /// The database refused a row: it is noted, and the chunk begins anew.
    Again,
}

impl Import<'_> {
    /// Meets the known people of a chunk, up to the first row that stops the import or until the time of one
    /// transaction is used up.
    pub(super) async fn meet(&mut self, items: &[Item]) -> Result<Met, Error> {
        let (mut tx, holders) = self.ask(items).await?;
        let mut known = Vec::new();
        for (at, item) in items.iter().enumerate() {
            match self.examine(item, &holders) {
                Ok((row, Decision::Match(holder))) => known.push((at, row, holder)),
                Ok(_) => {}
                Err(_) if self.batch.terms.skip_bad => {}
                Err(_) => break,
            }
        }
        if known.is_empty() {
            return Ok(Met::Nobody(tx, holders));
        }
        let mut until = items.len();
        let mut warnings = Problems::default();
        let mut met: Vec<(&Row, Holder, MembershipId)> = Vec::with_capacity(known.len());
        let started = Instant::now();
        for (at, row, holder) in known {
            match self.meet_one(&mut tx, row, holder, &mut warnings).await {
                Ok(membership) => met.push((row, holder, membership)),
                Err(e) if Self::is_about_row(&e) => {
                    tx.rollback().await?;
                    self.fault(row.line, &e);
                    return Ok(Met::Again);
                }
                Err(e) => return Err(e),
            }
            if started.elapsed() > self.chunk_time {
                until = at + 1;
                break;
            }
        }
        tx.commit().await?;
        for (row, holder, membership) in met {
            self.place(row, holder, membership).await?;
        }
        self.warnings.merge(warnings);
        Ok(Met::Rows(until))
    }

    /// Begins a chunk's transaction and asks who has its names.
    pub(super) async fn ask(&self, items: &[Item]) -> Result<(Tx, Holders), Error> {
        let mut tx = self.kernel.db.begin().await?;
        tx.fills_tables().await?;
        let mut holders = Holders::default();
        let asked = asked_names(items.iter().filter_map(|item| item.row.as_ref().ok()), true);
        holders
            .ask(Asked::Tx(&mut tx), self.organisation, asked)
            .await?;
        Ok((tx, holders))
    }

    async fn meet_one(
        &self,
        tx: &mut Tx,
        row: &Row,
        holder: Holder,
        warnings: &mut Problems,
    ) -> Result<MembershipId, Error> {
        let (kernel, organisation) = (self.kernel, self.organisation);
        let expires = row.expires.or(self.batch.expires);
        let id = match holder.membership {
            Some(id) => {
                if expires.is_some() {
                    membership::set_expires(tx, kernel, id, expires).await?;
                }
                let known = membership::by_id_in(tx, id).await?;
                if known.is_some_and(|known| !known.is_verified) {
                    membership::set_verified(tx, kernel, id, true, METHOD).await?;
                }
                id
            }
            None => {
                let terms = identity::Terms {
                    expires,
                    is_verified: true,
                    method: METHOD.to_owned(),
                };
                let (joined, twins) =
                    membership::join_on(tx, kernel, organisation, holder.person, terms).await?;
                warnings.extend(
                    twins
                        .iter()
                        .map(|twin| Problem::new(row.line, None, twin.to_string())),
                );
                joined.id
            }
        };
        if !row.rules.is_empty() {
            access::admit::put_rules(tx, kernel, organisation.id, id, row.rules.clone()).await?;
        }
        let part = Part {
            person: holder.person,
            created_person: false,
            created_membership: holder.membership.is_none(),
            line: row.line,
            generated: None,
        };
        batch::put_person(tx, self.batch.id, part).await?;
        Ok(id)
    }

    /// The group that the row or the import names; the default one for a new member without any.
    async fn place(
        &self,
        row: &Row,
        holder: Holder,
        membership: MembershipId,
    ) -> Result<(), Error> {
        let named = self.named_group(row);
        let group = match named {
            Some(group) => Some(group),
            None => {
                // Asked of the batch, not of this run: an earlier run may have been killed in between.
                let is_new =
                    batch::has_joined(&self.kernel.db, self.batch.id, holder.person).await?;
                let is_alone = is_new && !admission::has_group(self.kernel, membership).await?;
                self.default_group().filter(|_| is_alone)
            }
        };
        match group {
            Some(group) => {
                admission::set_group(self.kernel, self.organisation, membership, group).await
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ImportOptions, Source, check, rows, run};
    use super::*;
    use crate::batch::{BatchId, Status, Terms};
    use access::admit::found_organisation;
    use identity::{NewOrganisation, NewPerson};
    use kernel::db::Location;
    use kernel::{FixedClock, Kernel, Keyring, SeededRng, Time};
    use radius_wire::dictionary::Dictionary;
    use std::sync::Arc;
    use std::time::Duration;

    async fn until(import: &mut Import<'_>, items: &[Item]) -> usize {
        match import.meet(items).await.unwrap() {
            Met::Rows(until) => until,
            _ => 0,
        }
    }

    #[tokio::test]
    async fn known_people_are_met_in_transactions_of_limited_time() {
        let folder = tempfile::tempdir().unwrap();
        let db = Location::Sqlite(folder.path().join("m.db")).open().await;
        let kernel = Kernel {
            db: db.unwrap(),
            clock: Arc::new(FixedClock::new(Time::from_unix_seconds(1_800_014_400))),
            rng: Arc::new(SeededRng::new(3)),
            keys: Arc::new(Keyring::parse(&Keyring::fresh_text(&SeededRng::new(7))).unwrap()),
        };
        let found = |name| found_organisation(&kernel, NewOrganisation::named(name));
        let (home, acme) = (found("home").await.unwrap(), found("acme").await.unwrap());
        let mut text = String::from("username,email\nnew,new@x.org\n");
        let mut tx = kernel.db.begin().await.unwrap();
        for at in 0..3 {
            let email = format!("user{at}@x.org");
            text += &format!(",{email}\n");
            let new = NewPerson {
                email: Some(email),
                ..NewPerson::named(&format!("user{at}"))
            };
            let admitted = access::admit::admit(&mut tx, &kernel, &home, new, None).await;
            admitted.unwrap();
        }
        tx.commit().await.unwrap();
        let source = Source::bytes(text.as_bytes(), "users.csv");
        let dictionary = Dictionary::builtin();
        let options = ImportOptions::into_organisation(acme.clone());
        let checked = check(&kernel, dictionary, &source, &options).await.unwrap();
        let reading = super::super::check::reading(&kernel, dictionary, &acme, checked.at).await;
        let reading = reading.unwrap();
        let rows::Opened::Rows(mut open) = rows::Rows::open(&source, dictionary).unwrap() else {
            panic!("the file is readable");
        };
        let mut items = Vec::new();
        while let Some(item) = open.next(&reading).unwrap() {
            items.push(item);
        }
        let batch = batch::Batch {
            id: BatchId(kernel.new_uuid()),
            organisation: acme.id,
            name: "limited".into(),
            status: Status::Processing,
            digest: checked.scan.digest.clone(),
            rows_total: checked.rows,
            rows_done: 0,
            rows_skipped: 0,
            group: None,
            expires: None,
            terms: Terms {
                file: source.name(),
                store: "hashed".into(),
                skip_bad: false,
            },
            created: checked.at,
            modified: checked.at,
        };
        batch::begin(&kernel, &batch).await.unwrap();
        let groups = admission::groups(&kernel, &acme).await.unwrap();
        let mut import = Import::new(&kernel, &acme, &checked.scan, groups, batch.clone()).unwrap();
        import.chunk_time = Duration::ZERO;
        let joined = async || batch::counts(&kernel.db, batch.id).await.unwrap().joined;
        // The new person stands before the first who is known.
        assert_eq!(until(&mut import, &items).await, 2);
        assert_eq!(joined().await, 1);
        assert_eq!(until(&mut import, &items[2..]).await, 1);
        assert_eq!(joined().await, 2);
        import.chunk_time = Duration::MAX;
        assert_eq!(until(&mut import, &items).await, 4);
        assert_eq!(joined().await, 3);
        let again = run(&kernel, dictionary, &source, &checked, |_| {}).await;
        assert_eq!(again.unwrap().created, 1);
    }
}
