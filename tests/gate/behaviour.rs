//! What a dialog cannot show: TLS, waits, stops, hang-ups, memory.

use std::io;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use sluis::limits::{LimitSettings, Limits};
use sluis::shutdown::Shutdown;
use sluis::smtp::session::Tolerance;
use sluis::submission::{Settings, Timeouts, Tls, run};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::script::{Script, accounts, loopback, open, settings};

const BEGIN: &str = "HELO x\r\nMAIL FROM:<a@x.nl>\r\nRCPT TO:<b@x.nl>\r\n";

/// A client that talks in lines.
struct Client<T>(BufReader<T>);

impl<T: AsyncRead + AsyncWrite + Unpin> Client<T> {
    async fn greeted(stream: T) -> Self {
        let mut client = Self(BufReader::new(stream));
        assert_eq!(client.code().await, 220);
        client
    }

    async fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).await.unwrap();
    }

    /// Read one reply; its code. 0: closed.
    async fn code(&mut self) -> u16 {
        loop {
            let mut line = String::new();
            match self.0.read_line(&mut line).await {
                Ok(octets) if octets > 0 => {}
                _ => return 0,
            }
            if line.as_bytes()[3] == b' ' {
                return line[..3].parse().unwrap();
            }
        }
    }

    async fn codes(&mut self, text: &str, count: usize) -> Vec<u16> {
        self.send(text).await;
        let mut codes = Vec::new();
        for _ in 0..count {
            codes.push(self.code().await);
        }
        codes
    }
}

/// A certificate for `gate.example`, and a client that trusts it.
fn certificate() -> (Arc<ServerConfig>, TlsConnector) {
    let made = rcgen::generate_simple_self_signed(vec!["gate.example".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let server =
        ServerConfig::builder().with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key);
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    (Arc::new(server.unwrap()), TlsConnector::from(Arc::new(client)))
}

fn name() -> ServerName<'static> {
    ServerName::try_from("gate.example").unwrap()
}

#[tokio::test]
async fn p3_plaintext_before_the_handshake_is_dropped() {
    let (server, connector) = certificate();
    let (script, shutdown) = (Script::default(), Shutdown::new());
    let settings = Settings { tls: Tls::StartTls(server), ..settings(LimitSettings::default()) };
    let mut client = Client::greeted(open(settings, &script, loopback(), &shutdown)).await;
    assert_eq!(client.codes("EHLO before\r\n", 1).await, [250]);
    // The injected command is in the same write as STARTTLS.
    assert_eq!(client.codes("STARTTLS\r\nEHLO injected\r\nMAIL FROM:<evil@x.nl>\r\n", 1).await, [220]);
    let tls = connector.connect(name(), client.0.into_inner()).await.unwrap();
    let mut client = Client(BufReader::new(tls));
    assert_eq!(client.codes("MAIL FROM:<a@x.nl>\r\n", 1).await, [503], "neither EHLO counts");
    assert_eq!(client.codes("EHLO after\r\n", 1).await, [250]);
    let end = "MAIL FROM:<a@x.nl>\r\nRCPT TO:<b@x.nl>\r\nBDAT 3 LAST\r\na\r\nQUIT\r\n";
    assert_eq!(client.codes(end, 5).await, [250, 250, 250, 221, 0]);
    let got = script.take().unwrap();
    assert_eq!((got.client.protocol, got.client.helo.as_str()), ("ESMTPS", "after"));
    assert_eq!(got.client.tls.as_deref(), Some("TLSv1.3"));
}

