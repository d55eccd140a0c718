//! `sluis preview`: a message before and after, and a page that shows how it looks on a phone and on a desk.
//!
//! The page is one file. What the message brings with it is shown in frames without scripts, and nothing is
//! fetched from anywhere: pictures that come with the message are in the page, others stay away.

use std::borrow::Cow;
use std::io::Read as _;
use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use mail_parser::{MessageParser, MessagePart, MimeHeaders as _, PartType};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::args::PreviewArgs;
use super::print::Out;
use crate::app;
use crate::clock::{Clock as _, SystemClock};
use crate::config::Settings;
use crate::gateway::Preview;
use crate::mail::ReversePath;
use crate::message::Message;
use crate::policy::Taken;

/// Pictures put into the page, in octets: a preview is no album.
const MAX_PICTURES: usize = 16 << 20;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:1240px;margin:2em auto;padding:0 1em;\
color-scheme:light dark}h1{font-size:1.4em}h2{font-size:1.1em;margin:2em 0 .3em}\
dl{display:grid;grid-template-columns:max-content 1fr;gap:.1em 1em}dt{opacity:.7}dd{margin:0}\
pre{overflow:auto;padding:.8em;border:1px solid #8886;font-size:.85em;white-space:pre-wrap;overflow-wrap:anywhere}\
.pair{display:grid;grid-template-columns:1fr 1fr;gap:1em}iframe{border:1px solid #8886;height:640px;max-width:100%}\
.views{display:flex;gap:1em;flex-wrap:wrap}ins{text-decoration:none;background:#3a35}del{background:#d335}";

/// Whether the message could go at all.
pub(super) fn run(args: &PreviewArgs, settings: &Settings, out: &mut Out) -> Result<bool> {
    let original = read(args, settings.limits.message_size)?;
    let from = Message::parse(original.clone(), &app::structure(settings)).from().map(|f| f.address.clone());
    let reverse_path = match args.from.clone().or(from) {
        Some(address) => ReversePath::Address(address),
        None => ReversePath::Null,
    };
    let preview = Preview {
        rules: &settings.rules,
        footers: &settings.footers,
        structure: app::structure(settings),
        hostname: settings.name.ascii(),
        unsubscribe_url: &settings.unsubscribe.url,
        account: args.account.clone(),
        ip: Ipv4Addr::LOCALHOST.into(),
        now: SystemClock.now(),
    };
    let (taken, copy) = preview.copy(original.clone(), reverse_path, &args.to);
    out.line(format_args!("class      {}", taken.class))?;
    out.line(format_args!("rule       {}", taken.rule.as_deref().unwrap_or("none matched")))?;
    out.line(format_args!("sender     {}", taken.sender.as_ref().map_or("none", |sender| &sender.name)))?;
    if taken.refused {
        out.line("refused    by this rule")?;
        return Ok(false);
    }
    let copy = match copy {
        Ok(copy) => copy,
        Err(error) => {
            out.line(format_args!("refused    {error}"))?;
            return Ok(false);
        }
    };
    let after = copy.rope.to_vec();
    let edits =
        if copy.edits.is_empty() { "the trace header only".to_owned() } else { copy.edits.join("; ") };
    out.line(format_args!("edited     {edits}"))?;
    std::fs::create_dir_all(&args.out)
        .with_context(|| format!("the folder {} cannot be made", args.out.display()))?;
    let page = page(&taken, &edits, &args.to.to_string(), &original, &after);
    for (name, content) in
        [("before.eml", &original[..]), ("after.eml", &after), ("preview.html", page.as_bytes())]
    {
        let path = args.out.join(name);
        std::fs::write(&path, content).with_context(|| format!("{} cannot be written", path.display()))?;
        out.line(format_args!("written    {}", path.display()))?;
    }
    Ok(true)
}

/// The message with CRLF line ends, as a client would submit it.
fn read(args: &PreviewArgs, most: u64) -> Result<Bytes> {
    let name = args.message.display();
    let file = std::fs::File::open(&args.message).with_context(|| format!("{name} cannot be opened"))?;
    let mut text = Vec::new();
    file.take(most + 1).read_to_end(&mut text).with_context(|| format!("{name} cannot be read"))?;
    if text.len() as u64 > most {
        bail!("{name} is larger than limits.message_size ({most} octets)");
    }
    let mut out = Vec::with_capacity(text.len() + text.len() / 30);
    for (at, &octet) in text.iter().enumerate() {
        if octet == b'\n' && (at == 0 || text[at - 1] != b'\r') {
            out.push(b'\r');
        }
        out.push(octet);
    }
    Ok(out.into())
}

fn page(taken: &Taken, edits: &str, to: &str, before: &[u8], after: &[u8]) -> String {
    let sender = taken.sender.as_ref().map_or("none", |sender| sender.name.as_str());
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                // Frames inherit it: no message in a preview calls home.
                meta http-equiv="Content-Security-Policy"
                    content="default-src 'none'; img-src data:; style-src 'unsafe-inline'";
                title { "Preview for " (to) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "What " (to) " would get" }
                dl {
                    dt { "class" } dd { (taken.class) }
                    dt { "rule" } dd { (taken.rule.as_deref().unwrap_or("none matched")) }
                    dt { "sender" } dd { (sender) }
                    @if let Some(purpose) = &taken.purpose { dt { "purpose" } dd { (purpose) } }
                    dt { "edited" } dd { (edits) }
                }
                p { "Unsigned, with a link that opens nothing. What is not in the message is not fetched." }
                h2 { "Header" }
                (headers(before, after))
                (bodies(before, after))
            }
        }
    }
    .into_string()
}

