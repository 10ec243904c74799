//! A simulated file's two contents, and what happens to the difference between them.
//! Never: knows names or handles.

use super::Chance;

/// Octets that reach the disk together or not at all. Smaller than any real sector, to tear more.
const SECTOR_BYTES: usize = 64;

enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Cut(usize),
}

#[derive(Default)]
pub(super) struct Inode {
    pub cached: Vec<u8>,
    pub durable: Vec<u8>,
    /// What the cache has and the disk has not, in order.
    pending: Vec<Change>,
}

impl Inode {
    pub fn write(&mut self, offset: usize, bytes: &[u8]) {
        overwrite(&mut self.cached, offset, bytes, 0);
        self.pending.push(Change::Write {
            offset,
            bytes: bytes.to_vec(),
        });
    }

    pub fn cut(&mut self, length: usize) {
        self.cached.resize(length, 0);
        self.pending.push(Change::Cut(length));
    }

    /// All that is pending reaches the disk; what an earlier failed sync forgot does not.
    pub fn sync(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            match change {
                Change::Write { offset, bytes } => overwrite(&mut self.durable, offset, &bytes, 0),
                Change::Cut(length) => self.durable.resize(length, 0),
            }
        }
    }

    /// Some of the pending changes reach the disk.
    pub fn settle(&mut self, chance: &mut Chance, keep_cuts: bool) {
        let mode = chance.below(4);
        let filler = [0, 0xA5][chance.below(2)];
        let mut stopped = mode == 0;
        let mut cuts = Vec::new();
        for change in std::mem::take(&mut self.pending) {
            match change {
                Change::Cut(length) if keep_cuts => cuts.push(Change::Cut(length)),
                Change::Cut(length) => {
                    if !stopped {
                        self.durable.truncate(length);
                    }
                }
                Change::Write { mut offset, bytes } => {
                    let mut rest = &bytes[..];
                    while !rest.is_empty() {
                        let (piece, after) =
                            rest.split_at(rest.len().min(SECTOR_BYTES - offset % SECTOR_BYTES));
                        let kept = match mode {
                            0 => 0,
                            1 => piece.len(),
                            2 if stopped => 0,
                            // In order, and somewhere in the middle of a piece it ends.
                            2 if chance.below(8) == 0 => {
                                stopped = true;
                                chance.below(piece.len() + 1)
                            }
                            2 => piece.len(),
                            _ => piece.len() * chance.below(2),
                        };
                        if kept > 0 {
                            overwrite(&mut self.durable, offset, &piece[..kept], filler);
                        }
                        offset += piece.len();
                        rest = after;
                    }
                }
            }
        }
        if chance.below(4) == 0 && self.durable.len() < self.cached.len() {
            // The length got there before the data.
            self.durable.resize(self.cached.len(), filler);
        }
        self.pending = cuts;
    }
}

fn overwrite(content: &mut Vec<u8>, offset: usize, bytes: &[u8], filler: u8) {
    let end = offset + bytes.len();
    if content.len() < end {
        content.resize(end, filler);
    }
    content[offset..end].copy_from_slice(bytes);
}
