//! The mail that carries a checkpoint outside.

use mail_builder::MessageBuilder;
use mail_builder::headers::address::Address as Mailbox;
use mail_builder::headers::date::Date;
use mail_builder::headers::message_id::MessageId;
use mail_builder::headers::raw::Raw;

use super::{Letterhead, Notice};
use crate::mail::Address;

/// Send the signed `note` over `size` entries to `to`, who keeps it: as text, so that any archive of mail will do.
pub fn checkpoint(size: u64, note: &str, to: &Address, letterhead: &Letterhead<'_>) -> Notice {
    let message_id = format!("{}@{}", letterhead.id, letterhead.hostname);
    let text = format!(
        "Keep this mail. It holds the signed root over the {size} entries that the ledger of {host} had\r\n\
         at {at}. A later ledger that does not begin with these entries was rewritten; save the lines below\r\n\
         as a file and ask: sluis ledger fsck --checkpoint FILE\r\n\r\n{note}",
        host = letterhead.hostname,
        at = letterhead.now.strftime("%Y-%m-%d %H:%M:%S UTC"),
        note = note.replace('\n', "\r\n"),
    );
    let mut bytes = Vec::new();
    // A signed note begins its last line with a dash that is no ASCII: base64 leaves no room for a rewrap.
    MessageBuilder::new()
        .header("Date", Date::new(letterhead.now.as_second()))
        .from(Mailbox::new_address(Some("Sluis"), letterhead.postmaster.as_str()))
        .to(Mailbox::new_address(None::<&str>, to.as_str()))
        .subject(format!("Checkpoint of {}: {size} entries", letterhead.hostname))
        .header("Message-ID", MessageId::new(message_id.as_str()))
        .header("Auto-Submitted", Raw::new("auto-generated"))
        .attachment("text/plain", "checkpoint.txt", note.to_owned())
        .text_body(text)
        .serialize(&mut bytes);
    Notice { to: to.clone(), message_id: format!("<{message_id}>"), bytes }
}

#[cfg(test)]
mod tests {
    use mail_parser::{MessageParser, MimeHeaders as _};

    use super::*;

    #[test]
    fn the_note_arrives_octet_for_octet() {
        let postmaster = Address::parse("postmaster@poort.voorbeeld.nl").unwrap();
        let letterhead = Letterhead {
            postmaster: &postmaster,
            hostname: "poort.voorbeeld.nl",
            id: "1",
            now: "2026-03-01T10:00:00Z".parse().unwrap(),
        };
        let note = "poort.voorbeeld.nl\n7\nAAAA\ncounts sent=1\n\n\u{2014} poort.voorbeeld.nl AAAA\n";
        let to = Address::parse("notaris@example.nl").unwrap();
        let notice = checkpoint(7, note, &to, &letterhead);
        let parsed = MessageParser::default().parse(&notice.bytes).unwrap();
        let attached = parsed.attachments().next().unwrap();
        assert_eq!(attached.contents(), note.as_bytes());
        assert_eq!(attached.attachment_name(), Some("checkpoint.txt"));
        assert!(parsed.body_text(0).unwrap().contains("sluis ledger fsck --checkpoint FILE"));
    }
}
