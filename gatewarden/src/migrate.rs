//! `gatewarden migrate`: brings the database's schema up to date, and says so.

use crate::failure::Failure;
use crate::house::House;
use crate::output::Output;
use crate::place::PlaceArgs;

/// Options of `migrate`.
#[derive(clap::Args)]
pub struct MigrateArgs {}

/// Runs the command.
///
/// # Errors
/// The migration that failed, or the one this version does not know.
pub async fn run(places: &PlaceArgs) -> Result<(), Failure> {
    let house = House::open(places).await?;
    let mut output = Output::default();
    output.line(format!(
        "{}: the schema is up to date",
        house.place.database
    ))?;
    house.close().await;
    output.flush()
}