/// Header lines of both, those that only one has marked.
fn headers(before: &[u8], after: &[u8]) -> Markup {
    let (old, new) = (head(before), head(after));
    let diff = similar::TextDiff::from_lines(&*old, &*new);
    html! {
        pre {
            @for change in diff.iter_all_changes() {
                @match change.tag() {
                    similar::ChangeTag::Equal => (change.value()),
                    similar::ChangeTag::Insert => ins { (change.value()) },
                    similar::ChangeTag::Delete => del { (change.value()) },
                }
            }
        }
    }
}

fn head(message: &[u8]) -> Cow<'_, str> {
    let end = memchr::memmem::find(message, b"\r\n\r\n").map_or(message.len(), |at| at + 2);
    String::from_utf8_lossy(&message[..end])
}

/// What a reader shows: text side by side, html on a phone and on a desk.
fn bodies(before: &[u8], after: &[u8]) -> Markup {
    let parser = MessageParser::default();
    let (Some(old), Some(new)) = (parser.parse(before), parser.parse(after)) else {
        return html! { p { "The message cannot be taken apart." } };
    };
    let shown = |message: &mail_parser::Message<'_>, html: bool| -> Vec<String> {
        let parts = message.parts.iter().filter(|part| part.attachment_name().is_none());
        parts
            .filter_map(|part| match &part.body {
                PartType::Html(text) if html => Some(with_pictures(text, &message.parts)),
                PartType::Text(text) if !html && part.is_text() => Some(text.to_string()),
                _ => None,
            })
            .collect()
    };
    let (old_html, old_text) = (shown(&old, true), shown(&old, false));
    html! {
        @for (number, after) in shown(&new, true).iter().enumerate() {
            h2 { "Html" }
            div.views {
                @for width in ["375", "800"] {
                    div {
                        p { (width) " pixels wide" }
                        iframe sandbox="" width=(width) srcdoc=(after) title={ "after, " (width) " pixels" } {}
                    }
                }
            }
            @if let Some(before) = old_html.get(number) {
                details { summary { "Before" } iframe sandbox="" width="800" srcdoc=(before) title="before" {} }
            }
        }
        @for (number, after) in shown(&new, false).iter().enumerate() {
            h2 { "Text" }
            div.pair {
                pre { @if let Some(before) = old_text.get(number) { (before) } }
                pre { (after) }
            }
        }
    }
}

/// `cid:` references replaced by the pictures they mean.
fn with_pictures(html: &str, parts: &[MessagePart<'_>]) -> String {
    let mut html = html.to_owned();
    let mut room = MAX_PICTURES;
    // The longest first: one name may be the beginning of another.
    let mut parts: Vec<&MessagePart<'_>> = parts.iter().collect();
    parts.sort_by_key(|part| std::cmp::Reverse(part.content_id().map_or(0, str::len)));
    for part in parts {
        let (Some(id), Some(kind)) = (part.content_id(), part.content_type()) else { continue };
        if kind.ctype() != "image" || part.contents().len() > room || id.is_empty() {
            continue;
        }
        room -= part.contents().len();
        let subtype: String = kind
            .subtype()
            .unwrap_or("png")
            .chars()
            .filter(|c| c.is_ascii_alphanumeric() || "+-.".contains(*c))
            .collect();
        let data = format!("data:image/{subtype};base64,{}", STANDARD.encode(part.contents()));
        html = html.replace(&format!("cid:{}", id.trim_matches(['<', '>'])), &data);
    }
    html
}
