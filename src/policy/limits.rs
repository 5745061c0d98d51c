//! Limits that are not options. Each with its unit and the reason for its size.

/// Longest command line, CRLF included (RFC 5321 4.5.3.1.4 asks for 512; extensions add to it).
pub const COMMAND_LINE_BYTES_MAX: usize = 4096;
/// The same where AUTH is offered, and of each line of its exchange (RFC 4954 4).
pub const AUTH_LINE_BYTES_MAX: usize = 12_288;
/// Longest line of content we pass on; RFC 5321 4.5.3.1.6 asks for 1000, real mail is longer.
pub const CONTENT_LINE_BYTES_MAX: usize = 1 << 20;
/// Octets of a refused chunk (BDAT) that are read and dropped, so that the client's next command is
/// found; whoever announces more is cut off.
pub const SKIPPED_CHUNK_OCTETS_MAX: u64 = 1 << 30;
/// Largest header section of a received message (Exchange's MaxHeaderSize is 256 KB).
pub const HEADER_SECTION_BYTES_MAX: usize = 256 << 10;
/// `Received` fields after which a message is taken to loop (RFC 5321 6.3 asks for at least 100).
pub const RECEIVED_FIELDS_MAX: usize = 100;
/// TLS handshakes of strangers at one time, each up to some 100 KB, and those of sources that a partner
/// is known to send from.
pub const HANDSHAKES_MAX: usize = 500;
pub const HANDSHAKES_OF_PARTNERS_MAX: usize = 100;
/// Content that is refused for its size is read on to its final dot, for the client to hear the
/// reply; after so many times the allowed size the connection is closed instead.
pub const OVERSIZE_FACTOR: u64 = 2;
/// Longest reply line, and most lines of one reply, that we take from a server.
pub const REPLY_LINE_BYTES_MAX: usize = 4096;
pub const REPLY_LINES_MAX: usize = 128;
/// MX records considered of one domain, and addresses tried of one message attempt.
pub const MX_RECORDS_MAX: usize = 64;
pub const ADDRESSES_TRIED_MAX: usize = 16;
/// Lines of the conversation that travel with a failed delivery.
pub const TRANSCRIPT_TAIL_LINES: usize = 12;
/// Recipients of one message: what the queue takes, and so the most that a connector may allow.
pub const RECIPIENTS_MAX: u32 = 10_000;
/// What senders may ask to hear of the recipients of one message (NOTIFY and ORCPT): 100 recipients
/// with parameters of the greatest length, and the queue's record holds it.
pub const DSN_REQUEST_BYTES_MAX: usize = 56 << 10;
/// Largest message that a report of failure returns whole, in octets; of a larger one the header
/// section is enough to know it by.
pub const RETURNED_CONTENT_BYTES_MAX: u64 = 256 << 10;
/// Recipients told of in one report; further ones get another.
pub const RECIPIENTS_PER_REPORT_MAX: usize = 200;
/// Longest Message-ID, and longest subject, that message tracking keeps, octets.
pub const TRACKED_BYTES_MAX: usize = 512;
/// `mx` lines of an MTA-STS policy; the largest providers have a dozen.
pub const STS_MX_PATTERNS_MAX: usize = 500;
/// Octets of an MTA-STS policy as served (RFC 8461 3.3 suggests 64 KB).
pub const STS_POLICY_BYTES_MAX: usize = 64 << 10;
/// Content held in memory until it has been checked, of one message and of all sessions, octets;
/// what is above goes into a file.
pub const HELD_BYTES_MAX: usize = 1 << 20;
pub const HELD_BYTES_OF_ALL_MAX: usize = 64 << 20;
/// Content read back from such files to be checked at one time, octets; a larger message cannot be
/// checked.
pub const CHECKED_BYTES_OF_ALL_MAX: usize = 128 << 20;
/// DKIM signatures of a message that are looked at: each costs a question and a signature check.
pub const DKIM_SIGNATURES_MAX: usize = 10;
/// Octets of one packet of a milter; libmilter sends new bodies in pieces of 64 KB.
pub const MILTER_PACKET_BYTES_MAX: usize = 256 << 10;
/// Packets of a milter in answer to one command: changes of a message, and signs of life.
pub const MILTER_PACKETS_MAX: usize = 10_000;
/// Milters that one receive connector asks.
pub const MILTERS_MAX: usize = 16;
/// TLSA records considered of one host.
pub const TLSA_RECORDS_MAX: usize = 64;
