//! A disk that is full in the middle of sending (promises 1, 2 and 5): the client is told to come again, nothing that was
//! acknowledged is lost, and once there is room the gateway goes on by itself.
//!
//! The disk of the program is full when its store may not grow any more: a limit on the size of its files, which the system
//! answers like a disk without room, and which can be lifted while it runs.

mod support;

use std::process::Command;

use support::house::{House, Served};

/// One letter whose text does not get shorter by being squeezed.
fn letter(number: u32) -> String {
    let text: String = (0..2_000u32)
        .map(|line| {
            let word = u64::from(number * 5_003 + line).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            format!("{word:016x}{:016x}\r\n", word.wrapping_mul(0xbf58_476d_1ce4_e5b9))
        })
        .collect();
    format!(
        "EHLO tool\r\nMAIL FROM:<nieuws@voorbeeldhypotheken.nl>\r\nRCPT TO:<lezer@example.org>\r\nDATA\r\n\
         From: Voorbeeld Hypotheken <nieuws@voorbeeldhypotheken.nl>\r\nTo: lezer@example.org\r\n\
         Subject: Nieuws {number}\r\nMessage-ID: <{number}@voorbeeldhypotheken.nl>\r\n\
         Date: Tue, 24 Nov 2026 10:00:00 +0100\r\n\r\n{text}.\r\nQUIT\r\n"
    )
}

/// What the end of the message, or the first refusal before it, was answered.
fn answer(replies: &str) -> String {
    let refused = replies.lines().find(|line| line.starts_with(['4', '5']));
    // 221 is the answer to QUIT.
    let last = replies.lines().rev().find(|line| !line.starts_with("221"));
    refused.or(last).unwrap_or_default().to_owned()
}

fn limit(house: &House, served: &Served, octets: &str) {
    let limited = Command::new("prlimit")
        .args(["--pid", &served.id().to_string()])
        .arg(format!("--fsize={octets}:"))
        .output();
    let limited = limited.expect("prlimit, of util-linux");
    assert!(limited.status.success(), "{limited:?} in {}", house.path("").display());
}

fn store(house: &House) -> u64 {
    std::fs::metadata(house.path("var/sluis.redb")).unwrap().len()
}

#[cfg(target_os = "linux")]
#[test]
fn promise_5_a_full_disk_defers_loses_nothing_and_is_over_once_there_is_room() {
    if Command::new("prlimit").arg("--version").output().is_err() {
        eprintln!("passed over: no prlimit");
        return;
    }
    let house = House::new();
    // All of it is kept, and nothing else is asked: there is no page here that people could opt out on.
    let config = std::fs::read_to_string(house.path("sluis.toml")).unwrap();
    let service = "class = \"service\"\n[ledger.archive]\nservice = \"full\"";
    house.file("sluis.toml", &config.replace("class = \"marketing\"\npurpose = \"nieuwsbrief\"", service));
    let served = Served::start_ignoring(&house, "XFSZ");
    assert!(answer(&served.say(&letter(0))).starts_with("250 "));
    limit(&house, &served, &store(&house).to_string());
    let (mut taken, mut deferred) = (vec![0], Vec::new());
    for number in 1..60 {
        let said = answer(&served.say(&letter(number)));
        match said.as_bytes().first() {
            Some(b'2') => taken.push(number),
            _ => {
                assert!(said.starts_with("451 4.3.0 "), "{number}: {said}");
                deferred.push(number);
            }
        }
        if deferred.len() == 3 {
            break;
        }
    }
    assert_eq!(deferred.len(), 3, "the store never grew: {taken:?}");

    limit(&house, &served, "unlimited");
    // The store is tried again within the second.
    let patience = support::patience::Patience::new();
    let again = *deferred.last().unwrap();
    while !answer(&served.say(&letter(again))).starts_with("250 ") {
        patience.check();
    }
    taken.push(again);
    drop(served);

    let said = house.ok(&["ledger", "fsck"]);
    assert!(said.contains("the ledger is sound"), "{said}");
    let shown = house.ok(&["proof", "show", "lezer@example.org"]);
    assert_eq!(shown.matches(" relayed ").count(), taken.len(), "{taken:?} acknowledged: {shown}");
    for number in &taken {
        let id = format!("<{number}@voorbeeldhypotheken.nl>");
        house.ok(&["proof", "message", &id, "--to", "lezer@example.org"]);
    }
    // What was refused did not go out behind the client's back.
    let out = std::fs::read_dir(house.path("var/outbox")).unwrap();
    let sent =
        out.filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|is| is == "eml")).count();
    assert_eq!(sent, taken.len(), "{taken:?} taken, {deferred:?} deferred");
}
