//! What is the same for all copies of a message (RULES L7, L8, P2, P5, P8, P12), worked out once.
//!
//! A newsletter to 500 recipients is indexed, decoded and planned once; [`Plan::copy`] then fills in link,
//! trace and signature. Deliberately absent: anything that depends on the recipient.

use std::ops::Range;
use std::sync::Arc;

use memchr::memmem;

use super::body::{self, PartPlan, Reason, Wish};
use super::footer::{Footers, Templates};
use super::recode::{self, Recode};
use super::sign::{Covered, covered};
use super::structure::Shape;
use super::{Brief, ComposeError, Message, identity, list, place, trace};
use crate::mail::{Class, hex, sha256};

/// A message, a class and a sender: ready to make copies of.
#[derive(Debug, Clone)]
pub struct Plan {
    pub(super) message: Message,
    pub(super) class: Class,
    pub(super) next_hop_8bit: bool,
    pub(super) footers: Option<Arc<Footers>>,
    pub(super) parts: Vec<Planned>,
    /// Links in the text beside the bodies, as in a message that an earlier run wrapped.
    pub(super) beside: Vec<String>,
    /// Recoded parts that get no footer.
    pub(super) recodes: Vec<Recode>,
    pub(super) wrap: Option<Wrap>,
    pub(super) head: Head,
    /// Whether the original has octets over 127.
    pub(super) eight_bit: bool,
}

/// One body part: what to put in, or only how to recode it when it has our footer already.
#[derive(Debug, Clone)]
pub(super) struct Planned {
    pub number: usize,
    pub edit: PartPlan,
    pub bare: Option<Recode>,
}

/// The message as the first part of a new multipart/mixed, a footer as the second.
#[derive(Debug, Clone)]
pub(super) struct Wrap {
    pub why: &'static str,
    pub boundary: String,
    /// The Content-* fields, which move to the inner part.
    pub fields: Vec<Range<usize>>,
    /// Those of them that stay outside as well: the language, which decides about the footer's.
    pub stays: Vec<Range<usize>>,
    /// Links in the text parts at the top: one of ours means that it is wrapped already.
    pub links: Vec<String>,
}

/// What is in the header.
#[derive(Debug, Clone, Default)]
pub(super) struct Head {
    /// Fields that go, each with the lower-case name.
    pub removed: Vec<(Range<usize>, &'static str)>,
    /// The tool's own List-Unsubscribe and List-Unsubscribe-Post: ours take their place.
    pub unsubscribe: Option<Range<usize>>,
    pub post: Option<Range<usize>>,
    pub has_list_id: bool,
    pub has_date: bool,
    pub has_message_id: bool,
    pub has_mime: bool,
    /// Values of Sluis-Trace fields from outside.
    pub traces: Vec<String>,
    pub signatures: Vec<(Range<usize>, Covered)>,
}

impl Plan {
    /// Check and plan `message` for `brief`'s class, sender, purpose and next hop; its `unsubscribe` tells
    /// what the links look like. The copies' own briefs must agree in these.
    pub fn new(message: &Message, brief: &Brief<'_>) -> Result<Self, ComposeError> {
        if brief.class == Class::Marketing {
            admissible(message, brief)?;
        }
        let edited = matches!(brief.class, Class::Marketing | Class::Service);
        let footers = brief.sender.filter(|_| edited).map(|sender| {
            let language = message.language().unwrap_or(sender.language);
            match brief.templates {
                Some(templates) => templates.footers(sender, brief.purpose, language),
                None => Templates::default().footers(sender, brief.purpose, language),
            }
        });
        let mut plan = Self {
            message: message.clone(),
            class: brief.class,
            next_hop_8bit: brief.next_hop_8bit,
            footers,
            parts: Vec::new(),
            beside: Vec::new(),
            recodes: Vec::new(),
            wrap: None,
            head: head(message, brief.class),
            eight_bit: message.has_eight_bit(),
        };
        plan.bodies(brief)?;
        if !brief.next_hop_8bit {
            plan.seven_bit()?;
        }
        Ok(plan)
    }

