//! Bodies of fuzz targets: what must hold for any octets at all.
//!
//! Each function takes whatever a fuzzer makes up and panics when a promise is broken.
//! They are ordinary code, so that tests can run them over a corpus, too.

use std::io;
use std::path::Path;
use std::sync::OnceLock;

use crate::dictionary::Dictionary;
use crate::dissect::{Decoder, encode_object};
use crate::packet::Packet;
use crate::secret::Secret;

/// Any datagram: parsing does not panic, and decode → encode gives it back, with and
/// without secret, with the built-in dictionary and with none.
///
/// # Panics
/// When the octets that come back differ.
pub fn packet(data: &[u8]) {
    static EMPTY: OnceLock<Dictionary> = OnceLock::new();
    let secret = Secret::new("fuzz");
    for dictionary in [
        Dictionary::builtin(),
        EMPTY.get_or_init(Dictionary::default),
    ] {
        for secret in [None, Some(&secret)] {
            let object = Decoder::new(dictionary, secret).decode(data);
            let parsed = Packet::parse_with(data, usize::MAX).is_ok();
            assert_eq!(object.get("error").is_none(), parsed, "{object}");
            if parsed {
                let again = encode_object(&object, dictionary, secret, [0; 16]);
                assert_eq!(again.as_deref(), Ok(data), "{object}");
            }
        }
    }
}

/// Any octets as the attributes of an otherwise right packet.
///
/// # Panics
/// As [`packet`].
pub fn attributes(data: &[u8]) {
    let room = crate::packet::MAX_OCTETS - crate::packet::HEADER_OCTETS;
    let data = data.get(..room).unwrap_or(data);
    let length = u16::try_from(crate::packet::HEADER_OCTETS + data.len()).unwrap_or(u16::MAX);
    let [high, low] = length.to_be_bytes();
    let mut datagram = vec![1, 0, high, low];
    datagram.extend([7; 16]);
    datagram.extend_from_slice(data);
    packet(&datagram);
    // Every code class has its own way with hidden values.
    for code in [2, 4, 43] {
        if let Some(first) = datagram.first_mut() {
            *first = code;
        }
        packet(&datagram);
    }
}

/// Any text as a dictionary: it is taken or refused with a reason, and what is taken
/// can be found by its name.
///
/// # Panics
/// When a defined name does not resolve to its attribute.
pub fn dictionary(data: &[u8]) {
    let text = String::from_utf8_lossy(data).into_owned();
    let mut read = |path: &Path| match path == Path::new("dictionary") {
        true => Ok(text.clone()),
        false => Err(io::Error::new(io::ErrorKind::NotFound, "no such file")),
    };
    match Dictionary::load_with(Path::new("dictionary"), &mut read) {
        Ok(dictionary) => {
            for attribute in dictionary.attributes() {
                assert_eq!(dictionary.attribute(attribute.name()), Some(attribute));
                for (name, number) in attribute.values().iter() {
                    assert_eq!(attribute.values().number(name), Some(number));
                    let octets = attribute.encode_value(name);
                    assert!(octets.is_ok(), "{} {name}: {octets:?}", attribute.name());
                }
            }
        }
        Err(error) => assert!(!error.reason.is_empty()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Vec<u8> {
        hex::decode(text.replace(' ', "")).expect(text)
    }

    /// A small generator of repeatable noise (xorshift64).
    struct Noise(u64);

    impl Noise {
        fn next(&mut self) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            usize::try_from(self.0 >> 33).unwrap_or(0)
        }

        fn below(&mut self, limit: usize) -> usize {
            self.next() % limit.max(1)
        }

        fn mutate(&mut self, octets: &mut Vec<u8>) {
            const ODD: [u8; 12] = [0, 1, 2, 3, 6, 26, 31, 32, 127, 128, 254, 255];
            for _ in 0..=self.below(4) {
                let at = self.below(octets.len());
                let odd = ODD[self.below(ODD.len())];
                match (self.below(4), octets.get_mut(at)) {
                    (0, Some(octet)) => *octet = odd,
                    (1, Some(octet)) => *octet ^= 1 << (odd & 7),
                    (2, Some(_)) => drop(octets.remove(at)),
                    _ => octets.insert(at, odd),
                }
            }
        }
    }

    const CORPUS: &[&str] = &[
        "0105626f62",
        "1a0c0000270f010600000007010600000008",
        "1a0b000001ad0000900178",
        "1a0a000060b501048009",
        "1a0a000060b5010480091a0a000060b501040009",
        "1a100000013711048001aabbccdd",
        "40060100000d5105013130",
        "4515009973051de6c557307dacd5daa599f4e26e7e",
        "f1070100000001",
        "f505038078f505030078",
        "f50a1a000000270f0809",
        "4f06020100044f06020200044f02",
        "5012000102030405060708090a0b0c0d0e0f",
        "6108002020010db8",
        "1b0600000e10",
        "0406 0a000001",
        "1a18000060b5010f00010600000001020600000002",
        "5c0461005c0300",
        "1a0900003a8c08 0378",
        "1a110000270f020b0103780206 07040102",
        "3d0600000013",
        "2806000000012c0461620506000000ff",
    ];

    #[test]
    fn mutated_packets_always_come_back() {
        let mut noise = Noise(0x5eed_cafe_f00d_0001);
        for round in 0..40 {
            for entry in CORPUS {
                let mut octets = bytes(entry);
                if round % 2 == 1 {
                    octets.extend(bytes(CORPUS[noise.below(CORPUS.len())]));
                }
                if round > 1 {
                    noise.mutate(&mut octets);
                }
                attributes(&octets);
                // The attributes of a random length seldom fit; whole packets get cut, too.
                let length = u16::try_from(20 + octets.len())
                    .expect("short")
                    .to_be_bytes();
                let head = [&[1, 7, length[0], length[1]], &[9; 16][..]].concat();
                let mut datagram = [head, octets].concat();
                noise.mutate(&mut datagram);
                packet(&datagram);
            }
        }
    }

    #[test]
    fn mutated_dictionaries_are_taken_or_refused() {
        let text = "VENDOR Box 9999 format=1,1,c\nBEGIN-VENDOR Box\nATTRIBUTE Box-Set 2 tlv\nBEGIN-TLV Box-Set\n\
                ATTRIBUTE Name 1 string\nEND-TLV Box-Set\nEND-VENDOR Box\nATTRIBUTE E 241 extended\nATTRIBUTE F 241.26 evs\n\
                ATTRIBUTE Tunnel 64 integer has_tag,encrypt=2\nVALUE Tunnel VLAN 0x0d\nALIAS X Tunnel\n";
        let mut noise = Noise(0x5eed_cafe_f00d_0002);
        dictionary(text.as_bytes());
        for _ in 0..2_000 {
            let mut octets = text.as_bytes().to_vec();
            noise.mutate(&mut octets);
            dictionary(&octets);
        }
    }
}
