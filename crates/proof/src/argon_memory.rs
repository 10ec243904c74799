//! argon2's working memory, kept by each thread from one hash to the next.
//!
//! Twenty megabytes for each hash, taken and given back, leave the system's allocator with several times what is in use:
//! six heaps of 58 MiB were seen behind two threads. It is wiped after each use, and one that is larger than usual is
//! given back.

use argon2::{Argon2, Block};
use std::cell::RefCell;
use zeroize::Zeroize;

/// KiB that a thread keeps: what our own hashes take, and some room for another's.
const MAX_KEPT_KIB: usize = 64 * 1024;

thread_local! {
    static BLOCKS: RefCell<Vec<Block>> = const { RefCell::new(Vec::new()) };
}

/// Hashes into `out`, in this thread's memory.
pub(crate) fn hash_into(
    argon2: &Argon2<'_>,
    password: &[u8],
    salt: &[u8],
    out: &mut [u8],
) -> Result<(), argon2::Error> {
    let wanted = argon2.params().block_count();
    BLOCKS.with_borrow_mut(|blocks| {
        if blocks.len() < wanted {
            // Not grown: nothing of it is worth being copied.
            *blocks = vec![Block::default(); wanted];
        }
        let used = &mut blocks[..wanted];
        let done = argon2.hash_password_into_with_memory(password, salt, out, &mut *used);
        used.iter_mut().for_each(Zeroize::zeroize);
        if blocks.len() > MAX_KEPT_KIB {
            *blocks = Vec::new();
        }
        done
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use argon2::{Algorithm, Params, Version};

    #[test]
    fn what_a_thread_hashed_before_changes_nothing() {
        let of = |memory_kib, lanes| {
            let params = Params::new(memory_kib, 2, lanes, Some(32)).expect("parameters");
            Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        };
        let salt = [7; 16];
        for (memory_kib, lanes) in [(64, 1), (256, 2), (64, 1), (32, 1), (70 * 1024, 1), (64, 1)] {
            let argon2 = of(memory_kib, lanes);
            let (mut ours, mut theirs) = ([0; 32], [0; 32]);
            hash_into(&argon2, b"wonderland", &salt, &mut ours).expect("hashed");
            let done = argon2.hash_password_into(b"wonderland", &salt, &mut theirs);
            assert!(done.is_ok() && ours == theirs, "{memory_kib}");
            let kept = BLOCKS.with_borrow(Vec::len);
            assert!(kept <= MAX_KEPT_KIB, "{kept}");
            let is_wiped =
                |block: &Block| AsRef::<[u64]>::as_ref(block).iter().all(|word| *word == 0);
            assert!(BLOCKS.with_borrow(|blocks| blocks.iter().all(is_wiped)));
        }
    }
}
