//! What is seen of a demo: a screen that is redrawn on a terminal, a line for each event elsewhere.

use super::nas::News;
use crate::failure::Failure;
use crate::output::{Output, Table, duration, octets};
use crate::running::Running;
use kernel::{Clock, Scope, SystemClock};
use std::collections::VecDeque;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::time::Duration;
use usage::{ListFilter, SessionView};

/// Events on the screen.
const MAX_EVENTS: usize = 12;
/// Sessions on the screen.
const MAX_SESSIONS: u32 = 10;
/// Times that the median is made from: the newest.
const MAX_TIMES: usize = 1_000;

pub(super) struct View {
    is_screen: bool,
    auth: SocketAddr,
    acct: SocketAddr,
    seconds: u64,
    events: VecDeque<(String, News)>,
    fresh: Vec<String>,
    times: VecDeque<Duration>,
    asked: u64,
    unanswered: u64,
}

impl View {
    pub(super) fn new(auth: SocketAddr, acct: SocketAddr, seconds: u64) -> Self {
        Self {
            is_screen: std::io::stdout().is_terminal(),
            auth,
            acct,
            seconds,
            events: VecDeque::new(),
            fresh: Vec::new(),
            times: VecDeque::new(),
            asked: 0,
            unanswered: 0,
        }
    }

    pub(super) fn take(&mut self, news: News) {
        self.asked += 1;
        let at = SystemClock.now().to_chrono().format("%H:%M:%S").to_string();
        match news.took {
            // A refusal is held back on purpose: it says nothing about speed.
            Some(took) if news.answer != "Access-Reject" => {
                self.times.push_back(took);
                if self.times.len() > MAX_TIMES {
                    self.times.pop_front();
                }
            }
            Some(_) => {}
            None => self.unanswered += 1,
        }
        if !self.is_screen {
            self.fresh.push(event_line(&at, &news));
        }
        self.events.push_front((at, news));
        self.events.truncate(MAX_EVENTS);
    }

    fn median(&self) -> String {
        let mut times: Vec<Duration> = self.times.iter().copied().collect();
        times.sort();
        match times.get(times.len() / 2) {
            Some(time) => format!("{:.2} ms", time.as_secs_f64() * 1_000.0),
            None => "-".to_owned(),
        }
    }

    /// Shows what is new.
    pub(super) async fn draw(&mut self, running: &Running, left: Duration) -> Result<(), Failure> {
        let mut output = Output::default();
        if !self.is_screen {
            for line in self.fresh.drain(..) {
                output.line(line)?;
            }
            return output.flush();
        }
        // Home, and each line to its end, so that nothing flickers.
        output.line("\u{1b}[H\u{1b}[2J\u{1b}[1mGatewarden at work\u{1b}[0m")?;
        output.line(format!(
            "authentication {}, accounting {}, {} of {} left; Ctrl-C ends it\n",
            self.auth,
            self.acct,
            duration(left.as_secs() as i64),
            duration(self.seconds as i64)
        ))?;
        output.line(format!(
            "{} questions, {} unanswered, half of the answers within {}\n",
            self.asked,
            self.unanswered,
            self.median()
        ))?;
        output.table(&sessions(running).await?, "nobody is online yet")?;
        output.line("")?;
        for (at, news) in &self.events {
            output.line(event_line(at, news))?;
        }
        output.flush()
    }

    /// What it came to.
    pub(super) async fn summary(&self, running: &Running) -> Result<(), Failure> {
        let mut output = Output::default();
        if self.is_screen {
            output.line("\u{1b}[H\u{1b}[2J")?;
        } else {
            output.line("")?;
        }
        output.line(format!(
            "{} questions, {} unanswered, half of the answers within {}",
            self.asked,
            self.unanswered,
            self.median()
        ))?;
        let counts = running.health().to_json();
        let mut table = Table::new(&["WHAT", "WORD", ">TIMES"]);
        for group in ["answered", "refused", "dropped"] {
            let Some(words) = counts["radius"][group].as_object() else {
                continue;
            };
            for (word, count) in words {
                table.row([group, word, &count.to_string()]);
            }
        }
        output.line("")?;
        output.table(&table, "nothing happened")?;
        output.line("")?;
        output.table(&sessions(running).await?, "nobody was online")?;
        output.line("\nNow your own: 'gatewarden dev' starts a server and prints what to try.")?;
        output.flush()
    }
}

fn event_line(at: &str, news: &News) -> String {
    let took = match news.took {
        Some(took) => format!("{:.2} ms", took.as_secs_f64() * 1_000.0),
        None => String::new(),
    };
    format!(
        "{at}  {:<8} {:<8} {:<15} {:<20} {took:>10}",
        news.nas, news.who, news.what, news.answer
    )
    .trim_end()
    .to_owned()
}

async fn sessions(running: &Running) -> Result<Table, Failure> {
    let filter = ListFilter {
        is_open: Some(true),
        limit: MAX_SESSIONS,
        ..ListFilter::default()
    };
    let page = usage::list::list(&running.house().kernel.db, Scope::Everything, &filter).await?;
    let now = SystemClock.now();
    let mut table = Table::new(&[
        "ONLINE", "NAS", "ADDRESS", "DEVICE", ">SINCE", ">UP", ">DOWN",
    ]);
    for session in page.sessions.iter().map(SessionView::from) {
        let text = |text: Option<String>| text.unwrap_or_default();
        table.row([
            text(session.username),
            text(session.nas_identifier),
            text(session.framed_ip_address),
            text(session.calling_station_id),
            duration(now.seconds_since(session.start_time)),
            octets(session.input_octets),
            octets(session.output_octets),
        ]);
    }
    Ok(table)
}
