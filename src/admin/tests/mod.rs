//! Tests of the room `admin`: what it promises, rule by rule.

mod memory;

use super::*;
use crate::consent::{Act, ConsentEventKind, Evidence, Grade};
use crate::ledger::{Event, SpoolState, Spooled};
use crate::mail::{Class, Purpose, Recipient, Reference, ReversePath};
use crate::shutdown::Shutdown;
use crate::suppression::Reason;
use memory::{House, State, address, house, now};

fn consent(line: u64, who: &str) -> ConsentRow {
    ConsentRow {
        line,
        address: address(who),
        sender: None,
        purpose: Purpose("nieuws".to_owned()),
        kind: ConsentEventKind::Grant,
        at: "2025-03-01T10:00:00Z".parse().unwrap(),
        text: Some(0),
        files: Vec::new(),
        evidence: Evidence {
            act: Some(Act::TickedBox),
            source: Some("https://voorbeeld.nl/nieuws".to_owned()),
            ..Evidence::default()
        },
    }
}

fn consents(rows: Vec<ConsentRow>) -> Vec<Row> {
    rows.into_iter().map(Row::Consent).collect()
}

fn import(rows: Vec<Row>) -> Request {
    let texts = vec!["Ja, Voorbeeld mag mij nieuws sturen".to_owned(), "Ja, ook van partners".to_owned()];
    Request::Import(Import { source: "test".to_owned(), from_file: false, dry_run: false, texts, rows })
}

async fn imported(house: &House, rows: Vec<Row>) -> Imported {
    match handle(import(rows), &house.services).await {
        Answer::Imported(imported) => imported,
        other => panic!("{other:?}"),
    }
}

fn state(house: &House) -> std::sync::MutexGuard<'_, State> {
    house.memory.state.lock().unwrap()
}

#[tokio::test]
async fn l19_good_rows_go_in_as_one_record_and_bad_ones_are_named() {
    let house = house(&["a"]);
    let mut future = consent(3, "c@example.nl");
    future.at = "2027-01-01T00:00:00Z".parse().unwrap();
    let mut bare = consent(4, "d@example.nl");
    (bare.text, bare.evidence) = (None, Evidence::default());
    let mut stranger = consent(5, "e@example.nl");
    stranger.sender = Some("Iemand B.V.".to_owned());
    let mut partners = consent(6, "f@example.nl");
    partners.text = Some(1);
    let mut aimless = consent(7, "g@example.nl");
    aimless.purpose = Purpose("  ".to_owned());
    let rows = vec![consent(2, "b@example.nl"), future, bare, stranger, partners, aimless];
    let answer = imported(&house, consents(rows)).await;

    assert_eq!((answer.added, answer.already), (1, 0));
    let named: Vec<_> = answer.rejected.iter().map(|reject| (reject.line, &reject.why[..3])).collect();
    assert_eq!(named, [(3, "L1:"), (4, "L2:"), (5, "L2:"), (6, "L2:"), (7, "L2:")], "{answer:?}");
    assert_eq!(state(&house).commits, 1);
    let kinds: Vec<_> = state(&house).entries.iter().map(|event| event.kind().0).collect();
    assert_eq!(kinds, ["consent_text", "consent"]);
}

