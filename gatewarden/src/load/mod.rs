//! `gatewarden load`: questions by the thousand, every answer verified, and what came of them.
//!
//! How to read it: [`LoadArgs`] is what can be said; `plan` what a run does; `worker` a thread of it (`port` its
//! sockets, `batch` many datagrams a call, `question` and `answer` the packets, `lifecycle` the sessions, `pace` how
//! fast); `tally` and `histogram` count, `report` says it. `null` is the responder that does nothing but answer, to
//! compare with.
//!
//! It must **never** send to an address that is not this machine's unless the operator says that it is his.

mod acknowledged;
mod answer;
mod batch;
mod histogram;
mod lifecycle;
mod null;
mod options;
mod pace;
mod people;
mod plan;
mod port;
mod question;
mod random;
mod report;
mod tally;
mod work;
mod worker;

use crate::failure::Failure;
use crate::output::Output;
pub use options::LoadArgs;
use options::{plan, servers, share};
use pace::Pace;
use plan::Plan;
use radius_wire::Secret;
use report::{Outcome, thousands};
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};
use tally::Tally;
use worker::Worker;

/// Runs the command.
///
/// # Errors
/// What was typed wrongly; or silence and an exit code, as the result wants it.
pub fn run(args: &LoadArgs) -> Result<(), Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // The first asks for the result so far, the second ends the process.
        signal_hook::flag::register_conditional_default(signal, Arc::clone(&stop))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)))
            .map_err(|e| Failure::failed(format!("cannot listen to signals: {e}")))?;
    }
    match args.null {
        true => serve_null(args, &stop),
        false => generate(args, stop),
    }
}

fn generate(args: &LoadArgs, stop: Arc<AtomicBool>) -> Result<(), Failure> {
    let plan = plan(args, stop)?;
    let threads = args.threads;
    let pace = share(args, 0)?.pace;
    if !args.json {
        eprintln!("Asking {} …", says_servers(&plan).join(", "));
    }
    let barrier = Barrier::new(threads as usize);
    let cpu_before = cpu_seconds();
    let results: Vec<Result<Tally, Failure>> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads)
            .map(|thread| {
                let (plan, barrier) = (&plan, &barrier);
                scope.spawn(move || {
                    let worker = share(args, thread).and_then(|share| Worker::new(plan, share));
                    barrier.wait();
                    worker?.run()
                })
            })
            .collect();
        handles
            .into_iter()
            .map(|handle| {
                handle
                    .join()
                    .unwrap_or_else(|_| Err(Failure::failed("a thread of the generator broke")))
            })
            .collect()
    });
    let wall_seconds = plan.now() as f64 / 1e9;
    let mut tally = Tally::default();
    let mut counted_until = 0;
    for result in results {
        let part = result?;
        counted_until = counted_until.max(part.counted_until);
        tally.add(&part);
    }
    let warm_up = plan.warm_up;
    Outcome {
        servers: says_servers(&plan),
        work: plan.mix.to_string(),
        pace: match pace {
            Pace::Closed { .. } => format!(
                "closed, {} outstanding",
                thousands(args.outstanding().into())
            ),
            Pace::Open { .. } => format!("open, {} a second", args.rate.unwrap_or_default()),
        },
        warm_up_seconds: warm_up as f64 / 1e9,
        seconds: counted_until.saturating_sub(warm_up) as f64 / 1e9,
        cpu_seconds: cpu_seconds() - cpu_before,
        wall_seconds,
        is_open_loop: matches!(pace, Pace::Open { .. }),
        tally,
    }
    .say(args.json)
}

fn says_servers(plan: &Plan) -> Vec<String> {
    let has_logins = plan.mix.has(|work| work != work::Work::Accounting);
    let has_reports = plan.mix.has(|work| work == work::Work::Accounting);
    plan.servers
        .iter()
        .flat_map(|(auth, acct)| [has_logins.then_some(auth), has_reports.then_some(acct)])
        .flatten()
        .map(ToString::to_string)
        .collect()
}

fn serve_null(args: &LoadArgs, stop: &AtomicBool) -> Result<(), Failure> {
    let addresses: Vec<_> = servers(args)?
        .into_iter()
        .flat_map(|(auth, acct)| [auth, acct])
        .collect();
    let started = Instant::now();
    let until = args
        .seconds
        .map(|seconds| started + Duration::from_secs_f64(seconds));
    let cpu_before = cpu_seconds();
    let mut output = Output::default();
    let ready = || {
        let list: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        match args.json {
            true => output.json(&json!({ "listening": list }))?,
            false => {
                output.line(format!(
                    "Answering everything on {}. Nobody is checked: stop it with Ctrl-C.",
                    list.join(", ")
                ))?;
            }
        }
        output.flush()
    };
    let secret = Secret::new(args.secret.as_bytes());
    let counts = null::serve(&addresses, &secret, args.threads, until, stop, ready)?;
    let [accepted, stored, dropped] = [&counts.accepted, &counts.stored, &counts.dropped]
        .map(|count| count.load(Ordering::Relaxed));
    let cpu = cpu_seconds() - cpu_before;
    match args.json {
        true => output.json(&json!({
            "accepted": accepted, "stored": stored, "dropped": dropped, "cpu_seconds": cpu,
        }))?,
        false => output.line(format!(
            "Accepted {}, stored nothing of {}, dropped {}; {cpu:.1} s of CPU.",
            thousands(accepted),
            thousands(stored),
            thousands(dropped)
        ))?,
    }
    output.flush()
}

/// Processor seconds of all threads so far.
fn cpu_seconds() -> f64 {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_PROCESS_CPUTIME_ID)
        .map(|time| Duration::from(time).as_secs_f64())
        .unwrap_or_default()
}
