//! People as lines: one membership each, in pages.

use crate::{Error, Form, MembershipId, PersonId};
use kernel::{Db, OrganisationId, Scope, Time, id::Uuid};
use serde::Serialize;

/// Most lines in one page: what a screen or an answer of the API can hold.
pub const MAX_PAGE: usize = 1_000;

/// A person in an organisation, in one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PersonLine {
    /// The membership: also where the next page goes on.
    pub membership: MembershipId,
    /// The person.
    pub person: PersonId,
    /// The organisation.
    pub organisation: OrganisationId,
    /// Its slug.
    pub organisation_slug: String,
    /// What they are called there.
    pub username: String,
    /// E-mail address there.
    pub email: Option<String>,
    /// Phone number there.
    pub phone_number: Option<String>,
    /// First name.
    pub first_name: String,
    /// Last name.
    pub last_name: String,
    /// False: shut out everywhere.
    pub is_active: bool,
    /// False: kept out here.
    pub is_enabled: bool,
    /// From when on they do not come in any more.
    pub expires: Option<Time>,
    /// Whether it is settled who they are.
    pub is_verified: bool,
    /// How that was settled.
    pub method: String,
    /// In which form a password is kept; none where there is no password.
    pub password: Option<Form>,
    /// When they became a member.
    pub created: Time,
}

macro_rules! name_of_kind {
    ($kind:literal) => {
        concat!(
            "(SELECT i.value FROM identifier i WHERE i.person_id = m.person_id AND i.kind = '", $kind, "'
                AND ((o.namespace = 'own' AND i.realm = o.id) OR (o.namespace = 'shared' AND i.realm IS NULL))
              ORDER BY i.created, i.id LIMIT 1)"
        )
    };
}

macro_rules! lines_where {
    ($condition:literal) => {
        concat!(
            "SELECT m.id, m.person_id, m.organisation_id, o.slug, ", name_of_kind!("username"), " AS username, ",
            name_of_kind!("email"), " AS email, ", name_of_kind!("phone"), " AS phone_number,
                p.first_name, p.last_name, p.is_active, m.is_enabled, m.expires, m.is_verified, m.method, c.form, m.created
            FROM membership m JOIN person p ON p.id = m.person_id JOIN organisation o ON o.id = m.organisation_id
                LEFT JOIN credential c ON c.person_id = m.person_id
            WHERE ", $condition, " ORDER BY m.id LIMIT $2"
        )
    };
}

// Two statements, because an index serves the second one only if the organisation is not optional.
kernel::statements! {
    /// Statements of this file.
    pub STATEMENTS;
    EVERYBODY = lines_where!("m.id > $1");
    OF_ORGANISATION = lines_where!("m.id > $1 AND m.organisation_id = $3");
}

#[derive(sqlx::FromRow)]
struct LineRow {
    id: Uuid,
    person_id: Uuid,
    organisation_id: Uuid,
    slug: String,
    username: Option<String>,
    email: Option<String>,
    phone_number: Option<String>,
    first_name: String,
    last_name: String,
    is_active: bool,
    is_enabled: bool,
    expires: Option<Time>,
    is_verified: bool,
    method: String,
    form: Option<String>,
    created: Time,
}

/// The next lines after a membership, oldest first; at most `limit`, and never more than [`MAX_PAGE`]. An empty page
/// is the end.
///
/// # Errors
/// [`Error::Engine`].
pub async fn list(
    db: &Db,
    scope: Scope,
    after: Option<MembershipId>,
    limit: usize,
) -> Result<Vec<PersonLine>, Error> {
    let limit = i64::try_from(limit.clamp(1, MAX_PAGE)).unwrap_or(1);
    let after = after.map_or(Uuid::nil(), |membership| membership.0);
    let rows: Vec<LineRow> = match scope {
        Scope::Everything => db.all(EVERYBODY, kernel::values![after, limit]).await?,
        Scope::Organisation(id) => {
            db.all(OF_ORGANISATION, kernel::values![after, limit, id])
                .await?
        }
    };
    Ok(rows.into_iter().map(LineRow::into_line).collect())
}

impl LineRow {
    fn into_line(self) -> PersonLine {
        PersonLine {
            membership: MembershipId(self.id),
            person: PersonId(self.person_id),
            organisation: OrganisationId(self.organisation_id),
            organisation_slug: self.slug,
            username: self.username.unwrap_or_default(),
            email: self.email,
            phone_number: self.phone_number,
            first_name: self.first_name,
            last_name: self.last_name,
            is_active: self.is_active,
            is_enabled: self.is_enabled,
            expires: self.expires,
            is_verified: self.is_verified,
            method: self.method,
            password: self.form.as_deref().and_then(Form::from_word),
            created: self.created,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::house;
    use crate::{Namespace, NewOrganisation, NewPassword, NewPerson, Store};

    #[tokio::test]
    async fn pages_of_a_scope_bring_each_member_once() {
        let house = house().await;
        let acme = house.organisation(NewOrganisation::named("acme")).await;
        let own = NewOrganisation {
            namespace: Namespace::Own,
            ..NewOrganisation::named("isp")
        };
        let isp = house.organisation(own).await;
        for at in 0..5 {
            let organisation = if at % 2 == 0 { &acme } else { &isp };
            let new = NewPerson {
                password: (at == 0).then(|| NewPassword::given("secret", Store::Nt)),
                email: (at == 1).then(|| "One@x.org".to_owned()),
                phone_number: (at == 1).then(|| "+390612345678".to_owned()),
                ..NewPerson::named(&format!("user-{at}"))
            };
            house.admit(organisation, new).await.unwrap();
            house.clock.advance_seconds(1);
        }
        for (scope, expect) in [
            (
                Scope::Everything,
                vec!["user-0", "user-1", "user-2", "user-3", "user-4"],
            ),
            (
                Scope::Organisation(acme.id),
                vec!["user-0", "user-2", "user-4"],
            ),
            (Scope::Organisation(isp.id), vec!["user-1", "user-3"]),
        ] {
            let (mut names, mut after) = (Vec::new(), None);
            loop {
                let page = list(&house.kernel.db, scope, after, 2).await.unwrap();
                let Some(last) = page.last() else { break };
                assert!(page.len() <= 2);
                after = Some(last.membership);
                names.extend(page.into_iter().map(|line| line.username));
            }
            assert_eq!(names, expect, "{scope:?}");
        }
        let lines = list(&house.kernel.db, Scope::Everything, None, 2)
            .await
            .unwrap();
        assert_eq!(
            (lines[0].password, lines[1].password),
            (Some(Form::Nt), None)
        );
        assert_eq!(lines[1].email.as_deref(), Some("One@x.org"));
        assert_eq!(lines[1].phone_number.as_deref(), Some("+390612345678"));
        assert_eq!(
            (lines[1].organisation_slug.as_str(), lines[1].organisation),
            ("isp", isp.id)
        );
        assert_eq!(lines[0].email, None);
    }
}
