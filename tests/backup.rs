//! A backup is one file with all that is needed to prove: the store, and the files beside it that its entries name.

mod support;

use std::path::PathBuf;

use sluis::mail::{hex, sha256};
use support::house::House;

const SCAN: &[u8] = b"%PDF-1.7 getekend door Jansen";
const LIST: &str = "address,purpose,kind,at,act,text,source\n\
                    pietersen@example.org,nieuwsbrief,grant,2026-03-01,ticked_box,Ja graag nieuws van Voorbeeld Hypotheken,https://x.nl\n";

/// A store with a consent that a scan shows and an import; both files, as they are kept.
fn ledger(house: &House) -> [PathBuf; 2] {
    let scan = house.path("formulier.pdf");
    std::fs::write(&scan, SCAN).unwrap();
    let text = "Ja, ik wil de nieuwsbrief van Voorbeeld Hypotheken";
    let add = ["consent", "add", "jansen@example.org", "--purpose", "nieuwsbrief", "--act", "signed"];
    let rest = ["--text", text, "--source", "balie", "--at", "2026-03-01", "--evidence"];
    house.ok(&[&add[..], &rest, &[scan.to_str().unwrap()]].concat());
    let list = house.file("lijst.csv", LIST);
    house.ok(&["consent", "import", &list]);
    let kept = |shelf: &str, bytes: &[u8]| house.path("var").join(shelf).join(hex(&sha256(bytes)));
    let files = [kept("evidence", SCAN), kept("imports", LIST.as_bytes())];
    assert!(files.iter().all(|file| file.exists()), "{files:?}");
    files
}

#[test]
fn promise_8_a_backup_holds_the_files_that_entries_name_and_a_restore_puts_them_back() {
    let house = House::new();
    let files = ledger(&house);
    // What no entry names is nobody's proof.
    std::fs::write(house.path("var/evidence/loose"), b"x").unwrap();
    let backup = house.path("sluis.backup").display().to_string();
    let said = house.ok(&["backup", &backup]);
    assert!(said.contains("2 files beside the store, checked"), "{said}");

    std::fs::remove_file(house.path("var/sluis.redb")).unwrap();
    std::fs::remove_dir_all(house.path("var/evidence")).unwrap();
    // One that is there but is another one now is put right.
    std::fs::write(&files[1], b"changed").unwrap();
    let said = house.ok(&["restore", &backup]);
    assert!(said.contains("checked, and 2 files beside it"), "{said}");
    assert_eq!(std::fs::read(&files[0]).unwrap(), SCAN);
    assert_eq!(std::fs::read(&files[1]).unwrap(), LIST.as_bytes());
    assert!(!house.path("var/evidence/loose").exists());
    let said = house.ok(&["ledger", "fsck"]);
    assert!(said.contains("2 files beside the store are what the entries say"), "{said}");
    assert!(said.contains("the ledger is sound"), "{said}");
    // The restored store is a store like any other: it can be backed up again.
    let again = house.path("again.backup").display().to_string();
    assert!(house.ok(&["backup", &again]).contains("2 files beside the store"));
}

