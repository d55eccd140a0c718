//! The command line as a person meets it: the real program, on a folder of its own.

mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;

use support::house::{Done, House, Served};

#[test]
fn a_wrong_config_is_told_whole_and_exits_with_78() {
    let house = House::new();
    let mistakes = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/mistakes.toml");
    let done = house.run(&["check", "--config", mistakes.to_str().unwrap()]);
    assert_eq!((done.code, done.out.as_str()), (78, ""));
    let golden = include_str!("config/mistakes.txt");
    assert_eq!(done.err.replace(mistakes.to_str().unwrap(), "mistakes.toml"), golden);
    for command in [&["serve"][..], &["status"], &["consent", "show", "a@x.nl"]] {
        let args = [command, &["--config", "/nonexistent.toml"]].concat();
        let done = house.run(&args);
        assert_eq!(done.code, 78, "{done:?}");
        assert_eq!(done.err.lines().count(), 1, "{done:?}");
    }
    assert!(house.ok(&["check"]).contains("sound; 1 listeners, 1 senders, 1 rules"));
}

#[test]
fn l7_l8_a_preview_shows_what_a_recipient_would_get() {
    let house = House::new();
    let message = "From: Voorbeeld Hypotheken <nieuws@voorbeeldhypotheken.nl>\nTo: a@example.nl\nSubject: Rente\n\
        MIME-Version: 1.0\nContent-Type: text/html; charset=utf-8\n\n<body><p>Rente</p><script>alert(1)</script></body>\n";
    let file = house.file("message.eml", message);
    let folder = house.path("look").display().to_string();
    let said = house.ok(&["preview", &file, "--to", "a@example.nl", "--out", &folder]);
    assert!(said.contains("class      marketing") && said.contains("rule       newsletter"), "{said}");
    let read = |name: &str| std::fs::read_to_string(house.path("look").join(name)).unwrap();
    assert_eq!(read("before.eml"), message.replace('\n', "\r\n"));
    let after = read("after.eml");
    assert!(after.contains("/u/preview\"\r\n") && after.contains("KvK 12345678"), "{after}");
    let page = read("preview.html");
    assert!(page.contains("default-src 'none'") && page.contains("sandbox=\"\""), "{page}");
    assert!(!page.contains("<script"), "what a message brings stays in its frame");
    assert!(page.contains("<ins>List-Unsubscribe: "), "{page}");

    let foreign = house.file("foreign.eml", &message.replace("Voorbeeld Hypotheken <", "Somebody <"));
    let done = house.run(&["preview", &foreign, "--to", "a@example.nl", "--out", &folder]);
    assert_eq!(done.code, 1, "{done:?}");
    assert!(done.out.contains("is not a registered name"), "{done:?}");
}

#[test]
fn p9_a_pipe_says_whether_the_mail_may_be_handed_in_again() {
    let house = House::new();
    let mail = "From: a@example.nl\nSubject: stop\n\n".to_owned();
    let (wrong, none) = ("/nonexistent.toml", house.path("sluis.toml").display().to_string());
    for (args, text, code) in [
        // No gateway, or a config that cannot be read: whoever runs it mends that, and nobody's opt-out is lost.
        (&["unsubscribe-mail", "--config", &none][..], mail.clone(), 75),
        (&["unsubscribe-mail", "--config", wrong], mail.clone(), 75),
        // It will be no smaller another time.
        (&["unsubscribe-mail", "--config", &none], format!("{mail}{}", "x".repeat(11 << 20)), 65),
        (&["unsubscribe-mail", "--no-such-option"], mail.clone(), 64),
    ] {
        let done = house.run_with(args, &text);
        assert_eq!(done.code, code, "{args:?}: {done:?}");
    }
}

#[test]
fn wrong_usage_exits_with_64_and_help_with_0() {
    let house = House::new();
    for args in
        [&[][..], &["fly"], &["consent", "add"], &["consent", "show", "no address"], &["queue", "drop", "x"]]
    {
        assert_eq!(house.run(args).code, 64, "{args:?}");
    }
    assert!(house.ok(&["--help"]).contains("consent"));
    assert!(house.ok(&["--version"]).starts_with("sluis "));
}

