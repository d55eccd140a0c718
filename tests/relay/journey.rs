//! What each misdeed of a next hop means from end to end: what the client is told, what the ledger says, and
//! how often the next hop took the message. `docs/next-hop-misdeeds.md` is this table, as it came out.

use sluis::ledger::Event;

use sluis::net::tls::Trust;

use super::secure::{Certificate, certificate_of, expired};
use super::support::gateway::{INVOICES, NEWS, PERSON, TestGateway, message};
use super::support::next_hop::{Answer, Moment, NextHop};

/// One misdeed.
struct Case {
    phase: &'static str,
    name: &'static str,
    script: fn(Moment, &str) -> Option<Answer>,
}

fn at(now: Moment, moment: Moment, answer: Answer) -> Option<Answer> {
    (now == moment).then_some(answer)
}

fn to(line: &str, verb: &str, answer: Answer) -> Option<Answer> {
    line.to_ascii_uppercase().starts_with(verb).then_some(answer)
}

fn bye(text: &str) -> Answer {
    Answer::SayAndHangUp(format!("{text}\r\n"))
}

fn line(text: &str) -> Answer {
    Answer::Say(format!("{text}\r\n"))
}

macro_rules! case {
    ($phase:literal, $name:literal, $script:expr) => {
        Case { phase: $phase, name: $name, script: $script }
    };
}

const CASES: &[Case] = &[
    case!("connect", "is friendly", |_, _| None),
    case!("greeting", "refuses: 554", |m, _| at(m, Moment::Greeting, line("554 5.7.1 go away"))),
    case!("greeting", "says 421 and goes", |m, _| at(m, Moment::Greeting, bye("421 4.3.2 busy"))),
    case!("greeting", "hangs up", |m, _| at(m, Moment::Greeting, Answer::HangUp)),
    case!("greeting", "closes its direction", |m, _| at(m, Moment::Greeting, Answer::HalfClose)),
    case!("greeting", "never ends its banner", |m, _| {
        at(m, Moment::Greeting, Answer::SayAndHangUp("220-and another thing\r\n".repeat(2_000)))
    }),
    case!("greeting", "speaks one octet at a time", |m, _| {
        at(m, Moment::Greeting, Answer::Dribble("220 next-hop.example\r\n".to_owned()))
    }),
    case!("EHLO", "refuses EHLO and HELO", |_, l| {
        to(l, "EHLO", line("550 no")).or_else(|| to(l, "HELO", line("550 no")))
    }),
    case!("EHLO", "knows HELO only", |_, l| to(l, "EHLO", line("502 5.5.1 what?"))),
    case!("EHLO", "says 354", |_, l| to(l, "EHLO", line("354 go"))),
    case!("EHLO", "offers nothing", |_, l| to(l, "EHLO", line("250 next-hop.example"))),
    case!("EHLO", "takes 10 octets at most", |_, l| {
        to(l, "EHLO", line("250-next-hop.example\r\n250-PIPELINING\r\n250 SIZE 10"))
    }),
    case!("MAIL", "refuses for good", |_, l| to(l, "MAIL", line("550 5.7.1 not you"))),
    case!("MAIL", "refuses for now, in two lines", |_, l| {
        to(l, "MAIL", line("450-4.7.1 slow\r\n450 4.7.1 down"))
    }),
    case!("MAIL", "says 421 and goes", |_, l| to(l, "MAIL", bye("421 4.3.2 bye"))),
    case!("MAIL", "says 354", |_, l| to(l, "MAIL", line("354 what"))),
    case!("MAIL", "hangs up", |_, l| to(l, "MAIL", Answer::HangUp)),
    case!("MAIL", "speaks HTTP", |_, l| to(l, "MAIL", line("HTTP/1.1 400 Bad Request"))),
    case!("MAIL", "changes its mind half-way", |_, l| to(l, "MAIL", line("250-ok\r\n550 no"))),
    case!("RCPT", "refuses for good", |_, l| to(l, "RCPT TO:<A", line("550 5.1.1 no such user"))),
    case!("RCPT", "refuses for now", |_, l| to(l, "RCPT TO:<A", line("452 4.2.2 mailbox full"))),
    case!("RCPT", "says 421 and goes", |_, l| to(l, "RCPT TO:<A", bye("421 4.3.2 bye"))),
    case!("RCPT", "says 354", |_, l| to(l, "RCPT TO:<A", line("354 what"))),
    case!("DATA", "refuses for now", |_, l| to(l, "DATA", line("451 4.3.0 disk full"))),
    case!("DATA", "says 250", |_, l| to(l, "DATA", line("250 2.0.0 already there"))),
    case!("DATA", "hangs up after 354", |_, l| to(l, "DATA", bye("354 go"))),
    case!("final dot", "refuses for good", |m, _| at(m, Moment::End, line("554 5.7.1 spam"))),
    case!("final dot", "refuses for now", |m, _| at(m, Moment::End, line("451 4.7.1 greylisted"))),
    case!("final dot", "says 421", |m, _| at(m, Moment::End, line("421 4.3.2 bye"))),
    case!("final dot", "says 354", |m, _| at(m, Moment::End, line("354 more"))),
    case!("final dot", "hangs up", |m, _| at(m, Moment::End, Answer::HangUp)),
    case!("final dot", "closes its direction", |m, _| at(m, Moment::End, Answer::HalfClose)),
    case!("final dot", "answers by half, and goes", |m, _| {
        at(m, Moment::End, Answer::SayAndHangUp("250 2.0.0 tak".to_owned()))
    }),
    case!("final dot", "answers one octet at a time", |m, _| {
        at(m, Moment::End, Answer::Dribble("250-2.0.0 well\r\n250 2.0.0 ok\r\n".to_owned()))
    }),
    case!("final dot", "gives no enhanced code", |m, _| at(m, Moment::End, line("250 ok: queued as 4F2A"))),
    case!("MAIL", "falls silent", |_, l| to(l, "MAIL", Answer::Silence)),
    case!("final dot", "falls silent", |m, _| at(m, Moment::End, Answer::Silence)),
];

