//! The new body that a milter sends in pieces. It goes out to other servers, so it is held to what
//! we take from a client: whole lines, no bare CR, no NUL.

/// Why a new body is of no use. The message is then treated as if the milter could not be asked:
/// the old body is what it wanted gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    #[error("the body it sent holds a CR without LF")]
    BareCr,
    #[error("the body it sent holds a NUL octet")]
    Nul,
    #[error("the body it sent holds a line of more than {0} octets")]
    LineTooLong(usize),
}

/// Gathers the pieces. A line may end in LF alone, as programs on Unix write it.
#[derive(Debug, Default)]
pub struct NewBody {
    bytes: Vec<u8>,
    line_bytes: usize,
    after_cr: bool,
    fault: Option<BodyFault>,
}

impl NewBody {
    pub fn push(&mut self, piece: &[u8], line_bytes_max: usize) {
        self.bytes.reserve(piece.len());
        for byte in piece {
            self.take(*byte, line_bytes_max);
        }
    }

    fn take(&mut self, byte: u8, line_bytes_max: usize) {
        match byte {
            b'\n' => {
                self.bytes.extend_from_slice(b"\r\n");
                self.after_cr = false;
                self.line_bytes = 0;
                return;
            }
            _ if self.after_cr => self.note(BodyFault::BareCr),
            0 => self.note(BodyFault::Nul),
            _ => {}
        }
        self.after_cr = byte == b'\r';
        if !self.after_cr {
            self.bytes.push(byte);
            self.line_bytes += 1;
            if self.line_bytes > line_bytes_max {
                self.note(BodyFault::LineTooLong(line_bytes_max));
            }
        }
    }

    fn note(&mut self, fault: BodyFault) {
        self.fault.get_or_insert(fault);
    }

    /// The body in whole lines.
    pub fn finish(mut self) -> Result<Vec<u8>, BodyFault> {
        if self.after_cr {
            self.note(BodyFault::BareCr);
        }
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        if self.line_bytes > 0 {
            self.bytes.extend_from_slice(b"\r\n");
        }
        Ok(self.bytes)
    }
}
