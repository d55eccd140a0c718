//! Customer relations and published business addresses (RULES L4, L5).

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde::{Deserialize, Serialize};

/// A purchase by which an address may be mailed about similar products (RULES L4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relation {
    /// The product group that was bought.
    pub product: String,
    /// The last transaction, or the end of the contract, UTC.
    pub last_purchase: Timestamp,
    /// When the gateway learned of it.
    pub recorded_at: Timestamp,
    /// Whether opting out was offered when the address was taken.
    pub opt_out_offered: bool,
    /// Whether the customer gave the address in the sale (not a quote, lead, download or contest).
    pub given_in_sale: bool,
    /// Order or contract number, or wherever it is known from.
    pub source: Option<String>,
}

impl Relation {
    /// Whether the register may take it. One that fails another clause of L4 is taken, so that a refusal can
    /// say which.
    pub fn check(&self, now: Timestamp) -> Result<(), RelationError> {
        if self.product.trim().is_empty() {
            Err(RelationError::NoProduct)
        } else if self.last_purchase > now {
            Err(RelationError::Future { at: self.last_purchase })
        } else {
            Ok(())
        }
    }

    /// Whether `other` says the same, whenever it was recorded (RULES L19).
    pub fn is_same(&self, other: &Self) -> bool {
        Self { recorded_at: self.recorded_at, ..other.clone() } == *self
    }

    /// The clause it fails for a message about `similar_to` at `now`; `None` when it is a basis.
    ///
    /// The window is counted in calendar months, UTC, and its last moment is within it. Product groups are
    /// compared without regard to case and outer space.
    pub fn gap(&self, similar_to: &[String], window_months: u32, now: Timestamp) -> Option<RelationGap> {
        RelationGap::ALL.into_iter().find(|clause| !self.holds(*clause, similar_to, window_months, now))
    }

    /// Whether one clause holds, whatever the others say.
    pub fn holds(
        &self,
        clause: RelationGap,
        similar_to: &[String],
        window_months: u32,
        now: Timestamp,
    ) -> bool {
        match clause {
            RelationGap::Future => self.last_purchase <= now && self.recorded_at <= now,
            RelationGap::NotInSale => self.given_in_sale,
            RelationGap::NoOptOutOffered => self.opt_out_offered,
            RelationGap::NotSimilar => similar_to.iter().any(|group| same_group(group, &self.product)),
            RelationGap::TooLongAgo => {
                months_later(self.last_purchase, window_months).is_none_or(|end| now <= end)
            }
        }
    }
}

fn same_group(a: &str, b: &str) -> bool {
    let fold = |text: &str| text.trim().chars().flat_map(char::to_lowercase).collect::<Vec<_>>();
    a == b || fold(a) == fold(b)
}

/// `None` when it lies past the end of the calendar.
fn months_later(at: Timestamp, months: u32) -> Option<Timestamp> {
    let span = Span::new().try_months(months).ok()?;
    at.to_zoned_datetime(TimeZone::UTC).checked_add(span).ok().map(|end| end.timestamp())
}

/// The clause of RULES L4 that a relation fails.
///
/// In the order in which they are looked at: a later one is nearer to a basis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RelationGap {
    /// Dated, or recorded, after the send.
    Future,
    /// Not given by the customer in a sale.
    NotInSale,
    /// No opt-out was offered when the address was taken.
    NoOptOutOffered,
    /// The product group is not among the rule's `similar_to`.
    NotSimilar,
    /// The last purchase is longer ago than the window.
    TooLongAgo,
}

impl RelationGap {
    /// Every clause, in the order in which they are looked at.
    pub const ALL: [Self; 5] =
        [Self::Future, Self::NotInSale, Self::NoOptOutOffered, Self::NotSimilar, Self::TooLongAgo];
}

/// A row that is no relation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RelationError {
    /// The purchase lies in the future.
    #[error("L4: the purchase is dated {at}, which is in the future")]
    Future {
        /// The date given.
        at: Timestamp,
    },
    /// No product group.
    #[error("L4: the product group is missing")]
    NoProduct,
}

/// A business address that was published for being mailed about this purpose (RULES L5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// Where it was published.
    pub url: String,
    /// The sentence that says so.
    pub quote: String,
    /// When the page was captured.
    pub captured_at: Timestamp,
    /// When the gateway learned of it.
    pub recorded_at: Timestamp,
    /// SHA-256 (hex) of the page.
    pub page_sha256: String,
    /// When it must be looked at again.
    pub review_by: Timestamp,
}

