//! Memory for what is read from sockets, lent for as long as there is something in it.
//!
//! A worker serves one event after the other, so a few buffers, used again and again, are in its
//! processor's caches while thousands of idle connections hold none.

use std::cell::RefCell;
use std::rc::Rc;

/// Length of a buffer. One may grow beyond it for a long head; then it is not kept.
pub(crate) const BUFFER_BYTES: usize = 32 * 1024;
/// Buffers that a worker keeps for the next who needs one.
const BUFFERS_KEPT_MAX: usize = 64;
/// Longest text that is kept for the next who writes.
const TEXT_BYTES_KEPT_MAX: usize = 64 * 1024;

/// Bytes that were read and not used yet.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    fn new() -> Self {
        Self { bytes: vec![0; BUFFER_BYTES], start: 0, end: 0 }
    }

    /// What was read and not used.
    pub(crate) fn unused(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// So many bytes have been used.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start += count.min(self.end - self.start);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Room to read into: some, unless `bytes_max` bytes are there that nobody has used.
    pub(crate) fn room(&mut self, bytes_max: usize) -> &mut [u8] {
        if self.end == self.bytes.len() && self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.bytes.len() && self.end < bytes_max {
            self.bytes.resize((2 * self.end).min(bytes_max), 0);
        }
        &mut self.bytes[self.end..]
    }

    /// So many bytes were read into the room.
    pub(crate) fn read(&mut self, count: usize) {
        self.end = (self.end + count).min(self.bytes.len());
    }
}

/// A worker's buffers.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    free: RefCell<Vec<Buffer>>,
    texts: RefCell<Vec<Vec<u8>>>,
}

impl Buffers {
    /// An empty buffer.
    pub(crate) fn take(&self) -> Buffer {
        self.free.borrow_mut().pop().unwrap_or_else(Buffer::new)
    }

    /// Takes a buffer back.
    pub(crate) fn give(&self, mut buffer: Buffer) {
        let mut free = self.free.borrow_mut();
        if buffer.bytes.len() == BUFFER_BYTES && free.len() < BUFFERS_KEPT_MAX {
            (buffer.start, buffer.end) = (0, 0);
            free.push(buffer);
        }
    }

    /// An empty text to write into, given back when it is dropped.
    pub(crate) fn text(self: &Rc<Self>) -> Text {
        let bytes = self.texts.borrow_mut().pop().unwrap_or_default();
        Text { bytes, home: Rc::clone(self) }
    }
}

/// Bytes on their way to a socket.
#[derive(Debug)]
pub(crate) struct Text {
    bytes: Vec<u8>,
    home: Rc<Buffers>,
}

impl std::ops::Deref for Text {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl std::ops::DerefMut for Text {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl Drop for Text {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        let mut texts = self.home.texts.borrow_mut();
        if bytes.capacity() <= TEXT_BYTES_KEPT_MAX && texts.len() < BUFFERS_KEPT_MAX {
            bytes.clear();
            texts.push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_there_until_it_is_used() {
        let mut buffer = Buffer::new();
        buffer.room(0)[..5].copy_from_slice(b"hello");
        buffer.read(5);
        buffer.consume(2);
        assert_eq!(buffer.unused(), b"llo");
        buffer.consume(9);
        assert_eq!(buffer.unused(), b"");
        assert_eq!(buffer.room(0).len(), BUFFER_BYTES);
    }

    #[test]
    fn a_full_buffer_makes_room_by_moving_then_by_growing() {
        let mut buffer = Buffer::new();
        buffer.room(0).fill(b'a');
        buffer.read(BUFFER_BYTES);
        assert_eq!(buffer.room(BUFFER_BYTES).len(), 0, "it is full");
        buffer.consume(10);
        assert_eq!(buffer.room(BUFFER_BYTES).len(), 10);
        buffer.read(10);
        assert_eq!(buffer.room(BUFFER_BYTES + 7).len(), 7);
        assert_eq!(buffer.unused().len(), BUFFER_BYTES);
        let buffers = Buffers::default();
        buffers.give(buffer);
        assert_eq!(buffers.free.borrow().len(), 0, "one that has grown is not kept");
        buffers.give(Buffer::new());
        assert_eq!(buffers.take().unused(), b"");
    }
}
