//! Organisations: whose people, NASes and groups.
//!
//! An organisation's slug is its name on the command line and in addresses. Its namespace says whether its usernames
//! are unique on the whole server (`shared`) or only within it (`own`). Its time zone says when its day begins.

use crate::{ORGANISATION_CHANGED, version};
use chrono::{LocalResult, NaiveDate, TimeZone};
use chrono_tz::Tz;
use kernel::{Db, Error, Kernel, News, OrganisationId, Scope, Time, Tx, id::Uuid};
use serde::Serialize;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Longest name and slug, in characters.
const MAX_NAME_CHARACTERS: usize = 200;
/// Longest description and address, in octets.
const MAX_TEXT_OCTETS: usize = 4_096;
/// How many organisations one read takes: [`all`] goes on from there.
const CHUNK: i64 = 500;
/// Among how many slugs a nearest one is looked for: more would not be read by whoever mistyped.
const MAX_SUGGESTIONS: i64 = 1_000;
/// How many slips of the finger still count as meaning a slug.
const MAX_SLIPS: usize = 3;

/// Where an organisation's usernames are unique.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Namespace {
    /// On the server, together with all other organisations that share.
    #[default]
    Shared,
    /// In this organisation alone.
    Own,
}

impl Namespace {
    /// The word in the database and on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Namespace::Shared => "shared",
            Namespace::Own => "own",
        }
    }

    /// The namespace of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Namespace::Shared, Namespace::Own]
            .into_iter()
            .find(|namespace| namespace.word() == word)
    }
}

/// An organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Organisation {
    /// Its id.
    pub id: OrganisationId,
    /// Its name for people.
    pub name: String,
    /// Its name on the command line and in addresses: small letters, digits, dashes.
    pub slug: String,
    /// False: nobody comes in through it.
    pub is_active: bool,
    /// Where its usernames are unique.
    pub namespace: Namespace,
    /// IANA name of its time zone.
    pub time_zone: String,
    /// For people.
    pub description: String,
    /// Where it is reached.
    pub email: Option<String>,
    /// Its page.
    pub url: String,
    /// When it was made.
    pub created: Time,
    /// When it was last changed.
    pub modified: Time,
}

impl Organisation {
    /// The realm that its people's identifiers lie in: itself, or none where it shares.
    pub fn realm(&self) -> Option<OrganisationId> {
        match self.namespace {
            Namespace::Shared => None,
            Namespace::Own => Some(self.id),
        }
    }

    /// Its time zone; UTC where the row holds a name that this version does not know.
    pub fn zone(&self) -> Tz {
        self.time_zone.parse().unwrap_or(Tz::UTC)
    }

    /// The first moment that is no longer this day here: an expiry given as a bare date is the last day inside.
    pub fn end_of_day(&self, day: NaiveDate) -> Option<Time> {
        let midnight = day.succ_opt()?.and_hms_opt(0, 0, 0)?;
        let zone = self.zone();
        let moment = match zone.from_local_datetime(&midnight) {
            LocalResult::Single(moment) | LocalResult::Ambiguous(moment, _) => moment,
            // Where the clocks skip midnight, the day ends an hour of the clock later.
            LocalResult::None => zone
                .from_local_datetime(&(midnight + chrono::Duration::hours(1)))
                .earliest()?,
        };
        Some(Time::from(moment.with_timezone(&chrono::Utc)))
    }

    /// The day that a moment belongs to here, as `2027-01-31`.
    pub fn local_day(&self, at: Time) -> String {
        at.to_chrono()
            .with_timezone(&self.zone())
            .format("%Y-%m-%d")
            .to_string()
    }
}

/// An organisation to be made. `NewOrganisation::named` fills in what most want.
#[derive(Debug, Clone)]
pub struct NewOrganisation {
    /// Its name for people.
    pub name: String,
    /// Its slug; made from the name where none is given.
    pub slug: Option<String>,
    /// Where its usernames are unique.
    pub namespace: Namespace,
    /// IANA name of its time zone.
    pub time_zone: String,
    /// For people.
    pub description: String,
    /// Where it is reached.
    pub email: Option<String>,
    /// Its page.
    pub url: String,
}

impl NewOrganisation {
    /// One that shares the server's namespace and lives in UTC.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            slug: None,
            namespace: Namespace::Shared,
            time_zone: "UTC".to_owned(),
            description: String::new(),
            email: None,
            url: String::new(),
        }
    }
}

macro_rules! columns {
    () => {
        "id, name, slug, is_active, namespace, time_zone, description, email, url, created, modified"
    };
}