impl Published {
    /// Why it is no basis at `now`; `None` when it is one.
    ///
    /// The quote must be a sentence that says what the address is for: a bare `info@` on a contact page does
    /// not qualify, whatever stands around it.
    pub fn gap(&self, now: Timestamp) -> Option<PublishedGap> {
        PublishedGap::ALL.into_iter().find(|clause| !self.holds(*clause, now))
    }

    /// Whether one clause holds, whatever the others say.
    pub fn holds(&self, clause: PublishedGap, now: Timestamp) -> bool {
        match clause {
            PublishedGap::Incomplete => {
                [&self.url, &self.quote, &self.page_sha256].iter().all(|field| !field.trim().is_empty())
            }
            PublishedGap::BareAddress => !is_bare_address(&self.quote),
            PublishedGap::Future => self.captured_at <= now && self.recorded_at <= now,
            PublishedGap::Overdue => now <= self.review_by,
        }
    }

    /// Whether the register may take it. A review date that has passed is taken, so that a refusal can say so.
    pub fn check(&self, now: Timestamp) -> Result<(), PublishedError> {
        let is_web = ["https://", "http://"].iter().any(|scheme| {
            self.url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
                && self.url.len() > scheme.len()
        });
        if !is_web {
            Err(PublishedError::NoUrl)
        } else if self.quote.trim().is_empty() {
            Err(PublishedError::NoQuote)
        } else if is_bare_address(&self.quote) {
            Err(PublishedError::BareAddress { quote: self.quote.clone() })
        } else if self.page_sha256.trim().is_empty() {
            Err(PublishedError::NoPage)
        } else if self.captured_at > now {
            Err(PublishedError::Future { at: self.captured_at })
        } else if self.review_by < self.captured_at {
            Err(PublishedError::ReviewBeforeCapture { at: self.review_by })
        } else {
            Ok(())
        }
    }

    /// When a page captured at `captured_at` is looked at again, unless another date was agreed: 12 months on.
    pub fn review_after(captured_at: Timestamp) -> Timestamp {
        months_later(captured_at, REVIEW_MONTHS).unwrap_or(captured_at)
    }

    /// Whether `other` says the same, whenever it was recorded (RULES L19).
    pub fn is_same(&self, other: &Self) -> bool {
        Self { recorded_at: self.recorded_at, ..other.clone() } == *self
    }

    /// Whether it is a basis at `now`.
    pub fn usable(&self, now: Timestamp) -> bool {
        self.gap(now).is_none()
    }
}

/// A row that is no publication for being mailed (RULES L5).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishedError {
    /// No page on the web.
    #[error("L5: url missing; the page that publishes the address, as https://…")]
    NoUrl,
    /// No sentence.
    #[error("L5: quote missing; the sentence on the page that says what the address is for")]
    NoQuote,
    /// The sentence is none.
    #[error("L5: \"{quote}\" only shows an address; a bare info@ is not published for being mailed")]
    BareAddress {
        /// As it was given.
        quote: String,
    },
    /// No hash of the page.
    #[error("L5: page_sha256 missing; the SHA-256 of the page as it was captured")]
    NoPage,
    /// Captured in the future.
    #[error("L5: the page was captured at {at}, which is in the future")]
    Future {
        /// The date given.
        at: Timestamp,
    },
    /// Looked at again before it was looked at.
    #[error("L5: review_by is {at}, before the page was captured")]
    ReviewBeforeCapture {
        /// The date given.
        at: Timestamp,
    },
}

/// Months after which a page is looked at again (RULES L5).
const REVIEW_MONTHS: u32 = 12;

/// Fewer words than a sentence that designates an address can have.
const FEWEST_WORDS: usize = 3;

/// Whether a quote is an address with at most a label before it (`E-mail: info@example.nl`).
fn is_bare_address(quote: &str) -> bool {
    let words = quote
        .split_whitespace()
        .filter(|word| !word.contains('@') && !word.ends_with(':') && word.chars().any(char::is_alphabetic))
        .count();
    words < FEWEST_WORDS
}

/// Why a publication does not count (RULES L5), the later the nearer to a basis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PublishedGap {
    /// Captured after the send.
    Future,
    /// URL, page hash or quoted sentence is missing.
    Incomplete,
    /// The quote is a bare address: nothing says that it is meant for such mail.
    BareAddress,
    /// The review date has passed.
    Overdue,
}

impl PublishedGap {
    /// Every clause, in the order in which they are looked at.
    pub const ALL: [Self; 4] = [Self::Incomplete, Self::BareAddress, Self::Future, Self::Overdue];
}
