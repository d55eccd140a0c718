//! Consent events and their fold (RULES L1, L2).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How a person gave consent (RULES L2): only an active act counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Ticked a box that was empty.
    TickedBox,
    /// Typed the address into a form made for this.
    Typed,
    /// Signed on paper or screen.
    Signed,
    /// Clicked the link of a confirmation mail.
    ClickedConfirm,
    /// Said so in a recorded conversation.
    SpokenRecorded,
}

/// What is known about how a grant came about. Absent fields lower the grade.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Evidence {
    /// SHA-256 (hex) of the consent text as it was shown; the text itself is kept by the store.
    pub text_sha256: Option<String>,
    /// Version of the privacy text that was shown with it.
    pub privacy_version: Option<String>,
    /// The active act.
    pub act: Option<Act>,
    /// URL, form name, scan or recording it was given at.
    pub source: Option<String>,
    /// IP address it was given from.
    pub ip: Option<String>,
    /// Whether the box was ticked beforehand, where that is known; `Some(true)` is no consent.
    pub pre_ticked: Option<bool>,
    /// Whether it was part of terms and conditions, where that is known; `Some(true)` is no consent.
    pub bundled: Option<bool>,
    /// The importer's written word that consent was given, where the text is unknown (grade C).
    pub attestation: Option<String>,
}

/// One event in the life of a consent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentEvent {
    /// What happened.
    pub kind: ConsentEventKind,
    /// When it happened in the world (not when it was recorded), UTC.
    pub at: Timestamp,
    /// When the gateway learned of it, UTC: a basis must have existed, and be known, before the send.
    pub recorded_at: Timestamp,
    /// How it is known.
    pub evidence: Evidence,
}

/// The kinds of consent event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsentEventKind {
    /// The person asked to be asked (a form was sent in, a confirmation mail is due).
    Request,
    /// Consent was given.
    Grant,
    /// A grant was confirmed by a second act (double opt-in).
    Confirm,
    /// Consent was taken back.
    Withdraw,
    /// An earlier event was recorded by mistake: whatever stands before it no longer counts.
    Correct,
    /// It was given for a time, and that has passed; may be dated in the future. No objection: what rests on
    /// something else still stands.
    Expire,
    /// Consent was taken over from another tool by its word: a grant, and never the person's own act.
    Import,
}

/// How good the evidence of a grant is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Grade {
    /// The address only: never a basis.
    D,
    /// The text is unknown, but the importer attests the consent.
    C,
    /// Text, act, time and source; no confirmation.
    B,
    /// Text, act, time, source and confirmation.
    A,
}

/// What is known today.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConsentState {
    /// No event that counts.
    None,
    /// Asked for, not given.
    Requested,
    /// Given.
    Granted {
        /// How good the evidence is.
        grade: Grade,
        /// When it was given (the grant's own time, not the confirmation's).
        since: Timestamp,
        /// Index of the grant in the history.
        event: usize,
        /// Whether the person's own act is on record, and not only the importer's word: only such a grant
        /// lifts an unsubscribe (RULES L16).
        by_person: bool,
    },
    /// Given once and taken back.
    Withdrawn {
        /// When.
        since: Timestamp,
    },
    /// Given for a time that has passed.
    Expired {
        /// When.
        since: Timestamp,
    },
}

/// Why a grant cannot be taken into the register; each names its RULES number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConsentError {
    /// The time of the grant lies in the future.
    #[error("L1: the consent is dated {at}, which is in the future")]
    Future {
        /// The date given.
        at: Timestamp,
    },
    /// The time of the grant is no time at which it can have been given: an empty or broken date field.
    #[error("L2: the consent is dated {at}, which cannot be the time it was given")]
    Implausible {
        /// The date given.
        at: Timestamp,
    },
    /// Neither a text and an act, nor an attestation.
    #[error(
        "L2: {missing} missing; a consent needs the text as shown, an act, a time and a source, or an attestation"
    )]
    Incomplete {
        /// The names of the missing fields.
        missing: String,
    },
    /// The box was ticked beforehand.
    #[error("L2: the box was ticked beforehand; only a box that the person ticked counts")]
    PreTicked,
    /// It was part of something else.
    #[error("L2: the consent was part of terms and conditions; it must be asked for on its own")]
    Bundled,
    /// A way that is no active act.
    #[error("L2: \"{given}\" is no active act; silence, a bought list or a business card does not count")]
    Passive {
        /// As it was given.
        given: String,
    },
    /// A word for the act that is not known.
    #[error(
        "L2: \"{given}\" is not an act; expected ticked_box, typed, signed, clicked_confirm or spoken_recorded"
    )]
    UnknownAct {
        /// As it was given.
        given: String,
    },
    /// The consent text does not name the sender.
    #[error("L2: the consent text does not name the sender; expected one of: {names}")]
    SenderNotNamed {
        /// The names that would do.
        names: String,
    },
    /// The consent text speaks of partners it does not name.
    #[error("L2: the consent text speaks of \"{word}\"; consent counts only for senders it names")]
    Partners {
        /// The word.
        word: String,
    },
}

