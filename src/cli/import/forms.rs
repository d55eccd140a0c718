//! The files that mailing tools and shops export: how each is told from the others, and which of its columns
//! say what. Column names are those of the table: lower case, `_` for spaces and hyphens.

use super::Format;

/// What the columns of a tool's file mean. The first column that is there and not empty counts; of those that may say
/// that somebody left, all do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    /// Whose word it is.
    pub name: &'static str,
    /// All of these columns together tell the form; none: it is only taken when it is named.
    pub signature: &'static [&'static str],
    /// Whose.
    pub address: &'static [&'static str],
    /// When the person signed up; a time at which a tool added an address is not one (RULES, import formats).
    pub granted: &'static [&'static str],
    /// From which IP address.
    pub ip: &'static [&'static str],
    /// Where.
    pub source: &'static [&'static str],
    /// When the person confirmed.
    pub confirmed: &'static [&'static str],
    /// From which IP address.
    pub confirmed_ip: &'static [&'static str],
    /// When the person left: anything in it is an opt-out.
    pub left: &'static [&'static str],
    /// Why the person left.
    pub reason: &'static [&'static str],
    /// A word for how things stand.
    pub state: &'static [&'static str],
    /// Those of them that nobody but the tool fills in: a word there that is not known is never passed over.
    pub own_state: &'static [&'static str],
    /// Columns that say yes to an opt-out; a name that ends in `*` stands for all that begin with it.
    pub out: &'static [&'static str],
    /// What a shop's order has, for customer relations.
    pub order: Option<Order>,
}

/// The columns of an order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order {
    /// Its number.
    pub number: &'static [&'static str],
    /// When it was paid, or made.
    pub at: &'static [&'static str],
    /// What was bought.
    pub product: &'static [&'static str],
    /// Filled when nothing came of it.
    pub cancelled: &'static [&'static str],
    /// "no" when the buyer did not want to hear more.
    pub declined: &'static [&'static str],
}

/// What tools call the time at which somebody left.
const LEFT: &[&str] = &[
    "unsub_time",
    "unsubscribe_date",
    "unsubscribed_date",
    "unsubscribed_at",
    "unsubscribe_time",
    "date_unsubscribe",
    "date_unsubscribed",
    "opt_out_date",
    "opt_out_time",
    "optout_date",
    "optout_time",
    "uitgeschreven_op",
    "afgemeld_op",
];

/// What tools, and people who add columns of their own, call how things stand.
const STATE: &[&str] = &["state", "status", "member_status", "subscriber_status", "subscription_status"];

const NONE: Form = Form {
    name: "",
    signature: &[],
    address: &["email", "email_address", "e_mail", "emailaddress", "e_mailadres", "emailadres", "address"],
    granted: &[],
    ip: &[],
    source: &[],
    confirmed: &[],
    confirmed_ip: &[],
    left: LEFT,
    reason: &[],
    state: STATE,
    own_state: &[],
    out: &["blocklisted", "blacklisted", "email_blacklisted", "unsubscribed", "opted_out", "opt_out"],
    order: None,
};

