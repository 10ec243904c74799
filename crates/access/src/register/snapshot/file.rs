//! The file itself: a head, then sealed frames, each bound to this file and to its number in it.
//!
//! Frames are only ever added at the end. What a crash leaves torn there does not open, and the file ends before it; a
//! frame that was altered, moved or left out ends it as well. What is read here must **never** be trusted to be whole: the
//! records say whether it is.

use kernel::seal::SealError;
use kernel::{Keyring, Rng};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// What a snapshot begins with.
const MAGIC: [u8; 8] = *b"GWREGIST";
/// Counted up when the records change: an older or newer snapshot is made anew from the database.
pub(super) const VERSION: u16 = 2;
/// Longest frame: far more than a page of people with all their rules.
const MAX_FRAME_OCTETS: usize = 256 * 1024 * 1024;
/// Read and written at a time.
const BUFFER_OCTETS: usize = 1 << 20;
/// Octets before a frame: its length, and what is in it.
const FRAME_HEAD_OCTETS: usize = 5;

/// What is in a frame, which a reader may know before opening it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// People as they were loaded: their frames may be opened in any order.
    People,
    /// Anything else, in order.
    Other,
}

impl Content {
    fn octet(self) -> u8 {
        match self {
            Content::People => 1,
            Content::Other => 0,
        }
    }
}

/// Why a file cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    /// The system says so.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is something else.
    #[error("it is not a register snapshot of this version")]
    Foreign,
    /// A key is missing, or something in it was altered.
    #[error("{0}")]
    Seal(#[from] SealError),
    /// A record in it cannot be read.
    #[error("a record in it cannot be read")]
    Record,
    /// It was never finished.
    #[error("it was never finished")]
    Unfinished,
    /// It is of another database.
    #[error("it was made of {0}")]
    OtherDatabase(String),
}

/// Which file: what its frames are bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Identity {
    file: [u8; 16],
    key: String,
}

impl Identity {
    fn head(&self) -> Vec<u8> {
        let mut head = MAGIC.to_vec();
        head.extend(VERSION.to_le_bytes());
        head.extend(self.file);
        head.push(u8::try_from(self.key.len()).unwrap_or(u8::MAX));
        head.extend(self.key.as_bytes().iter().take(usize::from(u8::MAX)));
        head
    }

    fn associated(&self, number: u64, content: u8) -> Vec<u8> {
        let mut place = self.head();
        place.extend(number.to_le_bytes());
        place.push(content);
        place
    }
}

/// Adds frames to a file.
pub(super) struct FrameWriter {
    file: File,
    identity: Identity,
    frames: u64,
    octets: u64,
}

impl FrameWriter {
    /// Makes a file, closed to everybody else, in place of what lies there.
    pub(super) fn create(path: &Path, keys: &Keyring, rng: &dyn Rng) -> io::Result<Self> {
        let mut id = [0u8; 16];
        rng.fill(&mut id);
        let identity = Identity {
            file: id,
            key: keys.active_id().to_owned(),
        };
        let mut file = File::options()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(path)?;
        let head = identity.head();
        file.write_all(&head)?;
        Ok(Self {
            file,
            identity,
            frames: 0,
            octets: head.len() as u64,
        })
    }

    /// Goes on where a reader stopped: what lies behind that is cut off.
    pub(super) fn go_on(path: &Path, reader: &FrameReader) -> io::Result<Self> {
        let mut file = File::options().write(true).open(path)?;
        file.set_len(reader.octets)?;
        file.seek(SeekFrom::Start(reader.octets))?;
        Ok(Self {
            file,
            identity: reader.identity.clone(),
            frames: reader.frames,
            octets: reader.octets,
        })
    }

    /// Adds a frame. After an error the file is as it was before.
    pub(super) fn append(
        &mut self,
        keys: &Keyring,
        rng: &dyn Rng,
        content: Content,
        plain: &[u8],
    ) -> io::Result<()> {
        let place = self.identity.associated(self.frames, content.octet());
        let sealed = keys.seal_piece(rng, &place, plain);
        let length = u32::try_from(sealed.len())
            .ok()
            .filter(|_| !sealed.is_empty() && sealed.len() <= MAX_FRAME_OCTETS)
            .ok_or_else(|| io::Error::other("a frame is too long"))?;
        let mut frame = Vec::with_capacity(FRAME_HEAD_OCTETS + sealed.len());
        frame.extend(length.to_le_bytes());
        frame.push(content.octet());
        frame.extend(sealed);
        if let Err(e) = self.file.write_all(&frame) {
            self.file.set_len(self.octets)?;
            self.file.seek(SeekFrom::Start(self.octets))?;
            return Err(e);
        }
        self.frames += 1;
        self.octets += frame.len() as u64;
        Ok(())
    }

