//! Customer relations and published business addresses (RULES L4, L5).

use jiff::Timestamp;
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

/// The clause of RULES L4 that a relation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RelationGap {
    /// Not given by the customer in a sale.
    NotInSale,
    /// No opt-out was offered when the address was taken.
    NoOptOutOffered,
    /// The product group is not among the rule's `similar_to`.
    NotSimilar,
    /// The last purchase is longer ago than the window.
    TooLongAgo,
    /// Dated, or recorded, after the send.
    Future,
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
    /// SHA-256 (hex) of the page.
    pub page_sha256: String,
    /// When it must be looked at again.
    pub review_by: Timestamp,
}

/// Why a publication does not count (RULES L5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PublishedGap {
    /// URL, page hash or quoted sentence is missing.
    Incomplete,
    /// The quote is a bare address: nothing says that it is meant for such mail.
    BareAddress,
    /// Captured after the send.
    Future,
    /// The review date has passed.
    Overdue,
}
