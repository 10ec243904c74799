//! Debian's FreeRADIUS, given a fair chance.
//!
//! What a site that cares for speed would do is done: nothing is logged for each login (`auth = no`), no reject delay
//! stands in the way, the modules of a login are only those that take part. Users come from the `files` module, or
//! from PostgreSQL through the packaged `queries.conf` over the packaged schema with its indexes. `sql` is left out of
//! post-auth, where the packaged site would write a row for each login. Threads: five for files (one core gains
//! nothing from more), up to 32 with PostgreSQL, each with a connection, so that commits share their flushes.

use crate::generator::{Address, SECRET};
use crate::line;
use crate::people;
use crate::process::Server;
use crate::stage::Stage;
use std::path::Path;

const DATABASE: &str = "freeradius";
const PACKAGED: &str = "/etc/freeradius/3.0/mods-config/sql/main/postgresql";

/// Starts it; with `has_sql` its users and sessions are in PostgreSQL.
pub fn start(stage: &mut Stage, address: Address, has_sql: bool) -> Result<Server, String> {
    let folder = stage.folder(if has_sql {
        "freeradius-sql"
    } else {
        "freeradius-files"
    })?;
    let users = folder.join("users");
    if has_sql {
        prepare(stage)?;
    } else if !users.exists() {
        people::users_file(&users)?;
    }
    let write = |name: &str, text: String| {
        std::fs::write(folder.join(name), text).map_err(|e| format!("{name}: {e}"))
    };
    let port = stage.postgres.port();
    write(
        "radiusd.conf",
        configuration(&folder, address, has_sql.then_some(port)),
    )?;
    write(
        "dictionary",
        "$INCLUDE /usr/share/freeradius/dictionary\n".to_owned(),
    )?;
    let command = line![
        "/usr/sbin/freeradius",
        "-f",
        "-l",
        "stdout",
        "-d",
        folder.display()
    ];
    stage.serve("freeradius", &command)
}

/// The packaged schema, and the users.
fn prepare(stage: &mut Stage) -> Result<(), String> {
    if stage.is_prepared(DATABASE) {
        stage.postgres.ask(DATABASE, "TRUNCATE radacct")?;
        return Ok(());
    }
    stage.postgres.create(DATABASE)?;
    stage
        .postgres
        .run(DATABASE, &Path::new(PACKAGED).join("schema.sql"))?;
    stage.postgres.ask(DATABASE, &people::radcheck())?;
    stage.postgres.rest(DATABASE)?;
    Ok(())
}

fn configuration(folder: &Path, address: Address, postgres_port: Option<u16>) -> String {
    let folder = folder.display();
    let (auth, acct) = (address.0, address.acct_port());
    let (threads, users, sql) = match postgres_port {
        None => (5, "files", String::new()),
        Some(port) => (32, "sql", sql(port)),
    };
    let (files, store) = match postgres_port {
        None => (
            format!("    files {{\n        filename = {folder}/users\n    }}\n"),
            "ok",
        ),
        Some(_) => (String::new(), "sql"),
    };
    format!(
        "name = rival
prefix = {folder}
raddbdir = {folder}
modconfdir = /etc/freeradius/3.0/mods-config
logdir = {folder}
run_dir = {folder}
pidfile = {folder}/rival.pid
libdir = /usr/lib/freeradius
max_request_time = 30
cleanup_delay = 5
max_requests = 65536
hostname_lookups = no
proxy_requests = no
log {{
    destination = stdout
    auth = no
}}
security {{
    max_attributes = 200
    reject_delay = 0
    status_server = yes
}}
thread pool {{
    start_servers = {threads}
    max_servers = {threads}
    min_spare_servers = 1
    max_spare_servers = {threads}
    max_requests_per_server = 0
    max_queue_size = 65536
}}
client loopback {{
    ipaddr = 127.0.0.0/8
    secret = {SECRET}
    require_message_authenticator = no
    limit {{
        max_connections = 0
    }}
}}
instantiate {{
    expr
}}
modules {{
    preprocess {{
        huntgroups = /etc/freeradius/3.0/mods-config/preprocess/huntgroups
        hints = /etc/freeradius/3.0/mods-config/preprocess/hints
    }}
    expr {{
    }}
    pap {{
    }}
    chap {{
    }}
    mschap {{
    }}
{files}{sql}    always ok {{
        rcode = ok
    }}
}}
policy {{
    $INCLUDE /etc/freeradius/3.0/policy.d/accounting
}}
server default {{
    listen {{
        type = auth
        ipaddr = 127.0.0.1
        port = {auth}
    }}
    listen {{
        type = acct
        ipaddr = 127.0.0.1
        port = {acct}
    }}
    authorize {{
        chap
        mschap
        {users}
        pap
    }}
    authenticate {{
        Auth-Type PAP {{
            pap
        }}
        Auth-Type CHAP {{
            chap
        }}
        Auth-Type MS-CHAP {{
            mschap
        }}
    }}
    preacct {{
        preprocess
        acct_unique
    }}
    accounting {{
        {store}
    }}
}}
"
    )
}

/// The packaged `mods-available/sql` for PostgreSQL, its defaults kept.
fn sql(port: u16) -> String {
    format!(
        "    sql {{
        dialect = \"postgresql\"
        driver = \"rlm_sql_postgresql\"
        server = \"127.0.0.1\"
        port = {port}
        login = \"bench\"
        password = \"\"
        radius_db = \"{DATABASE}\"
        postgresql {{
            send_application_name = yes
        }}
        acct_table1 = \"radacct\"
        acct_table2 = \"radacct\"
        postauth_table = \"radpostauth\"
        authcheck_table = \"radcheck\"
        groupcheck_table = \"radgroupcheck\"
        authreply_table = \"radreply\"
        groupreply_table = \"radgroupreply\"
        usergroup_table = \"radusergroup\"
        delete_stale_sessions = yes
        pool {{
            start = 32
            min = 1
            max = 32
            spare = 32
            uses = 0
            retry_delay = 30
            lifetime = 0
            idle_timeout = 0
        }}
        client_table = \"nas\"
        group_attribute = \"SQL-Group\"
        $INCLUDE ${{modconfdir}}/sql/main/${{dialect}}/queries.conf
    }}
"
    )
}
