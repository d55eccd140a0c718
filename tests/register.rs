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
