//! Packets: a length of four octets (of what follows), a letter, and what belongs to it.

use super::Fault;

const LENGTH_BYTES: usize = 4;

/// Appends one packet. What does not fit a length of four octets cannot be written; nothing that
/// long is ever held here.
pub fn write(out: &mut Vec<u8>, letter: u8, parts: &[&[u8]]) {
    let octets = 1 + parts.iter().map(|part| part.len()).sum::<usize>();
    out.extend_from_slice(&u32::try_from(octets).unwrap_or(u32::MAX).to_be_bytes());
    out.push(letter);
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

/// A packet as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    pub letter: u8,
    pub body: Vec<u8>,
}

/// Gathers packets from a stream; holds at most one packet and one piece.
#[derive(Debug)]
pub struct PacketReader {
    bytes: Vec<u8>,
    /// Where the next packet begins.
    start: usize,
    packet_bytes_max: usize,
}

impl PacketReader {
    pub fn new(packet_bytes_max: usize) -> Self {
        Self { bytes: Vec::new(), start: 0, packet_bytes_max }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.start);
        self.start = 0;
        self.bytes.extend_from_slice(bytes);
    }

    pub fn is_empty(&self) -> bool {
        self.start == self.bytes.len()
    }

    /// The next whole packet; `None` when more octets are needed. A packet too large is a fault as
    /// soon as its length is there.
    pub fn next(&mut self) -> Result<Option<Packet>, Fault> {
        let rest = &self.bytes[self.start..];
        let Some((length, body)) = rest.split_first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let octets = u32::from_be_bytes(*length);
        let length = usize::try_from(octets).unwrap_or(usize::MAX);
        if length > self.packet_bytes_max {
            return Err(Fault::PacketTooLarge { octets: octets.into(), max: self.packet_bytes_max });
        }
        let Some(packet) = body.get(..length) else { return Ok(None) };
        let Some((letter, body)) = packet.split_first() else { return Err(Fault::EmptyPacket) };
        let packet = Packet { letter: *letter, body: body.to_vec() };
        self.start += LENGTH_BYTES + length;
        Ok(Some(packet))
    }
}

/// Reads the parts of a packet's body one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    rest: &'a [u8],
}

impl<'a> Parts<'a> {
    pub fn new(body: &'a [u8]) -> Self {
        Self { rest: body }
    }

    pub fn number(&mut self) -> Option<u32> {
        let (number, rest) = self.rest.split_first_chunk::<4>()?;
        self.rest = rest;
        Some(u32::from_be_bytes(*number))
    }

    /// Up to the next NUL, which must be there.
    pub fn text(&mut self) -> Option<&'a [u8]> {
        let end = memchr::memchr(0, self.rest)?;
        let (text, rest) = (&self.rest[..end], &self.rest[end + 1..]);
        self.rest = rest;
        Some(text)
    }

    pub fn is_empty(self) -> bool {
        self.rest.is_empty()
    }
}