    /// Decide between editing inside, wrapping, and leaving alone.
    fn bodies(&mut self, brief: &Brief<'_>) -> Result<(), ComposeError> {
        let Some(footers) = &self.footers else { return Ok(()) };
        let tree = self.message.tree();
        let sound = !tree.over && !tree.parts[0].block.junk;
        if !matches!(self.class, Class::Marketing | Class::Service) || !sound {
            return Ok(());
        }
        let shape = if tree.ambiguous { Shape::Opaque("unclear structure") } else { tree.shape() };
        let wish = Wish {
            text: &footers.text,
            html: &footers.html,
            link: brief.unsubscribe.filter(|_| self.class == Class::Marketing).map(|u| u.url.as_str()),
            placeholders: tree.placeholders,
            next_hop_8bit: self.next_hop_8bit,
        };
        // Where an earlier run may have left its link: beside a message that it wrapped, or in a body.
        let mut visible = tree.parts[0].children.clone();
        let why = match &shape {
            Shape::Bodies(numbers) => match plan_parts(&self.message, numbers, &wish) {
                Ok(parts) => {
                    self.parts = parts;
                    self.beside = beside(&self.message, numbers, wish.link);
                    return Ok(());
                }
                Err(Reason::Over) if self.class == Class::Marketing => {
                    return Err(ComposeError::Malformed(format!(
                        "a part has more than {} placeholders",
                        wish.placeholders
                    )));
                }
                Err(Reason::Over) => return Ok(()),
                Err(Reason::Wrap(why)) => {
                    visible.extend(numbers);
                    why
                }
            },
            Shape::Opaque(why) => why,
            Shape::Bare => "no text",
        };
        if self.class == Class::Marketing {
            self.wrap = Some(wrap(&self.message, why, &visible, wish.link));
        }
        Ok(())
    }

    /// RULES P5: nothing 8-bit may be left in the body.
    fn seven_bit(&mut self) -> Result<(), ComposeError> {
        let tree = self.message.tree();
        let bytes = self.message.original();
        let edited: Vec<usize> = self.parts.iter().map(|part| part.number).collect();
        self.recodes = recode::all(bytes, tree, &edited).map_err(eight_bit_left)?;
        for part in &mut self.parts {
            part.bare = recode::leaf(bytes, part.number, &tree.parts[part.number]).map_err(eight_bit_left)?;
        }
        Ok(())
    }