/// Before this nobody gave consent to electronic mail in a form that could be shown; an earlier date is an
/// empty or broken field (1970-01-01 most of all). 1995-01-01T00:00:00Z.
const PLAUSIBLE_SINCE: Timestamp = Timestamp::constant(788_918_400, 0);

/// The word of whoever hands over a file in which a consent is complete. One text for all files, so that the
/// same row in two of them is one fact.
const FROM_FILE: &str = "as it stands in the imported file";

/// Words that stand in real exports for ways which are no active act.
const PASSIVE: [&str; 11] = [
    "pre_ticked",
    "preticked",
    "silence",
    "implied",
    "implicit",
    "bought_list",
    "purchased_list",
    "business_card",
    "terms",
    "bundled",
    "opt_out",
];

impl Act {
    /// The act a word stands for, in any case and with `-` or spaces for `_`.
    pub fn parse(text: &str) -> Result<Self, ConsentError> {
        let word = text.trim().to_lowercase().replace(['-', ' '], "_");
        match word.as_str() {
            "ticked_box" => Ok(Self::TickedBox),
            "typed" => Ok(Self::Typed),
            "signed" => Ok(Self::Signed),
            "clicked_confirm" => Ok(Self::ClickedConfirm),
            "spoken_recorded" => Ok(Self::SpokenRecorded),
            word if PASSIVE.contains(&word) => Err(ConsentError::Passive { given: text.to_owned() }),
            _ => Err(ConsentError::UnknownAct { given: text.to_owned() }),
        }
    }
}

impl Evidence {
    /// The grade of a grant with this evidence and no confirmation: B, C or D.
    fn grade(&self) -> Grade {
        if self.pre_ticked == Some(true) || self.bundled == Some(true) {
            Grade::D
        } else if there(&self.text_sha256) && self.act.is_some() && there(&self.source) {
            Grade::B
        } else if there(&self.attestation) {
            Grade::C
        } else {
            Grade::D
        }
    }

    /// The evidence of a row of a file: whoever hands the file over vouches for it, so that it never lifts an
    /// opt-out, however complete it is (RULES L16, L19). What has nothing to vouch for (grade D) stays so.
    pub fn from_file(self) -> Self {
        if self.grade() > Grade::C && !there(&self.attestation) {
            Self { attestation: Some(FROM_FILE.to_owned()), ..self }
        } else {
            self
        }
    }

    /// The evidence of a confirmation in a file: it too is the word of whoever hands the file over, and says nothing
    /// about what the person gave elsewhere (RULES L16, L19).
    pub fn from_file_confirming(self) -> Self {
        Self {
            attestation: self
                .attestation
                .filter(|text| !text.trim().is_empty())
                .or(Some(FROM_FILE.to_owned())),
            ..self
        }
    }

    /// Whether somebody other than the person vouches for it.
    pub fn is_vouched_for(&self) -> bool {
        there(&self.attestation)
    }

    /// Whether it shows the person's own act, and not the importer's word.
    fn is_by_person(&self) -> bool {
        self.act.is_some() && !self.is_vouched_for()
    }
}

fn there(field: &Option<String>) -> bool {
    field.as_deref().is_some_and(|text| !text.trim().is_empty())
}

impl ConsentEventKind {
    /// Whether it gives consent, if its evidence is good enough.
    pub fn is_grant(self) -> bool {
        matches!(self, Self::Grant | Self::Import)
    }
}

impl ConsentEvent {
    /// Whether it shows that the mailbox works: the person clicked a link in a mail. A file only says that somebody did.
    pub fn shows_that_mail_arrives(&self) -> bool {
        self.kind == ConsentEventKind::Confirm && !self.evidence.is_vouched_for()
    }

    /// Whether the register may take it (RULES L1, L2). A withdrawal always may: an opt-out is never lost
    /// for its form.
    pub fn check(&self, now: Timestamp) -> Result<(), ConsentError> {
        if self.kind == ConsentEventKind::Withdraw {
            return Ok(());
        }
        if self.at > now && self.kind != ConsentEventKind::Expire {
            return Err(ConsentError::Future { at: self.at });
        }
        if self.at < PLAUSIBLE_SINCE {
            return Err(ConsentError::Implausible { at: self.at });
        }
        if !self.kind.is_grant() {
            return Ok(());
        }
        let evidence = &self.evidence;
        if evidence.pre_ticked == Some(true) {
            return Err(ConsentError::PreTicked);
        }
        if evidence.bundled == Some(true) {
            return Err(ConsentError::Bundled);
        }
        if evidence.grade() > Grade::D {
            return Ok(());
        }
        let missing: Vec<&str> = [
            ("text", there(&evidence.text_sha256)),
            ("act", evidence.act.is_some()),
            ("source", there(&evidence.source)),
        ]
        .into_iter()
        .filter_map(|(name, present)| (!present).then_some(name))
        .collect();
        Err(ConsentError::Incomplete { missing: missing.join(", ") })
    }

    /// The time it counts from. A withdrawal dated after it was recorded (a tool whose clock runs ahead)
    /// counts from when it was recorded: an opt-out does not wait (RULES L3).
    fn counts_from(&self) -> Timestamp {
        match self.kind {
            ConsentEventKind::Withdraw => self.at.min(self.recorded_at),
            _ => self.at,
        }
    }
}

