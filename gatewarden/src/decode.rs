//! `gatewarden decode`: packets in hex, one a line, or out of a capture, become attributes by name.
//!
//! Every line of the input has one line (or block) in the output; what is no packet is said in its place.

use crate::capture::{Capture, Content, Datagram, Frame, content, is_capture};
use crate::dictionaries;
use crate::failure::Failure;
use crate::lines::{Line, Lines, MAX_LINE_OCTETS};
use crate::output::Output;
use crate::packet_text;
use radius_wire::dictionary::Dictionary;
use radius_wire::dissect::Decoder;
use radius_wire::{Packet, Secret};
use serde_json::{Value as Json, json};
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Ports on which RADIUS is at home (RFC 2865, 2866, 5176, and the older ones).
const PORTS: [u16; 6] = [1812, 1813, 1645, 1646, 3799, 1700];
/// Conversations in a capture whose requests are remembered; beyond it all are forgotten and only replies to requests
/// that came before go unverified.
const MAX_CONVERSATIONS: usize = 1_024;
/// Octets read at once.
const BUFFER_OCTETS: usize = 64 * 1024;

/// Options of `decode`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  gatewarden decode --json --secret testing123 < packets.hex
  gatewarden decode --secret testing123 capture.pcap
  tcpdump -w - udp port 1812 | gatewarden decode")]
pub struct DecodeArgs {
    /// What to read; standard input when none is named, or for '-'
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// One JSON object a line; 'gatewarden encode' reads them back
    #[arg(long)]
    json: bool,
    /// The shared secret: verifies authenticators and reveals hidden values
    #[arg(long, env = "GATEWARDEN_SECRET", hide_env_values = true)]
    secret: Option<String>,
    /// A folder of FreeRADIUS dictionary files, over the built-in ones
    #[arg(long, value_name = "FOLDER")]
    dictionary: Option<PathBuf>,
    /// In a capture: also decode every datagram from or to this port
    #[arg(long, value_name = "PORT")]
    port: Vec<u16>,
}

/// Runs the command.
///
/// # Errors
/// A file or dictionary that cannot be read.
pub fn run(args: &DecodeArgs) -> Result<(), Failure> {
    let dictionary = dictionaries::load(args.dictionary.as_deref())?;
    let secret = args
        .secret
        .as_deref()
        .map(|text| Secret::new(text.as_bytes()));
    let mut sink = Sink {
        output: Output::default(),
        json: args.json,
        dictionary: &dictionary,
        secret: secret.as_ref(),
        ports: PORTS.iter().chain(&args.port).copied().collect(),
        blocks: 0,
    };
    if args.files.is_empty() {
        sink.read("standard input", std::io::stdin().lock())?;
    }
    for file in &args.files {
        let name = file.display().to_string();
        if name == "-" {
            sink.read("standard input", std::io::stdin().lock())?;
        } else {
            let file =
                File::open(file).map_err(|e| Failure::usage(format!("cannot read {name}: {e}")))?;
            sink.read(&name, file)?;
        }
    }
    sink.output.flush()
}

struct Sink<'d> {
    output: Output,
    json: bool,
    dictionary: &'d Dictionary,
    secret: Option<&'d Secret>,
    ports: Vec<u16>,
    blocks: u64,
}

impl<'d> Sink<'d> {
    fn read(&mut self, name: &str, source: impl Read) -> Result<(), Failure> {
        let mut reader = BufReader::with_capacity(BUFFER_OCTETS, source);
        let unreadable = |e: std::io::Error| Failure::failed(format!("cannot read {name}: {e}"));
        // A pipe may give fewer than four octets at first; hex never begins like a capture, so that is no harm.
        let start = reader.fill_buf().map_err(unreadable)?;
        if is_capture(start) {
            return self.capture(name, reader);
        }
        let mut decoder = Decoder::new(self.dictionary, self.secret);
        let mut lines = Lines::new(reader);
        while let Some(line) = lines.next().map_err(unreadable)? {
            let object = match line {
                Line::Text(text) => decoder.decode_line(&text),
                Line::TooLong => {
                    json!({ "error": format!("the line is longer than {MAX_LINE_OCTETS} octets") })
                }
            };
            self.show(&object, None)?;
        }
        Ok(())
    }