kernel::statements! {
    /// Statements of this file.
    pub STATEMENTS;
    INSERT = concat!("INSERT INTO organisation (", columns!(), ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)");
    BY_SLUG = concat!("SELECT ", columns!(), " FROM organisation WHERE slug = $1");
    BY_ID = concat!("SELECT ", columns!(), " FROM organisation WHERE id = $1");
    PAGE = concat!("SELECT ", columns!(), " FROM organisation
        WHERE id > $1 AND (CAST($2 AS UUID) IS NULL OR id = $2) ORDER BY id LIMIT $3");
    SLUGS = "SELECT slug FROM organisation ORDER BY slug LIMIT $1";
    SET_ACTIVE = "UPDATE organisation SET is_active = $2, modified = $3 WHERE id = $1 AND is_active <> $2";
}

#[derive(sqlx::FromRow)]
struct OrganisationRow {
    id: Uuid,
    name: String,
    slug: String,
    is_active: bool,
    namespace: String,
    time_zone: String,
    description: String,
    email: Option<String>,
    url: String,
    created: Time,
    modified: Time,
}

#[derive(sqlx::FromRow)]
struct SlugRow {
    slug: String,
}

impl OrganisationRow {
    fn into_organisation(self) -> Organisation {
        Organisation {
            id: OrganisationId(self.id),
            name: self.name,
            slug: self.slug,
            is_active: self.is_active,
            namespace: Namespace::from_word(&self.namespace).unwrap_or_default(),
            time_zone: self.time_zone,
            description: self.description,
            email: self.email,
            url: self.url,
            created: self.created,
            modified: self.modified,
        }
    }
}

/// Makes an organisation.
///
/// # Errors
/// [`Error::Invalid`] says which field and why; [`Error::Conflict`] when the slug is taken.
pub async fn insert(
    tx: &mut Tx,
    kernel: &Kernel,
    new: NewOrganisation,
) -> Result<Organisation, Error> {
    let now = kernel.now();
    let organisation = check_new(kernel, new)?;
    let taken = || Error::Conflict(format!("organisation '{}' exists", organisation.slug));
    let known: Option<OrganisationRow> = tx
        .first(BY_SLUG, kernel::values![&organisation.slug])
        .await?;
    if known.is_some() {
        return Err(taken());
    }
    let row = &organisation;
    let values = kernel::values![
        row.id,
        &row.name,
        &row.slug,
        row.is_active,
        row.namespace.word(),
        &row.time_zone,
        &row.description,
        row.email.clone(),
        &row.url,
        row.created,
        row.modified
    ];
    match tx.run(INSERT, values).await {
        // Somebody else made it since we looked.
        Err(e) if e.is_duplicate() => return Err(taken()),
        other => other?,
    };
    version::begin_organisation(tx, kernel, row).await?;
    tx.tell(now, News::new(ORGANISATION_CHANGED, Some(row.id), row.id.0))
        .await?;
    Ok(organisation)
}

fn check_new(kernel: &Kernel, new: NewOrganisation) -> Result<Organisation, Error> {
    let name = new.name.trim();
    if name.is_empty()
        || name.chars().count() > MAX_NAME_CHARACTERS
        || name.chars().any(char::is_control)
    {
        return Err(Error::Invalid(format!(
            "organisation's name: it has 1 to {MAX_NAME_CHARACTERS} characters and no control characters"
        )));
    }
    let slug = new.slug.unwrap_or_else(|| slug_of(name));
    check_slug(&slug).map_err(Error::Invalid)?;
    if new.time_zone.parse::<Tz>().is_err() {
        let near = nearest(
            &new.time_zone,
            chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()),
        );
        return Err(Error::Invalid(format!(
            "time zone '{}' is not known{}; write an IANA name such as Europe/Rome",
            new.time_zone.escape_debug(),
            near.map(|zone| format!(", did you mean '{zone}'?"))
                .unwrap_or_default()
        )));
    }
    if new.description.len() > MAX_TEXT_OCTETS || new.url.len() > MAX_TEXT_OCTETS {
        return Err(Error::Invalid(format!(
            "organisation '{slug}': description and address have at most {MAX_TEXT_OCTETS} octets"
        )));
    }
    let email = new.email.filter(|email| !email.is_empty());
    if let Some(email) = &email {
        crate::identifier::fold(crate::Kind::Email, email).map_err(Error::Invalid)?;
    }
    let now = kernel.now();
    Ok(Organisation {
        id: OrganisationId(kernel.new_uuid()),
        name: name.to_owned(),
        slug,
        is_active: true,
        namespace: new.namespace,
        time_zone: new.time_zone,
        description: new.description,
        email,
        url: new.url,
        created: now,
        modified: now,
    })
}

