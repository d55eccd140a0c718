//! The register as a person meets it: what is on record, and what it comes to.

mod support;

use support::house::House;

const TEXT: &str = "Ja, ik wil de nieuwsbrief van Voorbeeld Hypotheken";

#[test]
fn l5_a_published_address_needs_its_page_its_sentence_and_its_hash() {
    let house = House::new();
    let page = house.file("pagina.html", "<p>Nieuws over hypotheken graag aan inkoop@example.nl</p>");
    let add = |quote: &str, url: &str, captured: &str| {
        let args = ["published", "add", "inkoop@example.nl", "--purpose", "nieuwsbrief", "--quote", quote];
        let rest = ["--url", url, "--captured-at", captured, "--page-file", &page];
        house.run(&[&args[..], &rest[..]].concat())
    };
    let sentence = "Nieuws over hypotheken graag aan inkoop@example.nl";
    for (quote, url, captured, why) in [
        (
            "info@example.nl",
            "https://example.nl",
            "2026-01-01",
            "L5: \"info@example.nl\" only shows an address",
        ),
        (sentence, "inkoopgids 2026", "2026-01-01", "L5: url missing"),
        (sentence, "https://example.nl", "2099-01-01", "L5: the page was captured at 2098-12-31"),
    ] {
        let done = add(quote, url, captured);
        assert!(done.code == 1 && done.err.contains(why), "{why}: {done:?}");
    }
    let done = add(sentence, "https://example.nl/contact", "2026-01-01");
    assert_eq!((done.code, done.out.as_str()), (0, "on record\n"), "{done:?}");
    let shown = house.ok(&["consent", "show", "inkoop@example.nl"]);
    assert!(shown.contains("published    \"nieuwsbrief\": https://example.nl/contact"), "{shown}");
    assert!(shown.contains("review by 2026-12-31T23:00:00Z"), "twelve months on: {shown}");

    let csv = house.file(
        "gids.csv",
        "address,url,quote,captured_at,page_file\n\
         a@example.nl,https://a.nl,Aanbiedingen ontvangen wij graag op a@example.nl,2026-02-01,pagina.html\n\
         b@example.nl,https://b.nl,E-mail: b@example.nl,2026-02-01,pagina.html\n\
         c@example.nl,https://c.nl,Aanbiedingen ontvangen wij graag op c@example.nl,2026-02-01,weg.html\n",
    );
    let done = house.run(&["published", "import", &csv, "--set", "purpose=nieuwsbrief"]);
    assert!(done.out.contains("published addresses: 1 added, 0 already there, 2 rejected"), "{done:?}");
    assert!(
        done.err.contains("gids.csv:3: L5:") && done.err.contains("gids.csv:4: L5: page_file"),
        "{done:?}"
    );
}

#[test]
fn l19_a_file_never_lifts_an_opt_out_and_a_correction_lets_a_fact_come_anew() {
    let house = House::new();
    house.ok(&["suppress", "add", "a@example.nl", "--reason", "unsubscribed"]);
    let csv = house.file(
        "in.csv",
        &format!(
            "address,kind,act,text,source,at\n\
             a@example.nl,grant,ticked_box,\"{TEXT}\",https://x.nl,2026-03-01\n\
             a@example.nl,confirm,clicked_confirm,,https://x.nl,2026-03-02\n"
        ),
    );
    let import = ["consent", "import", &csv, "--set", "purpose=nieuwsbrief"];
    assert!(house.ok(&import).contains("2 added"));
    let shown = house.ok(&["consent", "show", "a@example.nl"]);
    assert!(shown.contains("granted, grade A"), "{shown}");
    assert!(shown.contains("attested: as it stands in the imported file"), "{shown}");

    let at = ["--at", "2026-04-01"];
    let correct = ["consent", "add", "a@example.nl", "--purpose", "nieuwsbrief", "--kind", "correct"];
    house.ok(&[&correct[..], &at[..]].concat());
    assert!(house.ok(&import).contains("2 added, 0 already there"), "what was corrected is no fact any more");
    assert!(house.ok(&import).contains("0 added, 2 already there"));
    assert!(house.ok(&["proof", "verify"]).contains("the ledger is sound"));
}

