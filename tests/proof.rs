//! Proof as its readers meet it: whole entries, the exact bytes, lookups, and the check of the whole ledger.

mod support;

#[path = "support/letters.rs"]
#[allow(dead_code, reason = "made for the rewriting tests; only the check of signatures is used here")]
mod letters;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use rcgen::{ExtendedKeyUsagePurpose, RevocationReason};
use serde_json::Value;
use sluis::ledger::{Anchored, Event};
use sluis::mail::{hex, sha256};
use support::gateway::{INVOICES, NEWS, PERSON, TestGateway, message};
use support::hook::Hook;
use support::next_hop::NextHop;
use support::tsa::{Spoil, Tsa};

/// The program, on the folder of `gateway`; with it running, over its socket.
async fn sluis(gateway: &TestGateway, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluis"));
    command.args(args).env("SLUIS_CONFIG", gateway.folder.path().join("sluis.toml")).stdin(Stdio::null());
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// All that a command said.
fn text_of(done: &Output) -> String {
    text(&done.stdout) + &text(&done.stderr)
}

/// The entries of one kind as they stand in the ledger: what a reader without our types sees.
fn json(gateway: &TestGateway, kind: &str) -> Vec<(u64, Value)> {
    let store = gateway.running.store();
    let size = store.size().unwrap();
    let all = store.entries(0..size).unwrap();
    let read = all.into_iter().map(|found| (found.number, serde_json::from_slice(&found.bytes).unwrap()));
    read.filter(|(_, entry): &(u64, Value)| entry["kind"] == kind).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn l15_a_send_says_who_for_whom_on_which_basis_exactly_what_and_what_became_of_it() {
    let mut next_hop = NextHop::start().await;
    let gateway = TestGateway::start(next_hop.address).await;
    gateway.consent(&["ander@example.org", "lezer@example.org"]).await;
    let mut client = gateway.client().await;
    let letter = message(NEWS, "Dag").replace("Subject:", "User-Agent: Lijstmaker 3.1\r\nSubject:");
    let reply = client.submit(NEWS, &["lezer@example.org"], letter.clone()).await;
    assert_eq!(reply.code, 250, "{reply:?}");
    let got = next_hop.next().await.data;
    gateway.wait_for(|event| matches!(event, Event::Relayed(_)).then_some(())).await;

    let (_, admitted) = json(&gateway, "admitted").pop().unwrap();
    let (consent, _) = json(&gateway, "consent")
        .into_iter()
        .find(|(_, entry)| entry["address"] == "lezer@example.org")
        .unwrap();
    let (_, config) = json(&gateway, "config_in_force").pop().unwrap();
    let key = json(&gateway, "key_in_force").into_iter().find(|(_, key)| key["does"] == "dkim").unwrap().1;
    for (field, expected) in [
        ("/handover/ip", Value::from("127.0.0.1")),
        ("/handover/account", Value::Null),
        ("/tool", "Lijstmaker 3.1".into()),
        ("/class", "marketing".into()),
        ("/sender/name", "Voorbeeld Hypotheken B.V.".into()),
        ("/purpose", "nieuwsbrief".into()),
        ("/rule", "newsletter".into()),
        ("/rules_sha256", config["rules_sha256"].clone()),
        ("/reverse_path", NEWS.into()),
        ("/recipients/0/recipient", "lezer@example.org".into()),
        ("/recipients/0/basis/basis", "consent".into()),
        ("/recipients/0/basis/grade", "B".into()),
        ("/recipients/0/basis/text_sha256", "7".repeat(64).into()),
        ("/recipients/0/basis/entries", serde_json::json!([consent])),
        ("/message_id", "<m3@voorbeeldhypotheken.nl>".into()),
        ("/original_sha256", hex(&sha256(letter.as_bytes())).into()),
        ("/sent_sha256", hex(&sha256(&got)).into()),
        ("/size", got.len().into()),
        ("/dkim/0/name", "test._domainkey.voorbeeldhypotheken.nl".into()),
        ("/dkim/0/key", key["id"].clone()),
        ("/next_hop", next_hop.address.to_string().into()),
    ] {
        assert_eq!(admitted.pointer(field), Some(&expected), "{field} in {admitted:#}");
    }
    assert!(admitted["token"].as_str().is_some_and(|token| token.len() == 32), "{admitted:#}");
    assert!(admitted["edits"].as_array().is_some_and(|edits| !edits.is_empty()), "{admitted:#}");
    assert!(key["public"].as_str().unwrap().starts_with("v=DKIM1; k=ed25519; p="), "{key:#}");
    let (_, relayed) = json(&gateway, "relayed").pop().unwrap();
    assert_eq!(relayed["copy"], admitted["copy"]);
    assert!(relayed["reply"].as_str().unwrap().starts_with("250"), "{relayed:#}");
    assert!(relayed["at"].as_str() >= admitted["at"].as_str());

    // All of it stands on the page that people read, too.
    let pack = gateway.folder.path().join("pack.zip").display().to_string();
    let done =
        sluis(&gateway, &["proof", "export", "lezer@example.org", "-o", &pack, "--language", "en"]).await;
    assert!(done.status.success(), "{}", text_of(&done));
    let page = text(&unzipped(&pack)["index.html"]);
    let (token, helo) = (admitted["token"].as_str().unwrap(), admitted["handover"]["helo"].as_str().unwrap());
    for shown in [
        "from 127.0.0.1, without TLS",
        helo,
        "Lijstmaker 3.1",
        "Voorbeeld Hypotheken B.V.",
        "nieuwsbrief",
        "<dd>newsletter</dd>",
        config["rules_sha256"].as_str().unwrap(),
        &format!("&lt;{NEWS}&gt;"),
        "consent of grade B",
        &"7".repeat(64),
        &format!("<a href=\"entries/{consent:012}.json\">{consent}</a>"),
        &hex(&sha256(letter.as_bytes())),
        &hex(&sha256(&got)),
        admitted["edits"][0].as_str().unwrap(),
        "test._domainkey.voorbeeldhypotheken.nl",
        key["id"].as_str().unwrap(),
        "<code>v=DKIM1; k=ed25519; p=",
        token,
        &next_hop.address.to_string(),
        relayed["reply"].as_str().unwrap(),
        admitted["at"].as_str().unwrap(),
        relayed["at"].as_str().unwrap(),
        "not that all they say is true",
    ] {
        assert!(page.contains(shown), "{shown} in {page}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_8_the_exact_bytes_of_each_person_come_back_and_their_signature_verifies() {
    let mut next_hop = NextHop::start().await;
    let gateway = TestGateway::start(next_hop.address).await;
    let people = ["een@example.org", "twee@example.org"];
    gateway.consent(&people).await;
    let mut client = gateway.client().await;
    let reply = client.submit(NEWS, &people, message(NEWS, "Dag")).await;
    assert_eq!(reply.code, 250, "{reply:?}");
    let key = json(&gateway, "key_in_force").into_iter().find(|(_, key)| key["does"] == "dkim").unwrap().1;
    let record = (key["name"].as_str().unwrap().to_owned(), key["public"].as_str().unwrap().to_owned());
    for _ in people {
        let got = next_hop.next().await;
        let to = got.rcpt[0].split(['<', '>']).nth(1).unwrap().to_owned();
        let done = sluis(&gateway, &["proof", "message", "<m3@voorbeeldhypotheken.nl>", "--to", &to]).await;
        assert!(done.status.success(), "{}", text(&done.stderr));
        assert_eq!(text(&done.stdout), text(&got.data), "byte for byte what {to} got");
        let (record, bytes) = (record.clone(), done.stdout);
        let verified = tokio::task::spawn_blocking(move || {
            letters::verify_with(&bytes, "voorbeeldhypotheken.nl", &[(record.0.as_str(), record.1)], 1)
        });
        verified.await.unwrap().unwrap();
    }
    // As little as the class needs: of service mail the header, of personal mail the hash.
    for from in [INVOICES, PERSON] {
        let reply = client.submit(from, &["een@example.org"], message(from, "Factuur")).await;
        assert_eq!(reply.code, 250, "{reply:?}");
        next_hop.next().await;
    }
    let admitted = json(&gateway, "admitted");
    let of = |class: &str| {
        let (number, entry) = admitted.iter().find(|(_, entry)| entry["class"] == class).unwrap();
        (number.to_string(), entry["sent_sha256"].as_str().unwrap().to_owned())
    };
    let (invoice, hash) = of("service");
    let done = sluis(&gateway, &["proof", "message", &invoice, "--to", "een@example.org"]).await;
    assert_eq!(done.status.code(), Some(1));
    assert!(text(&done.stdout).ends_with("\r\n\r\n") && !text(&done.stdout).contains("Factuur"));
    assert!(text(&done.stderr).contains(&hash), "{}", text(&done.stderr));
    let (letter, hash) = of("personal");
    let done = sluis(&gateway, &["proof", "message", &letter, "--to", "een@example.org"]).await;
    assert_eq!((done.status.code(), done.stdout.len()), (Some(1), 0));
    assert!(text(&done.stderr).contains(&hash), "{}", text(&done.stderr));
}

/// A gateway that has sent one newsletter to lezer@example.org, and the letter as it arrived.
async fn one_letter() -> (TestGateway, Vec<u8>, NextHop) {
    let mut next_hop = NextHop::start().await;
    let gateway = TestGateway::start(next_hop.address).await;
    gateway.consent(&["lezer@example.org"]).await;
    let mut client = gateway.client().await;
    client.submit(NEWS, &["lezer@example.org"], message(NEWS, "Dag")).await;
    let got = next_hop.next().await.data;
    gateway.wait_for(|event| matches!(event, Event::Relayed(_)).then_some(())).await;
    (gateway, got, next_hop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_complaint_leads_to_what_it_is_about() {
    let (gateway, got, _next_hop) = one_letter().await;
    let mut attached = b"From: lezer@example.org\r\nMessage-ID: <klacht@example.org>\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/mixed; boundary=grens\r\n\r\n--grens\r\n\r\nIk heb hier nooit om gevraagd.\r\n\
        --grens\r\nContent-Type: message/rfc822\r\n\r\n"
        .to_vec();
    attached.extend_from_slice(&got);
    attached.extend_from_slice(b"\r\n--grens--\r\n");
    let reply =
        b"From: lezer@example.org\r\nIn-Reply-To: <m3@voorbeeldhypotheken.nl>\r\n\r\nStop!\r\n".to_vec();
    let file = |name: &str, bytes: &[u8]| {
        let path = gateway.folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.display().to_string()
    };
    for (name, bytes) in [("saved.eml", got), ("forwarded.eml", attached), ("reply.eml", reply)] {
        let done = sluis(&gateway, &["proof", "lookup", &file(name, &bytes)]).await;
        let out = text(&done.stdout);
        assert!(done.status.success(), "{name}: {}", text(&done.stderr));
        assert!(out.contains(" admitted ") && out.contains("lezer@example.org"), "{name}: {out}");
    }
    let unknown = file("unknown.eml", b"Message-ID: <elders@example.net>\r\n\r\nHallo\r\n");
    let done = sluis(&gateway, &["proof", "lookup", &unknown]).await;
    assert_eq!(done.status.code(), Some(1));
    assert!(text(&done.stderr).contains("<elders@example.net>"), "{}", text(&done.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_8_the_ledger_shows_that_it_was_only_added_to() {
    let mut next_hop = NextHop::start().await;
    let gateway = TestGateway::start(next_hop.address).await;
    let mut client = gateway.client().await;
    let path = |name: &str| gateway.folder.path().join(name);
    let checkpoint = async |name: &str| {
        let done = sluis(&gateway, &["ledger", "checkpoint"]).await;
        assert!(done.status.success(), "{}", text(&done.stderr));
        std::fs::write(path(name), done.stdout).unwrap();
    };
    checkpoint("old.txt").await;
    for _ in 0..3 {
        client.submit(INVOICES, &["a@example.org"], message(INVOICES, "Factuur")).await;
        next_hop.next().await;
    }
    checkpoint("new.txt").await;
    let name = |name: &str| path(name).display().to_string();
    let (old, new, proof) = (name("old.txt"), name("new.txt"), name("proof.json"));
    let done = sluis(&gateway, &["ledger", "consistency", &old, &new, "-o", &proof]).await;
    assert!(done.status.success(), "{}", text(&done.stderr));
    let done = sluis(&gateway, &["ledger", "check", &proof, "--key", &gateway.running.ledger_key()]).await;
    assert!(done.status.success(), "{} {}", text(&done.stdout), text(&done.stderr));
    let done = sluis(&gateway, &["ledger", "consistency", &new, &old]).await;
    assert!(!done.status.success(), "the other way round");

    let done = sluis(&gateway, &["ledger", "fsck", "--checkpoint", &old, "--checkpoint", &new]).await;
    assert!(done.status.success(), "{} {}", text(&done.stdout), text(&done.stderr));
    let out = text(&done.stdout);
    assert!(out.contains("the ledger is sound") && out.contains("accepted=3 sent=3"), "{out}");
    let forged =
        sluis::ledger::checkpoint::Signer::generate("sluis.test", &sluis::secret::SystemEntropy).unwrap();
    let note = sluis::ledger::checkpoint::sign(&forged, 3, Default::default(), &Default::default()).unwrap();
    std::fs::write(path("forged.txt"), note).unwrap();
    let done = sluis(&gateway, &["ledger", "fsck", "--checkpoint", &name("forged.txt")]).await;
    assert_eq!(done.status.code(), Some(1));
    assert!(text(&done.stdout).contains("signed by no key of this gateway"), "{}", text(&done.stdout));
    assert!(Path::new(&proof).exists());
}

/// The second verifier (docs/verify), where there is a Python with the package it needs.
fn python(args: &[&str]) -> Option<Output> {
    let has = Command::new("python3").args(["-c", "import cryptography"]).output();
    if !has.is_ok_and(|done| done.status.success()) {
        eprintln!("passed over: no python3 with the package cryptography");
        return None;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/verify/verify.py");
    Some(Command::new("python3").arg("-B").arg(script).args(args).output().unwrap())
}

/// The files of a zip, by name.
fn unzipped(pack: &str) -> std::collections::BTreeMap<String, Vec<u8>> {
    let mut archive = zip::ZipArchive::new(std::fs::File::open(pack).unwrap()).unwrap();
    (0..archive.len())
        .map(|index| {
            let mut file = archive.by_index(index).unwrap();
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut file, &mut bytes).unwrap();
            (file.name().unwrap().into_owned(), bytes)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn l2_a_pack_holds_the_files_that_show_its_consents_or_names_those_that_are_gone() {
    const SCAN: &[u8] = b"%PDF-1.7 getekend door lezer";
    let mut next_hop = NextHop::start().await;
    let gateway = TestGateway::start(next_hop.address).await;
    let path = |name: &str| gateway.folder.path().join(name);
    let name = |name: &str| path(name).display().to_string();
    std::fs::write(path("Formulier lezer.PDF"), SCAN).unwrap();
    std::fs::write(path("ander.pdf"), b"%PDF-1.7 getekend door ander").unwrap();
    for (who, scan) in [("lezer@example.org", "Formulier lezer.PDF"), ("ander@example.org", "ander.pdf")] {
        let text = "Ja, ik wil mail over hypotheken van Voorbeeld Hypotheken B.V.";
        let add = ["consent", "add", who, "--purpose", "nieuwsbrief", "--act", "signed", "--text", text];
        let scan = name(scan);
        let rest = ["--source", "balie", "--at", "2026-03-01", "--evidence", &scan];
        let done = sluis(&gateway, &[&add[..], &rest].concat()).await;
        assert!(done.status.success(), "{}", text_of(&done));
    }
    let mut client = gateway.client().await;
    let reply = client.submit(NEWS, &["lezer@example.org"], message(NEWS, "Dag")).await;
    assert_eq!(reply.code, 250, "{reply:?}");
    next_hop.next().await;
    gateway.wait_for(|event| matches!(event, Event::Relayed(_)).then_some(())).await;
    let key = gateway.running.ledger_key();
    let sha256 = hex(&sha256(SCAN));
    let inside = format!("evidence/{sha256}.pdf");

    // Asked for the message alone: the consent that it rests on brings its scan along, and nobody else's.
    let export = async |pack: &str| {
        sluis(&gateway, &["proof", "export", "<m3@voorbeeldhypotheken.nl>", "-o", pack]).await
    };
    let verify = async |pack: &str| sluis(&gateway, &["proof", "verify", pack, "--key", &key]).await;
    let whole = name("whole.zip");
    let done = export(&whole).await;
    assert!(done.status.success(), "{}", text_of(&done));
    let files = unzipped(&whole);
    assert_eq!(files.get(&inside).map(Vec::as_slice), Some(SCAN), "{:?}", files.keys());
    assert_eq!(files.keys().filter(|name| name.starts_with("evidence/")).count(), 1);
    let page = text(&files["index.html"]);
    assert!(page.contains(&format!("href=\"{inside}\"")) && page.contains("Formulier lezer.PDF"), "{page}");
    let done = verify(&whole).await;
    assert!(done.status.success(), "{}", text_of(&done));
    let said = format!("evidence      {inside} is the file Formulier lezer.PDF that entry ");
    assert!(text(&done.stdout).contains(&said), "{}", text_of(&done));
    if let Some(done) = python(&[&whole, &key]) {
        assert!(done.status.success(), "{}", text_of(&done));
        assert!(text(&done.stdout).contains(&format!("{inside}: the file Formulier lezer.PDF")));
    }

    // Whatever is done to the file in the pack is found by both.
    for change in ["changed", "taken out", "renamed"] {
        let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for (name, bytes) in &files {
            let (mut name, mut bytes) = (name.clone(), bytes.clone());
            match change {
                "changed" if name == inside => bytes[9] ^= 1,
                "taken out" if name == inside => continue,
                "renamed" if name == inside => name = format!("evidence/{}.pdf", "0".repeat(64)),
                _ => {}
            }
            writer.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
            std::io::Write::write_all(&mut writer, &bytes).unwrap();
        }
        let forged = name("forged.zip");
        std::fs::write(&forged, writer.finish().unwrap().into_inner()).unwrap();
        let done = verify(&forged).await;
        assert_eq!(done.status.code(), Some(1), "{change}: {}", text_of(&done));
        assert!(text(&done.stdout).contains(&format!("WRONG         {inside}")), "{}", text_of(&done));
        if let Some(done) = python(&[&forged, &key]) {
            assert!(text(&done.stderr).contains("WRONG"), "{change}: {}", text_of(&done));
        }
    }

    // A file that is changed or gone is named wherever a reader looks; the rest of the pack stands.
    let kept = path("var/evidence").join(&sha256);
    let lost = name("lost.zip");
    for (why, pack) in [("another SHA-256", name("changed.zip")), ("not where it was kept", lost)] {
        match why {
            "another SHA-256" => std::fs::write(&kept, b"%PDF-1.7 getekend door wie?").unwrap(),
            _ => std::fs::remove_file(&kept).unwrap(),
        }
        let done = export(&pack).await;
        assert_eq!(done.status.code(), Some(1), "{}", text_of(&done));
        assert!(
            text(&done.stderr).contains("NOT IN THE PACK: Formulier lezer.PDF")
                && text_of(&done).contains(why),
            "{}",
            text_of(&done)
        );
        let done = verify(&pack).await;
        assert_eq!(done.status.code(), Some(1), "{}", text_of(&done));
        for said in ["MISSING       Formulier lezer.PDF", why, "the pack is sound, and 1 files that"] {
            assert!(text(&done.stdout).contains(said), "{said}: {}", text_of(&done));
        }
        let files = unzipped(&pack);
        assert!(text(&files["index.html"]).contains("dit bestand kon niet worden bijgevoegd"));
        assert!(text(&files[&format!("evidence/{sha256}.missing.txt")]).contains(why));
        if let Some(done) = python(&[&pack, &key]) {
            assert!(text(&done.stdout).contains("the pack is sound"), "{}", text_of(&done));
            assert!(text(&done.stderr).contains("not in it: evidence/"), "{}", text_of(&done));
            assert_eq!(done.status.code(), Some(1));
        }
    }
    let left = std::fs::read_dir(path("var")).unwrap().flatten().map(|file| file.file_name());
    assert!(!left.into_iter().any(|name| name.to_string_lossy().starts_with("pack-")), "taken away");
}

#[test]
fn the_second_verifier_still_reads_the_pack_of_the_first_release() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/format/2");
    let key = std::fs::read_to_string(folder.join("ledger.key")).unwrap();
    let signer = sluis::ledger::checkpoint::Signer::parse_file(&key).unwrap();
    let Some(done) = python(&[folder.join("pack.zip").to_str().unwrap(), signer.verifier()]) else { return };
    assert!(done.status.success(), "{}", text_of(&done));
}

#[test]
fn the_second_verifier_is_short() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/verify/verify.py");
    let lines = std::fs::read_to_string(script).unwrap().lines().count();
    assert!(lines < 150, "{lines} lines");
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_8_a_pack_verifies_without_this_program() {
    let mut next_hop = NextHop::start().await;
    let gateway = TestGateway::start(next_hop.address).await;
    gateway.consent(&["lezer@example.org"]).await;
    let path = |name: &str| gateway.folder.path().join(name);
    let name = |name: &str| path(name).display().to_string();
    let done = sluis(&gateway, &["ledger", "checkpoint"]).await;
    std::fs::write(path("old.txt"), done.stdout).unwrap();
    let mut client = gateway.client().await;
    client.submit(NEWS, &["lezer@example.org"], message(NEWS, "Dag")).await;
    next_hop.next().await;
    gateway.wait_for(|event| matches!(event, Event::Relayed(_)).then_some(())).await;
    let key = gateway.running.ledger_key();
    let pack = name("pack.zip");
    let done = sluis(&gateway, &["proof", "export", "lezer@example.org", "-o", &pack]).await;
    assert!(done.status.success(), "{}", text(&done.stderr));
    let done = sluis(&gateway, &["proof", "verify", &pack, "--key", &key]).await;
    assert!(done.status.success(), "{} {}", text(&done.stdout), text(&done.stderr));
    let Some(done) = python(&[&pack, &key]) else { return };
    assert!(done.status.success(), "{} {}", text(&done.stdout), text(&done.stderr));
    for expected in ["consent", "admitted", "relayed", "byte for byte", "the pack is sound"] {
        assert!(text(&done.stdout).contains(expected), "{expected} in {}", text(&done.stdout));
    }
    // Every file of the pack, changed in one octet, is found by both.
    let bytes = std::fs::read(&pack).unwrap();
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(&bytes)).unwrap();
    let names: Vec<String> = archive.file_names().map(|name| name.unwrap().into_owned()).collect();
    assert!(names.len() > 10, "{names:?}");
    for changed in &names {
        let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for file in &names {
            let mut content = Vec::new();
            std::io::Read::read_to_end(&mut archive.by_name(file).unwrap(), &mut content).unwrap();
            if file == changed {
                let middle = content.len() / 2;
                content[middle] ^= 1;
            }
            writer.start_file(file, zip::write::SimpleFileOptions::default()).unwrap();
            std::io::Write::write_all(&mut writer, &content).unwrap();
        }
        let forged = name("forged.zip");
        std::fs::write(&forged, writer.finish().unwrap().into_inner()).unwrap();
        let done = python(&[&forged, &key]).unwrap();
        assert!(!done.status.success(), "{changed} changed: {}", text(&done.stdout));
    }
    let stranger = sluis::ledger::checkpoint::Signer::generate("sluis.test", &sluis::secret::SystemEntropy);
    let done = python(&[&pack, stranger.unwrap().verifier()]).unwrap();
    assert!(!done.status.success() && text(&done.stderr).contains("not the key you trust"));

    let proof = name("proof.json");
    let done = sluis(&gateway, &["ledger", "consistency", &name("old.txt"), "-o", &proof]).await;
    assert!(done.status.success(), "{}", text(&done.stderr));
    let done = python(&[&proof, &key]).unwrap();
    assert!(text(&done.stdout).contains("begins with"), "{} {}", text(&done.stdout), text(&done.stderr));
    let forged = std::fs::read_to_string(&proof).unwrap();
    let mut forged: Value = serde_json::from_str(&forged).unwrap();
    let last = forged["proof"].as_array().unwrap().len() - 1;
    forged["proof"][last] = "0".repeat(64).into();
    std::fs::write(&proof, forged.to_string()).unwrap();
    assert!(!python(&[&proof, &key]).unwrap().status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_made_while_the_gateway_serves_and_opens_as_a_store_of_its_own() {
    let (gateway, got, _next_hop) = one_letter().await;
    let file = gateway.folder.path().join("copy.redb").display().to_string();
    let done = sluis(&gateway, &["backup", &file]).await;
    assert!(done.status.success(), "{}", text(&done.stderr));
    let done = sluis(&gateway, &["backup", &file]).await;
    assert!(text(&done.stderr).contains("never written over"), "{}", text(&done.stderr));
    // A hold and a purge over the socket.
    let done = sluis(&gateway, &["ledger", "hold", "add", "lezer@example.org", "--why", "zaak 7"]).await;
    assert!(text(&done.stdout).contains("held by entry"), "{} {}", text(&done.stdout), text(&done.stderr));
    let done = sluis(&gateway, &["ledger", "hold", "list"]).await;
    assert!(text(&done.stdout).contains("lezer@example.org"), "{}", text(&done.stdout));
    let done = sluis(&gateway, &["ledger", "hold", "end", "0", "--why", "vergissing"]).await;
    assert!(text(&done.stderr).contains("no hold that stands"), "{}", text(&done.stderr));
    let done = sluis(&gateway, &["ledger", "purge"]).await;
    assert!(text(&done.stdout).contains("0 entries were purged"), "{}", text(&done.stdout));

    // Restored: the copy in the place of the store, beside the keys; what was sent comes back out of it.
    let var = gateway.folder.path().join("var");
    let restore = |config: std::path::PathBuf, file: std::path::PathBuf| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluis"));
        command.arg("restore").arg(file).env("SLUIS_CONFIG", config);
        tokio::task::spawn_blocking(move || command.output().unwrap())
    };
    let config = gateway.folder.path().join("sluis.toml");
    // Not beside a gateway that goes on writing to the file that was moved away.
    std::fs::rename(var.join("sluis.redb"), var.join("moved")).unwrap();
    let done = restore(config.clone(), file.clone().into()).await.unwrap();
    assert!(!done.status.success() && text(&done.stderr).contains("a gateway is running"), "{done:?}");
    assert!(!var.join("sluis.redb").exists(), "nothing was put back");
    std::fs::rename(var.join("moved"), var.join("sluis.redb")).unwrap();
    gateway.running.stop().await;
    let done = restore(config.clone(), file.clone().into()).await.unwrap();
    assert!(!done.status.success() && text(&done.stderr).contains("never writes over a store"), "{done:?}");
    std::fs::remove_file(var.join("sluis.redb")).unwrap();
    // A backup with a changed entry is found, and nothing is left behind.
    let damaged = var.join("damaged");
    std::fs::write(&damaged, &std::fs::read(&file).unwrap()[..40_000]).unwrap();
    let done = restore(config.clone(), damaged).await.unwrap();
    assert!(!done.status.success() && text(&done.stderr).lines().count() == 1, "{done:?}");
    assert!(!var.join("sluis.redb").exists() && !var.join("sluis.redb.restoring").exists());
    let done = restore(config, file.clone().into()).await.unwrap();
    assert!(done.status.success() && text(&done.stdout).contains("restored, "), "{done:?}");
    assert!(text(&done.stdout).contains("Opt-outs that came afterwards are not in it"), "{done:?}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluis"));
    command.args(["proof", "message", "<m3@voorbeeldhypotheken.nl>", "--to", "lezer@example.org"]);
    let config = gateway.folder.path().join("sluis.toml");
    let done = tokio::task::spawn_blocking(move || command.env("SLUIS_CONFIG", config).output().unwrap());
    let done = done.await.unwrap();
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert_eq!(text(&done.stdout), text(&got));
}

/// What the first anchors came to, one for each place.
async fn anchored(gateway: &TestGateway, places: usize) -> Vec<Anchored> {
    let mut seen = std::collections::BTreeMap::new();
    gateway
        .wait_for(move |event| {
            if let Event::Anchored(it) = event {
                seen.insert(it.to.clone(), it.clone());
            }
            (seen.len() == places).then(|| seen.values().cloned().collect())
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_8_checkpoints_go_outside_and_their_anchors_stand_in_the_pack() {
    let mut next_hop = NextHop::start().await;
    let outside = tempfile::tempdir().unwrap();
    let folder = outside.path().display();
    let tsa = Tsa::new(ExtendedKeyUsagePurpose::TimeStamping);
    let beside = tempfile::tempdir().unwrap();
    let ca = beside.path().join("tsa.pem");
    std::fs::write(&ca, &tsa.pem).unwrap();
    let (good, bad) = (beside.path().join("good.crl"), beside.path().join("bad.crl"));
    std::fs::write(&good, tsa.revocations(Some(2027), Some(RevocationReason::Superseded))).unwrap();
    std::fs::write(&bad, tsa.revocations(Some(2027), Some(RevocationReason::KeyCompromise))).unwrap();
    let service =
        Hook::answering(move |query| tsa.answer(&query.body, "20260301100000Z", Spoil::Nothing)).await;
    let anchor = format!(
        "\n[ledger.anchor]\nfolder = \"{folder}\"\nmail = [\"notaris@example.nl\"]\n\
         time_stamp = [\"http://{}/tsr\"]\ntime_stamp_ca_file = \"{}\"\n",
        service.address,
        ca.display()
    );
    let gateway = TestGateway::with(next_hop.address, "", &anchor).await;
    let mail = next_hop.next().await;
    assert!(mail.rcpt[0].contains("notaris@example.nl"), "{:?}", mail.rcpt);
    assert!(text(&mail.data).contains("checkpoint.txt"));
    let anchors = anchored(&gateway, 3).await;
    let to: Vec<&str> = anchors.iter().map(|it| it.to.as_str()).collect();
    assert!(to[0].starts_with("folder /") && to[1] == "mail notaris@example.nl", "{to:?}");
    assert!(anchors.iter().all(|it| it.missed.is_none()), "{anchors:?}");
    assert_eq!(anchors[2].stamped_at.unwrap().to_string(), "2026-03-01T10:00:00Z");
    let done = sluis(&gateway, &["ledger", "fsck", "--checkpoint", &folder.to_string()]).await;
    assert!(done.status.success(), "{} {}", text(&done.stdout), text(&done.stderr));
    let continues = "it continues each of the 1 checkpoints given";
    assert!(text(&done.stdout).contains(continues), "{}", text(&done.stdout));

    // A pack about what stood in the ledger before shows that it was anchored, and where.
    let pack = outside.path().join("pack.zip");
    let pack = pack.to_str().unwrap();
    let first = json(&gateway, "config_in_force")[0].1["at"].as_str().unwrap().to_owned();
    let done = sluis(&gateway, &["proof", "export", "--since", &first, "-o", pack]).await;
    assert!(done.status.success(), "{} {}", text(&done.stdout), text(&done.stderr));
    let key = gateway.running.ledger_key();
    let done = sluis(&gateway, &["proof", "verify", pack, "--key", &key]).await;
    let said = text(&done.stdout);
    assert!(done.status.success(), "{said} {}", text(&done.stderr));
    for words in [
        "anchor        the checkpoint of",
        "went to mail notaris@example.nl",
        "was there at 2026-03-01T10:00:00Z, says time stamp http://",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(said.contains("note          whom the signers of the time stamps lead to"), "{said}");
    // Whom the signer leads to, and what a list of revocations says of it, is for whoever asks.
    let check = async |rest: &[&std::path::Path]| {
        let mut args = vec!["proof", "verify", pack, "--key", &key, "--time-stamp-ca", ca.to_str().unwrap()];
        args.extend(rest.iter().flat_map(|file| ["--time-stamp-crl", file.to_str().unwrap()]));
        sluis(&gateway, &args).await
    };
    for rest in [&[][..], &[good.as_path()]] {
        let done = check(rest).await;
        assert!(done.status.success() && !text_of(&done).contains("note "), "{}", text_of(&done));
    }
    let done = check(&[&bad]).await;
    assert_eq!(done.status.code(), Some(1), "{}", text_of(&done));
    assert!(
        text(&done.stdout).contains("KeyCompromise, so no stamp by its key counts"),
        "{}",
        text_of(&done)
    );
    let done = check(&[&ca]).await;
    assert!(text(&done.stderr).contains("no list of revocations that can be read"), "{}", text_of(&done));
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_8_an_anchor_that_is_missed_is_an_entry_that_says_why() {
    let next_hop = NextHop::start().await;
    let outside = tempfile::tempdir().unwrap();
    let gone = outside.path().join("not/there").display().to_string();
    let tsa = Tsa::new(ExtendedKeyUsagePurpose::TimeStamping);
    let wrong =
        Hook::answering(move |query| tsa.answer(&query.body, "20260301100000Z", Spoil::OtherHash)).await;
    let down = Hook::start(&[503], None).await;
    let anchor = format!(
        "\n[ledger.anchor]\nfolder = \"{gone}\"\ntime_stamp = [\"http://{}/a\", \"http://{}/b\"]\n",
        wrong.address, down.address
    );
    let gateway = TestGateway::with(next_hop.address, "", &anchor).await;
    let anchors = anchored(&gateway, 3).await;
    let why = |end: &str| {
        let of = anchors.iter().find(|it| it.to.ends_with(end)).unwrap();
        of.missed.clone().unwrap()
    };
    assert!(why("not/there").contains("No such file"), "{}", why("not/there"));
    assert_eq!(why("/a"), "the time stamp is for another hash");
    assert_eq!(why("/b"), "HTTP status 503");
    assert!(anchors.iter().all(|it| it.stamp.is_none()));
}
