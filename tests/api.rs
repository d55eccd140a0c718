//! The API through a whole gateway, and its document held to what it does.

mod support;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use serde_json::{Value, json};
use sluis::api::{ROUTES, Scope, openapi};
use sluis::clock::SystemClock;
use sluis::ledger::Event;
use sluis::policy::{Basis, Register as _};
use sluis::secret::SystemEntropy;
use sluis::suppression::Reason;
use support::gateway::{PURPOSE, SENDER, TestGateway, key};
use support::http::{Answer, ask, read};
use support::next_hop::NextHop;
use tokio::io::AsyncWriteExt as _;

/// A gateway with tokens: `all` may do everything, `none` nothing but check, and only for nobody here.
struct House {
    gateway: TestGateway,
    _files: tempfile::TempDir,
    _next_hop: NextHop,
}

impl House {
    async fn open() -> Self {
        let files = tempfile::tempdir().unwrap();
        let hash = files.path().join("hash");
        std::fs::write(&hash, sluis::submission::hash_password(b"geheim.x", &SystemEntropy)).unwrap();
        std::fs::set_permissions(&hash, std::fs::Permissions::from_mode(0o600)).unwrap();
        let words: Vec<String> = Scope::ALL.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        let token = |name: &str, scopes: &str, senders: &str| {
            let hash = hash.display();
            format!(
                "[[api.token]]\nname = \"{name}\"\nhash_file = \"{hash}\"\nscopes = [{scopes}]\n{senders}\n"
            )
        };
        let other = "[[sender]]\nname = \"Voorbeeld Reizen B.V.\"\nkvk = \"87654321\"\naddress = \"Kade 2\"\n\
                     contact = \"info@voorbeeldreizen.nl\"\ndomains = [\"voorbeeldreizen.nl\"]\n";
        let tail = format!(
            "{other}[limits]\napi_body = \"1 MiB\"\n[api]\nlisten = \"127.0.0.1:0\"\n{}{}{}",
            token("all", &words.join(", "), &format!("senders = [\"{SENDER}\"]")),
            token("little", "\"check\"", &format!("senders = [\"{SENDER}\"]")),
            token("other", "\"check\", \"read\"", "senders = [\"87654321\"]"),
        );
        let next_hop = NextHop::start().await;
        let gateway = TestGateway::at(next_hop.address, Arc::new(SystemClock), &tail).await;
        Self { gateway, _files: files, _next_hop: next_hop }
    }

    async fn send(&self, token: &str, method: &str, path: &str, kind: &str, body: &str) -> Answer {
        let address = self.gateway.running.api().unwrap();
        let token =
            if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
        let kind = if kind.is_empty() { String::new() } else { format!("Content-Type: {kind}\r\n") };
        let length = body.len();
        ask(
            address,
            format!(
                "{method} {path} HTTP/1.1\r\nHost: x\r\n{token}{kind}Content-Length: {length}\r\n\r\n{body}"
            ),
        )
        .await
    }

    async fn post(&self, token: &str, path: &str, body: &Value) -> Answer {
        self.send(&format!("{token}.geheim.x"), "POST", path, "application/json", &body.to_string()).await
    }