#[test]
fn l4_explain_tells_every_clause_that_holds_and_the_one_that_does_not() {
    let house = House::new();
    let config = std::fs::read_to_string(house.path("sluis.toml")).unwrap();
    let config = config.replace(
        "purpose = \"nieuwsbrief\"",
        "match = { from = \"nieuws@voorbeeldhypotheken.nl\" }\npurpose = \"nieuwsbrief\"\nsimilar_to = [\"hypotheek\"]",
    );
    house.file("sluis.toml", &config);
    let ask = |from: &str| house.run(&["explain", "--from", from, "--to", "klant@example.org"]);
    let nothing = ask("nieuws@voorbeeldhypotheken.nl");
    assert_eq!(nothing.code, 1);
    assert!(nothing.out.contains("rule     yes \"newsletter\" matches"), "{nothing:?}");
    assert!(nothing.out.contains("no consent for \"nieuwsbrief\" on record"), "{nothing:?}");
    assert!(nothing.out.contains("is refused, by rule \"newsletter\""), "{nothing:?}");
    assert!(nothing.out.contains("to make it pass  put a consent"), "{nothing:?}");
    let other = ask("iemand@voorbeeldhypotheken.nl");
    assert!(other.out.contains("\"newsletter\" does not match: from"), "{other:?}");
    assert!(other.out.contains("none matched"), "{other:?}");

    let customer = ["customer", "add", "klant@example.org", "--product", "hypotheek", "--given-in-sale"];
    house.ok(&[&customer[..], &["--last-purchase", "2026-01-01"]].concat());
    let gap = ask("nieuws@voorbeeldhypotheken.nl");
    assert!(
        gap.out.contains("L4       yes \"hypotheek\": the customer gave the address in the sale"),
        "{gap:?}"
    );
    assert!(gap.out.contains("L4       no  \"hypotheek\": opting out was offered"), "{gap:?}");
    assert!(gap.out.contains("no opt-out was offered when the address was taken"), "{gap:?}");
    house.ok(&[&customer[..], &["--last-purchase", "2026-01-02", "--opt-out-offered"]].concat());
    let passes = ask("nieuws@voorbeeldhypotheken.nl");
    assert_eq!(passes.code, 0, "{passes:?}");
    assert!(passes.out.contains("may go, by rule \"newsletter\": customer: bought hypotheek"), "{passes:?}");

    // The message itself: its From name is not the sender's (L7), which only the message can tell.
    let message = |name: &str| {
        let text = format!(
            "From: {name} <nieuws@voorbeeldhypotheken.nl>\nTo: klant@example.org\nSubject: x\n\nDag\n"
        );
        house.file("bericht.eml", &text)
    };
    let ask = |file: &str| house.run(&["explain", "--to", "klant@example.org", "--message", file]);
    let named = ask(&message("Voorbeeld Hypotheken"));
    assert_eq!(named.code, 0, "{named:?}");
    let stranger = ask(&message("Gratis Geld"));
    assert!(stranger.code == 1 && stranger.out.contains("clause           L7"), "{stranger:?}");
    let lost = house.run(&["explain", "niemand@example.org"]);
    assert!(lost.code == 1 && lost.err.contains("no decision is on record"), "{lost:?}");
}

#[test]
fn what_observe_would_have_refused_is_counted_and_explained_by_its_recipient() {
    let house = House::new();
    let config = std::fs::read_to_string(house.path("sluis.toml")).unwrap();
    house.file("sluis.toml", &format!("mode = \"observe\"\n{config}"));
    let served = support::house::Served::start(&house);
    let message =
        "From: Voorbeeld Hypotheken <nieuws@voorbeeldhypotheken.nl>\r\nSubject: x\r\n\r\nDag\r\n.\r\n";
    let dialog = format!(
        "EHLO t\r\nMAIL FROM:<nieuws@voorbeeldhypotheken.nl>\r\nRCPT TO:<a@example.org>\r\nDATA\r\n{message}QUIT\r\n"
    );
    let replies = served.say(&dialog);
    assert!(replies.contains("\r\n250 "), "{replies}");
    let report = house.ok(&["report", "observe"]);
    assert!(report.starts_with("1 recipients would have been refused"), "{report}");
    assert!(report.contains("L1     no_basis"), "{report}");
    assert!(report.contains("rule \"newsletter\", Voorbeeld Hypotheken B.V."), "{report}");
    assert!(house.ok(&["report", "refused"]).starts_with("0 recipients were refused"));
    let empty = house.ok(&["report", "observe", "--since", "2020-01-01", "--until", "2020-02-01"]);
    assert!(empty.starts_with("0 recipients"), "{empty}");
    let told = house.ok(&["explain", "a@example.org"]);
    assert!(told.contains("enforcement would have refused it") && told.contains("to make it pass"), "{told}");
}

