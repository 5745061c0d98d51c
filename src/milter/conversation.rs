//! One connection to one milter, without the connection: commands become octets, octets become
//! answers, and an answer that does not belong where it comes ends it all.

use super::packet::PacketReader;
use super::{Agreed, Answer, Command, Fault, Macros, Stage, negotiation};

/// What is taken from a milter at most.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Octets of one packet.
    pub packet_bytes_max: usize,
    /// Octets of all changes to one message, a new body included.
    pub change_bytes_max: usize,
    /// Packets in answer to one command, `Progress` included.
    pub packets_max: usize,
}

/// The state of one connection.
#[derive(Debug)]
pub struct Conversation {
    reader: PacketReader,
    limits: Limits,
    agreed: Option<Agreed>,
    awaited: Option<Stage>,
    /// In answer to the command in hand.
    packets: usize,
    change_bytes: usize,
    /// A fault was found: nothing behind it is looked at.
    over: bool,
}

impl Conversation {
    /// Also gives the octets to begin with.
    pub fn begin(limits: Limits) -> (Self, Vec<u8>) {
        let conversation = Self {
            reader: PacketReader::new(limits.packet_bytes_max),
            limits,
            agreed: None,
            awaited: None,
            packets: 0,
            change_bytes: 0,
            over: false,
        };
        (conversation, negotiation::offer())
    }

    /// Octets from the milter.
    pub fn hear(&mut self, bytes: &[u8]) {
        self.reader.push(bytes);
    }

    /// What was agreed on; `None` until the milter has answered the offer.
    pub fn negotiate(&mut self) -> Result<Option<&Agreed>, Fault> {
        if self.agreed.is_none() {
            let Some(packet) = self.reader.next()? else { return Ok(None) };
            self.agreed = Some(Agreed::read(&packet)?);
        }
        Ok(self.agreed.as_ref())
    }

    pub fn agreed(&self) -> Option<&Agreed> {
        self.agreed.as_ref()
    }

    /// Appends a command with the macros that go before it, and says whether its answer must be
    /// read before anything else is said. What the milter does not want to hear is left out.
    pub fn say(&mut self, command: &Command<'_>, macros: &Macros, out: &mut Vec<u8>) -> bool {
        let Some(agreed) = &self.agreed else { return false };
        let Some(stage) = command.stage() else {
            command.write(agreed.keeps_blank(), out);
            self.awaited = None;
            return false;
        };
        if !agreed.hears(stage) {
            return false;
        }
        macros.write(stage, command.letter(), agreed.wanted_macros(stage), out);
        command.write(agreed.keeps_blank(), out);
        if stage == Stage::Mail {
            self.change_bytes = 0;
        }
        let answers = agreed.answers(stage);
        self.awaited = answers.then_some(stage);
        self.packets = 0;
        answers
    }

    /// The next packet in answer to the command that was said; `None` when more octets are needed.
    /// After the final one nothing is awaited, and after a fault nothing more is given.
    pub fn answer(&mut self) -> Result<Option<Answer>, Fault> {
        if self.over {
            return Ok(None);
        }
        self.next_answer().inspect_err(|_| self.over = true)
    }

    fn next_answer(&mut self) -> Result<Option<Answer>, Fault> {
        let Some(agreed) = &self.agreed else { return Ok(None) };
        let Some(packet) = self.reader.next()? else { return Ok(None) };
        let letter = char::from(packet.letter);
        let Some(stage) = self.awaited else { return Err(Fault::Unasked(letter)) };
        self.packets += 1;
        if self.packets > self.limits.packets_max {
            return Err(Fault::TooManyPackets { max: self.limits.packets_max });
        }
        let answer = Answer::read(&packet)?;
        if !answer.fits(stage, agreed.may_skip()) {
            return Err(Fault::OutOfPlace { packet: letter, stage });
        }
        if let Answer::Wish(wish) = &answer {
            if !agreed.may(wish.needs()) {
                return Err(Fault::NotAgreed(letter));
            }
            self.change_bytes += wish.octets();
            if self.change_bytes > self.limits.change_bytes_max {
                return Err(Fault::TooManyChanges { max: self.limits.change_bytes_max });
            }
        }
        if answer.is_final() {
            self.awaited = None;
        }
        Ok(Some(answer))
    }

    /// Whether the milter has said nothing that was not asked for: only then may the connection
    /// carry the next message.
    pub fn is_at_rest(&self) -> bool {
        self.awaited.is_none() && self.reader.is_empty()
    }
}
