//! Files of tools and shops into the register (RULES L19): what they are, what is wrong with them, and how they
//! are taken back.

mod support;

use std::io::Write as _;
use std::process::Stdio;

use support::house::{House, Served};
use support::patience::Patience;

/// A zip of these files.
fn zip(house: &House, name: &str, files: &[(&str, &str)]) -> String {
    let path = house.path(name);
    let mut writer = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
    for (name, text) in files {
        writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(text.as_bytes()).unwrap();
    }
    writer.finish().unwrap();
    path.display().to_string()
}

/// The id in `undo it with: sluis import undo ID`.
fn id(out: &str) -> &str {
    out.split("sluis import undo ").nth(1).unwrap().trim()
}

fn suppressed(house: &House) -> Vec<String> {
    let listed = house.ok(&["suppress", "list"]);
    let mut words: Vec<String> = listed
        .lines()
        .map(|line| line.split('\t').step_by(2).take(2).collect::<Vec<_>>().join(" "))
        .collect();
    words.sort();
    words
}

#[test]
fn l19_an_audience_export_goes_in_opt_outs_first_and_comes_out_again() {
    let house = House::new();
    let letters = house.file("brieven.csv", "address,since,source\nboth@example.nl,2025-01-01,a letter\n");
    house.ok(&["suppress", "import", &letters]);
    let export = zip(
        &house,
        "audience.zip",
        &[
            (
                "subscribed_email_audience_export_1.csv",
                "Email Address,First Name,OPTIN_TIME,OPTIN_IP,CONFIRM_TIME,CONFIRM_IP\n\
                 in@example.nl,A,2024-01-02 03:04:05,192.0.2.1,2024-01-02 04:00:00,192.0.2.1\n\
                 IN@Example.NL,A,2024-01-02 03:04:05,192.0.2.1,2024-01-02 04:00:00,192.0.2.1\n\
                 bare@example.nl,B,,,,\n\
                 both@example.nl,C,2024-01-02 03:04:05,192.0.2.1,,\n\
                 future@example.nl,D,2099-01-02 03:04:05,192.0.2.1,,\n\
                 geen adres,E,2024-01-02 03:04:05,192.0.2.1,,\n",
            ),
            (
                "unsubscribed_email_audience_export_1.csv",
                "Email Address,OPTIN_TIME,UNSUB_TIME,UNSUB_REASON\n\
                 both@example.nl,2024-01-02 03:04:05,2025-06-02 03:04:05,\n\
                 out@example.nl,2024-01-02 03:04:05,,ABUSE\n",
            ),
            (
                "cleaned_email_audience_export_1.csv",
                "Email Address,OPTIN_TIME,UNSUB_TIME\ndood@example.nl,2024-01-02 03:04:05,\n",
            ),
        ],
    );
    let wish = ["--purpose", "nieuwsbrief", "--attest", "the sign-up form of 2024 asked for it"];
    let import = [&["import", &export][..], &wish].concat();
    let dry = house.run(&[&import[..], &["--dry-run"]].concat());
    assert!(dry.out.starts_with("mailchimp: 6 would be added"), "{dry:?}");
    assert!(house.ok(&["consent", "show", "in@example.nl"]).contains("nothing on record"));
    assert_eq!(std::fs::read_dir(house.path("var/imports")).unwrap().count(), 1, "a dry run keeps nothing");

    let done = house.run(&import);
    assert_eq!(done.code, 1, "rows were rejected: {done:?}");
    assert!(done.out.contains("mailchimp: 6 added, 2 already there, 3 rejected, of 9 rows"), "{done:?}");
    // RULES P14: a mailbox that does not work is blocked, and nobody opted out.
    let dead = || house.ok(&["consent", "show", "dood@example.nl"]);
    assert!(dead().contains("blocked      does not work, by the mailchimp export"), "{}", dead());
    let rejects = std::fs::read_to_string(house.path("audience.zip.rejects.csv")).unwrap();
    let named: Vec<Vec<&str>> =
        rejects.lines().skip(1).map(|line| line.split(',').take(4).collect()).collect();
    let file = "subscribed_email_audience_export_1.csv";
    assert_eq!(
        named,
        [[file, "4", "optin_time", "L2"], [file, "6", "at", "L1"], [file, "7", "email_address", "L17"]],
        "{rejects}"
    );

    let shown = house.ok(&["consent", "show", "in@example.nl"]);
    assert!(shown.contains("granted, grade C since 2024-01-02T02:04:05Z"), "no text is known: {shown}");
    assert!(shown.contains("from 192.0.2.1") && shown.contains("confirm"), "{shown}");
    assert_eq!(suppressed(&house), ["both@example.nl unsubscribed", "out@example.nl complaint"]);
    let again = house.run(&import);
    assert!(again.out.contains("mailchimp: 0 added, 8 already there, 3 rejected"), "{again:?}");

    let id = id(&done.out);
    let sha256 = done.out.split("(SHA-256 ").nth(1).unwrap().split(')').next().unwrap();
    let original = std::fs::read(house.path("var/imports").join(sha256)).unwrap();
    assert_eq!(original, std::fs::read(&export).unwrap());
    assert_eq!(std::fs::read_dir(house.path("var/imports")).unwrap().count(), 2, "each original once");
    let list = house.ok(&["import", "list"]);
    let line = list.lines().find(|line| line.starts_with(id)).unwrap();
    assert!(line.contains("6 added, 2 already there, 3 rejected"), "{line}");

    assert!(
        house
            .ok(&["import", "undo", id, "--dry-run"])
            .contains("4 facts would be taken back, 2 opt-outs kept")
    );
    assert!(house.ok(&["import", "undo", id]).starts_with("4 facts taken back, 2 opt-outs kept"));
    assert!(house.ok(&["consent", "show", "in@example.nl"]).contains("nothing on record"));
    assert!(!dead().contains("blocked"), "{}", dead());
    assert_eq!(suppressed(&house), ["both@example.nl unsubscribed", "out@example.nl complaint"]);
    assert!(
        house.ok(&["import", "undo", id, "--opt-outs"]).starts_with("2 facts taken back, 0 opt-outs kept")
    );
    assert_eq!(suppressed(&house), ["both@example.nl unsubscribed"], "the letter's opt-out stands again");
    assert!(house.ok(&["suppress", "list"]).contains("a letter"));
    let list = house.ok(&["import", "list"]);
    assert!(list.lines().any(|line| line.starts_with(id) && line.ends_with("undone")), "{list}");
    assert!(house.run(&["import", "undo", "nothing"]).err.contains("there is no import nothing"));
    assert!(house.ok(&["proof", "verify"]).contains("the ledger is sound"));
}