#[test]
fn rules_stand_in_files_of_their_own_and_their_mistakes_are_named_there() {
    let house = House::new();
    let config = std::fs::read_to_string(house.path("sluis.toml")).unwrap();
    house.file("sluis.toml", &format!("include = \"rules.d/*.toml\"\n{config}"));
    let empty = house.run(&["check"]);
    assert!(empty.code == 0 && empty.err.contains("names no file"), "{empty:?}");
    std::fs::create_dir(house.path("rules.d")).unwrap();
    // The rule of the config file matches everything; here it is made to leave something.
    let config = config.replace(
        "class = \"marketing\"",
        "match = { from = \"a@voorbeeldhypotheken.nl\" }\nclass = \"marketing\"",
    );
    house.file("sluis.toml", &format!("include = \"rules.d/*.toml\"\n{config}"));
    house.file("rules.d/20-rest.toml", "[[rule]]\nname = \"rest\"\nrefuse = \"not from here\"\n");
    house.file(
        "rules.d/10-invoices.toml",
        "[[rule]]\nname = \"invoices\"\nmatch = { from = \"f@voorbeeldhypotheken.nl\" }\nclass = \"service\"\n",
    );
    house.file("rules.d/.hidden.toml", "nonsense");
    assert!(house.ok(&["check"]).contains("1 senders, 3 rules"));

    house.file("rules.d/30-wrong.toml", "name = \"x\"\n[[rule]]\nname = \"rest\"\nclas = \"service\"\n");
    let done = house.run(&["check"]);
    assert_eq!(done.code, 78, "{done:?}");
    let file = house.path("rules.d/30-wrong.toml").display().to_string();
    for (place, why) in [
        (":1:1: name: unknown key", "known here: rule, sender"),
        (":3:8: rule[1].name", "there already is a rule \"rest\""),
        (":4:1: rule[1].clas: unknown key", "did you mean \"class\"?"),
    ] {
        assert!(done.err.contains(&format!("{file}{place}")) && done.err.contains(why), "{why}: {done:?}");
    }
    std::fs::remove_file(house.path("rules.d/30-wrong.toml")).unwrap();

    let cases = house.file(
        "cases.toml",
        "[[case]]\nname = \"a reader\"\nfrom = \"a@voorbeeldhypotheken.nl\"\nto = \"x@example.org\"\n\
         consent = { purpose = \"nieuwsbrief\", grade = \"A\", at = 2026-01-01 }\n\
         expect = \"forward\"\nbasis = \"consent\"\nrule = \"newsletter\"\nclass = \"marketing\"\n\
         [[case]]\nname = \"one who left\"\nfrom = \"a@voorbeeldhypotheken.nl\"\nto = \"x@example.org\"\n\
         consent = { purpose = \"nieuwsbrief\", at = 2026-01-01 }\nsuppressed = \"complaint\"\n\
         expect = \"refuse\"\nclause = \"L16\"\n\
         [[case]]\nname = \"an invoice\"\nfrom = \"f@voorbeeldhypotheken.nl\"\nto = \"x@example.org\"\n\
         expect = \"forward\"\nrule = \"invoices\"\nbasis = \"none\"\n\
         [[case]]\nname = \"the rest\"\nfrom = \"z@voorbeeldhypotheken.nl\"\nto = \"x@example.org\"\n\
         expect = \"refuse\"\nclause = \"rule\"\n",
    );
    assert_eq!(house.ok(&["rules", "test", &cases]), "4 cases, 0 not as expected\n");
    std::fs::remove_file(house.path("rules.d/10-invoices.toml")).unwrap();
    let gone = house.run(&["rules", "test", &cases]);
    assert!(gone.code == 78 && gone.err.contains("the config has no rule \"invoices\""), "{gone:?}");
    let text = std::fs::read_to_string(&cases).unwrap().replace("rule = \"invoices\"\n", "");
    house.file("cases.toml", &text);
    let done = house.run(&["rules", "test", &cases]);
    assert_eq!(done.code, 1);
    assert!(
        done.out.contains("an invoice: expected forward, found refuse (rule: not from here)"),
        "{done:?}"
    );
    assert!(done.out.contains("cases.toml:18: an invoice"), "{done:?}");
}

