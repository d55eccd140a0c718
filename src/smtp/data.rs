//! The body of a message on the wire, in both directions (RFC 5321 4.5.2; RULES P1, promise 9).
//!
//! [`DotDecoder`] finds the end of what a client sends after DATA: CRLF.CRLF and nothing else, starting
//! as if a CRLF had just been read. Bare CR, bare LF and NUL never end anything; they are noted, and
//! the decoder reads on to the true end, so that what follows is never taken for commands.
//! [`DotEncoder`] stuffs dots for the next hop and checks again that nothing in the message could be
//! read as an end, or as anything but lines, before it lets it out.
//!
//! Both work on pieces cut anywhere, keep two states and no bytes, and allocate nothing.

use memchr::memchr3;

/// What is wrong with the lines of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Defects {
    /// A CR without LF.
    pub bare_cr: bool,
    /// An LF without CR.
    pub bare_lf: bool,
    /// A NUL.
    pub nul: bool,
}

impl Defects {
    /// Whether there are any.
    pub fn any(self) -> bool {
        self.bare_cr || self.bare_lf || self.nul
    }

    /// What they are, for a reply and for the log; `None` when there are none.
    pub fn describe(self) -> Option<&'static str> {
        match self {
            Self { bare_lf: true, .. } => Some("the message has bare LF; lines must end with CRLF"),
            Self { bare_cr: true, .. } => Some("the message has bare CR; lines must end with CRLF"),
            Self { nul: true, .. } => Some("the message has NUL octets"),
            Self { bare_cr: false, bare_lf: false, nul: false } => None,
        }
    }
}

/// What is wrong with the lines of octets that came without dots (BDAT).
pub fn defects(octets: &[u8]) -> Defects {
    let mut found = Defects::default();
    let mut at = 0;
    while let Some(next) = memchr3(b'\r', b'\n', 0, &octets[at..]) {
        at += next;
        match octets[at] {
            b'\r' if octets.get(at + 1) == Some(&b'\n') => at += 1,
            b'\r' => found.bare_cr = true,
            b'\n' => found.bare_lf = true,
            _ => found.nul = true,
        }
        at += 1;
    }
    found
}

/// What one call of [`DotDecoder::decode`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoded {
    /// Octets of the input that belong to the message or its end; the rest is the next command.
    pub consumed: usize,
    /// Whether the end was found.
    pub end: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// After CRLF, or at the very start.
    LineStart,
    /// Anywhere else in a line.
    Text,
    /// After a CR; it was passed on.
    Cr,
    /// After a dot at the start of a line; it was not passed on.
    Dot,
    /// After dot and CR at the start of a line; neither was passed on.
    DotCr,
}

/// Finds the end of a message and takes the dots out.
#[derive(Debug, Clone)]
pub struct DotDecoder {
    place: Place,
    defects: Defects,
}

impl Default for DotDecoder {
    fn default() -> Self {
        Self { place: Place::LineStart, defects: Defects::default() }
    }
}

impl DotDecoder {
    /// A decoder at the first octet after `354`.
    pub fn new() -> Self {
        Self::default()
    }

    /// What was wrong so far.
    pub fn defects(&self) -> Defects {
        self.defects
    }

    /// Take `input`; the message's own octets go to `sink`, in order. Once the end was found the
    /// decoder is used up.
    pub fn decode(&mut self, input: &[u8], mut sink: impl FnMut(&[u8])) -> Decoded {
        // Octets from `start` to `at` belong to the message and were not passed on yet.
        let (mut start, mut at) = (0, 0);
        while at < input.len() {
            let byte = input[at];
            match self.place {
                Place::Text => {
                    let Some(found) = memchr3(b'\r', b'\n', 0, &input[at..]) else {
                        break;
                    };
                    at += found + 1;
                    match input[at - 1] {
                        b'\r' => self.place = Place::Cr,
                        b'\n' => self.defects.bare_lf = true,
                        _ => self.defects.nul = true,
                    }
                }
                Place::Cr if byte == b'\n' => {
                    self.place = Place::LineStart;
                    at += 1;
                }
                Place::Cr => {
                    self.defects.bare_cr = true;
                    self.place = Place::Text;
                }
                Place::LineStart if byte == b'.' => {
                    if start < at {
                        sink(&input[start..at]);
                    }
                    self.place = Place::Dot;
                    at += 1;
                    start = at;
                }
                Place::LineStart => self.place = Place::Text,
                Place::Dot if byte == b'\r' => {
                    self.place = Place::DotCr;
                    at += 1;
                    start = at;
                }
                Place::Dot => self.place = Place::Text,
                Place::DotCr if byte == b'\n' => return Decoded { consumed: at + 1, end: true },
                Place::DotCr => {
                    // The CR that was held back belongs to the message after all.
                    self.defects.bare_cr = true;
                    self.place = Place::Text;
                    if at > 0 {
                        start = at - 1;
                    } else {
                        sink(b"\r");
                    }
                }
            }
        }
        if start < input.len() {
            sink(&input[start..]);
        }
        Decoded { consumed: input.len(), end: false }
    }
}

