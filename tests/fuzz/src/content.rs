//! Content: no panic, splits do not matter, what was taken goes out and comes back unchanged, and
//! no bare CR or LF ever leaves.

use sealpost::smtp::{ContentFault, ContentRules, DataDecoder, DataEncoder};

fn decode(wire: &[u8], piece: usize, line_max: usize) -> (Vec<u8>, usize, bool, Option<ContentFault>) {
    let mut decoder = DataDecoder::new(line_max);
    let (mut content, mut consumed) = (Vec::new(), 0);
    for piece in wire.chunks(piece) {
        let status = decoder.decode(piece, &mut content);
        consumed += status.consumed;
        if status.finished {
            return (content, consumed, true, status.fault);
        }
    }
    let fault = decoder.decode(b"", &mut content).fault;
    (content, consumed, false, fault)
}

fn encode(content: &[u8], piece: usize) -> Vec<u8> {
    let mut encoder = DataEncoder::new();
    let mut wire = Vec::new();
    for piece in content.chunks(piece) {
        encoder.encode(piece, &mut wire);
    }
    encoder.finish(&mut wire);
    wire
}

pub fn run(input: &[u8]) {
    // Lines that may be long let many octets be looked at together.
    for line_max in [100, 3_000] {
        let whole = decode(input, usize::MAX, line_max);
        assert_eq!(whole, decode(input, 1, line_max));
        let (content, _, finished, fault) = whole;
        if finished && fault.is_none() {
            let again = decode(&encode(&content, usize::MAX), usize::MAX, line_max);
            assert_eq!((again.0, again.2, again.3), (content, true, None));
        }
        let rules = |piece| {
            let mut rules = ContentRules::new(line_max);
            for piece in input.chunks(piece) {
                rules.check(piece);
            }
            (rules.finish(), rules.is_at_line_start())
        };
        assert_eq!(rules(usize::MAX), rules(1));
    }
    let wire = encode(input, usize::MAX);
    assert_eq!(wire, encode(input, 3));
    let bare_cr = wire.windows(2).any(|pair| pair[0] == b'\r' && pair[1] != b'\n');
    let bare_lf = wire.windows(2).any(|pair| pair[1] == b'\n' && pair[0] != b'\r');
    assert!(!bare_cr && !bare_lf && wire.ends_with(b".\r\n"));
}