#[test]
fn l19_bad_rows_are_named_by_line_and_rule_and_the_others_go_in() {
    let house = House::new();
    house.file("tekst.txt", "Ja, ik wil de nieuwsbrief van Voorbeeld Hypotheken");
    house.file("partners.txt", "Voorbeeld Hypotheken en partners mogen mij mailen");
    let csv = house.file(
        "in.csv",
        "\u{feff}address;purpose;act;text_file;source;at;shoe size\n\
         a@example.nl;nieuwsbrief;ticked_box;tekst.txt;https://x.nl;2026-03-01;42\n\
         geen adres;nieuwsbrief;ticked_box;tekst.txt;https://x.nl;2026-03-01;\n\
         b@example.nl;nieuwsbrief;ticked_box;tekst.txt;https://x.nl;2099-03-01;\n\
         c@example.nl;nieuwsbrief;;;;2026-03-01;\n\
         d@example.nl;nieuwsbrief;business card;tekst.txt;https://x.nl;2026-03-01;\n\
         e@example.nl;nieuwsbrief;ticked_box;partners.txt;https://x.nl;2026-03-01;\n\
         f@example.nl;nieuwsbrief;signed;tekst.txt;map 3;01-03-2026;\n",
    );
    let dry = house.run(&["consent", "import", &csv, "--dry-run"]);
    assert!(dry.out.contains("2 would be added, 0 already there, 5 rejected, of 7 rows"), "{dry:?}");

    let done = house.run(&["consent", "import", &csv]);
    assert_eq!(done.code, 1, "rows were rejected: {done:?}");
    assert!(
        done.out.contains("consents: 2 added, 0 already there, 5 rejected, of 7 rows in in.csv (SHA-256 "),
        "{done:?}"
    );
    assert!(done.err.contains("columns that are not used: shoe_size"), "{done:?}");
    let named: Vec<_> = done
        .err
        .lines()
        .filter_map(|line| line.strip_prefix(&format!("{csv}:")))
        .map(|rest| rest.split(':').take(2).collect::<Vec<_>>().join(":"))
        .collect();
    assert_eq!(named, ["3: L17", "4: L1", "5: L2", "6: L2", "7: L2"], "{done:?}");

    let again = house.run(&["consent", "import", &csv]);
    assert!(again.out.contains("0 added, 2 already there, 5 rejected"), "{again:?}");
    let shown = house.ok(&["consent", "show", "A@Example.NL"]);
    assert!(shown.contains("\"nieuwsbrief\": granted, grade B since 2026-02-28T23:00:00Z"), "{shown}");
    assert!(house.ok(&["consent", "show", "b@example.nl"]).contains("nothing on record"));
}