/// Every form, the more telling signatures first.
pub(super) const FORMS: &[Form] = &[
    Form {
        name: "mailchimp",
        // The column of the address is called as whoever made the list calls it.
        signature: &["optin_time"],
        granted: &["optin_time"],
        ip: &["optin_ip"],
        confirmed: &["confirm_time"],
        confirmed_ip: &["confirm_ip"],
        reason: &["unsub_reason", "unsub_campaign_title"],
        ..NONE
    },
    Form {
        name: "mailerlite",
        signature: &["signup_timestamp"],
        address: &["subscriber", "email", "email_address"],
        granted: &["signup_timestamp", "opt_in_timestamp", "optin_timestamp"],
        ip: &["signup_ip", "optin_ip"],
        confirmed: &["confirmation_timestamp"],
        confirmed_ip: &["confirmation_ip"],
        reason: &["unsubscribe_reason"],
        state: &["status", "type", "state", "subscriber_status", "subscription_status"],
        ..NONE
    },
    Form {
        name: "mailwizz",
        signature: &["optin_date", "confirm_date"],
        granted: &["optin_date"],
        ip: &["optin_ip", "ip_address"],
        source: &["source_url"],
        confirmed: &["confirm_date"],
        confirmed_ip: &["confirm_ip"],
        ..NONE
    },
    Form {
        name: "laposta",
        signature: &["signup_date", "source_url"],
        granted: &["signup_date"],
        ip: &["ip"],
        source: &["source_url"],
        confirmed: &["confirm_date", "confirmed_date"],
        own_state: &["state"],
        ..NONE
    },
    Form {
        name: "listmonk",
        signature: &["uuid", "email", "attributes", "status"],
        own_state: &["status"],
        ..NONE
    },
    Form {
        name: "hubspot",
        signature: &["unsubscribed_from_all_email"],
        granted: &["legal_basis_timestamp", "consent_date"],
        state: &[],
        out: &["unsubscribed_from_all_email", "opted_out_of_email:*"],
        ..NONE
    },
    Form {
        name: "campaign-monitor",
        signature: &["emailaddress", "date", "state"],
        address: &["emailaddress", "email_address", "email"],
        granted: &["date"],
        ip: &["ip", "signup_ip"],
        own_state: &["state"],
        ..NONE
    },
    Form {
        name: "brevo",
        signature: &["email", "added_time"],
        granted: &["double_opt_in_time", "opt_in_time"],
        out: &[
            "blocklisted",
            "blacklisted",
            "email_blacklisted",
            "email_blocklisted",
            "unsubscribed",
            "opt_out",
        ],
        ..NONE
    },
    Form {
        name: "shopify",
        signature: &["financial_status", "email", "lineitem_name"],
        state: &["financial_status"],
        out: &[],
        order: Some(Order {
            number: &["name"],
            at: &["paid_at", "created_at"],
            product: &["product_type", "lineitem_name"],
            cancelled: &["cancelled_at"],
            declined: &["accepts_marketing"],
        }),
        ..NONE
    },
    Form {
        name: "woocommerce",
        signature: &["order_date", "order_status"],
        address: &["email_(billing)", "billing_email", "customer_email", "email"],
        state: &["order_status", "status"],
        out: &[],
        order: Some(Order {
            number: &["order_number", "order_id", "order_no"],
            at: &["date_paid", "paid_date", "order_date", "date"],
            product: &["product_category", "category", "item_name", "product_name", "product_name_(main)"],
            cancelled: &[],
            declined: &[],
        }),
        ..NONE
    },
];

impl Form {
    /// Whether what stands in `column` says anything here.
    pub(super) fn reads(&self, column: &str) -> bool {
        let order = self
            .order
            .iter()
            .flat_map(|order| [order.number, order.at, order.product, order.cancelled, order.declined]);
        let mut all = [
            self.address,
            self.granted,
            self.ip,
            self.source,
            self.confirmed,
            self.confirmed_ip,
            self.left,
            self.reason,
            self.state,
            self.out,
        ]
        .into_iter()
        .chain(order)
        .flatten();
        all.any(|known| match known.strip_suffix('*') {
            Some(start) => column.starts_with(start),
            None => *known == column,
        })
    }
}

/// The form that was asked for, or the one whose signature the columns have.
pub(super) fn form(format: Format, columns: &[String]) -> Option<&'static Form> {
    let has = |name: &&str| columns.iter().any(|column| column == name);
    match format {
        Format::Auto => FORMS.iter().find(|form| form.signature.iter().all(has)),
        named => FORMS.iter().find(|form| Some(form.name) == named.tool()),
    }
}

/// What a word for how things stand comes to.
///
/// The worse, the greater: of several words about one person the worst counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// A word that is not known.
    Unknown,
    /// Gets mail, or: was paid.
    Active,
    /// Never confirmed, or never paid.
    Pending,
    /// No longer on the list, or the order came to nothing.
    Dead,
    /// The mailbox does not work.
    Bounced,
    /// Has left.
    Left,
    /// Has complained.
    Complained,
}

/// The words of all tools together; none of them means one thing here and another there.
pub(super) fn standing(word: &str) -> Standing {
    let word = word.trim().to_lowercase().replace([' ', '-'], "_");
    let word = word.strip_prefix("wc_").unwrap_or(&word);
    match word {
        "" | "active" | "subscribed" | "enabled" | "confirmed" | "actief" | "ingeschreven" | "paid"
        | "partially_refunded" | "completed" | "processing" | "voltooid" | "afgerond" | "in_behandeling" => {
            Standing::Active
        }
        "unsubscribed" | "uitgeschreven" | "afgemeld" | "blocklisted" | "blacklisted" | "opted_out"
        | "opt_out" | "disabled" | "moved_unsubscribed" => Standing::Left,
        "complained" | "complaint" | "junk" | "spam" | "abuse" | "spam_complaint" => Standing::Complained,
        "unconfirmed"
        | "pending"
        | "non_subscribed"
        | "nonsubscribed"
        | "transactional"
        | "on_hold"
        | "pending_payment"
        | "authorized"
        | "partially_paid"
        | "checkout_draft"
        | "unapproved"
        | "onbevestigd"
        | "in_de_wacht"
        | "wachten_op_betaling" => Standing::Pending,
        "cleaned" | "bounced" | "hard_bounced" | "hard_bounce" => Standing::Bounced,
        "deleted" | "archived" | "inactive" | "refunded" | "voided" | "cancelled" | "canceled" | "failed"
        | "expired" | "geannuleerd" | "mislukt" | "terugbetaald" | "trash" => Standing::Dead,
        _ if says_left(word) => Standing::Left,
        _ => Standing::Unknown,
    }
}

