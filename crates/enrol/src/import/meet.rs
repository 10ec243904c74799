//! People who are known already: they become members, and get what the row says of time, group and rules.
//!
//! They are dealt with before the transaction of their chunk, because every step here can be repeated: a chunk that is
//! killed halfway meets them once more and changes nothing. Names and passwords must **never** be touched.

use super::admission;
use super::check::asked_names;
use super::chunk::Import;
use super::decide::Decision;
use super::holders::{Asked, Holder, Holders};
use super::problem::{Problem, Problems};
use super::row::Row;
use super::rows::Item;
use crate::batch::{self, Part};
use identity::{MembershipId, membership};
use kernel::{Error, Tx};

/// How it was settled who an imported person is.
pub(super) const METHOD: &str = "manual";

impl Import<'_> {
    /// Meets the known people of a chunk, up to the first row that stops the import. False when the database refused
    /// a row: then it is noted, and the chunk begins anew.
    pub(super) async fn meet(&mut self, items: &[Item]) -> Result<bool, Error> {
        let mut holders = Holders::default();
        let rows = items.iter().filter_map(|item| item.row.as_ref().ok());
        holders
            .ask(
                Asked::Db(&self.kernel.db),
                self.organisation,
                asked_names(rows, false),
            )
            .await?;
        let mut known = Vec::new();
        for item in items {
            match self.examine(item, &holders) {
                Ok((row, Decision::Match(holder))) => known.push((row, holder)),
                Ok(_) => {}
                Err(_) if self.batch.terms.skip_bad => {}
                Err(_) => break,
            }
        }
        if known.is_empty() {
            return Ok(true);
        }
        let mut warnings = Problems::default();
        let mut met: Vec<(&Row, Holder, MembershipId)> = Vec::with_capacity(known.len());
        let mut tx = self.kernel.db.begin().await?;
        for (row, holder) in known {
            match self.meet_one(&mut tx, row, holder, &mut warnings).await {
                Ok(membership) => met.push((row, holder, membership)),
                Err(e) if Self::is_about_row(&e) => {
                    tx.rollback().await?;
                    self.fault(row.line, &e);
                    return Ok(false);
                }
                Err(e) => return Err(e),
            }
        }
        tx.commit().await?;
        for (row, holder, membership) in met {
            self.place(row, holder, membership).await?;
        }
        self.warnings.merge(warnings);
        Ok(true)
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
                let known = membership::by_id(&kernel.db, id).await?;
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