#[tokio::test]
async fn p3_implicit_tls_and_a_sign_in_under_it() {
    let (server, connector) = certificate();
    let (script, shutdown) = (Script::default(), Shutdown::new());
    let settings = Settings {
        tls: Tls::Implicit(server),
        accounts: Some(accounts(&[("anna", "geheim")])),
        ..settings(LimitSettings::default())
    };
    let stream = open(settings, &script, IpAddr::from([192, 0, 2, 1]), &shutdown);
    let mut client = Client::greeted(connector.connect(name(), stream).await.unwrap()).await;
    let signed_in = "EHLO x\r\nMAIL FROM:<a@x.nl>\r\nAUTH PLAIN AGFubmEAZ2VoZWlt\r\nSTARTTLS\r\n";
    assert_eq!(client.codes(signed_in, 4).await, [250, 530, 235, 503]);
    let message = "MAIL FROM:<a@x.nl>\r\nRCPT TO:<b@x.nl>\r\nBDAT 3 LAST\r\na\r\n";
    assert_eq!(client.codes(message, 3).await, [250, 250, 250]);
    let got = script.take().unwrap();
    assert_eq!(got.client.protocol, "ESMTPSA");
    assert_eq!(got.client.connection.account.as_deref(), Some("anna"));
}

#[tokio::test]
async fn a_client_that_hangs_up_does_not_cancel_the_journey() {
    let script = Script { gate: Arc::new(Semaphore::new(0)), ..Script::default() };
    let shutdown = Shutdown::new();
    let mut client =
        Client::greeted(open(settings(LimitSettings::default()), &script, loopback(), &shutdown)).await;
    assert_eq!(client.codes(&format!("{BEGIN}DATA\r\n"), 4).await, [250, 250, 250, 354]);
    client.send("a\r\n.\r\n").await;
    drop(client);
    shutdown.request();
    script.gate.add_permits(1);
    shutdown.drained().await;
    assert_eq!(script.count(), 1);
}

#[tokio::test]
async fn a_journey_that_breaks_is_451_and_not_250() {
    let script = Script::default();
    script.gate.close(); // admit() unwraps the permit and so panics
    let shutdown = Shutdown::new();
    let mut client =
        Client::greeted(open(settings(LimitSettings::default()), &script, loopback(), &shutdown)).await;
    let codes = client.codes(&format!("{BEGIN}BDAT 3 LAST\r\na\r\nNOOP\r\n"), 5).await;
    assert_eq!(codes, [250, 250, 250, 451, 250]);
}

