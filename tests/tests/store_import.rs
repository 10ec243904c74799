//! Imports on both engines: whole, resumed, taken back.

use access::admit::found_organisation;
use enrol::batch::{self, Status};
use enrol::{ImportOptions, Source, check, resume, run, take_back};
use gatewarden_tests::on_both_engines;
use gatewarden_tests::place::Store;
use identity::{NewOrganisation, known};
use kernel::{Error, Scope};
use radius_wire::dictionary::Dictionary;

fn file(rows: usize) -> Source {
    let rows: String = (0..rows)
        .map(|n| format!("user{n:04},pass-word-{n},user{n}@example.org\n"))
        .collect();
    Source::bytes(
        format!("username,password,email\n{rows}").into_bytes(),
        "users.csv",
    )
}

async fn options(store: &Store) -> ImportOptions {
    let acme = found_organisation(&store.kernel, NewOrganisation::named("acme"))
        .await
        .unwrap();
    ImportOptions {
        store: identity::Store::Recoverable,
        ..ImportOptions::into_organisation(acme)
    }
}

async fn people(store: &Store) -> usize {
    known::page(&store.kernel.db, None, known::MAX_PAGE)
        .await
        .unwrap()
        .len()
}

on_both_engines! {
    async fn a_file_is_imported_once_and_taken_back_whole(store: Store) {
        let options = options(&store).await;
        let source = file(520);
        let checked = check(&store.kernel, Dictionary::builtin(), &source, &options).await.unwrap();
        assert_eq!((checked.rows, checked.bad_rows), (520, 0));
        let outcome = run(&store.kernel, Dictionary::builtin(), &source, &checked, |_| {}).await.unwrap();
        assert_eq!(outcome.created, 520);
        assert_eq!(outcome.batch.status, Status::Completed);
        assert_eq!(people(&store).await, 520);
        // The same file again: everybody is there already.
        let again = check(&store.kernel, Dictionary::builtin(), &source, &options).await.unwrap();
        assert_eq!(again.bad_rows + again.known, 520, "no one is imported twice");
        let taken = take_back(&store.kernel, outcome.batch.id).await.unwrap();
        assert_eq!(taken.people, 520);
        assert_eq!(people(&store).await, 0);
    }

    /// The process dies between two chunks: the future is dropped in the middle.
    async fn an_import_that_was_cut_off_goes_on_where_it_stopped(store: Store) {
        let options = options(&store).await;
        let source = file(900);
        let checked = check(&store.kernel, Dictionary::builtin(), &source, &options).await.unwrap();
        let (say, mut hear) = tokio::sync::mpsc::unbounded_channel();
        let importing = run(&store.kernel, Dictionary::builtin(), &source, &checked, move |progress| {
            let _ = say.send(progress);
        });
        tokio::select! {
            outcome = importing => assert!(outcome.is_ok(), "{:?}", outcome.err()),
            _ = async {
                // At the second word of progress something is in, and not all.
                hear.recv().await;
                hear.recv().await
            } => {}
        }
        let half = people(&store).await;
        let unfinished = batch::unfinished(&store.kernel.db, options.organisation.id, &source.digest().unwrap()).await.unwrap();
        if let Some(batch) = unfinished {
            assert!(half < 900);
            let refused = check(&store.kernel, Dictionary::builtin(), &source, &options).await.unwrap();
            assert!(matches!(refused.may_run(), Err(Error::Conflict(_))), "it is resumed or taken back, not begun anew");
            let outcome = resume(&store.kernel, Dictionary::builtin(), &source, batch.id, None, |_| {}).await.unwrap();
            assert_eq!(outcome.batch.status, Status::Completed);
        }
        assert_eq!(people(&store).await, 900);
    }

    async fn bad_rows_are_all_named_and_nothing_is_imported(store: Store) {
        let options = options(&store).await;
        let text = "username,password,email,expires\nanna,x-y-z-x-y-z,,\nanna,x-y-z-x-y-z,,\nberta,pw-of-berta,nobody,soon\n";
        let source = Source::bytes(text.as_bytes().to_vec(), "users.csv");
        let checked = check(&store.kernel, Dictionary::builtin(), &source, &options).await.unwrap();
        let problems: Vec<String> = checked.problems.listed.iter().map(ToString::to_string).collect();
        for expect in ["line 3, column username", "line 4, column email", "line 4, column expires"] {
            assert!(problems.iter().any(|problem| problem.starts_with(expect)), "{expect}: {problems:#?}");
        }
        let refused = run(&store.kernel, Dictionary::builtin(), &source, &checked, |_| {}).await;
        assert!(refused.is_err());
        assert_eq!(people(&store).await, 0);
        let options = ImportOptions { skip_bad: true, ..options };
        let checked = check(&store.kernel, Dictionary::builtin(), &source, &options).await.unwrap();
        let outcome = run(&store.kernel, Dictionary::builtin(), &source, &checked, |_| {}).await.unwrap();
        assert_eq!((outcome.created, outcome.skipped), (1, 2));
        let batches = batch::list(&store.kernel.db, Scope::Everything).await.unwrap();
        assert_eq!(batches.len(), 1);
    }
}
