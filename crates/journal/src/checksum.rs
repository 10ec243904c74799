//! CRC-32C (Castagnoli), the checksum of RFC 3720 appendix B.4, eight bytes at a time.
//!
//! It finds accidents (torn, lost, rotten bytes), not forgery. It must never be used to prove where bytes come from.

/// The Castagnoli polynomial, bits reversed.
const POLYNOMIAL: u32 = 0x82F6_3B78;

static TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0u32; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut value = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 {
                (value >> 1) ^ POLYNOMIAL
            } else {
                value >> 1
            };
            bit += 1;
        }
        tables[0][byte] = value;
        byte += 1;
    }
    let mut depth = 1;
    while depth < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[depth - 1][byte];
            tables[depth][byte] = (before >> 8) ^ tables[0][(before & 0xFF) as usize];
            byte += 1;
        }
        depth += 1;
    }
    tables
}

/// Continues the checksum `crc` over `bytes`; begin with 0.
pub(crate) fn extend(crc: u32, bytes: &[u8]) -> u32 {
    let mut state = !crc;
    let (eights, rest) = bytes.as_chunks::<8>();
    for eight in eights {
        let [a, b, c, d, e, f, g, h] = *eight;
        let low = state ^ u32::from_le_bytes([a, b, c, d]);
        state = TABLES[7][(low & 0xFF) as usize]
            ^ TABLES[6][((low >> 8) & 0xFF) as usize]
            ^ TABLES[5][((low >> 16) & 0xFF) as usize]
            ^ TABLES[4][(low >> 24) as usize]
            ^ TABLES[3][e as usize]
            ^ TABLES[2][f as usize]
            ^ TABLES[1][g as usize]
            ^ TABLES[0][h as usize];
    }
    for byte in rest {
        state = (state >> 8) ^ TABLES[0][((state ^ u32::from(*byte)) & 0xFF) as usize];
    }
    !state
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expect: u32) {
        assert_eq!(extend(0, bytes), expect, "{bytes:02x?}");
        for cut in 0..=bytes.len() {
            assert_eq!(extend(extend(0, &bytes[..cut]), &bytes[cut..]), expect);
        }
    }

    #[test]
    fn the_rfc_3720_vectors_hold_however_the_bytes_are_cut() {
        let ascending: Vec<u8> = (0..32).collect();
        let descending: Vec<u8> = (0..32).rev().collect();
        check(b"", 0);
        check(b"123456789", 0xE306_9283);
        check(&[0; 32], 0x8A91_36AA);
        check(&[0xFF; 32], 0x62A8_AB43);
        check(&ascending, 0x46DD_794E);
        check(&descending, 0x113F_DB5C);
    }
}