/// Why a message may not go on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsendable {
    /// A CR without LF.
    #[error("the message has bare CR")]
    BareCr,
    /// An LF without CR.
    #[error("the message has bare LF")]
    BareLf,
    /// A NUL.
    #[error("the message has NUL octets")]
    Nul,
    /// It does not end with CRLF; adding one would send other bytes than were recorded.
    #[error("the message does not end with CRLF")]
    Unterminated,
}

/// Puts the dots in.
#[derive(Debug, Clone)]
pub struct DotEncoder {
    place: Place,
}

impl Default for DotEncoder {
    fn default() -> Self {
        Self { place: Place::LineStart }
    }
}

impl DotEncoder {
    /// An encoder at the first octet of a message.
    pub fn new() -> Self {
        Self::default()
    }

    /// Pass the next piece of a message on to `sink`, dots stuffed. On an error the message must not be
    /// ended: the connection has to be dropped, unless [`check`] was asked before the first octet.
    pub fn encode(&mut self, piece: &[u8], mut sink: impl FnMut(&[u8])) -> Result<(), Unsendable> {
        let (mut start, mut at) = (0, 0);
        while at < piece.len() {
            match self.place {
                Place::LineStart => {
                    if piece[at] == b'.' {
                        // Up to and including this dot, then the same dot once more.
                        sink(&piece[start..=at]);
                        start = at;
                        at += 1;
                    }
                    self.place = Place::Text;
                }
                Place::Cr => {
                    if piece[at] != b'\n' {
                        return Err(Unsendable::BareCr);
                    }
                    self.place = Place::LineStart;
                    at += 1;
                }
                Place::Text | Place::Dot | Place::DotCr => {
                    let Some(found) = memchr3(b'\r', b'\n', 0, &piece[at..]) else {
                        break;
                    };
                    at += found + 1;
                    match piece[at - 1] {
                        b'\r' => self.place = Place::Cr,
                        b'\n' => return Err(Unsendable::BareLf),
                        _ => return Err(Unsendable::Nul),
                    }
                }
            }
        }
        if start < piece.len() {
            sink(&piece[start..]);
        }
        Ok(())
    }

    /// End the message: the octets that follow its last CRLF.
    pub fn finish(self) -> Result<&'static [u8], Unsendable> {
        match self.place {
            Place::LineStart => Ok(b".\r\n"),
            Place::Cr => Err(Unsendable::BareCr),
            Place::Text | Place::Dot | Place::DotCr => Err(Unsendable::Unterminated),
        }
    }
}

/// Whether a message, given in pieces, may go on the wire (by DATA or by BDAT).
pub fn check<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<(), Unsendable> {
    let mut encoder = DotEncoder::new();
    for piece in pieces {
        encoder.encode(piece, |_| {})?;
    }
    encoder.finish().map(|_| ())
}

/// Turns bare LF, bare CR and CRLF into CRLF: for the one listener whose clients cannot do better
/// (RULES P1). It runs on the raw octets, before [`DotDecoder`], so that what is looked at and what is
/// passed on are the same.
#[derive(Debug, Clone, Copy, Default)]
pub struct LineNormaliser {
    after_cr: bool,
}

