//! What a message needs of its next hop, and the commands of its envelope (RFC 1870, 3030, 3461, 6152,
//! 6531, 8689).

use crate::mail::dsn::{MessageRequest, RecipientRequest};
use crate::mail::{BodyType, ForwardPath, ReversePath, TlsRequired};
use crate::smtp::{Command, Extensions, MailParams, Reply, SizeLimit};
use crate::trust::Permit;

use super::Transaction;
use super::state::Admitted;

/// The MAIL command, or our own refusal when the peer lacks what the message needs. Content is
/// never converted: it would break signatures.
pub(super) fn mail_command(transaction: &Transaction, admitted: &Admitted) -> Result<Command, Reply> {
    let extensions = &admitted.extensions;
    let requiretls = transaction.tls_required == TlsRequired::Yes;
    if requiretls {
        check_requiretls(&admitted.permit, extensions)?;
    }
    if !extensions.size.admits(transaction.size) {
        let text = format!("The next hop takes no message of {} octets", transaction.size);
        return Err(Reply::new(552, (5, 3, 4), text));
    }
    if needs_smtputf8(transaction) && !extensions.smtputf8 {
        let text = "The message needs SMTPUTF8, which the next hop does not offer";
        return Err(Reply::new(553, (5, 6, 7), text));
    }
    if transaction.binary && !takes_binary(extensions) {
        let text = "The message has binary content, and the next hop does not offer BINARYMIME";
        return Err(Reply::new(554, (5, 6, 3), text));
    }
    if transaction.eight_bit && !extensions.eight_bit_mime && !is_binary(transaction, extensions) {
        let text = "The message has 8-bit content, and the next hop does not offer 8BITMIME";
        return Err(Reply::new(554, (5, 6, 3), text));
    }
    let eight_bit = transaction.eight_bit || transaction.body != BodyType::SevenBit;
    let params = MailParams {
        size: (extensions.size != SizeLimit::NotOffered).then_some(transaction.size),
        body: match transaction.body {
            _ if is_binary(transaction, extensions) => BodyType::BinaryMime,
            _ if eight_bit && extensions.eight_bit_mime => BodyType::EightBitMime,
            BodyType::SevenBit | BodyType::EightBitMime | BodyType::BinaryMime => BodyType::SevenBit,
        },
        smtputf8: needs_smtputf8(transaction),
        dsn: if extensions.dsn { transaction.dsn.message.clone() } else { MessageRequest::default() },
        requiretls,
    };
    Ok(Command::Mail { path: transaction.reverse_path.clone(), params })
}

/// Whether the message is said to be binary, and so goes by BDAT: it is, or was said to be by whoever
/// sent it, and the peer takes that. What was only said to be binary may go as the text it is.
pub(super) fn is_binary(transaction: &Transaction, extensions: &Extensions) -> bool {
    let said = transaction.binary || transaction.body == BodyType::BinaryMime;
    said && takes_binary(extensions)
}

/// BINARYMIME is nothing without CHUNKING (RFC 3030 3).
fn takes_binary(extensions: &Extensions) -> bool {
    extensions.binary_mime && extensions.chunking
}

/// The RCPT command of the recipient in this place. What the sender asked to hear is said as it
/// came, and only to a peer that announced DSN (RFC 3461 5.2.1, 5.2.2).
pub(super) fn rcpt_command(transaction: &Transaction, place: usize, extensions: &Extensions) -> Command {
    let dsn = match u32::try_from(place) {
        Ok(index) if extensions.dsn => transaction.dsn.of(index).for_peer(extensions.smtputf8),
        Ok(_) | Err(_) => RecipientRequest::default(),
    };
    Command::Rcpt { path: ForwardPath::Address(transaction.recipients[place].clone()), dsn }
}

/// RFC 8689 4.2.1, steps 4 and 5. Whoever opened the connection has asked for such a permit; this
/// is where a message that came by another way would be stopped.
fn check_requiretls(permit: &Permit, extensions: &Extensions) -> Result<(), Reply> {
    if !permit.is_authenticated() {
        let text = "REQUIRETLS: the next hop has not been authenticated";
        return Err(Reply::new(550, (5, 7, 10), text));
    }
    if !extensions.requiretls {
        let text = "REQUIRETLS support required, which the next hop does not offer";
        return Err(Reply::new(550, (5, 7, 30), text));
    }
    Ok(())
}

/// Declared by whoever sent it to us, or seen in an address.
fn needs_smtputf8(transaction: &Transaction) -> bool {
    let sender = match &transaction.reverse_path {
        ReversePath::Null => false,
        ReversePath::Address(address) => address.needs_smtputf8(),
    };
    transaction.smtputf8 || sender || transaction.recipients.iter().any(crate::mail::Address::needs_smtputf8)
}
