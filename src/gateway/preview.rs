//! What a message would look like to one recipient: classified and rewritten as on its way, but with a link
//! that opens nothing, without signatures, and without asking the register. Nothing is recorded or sent.

use std::collections::BTreeMap;
use std::net::IpAddr;

use bytes::Bytes;
use jiff::Timestamp;

use crate::mail::{Address, Class, ReversePath, SenderId};
use crate::message::{Brief, ComposeError, Composed, Limits, Message, Templates, Unsubscribe, compose};
use crate::policy::{self, Connection, EnvelopeFacts, Facts, MessageFacts, Profiles, Rules, Taken};

/// What a preview needs of the config.
#[derive(Debug)]
pub struct Preview<'a> {
    /// Rules and senders.
    pub rules: &'a Rules,
    /// The footer templates of each sender.
    pub footers: &'a BTreeMap<SenderId, Templates>,
    /// Bounds on structure.
    pub structure: Limits,
    /// Our name.
    pub hostname: &'a str,
    /// Where unsubscribe links point, without a slash at the end.
    pub unsubscribe_url: &'a str,
    /// Who would hand it over.
    pub account: Option<String>,
    /// From where.
    pub ip: IpAddr,
    /// Now.
    pub now: Timestamp,
}

impl Preview<'_> {
    /// What `message` is taken for, and the copy that `recipient` would get, or why there would be none.
    pub fn copy(
        &self,
        message: Bytes,
        reverse_path: ReversePath,
        recipient: &Address,
    ) -> (Taken, Result<Composed, ComposeError>) {
        let message = Message::parse(message, &self.structure);
        let connection = Connection { ip: self.ip, account: self.account.clone(), senders: Vec::new() };
        let facts = MessageFacts::of(self.rules, std::iter::once(recipient), &message);
        let taken = self.taken(&connection, &EnvelopeFacts { reverse_path }, recipient, &facts);
        let unsubscribe = Unsubscribe {
            url: format!("{}/u/preview", self.unsubscribe_url),
            mailto: None,
            list_id: format!("preview.{}", self.hostname),
        };
        let brief = Brief {
            class: taken.class,
            sender: taken.sender.as_deref(),
            purpose: taken.purpose.as_ref(),
            templates: taken.sender.as_ref().and_then(|sender| self.footers.get(&sender.id)),
            unsubscribe: Some(&unsubscribe).filter(|_| taken.class == Class::Marketing),
            trace: "preview",
            received: None,
            message_id: &format!("<preview@{}>", self.hostname),
            now: self.now,
            next_hop_8bit: true,
            is_ours: &|_| false,
        };
        let copy = compose(&message, &brief, &[]);
        (taken, copy)
    }

    fn taken(
        &self,
        connection: &Connection,
        envelope: &EnvelopeFacts,
        recipient: &Address,
        message: &MessageFacts,
    ) -> Taken {
        let facts = Facts {
            connection,
            envelope,
            recipient,
            message: Some(message),
            profiles: &Profiles::default(),
            unsubscribe_fault: None,
            now: self.now,
        };
        policy::taken_for(self.rules, &facts).unwrap_or(Taken {
            rule: None,
            class: Class::Marketing,
            sender: None,
            purpose: None,
            refused: false,
        })
    }
}
