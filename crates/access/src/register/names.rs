//! The names of one person, packed: a server that knows a million people keeps a million of these. Those of nearly
//! everybody lie in the person itself, so that finding somebody looks at one place in memory and not at two.

use identity::Kind;
use kernel::OrganisationId;
use kernel::id::Uuid;
use smallvec::SmallVec;

/// Set in an entry's head: sixteen octets of realm follow.
const HAS_REALM: u8 = 4;
/// Set in an entry's head: this is how the person is called.
const IS_SHOWN: u8 = 8;
/// Set in an entry's head: nobody is found by this, it is only how the person is called.
const IS_ONLY_SHOWN: u8 = 16;
/// Octets of a realm.
const REALM_OCTETS: usize = 16;

/// A name in its realm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name<'n> {
    /// The organisation with names of its own; none is the realm that the others share.
    pub realm: Option<OrganisationId>,
    /// What kind of name.
    pub kind: Kind,
    /// The spelling that is compared.
    pub folded: &'n str,
}

/// A person's names: each is a head, its length in two octets, its realm where it has one, its text.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Names(SmallVec<[u8; INLINE_OCTETS]>);

/// Octets of names that take no memory of their own: one user name of 29.
const INLINE_OCTETS: usize = 32;

struct Entry<'n> {
    name: Name<'n>,
    head: u8,
}

impl Names {
    /// The names by which somebody is found, and how he is called.
    pub fn new(username: &str, names: &[(Option<OrganisationId>, Kind, String)]) -> Self {
        let mut packed = Vec::new();
        let mut is_shown = username.is_empty();
        for (realm, kind, folded) in names {
            let mut head = number(*kind);
            if !is_shown && *kind == Kind::Username && folded == username {
                head |= IS_SHOWN;
                is_shown = true;
            }
            put(&mut packed, head, *realm, folded);
        }
        if !is_shown {
            let head = number(Kind::Username) | IS_SHOWN | IS_ONLY_SHOWN;
            put(&mut packed, head, None, username);
        }
        Self(SmallVec::from_slice(&packed))
    }

    /// By what names the person is found.
    pub fn iter(&self) -> impl Iterator<Item = Name<'_>> {
        self.entries()
            .filter(|entry| entry.head & IS_ONLY_SHOWN == 0)
            .map(|entry| entry.name)
    }

    /// Whether the person is found by this name.
    pub fn holds(&self, name: Name<'_>) -> bool {
        self.iter().any(|known| known == name)
    }

    /// How the person is called; empty where nothing is known.
    pub fn username(&self) -> &str {
        self.entries()
            .find(|entry| entry.head & IS_SHOWN != 0)
            .map_or("", |entry| entry.name.folded)
    }

    fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        let mut rest = &*self.0;
        std::iter::from_fn(move || {
            let (head, after) = rest.split_first()?;
            let (length, after) = after.split_first_chunk()?;
            let (realm, after) = match head & HAS_REALM {
                0 => (None, after),
                _ => {
                    let (realm, after) = after.split_first_chunk::<REALM_OCTETS>()?;
                    (Some(OrganisationId(Uuid::from_bytes(*realm))), after)
                }
            };
            let (text, after) = after.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
            rest = after;
            Some(Entry {
                head: *head,
                name: Name {
                    realm,
                    kind: kind(*head),
                    folded: std::str::from_utf8(text).unwrap_or_default(),
                },
            })
        })
    }
}

fn put(packed: &mut Vec<u8>, head: u8, realm: Option<OrganisationId>, text: &str) {
    // No identifier is as long as that: a longer one is one nobody can type.
    let Ok(length) = u16::try_from(text.len()) else {
        return;
    };
    packed.reserve_exact(3 + REALM_OCTETS * usize::from(realm.is_some()) + text.len());
    packed.push(head | if realm.is_some() { HAS_REALM } else { 0 });
    packed.extend(length.to_le_bytes());
    if let Some(realm) = realm {
        packed.extend(realm.0.as_bytes());
    }
    packed.extend(text.as_bytes());
}

fn number(kind: Kind) -> u8 {
    match kind {
        Kind::Username => 0,
        Kind::Email => 1,
        Kind::Phone => 2,
        Kind::Mac => 3,
    }
}

fn kind(head: u8) -> Kind {
    match head & 3 {
        0 => Kind::Username,
        1 => Kind::Email,
        2 => Kind::Phone,
        _ => Kind::Mac,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_was_packed() {
        fn check(username: &str, names: &[(Option<u128>, Kind, &str)]) {
            let given: Vec<_> = names
                .iter()
                .map(|(realm, kind, text)| {
                    let realm = realm.map(|realm| OrganisationId(Uuid::from_u128(realm)));
                    (realm, *kind, (*text).to_owned())
                })
                .collect();
            let packed = Names::new(username, &given);
            assert_eq!(packed.username(), username);
            let read: Vec<_> = packed
                .iter()
                .map(|name| (name.realm, name.kind, name.folded.to_owned()))
                .collect();
            assert_eq!(read, given, "{username}");
            for (realm, kind, folded) in &given {
                let (realm, kind) = (*realm, *kind);
                assert!(packed.holds(Name {
                    realm,
                    kind,
                    folded
                }));
                let other = Name {
                    realm,
                    kind,
                    folded: "somebody-else",
                };
                assert!(!packed.holds(other));
            }
        }
        check("", &[]);
        check("alice", &[(None, Kind::Username, "alice")]);
        check("alice", &[(None, Kind::Email, "alice@x.org")]);
        check("", &[(None, Kind::Mac, "02-00-00-00-00-01")]);
        check(
            "Ünal",
            &[
                (Some(7), Kind::Username, "alice"),
                (Some(7), Kind::Username, "Ünal"),
                (None, Kind::Phone, "+390612345678"),
                (Some(8), Kind::Username, "Ünal"),
            ],
        );
    }

    #[test]
    fn a_user_name_alone_costs_three_octets_more_than_its_text() {
        let names = Names::new("alice", &[(None, Kind::Username, "alice".to_owned())]);
        assert_eq!(names.0.len(), 3 + "alice".len());
        assert!(!names.0.spilled());
    }
}