    /// The same over the admin socket, without a token.
    async fn local(&self, path: &str, body: &Value) -> Answer {
        let socket = self.gateway.folder.path().join("var/sluis.sock");
        let mut stream = tokio::net::UnixStream::connect(socket).await.unwrap();
        let body = body.to_string();
        let length = body.len();
        let head = "Host: x\r\nContent-Type: application/json\r\nConnection: close\r\n";
        let request = format!("POST {path} HTTP/1.1\r\n{head}Content-Length: {length}\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).await.unwrap();
        read(&mut stream, false).await
    }
}

fn body(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

/// What is wrong with `value` by `schema`: the part of JSON Schema that the document uses, and nothing else.
fn faults(doc: &Value, schema: &Value, value: &Value, at: &str, out: &mut Vec<String>) {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.strip_prefix("#/components/schemas/").unwrap();
        let schema = &doc["components"]["schemas"][name];
        assert!(schema.is_object(), "{name} is described nowhere");
        return faults(doc, schema, value, at, out);
    }
    let known = [
        "type",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "enum",
        "description",
        "format",
        "pattern",
        "maxItems",
        "minItems",
        "maxLength",
        "minimum",
        "maximum",
    ];
    for keyword in schema.as_object().unwrap().keys() {
        assert!(known.contains(&keyword.as_str()), "{at}: the test does not know {keyword}");
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let types = match &schema["type"] {
        Value::String(one) => vec![one.as_str()],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        other => panic!("{at}: {other} is no type"),
    };
    if !types.contains(&kind) {
        return out.push(format!("{at}: {kind}, not {types:?}"));
    }
    if let Some(choices) = schema["enum"].as_array()
        && !choices.contains(value)
    {
        out.push(format!("{at}: {value} is none of {choices:?}"));
    }
    if schema["format"] == "date-time"
        && value.as_str().is_none_or(|text| text.parse::<jiff::Timestamp>().is_err())
    {
        out.push(format!("{at}: {value} is no time"));
    }
    if let Some(items) = value.as_array() {
        let limit = schema["maxItems"].as_u64().unwrap_or(u64::MAX);
        if items.len() as u64 > limit || (items.len() as u64) < schema["minItems"].as_u64().unwrap_or(0) {
            out.push(format!("{at}: {} items", items.len()));
        }
        if schema["items"].is_object() {
            items.iter().enumerate().for_each(|(n, item)| {
                faults(doc, &schema["items"], item, &format!("{at}[{n}]"), out);
            });
        }
    }
    if let Some(fields) = value.as_object() {
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !fields.contains_key(name) {
                out.push(format!("{at}: {name} is missing"));
            }
        }
        for (name, field) in fields {
            let at = format!("{at}.{name}");
            match (&schema["properties"][name], &schema["additionalProperties"]) {
                (Value::Null, Value::Bool(false)) => out.push(format!("{at}: is not described")),
                (Value::Null, Value::Object(_)) => {
                    faults(doc, &schema["additionalProperties"], field, &at, out)
                }
                (Value::Null, _) => {}
                (described, _) => faults(doc, described, field, &at, out),
            }
        }
    }
}

/// That `answer` is one that `operation` says there can be.
fn hold_to(doc: &Value, operation: &Value, answer: &Answer) {
    let described = &operation["responses"][answer.status.to_string()];
    assert!(described.is_object(), "{} is not among the answers: {answer:?}", answer.status);
    let (kind, content) = described["content"].as_object().unwrap().iter().next().unwrap();
    assert_eq!(answer.header("content-type"), Some(kind.as_str()));
    let mut wrong = Vec::new();
    faults(doc, &content["schema"], &body(answer), "", &mut wrong);
    assert_eq!(wrong, Vec::<String>::new(), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_describes_every_route_and_every_route_does_what_it_says() {
    let house = House::open().await;
    let doc: Value = serde_json::from_str(openapi()).unwrap();
    let mut described = BTreeSet::new();
    for (path, methods) in doc["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let method = method.to_uppercase();
            described.insert((method.clone(), path.clone()));
            let route = ROUTES.iter().find(|route| route.method == method && route.path == path);
            let scope = route.unwrap_or_else(|| panic!("{method} {path} is no route")).scope;
            let needs = operation["security"][0]["token"][0].as_str();
            assert_eq!(needs, scope.map(Scope::word), "{path}");

            let content = &operation["requestBody"]["content"]["application/json"];
            let mut query = String::new();
            for one in operation["parameters"].as_array().into_iter().flatten() {
                if let Some(example) = one.get("example") {
                    let text = example.as_str().map_or_else(|| example.to_string(), str::to_owned);
                    query += &format!(
                        "{}{}={text}",
                        if query.is_empty() { "?" } else { "&" },
                        one["name"].as_str().unwrap()
                    );
                }
            }
            let (example, kind) = match content.get("example") {
                None => (String::new(), ""),
                Some(example) => {
                    let mut wrong = Vec::new();
                    faults(&doc, &content["schema"], example, "", &mut wrong);
                    assert_eq!(wrong, Vec::<String>::new(), "the example of {path}");
                    (example.to_string(), "application/json")
                }
            };
            let to = format!("{path}{query}");
            let answer = house.send("all.geheim.x", &method, &to, kind, &example).await;
            assert_eq!(answer.status, 200, "{method} {path}: {answer:?}");
            hold_to(&doc, operation, &answer);
            if scope.is_none() {
                continue;
            }
            for (token, status) in [("", 401), ("all.wrong", 401), ("all", 401), ("nobody.geheim.x", 401)] {
                let answer = house.send(token, &method, &to, kind, &example).await;
                assert_eq!(answer.status, status, "{token}");
                assert!(answer.header("www-authenticate").is_some());
                hold_to(&doc, operation, &answer);
            }
            if scope != Some(Scope::Check) {
                let answer = house.send("little.geheim.x", &method, &to, kind, &example).await;
                assert_eq!(answer.status, 403, "{path}");
                hold_to(&doc, operation, &answer);
            }
            if method == "GET" {
                let answer = house.send("all.geheim.x", &method, &format!("{path}?nonsense=1"), "", "").await;
                assert_eq!(answer.status, 400);
                hold_to(&doc, operation, &answer);
                continue;
            }
            let large = format!("{{\"x\":\"{}\"}}", "x".repeat(2 << 20));
            for (kind, text, status) in [
                ("text/plain", example.as_str(), 415),
                ("application/json", "{", 400),
                ("application/json", "[]", 400),
                ("application/json", &large, 413),
            ] {
                let answer = house.send("all.geheim.x", &method, path, kind, text).await;
                assert_eq!(answer.status, status, "{path} {text:.20}");
                hold_to(&doc, operation, &answer);
            }
            // The fields that the program knows, by its own word, are those of the document.
            fields_are_described(&house, &doc, path, &content["schema"], None).await;
            let items = schema_of(&doc, &content["schema"])["properties"]["items"]["items"].clone();
            if items.is_object() {
                fields_are_described(&house, &doc, path, &items, Some("items")).await;
            }
        }
    }
    let routes: BTreeSet<_> =
        ROUTES.iter().map(|route| (route.method.to_owned(), route.path.to_owned())).collect();
    assert_eq!(described, routes);
    let nowhere = house.send("all.geheim.x", "GET", "/v2/check", "", "").await;
    assert_eq!((nowhere.status, body(&nowhere)["status"].as_u64()), (404, Some(404)));
    let method = house.send("all.geheim.x", "DELETE", "/v1/suppressions", "", "").await;
    assert_eq!(method.status, 405);
    assert!(body(&method)["detail"].as_str().unwrap().contains("POST or GET"), "{method:?}");
}

fn schema_of<'d>(doc: &'d Value, schema: &'d Value) -> &'d Value {
    match schema["$ref"].as_str() {
        Some(name) => &doc["components"]["schemas"][name.rsplit('/').next().unwrap()],
        None => schema,
    }
}

async fn fields_are_described(house: &House, doc: &Value, path: &str, schema: &Value, inside: Option<&str>) {
    let stranger = json!({ "stranger": 1 });
    let sent = match inside {
        Some(list) => json!({ list: [stranger] }),
        None => stranger,
    };
    let answer = house.post("all", path, &sent).await;
    let detail = body(&answer)["detail"].as_str().unwrap().to_owned();
    assert!(answer.status == 400 && detail.contains("unknown field `stranger`"), "{answer:?}");
    let known = detail.split("expected").nth(1).unwrap_or_else(|| panic!("{detail}"));
    let known: BTreeSet<&str> = known.split('`').skip(1).step_by(2).collect();
    let described = schema_of(doc, schema)["properties"].as_object().unwrap();
    assert_eq!(known, described.keys().map(String::as_str).collect(), "{path}");
}

#[tokio::test(flavor = "multi_thread")]
async fn l1_l16_ten_thousand_people_are_judged_as_a_message_to_them_would_be() {
    let house = House::open().await;
    house.gateway.consent(&["ja@example.org", "weg@example.org"]).await;
    house.gateway.customer("koper@example.org").await;
    house.gateway.suppress("weg@example.org", Reason::Objection).await;
    let mut addresses =
        vec!["ja@example.org", "weg@example.org", "weg+x@example.org", "koper@example.org", "x@"];
    addresses.resize(10_000, "niemand@example.org");
    let asked = json!({ "purpose": PURPOSE, "addresses": addresses });
    let answer = house.post("little", "/v1/check", &asked).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let told = body(&answer);
    assert_eq!(told["decisions"].as_array().unwrap().len(), 10_000);
    for (place, decision, word) in [
        (0, "allow", "consent"),
        (1, "refuse", "suppressed_objection"),
        (2, "refuse", "suppressed_objection"),
        (3, "allow", "customer"),
        (4, "refuse", "no_address"),
        (9_999, "refuse", "no_basis"),
    ] {
        let one = &told["decisions"][place];
        let why = if decision == "allow" { &one["basis"] } else { &one["clause"] };
        assert_eq!((one["decision"].as_str(), why.as_str()), (Some(decision), Some(word)), "{one}");
    }
    assert_eq!(told["clauses"]["no_basis"]["rule"], "L1");
    addresses.push("een@te-veel.nl");
    let answer =
        house.post("little", "/v1/check", &json!({ "purpose": PURPOSE, "addresses": addresses })).await;
    assert!(answer.status == 400 && answer.body.contains("at most 10000"), "{answer:?}");
    // A purpose that nobody consented to, and a sender that the token may not ask about.
    let other = house
        .post("little", "/v1/check", &json!({ "purpose": "sms", "addresses": ["ja@example.org"] }))
        .await;
    assert_eq!(body(&other)["decisions"][0]["decision"], "refuse");
    let named = json!({ "sender": SENDER, "purpose": PURPOSE, "addresses": [] });
    let answer = house.post("other", "/v1/check", &named).await;
    assert!(answer.status == 400 && answer.body.contains("Voorbeeld Reizen"), "{answer:?}");
    assert!(!answer.body.contains("Hypotheken"), "it is not told of others: {answer:?}");
    let path = "/v1/register?address=ja@example.org";
    let shown = house.send("other.geheim.x", "GET", path, "", "").await;
    assert_eq!(body(&shown)["profiles"][0]["consents"], json!([]), "{shown:?}");
    assert_eq!(body(&shown)["profiles"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn l16_l19_what_a_token_adds_is_judged_as_a_file_and_lifts_no_opt_out() {
    let house = House::open().await;
    house.gateway.suppress("weg@example.org", Reason::Unsubscribed).await;
    let text = "Ja, Voorbeeld Hypotheken mag mij elke maand mailen. Afmelden kan altijd.";
    let grant = |kind: &str, at: &str| {
        json!({ "address": "weg@example.org", "purpose": PURPOSE, "kind": kind, "at": at, "act": "ticked_box",
                "text": text, "source": "https://www.voorbeeldhypotheken.nl" })
    };
    let now = jiff::Timestamp::now();
    let (then, later) =
        (now - jiff::SignedDuration::from_hours(2), now - jiff::SignedDuration::from_hours(1));
    let items = [grant("grant", &then.to_string()), grant("confirm", &later.to_string())];
    let asked = json!({ "purpose": PURPOSE, "addresses": ["weg@example.org"] });
    let added = house.post("all", "/v1/consents", &json!({ "items": items })).await;
    assert_eq!(body(&added)["added"], 2, "{added:?}");
    let judged = body(&house.post("all", "/v1/check", &asked).await);
    assert_eq!(judged["decisions"][0]["clause"], "suppressed_unsubscribed", "{judged}");
    // The administrator's word, over the socket, is that of `sluis consent add`.
    let added = house.local("/v1/consents", &json!({ "sender": SENDER, "items": items })).await;
    assert_eq!((added.status, &body(&added)["added"]), (200, &json!(2)), "{added:?}");
    let judged = body(&house.post("all", "/v1/check", &asked).await);
    assert_eq!(judged["decisions"][0]["basis"], "consent", "{judged}");

    let wrong = json!({ "items": [
        { "address": "geen adres", "purpose": PURPOSE, "at": then.to_string() },
        { "address": "a@example.org", "purpose": PURPOSE, "at": "2099-01-01T00:00:00Z", "attestation": "x" },
        { "address": "a@example.org", "purpose": PURPOSE, "at": then.to_string() },
    ] });
    let answer = body(&house.post("all", "/v1/consents", &wrong).await);
    let whys: Vec<&str> =
        answer["rejected"].as_array().unwrap().iter().filter_map(|one| one["why"].as_str()).collect();
    assert!(
        whys[0].starts_with("L17") && whys[1].starts_with("L1:") && whys[2].starts_with("L2"),
        "{whys:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn l16_l19_no_later_word_of_a_token_lifts_what_a_person_took_back() {
    let house = House::open().await;
    let text = "Ja, Voorbeeld Hypotheken mag mij elke maand mailen. Afmelden kan altijd.";
    let hours_ago = |hours| (jiff::Timestamp::now() - jiff::SignedDuration::from_hours(hours)).to_string();
    let fact = |address: &str, kind: &str, hours: i64| {
        json!({ "address": address, "purpose": PURPOSE, "kind": kind, "at": hours_ago(hours), "act": "ticked_box",
                "text": text, "source": "https://www.voorbeeldhypotheken.nl" })
    };
    let refused = async |address: &str, clause: &str| {
        let asked = json!({ "purpose": PURPOSE, "addresses": [address] });
        let judged = body(&house.post("all", "/v1/check", &asked).await);
        assert_eq!(judged["decisions"][0]["clause"], clause, "{address}: {judged}");
    };

    // A withdrawal, and a later grant that the token vouches for.
    let withdrawals = [fact("a@example.org", "withdraw", 5), fact("b@example.org", "withdraw", 5)];
    let added = house.local("/v1/consents", &json!({ "sender": SENDER, "items": withdrawals })).await;
    assert_eq!(body(&added)["added"], 2, "{added:?}");
    refused("a@example.org", "withdrawn").await;
    let items = [fact("a@example.org", "grant", 4), fact("a@example.org", "confirm", 3)];
    house.post("all", "/v1/consents", &json!({ "items": items })).await;
    refused("a@example.org", "withdrawn").await;

    // A correction would wipe the withdrawal, and then a relation would do.
    let corrected =
        house.post("all", "/v1/consents", &json!({ "items": [fact("b@example.org", "correct", 4)] })).await;
    let why = body(&corrected)["rejected"][0]["why"].as_str().unwrap_or_default().to_owned();
    assert!(why.starts_with("L19") && why.contains("consent add"), "{corrected:?}");
    refused("b@example.org", "withdrawn").await;

    // A confirmation by the token's word confirms nothing that the person gave elsewhere.
    house.gateway.suppress("c@example.org", Reason::Unsubscribed).await;
    let grant = json!({ "address": "c@example.org", "purpose": PURPOSE, "kind": "grant",
                        "at": jiff::Timestamp::now().to_string(), "act": "ticked_box", "text": text,
                        "source": "https://www.voorbeeldhypotheken.nl" });
    let added = house.local("/v1/consents", &json!({ "sender": SENDER, "items": [grant] })).await;
    assert_eq!(body(&added)["added"], 1, "{added:?}");
    refused("c@example.org", "suppressed_unsubscribed").await;
    let mut confirm = fact("c@example.org", "confirm", 0);
    confirm["at"] = json!(jiff::Timestamp::now().to_string());
    let added = house.post("all", "/v1/consents", &json!({ "items": [confirm] })).await;
    assert_eq!(body(&added)["added"], 1, "{added:?}");
    refused("c@example.org", "suppressed_unsubscribed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_secrets_do_not_lock_out_a_client_that_had_the_right_one() {
    let house = House::open().await;
    let asked = json!({ "purpose": PURPOSE, "addresses": ["a@example.org"] }).to_string();
    let ask = async |secret: &str| {
        let token = format!("all.{secret}");
        house.send(&token, "POST", "/v1/check", "application/json", &asked).await.status
    };
    assert_eq!(ask("geheim.x").await, 200);
    // As many as the limit per account, and fewer than the one per client.
    for _ in 0..10 {
        assert_eq!(ask("mis").await, 401);
    }
    assert_eq!(ask("geheim.x").await, 200, "whoever has the name alone stops nobody who has the secret");
}

#[tokio::test(flavor = "multi_thread")]
async fn l11_what_went_as_a_text_message_stands_in_the_same_ledger_with_its_basis() {
    let house = House::open().await;
    house.gateway.consent(&["ja@example.org"]).await;
    let report = json!({ "sender": SENDER, "purpose": PURPOSE, "channel": "sms", "text": "Nieuws!",
        "reference": "batch 7", "addresses": ["ja@example.org", "+31 6 12345678"] });
    let answer = house.local("/v1/sent", &report).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(body(&answer)["recipients"][1]["clause"], "no_basis");
    let sent = house.gateway.events().into_iter().find_map(|event| match event {
        Event::SentElsewhere(sent) => Some(sent),
        _ => None,
    });
    let sent = sent.expect("the entry is there");
    assert_eq!((sent.channel.as_str(), sent.tool.as_str()), ("sms", "api"));
    assert!(matches!(&sent.recipients[0].basis, Basis::Consent { entries, .. } if !entries.is_empty()));
    assert!(sent.recipients[1].observed.is_some());
    // It is proof of something sent: the consent stays with it, and an erasure leaves both until their date.
    let erasure = house.gateway.running.store().plan_erasure(&key("ja@example.org")).unwrap().0;
    assert!(erasure.kept_until.is_some() && erasure.erased.is_empty(), "{erasure:?}");
    let late = json!({ "sender": SENDER, "purpose": PURPOSE, "channel": "app", "text": "x",
        "at": "2099-01-01T00:00:00Z", "addresses": ["ja@example.org"] });
    assert_eq!(house.local("/v1/sent", &late).await.status, 400);

    // A telephone number that was opted out is known by that.
    let out = json!({ "sender": SENDER, "channel": "sms", "items": [{ "address": "+31612345678" }] });
    assert_eq!(body(&house.local("/v1/suppressions", &out).await)["added"], 1);
    let asked =
        json!({ "sender": SENDER, "purpose": PURPOSE, "channel": "sms", "addresses": ["+31 612345678"] });
    let judged = body(&house.local("/v1/check", &asked).await);
    assert_eq!(judged["decisions"][0]["clause"], "suppressed_unsubscribed", "{judged}");
    let sender = sluis::mail::SenderId(SENDER.to_owned());
    let profile = house.gateway.running.store().profile(&sender, &key("+31612345678@sms.invalid")).unwrap();
    assert_eq!(profile.suppressions.len(), 1);

    // So is the id that an app has of a person or a device.
    let (user, push) = ("user-4711", "cX1:APA91bF-".repeat(14));
    let item = |id: &str| {
        json!({ "address": id, "purpose": PURPOSE, "at": "2026-01-01T10:00:00Z", "act": "ticked_box",
            "text": "Ja, Voorbeeld Hypotheken mag mij elke maand berichten in de app sturen. Afmelden kan altijd.",
            "source": "app 4.2" })
    };
    let given = json!({ "sender": SENDER, "channel": "app", "items": [item(user), item(&push)] });
    let taken = body(&house.local("/v1/consents", &given).await);
    assert_eq!(taken["added"], 2, "{taken}");
    let out = json!({ "sender": SENDER, "channel": "app", "items": [{ "address": push }] });
    assert_eq!(body(&house.local("/v1/suppressions", &out).await)["added"], 1);
    let asked = json!({ "sender": SENDER, "purpose": PURPOSE, "channel": "app",
        "addresses": [user, push, push.to_lowercase(), "a b"] });
    let judged = body(&house.local("/v1/check", &asked).await);
    let words: Vec<_> = judged["decisions"].as_array().unwrap().iter().map(|one| &one["clause"]).collect();
    assert_eq!(words[1..], ["suppressed_unsubscribed", "no_basis", "no_address"], "{judged}");
    assert_eq!(judged["decisions"][0]["decision"], "allow", "{judged}");
    let report =
        json!({ "sender": SENDER, "purpose": PURPOSE, "channel": "app", "text": "x", "addresses": [user] });
    let noted = body(&house.local("/v1/sent", &report).await);
    assert_eq!(noted["recipients"][0]["address"], "user-4711@app.invalid");
    assert_eq!(noted["recipients"][0]["basis"], "consent", "{noted}");
}