#[tokio::test]
async fn l19_what_is_on_record_is_not_written_twice() {
    let house = house(&["a"]);
    let rows = || consents(vec![consent(2, "b@example.nl"), consent(3, "B@Example.NL")]);
    let first = imported(&house, rows()).await;
    assert_eq!((first.added, first.already), (1, 1), "one mailbox, two spellings (L17)");
    let again = imported(&house, rows()).await;
    assert_eq!((again.added, again.already), (0, 2));
    assert_eq!(state(&house).entries.len(), 2, "the text and the consent");
    assert_eq!(state(&house).commits, 1, "nothing new, no commit");
    imported(&house, consents(vec![consent(2, "c@example.nl")])).await;
    assert_eq!(state(&house).entries.len(), 3, "the text is recorded once");

    let customer = CustomerRow {
        line: 1,
        address: address("b@example.nl"),
        sender: None,
        product: "hypotheek".to_owned(),
        last_purchase: "2026-01-01T00:00:00Z".parse().unwrap(),
        opt_out_offered: false,
        given_in_sale: true,
        source: None,
    };
    let nameless = CustomerRow { line: 2, product: " ".to_owned(), ..customer.clone() };
    let rows = || vec![Row::Customer(customer.clone()), Row::Customer(nameless.clone())];
    let first = imported(&house, rows()).await;
    assert_eq!((first.added, first.rejected.len()), (1, 1));
    assert!(first.rejected[0].why.starts_with("L4:"), "{first:?}");
    assert!(first.notes[0].contains("no opt-out was offered"), "{first:?}");
    assert_eq!(imported(&house, rows()).await.already, 1);

    let suppression = SuppressionRow {
        line: 1,
        address: address("b@example.nl"),
        sender: Some("a".to_owned()),
        reason: Reason::Objection,
        since: Some("2027-01-01T00:00:00Z".parse().unwrap()),
        source: "letter".to_owned(),
    };
    let rows = || vec![Row::Suppression(suppression.clone())];
    assert_eq!(imported(&house, rows()).await.added, 1);
    assert_eq!(imported(&house, rows()).await.already, 1);
    let since = state(&house).suppressed.values().next().unwrap().suppression.since;
    assert_eq!(since, now(), "L3: an opt-out is not postponed");
}

#[tokio::test]
async fn a_dry_run_writes_nothing_and_a_sender_must_be_clear() {
    let house = house(&["a", "b"]);
    let rows = consents(vec![consent(2, "b@example.nl")]);
    let answer = imported(&house, rows).await;
    assert_eq!(answer.rejected[0].why, "L2: the sender is missing; one of \"a B.V.\", \"b B.V.\"");

    let mut row = consent(2, "b@example.nl");
    row.sender = Some("b B.V.".to_owned());
    row.purpose = Purpose("nieuwss".to_owned());
    let Request::Import(request) = import(consents(vec![row])) else { panic!() };
    let answer = handle(Request::Import(Import { dry_run: true, ..request }), &house.services).await;
    let Answer::Imported(answer) = answer else { panic!("{answer:?}") };
    assert_eq!(answer.added, 1);
    assert!(answer.notes[0].contains("no rule of the config has the purpose \"nieuwss\""), "{answer:?}");
    assert_eq!(state(&house).entries.len(), 0);

    let many = vec![consent(2, "b@example.nl"); MAX_ROWS + 1];
    let answer = handle(import(consents(many)), &house.services).await;
    assert!(matches!(answer, Answer::Failed { .. }), "{answer:?}");
}

#[tokio::test]
async fn what_is_on_record_is_shown() {
    let house = house(&["a"]);
    imported(&house, consents(vec![consent(2, "b@example.nl")])).await;
    let show = |sender: Option<&str>| Request::Show {
        address: address("b@example.nl"),
        sender: sender.map(str::to_owned),
    };
    let Answer::Profiles { profiles } = handle(show(None), &house.services).await else { panic!() };
    assert_eq!(profiles.len(), 1);
    assert_eq!(
        (profiles[0].consents[0].state.as_str(), profiles[0].consents[0].grade),
        ("granted", Some(Grade::B))
    );
    let answer = handle(show(Some("nobody")), &house.services).await;
    assert!(matches!(answer, Answer::Failed { .. }));

    let subject: Subject = "b@example.nl".parse().unwrap();
    let request = Request::Entries { query: subject.clone().into(), after: None, limit: 0 };
    let Answer::Entries { entries, .. } = handle(request, &house.services).await else { panic!() };
    assert_eq!(entries.len(), 1);
    let request = Request::Entries { query: subject.into(), after: Some(1), limit: 10 };
    assert_eq!(handle(request, &house.services).await, Answer::Entries { entries: Vec::new(), next: None });

    let answer =
        handle(Request::Ledger(LedgerRequest::Verify { anchors: Vec::new() }), &house.services).await;
    assert_eq!(answer, Answer::Failed { error: Unavailable("disk".to_owned()).to_string() });
    let answer =
        handle(Request::Pack { query: Subject::Entry(404).into(), language: None }, &house.services).await;
    assert_eq!(answer, Answer::Failed { error: "nothing is on record about #404".to_owned() });
    let Answer::Status(status) = handle(Request::Status, &house.services).await else { panic!() };
    assert_eq!((status.entries, status.mode.as_str()), (2, "enforce"));
}