#[tokio::test]
async fn a_stop_sends_idle_sessions_away_and_lets_a_transaction_end() {
    let (script, shutdown) = (Script::default(), Shutdown::new());
    let base = settings(LimitSettings::default());
    let mut idle = Client::greeted(open(base.clone(), &script, loopback(), &shutdown)).await;
    let mut busy = Client::greeted(open(base, &script, loopback(), &shutdown)).await;
    assert_eq!(busy.codes(BEGIN, 3).await, [250, 250, 250]);
    shutdown.request();
    assert_eq!(idle.code().await, 421);
    assert_eq!(idle.code().await, 0);
    drop(idle);
    assert_eq!(busy.codes("DATA\r\n", 1).await, [354]);
    assert_eq!(busy.codes("a\r\n.\r\n", 3).await, [250, 421, 0]);
    drop(busy);
    shutdown.drained().await;
    assert_eq!(script.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn promise_10_no_wait_is_for_ever() {
    let (script, shutdown) = (Script::default(), Shutdown::new());
    let base = settings(LimitSettings::default());
    let mut silent = Client::greeted(open(base.clone(), &script, loopback(), &shutdown)).await;
    assert_eq!(silent.code().await, 421);
    let mut stalled = Client::greeted(open(base.clone(), &script, loopback(), &shutdown)).await;
    assert_eq!(stalled.codes(&format!("{BEGIN}DATA\r\n"), 4).await, [250, 250, 250, 354]);
    assert_eq!(stalled.codes("half a li", 2).await, [421, 0]);
    // One octet a minute is not silence, but a message has to come to its end, at whatever rate it may come.
    let base = Settings { timeouts: Timeouts { data_rate: 0, ..base.timeouts.clone() }, ..base };
    let mut slow = Client::greeted(open(base, &script, loopback(), &shutdown)).await;
    assert_eq!(slow.codes(&format!("{BEGIN}DATA\r\n"), 4).await, [250, 250, 250, 354]);
    let mut minutes = 0;
    while let Err(_elapsed) = tokio::time::timeout(Duration::from_secs(60), slow.0.fill_buf()).await {
        slow.send("a").await;
        minutes += 1;
    }
    assert_eq!(slow.code().await, 421);
    assert!((55..=61).contains(&minutes), "{minutes}");
    assert_eq!(script.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn promise_10_messages_share_one_memory_budget() {
    let limits = LimitSettings { message_memory: 256 << 10, ..LimitSettings::default() };
    let base = Settings { size_limit: 10 << 20, ..settings(limits) };
    let memory = base.limits.memory().clone();
    let (script, shutdown) = (Script::default(), Shutdown::new());
    let line = "0123456789abcdef".repeat(60) + "\r\n";
    // More than the budget can hold: read to its end and told to come back; the session goes on.
    let mut large = Client::greeted(open(base.clone(), &script, loopback(), &shutdown)).await;
    assert_eq!(large.codes(&format!("{BEGIN}DATA\r\n"), 4).await, [250, 250, 250, 354]);
    for _ in 0..600 {
        large.send(&line).await;
        assert!(memory.used() <= 256 << 10);
    }
    assert_eq!(large.codes(".\r\nNOOP\r\n", 2).await, [452, 250]);
    assert_eq!(memory.used(), 0);
    // In chunks: the refusal comes with the chunk, and with each after it.
    let mut chunked = Client::greeted(open(base.clone(), &script, loopback(), &shutdown)).await;
    assert_eq!(chunked.codes(BEGIN, 3).await, [250, 250, 250]);
    let mut codes = Vec::new();
    for _ in 0..300 {
        codes.extend(chunked.codes(&format!("BDAT {}\r\n{line}", line.len()), 1).await);
    }
    assert_eq!((codes[0], codes[299]), (250, 452));
    assert_eq!(chunked.codes("BDAT 0 LAST\r\nNOOP\r\n", 2).await, [452, 250]);
    assert_eq!((memory.used(), script.count()), (0, 0));
    // A small one fits.
    let mut small = Client::greeted(open(base, &script, loopback(), &shutdown)).await;
    assert_eq!(small.codes(&format!("{BEGIN}BDAT 3 LAST\r\na\r\n"), 4).await, [250, 250, 250, 250]);
    assert_eq!((memory.used(), script.count()), (0, 1));
}

#[tokio::test]
async fn promise_10_many_tiny_chunks_take_no_more_than_their_octets() {
    let base = settings(LimitSettings::default());
    let memory = base.limits.memory().clone();
    let (script, shutdown) = (Script::default(), Shutdown::new());
    let mut client = Client::greeted(open(base, &script, loopback(), &shutdown)).await;
    assert_eq!(client.codes(BEGIN, 3).await, [250, 250, 250]);
    for _ in 0..2000 {
        assert_eq!(client.codes("BDAT 1\r\naBDAT 0\r\n", 2).await, [250, 250]);
        assert!(memory.used() <= 32 << 10);
    }
    assert_eq!(client.codes("BDAT 2 LAST\r\n\r\n", 1).await, [250]);
    assert_eq!(script.take().unwrap().message.len(), 2002);
}

#[tokio::test]
async fn promise_10_an_endless_message_is_cut_off() {
    let base = Settings { size_limit: 1000, ..settings(LimitSettings::default()) };
    let memory = base.limits.memory().clone();
    let (script, shutdown) = (Script::default(), Shutdown::new());
    let mut client = Client::greeted(open(base, &script, loopback(), &shutdown)).await;
    assert_eq!(client.codes(&format!("{BEGIN}DATA\r\n"), 4).await, [250, 250, 250, 354]);
    let mut sent = 0u64;
    let piece = [b'a'; 60_000];
    while client.0.get_mut().write_all(&piece).await.is_ok() {
        assert!(memory.used() <= 128 << 10);
        sent += piece.len() as u64;
        // The server stops reading once it has closed; then its reply is there.
        if sent > 17 << 20 {
            break;
        }
    }
    assert_eq!(client.code().await, 552);
    assert!(sent > 16 << 20, "it was read for as long as that is reasonable");
}

#[tokio::test]
async fn messages_of_an_account_are_counted() {
    let limits = LimitSettings { messages_per_account: NonZeroU32::new(1), ..LimitSettings::default() };
    let base = Settings {
        accounts: Some(accounts(&[("anna", "geheim")])),
        trusted: vec![],
        loopback_auth_without_tls: true,
        ..settings(limits)
    };
    let (script, shutdown) = (Script::default(), Shutdown::new());
    let mut client = Client::greeted(open(base, &script, loopback(), &shutdown)).await;
    assert_eq!(client.codes("EHLO x\r\nAUTH PLAIN AGFubmEAZ2VoZWlt\r\n", 2).await, [250, 235]);
    let mail = "MAIL FROM:<a@x.nl>\r\nRCPT TO:<b@x.nl>\r\n";
    assert_eq!(client.codes(&format!("{mail}BDAT 3 LAST\r\na\r\n"), 3).await, [250, 250, 250]);
    assert_eq!(client.codes(&format!("{mail}BDAT 3 LAST\r\na\r\n"), 3).await, [250, 250, 450]);
    assert_eq!(client.codes(&format!("{mail}DATA\r\nNOOP\r\n"), 4).await, [250, 250, 450, 250]);
    assert_eq!(script.count(), 1);
}

#[tokio::test]
async fn the_listener_counts_reloads_and_stops() -> io::Result<()> {
    let limits = LimitSettings { connections_per_ip: 1, ..LimitSettings::default() };
    let base = settings(limits);
    let shared: Limits = base.limits.clone();
    let (script, shutdown) = (Script::default(), Shutdown::new());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (reload, current) = watch::channel(Arc::new(base.clone()));
    let running = tokio::spawn(run(listener, current, script.clone(), shutdown.clone()));

    let mut first = Client::greeted(TcpStream::connect(address).await?).await;
    let mut second = String::new();
    BufReader::new(TcpStream::connect(address).await?).read_line(&mut second).await?;
    assert_eq!(second, "421 4.7.0 gate.example too many connections, try again later\r\n");

    let renamed = Settings { hostname: "renamed.example".to_owned(), ..base };
    reload.send_replace(Arc::new(renamed));
    assert_eq!(first.codes("QUIT\r\n", 2).await, [221, 0]);
    drop(first);
    // The place is free once the session's task has ended.
    let mut greeting = String::new();
    while !greeting.starts_with("220") {
        greeting.clear();
        let _ = BufReader::new(TcpStream::connect(address).await?).read_line(&mut greeting).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(greeting, "220 renamed.example ESMTP Sluis\r\n");

    shutdown.request();
    running.await?;
    shutdown.drained().await;
    assert!(shared.connect(loopback()).is_ok(), "every connection was counted off");
    assert!(TcpStream::connect(address).await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_client_reading_nothing_of_a_long_pipeline_gets_every_reply() {
    let (script, shutdown) = (Script::default(), Shutdown::new());
    let tolerance = Tolerance { idle_commands: u32::MAX, ..Tolerance::default() };
    let settings = Settings { tolerance, ..settings(LimitSettings::default()) };
    let (mut read, mut write) = tokio::io::split(open(settings, &script, loopback(), &shutdown));
    let writer = tokio::spawn(async move {
        write.write_all("NOOP\r\n".repeat(50_000).as_bytes()).await.unwrap();
        write.write_all(b"QUIT\r\n").await.unwrap();
        write
    });
    let mut text = String::new();
    read.read_to_string(&mut text).await.unwrap();
    assert_eq!(text.lines().count(), 50_002);
    writer.await.unwrap();
}

#[tokio::test]
async fn a_session_from_a_trusted_network_is_bound_to_its_senders() {
    let senders = vec![sluis::mail::SenderId("12345678".to_owned())];
    let base = Settings { trusted_senders: senders.clone(), ..settings(LimitSettings::default()) };
    let (script, shutdown) = (Script::default(), Shutdown::new());
    let mut client = Client::greeted(open(base, &script, loopback(), &shutdown)).await;
    assert_eq!(client.codes(&format!("{BEGIN}BDAT 3 LAST\r\na\r\n"), 4).await, [250; 4]);
    let got = script.take().unwrap().client.connection;
    assert_eq!((got.account, got.senders), (None, senders));
}

/// Time goes by, and the client sends `text` in pieces of `size` octets, `pause` apart; the code it gets at last.
async fn trickle<T: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Client<T>,
    text: &str,
    size: usize,
    pause: Duration,
) -> u16 {
    for piece in text.as_bytes().chunks(size) {
        if client.0.get_mut().write_all(piece).await.is_err() {
            break;
        }
        tokio::select! {
            code = client.code() => return code,
            () = tokio::time::sleep(pause) => {}
        }
    }
    client.code().await
}

#[tokio::test(start_paused = true)]
async fn promise_10_a_command_that_comes_octet_by_octet_has_an_end() {
    let (script, shutdown) = (Script::default(), Shutdown::new());
    let mut client =
        Client::greeted(open(settings(LimitSettings::default()), &script, loopback(), &shutdown)).await;
    let began = Instant::now();
    // Each octet alone would be in time.
    assert_eq!(trickle(&mut client, &"NOOP".repeat(100), 1, Duration::from_secs(60)).await, 421);
    assert_eq!(began.elapsed().as_secs() / 60, 5);
    // RFC 5321 4.5.3.2.7: five minutes for each command are granted.
    let stream = open(settings(LimitSettings::default()), &script, loopback(), &shutdown);
    let mut client = Client::greeted(stream).await;
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_secs(299)).await;
        assert_eq!(client.codes("NOOP\r\n", 1).await, [250]);
    }
}

#[tokio::test(start_paused = true)]
async fn promise_10_a_message_that_trickles_has_an_end() {
    let (script, shutdown) = (Script::default(), Shutdown::new());
    let base = settings(LimitSettings::default());
    let slow = |base: Settings, data_rate| {
        let timeouts = Timeouts { data_rate, ..base.timeouts.clone() };
        Settings { timeouts, ..base }
    };
    for verb in ["DATA", "BDAT 90000 LAST"] {
        let stream = open(slow(base.clone(), 100), &script, loopback(), &shutdown);
        let mut client = Client::greeted(stream).await;
        let expected: &[u16] = if verb == "DATA" { &[250, 250, 250, 354] } else { &[250, 250, 250] };
        assert_eq!(client.codes(&format!("{BEGIN}{verb}\r\n"), expected.len()).await, expected);
        let began = Instant::now();
        // Ten octets in ten seconds: after three minutes (RFC 5321 4.5.3.2.5) that is too slow.
        assert_eq!(
            trickle(&mut client, &"12345678\r\n".repeat(9000), 10, Duration::from_secs(10)).await,
            421,
            "{verb}"
        );
        assert!((180..220).contains(&began.elapsed().as_secs()), "{verb}: {:?}", began.elapsed());
    }
    // As slow as it may be, it is taken: 20 minutes for 72 kB at 60 octets a second, where 50 are asked.
    let stream = open(slow(base, 50), &script, loopback(), &shutdown);
    let mut client = Client::greeted(stream).await;
    assert_eq!(client.codes(&format!("{BEGIN}DATA\r\n"), 4).await, [250, 250, 250, 354]);
    let text = "12345678\r\n".repeat(7200) + ".\r\n";
    assert_eq!(trickle(&mut client, &text, 3600, Duration::from_secs(60)).await, 250);
    assert_eq!(script.count(), 1);
}
