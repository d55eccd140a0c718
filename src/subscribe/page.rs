//! The pages, and the form as it is put into somebody's own: plain HTML, no script, nothing from elsewhere, readable
//! at 320 pixels (WCAG 2.2 AA). In the language of the consent text.

use maud::{Markup, html};

use super::form::{CONSENT, EMAIL, Form, Problem, TEXT, TRAP, YES};
use super::words::{Words, words};
use crate::token::Invitation;
use crate::unsubscribe::Look;
use crate::unsubscribe::shared::{imprint, masked, shell};

/// The form, to be put into a page of the sender's: `sluis form NAME` prints it.
pub fn embedded(form: &Form) -> String {
    let mut page = fields(form, &form.action()).into_string();
    // One element to a line, for whoever puts it into a page.
    for before in ["<p", "<input type=\"hidden\"", "<button", "</form>"] {
        page = page.replace(before, &format!("\n{before}"));
    }
    page.push('\n');
    page
}

/// The form on a page of ours.
pub(super) fn form(form: &Form, look: &Look) -> String {
    let words = words(form.language);
    let body = html! {
        h1 { (fill(form, words.sign_up)) }
        (fields(form, ""))
        p { (words.next) }
        (imprint(&form.sender, words.questions))
    };
    page(form, look, words.send, body)
}

/// What is the same in both. An empty action leads back to where the page came from, below whatever path a proxy
/// serves us.
fn fields(form: &Form, action: &str) -> Markup {
    let words = words(form.language);
    let id = format!("sluis-{}-email", form.name);
    html! {
        form method="post" action=[(!action.is_empty()).then_some(action)] accept-charset="utf-8" lang=(form.language.code()) {
            p {
                label for=(id) { (words.email) }
                input id=(id) type="email" name=(EMAIL) required maxlength="254" autocomplete="email";
            }
            p hidden { label { (words.trap) " " input name=(TRAP) autocomplete="off" tabindex="-1"; } }
            p {
                label.tick {
                    input type="checkbox" name=(CONSENT) value=(YES) required;
                    span { (form.text) }
                }
            }
            @if let Some(url) = &form.privacy_url { p { a href=(url) { (words.privacy) } } }
            input type="hidden" name=(TEXT) value=(form.text_sha256);
            button type="submit" { (words.send) }
        }
    }
}

/// The one answer to a form that was sent in well.
pub(super) fn look_at_your_mail(form: &Form, look: &Look) -> String {
    said(form, look, |words| {
        (
            words.look,
            html! {
                p role="status" { (fill(form, words.look_text)) }
                p { (fill(form, words.nothing)) }
            },
        )
    })
}

/// The page with the button.
pub(super) fn confirm(form: &Form, invitation: &Invitation, look: &Look) -> String {
    said(form, look, |words| (words.confirm, button(form, invitation, words)))
}

fn button(form: &Form, invitation: &Invitation, words: &Words) -> Markup {
    html! {
        p { (words.about) " " b { bdi { (masked(&invitation.address)) } } "." }
        p { (words.agree) }
        blockquote { (form.text) }
        @if let Some(url) = &form.privacy_url { p { a href=(url) { (words.privacy) } } }
        form method="post" { button type="submit" { (words.yes) } }
        p { (words.no) }
    }
}

/// It is confirmed.
pub(super) fn confirmed(form: &Form, look: &Look) -> String {
    said(form, look, |words| (words.done, html! { p role="status" { (fill(form, words.done_text)) } }))
}

/// The link is too old.
pub(super) fn expired(form: &Form, look: &Look) -> String {
    said(form, look, |words| (words.expired, html! { p { (words.expired_text) } }))
}

/// The address left in the meantime.
pub(super) fn barred(form: &Form, look: &Look) -> String {
    said(form, look, |words| (words.barred, html! { p role="alert" { (fill(form, words.barred_text)) } }))
}

/// What was sent in cannot be taken.
pub(super) fn wrong(form: &Form, problem: Problem, look: &Look) -> String {
    said(form, look, |words| {
        let why = match problem {
            Problem::Address => words.wrong_address,
            Problem::NotTicked => words.not_ticked,
            Problem::Outdated => words.outdated,
            Problem::Elsewhere => words.elsewhere,
            Problem::TooMany => words.too_many,
        };
        (words.wrong, html! { p role="alert" { (why) } })
    })
}

/// It could not be recorded; behind a link, the button is there again.
pub(super) fn failed(form: &Form, invitation: Option<&Invitation>, look: &Look) -> String {
    said(form, look, |words| {
        (
            words.wrong,
            html! {
                p role="alert" { (words.failed) }
                @if let Some(invitation) = invitation { (button(form, invitation, words)) }
            },
        )
    })
}

fn said(form: &Form, look: &Look, say: impl FnOnce(&Words) -> (&'static str, Markup)) -> String {
    let words = words(form.language);
    let (heading, text) = say(words);
    let body = html! {
        h1 { (heading) }
        (text)
        (imprint(&form.sender, words.questions))
    };
    page(form, look, heading, body)
}

fn page(form: &Form, look: &Look, title: &str, body: Markup) -> String {
    shell(form.language.code(), look, title, body)
}

/// `template` with the two names put in; what stands in a name is not looked at.
fn fill(form: &Form, template: &str) -> String {
    let mut parts = template.split("{purpose}").map(|part| part.replace("{sender}", &form.sender.name));
    let first = parts.next().unwrap_or_default();
    parts.fold(first, |text, part| text + &form.purpose.0 + &part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::Language;
    use crate::subscribe::form::tests::form as sample;

    #[test]
    fn l2_the_form_shows_the_text_beside_an_empty_box_and_runs_nothing() {
        let form = sample();
        let html = embedded(&form);
        assert!(html.contains("action=\"https://afmelden.voorbeeld.nl/x/subscribe/nieuws\""), "{html}");
        assert!(html.contains("nieuwsbrief &lt;mailen&gt;"), "the text is escaped: {html}");
        assert!(html.contains(&format!("name=\"text\" value=\"{}\"", form.text_sha256)), "{html}");
        let tick = html.split("type=\"checkbox\"").nth(1).unwrap();
        assert!(!tick.contains("checked") && tick.contains("required"), "{html}");
        assert!(!html.contains("script") && !html.contains(" on") && !html.contains("style"), "{html}");
    }

    #[test]
    fn l12_every_page_has_its_words_in_every_language() {
        for language in Language::ALL {
            let form = Form { language, ..sample() };
            let look = Look::default();
            let mut pages = vec![
                super::form(&form, &look),
                look_at_your_mail(&form, &look),
                confirmed(&form, &look),
                expired(&form, &look),
                barred(&form, &look),
                failed(&form, None, &look),
            ];
            let problems = [
                Problem::Address,
                Problem::NotTicked,
                Problem::Outdated,
                Problem::Elsewhere,
                Problem::TooMany,
            ];
            pages.extend(problems.map(|problem| wrong(&form, problem, &look)));
            for page in &pages {
                let body = page.split("</head>").nth(1).unwrap();
                assert!(page.contains(&format!("lang=\"{}\"", language.code())));
                assert!(!body.contains('{') && body.contains("Voorbeeld Hypotheken B.V."), "{body}");
            }
            pages.sort();
            pages.dedup();
            assert_eq!(pages.len(), 11, "each says something else");
        }
    }
}