/// A slug from a name: small letters and digits, accents taken off, everything else a dash.
pub fn slug_of(name: &str) -> String {
    let mut slug = String::with_capacity(name.len());
    let plain = name
        .nfkd()
        .filter(|character| !is_combining_mark(*character));
    for character in plain.take(MAX_NAME_CHARACTERS) {
        match character.to_ascii_lowercase() {
            letter @ ('a'..='z' | '0'..='9') => slug.push(letter),
            _ if slug.is_empty() || slug.ends_with('-') => {}
            _ => slug.push('-'),
        }
    }
    slug.trim_end_matches('-').to_owned()
}

fn check_slug(slug: &str) -> Result<(), String> {
    let is_fine = !slug.is_empty()
        && slug.len() <= MAX_NAME_CHARACTERS
        && slug
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        && !slug.starts_with('-')
        && !slug.ends_with('-');
    if is_fine {
        return Ok(());
    }
    Err(format!(
        "organisation's slug '{}': it has 1 to {MAX_NAME_CHARACTERS} small letters, digits and dashes, with no dash at either end",
        slug.chars()
            .take(MAX_NAME_CHARACTERS)
            .collect::<String>()
            .escape_debug()
    ))
}

fn nearest<'a>(text: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // Longer ones are nobody's slip of the finger, and comparing them costs their length squared.
    if text.len() > MAX_NAME_CHARACTERS {
        return None;
    }
    known
        .map(|name| (strsim::damerau_levenshtein(text, name), name))
        .filter(|(slips, name)| *slips <= MAX_SLIPS && *slips < name.chars().count())
        .min()
        .map(|(_, name)| name)
}

/// The organisation of a slug.
///
/// # Errors
/// [`Error::NotFound`] names the nearest slug that exists.
pub async fn by_slug(db: &Db, slug: &str) -> Result<Organisation, Error> {
    let row: Option<OrganisationRow> = db.first(BY_SLUG, kernel::values![slug]).await?;
    if let Some(row) = row {
        return Ok(row.into_organisation());
    }
    let slugs: Vec<SlugRow> = db.all(SLUGS, kernel::values![MAX_SUGGESTIONS]).await?;
    let near = nearest(slug, slugs.iter().map(|row| row.slug.as_str()));
    let shown: String = slug.chars().take(MAX_NAME_CHARACTERS).collect();
    Err(Error::NotFound(format!(
        "there is no organisation '{}'{}",
        shown.escape_debug(),
        near.map(|near| format!("; did you mean '{near}'?"))
            .unwrap_or_default()
    )))
}

/// The organisation of an id.
///
/// # Errors
/// [`Error::Engine`].
pub async fn by_id(db: &Db, id: OrganisationId) -> Result<Option<Organisation>, Error> {
    let row: Option<OrganisationRow> = db.first(BY_ID, kernel::values![id]).await?;
    Ok(row.map(OrganisationRow::into_organisation))
}

/// Those of a scope, oldest first.
///
/// # Errors
/// [`Error::Engine`].
pub async fn list(db: &Db, scope: Scope) -> Result<Vec<Organisation>, Error> {
    let mut organisations: Vec<Organisation> = Vec::new();
    loop {
        let after = organisations.last().map_or(Uuid::nil(), |last| last.id.0);
        let rows: Vec<OrganisationRow> = db
            .all(PAGE, kernel::values![after, scope.parameter(), CHUNK])
            .await?;
        // Each round goes beyond the one before, so this ends.
        if rows.is_empty() {
            return Ok(organisations);
        }
        organisations.extend(rows.into_iter().map(OrganisationRow::into_organisation));
    }
}

/// All of them, oldest first.
///
/// # Errors
/// [`Error::Engine`].
pub async fn all(db: &Db) -> Result<Vec<Organisation>, Error> {
    list(db, Scope::Everything).await
}

