//! A message of our own (a DSN, a notice of an unsubscribe) as part of a ledger record, so that it is
//! durable, and will be sent, in the same commit as the fact that caused it.

use bytes::Bytes;
use jiff::Timestamp;

use crate::ledger::{
    Admitted, AdmittedRecipient, DkimSigned, Event, Keep, Party, Record, Side, SpoolState, Spooled,
};
use crate::mail::{Address, Class, CopyId, Domain, Purpose, Recipient, ReversePath, hex};
use crate::message::{self, Rope, Signer};
use crate::policy::Basis;

/// A finished message of the gateway itself.
#[derive(Debug, Clone)]
pub struct Letter {
    /// To whom.
    pub to: Address,
    /// About what: `unsubscribe`, `dsn`, `confirmation`.
    pub about: String,
    /// The sender it is about, when it is about one.
    pub sender: Option<Party>,
    /// What it asks a consent for: then it goes only for as long as its recipient may be asked (RULES L12).
    pub asks_for: Option<Purpose>,
    /// Its Message-ID, with angle brackets.
    pub message_id: Option<String>,
    /// Whom it is From, when it is ours: the keys of that domain sign it. Without one, somebody else wrote it and
    /// we only pass it on.
    pub from: Option<Address>,
    /// Its exact bytes, but for the signature that an own one gets.
    pub bytes: Bytes,
}

/// What signs our own mail that is From its domain, or from below it.
#[derive(Debug, Clone)]
pub struct Seal {
    /// `d=`.
    pub domain: Domain,
    /// One per algorithm, as a rule.
    pub keys: Vec<Signer>,
    /// Which keys these are, for the ledger.
    pub names: Vec<DkimSigned>,
}

/// Sign a letter From `from` (RULES P11). Unsigned, it goes all the same: it is owed to somebody.
pub fn seal(bytes: Bytes, from: &Address, seals: &[Seal], now: Timestamp) -> (Bytes, Vec<DkimSigned>) {
    let nearest = seals
        .iter()
        .filter(|seal| from.domain().is_within(&seal.domain))
        .max_by_key(|seal| seal.domain.ascii().len());
    let Some(nearest) = nearest else { return (bytes, Vec::new()) };
    match message::seal(&bytes, u64::try_from(now.as_second()).unwrap_or(0), &nearest.keys) {
        Ok((sealed, made)) => {
            let names = nearest.names.iter().filter(|one| made.contains(&one.name)).cloned().collect();
            (sealed.into(), names)
        }
        Err(error) => {
            tracing::error!(%error, "a message of our own goes without a DKIM signature");
            (bytes, Vec::new())
        }
    }
}

/// What a letter gets on its way into the spool.
#[derive(Debug, Clone)]
pub struct Postmark {
    /// Its id.
    pub copy: CopyId,
    /// SHA-256 (hex) of the rules in force.
    pub rules_sha256: String,
    /// The next hop it is meant for.
    pub next_hop: String,
    /// When it is made, and due.
    pub now: Timestamp,
    /// When it is given up.
    pub expires_at: Timestamp,
    /// Its signatures.
    pub dkim: Vec<DkimSigned>,
}

/// Add `letter` to `record`: entries `notice_sent` and `admitted` (class `system`), its bytes, and its
/// place in the spool, due at once. It goes out with the null reverse-path: its failure bounces to nobody.
pub fn enclose(record: &mut Record, letter: Letter, postmark: Postmark) {
    let Letter { to, about, sender, asks_for, message_id, from: _, bytes } = letter;
    let Postmark { copy, rules_sha256, next_hop, now, expires_at, dkim } = postmark;
    let rope = Rope::whole(bytes.clone());
    let sha256 = rope.sha256();
    let spelled = hex(&sha256);
    let eight_bit = !bytes.is_ascii();
    let smtputf8 = to.is_internationalized();
    let sender_id = sender.as_ref().map(|party| party.id.clone());
    record.events.push(Event::NoticeSent { to: to.clone(), about, copy });
    record.events.push(Event::Admitted(Box::new(Admitted {
        copy,
        handover: None,
        tool: None,
        class: Class::System,
        sender,
        purpose: None,
        rule: None,
        rules_sha256,
        reverse_path: String::new(),
        recipients: vec![AdmittedRecipient {
            recipient: to.clone(),
            basis: Basis::NotNeeded,
            observed: None,
        }],
        message_id,
        original_sha256: spelled.clone(),
        sent_sha256: spelled,
        size: bytes.len() as u64,
        edits: Vec::new(),
        dkim,
        token: None,
        next_hop,
    })));
    record.sides.push(Side::Original { sha256, bytes });
    record.sides.push(Side::Edits { copy, original_sha256: sha256, rope, keep: Keep::Hash });
    record.sides.push(Side::Spool(Box::new(Spooled {
        copy,
        class: Class::System,
        sender: sender_id,
        purpose: asks_for,
        rule: None,
        reverse_path: ReversePath::Null,
        recipients: vec![Recipient::new(to)],
        ret: None,
        envid: None,
        original_sha256: sha256,
        eight_bit,
        smtputf8,
        state: SpoolState::Waiting { next: now },
        attempts: 0,
        admitted_at: now,
        expires_at,
        last_reply: String::new(),
        account: None,
        delay_told: false,
    })));
}