#[test]
fn l2_a_complete_list_is_graded_by_its_evidence_and_lifts_nothing() {
    let house = House::new();
    house.file("tekst.txt", "Ja, ik wil de nieuwsbrief van Voorbeeld Hypotheken");
    house.ok(&["suppress", "add", "weg@example.nl", "--reason", "unsubscribed"]);
    let text = house.path("tekst.txt").display().to_string();
    let csv = house.file(
        "lijst.csv",
        "email;ip;source_url;state;signup_date;confirm_date\n\
         vol@example.nl;192.0.2.1;https://x.nl/nieuws;active;01-02-2026 10:00;01-02-2026 10:05\n\
         half@example.nl;192.0.2.1;https://x.nl/nieuws;active;13-02-2026 10:00;\n\
         weg@example.nl;192.0.2.1;https://x.nl/nieuws;active;13-02-2026 10:00;14-02-2026\n\
         nooit@example.nl;;https://x.nl/nieuws;unconfirmed;13-02-2026;\n\
         raar@example.nl;;https://x.nl/nieuws;platinum;13-02-2026;\n",
    );
    let args = ["import", &csv, "--purpose", "nieuwsbrief", "--text", &text, "--act", "ticked_box"];
    let done = house.run(&args);
    assert!(done.out.contains("laposta: 5 added, 0 already there, 1 rejected, of 5 rows"), "{done:?}");
    assert!(done.out.contains("left out: 1 sign-ups that were never confirmed"), "{done:?}");
    assert!(done.err.contains("lijst.csv:6: L2: \"platinum\" is no state that is known"), "{done:?}");
    let shown = |who: &str| house.ok(&["consent", "show", who]);
    assert!(
        shown("vol@example.nl").contains("grade A since 2026-02-01T09:00:00Z"),
        "{}",
        shown("vol@example.nl")
    );
    assert!(shown("half@example.nl").contains("grade B"));
    let explained = house.run(&["explain", "--from", "a@voorbeeldhypotheken.nl", "--to", "weg@example.nl"]);
    assert!(explained.out.contains("L16      no  unsubscribed"), "a file lifts no opt-out: {explained:?}");

    let mixed =
        house.file("mixed.csv", "email,signup_date,source_url\na@x.nl,31/01/2026,y\nb@x.nl,01/31/2026,y\n");
    let done = house.run(&["import", &mixed, "--purpose", "nieuwsbrief"]);
    assert!(done.code == 1 && done.err.contains("--dates dmy or --dates mdy"), "{done:?}");
    let unclear = house.file("unclear.csv", "naam,adres\nA,B\n");
    let done = house.run(&["import", &unclear]);
    assert!(done.err.contains("--map OURS=THEIRS") && done.err.contains("has naam, adres"), "{done:?}");
    let done = house.run(&["import", &unclear, "--as", "suppressions", "--map", "address=Adres"]);
    assert!(done.err.contains("unclear.csv:2: L17: \"B\""), "{done:?}");
}

