//! `gatewarden session`: who is online, who was, and how to end it.

mod kill;
mod orders;

use crate::failure::Failure;
use crate::house::House;
use crate::output::{Facts, Output, Table, duration, moment, octets};
use clap::{Args, Subcommand};
use kernel::{OrganisationId, Time};
use usage::session::Session;
use usage::{ListFilter, SessionView};

/// Options of `session`.
#[derive(Args)]
#[command(
    subcommand_value_name = "COMMAND",
    subcommand_help_heading = "Commands",
    disable_help_subcommand = true
)]
pub struct SessionArgs {
    #[command(subcommand)]
    command: SessionCommand,
}

#[derive(Subcommand)]
enum SessionCommand {
    /// Lists sessions: the open ones, or with --all also those that ended
    #[command(after_help = "\
Examples:
  gatewarden --data D session list
  gatewarden --data D session list --all --user alice
  gatewarden --data D session list --all --json     (one array, however long; OpenWISP's field names)")]
    List(ListArgs),
    /// Shows one session
    Show {
        /// Its id, its unique id, or the NAS's own Acct-Session-Id
        session: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Ends sessions: sends the NAS a Disconnect-Request
    Kill(kill::KillArgs),
    /// Shows what was wanted of sessions that went on, and what their NASes said
    Orders(orders::OrdersArgs),
}

#[derive(Args)]
struct ListArgs {
    /// Also those that ended
    #[arg(long)]
    all: bool,
    /// Only those that ended
    #[arg(long, conflicts_with = "all")]
    closed: bool,
    /// Of this user name, exactly as the NAS sent it
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Of this device: Calling-Station-Id exactly as the NAS sent it
    #[arg(long, value_name = "ID")]
    calling_station: Option<String>,
    /// At this place: Called-Station-Id exactly as the NAS sent it
    #[arg(long, value_name = "ID")]
    called_station: Option<String>,
    /// Begun then or later (2027-01-31, or 2027-01-31T12:00:00Z)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Of this organisation only
    #[arg(long, value_name = "SLUG")]
    org: Option<String>,
    /// One JSON array, with the field names of OpenWISP
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// One sentence.
pub async fn run(args: &SessionArgs, house: &House) -> Result<(), Failure> {
    match &args.command {
        SessionCommand::List(args) => list(args, house).await,
        SessionCommand::Show { session, json } => show(session, *json, house).await,
        SessionCommand::Kill(args) => kill::run(args, house).await,
        SessionCommand::Orders(args) => orders::run(args, house).await,
    }
}

async fn list(args: &ListArgs, house: &House) -> Result<(), Failure> {
    let db = &house.kernel.db;
    let scope = house.scope(args.org.as_deref()).await?;
    let started_from = match &args.since {
        None => None,
        Some(text) => {
            Some(Time::parse(text).map_err(|reason| Failure::usage(format!("--since: {reason}")))?)
        }
    };
    let mut filter = ListFilter {
        is_open: match (args.all, args.closed) {
            (true, _) => None,
            (_, true) => Some(false),
            _ => Some(true),
        },
        username: args.user.clone(),
        calling_station_id: args.calling_station.clone(),
        called_station_id: args.called_station.clone(),
        started_from,
        ..ListFilter::default()
    };
    let mut output = Output::default();
    if args.json {
        let mut array = output.array()?;
        loop {
            let page = usage::list::list(db, scope, &filter).await?;
            for session in &page.sessions {
                array.push(&SessionView::from(session))?;
            }
            match page.next {
                Some(next) => filter.after = Some(next),
                None => return array.end(),
            }
        }
    }
    let slugs = house.slugs().await?;
    let now = house.kernel.now();
    let mut is_first = true;
    loop {
        let page = usage::list::list(db, scope, &filter).await?;
        if !page.sessions.is_empty() {
            let mut table = Table::new(&[
                "USER", "ORG", "DEVICE", "ADDRESS", "NAS", "STARTED", ">LASTS", ">UP", ">DOWN",
                "STATE",
            ]);
            for session in &page.sessions {
                let slug = slugs.get(&OrganisationId(session.organisation_id));
                row(&mut table, now, session, slug.map_or("-", String::as_str));
            }
            output.page(&table, std::mem::take(&mut is_first))?;
        }
        match page.next {
            Some(next) => filter.after = Some(next),
            None => break,
        }
    }
    if is_first {
        eprintln!(
            "{}",
            if args.all || args.closed {
                "no session"
            } else {
                "nobody is online"
            }
        );
    }
    output.flush()
}

fn row(table: &mut Table, now: Time, session: &Session, slug: &str) {
    let details = &session.details;
    let dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    // An open session goes on between reports.
    let lasts = match session.stopped {
        Some(_) => session.session_seconds,
        None => session
            .session_seconds
            .max(now.seconds_since(session.started)),
    };
    table.row([
        dash(&details.username),
        slug.to_owned(),
        dash(&details.calling_station_id),
        details
            .framed_ip_address
            .clone()
            .unwrap_or_else(|| dash(&details.framed_ipv6_address)),
        details
            .nas_identifier
            .clone()
            .unwrap_or_else(|| session.nas_ip_address.clone()),
        moment(Some(session.started)),
        duration(lasts),
        octets(session.input_octets),
        octets(session.output_octets),
        match (&session.stopped, &session.terminate_cause) {
            (None, _) => "open".to_owned(),
            (Some(_), Some(cause)) => cause.clone(),
            (Some(_), None) => "ended".to_owned(),
        },
    ]);
}

async fn show(text: &str, as_json: bool, house: &House) -> Result<(), Failure> {
    let found = usage::find(&house.kernel.db, kernel::Scope::Everything, text).await?;
    let Some(session) = found.first() else {
        return Err(Failure::usage(format!(
            "there is no session '{text}'; 'gatewarden session list --all' shows those there are"
        )));
    };
    if found.len() > 1 {
        eprintln!(
            "note: {} sessions have this id; this is the newest",
            found.len()
        );
    }
    let view = SessionView::from(session);
    let mut output = Output::default();
    if as_json {
        output.json(&view)?;
        return output.flush();
    }
    let slugs = house.slugs().await?;
    let mut facts = Facts::default();
    facts.put_some("user", view.username.as_deref());
    facts.put_some(
        "organisation",
        slugs
            .get(&OrganisationId(view.organization))
            .map(String::as_str),
    );
    facts.put_some("group", view.groupname.as_deref());
    facts.put("state", if view.is_open { "open" } else { "ended" });
    facts.put("started", moment(Some(view.start_time)));
    facts.put_some(
        "ended",
        view.stop_time.map(|at| moment(Some(at))).as_deref(),
    );
    facts.put_some("because", view.terminate_cause.as_deref());
    facts.put("last report", moment(Some(view.update_time)));
    facts.put("lasted", duration(view.session_time));
    facts.put("up", octets(view.input_octets));
    facts.put("down", octets(view.output_octets));
    if view.inferred_wraps > 0 {
        facts.put(
            "note",
            format!(
                "32-bit counters wrapped {} times, as far as can be told",
                view.inferred_wraps
            ),
        );
    }
    facts.put_some("device", view.calling_station_id.as_deref());
    facts.put_some("address", view.framed_ip_address.as_deref());
    facts.put_some("IPv6 address", view.framed_ipv6_address.as_deref());
    facts.put_some("IPv6 prefix", view.framed_ipv6_prefix.as_deref());
    facts.put_some("delegated prefix", view.delegated_ipv6_prefix.as_deref());
    facts.put_some("at", view.called_station_id.as_deref());
    facts.put("NAS", &view.nas_ip_address);
    facts.put_some("NAS-Identifier", view.nas_identifier.as_deref());
    facts.put_some("port", view.nas_port_id.as_deref());
    facts.put_some("port type", view.nas_port_type.as_deref());
    facts.put_some("service", view.service_type.as_deref());
    facts.put_some("connection", view.connection_info_start.as_deref());
    facts.put("Acct-Session-Id", &view.session_id);
    facts.put("unique id", &view.unique_id);
    facts.put("id", view.id.to_string());
    output.facts(&facts)?;
    output.flush()
}