#[test]
fn what_is_on_record_comes_out_as_a_page_a_register_and_opt_outs_for_tools() {
    let house = House::new();
    let consent = ["consent", "add", "a@example.nl", "--purpose", "nieuwsbrief", "--act", "ticked_box"];
    let rest = ["--text", TEXT, "--source", "=1+1", "--at", "2026-03-01"];
    house.ok(&[&consent[..], &rest].concat());
    house.ok(&["suppress", "add", "b@example.nl", "--reason", "complaint"]);
    house.ok(&["suppress", "add", "b@example.nl", "--reason", "objection"]);
    house.ok(&["suppress", "add", "c@example.nl"]);

    let json: serde_json::Value =
        serde_json::from_str(&house.ok(&["export", "address", "a@example.nl"])).unwrap();
    assert_eq!(json["on_record"][0]["consents"][0]["grade"], "B");
    assert_eq!(json["entries"][0]["kind"], "consent");
    let page = house.path("inzage.html").display().to_string();
    house.ok(&["export", "address", "a@example.nl", "--html", "-o", &page]);
    let text = std::fs::read_to_string(&page).unwrap();
    assert!(
        text.contains("Consent: nieuwsbrief") && text.contains("granted, since 2026-02-28T23:00:00Z"),
        "{text}"
    );
    let again = house.run(&["export", "address", "a@example.nl", "-o", &page]);
    assert!(again.code == 1 && again.err.contains("cannot be made"), "nothing is written over: {again:?}");

    let register = house.ok(&["export", "register"]);
    let lines: Vec<_> = register.lines().collect();
    assert_eq!(lines[0], "sender,address,fact,about,state,grade,since,source");
    assert_eq!(lines[1], "12345678,a@example.nl,consent,nieuwsbrief,granted,B,2026-02-28T23:00:00Z,'=1+1");
    assert_eq!(lines.len(), 5, "{register}");
    let tool = |format: &str| house.ok(&["export", "suppressions", "--format", format]);
    assert_eq!(tool("mailchimp"), "Email Address\nb@example.nl\nc@example.nl\n");
    assert_eq!(tool("brevo"), "EMAIL\nb@example.nl\nc@example.nl\n");
    assert_eq!(tool("listmonk"), "email,name,attributes\nb@example.nl,,{}\nc@example.nl,,{}\n");
    let own = house.file("af.csv", &tool("csv"));
    let back = house.run(&["suppress", "import", &own]);
    assert!(back.out.contains("0 added, 3 already there"), "our own form comes in again: {back:?}");

    let odd = ["+31612345678@sms.invalid", "-jan@example.nl", "=cmd@example.nl"];
    for who in odd {
        house.ok(&["suppress", "add", "--sender", "12345678", "--", who]);
    }
    for format in ["csv", "mailchimp", "brevo", "listmonk"] {
        let lines = tool(format);
        for who in odd {
            assert!(
                lines.lines().any(|line| line.starts_with(who)),
                "l17, {format}: {who} as it is in {lines}"
            );
        }
    }
    let own = house.file("vreemd.csv", &tool("csv"));
    let back = house.run(&["suppress", "import", &own]);
    assert!(back.out.contains("0 added, 6 already there"), "nobody else is suppressed: {back:?}");
    let register = house.ok(&["export", "register"]);
    assert!(register.contains(",'=cmd@example.nl,"), "what people open has no formula: {register}");
}

