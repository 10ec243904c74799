//! `gatewarden session orders`: what was wanted of sessions that went on, and what their NASes said.

use crate::failure::Failure;
use crate::house::House;
use crate::output::{Output, Table, moment};
use clap::Args;
use radius_wire::dictionary::Dictionary;
use usage::order::{self, Order};

#[derive(Args)]
#[command(after_help = "\
What the server wants by itself (a quota is spent, a person was disabled, another plan holds) stands here, too.
OUTCOME: ack (done), nak (the NAS refused), gone (it had no such session: noted as ended), silence (it did not
answer), ended (the session was over), no_nas, no_address; - while it waits.")]
pub(super) struct OrdersArgs {
    /// So many, the newest first
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Of this organisation only
    #[arg(long, value_name = "SLUG")]
    org: Option<String>,
    /// One JSON array
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &OrdersArgs, house: &House) -> Result<(), Failure> {
    let scope = house.scope(args.org.as_deref()).await?;
    let orders = order::newest(&house.kernel.db, scope, args.limit).await?;
    let mut output = Output::default();
    if args.json {
        return output.json_list(&orders);
    }
    let mut table = Table::new(&[
        "WANTED",
        "SESSION",
        "WHAT",
        "WHY",
        "OUTCOME",
        "ERROR-CAUSE",
        "NAMED BY",
        ">TRIES",
        ">TOOK",
    ]);
    for order in &orders {
        let (wanted, session) = (
            moment(Some(order.created)),
            order.session.simple().to_string(),
        );
        let took = order.round_trip_micros.map_or_else(|| "-".to_owned(), took);
        table.row([
            wanted.as_str(),
            session.as_str(),
            order.kind.word(),
            order.reason.word(),
            order.outcome.as_deref().unwrap_or("-"),
            &cause(order),
            order.named_by.as_deref().unwrap_or("-"),
            &order.tries.to_string(),
            took.as_str(),
        ]);
    }
    output.table(&table, "nothing was wanted of any session yet")
}

fn took(micros: i64) -> String {
    format!("{}.{} ms", micros / 1_000, micros % 1_000 / 100)
}

/// Error-Cause by name.
fn cause(order: &Order) -> String {
    let Some(number) = order.error_cause else {
        return "-".to_owned();
    };
    Dictionary::builtin()
        .attribute("Error-Cause")
        .and_then(|attribute| attribute.values().name(number.unsigned_abs()))
        .map_or_else(|| number.to_string(), str::to_owned)
}
