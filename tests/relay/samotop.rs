//! A server that we did not write as next hop: samotop, on its own runtime in its own thread.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::mpsc;
use std::task::{Context, Poll};

use samotop::io::tls::{Io, MayBeTls, TlsCapable};
use samotop::io::{ConnectionInfo, IoService};
use samotop::mail::{AcceptsDispatch, Builder, DispatchResult, MailDispatch, MailSetup};
use samotop::smtp::{Esmtp, SmtpParser, SmtpSession};

use super::support::smtp::Client;
use super::{brief, copy_of, free, relay_to};

/// Recipients and message.
type Taken = (Vec<String>, Vec<u8>);

/// Keeps what it gets.
#[derive(Debug, Clone)]
struct Keep(mpsc::Sender<Taken>);

impl<T: AcceptsDispatch> MailSetup<T> for Keep {
    fn setup(self, config: &mut T) {
        config.add_last_dispatch(Dispatch(std::sync::Mutex::new(self.0)));
    }
}

#[derive(Debug)]
struct Dispatch(std::sync::Mutex<mpsc::Sender<Taken>>);

impl MailDispatch for Dispatch {
    fn open_mail_body<'a, 's, 'f>(
        &'a self,
        session: &'s mut SmtpSession,
    ) -> Pin<Box<dyn Future<Output = DispatchResult> + Send + 'f>>
    where
        'a: 'f,
        's: 'f,
    {
        let recipients = session.transaction.rcpts.iter().map(|rcpt| rcpt.address.address()).collect();
        let kept = std::sync::Mutex::new(self.0.lock().unwrap().clone());
        session.transaction.sink = Some(Box::pin(Sink { recipients, data: Vec::new(), kept }));
        Box::pin(std::future::ready(Ok(())))
    }
}

struct Sink {
    recipients: Vec<String>,
    data: Vec<u8>,
    kept: std::sync::Mutex<mpsc::Sender<Taken>>,
}

impl async_std::io::Write for Sink {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.data.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let kept = self.kept.lock().unwrap();
        let _ = kept.send((self.recipients.clone(), self.data.clone()));
        Poll::Ready(Ok(()))
    }
}

/// Serve on port 0; what it takes comes out of the receiver.
fn serve() -> (SocketAddr, mpsc::Receiver<Taken>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        async_std::task::block_on(async move {
            let service = std::sync::Arc::new((Builder + Esmtp.with(SmtpParser) + Keep(sender)).build());
            let listener = async_std::net::TcpListener::from(listener);
            while let Ok((stream, peer)) = listener.accept().await {
                let stream: Box<dyn Io> = Box::new(stream);
                let stream: Box<dyn MayBeTls> = Box::new(TlsCapable::plaintext(stream));
                let info = ConnectionInfo::new(address.to_string(), peer.to_string());
                async_std::task::spawn(service.handle(Ok(stream), info));
            }
        });
    });
    (address, receiver)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_samotop_takes_what_we_send() {
    let (address, taken) = serve();
    let relay = relay_to(address);
    let body = "a line of thirty-two octets, yes\r\n.\r\n..\r\n.dot\r\n".repeat(500);
    for round in 0..3 {
        let message = format!("From: nieuws@voorbeeldhypotheken.nl\r\nSubject: round {round}\r\n\r\n{body}");
        let delivery =
            relay.deliver(&copy_of(message.clone(), &["a@example.org", "b@example.org"]), &free).await;
        assert!(
            delivery.fates.iter().all(|fate| brief(fate).starts_with("relayed 250")),
            "{:?}",
            delivery.fates
        );
        let (recipients, data) = taken.recv().unwrap();
        assert_eq!(recipients, ["a@example.org", "b@example.org"]);
        assert_eq!(String::from_utf8(data).unwrap(), message);
    }
}

/// The reply to `line` after the lines `before`, each of which is taken.
async fn says(address: SocketAddr, before: &[&str], line: &str) -> u16 {
    let mut client = Client::connect(address).await;
    for line in before {
        let reply = client.command(line).await;
        assert_eq!(reply.code, 250, "{line}: {reply:?}");
    }
    client.command(line).await.code
}

/// Real tools send these lines. docs/decisions/0001 rests on the answers: when they change, look again.
#[tokio::test(flavor = "multi_thread")]
async fn why_samotop_is_not_the_gate() {
    let (address, _taken) = serve();
    let (hello, mail) = ("EHLO client.example", "MAIL FROM:<a@example.org>");
    for (before, line) in [
        (&[][..], "EHLO my_pc"),
        (&[], "EHLO [IPv6:::1]"),
        (&[hello][..], "MAIL FROM: <a@example.org>"),
        (&[hello], "AUTH PLAIN AGEAYg=="),
        (&[hello], "BDAT 5 LAST"),
        (&[hello, mail][..], "RCPT TO:<a@b.nl> ORCPT=rfc822;a@b"),
        (&[hello, mail], "RCPT TO:<a@bücher.example>"),
    ] {
        assert_eq!(says(address, before, line).await, 500, "{line}");
    }
}
