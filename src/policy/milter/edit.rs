//! What a milter changes in a message, as far as it may. Nothing it asks for can touch what was
//! proved of the sender, our own trace fields, or whom the connector takes mail for.

use crate::mail::header::{Field, HeaderSection};
use crate::mail::text::printable;
use crate::mail::{Address, Domain, Envelope};
use crate::milter::Change;
use crate::policy::{Settings, limits};

use super::{field, sender};

/// What a milter may do in this transaction.
pub struct Rules<'a> {
    pub settings: &'a Settings,
    /// The domains that the transaction has proved.
    pub proved: &'a [Domain],
    /// Whether the connector takes mail for an address, and whom that mail then goes to.
    pub recipient: &'a dyn Fn(&Address) -> Result<Address, String>,
    pub recipients_max: usize,
    /// The milter counts the blank behind the colon to a field's value.
    pub keeps_blank: bool,
}

/// A change that was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// Such as `add header Domain-Secured`.
    pub change: String,
    pub reason: String,
}

/// The message as it is changed, without its body.
pub struct Edit {
    /// Field by field, each with its CRLF.
    fields: Vec<Vec<u8>>,
    /// The first fields, which are our own.
    own: usize,
    eight_bit: bool,
    pub envelope: Envelope,
}

/// What a milter is shown of a header section of ours: everything but our `Received`, each field
/// with its name and its value up to the last CRLF.
pub fn presented(head: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    HeaderSection::new(head).fields().skip(1).filter_map(shown)
}

fn shown(field: Field<'_>) -> Option<(&[u8], &[u8])> {
    let raw = field.raw();
    let colon = memchr::memchr(b':', raw)?;
    let (name, value) = (raw[..colon].trim_ascii_end(), &raw[colon + 1..]);
    let plain = !name.is_empty() && name.iter().all(|byte| (33..=126).contains(byte));
    plain.then(|| (name, value.strip_suffix(b"\r\n").unwrap_or(value)))
}

impl Edit {
    /// `head` is the section as it is to be stored, `own_fields` of which we have put first.
    pub fn new(head: &[u8], own_fields: usize, envelope: Envelope) -> Self {
        let fields = HeaderSection::new(head).fields().map(|field| field.raw().to_vec()).collect();
        Self { fields, own: own_fields, eight_bit: !head.is_ascii(), envelope }
    }

    /// A field of ours, behind those that stand there already.
    pub fn put_first(&mut self, field: &[u8]) {
        self.fields.insert(self.own, field.to_vec());
        self.own += 1;
    }

    pub fn head(&self) -> Vec<u8> {
        self.fields.concat()
    }

    /// Makes the change, or says why not. A new body is not for here.
    pub fn apply(&mut self, change: &Change, rules: &Rules<'_>) -> Result<(), Denied> {
        let done = match change {
            Change::AddHeader { name, value } => {
                self.build(name, value, rules).map(|field| self.fields.push(field))
            }
            Change::InsertHeader { place, name, value } => {
                let at = self.place(*place);
                self.build(name, value, rules).map(|field| self.fields.insert(at, field))
            }
            Change::ChangeHeader { number, name, value } => self.change_header(*number, name, value, rules),
            Change::AddRecipient { path, .. } => self.add_recipient(path, rules),
            Change::DeleteRecipient(path) => self.delete_recipient(path),
            Change::Sender { path, .. } => {
                let (present, smtputf8) = (&self.envelope.reverse_path, self.envelope.smtputf8);
                sender::build(path, present, smtputf8, rules).map(|path| self.envelope.reverse_path = path)
            }
            Change::Body(_) => Ok(()),
        };
        done.map_err(|reason| Denied { change: told(change), reason })
    }

