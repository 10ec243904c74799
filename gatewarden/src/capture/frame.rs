//! From a captured frame to the UDP datagram in it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// VLAN tags in front of a frame: two are usual (802.1ad), four are more than any network has.
const MAX_TAGS: usize = 4;
/// Extension headers of an IPv6 packet.
const MAX_EXTENSIONS: usize = 8;
const UDP: u8 = 17;
const UDP_HEADER_OCTETS: usize = 8;

/// A UDP datagram in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// Who sent it.
    pub source: SocketAddr,
    /// To whom.
    pub destination: SocketAddr,
    /// What it holds, as far as it was captured.
    pub payload: &'a [u8],
    /// Whether there was more of it than was captured.
    pub is_cut: bool,
}

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content<'a> {
    /// A whole UDP datagram, or as much of it as was captured.
    Udp(Datagram<'a>),
    /// A piece of a UDP datagram that was sent in several IP packets.
    Fragment {
        /// Who sent it.
        source: IpAddr,
        /// To whom.
        destination: IpAddr,
    },
    /// Nothing of interest.
    Other,
}

/// Looks into a frame; `link` is its number in tcpdump's LINKTYPE list.
pub fn content(link: u32, octets: &[u8]) -> Content<'_> {
    find(link, octets).unwrap_or(Content::Other)
}

fn find(link: u32, octets: &[u8]) -> Option<Content<'_>> {
    match link {
        // Ethernet
        1 => by_protocol(octets.get(12..)?),
        // Linux "cooked", versions 1 and 2
        113 => by_protocol(octets.get(14..)?),
        276 => {
            let protocol = u16_at(octets, 0)?;
            network(protocol, octets.get(20..)?)
        }
        // BSD loopback: the address family in the order of the machine that captured
        0 | 108 => raw(octets.get(4..)?),
        // An IP packet and nothing before it
        12 | 14 | 101 | 228 | 229 => raw(octets),
        _ => None,
    }
}

/// From the protocol number on, through VLAN tags.
fn by_protocol(mut octets: &[u8]) -> Option<Content<'_>> {
    for _ in 0..=MAX_TAGS {
        let protocol = u16_at(octets, 0)?;
        let rest = octets.get(2..)?;
        match protocol {
            0x8100 | 0x88a8 | 0x9100 => octets = rest.get(2..)?,
            _ => return network(protocol, rest),
        }
    }
    None
}

fn network(protocol: u16, octets: &[u8]) -> Option<Content<'_>> {
    match protocol {
        0x0800 => ipv4(octets),
        0x86dd => ipv6(octets),
        _ => None,
    }
}

fn raw(octets: &[u8]) -> Option<Content<'_>> {
    match octets.first()? >> 4 {
        4 => ipv4(octets),
        6 => ipv6(octets),
        _ => None,
    }
}

fn ipv4(octets: &[u8]) -> Option<Content<'_>> {
    let first = *octets.first()?;
    let header = usize::from(first & 0x0f) * 4;
    if first >> 4 != 4 || header < 20 || *octets.get(9)? != UDP {
        return None;
    }
    let source = IpAddr::V4(Ipv4Addr::from(array::<4>(octets, 12)?));
    let destination = IpAddr::V4(Ipv4Addr::from(array::<4>(octets, 16)?));
    // More fragments to come, or not the first one.
    if u16_at(octets, 6)? & 0x3fff != 0 {
        return Some(Content::Fragment {
            source,
            destination,
        });
    }
    // Ethernet pads short frames: the packet ends where it says.
    let total = usize::from(u16_at(octets, 2)?);
    let packet = octets.get(..total.min(octets.len()))?;
    udp(packet.get(header..)?, source, destination)
}

fn ipv6(octets: &[u8]) -> Option<Content<'_>> {
    const HEADER_OCTETS: usize = 40;
    if octets.first()? >> 4 != 6 {
        return None;
    }
    let source = IpAddr::V6(Ipv6Addr::from(array::<16>(octets, 8)?));
    let destination = IpAddr::V6(Ipv6Addr::from(array::<16>(octets, 24)?));
    let total = HEADER_OCTETS + usize::from(u16_at(octets, 4)?);
    let packet = octets.get(..total.min(octets.len()))?;
    let mut next = *octets.get(6)?;
    let mut rest = packet.get(HEADER_OCTETS..)?;
    for _ in 0..MAX_EXTENSIONS {
        match next {
            UDP => return udp(rest, source, destination),
            // Hop-by-hop, routing, destination options
            0 | 43 | 60 => {
                let length = (usize::from(*rest.get(1)?) + 1) * 8;
                next = *rest.first()?;
                rest = rest.get(length..)?;
            }
            // Fragment; one that is whole by itself is none (RFC 6946)
            44 => {
                next = *rest.first()?;
                if u16_at(rest, 2)? & 0xfff9 != 0 {
                    return (next == UDP).then_some(Content::Fragment {
                        source,
                        destination,
                    });
                }
                rest = rest.get(8..)?;
            }
            _ => return None,
        }
    }
    None
}

