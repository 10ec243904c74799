//! The bodies of the fuzz targets over a corpus and its mutations: the same octets in the same order every time.
//!
//! By default a few seconds' worth; `GATEWARDEN_FUZZ_SECONDS` runs each body that long with other seeds.

use gatewarden_tests::source;
use radius_wire::fuzz;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// Mutations of each body without the variable: a fixed number, so that two runs are the same run.
const MUTATIONS: usize = 6_000;
/// The largest input that is grown to.
const MAX_OCTETS: usize = 5_000;

/// The smallest random numbers that do (xorshift64*).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() >> 16).unwrap_or(0) % limit.max(1)
    }

    fn octet(&mut self) -> u8 {
        // The interesting octets more often than their share.
        const EDGES: [u8; 12] = [0, 1, 2, 3, 20, 26, 31, 32, 127, 128, 253, 255];
        match self.below(3) {
            0 => EDGES[self.below(EDGES.len())],
            _ => (self.next() >> 40) as u8,
        }
    }
}

/// Files of lines: hexadecimal octets, `#` begins a comment.
fn hex_corpus(name: &str) -> Vec<Vec<u8>> {
    source::text(&format!("tests/tests/corpus/{name}"))
        .lines()
        .map(|line| {
            line.split('#')
                .next()
                .unwrap_or_default()
                .split_whitespace()
                .collect::<String>()
        })
        .filter(|line| !line.is_empty())
        .map(|line| hex::decode(&line).unwrap_or_else(|e| panic!("{name}: {line}: {e}")))
        .collect()
}

fn mutate(dice: &mut Dice, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut data = corpus[dice.below(corpus.len())].clone();
    for _ in 0..=dice.below(4) {
        let at = dice.below(data.len() + 1);
        match dice.below(7) {
            0 if at < data.len() => data[at] ^= 1 << dice.below(8),
            1 if at < data.len() => data[at] = dice.octet(),
            2 => data.insert(at, dice.octet()),
            3 => data.truncate(at),
            4 => {
                let end = (at + dice.below(20)).min(data.len());
                data.drain(at..end);
            }
            5 => {
                // A piece of another one.
                let other = &corpus[dice.below(corpus.len())];
                let from = dice.below(other.len() + 1);
                let to = from + dice.below(other.len() - from + 1);
                data.splice(at..at, other[from..to].iter().copied());
            }
            _ => {
                // A piece of itself, again.
                let end = (at + dice.below(64)).min(data.len());
                let piece = data[at..end].to_vec();
                data.extend(piece);
            }
        }
        data.truncate(MAX_OCTETS);
    }
    data
}

/// The same with a length field that fits again, so that the attributes are reached.
fn repaired(dice: &mut Dice, mut data: Vec<u8>) -> Vec<u8> {
    if data.len() >= 20 && dice.below(4) > 0 {
        let length = u16::try_from(data.len().min(4096)).unwrap_or(4096);
        data[2..4].copy_from_slice(&length.to_be_bytes());
    }
    data
}

/// Runs a body over the corpus and its mutations; a failure names the octets that lead to it.
fn run(body: fn(&[u8]), corpus: &[Vec<u8>], is_packet: bool) {
    assert!(!corpus.is_empty());
    let one = |data: &[u8]| {
        let outcome = catch_unwind(AssertUnwindSafe(|| body(data)));
        assert!(
            outcome.is_ok(),
            "add this line to the corpus: {}",
            hex::encode(data)
        );
    };
    corpus.iter().for_each(|data| one(data));
    let seconds = std::env::var("GATEWARDEN_FUZZ_SECONDS")
        .ok()
        .and_then(|text| text.parse::<u64>().ok());
    let seed = if seconds.is_some() {
        std::process::id().into()
    } else {
        0
    };
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15 ^ seed);
    let end = Instant::now() + Duration::from_secs(seconds.unwrap_or(0));
    let mut done = 0;
    while done < MUTATIONS || Instant::now() < end {
        let mut data = mutate(&mut dice, corpus);
        if is_packet {
            data = repaired(&mut dice, data);
        }
        one(&data);
        done += 1;
    }
}

#[test]
fn fuzz_packets_survive_decode_and_encode() {
    run(fuzz::packet, &hex_corpus("packets.hex"), true);
}

#[test]
fn fuzz_attributes_survive_decode_and_encode() {
    let corpus: Vec<Vec<u8>> = hex_corpus("packets.hex")
        .into_iter()
        .filter_map(|packet| packet.get(20..).map(<[u8]>::to_vec))
        .chain(hex_corpus("attributes.hex"))
        .collect();
    run(fuzz::attributes, &corpus, false);
}

#[test]
fn fuzz_dictionaries_are_taken_or_refused_with_a_reason() {
    let corpus: Vec<Vec<u8>> = source::files("tests/tests/corpus", "dictionary")
        .into_iter()
        .map(|(_, text)| text.into_bytes())
        .collect();
    run(fuzz::dictionary, &corpus, false);
}
