//! Every statement of every room is understood by both engines.

use gatewarden_tests::place::Store;
use kernel::Engine;

fn everything(engine: Engine) -> Vec<(String, &'static str)> {
    let own = match engine {
        Engine::Sqlite => [
            kernel::event::SQLITE_STATEMENTS,
            kernel::db::SQLITE_STATEMENTS,
        ]
        .concat(),
        Engine::Postgres => [
            kernel::event::POSTGRES_STATEMENTS,
            kernel::db::POSTGRES_STATEMENTS,
        ]
        .concat(),
    };
    let look = match engine {
        Engine::Sqlite => kernel::db::SQLITE_LOOK_STATEMENTS,
        Engine::Postgres => kernel::db::POSTGRES_LOOK_STATEMENTS,
    };
    let rooms: [(&str, Vec<(&'static str, &'static str)>); 5] = [
        (
            "kernel",
            [
                kernel::event::STATEMENTS,
                &own,
                kernel::db::LOOK_STATEMENTS,
                look,
                kernel::history::STATEMENTS,
                kernel::node::STATEMENTS,
                &kernel::event::RECORD_MANY.statements(engine),
                &kernel::history::RECORD_MANY.statements(engine),
            ]
            .concat(),
        ),
        ("identity", identity::statements(engine)),
        ("access", access::statements(engine)),
        ("usage", usage::statements(engine)),
        ("enrol", enrol::statements(engine)),
    ];
    rooms
        .into_iter()
        .flat_map(|(room, list)| {
            list.into_iter()
                .map(move |(name, sql)| (format!("{room}: {name}"), sql))
        })
        .collect()
}

async fn every_statement_is_prepared(engine: Engine) {
    let store = Store::open(engine).await;
    let mut refused = Vec::new();
    let list = everything(engine);
    assert!(list.len() > 60, "{}", list.len());
    for (name, sql) in list {
        if let Err(fault) = store.kernel.db.prepare(sql).await {
            refused.push(format!("{name}: {fault}\n    {sql}"));
        }
    }
    assert!(refused.is_empty(), "{engine:?}:\n{}", refused.join("\n"));
}

#[tokio::test]
async fn every_statement_is_prepared_on_sqlite() {
    every_statement_is_prepared(Engine::Sqlite).await;
}

#[tokio::test]
async fn every_statement_is_prepared_on_postgres() {
    every_statement_is_prepared(Engine::Postgres).await;
}
