//! Settings that are rows: a JSON value by name, an organisation's own before the one for everybody.

use crate::{Error, SETTING_CHANGED, Store, organisation};
use kernel::{Db, Kernel, News, OrganisationId, history::Version, id::Uuid};
use serde_json::{Value, json};
use std::collections::HashMap;

/// Which form passwords of an organisation's people are kept in when nobody says: `hashed`, `recoverable` or `nt`.
pub const PASSWORD_STORE: &str = "password_store";

/// A setting whose name ends with one of these words holds a secret: `smtp_password`, and not `password_store`.
const SECRET_WORDS: [&str; 5] = ["secret", "token", "key", "password", "credentials"];

/// Longest name, in octets.
const MAX_NAME_OCTETS: usize = 64;
/// Longest value as JSON, in octets: a message's template, not a file.
const MAX_VALUE_OCTETS: usize = 65_536;

kernel::statements! {
    /// Statements of this file.
    pub STATEMENTS;
    GET = "SELECT id, value FROM setting WHERE name = $1 AND (organisation_id = $2 OR organisation_id IS NULL)
        ORDER BY CASE WHEN organisation_id IS NULL THEN 1 ELSE 0 END LIMIT 1";
    ALL_NAMED = "SELECT organisation_id, value FROM setting WHERE name = $1";
    SET_FOR_ALL = "INSERT INTO setting (id, organisation_id, name, value, modified) VALUES ($1, NULL, $2, $3, $4)
        ON CONFLICT (name) WHERE organisation_id IS NULL
        DO UPDATE SET value = excluded.value, modified = excluded.modified RETURNING id, value";
    SET_FOR_ONE = "INSERT INTO setting (id, organisation_id, name, value, modified) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (organisation_id, name) WHERE organisation_id IS NOT NULL
        DO UPDATE SET value = excluded.value, modified = excluded.modified RETURNING id, value";
    UNSET = "DELETE FROM setting WHERE name = $1
        AND (organisation_id = $2 OR (organisation_id IS NULL AND CAST($2 AS UUID) IS NULL)) RETURNING id, value";
}

#[derive(sqlx::FromRow)]
struct SettingRow {
    id: Uuid,
    value: String,
}

#[derive(sqlx::FromRow)]
struct OwnedRow {
    organisation_id: Option<Uuid>,
    value: String,
}

/// The value that an organisation goes by: its own, else everybody's. Without an organisation, everybody's.
///
/// # Errors
/// [`Error::Invalid`] when the row is not JSON.
pub async fn get(
    db: &Db,
    organisation: Option<OrganisationId>,
    name: &str,
) -> Result<Option<Value>, Error> {
    let row: Option<SettingRow> = db.first(GET, kernel::values![name, organisation]).await?;
    row.map(|row| serde_json::from_str(&row.value))
        .transpose()
        .map_err(|e| Error::Invalid(format!("setting '{name}': its row is not JSON: {e}")))
}

/// Every value of a name, by whose it is; `None` is everybody's. A row that is not JSON is logged and left out: one
/// organisation's must not keep the others from theirs.
///
/// # Errors
/// [`Error::Engine`].
pub async fn all_named(
    db: &Db,
    name: &str,
) -> Result<HashMap<Option<OrganisationId>, Value>, Error> {
    let rows: Vec<OwnedRow> = db.all(ALL_NAMED, kernel::values![name]).await?;
    let read = |row: OwnedRow| {
        let owner = row.organisation_id.map(OrganisationId);
        serde_json::from_str(&row.value)
            .inspect_err(|e| {
                tracing::error!(setting = name, organisation = ?owner, "a setting is not JSON: {e}");
            })
            .ok()
            .map(|value| (owner, value))
    };
    Ok(rows.into_iter().filter_map(read).collect())
}