    fn build(&self, name: &[u8], value: &[u8], rules: &Rules<'_>) -> Result<Vec<u8>, String> {
        let field = field::build(name, value, rules.keeps_blank, rules)?;
        if !field.is_ascii() && !self.eight_bit && !self.envelope.smtputf8 {
            return Err("it has octets above 127, which the header section has not had".to_owned());
        }
        let length: usize = self.fields.iter().map(Vec::len).sum();
        if length + field.len() > limits::HEADER_SECTION_BYTES_MAX {
            return Err(format!("the header section has its {} octets", limits::HEADER_SECTION_BYTES_MAX));
        }
        Ok(field)
    }

    /// Where the field with this place among those shown stands; never among our own.
    fn place(&self, place: u32) -> usize {
        let place = usize::try_from(place).unwrap_or(usize::MAX);
        let mut shown = self.shown();
        shown.nth(place).map_or(self.fields.len(), |at| at.max(self.own))
    }

    /// The places of the fields that the milter knows of.
    fn shown(&self) -> impl Iterator<Item = usize> {
        let fields = self.fields.iter().enumerate().skip(1);
        fields.filter(|(_, raw)| whole(raw).and_then(shown).is_some()).map(|(at, _)| at)
    }

    fn change_header(
        &mut self,
        number: u32,
        name: &[u8],
        value: &[u8],
        rules: &Rules<'_>,
    ) -> Result<(), String> {
        field::check_name(name, rules)?;
        let wanted = String::from_utf8_lossy(name).into_owned();
        let number = usize::try_from(number.max(1)).unwrap_or(usize::MAX);
        let mut named =
            self.shown().filter(|at| whole(&self.fields[*at]).is_some_and(|field| field.is_named(&wanted)));
        let at = named.nth(number - 1);
        drop(named);
        if at.is_some_and(|at| at < self.own) {
            return Err("this server alone writes such a field".to_owned());
        }
        match (at, value.is_empty()) {
            (None, true) => {}
            (None, false) => {
                let field = self.build(name, value, rules)?;
                self.fields.push(field);
            }
            (Some(at), true) => drop(self.fields.remove(at)),
            (Some(at), false) => self.fields[at] = self.build(name, value, rules)?,
        }
        Ok(())
    }

    fn add_recipient(&mut self, path: &str, rules: &Rules<'_>) -> Result<(), String> {
        let address = Address::parse(sender::bare(path)).map_err(|error| error.to_string())?;
        let address = (rules.recipient)(&address)?;
        if self.envelope.recipients.contains(&address) {
            return Ok(());
        }
        if self.envelope.recipients.len() >= rules.recipients_max {
            return Err(format!("the message has its {} recipients", rules.recipients_max));
        }
        self.envelope.recipients.push(address);
        Ok(())
    }

    /// One who is not there is gone already.
    fn delete_recipient(&mut self, path: &str) -> Result<(), String> {
        let address = Address::parse(sender::bare(path)).map_err(|error| error.to_string())?;
        let text = address.to_string();
        let is_meant = |known: &Address| *known == address || known.to_string().eq_ignore_ascii_case(&text);
        while let Some(at) = self.envelope.recipients.iter().position(is_meant) {
            self.envelope.recipients.remove(at);
            self.envelope.dsn.remove(u32::try_from(at).unwrap_or(u32::MAX));
        }
        Ok(())
    }
}

fn whole(raw: &[u8]) -> Option<Field<'_>> {
    HeaderSection::new(raw).fields().next()
}

/// For events and the protocol log.
fn told(change: &Change) -> String {
    match change {
        Change::AddHeader { name, .. } => format!("add header {}", printable(name)),
        Change::InsertHeader { name, .. } => format!("insert header {}", printable(name)),
        Change::ChangeHeader { name, value, .. } if value.is_empty() => {
            format!("delete header {}", printable(name))
        }
        Change::ChangeHeader { name, .. } => format!("change header {}", printable(name)),
        Change::Body(_) => "replace body".to_owned(),
        Change::AddRecipient { path, .. } => format!("add recipient {}", printable(path.as_bytes())),
        Change::DeleteRecipient(path) => format!("delete recipient {}", printable(path.as_bytes())),
        Change::Sender { path, .. } => format!("change sender to {}", printable(path.as_bytes())),
    }
}