    /// The same for a message that is wrapped, and not only would be if no link of ours stood beside its text.
    pub(super) fn wraps_in_seven_bit(&self, wrap: &Wrap) -> Result<(), ComposeError> {
        let bytes = self.message.original();
        if wrap.fields.iter().any(|field| !bytes[field.clone()].is_ascii()) {
            return Err(eight_bit_left("8-bit octets in a field that moves into a part"));
        }
        if self.recodes.iter().any(|recode| recode.part == 0) {
            return Err(eight_bit_left("8-bit octets in a message that is wrapped whole"));
        }
        Ok(())
    }
}

/// RULES P5: what cannot be put into 7 bits.
fn eight_bit_left(why: &str) -> ComposeError {
    ComposeError::Malformed(format!("the next hop takes no 8-bit mail, and there are {why}"))
}

/// What every marketing message must be before anything is edited.
fn admissible(message: &Message, brief: &Brief<'_>) -> Result<(), ComposeError> {
    let Some(sender) = brief.sender else {
        return Err(ComposeError::Identity("no sender is known for this message".to_owned()));
    };
    let Some(way_out) = brief.unsubscribe else {
        return Err(ComposeError::NoOptOut("there is no unsubscribe link for this message".to_owned()));
    };
    let tree = message.tree();
    if tree.over {
        return Err(ComposeError::Malformed("too many headers or parts, or nested too deep".to_owned()));
    }
    if tree.parts[0].block.junk {
        return Err(ComposeError::Malformed("the header has a line that is no field".to_owned()));
    }
    if tree.parts.iter().any(|part| matches!(&*part.media, "application/ms-tnef" | "application/vnd.ms-tnef"))
    {
        return Err(ComposeError::NoOptOut(
            "Outlook's rich text (winmail.dat) is a second text, in which no link can be put; send it as html"
                .to_owned(),
        ));
    }
    identity::check(message, sender)?;
    list::fields(way_out).map(|_| ())
}

fn plan_parts(message: &Message, numbers: &[usize], wish: &Wish<'_>) -> Result<Vec<Planned>, Reason> {
    let tree = message.tree();
    numbers
        .iter()
        .map(|&number| {
            let part = &tree.parts[number];
            let edit = body::plan(message.original(), part, number > 0, wish)?;
            Ok(Planned { number, edit, bare: None })
        })
        .collect()
}

fn wrap(message: &Message, why: &'static str, visible: &[usize], link: Option<&str>) -> Wrap {
    let bytes = message.original();
    let tree = message.tree();
    let head = &tree.parts[0].block;
    let named = |start: &[u8]| {
        let fields = head.fields.iter();
        let fields = fields.filter(|field| bytes[field.name.clone()].to_ascii_lowercase().starts_with(start));
        fields.map(|field| field.all.clone()).collect()
    };
    Wrap {
        why,
        boundary: boundary(message),
        fields: named(b"content-"),
        stays: named(b"content-language"),
        links: links_in(message, visible.iter().copied(), link),
    }
}

/// The links in the texts that a reader sees at the top of the message besides `bodies`. Alternatives are
/// not beside each other.
fn beside(message: &Message, bodies: &[usize], link: Option<&str>) -> Vec<String> {
    let root = &message.tree().parts[0];
    if root.media != "multipart/mixed" {
        return Vec::new();
    }
    links_in(message, root.children.iter().copied().filter(|child| !bodies.contains(child)), link)
}

fn links_in(message: &Message, parts: impl Iterator<Item = usize>, link: Option<&str>) -> Vec<String> {
    let bytes = message.original();
    let mut links = Vec::new();
    for part in parts.map(|number| &message.tree().parts[number]) {
        if part.media.starts_with("text/") && !part.attachment {
            links.extend(place::links_of(bytes, part, link));
        }
    }
    links
}

/// A boundary that the message does not have in it, and the same each time.
fn boundary(message: &Message) -> String {
    let bytes = message.original();
    // Over all of it: nobody can write a message that has its own boundary in it.
    let hash = hex(&sha256(bytes)[..9]);
    let mut number = 0_u64;
    loop {
        // `=_` cannot occur in quoted-printable or base64 (RFC 2045 6.7).
        let boundary = format!("=_sluis_{hash}_{number}");
        if memmem::find(bytes, boundary.as_bytes()).is_none() {
            return boundary;
        }
        number += 1;
    }
}

fn head(message: &Message, class: Class) -> Head {
    let bytes = message.original();
    let block = message.head();
    let mut head = Head::default();
    let marketing = class == Class::Marketing;
    for field in &block.fields {
        let all = field.all.clone();
        // Longer than any that matters here.
        let mut name = [0; 32];
        let Some(name) = name.get_mut(..field.name.len()) else { continue };
        name.copy_from_slice(&bytes[field.name.clone()]);
        name.make_ascii_lowercase();
        match &*name {
            // RULES P2; a resent blind copy is as blind (RFC 5322 3.6.6).
            b"bcc" => head.removed.push((all, "bcc")),
            b"resent-bcc" => head.removed.push((all, "resent-bcc")),
            b"list-unsubscribe" if marketing => match head.unsubscribe {
                None => head.unsubscribe = Some(all),
                Some(_) => head.removed.push((all, "list-unsubscribe")),
            },
            b"list-unsubscribe-post" if marketing => match head.post {
                None => head.post = Some(all),
                Some(_) => head.removed.push((all, "list-unsubscribe-post")),
            },
            b"list-id" => head.has_list_id = true,
            b"date" => head.has_date = true,
            b"message-id" => head.has_message_id = true,
            b"mime-version" => head.has_mime = true,
            name if name == trace::TRACE_KEY.as_bytes() => {
                head.traces.push(field.text(bytes));
                head.removed.push((all, trace::TRACE_KEY));
            }
            b"dkim-signature" => head.signatures.push((all, covered(&bytes[field.value.clone()]))),
            _ => {}
        }
    }
    if block.over {
        let listed = block.fields.last().map_or(block.range.start, |field| field.all.end);
        head.removed.extend(unlisted_blind_copies(bytes, listed..block.range.end));
    }
    head
}

/// Blind copies stay blind in a header that is too long to be listed (RULES P2).
fn unlisted_blind_copies(bytes: &[u8], region: Range<usize>) -> Vec<(Range<usize>, &'static str)> {
    let mut found: Vec<(Range<usize>, &'static str)> = Vec::new();
    let mut at = region.start;
    let mut inside = false;
    for line in bytes[region].split_inclusive(|b| *b == b'\n') {
        let end = at + line.len();
        if !matches!(line.first(), Some(b' ' | b'\t')) {
            let name = line.split(|b| *b == b':').next().unwrap_or_default().trim_ascii_end();
            inside = name.eq_ignore_ascii_case(b"bcc") || name.eq_ignore_ascii_case(b"resent-bcc");
            if inside {
                found.push((at..end, "bcc"));
            }
        } else if inside && let Some((range, _)) = found.last_mut() {
            range.end = end;
        }
        at = end;
    }
    found
}