/// Sets a value for an organisation, or for everybody.
///
/// # Errors
/// [`Error::Invalid`] for a name or a value that cannot be; [`Error::NotFound`] for the organisation.
pub async fn set(
    kernel: &Kernel,
    organisation: Option<OrganisationId>,
    name: &str,
    value: &Value,
) -> Result<(), Error> {
    check(name, value)?;
    let text = value.to_string();
    if text.len() > MAX_VALUE_OCTETS {
        return Err(Error::Invalid(format!(
            "setting '{name}': it has more than {MAX_VALUE_OCTETS} octets"
        )));
    }
    if let Some(id) = organisation
        && organisation::by_id(&kernel.db, id).await?.is_none()
    {
        return Err(Error::NotFound(format!(
            "there is no organisation with id {id}"
        )));
    }
    let now = kernel.now();
    let mut tx = kernel.db.begin().await?;
    let id = kernel.new_uuid();
    let row: Option<SettingRow> = match organisation {
        None => {
            tx.first(SET_FOR_ALL, kernel::values![id, name, text, now])
                .await?
        }
        Some(_) => {
            tx.first(
                SET_FOR_ONE,
                kernel::values![id, organisation, name, text, now],
            )
            .await?
        }
    };
    let row = row.map_or(id, |row| row.id);
    let fields = if is_secret(name) {
        json!({"name": name})
    } else {
        json!({"name": name, "value": value})
    };
    let version = Version {
        id: kernel.new_uuid(),
        kind: "setting",
        row,
        organisation,
        person: None,
        fields,
    };
    tx.record_version(now, version).await?;
    let news = News::new(SETTING_CHANGED, organisation, row).with_detail(json!({"name": name}));
    tx.tell(now, news).await?;
    tx.commit().await
}

/// Takes a value away, so that everybody's or the built-in one holds again; whether there was one.
///
/// # Errors
/// [`Error::Engine`].
pub async fn unset(
    kernel: &Kernel,
    organisation: Option<OrganisationId>,
    name: &str,
) -> Result<bool, Error> {
    let now = kernel.now();
    let mut tx = kernel.db.begin().await?;
    let Some(row) = tx
        .first::<SettingRow>(UNSET, kernel::values![name, organisation])
        .await?
    else {
        return Ok(false);
    };
    tx.end_version(now, row.id).await?;
    let news = News::new(SETTING_CHANGED, organisation, row.id).with_detail(json!({"name": name}));
    tx.tell(now, news).await?;
    tx.commit().await?;
    Ok(true)
}

/// In which form passwords are kept when nobody says.
///
/// # Errors
/// [`Error::Invalid`] when the row holds something else.
pub async fn password_store(db: &Db, organisation: Option<OrganisationId>) -> Result<Store, Error> {
    match get(db, organisation, PASSWORD_STORE).await? {
        None => Ok(Store::default()),
        Some(value) => read_store(&value),
    }
}

fn read_store(value: &Value) -> Result<Store, Error> {
    value.as_str().and_then(Store::from_word).ok_or_else(|| {
        Error::Invalid(format!(
            "setting '{PASSWORD_STORE}': it is one of \"hashed\", \"recoverable\", \"nt\""
        ))
    })
}

/// Whether a setting's value is a secret by its name, and so never stands in the history.
pub fn is_secret(name: &str) -> bool {
    name.rsplit('_')
        .next()
        .is_some_and(|last| SECRET_WORDS.contains(&last))
}