fn udp(octets: &[u8], source: IpAddr, destination: IpAddr) -> Option<Content<'_>> {
    let length = usize::from(u16_at(octets, 4)?);
    let body = octets.get(UDP_HEADER_OCTETS..)?;
    // Zero stands in jumbograms and in frames captured before the card filled it in.
    let says = match length {
        0 => body.len(),
        length => length.checked_sub(UDP_HEADER_OCTETS)?,
    };
    Some(Content::Udp(Datagram {
        source: SocketAddr::new(source, u16_at(octets, 0)?),
        destination: SocketAddr::new(destination, u16_at(octets, 2)?),
        payload: body.get(..says.min(body.len()))?,
        is_cut: says > body.len(),
    }))
}

fn u16_at(octets: &[u8], at: usize) -> Option<u16> {
    array::<2>(octets, at).map(u16::from_be_bytes)
}

fn array<const N: usize>(octets: &[u8], at: usize) -> Option<[u8; N]> {
    octets.get(at..)?.first_chunk::<N>().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn udp_octets(payload: &[u8]) -> Vec<u8> {
        let mut octets = vec![0x07, 0x14, 0x07, 0x15];
        octets.extend((payload.len() as u16 + 8).to_be_bytes());
        octets.extend([0, 0]);
        octets.extend_from_slice(payload);
        octets
    }

    fn ipv4_octets(fragment: u16, payload: &[u8]) -> Vec<u8> {
        let udp = udp_octets(payload);
        let mut octets = vec![0x45, 0];
        octets.extend((udp.len() as u16 + 20).to_be_bytes());
        octets.extend([0, 0]);
        octets.extend(fragment.to_be_bytes());
        octets.extend([64, UDP, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        octets.extend(udp);
        octets
    }

    fn ipv6_octets(extension: Option<(u8, Vec<u8>)>, payload: &[u8]) -> Vec<u8> {
        let udp = udp_octets(payload);
        let (next, extension) = extension.unwrap_or((UDP, Vec::new()));
        let mut octets = vec![0x60, 0, 0, 0];
        octets.extend(((udp.len() + extension.len()) as u16).to_be_bytes());
        octets.extend([next, 64]);
        octets.extend(Ipv6Addr::LOCALHOST.octets());
        octets.extend(Ipv6Addr::LOCALHOST.octets());
        octets.extend(extension);
        octets.extend(udp);
        octets
    }

    fn check(link: u32, head: &[u8], packet: &[u8], expect: &[u8]) {
        let frame = [head, packet, b"padding of a short frame"].concat();
        match content(link, &frame) {
            Content::Udp(datagram) => {
                assert_eq!((datagram.payload, datagram.is_cut), (expect, false));
                assert_eq!(
                    (datagram.source.port(), datagram.destination.port()),
                    (1812, 1813)
                );
            }
            other => panic!("{link}: {other:?}"),
        }
    }

    #[test]
    fn a_datagram_is_found_under_every_link() {
        let packet = ipv4_octets(0x4000, b"radius");
        check(1, &[&[0; 12][..], &[8, 0]].concat(), &packet, b"radius");
        check(
            1,
            &[&[0; 12][..], &[0x81, 0, 0, 5, 8, 0]].concat(),
            &packet,
            b"radius",
        );
        check(
            1,
            &[&[0; 12][..], &[0x88, 0xa8, 0, 5, 0x81, 0, 0, 6, 8, 0]].concat(),
            &packet,
            b"radius",
        );
        check(113, &[&[0; 14][..], &[8, 0]].concat(), &packet, b"radius");
        check(276, &[&[8, 0][..], &[0; 18]].concat(), &packet, b"radius");
        check(101, &[], &packet, b"radius");
        check(228, &[], &packet, b"radius");
        check(0, &[2, 0, 0, 0], &packet, b"radius");
    }

    #[test]
    fn ipv6_extensions_are_stepped_over() {
        check(
            1,
            &[&[0; 12][..], &[0x86, 0xdd]].concat(),
            &ipv6_octets(None, b"six"),
            b"six",
        );
        check(
            101,
            &[],
            &ipv6_octets(Some((0, vec![UDP, 0, 0, 0, 0, 0, 0, 0])), b"six"),
            b"six",
        );
        check(
            101,
            &[],
            &ipv6_octets(Some((44, vec![UDP, 0, 0, 0, 0, 0, 0, 1])), b"six"),
            b"six",
        );
    }

    #[test]
    fn fragments_are_told_apart() {
        for packet in [
            ipv4_octets(0x2000, b"first"),
            ipv4_octets(0x00b9, b"later"),
            ipv6_octets(Some((44, vec![UDP, 0, 0, 1, 0, 0, 0, 1])), b"six"),
        ] {
            assert!(matches!(content(101, &packet), Content::Fragment { .. }));
        }
    }

    #[test]
    fn cut_and_odd_frames_do_no_harm() {
        let packet = ipv4_octets(0, b"radius");
        for length in 0..packet.len() {
            match content(101, &packet[..length]) {
                Content::Udp(datagram) => assert!(datagram.is_cut && length >= 28),
                other => assert_eq!(other, Content::Other),
            }
        }
        for first in 0..=255u8 {
            for link in [0, 1, 101, 113, 276, 9999] {
                let mut frame = packet.clone();
                frame[0] = first;
                content(link, &frame);
            }
        }
    }
}
