//! What was true when, on both engines: one current version of a row however many change it at once, nothing that stays
//! current of what is gone; and one process that is a node.

use access::admit::{admit, forget, found_organisation, set_rules};
use gatewarden_tests::on_both_engines;
use gatewarden_tests::place::Store;
use identity::{Namespace, NewOrganisation, NewPerson, Organisation, membership, person};
use kernel::{Error, node};
use radius_wire::dictionary::Dictionary;

const NODE: &str = "00112233445566778899aabbccddeeff";

#[derive(sqlx::FromRow)]
struct VersionRow {
    kind: String,
    fields: String,
    is_current: bool,
}

kernel::statements! {
    /// What the battery reads besides.
    STATEMENTS;
    OF_ROW = "SELECT kind, fields, valid_to IS NULL AS is_current FROM history WHERE row_id = $1";
    OF_ALL = "SELECT kind, fields, valid_to IS NULL AS is_current FROM history WHERE kind <> 'organisation' AND kind <> 'group'";
}

async fn organisation_of(store: &Store, slug: &str, namespace: Namespace) -> Organisation {
    let new = NewOrganisation {
        namespace,
        ..NewOrganisation::named(slug)
    };
    found_organisation(&store.kernel, new).await.unwrap()
}

async fn add(store: &Store, organisation: &Organisation, name: &str) -> identity::Inserted {
    let mut tx = store.kernel.db.begin().await.unwrap();
    let new = NewPerson::named(name);
    let made = admit(&mut tx, &store.kernel, organisation, new, None).await;
    tx.commit().await.unwrap();
    made.unwrap()
}

on_both_engines! {
    async fn whoever_changes_a_person_at_once_leaves_one_current_version(store: Store) {
        assert_eq!(STATEMENTS.len(), 2);
        let home = organisation_of(&store, "home", Namespace::Shared).await;
        let isp = organisation_of(&store, "isp", Namespace::Own).await;
        let net = organisation_of(&store, "net", Namespace::Own).await;
        let id = add(&store, &home, "anna").await.person.id;
        let join = async |to: &Organisation| -> Result<(), Error> {
            let mut tx = store.kernel.db.begin().await?;
            membership::join(&mut tx, &store.kernel, to, id).await?;
            // The other one has every chance to get between.
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            tx.commit().await
        };
        let shut_out = async || person::set_active(&store.kernel, id, false).await;
        let (one, two, three) = tokio::join!(join(&isp), join(&net), shut_out());
        one.unwrap();
        two.unwrap();
        three.unwrap();
        let versions: Vec<VersionRow> =
            store.kernel.db.all(OF_ROW, kernel::values![id]).await.unwrap();
        assert_eq!(versions.len(), 4);
        let current: Vec<&VersionRow> = versions.iter().filter(|row| row.is_current).collect();
        assert_eq!(current.len(), 1);
        assert!(current[0].fields.contains(&isp.id.to_string()));
        assert!(current[0].fields.contains(&net.id.to_string()));
        assert!(current[0].fields.contains("\"is_active\":false"));
    }

    async fn somebody_who_is_deleted_leaves_neither_a_current_version_nor_a_name(store: Store) {
        let home = organisation_of(&store, "home", Namespace::Shared).await;
        let made = add(&store, &home, "anna").await;
        let stays = add(&store, &home, "bruno").await;
        for member in [made.membership.id, stays.membership.id] {
            let rules = "Reply-Message := wonderland";
            set_rules(&store.kernel, Dictionary::builtin(), home.id, member, rules, None)
                .await
                .unwrap();
        }
        let mut tx = store.kernel.db.begin().await.unwrap();
        forget(&mut tx, &store.kernel, made.membership.id).await.unwrap();
        assert!(person::delete(&mut tx, &store.kernel, made.person.id).await.unwrap());
        tx.commit().await.unwrap();
        let left: Vec<VersionRow> = store.kernel.db.all(OF_ALL, Vec::new()).await.unwrap();
        let mut current: Vec<&str> = left
            .iter()
            .filter(|row| row.is_current)
            .map(|row| row.kind.as_str())
            .collect();
        current.sort_unstable();
        let of_the_groups = current.iter().filter(|kind| **kind == "check").count();
        assert_eq!(current.len() - of_the_groups, 4, "{current:?}");
        let told = left.iter().filter(|row| row.fields.contains("wonderland")).count();
        assert_eq!(told, 1);
        let gone = made.membership.id.to_string();
        assert!(left.iter().all(|row| !row.fields.contains("anna") && !row.fields.contains(&gone)));
    }

    async fn usernames_that_differ_in_capitals_beyond_ascii_are_twins(store: Store) {
        let home = organisation_of(&store, "home", Namespace::Shared).await;
        assert!(add(&store, &home, "\u{dc}nal").await.warnings.is_empty());
        assert_eq!(add(&store, &home, "\u{fc}nal").await.warnings.len(), 1);
    }

    async fn one_process_is_a_node_and_its_successor_does_not_wait(store: Store) {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let killed = node::claim(&store.kernel, NODE, folder.path()).await.unwrap();
        killed.beat(&store.kernel).await.unwrap();
        let next = node::claim(&store.kernel, NODE, folder.path()).await.unwrap();
        assert!(matches!(killed.beat(&store.kernel).await, Err(Error::Conflict(_))));
        next.beat(&store.kernel).await.unwrap();
        next.release(&store.kernel).await.unwrap();
        let moved = node::claim(&store.kernel, NODE, other.path()).await.unwrap();
        moved.beat(&store.kernel).await.unwrap();
    }
}