/// With DATA, so that all phases are met.
const EXTENSIONS: &[&str] = &["PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES"];

/// What the next hop's TLS is, in front of a gateway that asks for STARTTLS.
#[derive(Clone, Copy)]
enum Tls {
    NotOffered,
    Right,
    OtherName,
    Expired,
    /// It is offered, and there is none.
    Lie,
}

const TLS_CASES: &[(Tls, Case)] = &[
    (Tls::Right, case!("STARTTLS", "is friendly", |_, _| None)),
    (Tls::NotOffered, case!("STARTTLS", "does not offer it", |_, _| None)),
    (
        Tls::Right,
        case!("STARTTLS", "refuses it for now", |_, l| to(
            l,
            "STARTTLS",
            line("454 4.7.0 TLS not available")
        )),
    ),
    (Tls::Right, case!("STARTTLS", "hangs up", |_, l| to(l, "STARTTLS", Answer::HangUp))),
    (Tls::Right, case!("STARTTLS", "falls silent", |_, l| to(l, "STARTTLS", Answer::Silence))),
    (
        Tls::Right,
        case!("STARTTLS", "goes on in the clear", |_, l| {
            to(l, "STARTTLS", line("220 2.0.0 go\r\n250 2.0.0 believe me"))
        }),
    ),
    (Tls::Lie, case!("handshake", "hangs up", |_, _| None)),
    (Tls::OtherName, case!("handshake", "has a certificate for another name", |_, _| None)),
    (Tls::Expired, case!("handshake", "has a certificate that is over", |_, _| None)),
    (Tls::Right, case!("MAIL", "hangs up", |_, l| to(l, "MAIL", Answer::HangUp))),
    (Tls::Right, case!("final dot", "hangs up", |m, _| at(m, Moment::End, Answer::HangUp))),
];

/// What came of one message: the reply, the entries after `admitted`, and who had it taken, how often.
struct Came {
    told: String,
    entries: String,
    taken: usize,
}

async fn submit(case: &Case, from: &str, to: &[&str]) -> Came {
    let hop = NextHop::scripted(EXTENSIONS, case.script).await;
    submit_to(hop, "", from, to).await
}

/// The same under TLS.
async fn submit_by_tls(tls: Tls, case: &Case) -> Came {
    let certificate = match tls {
        Tls::OtherName => certificate_of("smtp.example.org"),
        Tls::Expired => expired("127.0.0.1"),
        Tls::NotOffered | Tls::Right | Tls::Lie => certificate_of("127.0.0.1"),
    };
    let Certificate { server, trust: Trust::CaFile(authority), .. } = &certificate else { panic!("a file") };
    let mut extensions = EXTENSIONS.to_vec();
    extensions.extend((!matches!(tls, Tls::NotOffered)).then_some("STARTTLS"));
    let server = (!matches!(tls, Tls::Lie)).then(|| server.clone());
    let hop = NextHop::with_tls(&extensions, server, false, case.script).await;
    let asked = format!("tls = \"starttls\"\nca_file = \"{}\"\n", authority.display());
    submit_to(hop, &asked, PERSON, &["a@example.org"]).await
}

