//! Random octets by the million: xoshiro256++ (Blackman and Vigna), seeded from the system.
//!
//! Authenticators and challenges must be fresh and must not repeat. They guard invented passwords here: nothing of
//! this must **ever** be used where a secret depends on it.

use kernel::Rng;

/// A generator of its own for each thread.
pub(super) struct Random([u64; 4]);

impl Random {
    pub(super) fn new(seed: &dyn Rng) -> Self {
        let mut state = [0; 4];
        for word in &mut state {
            let mut octets = [0; 8];
            seed.fill(&mut octets);
            // All zeros would stay zeros.
            *word = u64::from_ne_bytes(octets) | 1;
        }
        Self(state)
    }

    pub(super) fn word(&mut self) -> u64 {
        let s = &mut self.0;
        let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// A number below `limit`, which is not 0. The bias of the short way is below one in four thousand millions.
    pub(super) fn below(&mut self, limit: u32) -> u32 {
        let high = self.word() >> 32;
        u32::try_from((high * u64::from(limit)) >> 32).unwrap_or(0)
    }

    pub(super) fn octets<const N: usize>(&mut self) -> [u8; N] {
        let mut octets = [0; N];
        for chunk in octets.chunks_mut(8) {
            let word = self.word().to_ne_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
        octets
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn authenticators_do_not_repeat_and_numbers_stay_below_their_limit() {
        let mut random = Random::new(&kernel::SystemRng::new());
        let mut seen = HashSet::new();
        for _ in 0..10_000 {
            assert!(seen.insert(random.octets::<16>()));
            assert!(random.below(7) < 7);
        }
        let hit: HashSet<u32> = (0..1_000).map(|_| random.below(5)).collect();
        assert_eq!(hit.len(), 5);
    }
}
