//! Where a panic of redb ends.
//!
//! redb checks the sums of its pages only when it repairs a file, and panics where a page that was changed behind its
//! back does not hold together. A gateway must not go down for that, nor a command end in a stack trace: whatever
//! touches the file runs in [`guarded`] or [`caught`], and a panic becomes a refusal that says what to do (promise 5).

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::error::Fault;

thread_local! {
    static AT_WORK: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is at work in the store's file: a panic there is caught, and told in other words.
pub fn is_guarded() -> bool {
    AT_WORK.get()
}

/// What `work` gives, or the words of its panic.
pub(super) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let before = AT_WORK.replace(true);
    // What a panic leaves half done is inside redb, and its handle is given up afterwards.
    let done = catch_unwind(AssertUnwindSafe(work));
    AT_WORK.set(before);
    done.map_err(|panic| {
        let words = panic.downcast_ref::<String>().map(String::as_str);
        let words = words.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no word why");
        let line = words.lines().next().unwrap_or_default();
        format!("its pages do not hold together: {}", line.chars().take(120).collect::<String>())
    })
}

/// What `work` gives; a panic is [`Fault::Damaged`].
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    caught(work).unwrap_or_else(|why| Err(Fault::Damaged(why)))
}