/// Opens or shuts an organisation; whether that changed anything.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn set_active(
    kernel: &Kernel,
    id: OrganisationId,
    is_active: bool,
) -> Result<bool, Error> {
    let now = kernel.now();
    let mut tx = kernel.db.begin().await?;
    let changed = tx
        .run(SET_ACTIVE, kernel::values![id, is_active, now])
        .await?
        > 0;
    let row: Option<OrganisationRow> = tx.first(BY_ID, kernel::values![id]).await?;
    let organisation = row
        .ok_or_else(|| Error::NotFound(format!("there is no organisation with id {id}")))?
        .into_organisation();
    if changed {
        version::record_organisation(&mut tx, kernel, &organisation).await?;
        tx.tell(now, News::new(ORGANISATION_CHANGED, Some(id), id.0))
            .await?;
        tx.commit().await?;
    }
    Ok(changed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{House, house};

    async fn make(house: &House, new: NewOrganisation) -> Result<Organisation, Error> {
        let mut tx = house.kernel.db.begin().await?;
        let made = insert(&mut tx, &house.kernel, new).await?;
        tx.commit().await?;
        Ok(made)
    }

    #[test]
    fn a_slug_is_made_from_a_name() {
        for (name, slug) in [
            ("Acme Networks", "acme-networks"),
            ("  Ünal & Söhne! ", "unal-sohne"),
            ("A--B", "a-b"),
            ("Café", "cafe"),
            ("東京", ""),
        ] {
            assert_eq!(slug_of(name), slug);
        }
    }

    #[tokio::test]
    async fn an_organisation_is_read_back_as_it_was_made() {
        let house = house().await;
        let new = NewOrganisation {
            namespace: Namespace::Own,
            time_zone: "Europe/Rome".into(),
            email: Some("noc@acme.example".into()),
            ..NewOrganisation::named("Acme Networks")
        };
        let made = make(&house, new).await.unwrap();
        assert_eq!(made.slug, "acme-networks");
        assert_eq!(
            by_slug(&house.kernel.db, "acme-networks").await.unwrap(),
            made
        );
        assert_eq!(
            by_id(&house.kernel.db, made.id).await.unwrap(),
            Some(made.clone())
        );
        assert_eq!(made.realm(), Some(made.id));
        assert_eq!(
            house.news().await,
            [(ORGANISATION_CHANGED.to_owned(), made.id.0)]
        );
    }

    #[tokio::test]
    async fn a_slug_is_used_once_and_the_nearest_is_named() {
        let house = house().await;
        make(&house, NewOrganisation::named("acme")).await.unwrap();
        let again = make(&house, NewOrganisation::named("Acme")).await;
        assert!(
            matches!(again, Err(Error::Conflict(text)) if text == "organisation 'acme' exists")
        );
        let missing = by_slug(&house.kernel.db, "amce").await;
        assert!(
            matches!(missing, Err(Error::NotFound(text)) if text.ends_with("did you mean 'acme'?"))
        );
        let far = by_slug(&house.kernel.db, "university").await;
        assert!(
            matches!(far, Err(Error::NotFound(text)) if text == "there is no organisation 'university'")
        );
    }

    #[tokio::test]
    async fn what_cannot_be_an_organisation_is_refused_with_the_field() {
        let house = house().await;
        let slug = |slug: &str| NewOrganisation {
            slug: Some(slug.into()),
            ..NewOrganisation::named("x")
        };
        let zone = NewOrganisation {
            time_zone: "Europe/Roma".into(),
            ..NewOrganisation::named("x")
        };
        let email = NewOrganisation {
            email: Some("noc".into()),
            ..NewOrganisation::named("x")
        };
        for (new, word) in [
            (slug("Acme"), "slug"),
            (slug("a_b"), "slug"),
            (slug("-a"), "slug"),
            (slug(""), "slug"),
            (slug(&"a".repeat(201)), "slug"),
            (NewOrganisation::named(" "), "name"),
            (NewOrganisation::named("東京"), "slug"),
            (zone, "did you mean 'Europe/Rome'?"),
            (email, "e-mail"),
        ] {
            let refused = make(&house, new.clone()).await;
            assert!(
                matches!(&refused, Err(Error::Invalid(text)) if text.contains(word)),
                "{new:?} {refused:?}"
            );
        }
        assert!(all(&house.kernel.db).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn shutting_is_told_once_and_scopes_are_kept() {
        let house = house().await;
        let one = make(&house, NewOrganisation::named("one")).await.unwrap();
        let two = make(&house, NewOrganisation::named("two")).await.unwrap();
        let db = &house.kernel.db;
        assert!(set_active(&house.kernel, one.id, false).await.unwrap());
        assert!(!set_active(&house.kernel, one.id, false).await.unwrap());
        assert_eq!(house.news().await.len(), 3);
        assert!(!by_id(db, one.id).await.unwrap().unwrap().is_active);
        assert_eq!(list(db, Scope::Organisation(two.id)).await.unwrap(), [two]);
        assert_eq!(all(db).await.unwrap().len(), 2);
        let nobody = set_active(&house.kernel, OrganisationId(Uuid::nil()), true).await;
        assert!(matches!(nobody, Err(Error::NotFound(_))));
    }

    #[tokio::test]
    async fn a_day_begins_where_the_organisation_is() {
        let house = house().await;
        let new = NewOrganisation {
            time_zone: "Pacific/Auckland".into(),
            ..NewOrganisation::named("kiwi")
        };
        let kiwi = make(&house, new).await.unwrap();
        let evening = Time::parse("2027-01-31T12:30:00Z").unwrap();
        assert_eq!(kiwi.local_day(evening), "2027-02-01");
    }
}
