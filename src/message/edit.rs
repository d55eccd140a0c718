//! Splices over the original: everything outside them is the original, by construction (promise 4).

use std::ops::Range;

use super::Piece;
use super::body::Splice;

/// Sort splices; those at one place keep the order they were made in. `None` when two overlap.
pub(crate) fn ordered(mut splices: Vec<Splice>) -> Option<Vec<Splice>> {
    splices.sort_by_key(|(range, _)| range.start);
    let apart = splices.windows(2).all(|pair| pair[0].0.end <= pair[1].0.start);
    apart.then_some(splices)
}

/// `range` of the original with the splices that lie in it put in; the splices are sorted.
pub(crate) fn pieces(range: Range<usize>, splices: &[Splice], out: &mut Vec<Piece>) {
    let mut at = range.start;
    for (place, new) in splices {
        if place.start < range.start || place.end > range.end {
            continue;
        }
        if at < place.start {
            out.push(Piece::Original(at..place.start));
        }
        if !new.is_empty() {
            out.push(Piece::Own(new.clone()));
        }
        at = place.end;
    }
    if at < range.end {
        out.push(Piece::Original(at..range.end));
    }
}

/// The octets of `pieces`.
pub(crate) fn bytes(original: &[u8], pieces: &[Piece]) -> Vec<u8> {
    let mut all = Vec::new();
    for piece in pieces {
        all.extend_from_slice(chunk(original, piece));
    }
    all
}

/// One piece's octets.
pub(crate) fn chunk<'a>(original: &'a [u8], piece: &'a Piece) -> &'a [u8] {
    match piece {
        Piece::Original(range) => &original[range.clone()],
        Piece::Own(own) => own,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promise_4_outside_the_splices_nothing_changes() {
        let original = b"0123456789";
        let splices = ordered(vec![(7..8, "seven".into()), (2..2, "a".into()), (2..2, "b".into())]).unwrap();
        let mut out = Vec::new();
        pieces(0..10, &splices, &mut out);
        assert_eq!(bytes(original, &out), b"01ab23456seven89");
        assert!(ordered(vec![(1..4, "".into()), (3..5, "".into())]).is_none());
    }
}
