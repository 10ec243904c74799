//! Boxes behind NASes, by number, and when each was last restarted.

use crate::session::Restart;
use kernel::Time;
use kernel::id::Uuid;
use std::collections::HashMap;

/// Boxes and networks told apart: some 30 MiB of texts. Sessions of more are closed by their rows only.
const MAX_PLACES: usize = 200_000;
/// Restarts of one NAS that a box which turns up later is held against: the last ones.
const MAX_RESTARTS: usize = 1_000;
/// The place of what has none.
const NOWHERE: u32 = u32::MAX;

/// What a restart names: a NAS, a box behind it, a network of that box.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub nas: Uuid,
    pub address: String,
    pub identifier: Option<String>,
    pub called: Option<String>,
}

/// Places by number, when each was last restarted, and the restarts that a place which turns up later may have missed.
#[derive(Debug, Default)]
pub(super) struct Places {
    pub numbers: HashMap<Place, u32>,
    pub restarted: Vec<Time>,
    pub restarts: HashMap<Uuid, Vec<Restart>>,
}

impl Places {
    pub fn number(&mut self, place: Place) -> u32 {
        if let Some(number) = self.numbers.get(&place) {
            return *number;
        }
        if self.restarted.len() >= MAX_PLACES {
            return NOWHERE;
        }
        let number = u32::try_from(self.restarted.len()).unwrap_or(NOWHERE);
        let known = self.restarts.get(&place.nas).into_iter().flatten();
        let last = known
            .filter(|restart| covers(restart, &place))
            .map(|restart| restart.at)
            .max();
        self.restarted.push(last.unwrap_or_else(never));
        self.numbers.insert(place, number);
        number
    }

    pub fn restart(&mut self, restart: &Restart) {
        for (place, number) in &self.numbers {
            let at = &mut self.restarted[*number as usize];
            if *at < restart.at && covers(restart, place) {
                *at = restart.at;
            }
        }
        let known = self.restarts.entry(restart.nas_id).or_default();
        known.retain(|known| !known.is_of_same_box(restart) || known.at > restart.at);
        if known.len() == MAX_RESTARTS {
            known.remove(0);
        }
        known.push(restart.clone());
    }
}

pub(super) fn never() -> Time {
    Time::from_unix_micros(i64::MIN / 2)
}

fn covers(restart: &Restart, place: &Place) -> bool {
    restart.nas_id == place.nas
        && restart.is_box(
            &place.address,
            place.identifier.as_deref(),
            place.called.as_deref(),
        )
}

/// A place that turned up after the times were copied was not restarted since.
pub(super) fn restarted_at(restarted: &[Time], place: u32) -> Time {
    restarted.get(place as usize).copied().unwrap_or_else(never)
}