/// Whether `history` holds the fact of `event` already: the same fact taken in twice is one fact, and the first
/// recording of it counts (RULES L19). A correction says that what stands before it no longer counts; what
/// follows it is new again.
pub fn is_known(history: &[ConsentEvent], event: &ConsentEvent) -> bool {
    let since = history.iter().rposition(|known| known.kind == ConsentEventKind::Correct).unwrap_or(0);
    history[since..]
        .iter()
        .any(|known| known.kind == event.kind && known.at == event.at && known.evidence == event.evidence)
}

/// Fold `events`, in the order of their `at` (ties: as recorded), into what is known at `now`. Events
/// dated or recorded after `now` do not count (RULES L1).
///
/// Grants stand beside each other until a withdrawal ends them all, and the best one is told: lesser
/// evidence never takes away better. A confirmation confirms every grant that stands before it; one
/// without a grant is nothing, and one that somebody vouches for confirms no act of the person. After a withdrawal only
/// a new grant by the person counts (RULES L16, L19).
pub fn fold(events: &[ConsentEvent], now: Timestamp) -> ConsentState {
    let mut fold = Fold::default();
    if events.is_sorted_by_key(ConsentEvent::counts_from) {
        events.iter().enumerate().for_each(|(index, event)| fold.take(index, event, now));
    } else {
        let mut order: Vec<usize> = (0..events.len()).collect();
        order.sort_by_key(|&index| events[index].counts_from());
        order.into_iter().for_each(|index| fold.take(index, &events[index], now));
    }
    fold.state()
}

/// What stands, while the events go by in order.
#[derive(Default)]
struct Fold {
    requested: bool,
    withdrawn: Option<Timestamp>,
    expired: Option<Timestamp>,
    /// The best grant that stands.
    best: Option<Standing>,
    /// The grant by the person with text, act and source that their confirmation would lift to grade A.
    full: Option<Standing>,
    /// The same for a grant that somebody vouches for.
    vouched: Option<Standing>,
}

#[derive(Clone, Copy)]
struct Standing {
    grade: Grade,
    since: Timestamp,
    event: usize,
    by_person: bool,
}

impl Standing {
    /// What lifts an unsubscribe comes first, so that no better-looking import hides it (RULES L16).
    fn rank(&self) -> (bool, Grade, bool) {
        (self.by_person && self.grade == Grade::A, self.grade, self.by_person)
    }
}

impl Fold {
    fn take(&mut self, index: usize, event: &ConsentEvent, now: Timestamp) {
        if event.counts_from() > now || event.recorded_at > now {
            return;
        }
        match event.kind {
            ConsentEventKind::Request => self.requested = true,
            ConsentEventKind::Grant | ConsentEventKind::Import => {
                let grant = Standing {
                    grade: event.evidence.grade(),
                    since: event.at,
                    event: index,
                    by_person: event.kind == ConsentEventKind::Grant && event.evidence.is_by_person(),
                };
                if self.is_withdrawn() && !grant.by_person {
                    return;
                }
                match (grant.grade, grant.by_person) {
                    (Grade::B, true) => self.full = Some(grant),
                    (Grade::B, false) => self.vouched = Some(grant),
                    _ => {}
                }
                self.offer(grant);
            }
            ConsentEventKind::Confirm => {
                let own = self.full.filter(|_| !event.evidence.is_vouched_for());
                if let Some(full) = own.or(self.vouched) {
                    self.offer(Standing { grade: Grade::A, ..full });
                }
            }
            ConsentEventKind::Withdraw => {
                *self = Self { withdrawn: Some(event.counts_from()), ..Self::default() };
            }
            ConsentEventKind::Correct => *self = Self::default(),
            ConsentEventKind::Expire => {
                // A withdrawal that a later grant took back does not come again when that grant ends.
                let withdrawn = self.withdrawn.filter(|_| self.is_withdrawn());
                *self = Self { withdrawn, expired: Some(event.at), ..Self::default() };
            }
        }
    }

    /// Whether a withdrawal stands: an address without evidence takes none back.
    fn is_withdrawn(&self) -> bool {
        self.withdrawn.is_some() && self.best.is_none_or(|best| best.grade == Grade::D)
    }

    /// Of two grants that are as good, the later one is told.
    fn offer(&mut self, grant: Standing) {
        if self.best.is_none_or(|best| grant.rank() >= best.rank()) {
            self.best = Some(grant);
        }
    }

    fn state(self) -> ConsentState {
        match self {
            // An address without evidence takes no withdrawal back.
            Self { best: Some(Standing { grade, since, event, by_person }), withdrawn, .. }
                if grade > Grade::D || withdrawn.is_none() =>
            {
                ConsentState::Granted { grade, since, event, by_person }
            }
            Self { withdrawn: Some(since), .. } => ConsentState::Withdrawn { since },
            Self { expired: Some(since), .. } => ConsentState::Expired { since },
            Self { requested: true, .. } => ConsentState::Requested,
            _ => ConsentState::None,
        }
    }
}