    /// How long the file is.
    pub(super) fn octets(&self) -> u64 {
        self.octets
    }

    /// The file, to be synced.
    pub(super) fn file(&self) -> &File {
        &self.file
    }
}

/// A frame that was not opened yet.
pub(super) struct Sealed {
    number: u64,
    pub(super) content: Content,
    octets: Vec<u8>,
}

/// What is needed to open frames; any thread may.
#[derive(Clone)]
pub(super) struct Opener(Identity);

impl Opener {
    /// The plain octets of a frame.
    pub(super) fn open<'f>(
        &self,
        keys: &Keyring,
        frame: &'f mut Sealed,
    ) -> Result<&'f [u8], SealError> {
        let place = self.0.associated(frame.number, frame.content.octet());
        keys.open_piece(&self.0.key, &place, &mut frame.octets)
    }
}

/// Reads frames in their order.
pub(super) struct FrameReader {
    reader: BufReader<File>,
    identity: Identity,
    frames: u64,
    octets: u64,
    limit: u64,
}

impl FrameReader {
    /// Opens a file and reads its head.
    pub(super) fn open(path: &Path) -> Result<Self, Unusable> {
        let file = File::open(path)?;
        let limit = file.metadata()?.len();
        let mut reader = BufReader::with_capacity(BUFFER_OCTETS, file);
        let mut head = [0u8; MAGIC.len() + 2 + 16 + 1];
        let foreign = |_| Unusable::Foreign;
        reader.read_exact(&mut head).map_err(foreign)?;
        let (magic, rest) = head.split_at(MAGIC.len());
        let (version, rest) = rest.split_at(2);
        let (id, key_length) = rest.split_at(16);
        if magic != MAGIC || version != VERSION.to_le_bytes() {
            return Err(Unusable::Foreign);
        }
        let mut key = vec![0u8; usize::from(key_length[0])];
        reader.read_exact(&mut key).map_err(foreign)?;
        let identity = Identity {
            file: id.try_into().map_err(|_| Unusable::Foreign)?,
            key: String::from_utf8(key).map_err(|_| Unusable::Foreign)?,
        };
        Ok(Self {
            octets: identity.head().len() as u64,
            reader,
            identity,
            frames: 0,
            limit,
        })
    }

    /// Reads no further than a length that the file had.
    pub(super) fn up_to(mut self, octets: u64) -> Self {
        self.limit = self.limit.min(octets);
        self
    }

    /// What opens its frames.
    pub(super) fn opener(&self) -> Opener {
        Opener(self.identity.clone())
    }

    /// How far it was read.
    pub(super) fn octets(&self) -> u64 {
        self.octets
    }

    /// The number of the next frame.
    pub(super) fn number(&self) -> u64 {
        self.frames
    }

    /// The next frame; none at the end, and where what follows is torn.
    pub(super) fn next(&mut self) -> io::Result<Option<Sealed>> {
        let left = self.limit.saturating_sub(self.octets);
        let mut head = [0u8; FRAME_HEAD_OCTETS];
        if left < head.len() as u64 {
            return Ok(None);
        }
        self.reader.read_exact(&mut head)?;
        let [a, b, c, d, content] = head;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        let whole = (head.len() + length) as u64;
        let content = match content {
            0 => Content::Other,
            1 => Content::People,
            _ => return Ok(None),
        };
        if length > MAX_FRAME_OCTETS || whole > left {
            return Ok(None);
        }
        let mut octets = vec![0u8; length];
        self.reader.read_exact(&mut octets)?;
        let sealed = Sealed {
            number: self.frames,
            content,
            octets,
        };
        self.frames += 1;
        self.octets += whole;
        Ok(Some(sealed))
    }

    /// Takes the last frame back: the file is to end before it.
    pub(super) fn give_back(&mut self, frame: &Sealed) {
        self.frames = frame.number;
        self.octets -= (FRAME_HEAD_OCTETS + frame.octets.len()) as u64;
    }
}
