//! `gatewarden ping`: a RADIUS client for people. It asks once, shows every attribute by name in both directions and
//! verifies everything that can be verified.
//!
//! `method.rs` puts the proof into the question, `attribute.rs` reads `Name = value`, `verdict.rs` judges the answer.

pub(crate) mod address;
mod attribute;
mod method;
mod verdict;

pub use address::resolve;

use crate::dictionaries;
use crate::failure::{Failure, USAGE};
use crate::output::Output;
use crate::packet_text;
use aaa_server::ask::{AskError, Timing, ask};
use clap::{Args, ValueEnum};
use kernel::{Rng, SystemRng};
use method::{Expected, Subject};
use radius_wire::dictionary::Dictionary;
use radius_wire::dissect::dissect;
use radius_wire::{Packet, Question, Sealed, Secret, attrs};
use serde_json::{Value as Json, json};
use std::path::PathBuf;
use std::time::Duration;
use verdict::Verdict;

/// Where authentication listens (RFC 2865).
const AUTH_PORT: u16 = 1812;
/// Where accounting listens (RFC 2866).
const ACCT_PORT: u16 = 1813;
/// No wait between two tries is longer.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How this client names itself where the question names no NAS (RFC 2865 section 4.1 asks for a name).
const NAS_IDENTIFIER: &str = "gatewarden-ping";

/// How to prove who one is, or what else to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Method {
    /// The password, hidden with the shared secret
    Pap,
    /// CHAP (MD5)
    Chap,
    /// MS-CHAP version 1
    Mschap,
    /// MS-CHAP version 2; the server's proof is verified too
    Mschapv2,
    /// No user: is the server alive? (Status-Server)
    Status,
    /// A report about a session; --status says which
    Accounting,
}

/// What an accounting report says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Status {
    /// A session begins
    Start,
    /// It goes on
    Interim,
    /// It ends
    Stop,
    /// The NAS has started
    On,
    /// The NAS will stop
    Off,
}

/// Options of `ping`.
#[derive(Args)]
#[command(after_help = "\
Exit code: 0 accepted (or alive, or stored), 1 rejected, 2 no answer or one that cannot be believed.

Examples:
  gatewarden ping 127.0.0.1:18120 --secret testing123 --user alice --password wonderland --method chap
  gatewarden ping 127.0.0.1 --secret testing123 --method status
  gatewarden ping 127.0.0.1:1813 --secret testing123 --method accounting --status start --user alice
  gatewarden ping 127.0.0.1 --secret s --user bob --password p --attribute 'Called-Station-Id = \"AA-BB-CC-00-11-22:cafe\"'")]