async fn submit_to(mut hop: NextHop, tls: &str, from: &str, to: &[&str]) -> Came {
    let relay = format!("command_timeout = \"1s\"\nfinal_timeout = \"1s\"\n{tls}");
    let gateway = TestGateway::with(hop.address, "", &relay).await;
    gateway.consent(to).await;
    let mut client = gateway.client().await;
    let reply = client.submit(from, to, message(from, "Dag")).await;
    // A record of nothing is durable only after all that was handed over before it.
    gateway.record(Vec::new()).await;
    let entry = |event: &Event| {
        let kind = event.kind().0;
        // Those of a DSN come at a moment of their own.
        let own = event.outcome().filter(|outcome| outcome.recipients[0].domain().ascii() == "example.org");
        let outcome = own.map(|outcome| {
            let who: Vec<_> = outcome.recipients.iter().map(|one| one.local()).collect();
            format!("{kind} {}", who.join(" "))
        });
        outcome.or_else(|| (kind == "notice_sent").then(|| "DSN".to_owned()))
    };
    let mut entries: Vec<_> = gateway.events().iter().filter_map(entry).collect();
    entries.sort();
    let mut taken = 0;
    while let Some(captured) = hop.try_next() {
        // The DSN about it goes out by itself, at a moment of its own.
        taken += usize::from(!captured.mail.starts_with("<>"));
    }
    let told = format!("{} {}", reply.code, reply.text().replace('\n', " "));
    Came { told, entries: entries.join(", "), taken }
}

#[tokio::test(flavor = "multi_thread")]
async fn p15_what_each_misdeed_means_to_the_client_in_the_ledger_and_at_the_next_hop() {
    let mut one = rows("One recipient, straight through: the client hears what the next hop says.");
    let mut both = rows("An invoice to `a` and `b`: one copy, straight through, to both.");
    let mut two = rows("Marketing to `a` and `b`, each a copy of its own, by way of the spool.");
    for case in CASES {
        let came = submit(case, PERSON, &["a@example.org"]).await;
        // Whatever was told as sent was taken once; what was told as refused never was; and one that was
        // taken without an answer is in doubt.
        let sent = came.told.starts_with('2');
        let in_doubt = came.entries.contains("in_doubt");
        assert_eq!(came.taken, usize::from(sent || in_doubt && came.taken > 0), "{}", case.name);
        assert_eq!(came.entries.contains("relayed"), sent, "{}: {}", case.name, came.entries);
        assert!(!in_doubt || came.told.starts_with("451"), "{}: {}", case.name, came.told);
        add(&mut one, case, &came);
        let came = submit(case, INVOICES, &["a@example.org", "b@example.org"]).await;
        // Somebody has it: then it is ours to see that the other one gets it, or is bounced. Else the client keeps it.
        let sent = came.told.starts_with('2');
        assert_eq!(came.entries.contains("relayed"), sent, "{}: {}", case.name, came.entries);
        assert!(came.taken <= 1 && (!sent || came.taken == 1), "{}: {}", case.name, came.taken);
        add(&mut both, case, &came);
        let came = submit(case, NEWS, &["a@example.org", "b@example.org"]).await;
        assert!(came.taken <= 2, "{}: {}", case.name, came.taken);
        add(&mut two, case, &came);
    }
    let mut secured = rows("With `tls = \"starttls\"`: one recipient, straight through.");
    for (tls, case) in TLS_CASES {
        let came = submit_by_tls(*tls, case).await;
        let known = came.told.starts_with('2') || came.entries == "in_doubt a";
        assert_eq!(came.taken, usize::from(known), "{}: {}", case.name, came.told);
        add(&mut secured, case, &came);
    }
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/next-hop-misdeeds.md");
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    let start = expected.find("## ").unwrap_or(expected.len());
    let found = format!("{one}\n{both}\n{two}\n{secured}");
    if expected[start..] != found {
        let new = std::env::temp_dir().join("next-hop-misdeeds.md");
        std::fs::write(&new, format!("{}{found}", &expected[..start])).unwrap();
        panic!("the table is another one now; see {} and put it into docs/ if it is right", new.display());
    }
}

fn rows(title: &str) -> String {
    format!(
        "## {title}\n\n| phase | the next hop | the client is told | entries | taken |\n| --- | --- | --- | --- | --- |\n"
    )
}

fn add(rows: &mut String, case: &Case, came: &Came) {
    let Came { told, entries, taken } = came;
    // References, addresses and ports differ from run to run.
    let told = stable(told);
    rows.push_str(&format!("| {} | {} | {told} | {entries} | {taken} |\n", case.phase, case.name));
}

/// The words that are the same in every run.
fn stable(told: &str) -> String {
    let word = |word: &str| match word {
        word if word.len() > 20 && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') => {
            "…".to_owned()
        }
        // Seconds, in what TLS says of a certificate.
        word if word.bytes().filter(u8::is_ascii_digit).count() > 6 => "…".to_owned(),
        word => word.to_owned(),
    };
    told.split(' ').map(word).collect::<Vec<_>>().join(" ")
}
