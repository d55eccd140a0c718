//! Changing the keys that sign and seal, by command, and what it does to proof of before and after.

mod support;

use std::path::Path;
use std::process::Command;

use support::house::{Done, House};

fn python(house: &House, args: &[&str]) -> Option<Done> {
    let has = Command::new("python3").args(["-c", "import cryptography"]).output();
    if !has.is_ok_and(|done| done.status.success()) {
        eprintln!("passed over: no python3 with the package cryptography");
        return None;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/verify/verify.py");
    let done = Command::new("python3").arg("-B").arg(script).args(args).current_dir(house.path("")).output();
    Some(Done::of(&done.unwrap()))
}

fn key(house: &House) -> String {
    std::fs::read_to_string(house.path("var/keys/ledger.pub")).unwrap().trim().to_owned()
}

#[test]
fn promise_8_the_ledgers_key_changes_and_either_key_checks_what_either_signed() {
    let house = House::new();
    let path = |name: &str| house.path(name).display().to_string();
    house.ok(&["suppress", "add", "x@example.nl"]);
    house.file("old.txt", &house.ok(&["ledger", "checkpoint"]));
    house.ok(&["proof", "export", "x@example.nl", "-o", &path("old.zip")]);
    let old = key(&house);
    let said = house.ok(&["keys", "rotate", "ledger"]);
    house.ok(&["suppress", "add", "y@example.nl"]);
    let new = key(&house);
    assert!(old != new && said.contains(&new), "{said}");
    house.ok(&["proof", "export", "y@example.nl", "-o", &path("new.zip")]);
    let listed = house.ok(&["keys", "list"]);
    assert!(listed.contains("signs checkpoints") && listed.contains("signed checkpoints"), "{listed}");

    for trusted in [&old, &new] {
        let done = house.run(&["proof", "verify", &path("new.zip"), "--key", trusted]);
        assert!(done.code == 0 && done.out.contains("the pack is sound"), "{done:?}");
        assert_eq!(done.out.contains("for which the key you trust vouches"), *trusted == old, "{done:?}");
    }
    house.ok(&["proof", "verify", &path("old.zip"), "--key", &old]);
    let done = house.run(&["proof", "verify", &path("old.zip"), "--key", &new]);
    assert!(done.code == 1 && done.out.contains("not the key you trust"), "nothing in it knows the new key");
    let kept = house.path("var/keys").read_dir().unwrap().map(|file| file.unwrap().path());
    let kept: Vec<_> = kept.filter(|file| file.extension().is_some_and(|name| name == "pub")).collect();
    assert_eq!(kept.len(), 2, "{kept:?}");

    // Across the change: the proof between two checkpoints, and the whole ledger.
    house.ok(&["ledger", "consistency", &path("old.txt"), "-o", &path("proof.json")]);
    house.ok(&["ledger", "check", &path("proof.json"), "--key", &old, "--key", &new]);
    assert_eq!(house.run(&["ledger", "check", &path("proof.json"), "--key", &new]).code, 1);
    let said = house.ok(&["ledger", "fsck", "--checkpoint", &path("old.txt")]);
    assert!(said.contains("the ledger is sound"), "{said}");
    for (args, sound) in [
        ([&path("new.zip"), &old].as_slice(), true),
        (&[&path("new.zip"), &new], true),
        (&[&path("old.zip"), &new], false),
        (&[&path("proof.json"), &old, &new], true),
        (&[&path("proof.json"), &new], false),
    ] {
        let args: Vec<&str> = args.iter().map(|arg| arg.as_str()).collect();
        let Some(done) = python(&house, &args) else { break };
        assert_eq!(done.code == 0, sound, "{args:?} {done:?}");
    }

    // Twice before the next start: the key between never signed, and is not missed.
    house.ok(&["keys", "rotate", "ledger"]);
    house.ok(&["keys", "rotate", "ledger"]);
    house.ok(&["suppress", "add", "z@example.nl"]);
    house.ok(&["proof", "export", "z@example.nl", "-o", &path("third.zip")]);
    house.ok(&["proof", "verify", &path("third.zip"), "--key", &old]);
    house.ok(&["ledger", "fsck", "--checkpoint", &path("old.txt")]);
}

#[test]
fn l19_the_pack_about_somebody_who_was_imported_says_which_file_that_was() {
    let house = House::new();
    let csv = house.file("af.csv", "address,reason\nz@example.nl,complaint\ny@example.nl,\n");
    house.ok(&["suppress", "import", &csv]);
    let pack = house.path("pack.zip").display().to_string();
    house.ok(&["proof", "export", "z@example.nl", "-o", &pack]);
    let said = house.ok(&["proof", "verify", &pack, "--key", &key(&house)]);
    assert!(said.contains("import_begun") && said.contains("af.csv"), "{said}");
    assert!(!said.contains("y@example.nl"), "nobody else is in it: {said}");
}

#[test]
fn promise_8_a_key_that_nobody_vouches_for_is_refused_until_somebody_says_why() {
    let (house, other) = (House::new(), House::new());
    let path = |name: &str| house.path(name).display().to_string();
    house.ok(&["suppress", "add", "x@example.nl"]);
    other.ok(&["suppress", "add", "x@example.nl"]);
    let old = key(&house);
    std::fs::copy(other.path("var/keys/ledger.key"), house.path("var/keys/ledger.key")).unwrap();
    let done = house.run(&["suppress", "list"]);
    assert!(
        done.code == 1 && done.err.contains("was signed last by") && done.err.contains("--lost"),
        "{done:?}"
    );
    assert_eq!(done.err.lines().count(), 1, "{done:?}");

    std::fs::remove_file(house.path("var/keys/ledger.key")).unwrap();
    let done = house.run(&["keys", "rotate", "ledger"]);
    assert!(done.code == 1 && done.err.contains("--lost WHY"), "{done:?}");
    let said = house.ok(&["keys", "rotate", "ledger", "--lost", "the disk broke"]);
    assert!(said.contains("No key vouches for it"), "{said}");
    house.ok(&["suppress", "add", "y@example.nl"]);
    let entries = house.ok(&["proof", "show", "--since", "2020-01-01", "--json"]);
    assert!(entries.contains("\"lost\":\"the disk broke\""), "{entries}");
    house.ok(&["proof", "export", "y@example.nl", "-o", &path("new.zip")]);
    house.ok(&["proof", "verify", &path("new.zip"), "--key", &key(&house)]);
    let done = house.run(&["proof", "verify", &path("new.zip"), "--key", &old]);
    assert!(done.code == 1 && done.out.contains("not the key you trust"), "{done:?}");
    house.ok(&["ledger", "fsck"]);
    assert!(house.run(&["keys", "rotate", "token", "--lost", "x"]).err.contains("put keys/token.key back"));
}