pub struct PingArgs {
    /// The server: ADDRESS, HOST, or either with :PORT [default port: 1812, for accounting 1813]
    #[arg(value_name = "SERVER")]
    server: String,
    /// The shared secret
    #[arg(long, env = "GATEWARDEN_SECRET", hide_env_values = true)]
    secret: String,
    /// Who asks to be let in
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// The password
    #[arg(long, conflicts_with = "password_stdin")]
    password: Option<String>,
    /// Read the password from standard input: its first line
    #[arg(long)]
    password_stdin: bool,
    /// How the password is proven, or what else is asked
    #[arg(long, value_enum, default_value_t = Method::Pap)]
    method: Method,
    /// For accounting: what the report says
    #[arg(long, value_enum, default_value_t = Status::Start)]
    status: Status,
    /// For accounting: Acct-Session-Id [default: random]
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// One more attribute, 'Name = value'; can be repeated
    #[arg(long, value_name = "NAME = VALUE")]
    attribute: Vec<String>,
    /// A folder of FreeRADIUS dictionary files, over the built-in ones
    #[arg(long, value_name = "FOLDER")]
    dictionary: Option<PathBuf>,
    /// Leave Message-Authenticator out of the question
    #[arg(long)]
    no_message_authenticator: bool,
    /// Seconds to wait for the first answer; each further wait is twice as long
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    timeout: f64,
    /// How often the question is sent at most
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    tries: u32,
    /// The result as one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// What was typed wrongly; or silence and an exit code, as the answer wants it.
pub fn run(args: &PingArgs) -> Result<(), Failure> {
    if !(0.01..=60.0).contains(&args.timeout) {
        return Err(Failure::usage(
            "--timeout: write seconds between 0.01 and 60",
        ));
    }
    let dictionary = dictionaries::load(args.dictionary.as_deref())?;
    let default_port = match args.method {
        Method::Accounting => ACCT_PORT,
        _ => AUTH_PORT,
    };
    let server = resolve(&args.server, default_port).map_err(Failure::usage)?;
    let (question, expected) = question(args, &dictionary)?;
    let secret = Secret::new(args.secret.as_bytes());
    let sent = dissect(question.octets(), &dictionary, Some(&secret), None)
        .map_err(|e| Failure::failed(format!("the question is no packet: {e}")))?
        .to_json();
    let mut output = Output::default();
    if !args.json {
        output.line(format!("Sent to {server}: {}", packet_heading(&sent)))?;
        for line in packet_text::attribute_lines(&sent, &dictionary) {
            output.line(line)?;
        }
        output.flush()?;
    }
    let timing = Timing {
        first_wait: Duration::from_secs_f64(args.timeout),
        longest_wait: LONGEST_WAIT,
        tries: args.tries,
    };
    let answer = match ask(server, &question, timing) {
        Ok(answer) => answer,
        Err(e) => {
            let sentence = no_answer(&e, args);
            if args.json {
                output.json(&json!({
                    "server": server.to_string(), "result": "no_answer", "error": sentence, "sent": sent,
                }))?;
                output.flush()?;
                return Err(Failure::silent(USAGE));
            }
            return Err(Failure::usage(sentence));
        }
    };
    let packet = Packet::parse(&answer.octets)
        .map_err(|e| Failure::failed(format!("the answer is no packet: {e}")))?;
    let received = dissect(
        &answer.octets,
        &dictionary,
        Some(&secret),
        Some(question.authenticator()),
    )
    .map_err(|e| Failure::failed(format!("the answer is no packet: {e}")))?
    .to_json();
    let verdict = Verdict::of(packet, &expected, !args.no_message_authenticator);
    let millis = answer.took.as_secs_f64() * 1_000.0;
    if args.json {
        output.json(&json!({
            "server": server.to_string(),
            "result": verdict.word(),
            "milliseconds": (millis * 1_000.0).round() / 1_000.0,
            "tries": answer.tries,
            "verified": verdict.verified,
            "doubts": verdict.doubts,
            "sent": sent,
            "received": received,
        }))?;
    } else {
        let tries = match answer.tries {
            1 => String::new(),
            tries => format!(" at try {tries}"),
        };
        output.line(format!(
            "Received after {millis:.2} ms{tries}: {}",
            packet_heading(&received)
        ))?;
        for line in packet_text::attribute_lines(&received, &dictionary) {
            output.line(line)?;
        }
        output.line(format!("Verified: {}.", verdict.verified.join(", ")))?;
        for doubt in &verdict.doubts {
            output.line(format!("Not in order: {doubt}."))?;
        }
        output.line(verdict.sentence(args.method))?;
    }
    output.flush()?;
    match verdict.exit_code() {
        0 => Ok(()),
        code => Err(Failure::silent(code)),
    }
}

fn packet_heading(packet: &Json) -> String {
    packet
        .as_object()
        .map(packet_text::heading)
        .unwrap_or_default()
}

fn no_answer(error: &AskError, args: &PingArgs) -> String {
    let hint = match error {
        AskError::Silence { faults, .. } if faults.is_empty() => {
            ". A server says nothing to NASes it does not know and to wrong shared secrets: look at its log, or at 'gatewarden nas list'"
        }
        AskError::Silence { .. } => "",
        AskError::System { .. } if args.method == Method::Accounting => {
            ". Is the server running, and is this its port for accounting?"
        }
        AskError::System { .. } => {
            ". Is the server running, and is this its port for authentication?"
        }
    };
    format!("{error}{hint}")
}

/// The question, and what a right answer must hold.
fn question(args: &PingArgs, dictionary: &Dictionary) -> Result<(Sealed, Expected), Failure> {
    let rng = SystemRng::new();
    let mut random = [0; 17];
    rng.fill(&mut random);
    let mut authenticator = [0; 16];
    authenticator.copy_from_slice(&random[1..]);
    let given = attribute::parse_all(&args.attribute, dictionary)?;
    let has = |name: &str| given.iter().any(|attribute| attribute.name() == name);
    let code = method::code(args.method);
    let mut question = Question::new(
        code,
        random[0],
        authenticator,
        Secret::new(args.secret.as_bytes()),
    );
    let password = password(args)?;
    let expected = method::put(
        &mut question,
        &Subject {
            method: args.method,
            status: args.status,
            user: args.user.as_deref(),
            password: password.as_deref(),
            session: args.session.as_deref(),
            has: &has,
            now: kernel::Clock::now(&kernel::SystemClock),
        },
        &rng,
    )?;
    if !has("NAS-IP-Address") && !has("NAS-IPv6-Address") && !has("NAS-Identifier") {
        question.put_text(attrs::NAS_IDENTIFIER, NAS_IDENTIFIER);
    }
    for attribute in &given {
        attribute.put(&mut question)?;
    }
    let sealed = question
        .seal(!args.no_message_authenticator)
        .map_err(|e| Failure::usage(format!("the question cannot be sent: {e}")))?;
    Ok((sealed, expected))
}

fn password(args: &PingArgs) -> Result<Option<String>, Failure> {
    if args.password_stdin {
        return crate::password::from_stdin().map(|password| Some(password.to_string()));
    }
    Ok(args.password.clone())
}
