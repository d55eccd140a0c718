//! Pass-through sign-in (RULES P4): a tool changes its host name, and nothing else.

mod support;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sluis::clock::SystemClock;
use sluis::ledger::Event;
use support::gateway::{PERSON, TestGateway, config_text, free_port, message, start};
use support::next_hop::{Answer, Moment, NextHop};
use support::patience::Patience;
use support::smtp::Client;

/// A next hop with two accounts, and what it heard after AUTH.
async fn next_hop(mechanisms: &str) -> (NextHop, Arc<Mutex<Vec<String>>>) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = heard.clone();
    let good = ["anna", "bob"].map(|name| plain(name, "geheim"));
    let tokens = [xoauth2("anna", "token"), oauthbearer("anna", "token")];
    let script = move |moment, line: &str| {
        if moment != Moment::Command {
            return None;
        }
        let given = line.strip_prefix("AUTH ").and_then(|rest| rest.split_once(' '));
        let answer = match given {
            Some(("PLAIN", response)) if good.contains(&response.to_owned()) => "235 2.7.0 welcome",
            Some(("PLAIN", _)) => "535 5.7.8 no such account here",
            Some((_, response)) if tokens.contains(&response.to_owned()) => "235 2.7.0 welcome",
            Some(_) => "334 eyJzdGF0dXMiOiI0MDEifQ==",
            None if line.is_empty() || line == "AQ==" => "535 5.7.8 token expired",
            None => return None,
        };
        hears.lock().unwrap().push(line.to_owned());
        Some(Answer::Say(format!("{answer}\r\n")))
    };
    let auth = format!("AUTH {mechanisms}");
    (NextHop::scripted(&["PIPELINING", "8BITMIME", "SIZE 1000000", &auth], script).await, heard)
}

fn plain(name: &str, password: &str) -> String {
    STANDARD.encode(format!("\0{name}\0{password}"))
}

fn xoauth2(name: &str, token: &str) -> String {
    STANDARD.encode(format!("user={name}\x01auth=Bearer {token}\x01\x01"))
}

fn oauthbearer(name: &str, token: &str) -> String {
    STANDARD.encode(format!("n,a={name},\x01host=gate.example\x01port=587\x01auth=Bearer {token}\x01\x01"))
}

async fn gateway(next_hop: SocketAddr, relay: &str) -> TestGateway {
    let folder = tempfile::tempdir().unwrap();
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let text = config_text(folder.path(), any_port, next_hop, free_port(), "", relay);
    let listener = "tls = \"none\"\nauth = \"pass-through\"\nauth_required = true\n\
                    auth_without_tls_on_loopback = true\n\n[trusted]";
    let text = text.replacen("tls = \"none\"\n\n[trusted]", listener, 1);
    let file = folder.path().join("sluis.toml");
    std::fs::write(&file, text).unwrap();
    let running = start(&file, Arc::new(SystemClock)).await;
    TestGateway { running, folder }
}

async fn signed_in(gateway: &TestGateway, command: &str) -> (Client, u16, String) {
    let mut client = gateway.client().await;
    let reply = client.command(command).await;
    (client, reply.code, reply.text())
}

#[tokio::test(flavor = "multi_thread")]
async fn p4_the_clients_own_account_at_the_next_hop() {
    let (mut hop, heard) = next_hop("CRAM-MD5 PLAIN XOAUTH2").await;
    let gateway = gateway(hop.address, "").await;
    let mut client = Client::connect(gateway.running.submission()[0].address).await;
    let hello = client.command("EHLO tool.example").await;
    assert!(hello.lines.contains(&"AUTH PLAIN XOAUTH2".to_owned()), "those of the next hop: {hello:?}");
    assert!(hello.lines.contains(&"SIZE 934464".to_owned()), "its limit, less the room of edits: {hello:?}");
    assert!(!hello.offers("SMTPUTF8"), "it has none: {hello:?}");
    let reply = client.submit(PERSON, &["b@example.org"], message(PERSON, "Dag")).await;
    assert_eq!(reply.code, 530, "{reply:?}");
    let reply = client.command(&format!("AUTH PLAIN {}", plain("anna", "fout"))).await;
    assert_eq!((reply.code, reply.text().as_str()), (535, "5.7.8 no such account here"), "its own words");
    let reply = client.command("AUTH LOGIN").await;
    assert_eq!(reply.code, 504, "LOGIN is not there: {reply:?}");
    let reply = client.command(&format!("AUTH PLAIN {}", plain("anna", "geheim"))).await;
    assert_eq!(reply.code, 235, "{reply:?}");
    let reply = client.submit(PERSON, &["b@example.org"], message(PERSON, "Dag")).await;
    assert_eq!((reply.code, reply.text().as_str()), (250, "2.0.0 taken"));
    hop.next().await;
    let told = heard.lock().unwrap().clone();
    assert_eq!(told.last().unwrap(), &format!("AUTH PLAIN {}", plain("anna", "geheim")));
    let account = gateway
        .wait_for(|event| match event {
            Event::Admitted(admitted) => Some(admitted.handover.clone().unwrap().account),
            _ => None,
        })
        .await;
    assert_eq!(account.as_deref(), Some("anna"), "RULES L15");
}