#[test]
fn l2_texts_are_judged_and_stored_once_by_their_hash() {
    let house = House::new();
    let good =
        "Ja, stuur mij maandelijks de nieuwsbrief van Voorbeeld Hypotheken. Afmelden kan in elke mail.";
    let good = house.file("goed.txt", good);
    let add = |file: &str| house.run(&["text", "add", file, "--purpose", "nieuwsbrief"]);
    let done = add(&good);
    assert!(done.code == 0 && done.out.ends_with(" on record\n") && done.err.is_empty(), "{done:?}");
    assert!(add(&good).out.ends_with(" on record already\n"));
    let partners = house
        .file("partners.txt", "Voorbeeld Hypotheken en partners mogen mij maandelijks mailen; afmelden kan");
    let done = add(&partners);
    assert!(
        done.code == 1 && done.out.ends_with(" refused\n") && done.err.contains("\"partners\""),
        "{done:?}"
    );
    let short = house.file("kort.txt", TEXT);
    let done = add(&short);
    assert_eq!(done.code, 0, "a warning by default: {done:?}");
    assert!(done.err.contains("can be withdrawn") && done.err.contains("how often"), "{done:?}");
    assert_eq!(house.ok(&["text", "list"]).lines().count(), 2);

    let config = std::fs::read_to_string(house.path("sluis.toml")).unwrap();
    house.file("sluis.toml", &format!("{config}[policy]\nconsent_texts = \"refuse\"\n"));
    assert_eq!(add(&short).code, 1, "refused where the config says so");
    let consent =
        ["consent", "add", "a@example.nl", "--purpose", "nieuwsbrief", "--act", "typed", "--source", "x"];
    let done = house.run(&[&consent[..], &["--text", TEXT]].concat());
    assert!(
        done.code == 1 && done.err.contains("L2: it does not say that consent can be withdrawn"),
        "{done:?}"
    );
    let privacy = house.file("privacy.txt", "Wij bewaren uw adres zolang u de nieuwsbrief wilt.");
    assert!(house.ok(&["text", "add", &privacy, "--privacy"]).ends_with(" on record\n"));
}

#[test]
fn l18_an_erasure_leaves_what_the_law_wants_kept_and_a_letter_that_says_so() {
    let house = House::new();
    let who = "weg@example.org";
    let csv =
        house.file("klanten.csv", &format!("address,product,last_purchase\n{who},hypotheek,2026-01-02\n"));
    house.ok(&["customer", "import", &csv]);
    house.ok(&["suppress", "add", who, "--reason", "objection"]);
    let exported = || house.ok(&["export", "address", who]);
    assert!(exported().contains("hypotheek"));

    let held = house.ok(&["ledger", "hold", "add", who, "--why", "klacht 7"]);
    let hold =
        held.split_whitespace().find_map(|word| word.trim_end_matches(';').parse::<u64>().ok()).unwrap();
    let stopped = house.run(&["erase", who]);
    assert!(stopped.code == 1 && stopped.out.contains("nothing was erased, a hold stands"), "{stopped:?}");
    assert!(stopped.out.contains("Dat kan nu niet"), "{stopped:?}");
    house.ok(&["ledger", "hold", "end", &hold.to_string(), "--why", "afgedaan"]);

    let trial = house.ok(&["erase", who, "--dry-run"]);
    assert!(trial.contains("3 entries would be erased (1 relation, 1 suppression, 1 keeping)"), "{trial}");
    assert!(trial.contains("Dit is een proef"), "{trial}");
    assert!(exported().contains("hypotheek"), "nothing was done");
    let taken = house.file("brief.txt", "");
    let done = house.run(&["erase", who, "--letter", &taken]);
    assert!(done.code == 1 && exported().contains("hypotheek"), "no letter, no erasure: {done:?}");

    let letter = house.path("letter.txt");
    let done = house.run(&["erase", who, "--letter", letter.to_str().unwrap()]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.out.contains("suppression stays, as a keyed hash: objection"), "{done:?}");
    assert!(done.err.contains("the original of an import has the address in it"), "{done:?}");
    let letter = std::fs::read_to_string(letter).unwrap();
    assert!(letter.contains("* aankopen: 1") && letter.contains("versleutelde afdruk"), "{letter}");
    assert!(letter.contains("Voorbeeld Hypotheken B.V."), "{letter}");

    let left = exported();
    assert!(left.contains("\"entries\": []") && left.contains("\"objection\""), "{left}");
    assert!(!left.contains("hypotheek\"") && left.matches(who).count() == 1, "only the question: {left}");
    // Put on record again, the person is still not to be mailed.
    house.ok(&["customer", "import", &csv, "--set", "opt_out_offered=yes", "--set", "given_in_sale=yes"]);
    let asked = house.run(&["explain", "--from", "nieuws@voorbeeldhypotheken.nl", "--to", who]);
    assert!(asked.code == 1 && asked.out.contains("objected"), "{asked:?}");
    assert!(house.ok(&["proof", "verify"]).contains("the ledger is sound"));
}