#[test]
fn l4_orders_of_shops_are_purchases() {
    let house = House::new();
    let orders = house.file(
        "orders_export.csv",
        "Name,Email,Financial Status,Paid at,Created at,Lineitem name,Cancelled at\n\
         #1001,klant@example.nl,paid,2026-03-01 14:30:15 +0100,2026-03-01 14:30:00 +0100,Koffie,\n\
         #1002,spijt@example.nl,refunded,2026-03-01 14:30:15 +0100,2026-03-01 14:30:00 +0100,Koffie,\n\
         #1003,later@example.nl,pending,,2026-03-01 14:30:00 +0100,Koffie,\n",
    );
    let done = house.run(&["import", &orders, "--opt-out-offered", "--product", "koffie"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.out.contains("shopify: 1 added, 0 already there, 0 rejected, of 3 rows"), "{done:?}");
    assert!(done.out.contains("left out: 1 orders that came to nothing"), "{done:?}");
    let shown = house.ok(&["consent", "show", "klant@example.nl"]);
    assert!(shown.contains("customer     koffie, last 2026-03-01T13:30:15Z\n"), "{shown}");

    let woo = house.file(
        "woo.csv",
        "Order Number,Order Status,Order Date,Email (Billing),Item Name\n\
         7,wc-completed,2026-04-01 10:00:00,klant@example.nl,Thee\n\
         8,wc-cancelled,2026-04-01 10:00:00,ander@example.nl,Thee\n",
    );
    let done = house.run(&["import", &woo]);
    assert!(done.out.contains("woocommerce: 1 added"), "{done:?}");
    assert!(done.err.contains("no opt-out was offered"), "what nobody says did not happen: {done:?}");

    let own = house.file("kassa.csv", "E-mail;Wat;Wanneer\nkas@example.nl;koffie;1 april 2026\n");
    let map = ["--map", "address=E-mail", "--map", "product=Wat", "--map", "last_purchase=Wanneer"];
    let said = ["--as", "customers", "--set", "opt_out_offered=ja", "--set", "given_in_sale=ja"];
    let done = house.run(&[&["import", &own][..], &map, &said].concat());
    assert!(done.out.contains("customers: 1 added"), "{done:?}");
    assert!(house.ok(&["consent", "show", "kas@example.nl"]).contains("last 2026-03-31T22:00:00Z"));
}

#[test]
fn an_export_is_read_as_people_have_it() {
    let house = House::new();
    let sworn = ["--purpose", "nieuwsbrief", "--attest", "form of 2024"];
    let import = |name: &str, text: &str, more: &[&str]| {
        let file = house.file(name, text);
        house.run(&[&["import", &file][..], &sworn, more].concat())
    };
    // Saved by a spreadsheet: a separator said, names in Dutch, with line breaks, twice, and none; a postal address.
    let header = "\"E-mailadres\";Address;\"Mag het?\r\n(ja; nee)\";OPTIN_TIME;TAGS;Tags;;\r\n";
    let rows =
        "a@example.nl;Dorpsstraat 1;ja;02-01-2024 10:00;x;y;;\r\nb@example.nl;;;31-01-2024 10:00;;;;\r\n";
    let done = import("uitvoer.csv", &format!("sep=;\r\n{header}{rows}"), &[]);
    assert!(done.out.contains("mailchimp: 2 added, 0 already there, 0 rejected"), "{done:?}");
    // The column of the address has a name of its own.
    let own = "Mijn mail,Email,OPTIN_TIME,Lid sinds\nc@example.nl,oud@example.nl,,2024-02-01\n";
    let done = import("eigen.csv", own, &["--map", "address=Mijn mail", "--map", "at=Lid sinds"]);
    assert!(done.out.contains("mailchimp: 1 added"), "{done:?}");
    assert!(house.ok(&["consent", "show", "c@example.nl"]).contains("granted, grade C"));
    for (name, text, more, why) in [
        ("geen.csv", "Mijn mail,OPTIN_TIME\nc@example.nl,\n", &[][..], "--map address=THEIRS"),
        ("mis.csv", own, &["--map", "address=Mail"], "no column \"mail\""),
        ("mis2.csv", own, &["--map", "act=Email"], "it can name address, at, ip, source"),
        (
            "tweemaal.csv",
            "Email,OPTIN_TIME,optin time\na@example.nl,2024-01-01,2025-01-01\n",
            &[],
            "\"optin_time\" twice",
        ),
    ] {
        let done = import(name, text, more);
        assert!(done.code == 1 && done.err.contains(why), "{name}: {done:?}");
    }
}

#[test]
fn bad_input_is_taken_or_named_row_by_row() {
    let house = House::new();
    let import = |name: &str, bytes: &[u8], as_kind: &str| {
        std::fs::write(house.path(name), bytes).unwrap();
        house.run(&["import", house.path(name).to_str().unwrap(), "--as", as_kind])
    };
    // 300 columns, one of which is ours.
    let names: Vec<String> = (0..299).map(|n| format!("kolom {n}")).collect();
    let wide = format!("{},address\n{}a@example.nl\n", names.join(","), ",".repeat(299));
    assert!(import("wide.csv", wide.as_bytes(), "suppressions").out.contains("suppressions: 1 added"));
    // Binary garbage.
    let garbage: Vec<u8> = (0..50_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let done = import("garbage.csv", &garbage, "suppressions");
    assert!(done.code == 1 && !done.err.contains("panicked"), "{done:?}");
    // Addresses of every sort, one mailbox twice, and mixed encodings.
    let long = format!("{}@example.nl", "a".repeat(300));
    let mut rows = Vec::new();
    rows.extend_from_slice(b"address,source\n");
    for row in [
        "Bob@Example.NL,x",
        "bob@example.nl,x",
        "\"\"\"bob\"\"@example.nl\",x",
        "\"met spatie@example.nl\",x",
        "\"\"\"met spatie\"\"@example.nl\",x",
        "pietje@bücher.example,x",
        "😀@example.nl,x",
        &format!("{long},x"),
        "<@a,@b:bob@x.nl>,x",
        ",x",
    ] {
        rows.extend_from_slice(row.as_bytes());
        rows.push(b'\n');
    }
    rows.extend_from_slice(b"carol@example.nl,caf\xe9\n");
    let done = import("adressen.csv", &rows, "suppressions");
    assert!(done.out.contains("suppressions: 5 added, 2 already there, 4 rejected, of 11 rows"), "{done:?}");
    for line in [5, 9, 10, 11] {
        assert!(done.err.contains(&format!("adressen.csv:{line}: ")), "{line}: {done:?}");
    }
    let listed = house.ok(&["suppress", "list"]);
    assert!(listed.contains("pietje@xn--bcher-kva.example") && listed.contains("café"), "{listed}");
    // UTF-16, as spreadsheets write it; and a date of 1970 or 2099 is no consent.
    let text = "address\tpurpose\tat\tattestation\na@x.nl\tnieuwsbrief\t1970-01-01\tx\nb@x.nl\tnieuwsbrief\t2099-01-01\tx\nc@x.nl\tnieuwsbrief\t2026-01-01\tx\n";
    let wide: Vec<u8> =
        [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    let done = import("utf16.txt", &wide, "consents");
    assert!(done.out.contains("consents: 1 added, 0 already there, 2 rejected"), "{done:?}");
    assert!(done.err.contains("utf16.txt:2: L2:") && done.err.contains("utf16.txt:3: L1:"), "{done:?}");
    // Formulas stay text in the file of rejects.
    let done = import("formule.csv", b"address\n=1+1@\n", "suppressions");
    assert_eq!(done.code, 1);
    let rejects = std::fs::read_to_string(house.path("formule.csv.rejects.csv")).unwrap();
    assert!(rejects.lines().nth(1).unwrap().split(',').all(|cell| !cell.starts_with('=')), "{rejects}");
    // Standard input, from a pipe.
    let mut child = house
        .command(&["import", "-", "--as", "suppressions"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"address\npijp@example.nl\n").unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(String::from_utf8_lossy(&out.stdout).contains("suppressions: 1 added"), "{out:?}");
}

#[test]
fn an_import_that_was_killed_has_whole_batches_in_and_is_finished_by_running_it_again() {
    let house = House::new();
    let served = Served::start(&house);
    let mut csv = String::from("address,purpose,at,attestation\n");
    (0..8_000).for_each(|n| csv.push_str(&format!("p{n}@example.nl,nieuwsbrief,2026-01-01,form of 2026\n")));
    let csv = house.file("groot.csv", &csv);
    let mut child = house.command(&["import", &csv]).stdout(Stdio::null()).spawn().unwrap();
    // Killed as soon as the import is known to the gateway, and so in the middle of it.
    let patience = Patience::new();
    while house.ok(&["import", "list"]).is_empty() {
        patience.check();
        assert!(child.try_wait().unwrap().is_none(), "it ended before it was seen");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    drop(served);
    assert!(house.ok(&["import", "list"]).contains("not finished"), "{}", house.ok(&["import", "list"]));
    let done = house.ok(&["import", &csv]);
    let count = |word: &str| -> u64 {
        let before = done.split(word).next().unwrap().trim();
        before.rsplit(' ').next().unwrap().parse().unwrap()
    };
    let (added, already) = (count(" added"), count(" already"));
    assert_eq!(added + already, 8_000, "{done}");
    assert_eq!(already % 1_000, 0, "whole batches or nothing: {done}");
    assert!(house.ok(&["proof", "verify"]).contains("the ledger is sound"));
}

#[test]
fn l19_undoing_one_file_does_not_lift_what_another_one_says() {
    let house = House::new();
    let wrong = house.file("wrong.csv", "address\na@example.nl\nb@example.nl\n");
    let right = house.file("right.csv", "address,since\na@example.nl,2024-01-01\n");
    let first = house.ok(&["suppress", "import", &wrong]);
    assert!(house.ok(&["suppress", "import", &wrong]).contains("0 added, 2 already there"), "the same file");
    let second = house.ok(&["suppress", "import", &right]);
    assert!(second.contains("1 added"), "{second}");
    house.ok(&["import", "undo", id(&first), "--opt-outs"]);
    assert_eq!(suppressed(&house), ["a@example.nl unsubscribed"], "right.csv says so");
    house.ok(&["import", "undo", id(&second), "--opt-outs"]);
    assert!(suppressed(&house).is_empty());
    // The other way round: what stands only in the shadow of another goes, too.
    let first = house.ok(&["suppress", "import", &right]);
    let second = house.ok(&["suppress", "import", &wrong]);
    house.ok(&["import", "undo", id(&first), "--opt-outs"]);
    house.ok(&["import", "undo", id(&second), "--opt-outs"]);
    assert!(suppressed(&house).is_empty(), "neither brings the other back");
}