    fn capture(&mut self, name: &str, reader: impl BufRead) -> Result<(), Failure> {
        let broken = |e| Failure::failed(format!("{name}: {e}"));
        let mut capture = Capture::open(reader).map_err(broken)?;
        let mut conversations: HashMap<[SocketAddr; 2], Decoder<'d>> = HashMap::new();
        loop {
            let frame = match capture.next() {
                Ok(Some(frame)) => frame,
                Ok(None) => return Ok(()),
                Err(e) => {
                    self.output.flush()?;
                    return Err(broken(e));
                }
            };
            match content(frame.link, &frame.octets) {
                Content::Udp(datagram) => {
                    if !self.is_radius(&datagram) {
                        continue;
                    }
                    if conversations.len() >= MAX_CONVERSATIONS {
                        conversations.clear();
                    }
                    let mut ends = [datagram.source, datagram.destination];
                    ends.sort();
                    let decoder = conversations
                        .entry(ends)
                        .or_insert_with(|| Decoder::new(self.dictionary, self.secret));
                    let object = match datagram.is_cut
                        || frame.is_cut && datagram.payload.is_empty()
                    {
                        true => {
                            json!({ "error": "the capture holds only a part of this datagram; capture with -s 0" })
                        }
                        false => decoder.decode(datagram.payload),
                    };
                    let place = Place::of(
                        &frame,
                        datagram.source.to_string(),
                        datagram.destination.to_string(),
                    );
                    self.show(&object, Some(&place))?;
                }
                Content::Fragment {
                    source,
                    destination,
                } => {
                    let place = Place::of(&frame, source.to_string(), destination.to_string());
                    let object = json!({ "error": "a fragment of a larger datagram; fragments are not put together" });
                    self.show(&object, Some(&place))?;
                }
                Content::Other => {}
            }
        }
    }

    /// On a port of RADIUS everything is; elsewhere only what cannot well be anything else.
    fn is_radius(&self, datagram: &Datagram<'_>) -> bool {
        if [datagram.source, datagram.destination]
            .iter()
            .any(|end| self.ports.contains(&end.port()))
        {
            return true;
        }
        Packet::parse(datagram.payload).is_ok_and(|packet| {
            packet.length() == datagram.payload.len() && packet.code().name().is_some()
        })
    }

    fn show(&mut self, object: &Json, place: Option<&Place>) -> Result<(), Failure> {
        if self.json {
            return match (object.as_object(), place) {
                (Some(fields), Some(place)) => {
                    let mut fields = fields.clone();
                    fields.insert("capture".to_owned(), place.to_json());
                    self.output.json(&fields)
                }
                _ => self.output.json(object),
            };
        }
        if self.blocks > 0 {
            self.output.line("")?;
        }
        self.blocks += 1;
        let mut lines = packet_text::lines(object, self.dictionary).into_iter();
        let heading = lines.next().unwrap_or_default();
        match place {
            Some(place) => self.output.line(format!("{heading}    {place}"))?,
            None => self.output.line(format!("{}: {heading}", self.blocks))?,
        }
        for line in lines {
            self.output.line(line)?;
        }
        Ok(())
    }
}

/// Where in a capture a packet was.
struct Place {
    frame: u64,
    time: Option<kernel::Time>,
    source: String,
    destination: String,
}

impl Place {
    fn of(frame: &Frame, source: String, destination: String) -> Self {
        Self {
            frame: frame.number,
            time: frame.time,
            source,
            destination,
        }
    }

    fn to_json(&self) -> Json {
        let mut place = json!({ "frame": self.frame });
        if let Some(time) = self.time {
            place["time"] = time.to_rfc3339().into();
        }
        place["source"] = self.source.clone().into();
        place["destination"] = self.destination.clone().into();
        place
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "frame {}, {} → {}",
            self.frame, self.source, self.destination
        )?;
        match self.time {
            Some(time) => write!(f, ", {time}"),
            None => Ok(()),
        }
    }
}