/// Whether what a tool or a person calls those who left is in `name`, as part of a longer word, too.
pub(super) fn says_left(name: &str) -> bool {
    const STEMS: [&str; 22] = [
        "unsub",
        "optout",
        "optedout",
        "blocklist",
        "blacklist",
        "blockedlist",
        "suppress",
        "donotmail",
        "donotcontact",
        "uitgeschreven",
        "uitschrijving",
        "afgemeld",
        "afmelding",
        "geblokkeerd",
        "abgemeldet",
        "abmeldung",
        "ausgetragen",
        "gesperrt",
        "désabonn",
        "desabonn",
        "désinscri",
        "desinscri",
    ];
    let squeezed: String =
        name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    STEMS.iter().any(|stem| squeezed.contains(stem))
}

/// Whether the words for why somebody left are those of a complaint.
pub(super) fn is_complaint(reason: &str) -> bool {
    let reason = reason.to_lowercase();
    ["abuse", "complain", "spam", "klacht"].iter().any(|word| reason.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(names: &str) -> Vec<String> {
        names.split(',').map(|name| name.trim().to_lowercase().replace([' ', '-'], "_")).collect()
    }

    #[test]
    fn each_tool_is_told_by_its_columns() {
        for (header, name) in [
            (
                "Email Address,First Name,MEMBER_RATING,OPTIN_TIME,OPTIN_IP,CONFIRM_TIME,CONFIRM_IP",
                "mailchimp",
            ),
            ("Email Address,OPTIN_TIME,UNSUB_TIME,UNSUB_REASON", "mailchimp"),
            ("E-mailadres,Voornaam,MEMBER_RATING,OPTIN_TIME,OPTIN_IP", "mailchimp"),
            ("Subscriber,signup_ip,signup_timestamp,confirmation_ip,confirmation_timestamp", "mailerlite"),
            ("EMAIL,ADDED_TIME,MODIFIED_TIME", "brevo"),
            ("uuid,email,name,attributes,status,created_at,updated_at", "listmonk"),
            ("email,ip,source_url,state,signup_date", "laposta"),
            ("email,status,optin_ip,optin_date,confirm_ip,confirm_date", "mailwizz"),
            ("Email,Unsubscribed from all email,Opted out of email: Marketing", "hubspot"),
            ("EmailAddress,Name,Date,State", "campaign-monitor"),
            ("Name,Email,Financial Status,Paid at,Created at,Lineitem name", "shopify"),
            ("Order Number,Order Status,Order Date,Email (Billing),Item Name", "woocommerce"),
        ] {
            assert_eq!(form(Format::Auto, &columns(header)).map(|form| form.name), Some(name), "{header}");
        }
        assert!(form(Format::Auto, &columns("address,purpose,at")).is_none(), "our own");
        assert_eq!(form(Format::Brevo, &columns("email")).map(|form| form.name), Some("brevo"));
    }

    #[test]
    fn words_for_how_things_stand() {
        assert_eq!(standing("Subscribed"), Standing::Active);
        assert_eq!(standing("Blocklisted"), Standing::Left);
        assert_eq!(standing("non-subscribed"), Standing::Pending);
        assert_eq!(standing("wc-completed"), Standing::Active);
        assert_eq!(standing("refunded"), Standing::Dead);
        assert_eq!(standing("Cleaned"), Standing::Bounced);
        assert_eq!(standing("quote"), Standing::Unknown);
        for word in
            ["Opted-Out", "opt out", "abgemeldet", "Désabonné", "Désinscrit", "Suppressed", "geblokkeerd"]
        {
            assert_eq!(standing(word), Standing::Left, "{word}");
        }
        assert!(Standing::Left > Standing::Bounced && Standing::Unknown < Standing::Active);
        assert!(is_complaint("ABUSE: marked as spam") && !is_complaint("no longer interested"));
    }
}