#[test]
fn l2_evidence_is_kept_by_its_hash_exported_and_erased_with_the_person() {
    let house = House::new();
    let scan = house.file("Formulier van Jansen.pdf", "%PDF-1.7 getekend");
    let add = |who: &str, rest: &[&str]| {
        let args = ["consent", "add", who, "--purpose", "nieuwsbrief", "--act", "signed", "--text", TEXT];
        house.run(
            &[&args[..], &["--source", "balie", "--at", "2026-03-01", "--evidence", &scan], rest].concat(),
        )
    };
    for who in ["jansen@example.org", "pietersen@example.org"] {
        assert_eq!(add(who, &[]).code, 0, "{who}");
    }
    assert!(add("x@example.org", &["--evidence", "weg.pdf"]).err.contains("weg.pdf cannot be opened"));
    let sha256 = sluis::mail::hex(&sluis::mail::sha256(b"%PDF-1.7 getekend"));
    let kept = house.path("var/evidence").join(&sha256);
    assert_eq!(std::fs::read(&kept).unwrap(), b"%PDF-1.7 getekend");
    let folder = house.path("inzage");
    let shown = house.ok(&["export", "address", "jansen@example.org", "--files", folder.to_str().unwrap()]);
    assert!(shown.contains(&sha256) && shown.contains("Formulier van Jansen.pdf"), "{shown}");
    let copy = folder.join(format!("{}-FormuliervanJansen.pdf", &sha256[..12]));
    assert_eq!(std::fs::read(copy).unwrap(), b"%PDF-1.7 getekend");

    // One that is no longer what it was is named, and the rest comes out all the same.
    std::fs::write(&kept, b"%PDF-1.7 getekend door een ander").unwrap();
    let again = house.path("inzage2");
    let done = house.run(&["export", "address", "jansen@example.org", "--files", again.to_str().unwrap()]);
    assert!(done.code == 1 && done.out.contains(&sha256), "{done:?}");
    assert!(done.err.contains("NOT COPIED: Formulier van Jansen.pdf"), "{done:?}");
    assert_eq!(std::fs::read_dir(again).unwrap().count(), 0);
    std::fs::write(&kept, b"%PDF-1.7 getekend").unwrap();

    house.ok(&["erase", "jansen@example.org"]);
    assert!(kept.exists(), "the other one's consent rests on it");
    house.ok(&["erase", "pietersen@example.org"]);
    assert!(!kept.exists(), "nobody's does");
    assert!(house.ok(&["proof", "verify"]).contains("the ledger is sound"));
}

#[test]
fn l1_a_consent_for_a_time_ends_and_one_taken_over_lifts_nothing() {
    let house = House::new();
    let who = "a@example.nl";
    let event = |kind: &str, at: &str, rest: &[&str]| {
        let args = ["consent", "add", who, "--purpose", "nieuwsbrief", "--kind", kind, "--at", at];
        house.ok(&[&args[..], rest].concat())
    };
    let evidence = ["--act", "ticked_box", "--text", TEXT, "--source", "https://x.nl"];
    event("grant", "2026-01-01", &evidence);
    event("expire", "2099-01-01", &[]);
    let show = || house.ok(&["consent", "show", who]);
    assert!(show().contains("granted, grade B"), "it has not ended yet: {}", show());
    event("expire", "2026-02-01", &[]);
    assert!(show().contains("expired"), "{}", show());
    let asked = house.run(&["explain", "--from", "nieuws@voorbeeldhypotheken.nl", "--to", who]);
    assert!(asked.code == 1 && asked.out.contains("ended on 2026-01-31"), "{asked:?}");

    house.ok(&["suppress", "add", who, "--reason", "unsubscribed"]);
    event("import", "2026-03-01", &evidence);
    event("confirm", "2026-03-02", &["--act", "clicked_confirm"]);
    assert!(show().contains("granted, grade A"), "{}", show());
    let asked = house.run(&["explain", "--from", "nieuws@voorbeeldhypotheken.nl", "--to", who]);
    assert!(asked.code == 1 && asked.out.contains("unsubscribed from all marketing"), "{asked:?}");
    let old = ["consent", "add", "b@example.nl", "--purpose", "nieuwsbrief", "--at", "2026-01-01"];
    for flag in ["--attest", "--attestation"] {
        house.ok(&[&old[..], &[flag, "our paper file of 2020"]].concat());
    }
}