/// RFC 4954 4: an AUTH line has at most 12,288 octets. A response that fills a line of its own does not fit behind the
/// command, and is sent when the next hop asks for it.
#[tokio::test(flavor = "multi_thread")]
async fn rfc_4954_4_a_token_too_long_for_the_auth_line_follows_the_challenge() {
    let token = |octets: usize| xoauth2("anna", &"t".repeat(octets / 4 * 3 - 24));
    let (fits, alone) = (token(12_272), token(12_284));
    for (response, expected) in [
        (&fits, vec![format!("AUTH XOAUTH2 {fits}")]),
        (&alone, vec!["AUTH XOAUTH2".to_owned(), alone.clone()]),
    ] {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (hears, whole, last) = (heard.clone(), format!("AUTH XOAUTH2 {response}"), response.clone());
        let script = move |moment, line: &str| {
            let answer = match line {
                _ if moment != Moment::Command => return None,
                "AUTH XOAUTH2" => "334 \r\n",
                line if line == whole || line == last => "235 2.7.0 welcome\r\n",
                _ => return None,
            };
            hears.lock().unwrap().push(line.to_owned());
            Some(Answer::Say(answer.to_owned()))
        };
        let hop = NextHop::scripted(&["PIPELINING", "AUTH XOAUTH2"], script).await;
        let gateway = gateway(hop.address, "").await;
        let mut client = gateway.client().await;
        assert_eq!(client.command("AUTH XOAUTH2").await.code, 334);
        assert_eq!(client.command(response).await.code, 235);
        assert!(*heard.lock().unwrap() == expected, "{} lines", heard.lock().unwrap().len());
        // One octet more than a line may have is not read as one.
        let mut client = gateway.client().await;
        assert_eq!(client.command("AUTH XOAUTH2").await.code, 334);
        assert!(client.command(&"A".repeat(12_287)).await.code >= 500);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_9_connections_of_one_account_are_never_used_for_another() {
    let (mut hop, heard) = next_hop("PLAIN").await;
    let gateway = gateway(hop.address, "").await;
    let anna = format!("AUTH PLAIN {}", plain("anna", "geheim"));
    let bob = format!("AUTH PLAIN {}", plain("bob", "geheim"));
    let (first, ..) = signed_in(&gateway, &anna).await;
    let (second, ..) = signed_in(&gateway, &bob).await;
    // Nobody is asked twice about credentials that are in use.
    let (third, code, _) = signed_in(&gateway, &anna).await;
    assert_eq!((code, heard.lock().unwrap().len()), (235, 2));
    let mut over = Vec::new();
    let mut clients = [first, second, third];
    for at in [0, 1, 2, 0, 1] {
        let reply = clients[at].submit(PERSON, &["b@example.org"], message(PERSON, "Dag")).await;
        assert_eq!(reply.code, 250, "{reply:?}");
        over.push(hop.next().await.connection);
    }
    // 0 was the look at start-up; each account has one of its own.
    assert_eq!(over, [1, 2, 1, 1, 2]);
    // Other credentials for a name that is in use are asked about.
    let (_, code, _) = signed_in(&gateway, &format!("AUTH PLAIN {}", plain("anna", "fout"))).await;
    assert_eq!(code, 535);
    // When the last session of an account ends, so do its connections and credentials.
    for mut client in clients {
        client.command("QUIT").await;
        assert!(client.is_closed().await);
    }
    let before = heard.lock().unwrap().len();
    let patience = Patience::new();
    while heard.lock().unwrap().len() == before {
        patience.check();
        let (mut client, code, _) = signed_in(&gateway, &anna).await;
        assert_eq!(code, 235);
        client.command("QUIT").await;
        client.is_closed().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p4_bearer_tokens_pass_as_they_are() {
    let (mut hop, heard) = next_hop("XOAUTH2 OAUTHBEARER").await;
    let gateway = gateway(hop.address, "").await;
    for command in [
        format!("AUTH XOAUTH2 {}", xoauth2("anna", "token")),
        format!("AUTH OAUTHBEARER {}", oauthbearer("anna", "token")),
    ] {
        let (mut client, code, text) = signed_in(&gateway, &command).await;
        assert_eq!(code, 235, "{text}");
        assert_eq!(heard.lock().unwrap().last(), Some(&command));
        let reply = client.submit(PERSON, &["b@example.org"], message(PERSON, "Dag")).await;
        assert_eq!(reply.code, 250, "{reply:?}");
        hop.next().await;
    }
    for (command, empty) in [
        (format!("AUTH XOAUTH2 {}", xoauth2("anna", "old")), ""),
        (format!("AUTH OAUTHBEARER {}", oauthbearer("anna", "old")), "AQ=="),
    ] {
        let (_, code, text) = signed_in(&gateway, &command).await;
        assert_eq!((code, text.as_str()), (535, "5.7.8 token expired"));
        assert_eq!(heard.lock().unwrap().last().map(String::as_str), Some(empty));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p4_a_next_hop_that_cannot_be_asked_is_no_wrong_password() {
    let gone = free_port();
    let gateway = gateway(gone, "").await;
    let (_, code, text) = signed_in(&gateway, &format!("AUTH PLAIN {}", plain("anna", "geheim"))).await;
    assert_eq!(code, 454, "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn p4_a_reload_forgets_no_way_to_sign_in() {
    let (hop, _) = next_hop("PLAIN XOAUTH2").await;
    let gateway = gateway(hop.address, "connection_wait = \"50s\"\n").await;
    let file = gateway.folder.path().join("sluis.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("connection_wait = \"50s\"", "connection_wait = \"51s\"")).unwrap();
    gateway.running.reload().unwrap();
    let (_, code, text) = signed_in(&gateway, &format!("AUTH XOAUTH2 {}", xoauth2("anna", "token"))).await;
    assert_eq!(code, 235, "{text}");
}