#[test]
fn json_lines_and_defaults_and_files_that_are_none() {
    let house = House::new();
    let rows = house.file(
        "klanten.jsonl",
        "{\"address\":\"a@example.nl\",\"last_purchase\":\"2026-01-01\",\"opt_out_offered\":true,\"given_in_sale\":true}\n\
         {\"address\":\"b@example.nl\",\"last_purchase\":\"2026-01-01\",\"opt_out_offered\":false}\n",
    );
    let done = house.run(&["customer", "import", &rows, "--set", "product=hypotheek"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.out.contains("customers: 2 added"), "{done:?}");
    assert!(done.err.contains("L4: some rows say that no opt-out was offered"), "{done:?}");

    let done = house.run(&["customer", "import", &rows, "--set", "colour=red"]);
    assert!(done.code == 1 && done.err.contains("have no column \"colour\""), "{done:?}");
    let wrong = house.file("wrong.csv", "naam,adres\nA,B\n");
    let done = house.run(&["suppress", "import", &wrong]);
    assert!(done.code == 1 && done.err.contains("no column address"), "{done:?}");
    let done = house.run(&["suppress", "import", "nowhere.csv"]);
    assert!(done.code == 1 && done.err.lines().count() == 1, "{done:?}");

    let csv = house.file("af.csv", "address,reason\nz@example.nl,complaint\ny@example.nl,\n");
    assert!(house.ok(&["suppress", "import", &csv]).contains("suppressions: 2 added"));
    assert_eq!(house.ok(&["suppress", "add", "x@example.nl", "--reason", "objection"]), "on record\n");
    let listed = house.ok(&["suppress", "list"]);
    let words: Vec<_> = listed.lines().map(|line| line.split('\t').take(3).collect::<Vec<_>>()).collect();
    assert_eq!(
        words,
        [
            ["x@example.nl", "12345678", "objection"],
            ["y@example.nl", "12345678", "unsubscribed"],
            ["z@example.nl", "12345678", "complaint"],
        ]
    );
}

#[test]
fn proof_is_shown_exported_and_verified_with_the_key_alone() {
    let house = House::new();
    let add = ["consent", "add", "a@example.nl", "--purpose", "nieuwsbrief", "--act", "ticked_box"];
    let text = ["--text", "Nieuws van Voorbeeld Hypotheken, graag", "--source", "https://x.nl"];
    assert_eq!(house.ok(&[&add[..], &text[..], &["--at", "2026-03-01"]].concat()), "on record\n");
    assert_eq!(house.ok(&[&add[..], &text[..], &["--at", "2026-03-01"]].concat()), "was on record already\n");
    let done = house.run(&[&add[..], &text[..], &["--at", "2099-03-01"]].concat());
    assert!(done.code == 1 && done.err.starts_with("sluis: L1: "), "{done:?}");

    assert!(house.ok(&["proof", "show", "a@example.nl"]).contains(" consent "));
    let json = house.ok(&["proof", "show", "a@example.nl", "--json"]);
    assert!(json.starts_with("{\"v\":1,"), "{json}");
    assert!(house.run(&["proof", "show", "b@example.nl"]).err.contains("nothing is on record"));

    let pack = house.path("pack.zip").display().to_string();
    house.ok(&["proof", "export", "a@example.nl", "-o", &pack]);
    let key = house.path("var/keys/ledger.pub").display().to_string();
    let verified = house.ok(&["proof", "verify", &pack, "--key", &key, "--config", "/nonexistent.toml"]);
    assert!(verified.contains("the pack is sound"), "{verified}");
    assert!(verified.contains("Nieuws van Voorbeeld Hypotheken, graag"), "L2: the text as shown: {verified}");
    // The page is in the sender's language, or in the one asked for; the check makes each anew.
    for (language, words) in [
        (None, "a@example.nl gaf toestemming"),
        (Some("en"), "a@example.nl gave consent"),
        (Some("de"), "a@example.nl willigte ein"),
        (Some("fr"), "a@example.nl a donné son consentement"),
    ] {
        let pack = house.path(&format!("{}.zip", language.unwrap_or("own"))).display().to_string();
        let asked = language.map(|language| ["--language", language]);
        let args = ["proof", "export", "a@example.nl", "-o", &pack];
        house.ok(&args.into_iter().chain(asked.into_iter().flatten()).collect::<Vec<_>>());
        let verified = house.ok(&["proof", "verify", &pack, "--key", &key]);
        assert!(verified.contains("the pack is sound") && !verified.contains("note  "), "{verified}");
        let mut archive = zip::ZipArchive::new(std::fs::File::open(&pack).unwrap()).unwrap();
        let page = std::io::read_to_string(archive.by_name("index.html").unwrap()).unwrap();
        assert!(page.contains(words), "{page}");
    }
    let again = house.run(&["proof", "export", "a@example.nl", "-o", &pack]);
    assert!(again.code == 1 && again.err.contains("cannot be made"), "{again:?}");

    let mut bytes = std::fs::read(&pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let broken = house.path("broken.zip");
    std::fs::write(&broken, bytes).unwrap();
    assert_eq!(house.run(&["proof", "verify", broken.to_str().unwrap(), "--key", &key]).code, 1);
    assert!(house.ok(&["proof", "verify"]).contains("the ledger is sound"));
}

#[test]
fn commands_go_through_the_gateway_that_runs() {
    let house = House::new();
    assert!(house.ok(&["status"]).contains("does not run"));
    assert!(house.run(&["reload"]).err.contains("no gateway runs"));
    let served = Served::start(&house);
    let status = house.ok(&["status"]);
    assert!(status.contains("sluis.test") && status.contains("enforce"), "{status}");
    assert_eq!(house.ok(&["suppress", "add", "x@example.nl"]), "on record\n");
    assert!(house.ok(&["suppress", "list"]).starts_with("x@example.nl\t"));
    assert_eq!(house.ok(&["queue", "list"]), "");
    let pack = house.path("new.zip").display().to_string();
    house.ok(&["proof", "export", "x@example.nl", "-o", &pack]);
    assert!(
        house.ok(&["proof", "verify", &pack]).contains("the pack is sound"),
        "what was just recorded, too"
    );
    house.ok(&["reload"]);
    let config = std::fs::read_to_string(house.path("sluis.toml")).unwrap();
    house.file("sluis.toml", &config.replace("class = \"marketing\"", "class = \"marketin\""));
    // The command reads the same file, so it says so before it asks.
    assert_eq!(house.run(&["reload"]).code, 78);
    house.file("sluis.toml", &config);
    let second = house.run(&["serve"]);
    assert_eq!(second.code, 1);
    assert!(second.err.contains("in use by another process"), "{second:?}");
    assert_eq!(second.err.lines().count(), 1, "{second:?}");
    drop(served);
    // Killed: the store opens again, and what was acknowledged is there.
    assert!(house.ok(&["suppress", "list"]).starts_with("x@example.nl\t"));
}

#[test]
fn a_data_folder_that_cannot_be_and_a_key_that_is_open_are_one_line_each() {
    let house = House::new();
    house.file("var", "not a folder");
    let done = house.run(&["status"]);
    assert!(done.code == 1 && done.err.lines().count() == 1, "{done:?}");
    std::fs::remove_file(house.path("var")).unwrap();
    house.ok(&["status"]);
    use std::os::unix::fs::PermissionsExt as _;
    let key = house.path("var/keys/ledger.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let done = house.run(&["status"]);
    assert!(done.code == 1 && done.err.lines().count() == 1, "{done:?}");
    assert!(done.err.contains("ledger.key"), "{done:?}");
}

#[test]
fn a_password_becomes_an_argon2_hash() {
    let house = House::new();
    let mut child =
        house.command(&["password"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all("ge heim\r\n".as_bytes()).unwrap();
    let done = Done::of(&child.wait_with_output().unwrap());
    assert_eq!(done.code, 0);
    use argon2::password_hash::{PasswordVerifier as _, phc::PasswordHash};
    let hash = PasswordHash::new(done.out.trim()).unwrap();
    assert!(argon2::Argon2::default().verify_password(b"ge heim", &hash).is_ok());
    assert_eq!(house.run(&["password"]).code, 1, "an empty password is none");
}

#[test]
fn p11_dkim_keys_are_made_shown_and_listed() {
    let house = House::new();
    let made = house.ok(&["keys", "dkim", "--domain", "voorbeeldhypotheken.nl", "--selector", "s1"]);
    let file = house.path("var/keys/dkim/voorbeeldhypotheken.nl.s1.pem");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(made.contains("  name   s1._domainkey.voorbeeldhypotheken.nl\n"), "{made}");
    assert!(made.contains("  value  v=DKIM1; k=rsa; p=MIIB"), "{made}");
    assert!(made.contains("s1._domainkey.voorbeeldhypotheken.nl. IN TXT ( \"v=DKIM1;"), "{made}");
    let key = std::fs::read(&file).unwrap();
    let again = house.ok(&["keys", "dkim", "--domain", "voorbeeldhypotheken.nl", "--selector", "s1"]);
    assert!(again.contains("nothing was changed"), "{again}");
    assert_eq!(std::fs::read(&file).unwrap(), key, "a key that is there is never replaced");
    let other =
        ["keys", "dkim", "--domain", "voorbeeldhypotheken.nl", "--selector", "s1", "--algorithm", "ed25519"];
    let done = house.run(&other);
    assert!(done.code == 1 && done.err.contains("not a key for ed25519-sha256"), "{done:?}");

    // The lines it prints for the config are right as they are.
    let table = again.split("be seen in DNS:").nth(1).unwrap();
    let config = std::fs::read_to_string(house.path("sluis.toml")).unwrap();
    house.file("sluis.toml", &format!("{config}\n{table}"));
    house.ok(&["check"]);
    let list = house.ok(&["keys", "list"]);
    assert!(
        list.contains("dkim    s1._domainkey.voorbeeldhypotheken.nl") && list.contains("signs (rsa-sha256)"),
        "{list}"
    );

    // One that is not there yet: the config's error has the command that makes it.
    let missing = house.path("new.pem");
    let extra = format!(
        "[[dkim]]\ndomain = \"voorbeeldhypotheken.nl\"\nselector = \"s2\"\nalgorithm = \"ed25519-sha256\"\nkey_file = \"{}\"\n",
        missing.display()
    );
    house.file("sluis.toml", &format!("{config}\n{extra}"));
    let done = house.run(&["check"]);
    let command = format!(
        "sluis keys dkim --domain voorbeeldhypotheken.nl --selector s2 --algorithm ed25519-sha256 --file {}",
        missing.display()
    );
    assert!(done.code == 78 && done.err.contains(&command), "{done:?}");
    let words: Vec<&str> = command.split(' ').skip(1).collect();
    assert!(house.ok(&words).contains("k=ed25519; p="));
    house.ok(&["check"]);
    assert!(house.ok(&["keys", "list"]).contains("nothing: no [[dkim]] names it"));
}

#[test]
fn promise_7_the_token_key_rotates_under_a_running_gateway() {
    let house = House::new();
    let done = house.run(&["keys", "rotate", "token"]);
    assert!(done.code == 1 && done.err.contains("at its first start"), "{done:?}");
    let _served = Served::start(&house);
    let said = house.ok(&["keys", "rotate", "token"]);
    assert!(said.contains("token key 1 was made") && said.contains("config reloaded"), "{said}");
    let list = house.ok(&["keys", "list"]);
    let tokens: Vec<&str> = list.lines().filter(|line| line.starts_with("token")).collect();
    assert!(tokens.len() == 2, "{list}");
    assert!(tokens[0].starts_with("token   1") && tokens[0].contains("seals and opens links"), "{list}");
    assert!(tokens[1].starts_with("token   0") && tokens[1].contains("  opens links"), "{list}");
    assert!(list.contains("ledger  sluis.test+"), "{list}");
}

#[test]
fn a_command_waits_for_a_gateway_that_starts() {
    use std::os::unix::net::UnixListener;
    let house = House::new();
    house.ok(&["status"]);
    // A gateway that starts has the store before it answers.
    let store = std::fs::File::open(house.path("var/sluis.redb")).unwrap();
    store.lock().unwrap();
    let child = house.command(&["status"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let socket = UnixListener::bind(house.path("var/sluis.sock")).unwrap();
    let (mut asked, _) = socket.accept().unwrap();
    let mut line = String::new();
    BufReader::new(&asked).read_line(&mut line).unwrap();
    asked.write_all(b"{\"answer\":\"failed\",\"error\":\"the gateway was asked\"}\n").unwrap();
    let done = Done::of(&child.wait_with_output().unwrap());
    assert!(done.err.contains("the gateway was asked"), "{done:?} to {line}");

    // Nobody answers: a clear last word, not at once and not never.
    drop((asked, socket));
    std::fs::remove_file(house.path("var/sluis.sock")).unwrap();
    let config = std::fs::read_to_string(house.path("sluis.toml")).unwrap();
    house.file("sluis.toml", &format!("{config}[limits]\nadmin_wait = \"300ms\"\n"));
    let began = std::time::Instant::now();
    let done = house.run(&["status"]);
    assert!(began.elapsed() >= std::time::Duration::from_millis(300));
    assert!(done.code == 1 && done.err.contains("within limits.admin_wait (300ms)"), "{done:?}");
    assert!(done.err.contains("is in use by another process") && done.err.lines().count() == 1, "{done:?}");
}