fn spooled(copy: CopyId) -> Spooled {
    Spooled {
        copy,
        class: Class::Marketing,
        sender: None,
        purpose: None,
        rule: None,
        reverse_path: ReversePath::Null,
        recipients: vec![Recipient::new(address("b@example.nl"))],
        ret: None,
        envid: None,
        original_sha256: [0; 32],
        eight_bit: false,
        smtputf8: false,
        state: SpoolState::Held,
        attempts: 3,
        admitted_at: now(),
        expires_at: now(),
        last_reply: "421 later".to_owned(),
        account: None,
        delay_told: false,
    }
}

#[tokio::test]
async fn copies_are_retried_held_and_dropped_but_not_while_they_are_tried() {
    let house = house(&["a"]);
    let copy = |index| CopyId { reference: Reference::new(now(), [7; 10]), index };
    for index in 0..3 {
        state(&house).spool.insert(copy(index), spooled(copy(index)));
    }
    let change = |index, action| handle(Request::Change { copy: copy(index), action }, &house.services);
    assert!(matches!(change(0, QueueAction::Retry).await, Answer::Done { .. }));
    assert_eq!(state(&house).spool[&copy(0)].state, SpoolState::Waiting { next: now() });
    assert!(matches!(change(0, QueueAction::Hold).await, Answer::Done { .. }));
    assert_eq!(state(&house).spool[&copy(0)].state, SpoolState::Held);
    assert!(matches!(change(1, QueueAction::Drop).await, Answer::Done { .. }));
    assert!(!state(&house).spool.contains_key(&copy(1)));
    assert!(
        matches!(state(&house).entries.last(), Some(Event::Cancelled(outcome)) if outcome.copy == copy(1))
    );
    assert_eq!(state(&house).woken, 3);

    state(&house).claimed.insert(copy(2));
    let answer = change(2, QueueAction::Drop).await;
    assert!(matches!(&answer, Answer::Failed { error } if error.contains("being tried")), "{answer:?}");
    assert!(matches!(change(9, QueueAction::Hold).await, Answer::Failed { .. }));
    let Answer::Queue { copies } = handle(Request::Queue { after: None, limit: 1 }, &house.services).await
    else {
        panic!()
    };
    assert_eq!(copies.iter().map(|line| line.copy).collect::<Vec<_>>(), [copy(0)]);
}

#[test]
fn subjects_are_told_apart() {
    let reference = Reference::new(now(), [1; 10]);
    for (text, subject) in [
        ("Klant@Example.NL", Subject::Address(address("klant@example.nl").key().clone())),
        ("<a@b>", Subject::MessageId("<a@b>".to_owned())),
        ("#12", Subject::Entry(12)),
        (&reference.to_string(), Subject::Reference(reference)),
        (&format!("{reference}-3"), Subject::Copy(CopyId { reference, index: 3 })),
    ] {
        assert_eq!(text.parse(), Ok(subject.clone()), "{text}");
        assert_eq!(subject.to_string().parse(), Ok(subject));
    }
    assert!("nothing".parse::<Subject>().is_err());
}

