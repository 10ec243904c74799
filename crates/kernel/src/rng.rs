//! Randomness is passed down, so that a test can repeat a run.

use ring::rand::SecureRandom;
use std::sync::{Arc, Mutex};
use zeroize::{Zeroize, Zeroizing};

/// Where unguessable octets come from.
pub trait Rng: Send + Sync {
    /// Fills the whole slice.
    fn fill(&self, out: &mut [u8]);
}

/// The operating system's generator.
pub struct SystemRng(ring::rand::SystemRandom);

impl SystemRng {
    /// The operating system's generator.
    pub fn new() -> Self {
        Self(ring::rand::SystemRandom::new())
    }
}

impl Default for SystemRng {
    fn default() -> Self {
        Self::new()
    }
}

impl Rng for SystemRng {
    fn fill(&self, out: &mut [u8]) {
        // Without randomness no authenticator, salt or token is safe: there is nothing sensible to go on with.
        if self.0.fill(out).is_err() {
            tracing::error!("the operating system gives no randomness; stopping");
            std::process::abort();
        }
    }
}

/// Octets that are asked of another generator at a time.
const DRAWN_OCTETS: usize = 4_096;

/// Another generator, asked for many octets at a time: for work that needs some for each of very many rows. What was
/// handed out is not kept.
pub struct DrawnRng {
    from: Arc<dyn Rng>,
    drawn: Mutex<Zeroizing<Vec<u8>>>,
}

impl DrawnRng {
    /// Over another one.
    pub fn new(from: Arc<dyn Rng>) -> Self {
        Self {
            from,
            drawn: Mutex::new(Zeroizing::new(Vec::with_capacity(DRAWN_OCTETS))),
        }
    }
}

impl Rng for DrawnRng {
    fn fill(&self, out: &mut [u8]) {
        if out.len() > DRAWN_OCTETS {
            return self.from.fill(out);
        }
        let mut drawn = self
            .drawn
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if drawn.len() < out.len() {
            drawn.resize(DRAWN_OCTETS, 0);
            self.from.fill(&mut drawn);
        }
        let left = drawn.len() - out.len();
        out.copy_from_slice(&drawn[left..]);
        drawn[left..].zeroize();
        drawn.truncate(left);
    }
}

/// A repeatable generator for tests and simulations (xorshift64*). Never for secrets.
pub struct SeededRng(Mutex<u64>);

impl SeededRng {
    /// The same seed gives the same octets.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(seed | 1))
    }
}

impl Rng for SeededRng {
    fn fill(&self, out: &mut [u8]) {
        let mut state = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        for octet in out {
            *state ^= *state >> 12;
            *state ^= *state << 25;
            *state ^= *state >> 27;
            *octet = (state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 56) as u8;
        }
    }
}

/// So many random letters and digits, without the ones people confuse (0 O 1 l I).
pub fn readable_text(rng: &dyn Rng, length: usize) -> String {
    const ALPHABET: &[u8; 57] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let mut text = String::with_capacity(length);
    let mut octet = [0u8; 1];
    while text.len() < length {
        rng.fill(&mut octet);
        // 228 is the largest multiple of 57 an octet can hold: above it the draw would be uneven.
        if octet[0] < 228 {
            text.push(char::from(ALPHABET[usize::from(octet[0]) % ALPHABET.len()]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_ahead_is_handed_out_once() {
        let drawn = DrawnRng::new(Arc::new(SystemRng::new()));
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..2_000 {
            let mut octets = [0; 12];
            drawn.fill(&mut octets);
            assert!(seen.insert(octets));
        }
        let mut long = vec![0; DRAWN_OCTETS + 1];
        drawn.fill(&mut long);
        assert!(long.iter().any(|octet| *octet != 0));
    }
}
