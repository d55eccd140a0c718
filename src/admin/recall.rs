//! Confirmation mails that still wait, to somebody who is erased: they do not go (RULES L18), and nothing of them
//! stays.

use std::time::Duration;

use super::handle::{read, write};
use super::wire::{Answer, Subject};
use super::{Claim, Services};
use crate::ledger::{Entry, Event, Outcome, Record, Side};
use crate::mail::{AddressKey, CopyId};
use crate::policy::Unavailable;

/// Entries about one address that are read in one go.
const PAGE: usize = 500;
/// Pause between two looks whether a try has ended, and how many.
const PAUSE: Duration = Duration::from_millis(200);
const LOOKS: usize = 150;

/// Take the confirmation mails that wait for `address` out of the spool; durable when this returns `Ok`. One that is
/// being tried this moment is waited for.
pub(super) async fn recall(services: &Services, address: &AddressKey) -> Result<(), Answer> {
    let whose = address.clone();
    for copy in read(services, move |services| waiting(services, &whose)).await? {
        let _claim = claim(services, copy).await?;
        let found = read(services, move |services| services.spool.find(copy)).await?;
        // It went, or was given up, meanwhile.
        let Some(spooled) = found else { continue };
        let cancelled = Outcome {
            copy,
            recipients: spooled.recipients.iter().map(|recipient| recipient.address.clone()).collect(),
            reply: "erased".to_owned(),
            next_hop: "none".to_owned(),
            tls: None,
            attempt: spooled.attempts,
        };
        let record = Record { events: vec![Event::Cancelled(cancelled)], sides: vec![Side::Unspool(copy)] };
        write(services, record, false).await?;
    }
    Ok(())
}

/// The copies.
fn waiting(services: &Services, address: &AddressKey) -> Result<Vec<CopyId>, Unavailable> {
    let query = Subject::Address(address.clone()).into();
    let (mut copies, mut after) = (Vec::new(), None);
    loop {
        let (page, next) = services.books.entries(&query, after, PAGE)?;
        for filed in page {
            let entry = filed.json.and_then(|json| Entry::parse(json.as_bytes()).ok());
            if let Some(Entry { event: Event::NoticeSent { to, about, copy }, .. }) = entry
                && about == "confirmation"
                && to.key() == address
                && services.spool.find(copy)?.is_some()
            {
                copies.push(copy);
            }
        }
        match next {
            Some(next) => after = Some(next),
            None => return Ok(copies),
        }
    }
}

async fn claim(services: &Services, copy: CopyId) -> Result<Claim, Answer> {
    for _ in 0..LOOKS {
        if let Some(claim) = services.control.claim(copy) {
            return Ok(claim);
        }
        tokio::time::sleep(PAUSE).await;
    }
    let error =
        format!("nothing was erased: a confirmation mail, {copy}, is on its way this moment; try again soon");
    Err(Answer::Failed { error })
}
