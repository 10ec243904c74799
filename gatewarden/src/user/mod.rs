//! `gatewarden user`: people, and devices that are known by their address.

mod change;
mod find;
pub mod import;
mod show;

use crate::failure::Failure;
use crate::house::House;
use crate::password::PasswordArgs;
use clap::{Args, Subcommand, ValueEnum};
use identity::Store;

/// Options of `user`.
#[derive(Args)]
#[command(
    subcommand_value_name = "COMMAND",
    subcommand_help_heading = "Commands",
    disable_help_subcommand = true
)]
pub struct UserArgs {
    #[command(subcommand)]
    command: UserCommand,
}

impl UserArgs {
    /// Whether a file is to be imported.
    pub fn is_import(&self) -> bool {
        matches!(self.command, UserCommand::Import(_))
    }
}

#[derive(Subcommand)]
enum UserCommand {
    /// Makes a user
    #[command(after_help = "\
Examples:
  gatewarden --data D user add alice --org default --password wonderland --store recoverable
  gatewarden --data D user add printer-7 --org default --mac AA-BB-CC-DD-EE-FF")]
    Add(AddArgs),
    /// Gives a user another password
    Passwd {
        #[command(flatten)]
        who: Who,
        #[command(flatten)]
        password: PasswordArgs,
        /// What is kept of it [default: the organisation's setting]
        #[arg(long, value_enum)]
        store: Option<StoreWord>,
    },
    /// Changes when a user expires, which groups she is in, and rules of her own
    Set(SetArgs),
    /// Keeps a user out
    Disable(Who),
    /// Lets a user in again
    Enable(Who),
    /// Lifts the lock that too many wrong passwords made: of a user, or of a device by its MAC address
    Unlock(Who),
    /// Lists the users
    List {
        /// Of this organisation only
        #[arg(long, value_name = "SLUG")]
        org: Option<String>,
        /// One JSON array
        #[arg(long)]
        json: bool,
    },
    /// Shows a user: names, memberships, groups, locks
    Show {
        #[command(flatten)]
        who: Who,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Makes somebody who is known a member of another organisation
    Join {
        /// Username, e-mail address, phone number or MAC address
        user: String,
        /// The organisation to join
        #[arg(long, value_name = "SLUG")]
        org: String,
    },
    /// Deletes a user; with --org, only from that organisation. What was used stays counted
    Rm(Who),
    /// Imports a file of users (CSV)
    Import(import::ImportArgs),
}

/// Who is meant.
#[derive(Args)]
pub struct Who {
    /// Username, e-mail address, phone number or MAC address
    user: String,
    /// In this organisation
    #[arg(long, value_name = "SLUG")]
    org: Option<String>,
}

#[derive(Args)]
struct AddArgs {
    /// The username: compared exactly
    username: String,
    /// The organisation [default: the only one]
    #[arg(long, value_name = "SLUG")]
    org: Option<String>,
    #[command(flatten)]
    password: PasswordArgs,
    /// What is kept of the password [default: the organisation's setting, at first hashed]
    #[arg(long, value_enum)]
    store: Option<StoreWord>,
    /// E-mail address
    #[arg(long)]
    email: Option<String>,
    /// First name
    #[arg(long, value_name = "NAME", default_value = "")]
    first_name: String,
    /// Last name
    #[arg(long, value_name = "NAME", default_value = "")]
    last_name: String,
    /// Phone number with its country code
    #[arg(long, value_name = "NUMBER")]
    phone_number: Option<String>,
    /// The address of a device that needs no password, in any spelling
    #[arg(long)]
    mac: Option<String>,
    /// The group [default: the organisation's default group]
    #[arg(long)]
    group: Option<String>,
    /// The last day on which she comes in (2027-01-31), or a moment (2027-01-31T12:00:00Z)
    #[arg(long, value_name = "DATE")]
    expires: Option<String>,
    /// It is not settled who she is: organisations that demand it keep her out until then
    #[arg(long)]
    unverified: bool,
}

#[derive(Args)]
struct SetArgs {
    #[command(flatten)]
    who: Who,
    /// Rules of her own: 'Session-Timeout := 3600'
    #[arg(value_name = "RULE")]
    rules: Vec<String>,
    /// Forget her own rules about this attribute; can be repeated
    #[arg(long, value_name = "ATTRIBUTE")]
    remove: Vec<String>,
    /// The rules are checks, whatever they look like
    #[arg(long, conflicts_with = "reply")]
    check: bool,
    /// The rules are replies, whatever they look like
    #[arg(long)]
    reply: bool,
    /// The last day on which she comes in, or a moment, or 'never'
    #[arg(long, value_name = "DATE")]
    expires: Option<String>,
    /// The groups she is in from now on, the first one looked at first; can be repeated
    #[arg(long, value_name = "GROUP")]
    group: Vec<String>,
}

/// What is kept of a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StoreWord {
    /// A hash that cannot be turned back: PAP only
    Hashed,
    /// The password itself, sealed: every method
    Recoverable,
    /// The NT hash, sealed: PAP and MS-CHAP
    Nt,
}

impl From<StoreWord> for Store {
    fn from(word: StoreWord) -> Self {
        match word {
            StoreWord::Hashed => Store::Hashed,
            StoreWord::Recoverable => Store::Recoverable,
            StoreWord::Nt => Store::Nt,
        }
    }
}

/// Runs the command.
///
/// # Errors
/// One sentence.
pub async fn run(args: &UserArgs, house: &House) -> Result<(), Failure> {
    match &args.command {
        UserCommand::Add(args) => change::add(args, house).await,
        UserCommand::Passwd {
            who,
            password,
            store,
        } => change::passwd(who, password, *store, house).await,
        UserCommand::Set(args) => change::set(args, house).await,
        UserCommand::Disable(who) => change::set_enabled(who, false, house).await,
        UserCommand::Enable(who) => change::set_enabled(who, true, house).await,
        UserCommand::Unlock(who) => change::unlock(who, house).await,
        UserCommand::List { org, json } => show::list(org.as_deref(), *json, house).await,
        UserCommand::Show { who, json } => show::one(who, *json, house).await,
        UserCommand::Join { user, org } => change::join(user, org, house).await,
        UserCommand::Rm(who) => change::remove(who, house).await,
        UserCommand::Import(args) => import::run(args, house).await,
    }
}
