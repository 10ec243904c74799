//! Who is left unread while a socket's queue runs over: whoever sends more than his share.
//!
//! When more comes than can be worked on, the system throws away whatever finds no room, and a NAS that asks twice a
//! second loses as large a part as the one that sends a hundred thousand. So while that happens, a sender's datagrams
//! beyond a level are dropped before anything is done with them, which costs next to nothing: the queue empties, and
//! everybody below the level gets in. The level is as high as can be: it falls while the queue runs over and rises when
//! it does not, and a sender who is alone has none.
//!
//! Pure: time comes in, verdicts go out. A sender is an address, whatever its ports; of IPv6 it is the network.

use foldhash::quality::RandomState;
use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv6Addr};

/// Senders that are told apart; others share a place.
const PLACES: usize = 1_024;
/// The level is looked at this often: a few times within a second, and long against a batch.
const WINDOW_MICROS: i64 = 100_000;
/// Datagrams of one sender in a window that are always worked on: forty a second.
const LEAST: u32 = 4;
/// Above this there is no level any more.
const MOST: u32 = 1_000_000;
/// A sender that was not heard for so many windows is no longer there.
const REMEMBERED_WINDOWS: u64 = 50;
/// A queue that was never empty for so long, most of it one sender's, counts as running over: that it does is told by the
/// system only with what comes behind.
const BUSY_MICROS: i64 = 1_000_000;
/// A sender that is left unread is named in the log this often.
const NAME_EVERY_WINDOWS: u64 = 600;

#[derive(Clone, Copy)]
struct Place {
    /// Datagrams of this window.
    count: u32,
    /// The last window in which one came.
    heard: u64,
    /// Who was the last here.
    source: Option<IpAddr>,
}

/// One socket's senders.
pub struct Share {
    /// Seeded for each process, so that nobody can choose addresses that meet in another's place.
    hashing: RandomState,
    places: Vec<Place>,
    window: u64,
    ends: i64,
    /// Datagrams that came during this window.
    came: u32,
    /// Those of them that were let in.
    admitted: u32,
    /// What one sender may have in a window.
    level: u32,
    /// The system's count of what it threw away.
    lost: u32,
    is_over: bool,
    /// When the queue was empty last.
    emptied: i64,
    named: Option<u64>,
}

impl Default for Share {
    fn default() -> Self {
        let empty = Place {
            count: 0,
            heard: 0,
            source: None,
        };
        Self {
            hashing: RandomState::default(),
            places: vec![empty; PLACES],
            window: REMEMBERED_WINDOWS + 1,
            ends: 0,
            came: 0,
            admitted: 0,
            level: MOST,
            lost: 0,
            is_over: false,
            emptied: 0,
            named: None,
        }
    }
}

impl Share {
    /// A batch begins. `lost` is what the system has thrown away so far; after a batch that `is_full` more waits. Somebody
    /// who sends far more than others and has not been named for a while.
    pub fn begin(&mut self, micros: i64, lost: u32, is_full: bool) -> Option<IpAddr> {
        self.is_over |= lost != self.lost;
        if !is_full {
            self.emptied = micros;
        }
        self.lost = lost;
        if micros < self.ends {
            return None;
        }
        self.ends = micros + WINDOW_MICROS;
        let named = self.settle(micros - self.emptied > BUSY_MICROS);
        self.window += 1;
        (self.came, self.admitted) = (0, 0);
        self.is_over = false;
        named
    }

    /// Whether a datagram is to be read.
    pub fn admits(&mut self, source: IpAddr) -> bool {
        let place = &mut self.places[place_of(&self.hashing, source)];
        if place.heard != self.window {
            (place.count, place.heard, place.source) = (0, self.window, Some(source));
        }
        place.count = place.count.saturating_add(1);
        let is_admitted = place.count <= self.level;
        self.came = self.came.saturating_add(1);
        self.admitted += u32::from(is_admitted);
        is_admitted
    }

