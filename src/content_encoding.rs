//! Request bodies that come compressed, decoded piece by piece as they arrive.
//!
//! One coding, not several in a row: each further one multiplies what a small body may become.

use bytes::Bytes;
use compression_codecs::core::util::{PartialBuffer, WriteBuffer};
use compression_codecs::zstd::params::DParameter;
use compression_codecs::{BrotliDecoder, DecodeV2, GzipDecoder, ZlibDecoder, ZstdDecoder};
use http::{HeaderMap, header};

use crate::joined::Joined;

/// The codings that are read, as an answer of 415 names them (RFC 9110, 12.5.3).
pub(crate) const TAKEN: &str = "gzip, deflate, br, zstd";

/// No decoder of this coding may ask for a window beyond 8 MiB (RFC 9659).
const ZSTD_WINDOW_LOG: u32 = 23;

/// Bytes that are decoded at a time.
const STEP: usize = 32 << 10;

/// Why a body cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// An unknown coding, or more than one.
    Unknown,
    /// More bytes than allowed, before or after decoding.
    TooLarge,
    /// Not what its header says.
    Corrupt,
}

/// Decodes one body.
pub(crate) struct Decoder {
    codec: Box<dyn DecodeV2 + Send>,
    /// Where each step decodes to.
    room: Box<[u8]>,
    decoded: Joined,
    /// Bytes taken so far.
    taken: usize,
    limit: usize,
    /// Whether what came so far is whole: what follows is a further member of the same coding.
    is_whole: bool,
}

impl Decoder {
    /// A decoder of the coding that the headers name, for at most `limit` bytes on either side; none for a
    /// plain body.
    pub(crate) fn of(headers: &HeaderMap, limit: usize) -> Result<Option<Self>, Refusal> {
        if !headers.contains_key(header::CONTENT_ENCODING) {
            return Ok(None);
        }
        let mut names = Vec::new();
        for value in headers.get_all(header::CONTENT_ENCODING) {
            let value = value.to_str().map_err(|_| Refusal::Unknown)?;
            names.extend(value.split(',').map(|name| name.trim().to_ascii_lowercase()));
        }
        names.retain(|name| !name.is_empty() && name != "identity");
        let codec: Box<dyn DecodeV2 + Send> = match names.as_slice() {
            [] => return Ok(None),
            [one] => match one.as_str() {
                "gzip" | "x-gzip" => Box::new(GzipDecoder::new()),
                "deflate" => Box::new(ZlibDecoder::new()),
                "br" => Box::new(BrotliDecoder::new()),
                "zstd" => {
                    Box::new(ZstdDecoder::new_with_params(&[DParameter::window_log_max(ZSTD_WINDOW_LOG)]))
                }
                _ => return Err(Refusal::Unknown),
            },
            _ => return Err(Refusal::Unknown),
        };
        let room = vec![0; STEP].into_boxed_slice();
        Ok(Some(Decoder { codec, room, decoded: Joined::default(), taken: 0, limit, is_whole: false }))
    }

    /// Takes a piece. The work is bounded by the limit: each step takes bytes or makes some.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Result<(), Refusal> {
        self.taken = self.taken.saturating_add(piece.len());
        if self.taken > self.limit {
            return Err(Refusal::TooLarge);
        }
        let mut input = PartialBuffer::new(piece);
        while !input.unwritten().is_empty() {
            if std::mem::take(&mut self.is_whole) {
                self.codec.reinit().map_err(|_| Refusal::Corrupt)?;
            }
            let before = (input.unwritten().len(), self.decoded.len());
            self.is_whole = self.step(|codec, output| codec.decode(&mut input, output))?;
            if self.is_whole {
                self.drain()?;
            } else if before == (input.unwritten().len(), self.decoded.len()) {
                return Err(Refusal::Corrupt);
            }
        }
        Ok(())
    }

    /// The whole body, once all of it has been taken.
    pub(crate) fn finish(&mut self) -> Result<Bytes, Refusal> {
        if !self.is_whole {
            self.drain()?;
        }
        Ok(self.decoded.take())
    }

    /// Takes out what the codec still holds, which must be whole.
    fn drain(&mut self) -> Result<(), Refusal> {
        loop {
            let before = self.decoded.len();
            if self.step(|codec, output| codec.finish(output))? {
                return Ok(());
            }
            if before == self.decoded.len() {
                return Err(Refusal::Corrupt);
            }
        }
    }

    fn step(
        &mut self,
        work: impl FnOnce(&mut dyn DecodeV2, &mut WriteBuffer<'_>) -> std::io::Result<bool>,
    ) -> Result<bool, Refusal> {
        let mut output = WriteBuffer::new_initialized(&mut self.room);
        let outcome = work(&mut *self.codec, &mut output);
        let made = output.written();
        if self.decoded.len() + made.len() > self.limit {
            return Err(Refusal::TooLarge);
        }
        self.decoded.copy(made);
        outcome.map_err(|_| Refusal::Corrupt)
    }
}