fn check(name: &str, value: &Value) -> Result<(), Error> {
    let is_fine = !name.is_empty()
        && name.len() <= MAX_NAME_OCTETS
        && name
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'));
    if !is_fine {
        return Err(Error::Invalid(format!(
            "setting's name: it has 1 to {MAX_NAME_OCTETS} small letters, digits and underscores"
        )));
    }
    if name == PASSWORD_STORE {
        read_store(value)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NewOrganisation;
    use crate::testing::house;

    #[tokio::test]
    async fn an_organisations_own_value_comes_before_everybodys() {
        let house = house().await;
        let (kernel, db) = (&house.kernel, &house.kernel.db);
        let one = Some(house.organisation(NewOrganisation::named("one")).await.id);
        let two = Some(house.organisation(NewOrganisation::named("two")).await.id);
        assert_eq!(password_store(db, one).await.unwrap(), Store::Hashed);
        set(kernel, None, PASSWORD_STORE, &json!("nt"))
            .await
            .unwrap();
        set(kernel, one, PASSWORD_STORE, &json!("hashed"))
            .await
            .unwrap();
        set(kernel, one, PASSWORD_STORE, &json!("recoverable"))
            .await
            .unwrap();
        assert_eq!(password_store(db, one).await.unwrap(), Store::Recoverable);
        assert_eq!(password_store(db, two).await.unwrap(), Store::Nt);
        assert_eq!(password_store(db, None).await.unwrap(), Store::Nt);
        assert!(unset(kernel, one, PASSWORD_STORE).await.unwrap());
        assert!(!unset(kernel, one, PASSWORD_STORE).await.unwrap());
        assert_eq!(password_store(db, one).await.unwrap(), Store::Nt);
        assert!(unset(kernel, None, PASSWORD_STORE).await.unwrap());
        assert_eq!(get(db, one, PASSWORD_STORE).await.unwrap(), None);
    }

    #[tokio::test]
    async fn all_of_a_name_come_at_once_and_one_that_is_not_json_is_left_out() {
        let house = house().await;
        let kernel = &house.kernel;
        let one = Some(house.organisation(NewOrganisation::named("one")).await.id);
        let two = Some(house.organisation(NewOrganisation::named("two")).await.id);
        for (owner, value) in [(None, 1), (one, 2), (two, 3)] {
            set(kernel, owner, "x", &json!(value)).await.unwrap();
            set(kernel, owner, "y", &json!(9)).await.unwrap();
        }
        let all = async || all_named(&kernel.db, "x").await.unwrap();
        let three = [(None, json!(1)), (one, json!(2)), (two, json!(3))];
        assert_eq!(all().await, HashMap::from(three.clone()));
        let mut tx = kernel.db.begin().await.unwrap();
        let damage = "UPDATE setting SET value = '{' WHERE name = 'x' AND organisation_id = $1";
        tx.run(damage, kernel::values![two]).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(all().await, three.into_iter().take(2).collect());
    }

    #[tokio::test]
    async fn a_change_is_told_and_leaves_one_current_version() {
        let house = house().await;
        for value in ["nt", "hashed"] {
            set(&house.kernel, None, PASSWORD_STORE, &json!(value))
                .await
                .unwrap();
            house.clock.advance_seconds(1);
        }
        let news = house.news().await;
        assert_eq!(news.len(), 2);
        assert_eq!(news[0], news[1]);
        assert_eq!(
            house.version(news[0].1).await,
            json!({"name": PASSWORD_STORE, "value": "hashed"})
        );
    }

    #[tokio::test]
    async fn a_secret_value_stands_in_no_version() {
        let house = house().await;
        for (name, is_secret) in [
            ("sms_api_key", true),
            ("smtp_password", true),
            ("token", true),
            ("token_days", false),
            (PASSWORD_STORE, false),
            ("monkey", false),
        ] {
            assert_eq!(super::is_secret(name), is_secret, "{name}");
        }
        let value = json!("wonderland");
        set(&house.kernel, None, "sms_api_key", &value)
            .await
            .unwrap();
        set(&house.kernel, None, "greeting", &json!("welcome"))
            .await
            .unwrap();
        let history = house.whole_history().await;
        assert!(history.contains("sms_api_key") && !history.contains("wonderland"));
        assert!(history.contains("welcome"));
        assert_eq!(
            get(&house.kernel.db, None, "sms_api_key").await.unwrap(),
            Some(value)
        );
    }

    #[tokio::test]
    async fn what_cannot_be_a_setting_is_refused() {
        let house = house().await;
        let long = json!("x".repeat(MAX_VALUE_OCTETS));
        for (name, value) in [
            (PASSWORD_STORE, json!("plain")),
            (PASSWORD_STORE, json!(7)),
            ("", json!(1)),
            ("Upper", json!(1)),
            ("login_url", long),
        ] {
            let refused = set(&house.kernel, None, name, &value).await;
            assert!(matches!(refused, Err(Error::Invalid(_))), "{name}");
        }
        let nobody = Some(OrganisationId(Uuid::nil()));
        assert!(matches!(
            set(&house.kernel, nobody, "x", &json!(1)).await,
            Err(Error::NotFound(_))
        ));
        assert!(house.news().await.is_empty());
    }
}
