//! Who has the names of a chunk's rows, as far as it was asked.

use identity::holders::{self, Asked, Holder};
use identity::{Kind, Organisation};
use kernel::Error;
use std::collections::{BTreeSet, HashMap};

/// How many names one question holds.
const NAMES: usize = 2_000;

/// The names that are taken among those that were asked about.
#[derive(Debug, Default)]
pub(super) struct Holders(HashMap<Kind, HashMap<String, Holder>>);

impl Holders {
    /// Asks about names.
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub(super) async fn ask(
        &mut self,
        mut asked: Asked<'_>,
        organisation: &Organisation,
        names: BTreeSet<(Kind, String)>,
    ) -> Result<(), Error> {
        for kind in Kind::ALL {
            let of_kind = names.iter().filter(|(of, _)| *of == kind);
            let names: Vec<&str> = of_kind.map(|(_, name)| name.as_str()).collect();
            for names in names.chunks(NAMES) {
                let found = holders::of_names(&mut asked, organisation, kind, names).await?;
                for (folded, holder) in found {
                    self.put(kind, &folded, holder);
                }
            }
        }
        Ok(())
    }

    /// Notes who has a name.
    pub(super) fn put(&mut self, kind: Kind, folded: &str, holder: Holder) {
        let names = self.0.entry(kind).or_default();
        names.insert(folded.to_owned(), holder);
    }

    /// Who has a name.
    pub(super) fn of(&self, kind: Kind, folded: &str) -> Option<Holder> {
        self.0.get(&kind)?.get(folded).copied()
    }
}
