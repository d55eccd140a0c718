//! The envelope as command lines (RFC 5321 4.1.1, with the parameters of RFC 1870, 3461, 6152 and 6531).

use crate::mail::{Notify, OriginalRecipient, Ret};
use crate::relay::{Copy, CopyRecipient};
use crate::smtp::capability::Capabilities;

/// `MAIL FROM:<…>`, with what the next hop understands.
pub(super) fn mail(copy: &Copy, able: &Capabilities) -> String {
    let mut line = format!("MAIL FROM:<{}>", copy.reverse_path);
    if able.size_offered {
        line.push_str(&format!(" SIZE={}", copy.rope.len()));
    }
    if copy.eight_bit && able.eight_bit {
        line.push_str(" BODY=8BITMIME");
    }
    if copy.smtputf8 && able.smtputf8 {
        line.push_str(" SMTPUTF8");
    }
    if able.dsn {
        match copy.ret {
            Some(Ret::Full) => line.push_str(" RET=FULL"),
            Some(Ret::Headers) => line.push_str(" RET=HDRS"),
            None => {}
        }
        if let Some(envid) = copy.envid.as_deref().filter(|envid| is_parameter(envid)) {
            line.push_str(&format!(" ENVID={envid}"));
        }
    }
    line.push_str("\r\n");
    line
}

/// `RCPT TO:<…>`, with what the next hop understands.
pub(super) fn rcpt(recipient: &CopyRecipient, able: &Capabilities) -> String {
    let mut line = format!("RCPT TO:<{}>", recipient.permit.recipient());
    if able.dsn {
        if let Some(notify) = recipient.notify {
            line.push_str(&format!(" NOTIFY={}", notify_words(notify)));
        }
        if let Some(orcpt) = recipient.orcpt.as_ref().and_then(OriginalRecipient::parameter)
            && is_parameter(&orcpt)
        {
            line.push_str(&format!(" ORCPT={orcpt}"));
        }
    }
    line.push_str("\r\n");
    line
}

/// A value that cannot end the parameter or the line, whatever it came from (promise 9).
fn is_parameter(value: &str) -> bool {
    !value.is_empty() && value.chars().all(|c| !c.is_control() && !c.is_whitespace())
}

fn notify_words(notify: Notify) -> String {
    let words: Vec<_> = [(notify.success, "SUCCESS"), (notify.failure, "FAILURE"), (notify.delay, "DELAY")]
        .into_iter()
        .filter_map(|(wanted, word)| wanted.then_some(word))
        .collect();
    if words.is_empty() { "NEVER".to_owned() } else { words.join(",") }
}