#[test]
fn p6_the_reference_in_a_refusal_tells_the_same_as_the_reply() {
    let house = House::new();
    let config = std::fs::read_to_string(house.path("sluis.toml")).unwrap();
    let from = |key: &str, rest: &str| {
        let rule = format!(
            "match = {{ {key} = \"nieuws@voorbeeldhypotheken.nl\" }}\npurpose = \"nieuwsbrief\"{rest}"
        );
        house.file("sluis.toml", &config.replace("purpose = \"nieuwsbrief\"", &rule));
    };
    let mail = "From: Voorbeeld Hypotheken B.V. <nieuws@voorbeeldhypotheken.nl>\r\nTo: klant@example.org\r\n\
                Subject: x\r\n\r\nx\r\n.\r\n";
    for (key, at_rcpt) in [("envelope_from", true), ("from", false)] {
        from(key, "");
        let served = support::house::Served::start(&house);
        let data = if at_rcpt { String::new() } else { format!("DATA\r\n{mail}") };
        let replies = served.say(&format!(
            "EHLO x\r\nMAIL FROM:<nieuws@voorbeeldhypotheken.nl>\r\nRCPT TO:<klant@example.org>\r\n{data}QUIT\r\n"
        ));
        let refusal =
            replies.lines().find(|line| line.starts_with("550 5.7.1")).unwrap_or_else(|| panic!("{replies}"));
        let (said, rest) = refusal.split_once(" (reference ").unwrap_or_else(|| panic!("{replies}"));
        // A refusal is answered before it is durable; who asks for it waits for that.
        let told = house.ok(&["explain", rest.trim_end_matches(')')]);
        let reason = said.split_once("> ").unwrap().1;
        assert!(told.contains(reason) && told.contains("to make it pass"), "{key}: {said}\n{told}");
    }
}

#[test]
fn l3_explain_says_what_ends_a_withdrawal_and_what_does_not() {
    let house = House::new();
    let config = std::fs::read_to_string(house.path("sluis.toml")).unwrap();
    house.file("sluis.toml", &config);
    let text = "Ja, Voorbeeld Hypotheken mag mij elke maand een nieuwsbrief sturen. Afmelden kan altijd.";
    let add = |more: &[&str]| {
        house.ok(&[&["consent", "add", "lezer@example.org", "--purpose", "nieuwsbrief"], more].concat());
    };
    let shown = ["--text", text, "--act", "ticked_box", "--source", "https://voorbeeldhypotheken.nl/nieuws"];
    add(&[&shown[..], &["--at", "2026-01-01T10:00:00Z"]].concat());
    add(&["--kind", "withdraw", "--at", "2026-02-01T10:00:00Z"]);
    // The word of whoever would like to mail, alone and with all that a consent has.
    add(&["--at", "2026-03-01T10:00:00Z", "--attest", "he told me so"]);
    add(&[&shown[..], &["--at", "2026-03-02T10:00:00Z", "--attest", "he told me so"]].concat());
    let ask =
        || house.run(&["explain", "--from", "nieuws@voorbeeldhypotheken.nl", "--to", "lezer@example.org"]);
    let told = ask();
    assert!(told.code == 1 && told.out.contains("was withdrawn on 2026-02-01"), "{told:?}");
    let remedy = "to make it pass  only a new consent by the person ends it";
    assert!(told.out.contains(remedy) && told.out.contains("an attestation or a file does not"), "{told:?}");
    add(&[&shown[..], &["--at", "2026-03-03T10:00:00Z"]].concat());
    let told = ask();
    assert!(told.out.contains("of grade B, given 2026-03-03"), "{told:?}");
}