/// Run `ask` against a served socket on a thread that may block.
async fn over_socket<T: Send + 'static>(
    house: &House,
    max_line: usize,
    ask: impl FnOnce(&std::path::Path) -> T + Send + 'static,
) -> T {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sluis.sock");
    let shutdown = Shutdown::new();
    let listener = Listener::bind(&path).unwrap();
    let served = tokio::spawn(serve(
        listener,
        house.services.clone(),
        axum::Router::new(),
        2,
        max_line,
        shutdown.clone(),
    ));
    let at = path.clone();
    let answer = tokio::task::spawn_blocking(move || ask(&at)).await.unwrap();
    shutdown.request();
    served.await.unwrap();
    shutdown.drained().await;
    assert!(!path.exists(), "the socket is removed");
    answer
}

#[tokio::test]
async fn p6_what_was_answered_is_found_though_nobody_waited_for_its_record() {
    let house = house(&["a"]);
    let (scribe, inbox) = crate::ledger::Scribe::channel(16);
    let services = Services { scribe: scribe.clone(), ..house.services.clone() };
    let suppression = crate::suppression::Suppression {
        reason: Reason::Objection,
        since: now(),
        source: "letter".to_owned(),
    };
    let (sender, who) = (SenderId("a".to_owned()), address("b@example.nl"));
    let event =
        Event::Suppression(Suppressed { sender, address: who.key().clone(), suppression, reference: None });
    scribe.post(crate::ledger::Record::of(event)).await.unwrap();
    let query = Subject::Address(who.key().clone()).into();
    let asked = handle(Request::Entries { query, after: None, limit: 10 }, &services);
    // The pen writes only once the question was asked.
    let mut book = memory::Shared(house.memory.clone());
    let written = async { drop(std::thread::spawn(move || inbox.serve(&mut book, 16))) };
    let (answer, ()) = tokio::join!(asked, written);
    let Answer::Entries { entries, .. } = answer else { panic!("{answer:?}") };
    assert_eq!(entries.len(), 1);
}

#[tokio::test]
async fn requests_and_answers_go_over_a_real_socket() {
    let house = house(&["a"]);
    let answers = over_socket(&house, 1 << 20, |path| {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Listener::bind(path).unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
        let mut client = Client::connect(path, 1 << 20).unwrap().unwrap();
        let rows = consents(vec![consent(2, "b@example.nl")]);
        [import(rows.clone()), import(rows), Request::Reload].map(|request| client.ask(&request).unwrap())
    });
    let [first, again, reload] = answers.await;
    assert!(matches!(first, Answer::Imported(Imported { added: 1, .. })), "{first:?}");
    assert!(matches!(again, Answer::Imported(Imported { already: 1, .. })), "{again:?}");
    assert_eq!(reload, Answer::Failed { error: "sluis.toml:3:8: mode: wrong".to_owned() });
}

#[tokio::test]
async fn lines_are_bounded_and_rubbish_is_answered() {
    let house = house(&["a"]);
    let told = over_socket(&house, 4_096, |path| {
        use std::io::{BufRead as _, Write as _};
        let say = |line: &[u8]| {
            let mut stream = std::os::unix::net::UnixStream::connect(path).unwrap();
            stream.write_all(line).unwrap();
            let mut answer = String::new();
            std::io::BufReader::new(stream).read_line(&mut answer).unwrap();
            answer
        };
        let long = [b"{".repeat(5_000), b"\n".to_vec()].concat();
        [say(b"{\"do\":\"fly\"}\n"), say(&long), say(b"\xff\n")]
    });
    let [unknown, long, binary] = told.await;
    assert!(unknown.contains("not a request"), "{unknown}");
    assert!(long.contains("longer than 4096 octets"), "{long}");
    assert!(binary.contains("not a request"), "{binary}");
}

#[test]
fn no_gateway_is_not_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sluis.sock");
    assert!(Client::connect(&path, 1 << 20).unwrap().is_none());
    // The socket of a gateway that was killed.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    assert!(Client::connect(&path, 1 << 20).unwrap().is_none());
}