impl LineNormaliser {
    /// Pass `piece` on to `sink` with all line ends made CRLF. A CR at the end of a piece is passed on as
    /// CRLF at once, and an LF at the start of the next one then belongs to it.
    pub fn normalise(&mut self, piece: &[u8], mut sink: impl FnMut(&[u8])) {
        let mut rest = piece;
        if self.after_cr && !rest.is_empty() {
            self.after_cr = false;
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        while let Some(at) = memchr::memchr2(b'\r', b'\n', rest) {
            if at > 0 {
                sink(&rest[..at]);
            }
            sink(b"\r\n");
            let found = rest[at];
            rest = &rest[at + 1..];
            if found == b'\r' {
                self.after_cr = rest.is_empty();
                rest = rest.strip_prefix(b"\n").unwrap_or(rest);
            }
        }
        if !rest.is_empty() {
            sink(rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a decoder makes of `pieces`: the message, its defects, and what was left after its end.
    fn decode(pieces: &[&[u8]]) -> (Vec<u8>, Defects, Option<Vec<u8>>) {
        let mut decoder = DotDecoder::new();
        let mut message = Vec::new();
        let mut rest: Option<Vec<u8>> = None;
        for piece in pieces {
            if let Some(rest) = &mut rest {
                rest.extend_from_slice(piece);
                continue;
            }
            let done = decoder.decode(piece, |bytes| message.extend_from_slice(bytes));
            if done.end {
                rest = Some(piece[done.consumed..].to_vec());
            } else {
                assert_eq!(done.consumed, piece.len());
            }
        }
        (message, decoder.defects(), rest)
    }

    /// What has been taken for an end of data by one server or another, and must not be.
    const LOOK_ALIKES: &[&[u8]] = &[
        b"\n.\n",
        b"\r.\r",
        b"\n.\r\n",
        b"\r\n.\n",
        b"\r\n.\r",
        b"\r.\r\n",
        b"\r\n.\r\r\n",
        b"\r\r\n.\r\r\n",
        b"\n\n.\r\n",
        b"\r\n\0.\r\n",
        b"\r\n.\0\r\n",
        b"\r\n.\n\r\n",
        b"\r\n.\r\0\n",
        b"\n\r.\r\n",
        b"\r\n..\r\n",
        b"\r\n. \r\n",
        b"\r\n .\r\n",
        b"\r\n.\t\r\n",
        b"\x85.\x85",
        b"\x0b.\x0b",
        b"\xe2\x80\xa8.\xe2\x80\xa8",
        b"\r\n.\r.\n",
        b"\n.\r",
    ];

    #[test]
    fn promise_9_nothing_but_crlf_dot_crlf_ends_data() {
        for look_alike in LOOK_ALIKES {
            let wire =
                [b"Subject: a\r\n\r\nbody", *look_alike, b"MAIL FROM:<evil@x>\r\n.\r\nQUIT\r\n"].concat();
            let whole = decode(&[&wire]);
            assert_eq!(whole.2.as_deref(), Some(&b"QUIT\r\n"[..]), "{look_alike:?} ended the data");
            assert!(
                whole.0.windows(9).any(|window| window == b"MAIL FROM"),
                "{look_alike:?}: the smuggled command stays content"
            );
            for cut in 0..=wire.len() {
                assert_eq!(decode(&[&wire[..cut], &wire[cut..]]), whole, "{look_alike:?} cut at {cut}");
            }
            let octets: Vec<&[u8]> = wire.chunks(1).collect();
            assert_eq!(decode(&octets), whole, "{look_alike:?} octet by octet");
        }
    }

    #[test]
    fn promise_9_what_has_bare_line_ends_is_known_as_such() {
        for look_alike in LOOK_ALIKES {
            let harmless = !look_alike.windows(2).any(|pair| {
                (pair[0] == b'\r') != (pair[1] == b'\n') && (pair[0] == b'\r' || pair[1] == b'\n')
            }) && !look_alike.contains(&0)
                && look_alike.first() != Some(&b'\n')
                && look_alike.last() != Some(&b'\r');
            let wire = [b"a", *look_alike, b"b\r\n.\r\n"].concat();
            assert_eq!(decode(&[&wire]).1.any(), !harmless, "{look_alike:?}");
        }
    }

    #[test]
    fn p1_the_decoder_starts_after_a_crlf() {
        assert_eq!(decode(&[b".\r\nQUIT"]), (vec![], Defects::default(), Some(b"QUIT".to_vec())));
        assert_eq!(decode(&[b"..\r\n.\r\n"]).0, b".\r\n");
        assert_eq!(decode(&[b".a\r\n.\r\n"]).0, b"a\r\n");
        let held = decode(&[b".", b"\r", b"x\r\n.\r\n"]);
        assert_eq!(held.0, b"\rx\r\n");
        assert!(held.1.bare_cr);
    }

    #[test]
    fn promise_9_the_encoder_lets_no_look_alike_out() {
        for look_alike in LOOK_ALIKES {
            let message = [b"body", *look_alike, b"more\r\n"].concat();
            for cut in 0..=message.len() {
                let mut encoder = DotEncoder::new();
                let mut wire = Vec::new();
                let sent = encoder
                    .encode(&message[..cut], |bytes| wire.extend_from_slice(bytes))
                    .and_then(|()| encoder.encode(&message[cut..], |bytes| wire.extend_from_slice(bytes)));
                let Ok(()) = sent else {
                    assert!(decode(&[&message, b"\r\n.\r\n"]).1.any(), "{look_alike:?} was clean");
                    assert!(check([&message[..cut], &message[cut..]]).is_err());
                    continue;
                };
                wire.extend_from_slice(encoder.finish().unwrap());
                let (back, defects, rest) = decode(&[&wire]);
                assert_eq!((back, rest), (message.clone(), Some(vec![])), "{look_alike:?} cut at {cut}");
                assert!(!defects.any());
            }
        }
    }

    #[test]
    fn promise_9_the_encoder_never_adds_a_line_end() {
        let end = |message: &[u8]| check([message]);
        assert_eq!(end(b""), Ok(()));
        assert_eq!(end(b"a\r\n"), Ok(()));
        assert_eq!(end(b"a"), Err(Unsendable::Unterminated));
        assert_eq!(end(b"a\r"), Err(Unsendable::BareCr));
        assert_eq!(end(b"."), Err(Unsendable::Unterminated));
        assert_eq!(end(b"a\n"), Err(Unsendable::BareLf));
        assert_eq!(end(b"a\0\r\n"), Err(Unsendable::Nul));
    }

    #[test]
    fn p1_normalised_line_ends_do_not_depend_on_the_cuts() {
        let wire = b"a\nb\rc\r\nd\r\r\n\n.\n";
        for cut in 0..=wire.len() {
            let mut out = Vec::new();
            let mut normaliser = LineNormaliser::default();
            normaliser.normalise(&wire[..cut], |bytes| out.extend_from_slice(bytes));
            normaliser.normalise(&wire[cut..], |bytes| out.extend_from_slice(bytes));
            assert_eq!(out, b"a\r\nb\r\nc\r\nd\r\n\r\n\r\n.\r\n", "cut at {cut}");
        }
    }

    fn cuts(bytes: &[u8], at: &[usize]) -> Vec<Vec<u8>> {
        let mut ends: Vec<usize> = at.iter().map(|cut| cut % (bytes.len() + 1)).collect();
        ends.push(bytes.len());
        ends.sort_unstable();
        let mut from = 0;
        ends.into_iter().map(|to| bytes[std::mem::replace(&mut from, to)..to].to_vec()).collect()
    }

    /// Texts rich in what matters here.
    fn tricky() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just(b"\r\n".to_vec()),
            Just(b".".to_vec()),
            Just(b"\r".to_vec()),
            Just(b"\n".to_vec()),
            Just(b"\r\n.\r\n".to_vec()),
            proptest::collection::vec(any::<u8>(), 0..6),
        ];
        proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn promise_9_what_is_encoded_comes_back(
            message in tricky(),
            out_cuts in proptest::collection::vec(any::<usize>(), 0..5),
            in_cuts in proptest::collection::vec(any::<usize>(), 0..5),
        ) {
            let mut encoder = DotEncoder::new();
            let mut wire = Vec::new();
            let mut sent = Ok(());
            for piece in cuts(&message, &out_cuts) {
                sent = sent.and_then(|()| encoder.encode(&piece, |bytes| wire.extend_from_slice(bytes)));
            }
            match sent.and_then(|()| encoder.finish()) {
                Ok(end) => {
                    wire.extend_from_slice(end);
                    wire.extend_from_slice(b"NEXT");
                    let pieces = cuts(&wire, &in_cuts);
                    let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
                    prop_assert_eq!(decode(&pieces), (message, Defects::default(), Some(b"NEXT".to_vec())));
                }
                Err(why) => prop_assert_eq!(check([message.as_slice()]), Err(why)),
            }
        }

        #[test]
        fn promise_9_decoding_does_not_depend_on_the_cuts(
            wire in tricky(),
            at in proptest::collection::vec(any::<usize>(), 0..8),
        ) {
            let pieces = cuts(&wire, &at);
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            prop_assert_eq!(decode(&pieces), decode(&[&wire]));
        }

        #[test]
        fn promise_9_chunks_are_held_to_the_same_lines(message in tricky()) {
            let message = [message.as_slice(), b"\r\n"].concat();
            prop_assert_eq!(defects(&message).any(), check([message.as_slice()]).is_err());
        }

        #[test]
        fn promise_9_the_end_is_the_first_crlf_dot_crlf(wire in tricky()) {
            let framed = [b"\r\n", wire.as_slice()].concat();
            let end = memchr::memmem::find(&framed, b"\r\n.\r\n").map(|at| framed[at + 5..].to_vec());
            prop_assert_eq!(decode(&[&wire]).2, end);
        }
    }
}
