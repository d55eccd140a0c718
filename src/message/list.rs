//! List header fields (RFC 2369, 2919, 8058; RULES L8, P7, P8, P10).

use super::compose::{ComposeError, Unsubscribe};
use super::header::Block;

/// Longest URI that is written, so that no line of ours nears 998 octets.
pub(crate) const MAX_URI: usize = 900;

/// The three field texts of a copy, each with its CRLF.
pub(crate) struct Fields {
    /// `List-Unsubscribe`: one https URI, then mailto; folded between them, never inside (P10).
    pub unsubscribe: Vec<u8>,
    /// `List-Unsubscribe-Post`.
    pub post: &'static [u8],
    /// `List-Id`.
    pub id: Vec<u8>,
}

/// Write them, or say why the way out cannot be put in.
pub(crate) fn fields(way_out: &Unsubscribe) -> Result<Fields, ComposeError> {
    let refuse = |what: &str| Err(ComposeError::NoOptOut(format!("{what} cannot be written in a header")));
    if !is_secure(&way_out.url) || !is_uri(&way_out.url) {
        return refuse("the unsubscribe link");
    }
    let mut unsubscribe = format!("List-Unsubscribe: <{}>", way_out.url);
    if let Some(mailto) = &way_out.mailto {
        if !mailto.starts_with("mailto:") || !is_uri(mailto) {
            return refuse("the unsubscribe address");
        }
        unsubscribe.push_str(",\r\n <");
        unsubscribe.push_str(mailto);
        unsubscribe.push('>');
    }
    unsubscribe.push_str("\r\n");
    if !is_uri(&way_out.list_id) {
        return refuse("the List-Id");
    }
    Ok(Fields {
        unsubscribe: unsubscribe.into_bytes(),
        post: b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n",
        id: format!("List-Id: <{}>\r\n", way_out.list_id).into_bytes(),
    })
}

/// RULES P7 asks for https. Plain http is let through to this very machine only, where a newcomer tries
/// the gateway without a certificate.
fn is_secure(url: &str) -> bool {
    let loopback = |rest: &str| {
        let host = rest.split(['/', ':']).next().unwrap_or_default();
        host == "127.0.0.1" || host == "localhost" || rest.starts_with("[::1]")
    };
    url.starts_with("https://") || url.strip_prefix("http://").is_some_and(loopback)
}

fn is_uri(text: &str) -> bool {
    (1..=MAX_URI).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_graphic() && !b"<>\",".contains(&b))
}

/// The URIs between angle brackets, in order, white space inside them removed (RFC 2369 2).
pub(crate) fn uris(value: &str) -> Vec<String> {
    value
        .split('<')
        .skip(1)
        .filter_map(|rest| rest.split_once('>'))
        .map(|(uri, _)| uri.chars().filter(|c| !c.is_whitespace()).collect())
        .collect()
}

/// What a List-Id says: the text between the last angle brackets, lower-case (RFC 2919 2).
pub(crate) fn list_id(bytes: &[u8], block: &Block) -> Option<String> {
    let mut fields = block.named(bytes, "List-Id");
    let text = fields.next()?.text(bytes);
    let inner = match text.rfind('<') {
        Some(at) => text[at + 1..].split('>').next().unwrap_or_default(),
        None => text.as_str(),
    };
    let id = inner.trim().to_lowercase();
    (!id.is_empty() && !id.contains(char::is_whitespace)).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way_out() -> Unsubscribe {
        Unsubscribe {
            url: format!("https://u.example/u/{}", "k".repeat(200)),
            mailto: Some(format!("mailto:u+{}@u.example", "k".repeat(200))),
            list_id: "nieuws.12345678.sluis".into(),
        }
    }

    #[test]
    fn p7_one_https_uri_and_one_mailto() {
        let text = String::from_utf8(fields(&way_out()).unwrap().unsubscribe).unwrap();
        assert_eq!(uris(&text), [way_out().url, way_out().mailto.unwrap()]);
    }

    #[test]
    fn p10_folded_never_inside_a_uri() {
        let text = String::from_utf8(fields(&way_out()).unwrap().unsubscribe).unwrap();
        for line in text.lines() {
            assert_eq!(line.matches('<').count(), line.matches('>').count(), "{line}");
            assert!(line.len() < 998);
        }
    }

    #[test]
    fn l8_a_way_out_that_cannot_be_written_is_refused() {
        for url in [
            "http://x.nl/u/a",
            "http://127.0.0.1.x.nl/u/a",
            "https://x.nl/a b",
            "https://x.nl/a>",
            "https://x.nl/\r\nBcc: x",
            "",
        ] {
            let broken = Unsubscribe { url: url.into(), ..way_out() };
            assert!(matches!(fields(&broken), Err(ComposeError::NoOptOut(_))), "{url}");
        }
        for url in ["http://127.0.0.1.nl/u/a", "http://localhost.nl/u/a", "http://127.0.0.1@x.nl/u/a"] {
            assert!(fields(&Unsubscribe { url: url.into(), ..way_out() }).is_err(), "{url}");
        }
        for url in ["http://127.0.0.1:8025/u/a", "http://localhost/u/a", "http://[::1]:80/u/a"] {
            assert!(fields(&Unsubscribe { url: url.into(), ..way_out() }).is_ok(), "{url}");
        }
        let long = Unsubscribe { url: format!("https://x.nl/{}", "k".repeat(2000)), ..way_out() };
        assert!(fields(&long).is_err());
    }
}