    fn settle(&mut self, is_busy: bool) -> Option<IpAddr> {
        let heard = self.places.iter();
        let heaviest = *heard
            .filter(|place| place.heard == self.window)
            .max_by_key(|place| place.count)?;
        let is_most = heaviest.count > self.came / 2;
        if !(self.is_over || is_busy && is_most) {
            let more = self.level.saturating_add(self.level / 32 + 1);
            self.level = if more > MOST { MOST } else { more };
            return None;
        }
        let since = self.window - REMEMBERED_WINDOWS;
        let senders = self.places.iter().filter(|place| place.heard > since);
        if senders.count() < 2 {
            // There is nobody to make room for.
            self.level = MOST;
            return None;
        }
        // Below what the heaviest got in, so that the first step is felt already.
        let was = self.level.min(heaviest.count).min(self.admitted.max(1));
        // One who sends more than all others is to be felt less at once; in a storm of many each gives way a little.
        let falls_to = match is_most {
            true => was / 2,
            false => was - was / 8,
        };
        self.level = falls_to.max(LEAST);
        let is_due = self
            .named
            .is_none_or(|named| self.window - named >= NAME_EVERY_WINDOWS);
        if is_due {
            self.named = Some(self.window);
            return heaviest.source;
        }
        None
    }
}

fn place_of(hashing: &RandomState, source: IpAddr) -> usize {
    let sender = match source.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
    };
    (hashing.hash_one(sender) % PLACES as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn sender(n: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(192, 0, 2, n))
    }

    /// A window in which senders have sent so many each: how many of each are let in.
    fn window(share: &mut Share, at: i64, lost: u32, sent: &[u32]) -> Vec<u32> {
        share.begin(at * WINDOW_MICROS, lost, false);
        let count = |(n, sent): (usize, &u32)| {
            let admitted = (0..*sent).filter(|_| share.admits(sender(n as u8)));
            admitted.count() as u32
        };
        sent.iter().enumerate().map(count).collect()
    }

    #[test]
    fn while_nothing_is_lost_everything_is_read() {
        let mut share = Share::default();
        for at in 1..100 {
            assert_eq!(window(&mut share, at, 0, &[20_000, 3]), [20_000, 3]);
        }
    }

    #[test]
    fn a_sender_who_is_alone_is_never_left_unread() {
        let mut share = Share::default();
        for at in 1..100 {
            assert_eq!(window(&mut share, at, at as u32 * 7, &[20_000]), [20_000]);
        }
    }

    #[test]
    fn whoever_sends_too_much_makes_room_and_nobody_else() {
        let mut share = Share::default();
        let mut last = Vec::new();
        for at in 1..30 {
            last = window(&mut share, at, at as u32, &[20_000, 3, 4]);
            assert_eq!(last[1..], [3, 4], "{at}");
        }
        assert_eq!(last[0], LEAST);
        // When it is over, the level rises again.
        for at in 30..400 {
            last = window(&mut share, at, 29, &[20_000, 3, 4]);
        }
        assert_eq!(last, [20_000, 3, 4]);
    }

    #[test]
    fn a_queue_that_is_never_empty_counts_when_most_of_it_is_one_senders() {
        let check = |sent: [u32; 3], is_full, is_held: bool| {
            let mut share = Share::default();
            for at in 1..30 {
                share.begin(at * WINDOW_MICROS, 0, is_full);
                for (n, sent) in sent.iter().enumerate() {
                    (0..*sent).for_each(|_| _ = share.admits(sender(n as u8)));
                }
            }
            assert_eq!(share.level < MOST, is_held, "{sent:?} {is_full}");
        };
        check([900, 3, 4], true, true);
        check([900, 3, 4], false, false);
        check([900, 800, 700], true, false);
        check([900, 0, 0], true, false);
    }

    #[test]
    fn a_heavy_sender_is_named_once_a_minute() {
        let mut share = Share::default();
        let mut named = Vec::new();
        for at in 1..700 {
            named.extend(share.begin(at * WINDOW_MICROS, at as u32, false));
            for _ in 0..100 {
                share.admits(sender(9));
            }
            share.admits(sender(1));
        }
        assert_eq!(named, [sender(9), sender(9)]);
    }
}