#[test]
fn promise_8_a_file_that_an_entry_names_and_that_is_gone_or_changed_is_named() {
    let house = House::new();
    let files = ledger(&house);
    let name = |file: &PathBuf| {
        let shelf = file.parent().unwrap().file_name().unwrap().to_str().unwrap();
        format!("the file {shelf}/{}, named by entry ", file.file_name().unwrap().to_str().unwrap())
    };
    std::fs::write(&files[0], b"%PDF-1.7 getekend door niemand").unwrap();
    let done = house.run(&["ledger", "fsck"]);
    let wrong = format!("WRONG         {}", name(&files[0]));
    assert!(done.code == 1 && done.out.contains(&wrong), "{done:?}");
    assert!(done.out.contains("what lies in its place has another SHA-256"), "{done:?}");
    std::fs::remove_file(&files[0]).unwrap();
    let done = house.run(&["ledger", "fsck"]);
    assert!(done.code == 1 && done.out.contains("it is not where it was kept"), "{done:?}");

    // The rest is backed up, and what is not in it is named, then and when it is put back.
    let backup = house.path("sluis.backup").display().to_string();
    let done = house.run(&["backup", &backup]);
    let missing = format!("NOT IN THE BACKUP: {}", name(&files[0]));
    assert!(done.code == 1 && done.err.contains(&missing), "{done:?}");
    assert!(done.out.contains("1 files beside the store"), "{done:?}");
    std::fs::remove_file(house.path("var/sluis.redb")).unwrap();
    let done = house.run(&["restore", &backup]);
    assert!(done.code == 1 && done.err.contains(&missing) && done.out.contains(": restored, "), "{done:?}");
    assert!(house.path("var/sluis.redb").exists());

    // The original of an import may be taken away after its time: that is said, and nothing is wrong.
    std::fs::write(&files[0], SCAN).unwrap();
    std::fs::remove_file(&files[1]).unwrap();
    let done = house.run(&["ledger", "fsck"]);
    assert!(done.code == 0 && done.err.contains(&name(&files[1])), "{done:?}");
}

#[test]
fn promise_8_a_backup_of_a_release_that_knew_no_files_is_put_back_and_what_it_lacks_is_named() {
    let house = House::new();
    let files = ledger(&house);
    let backup = house.path("old.backup");
    house.ok(&["backup", backup.to_str().unwrap()]);
    // As the releases before wrote them: the store alone.
    let old = redb::Database::open(&backup).unwrap();
    let writing = old.begin_write().unwrap();
    let table = redb::TableDefinition::<(&str, &[u8; 32], u32), &[u8]>::new("files");
    assert!(writing.delete_table(table).unwrap());
    writing.commit().unwrap();
    drop(old);

    // The files are still where they were: nothing is missing.
    std::fs::remove_file(house.path("var/sluis.redb")).unwrap();
    let said = house.ok(&["restore", backup.to_str().unwrap()]);
    assert!(said.contains(": restored, ") && said.contains("and 0 files beside it"), "{said}");
    assert!(house.ok(&["ledger", "fsck"]).contains("2 files beside the store are what the entries say"));

    // They are not: each is named, and the store is back all the same.
    std::fs::remove_file(house.path("var/sluis.redb")).unwrap();
    files.iter().for_each(|file| std::fs::remove_file(file).unwrap());
    let done = house.run(&["restore", backup.to_str().unwrap()]);
    assert!(done.code == 1 && done.out.contains(": restored, "), "{done:?}");
    for file in &files {
        let name = file.file_name().unwrap().to_str().unwrap();
        let named = done.err.lines().any(|line| line.contains("NOT IN THE BACKUP") && line.contains(name));
        assert!(named, "{name}: {done:?}");
    }
    assert_eq!(house.run(&["ledger", "fsck"]).code, 1, "a scan that shows a consent is gone");
}

#[test]
fn a_damaged_file_in_a_backup_is_not_put_back() {
    let house = House::new();
    let files = ledger(&house);
    let backup = house.path("sluis.backup");
    house.ok(&["backup", backup.to_str().unwrap()]);
    let mut bytes = std::fs::read(&backup).unwrap();
    let places: Vec<usize> = memchr::memmem::find_iter(&bytes, SCAN).collect();
    assert!(!places.is_empty(), "the scan stands in it");
    for place in places {
        bytes[place + 9] ^= 1;
    }
    std::fs::write(&backup, bytes).unwrap();
    std::fs::remove_file(house.path("var/sluis.redb")).unwrap();
    std::fs::remove_file(&files[0]).unwrap();
    let done = house.run(&["restore", backup.to_str().unwrap()]);
    let name = format!("evidence/{}: it is not what its hash says", hex(&sha256(SCAN)));
    assert!(done.code != 0 && done.err.contains(&name), "{done:?}");
    assert!(!files[0].exists() && !house.path("var/sluis.redb").exists());
    let left = std::fs::read_dir(house.path("var/evidence")).unwrap().count();
    assert_eq!(left, 0, "no draft is left");
}
