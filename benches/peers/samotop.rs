//! A relay made of samotop, as its users make one: its parser and session, and a dispatch that hands each message to the
//! next hop before it is acknowledged. It has no queue; connections to the next hop are kept.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use async_std::task::JoinHandle;
use samotop::io::tls::{Io, MayBeTls, TlsCapable};
use samotop::io::{ConnectionInfo, IoService};
use samotop::mail::{AcceptsDispatch, Builder, DispatchResult, MailDispatch, MailSetup};
use samotop::smtp::{Esmtp, SmtpParser, SmtpSession};

/// Serve until killed.
pub fn serve(port: u16, next_hop: u16) -> ! {
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
    let address = listener.local_addr().expect("bound");
    let next_hop = NextHop { address: ([127, 0, 0, 1], next_hop).into(), kept: Arc::default() };
    async_std::task::block_on(async move {
        let service = Arc::new((Builder + Esmtp.with(SmtpParser) + next_hop).build());
        let listener = async_std::net::TcpListener::from(listener);
        loop {
            let Ok((stream, peer)) = listener.accept().await else { continue };
            let _ = stream.set_nodelay(true);
            let stream: Box<dyn Io> = Box::new(stream);
            let stream: Box<dyn MayBeTls> = Box::new(TlsCapable::plaintext(stream));
            let info = ConnectionInfo::new(address.to_string(), peer.to_string());
            async_std::task::spawn(service.handle(Ok(stream), info));
        }
    })
}

/// Where messages go, and the connections that are kept.
#[derive(Debug, Clone)]
struct NextHop {
    address: SocketAddr,
    kept: Arc<Mutex<Vec<BufReader<TcpStream>>>>,
}

impl NextHop {
    fn deliver(&self, recipients: &[String], data: &[u8]) -> std::io::Result<()> {
        let kept = self.kept.lock().expect("no panic").pop();
        let mut connection = match kept {
            Some(connection) => connection,
            None => {
                let stream = TcpStream::connect(self.address)?;
                stream.set_nodelay(true)?;
                let mut connection = BufReader::new(stream);
                replies(&mut connection, 1)?;
                connection.get_mut().write_all(b"EHLO peer.example\r\n")?;
                replies(&mut connection, 1)?;
                connection
            }
        };
        let rcpt: String = recipients.iter().map(|to| format!("RCPT TO:<{to}>\r\n")).collect();
        let envelope = format!("MAIL FROM:<nieuws@voorbeeldhypotheken.nl>\r\n{rcpt}DATA\r\n");
        connection.get_mut().write_all(envelope.as_bytes())?;
        replies(&mut connection, recipients.len() + 2)?;
        let mut wire = Vec::with_capacity(data.len() + 64);
        for line in data.split_inclusive(|octet| *octet == b'\n') {
            if line.starts_with(b".") {
                wire.push(b'.');
            }
            wire.extend_from_slice(line);
        }
        wire.extend_from_slice(if data.ends_with(b"\r\n") { b".\r\n" } else { b"\r\n.\r\n" });
        connection.get_mut().write_all(&wire)?;
        replies(&mut connection, 1)?;
        self.kept.lock().expect("no panic").push(connection);
        Ok(())
    }
}

/// Read so many replies; anything but 2xx and 3xx is an error.
fn replies(connection: &mut BufReader<TcpStream>, count: usize) -> std::io::Result<()> {
    let (mut line, mut left) = (String::new(), count);
    while left > 0 {
        line.clear();
        if connection.read_line(&mut line)? == 0 || !line.starts_with(['2', '3']) {
            return Err(std::io::Error::other(format!("the next hop said {line:?}")));
        }
        left -= usize::from(line.as_bytes().get(3) != Some(&b'-'));
    }
    Ok(())
}

impl<T: AcceptsDispatch> MailSetup<T> for NextHop {
    fn setup(self, config: &mut T) {
        config.add_last_dispatch(self);
    }
}

impl MailDispatch for NextHop {
    fn open_mail_body<'a, 's, 'f>(
        &'a self,
        session: &'s mut SmtpSession,
    ) -> Pin<Box<dyn Future<Output = DispatchResult> + Send + 'f>>
    where
        'a: 'f,
        's: 'f,
    {
        let recipients = session.transaction.rcpts.iter().map(|rcpt| rcpt.address.address()).collect();
        let sink = Sink { next_hop: self.clone(), recipients, data: Vec::new(), delivery: None };
        session.transaction.sink = Some(Box::pin(sink));
        Box::pin(std::future::ready(Ok(())))
    }
}

/// A message on its way: delivered when it is closed.
struct Sink {
    next_hop: NextHop,
    recipients: Vec<String>,
    data: Vec<u8>,
    delivery: Option<JoinHandle<std::io::Result<()>>>,
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

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let this = &mut *self;
        let delivery = this.delivery.get_or_insert_with(|| {
            let (next_hop, recipients) = (this.next_hop.clone(), std::mem::take(&mut this.recipients));
            let data = std::mem::take(&mut this.data);
            async_std::task::spawn_blocking(move || next_hop.deliver(&recipients, &data))
        });
        let delivered = ready!(Pin::new(delivery).poll(context));
        // A second close finds it done.
        this.delivery = Some(async_std::task::spawn(std::future::ready(Ok(()))));
        Poll::Ready(delivered)
    }
}
