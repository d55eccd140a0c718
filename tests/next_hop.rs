//! The helpers in `support/` do what other tests trust them to do.

mod support;

use support::next_hop::{Answer, Moment, NextHop};
use support::smtp::{Client, stuff};

#[tokio::test]
async fn a_message_arrives_as_it_was_sent() {
    let mut hop = NextHop::start().await;
    let mut client = Client::hello(hop.address).await;
    let message = b"Subject: x\r\n\r\n.\r\n..two\r\nend\r\n";
    let reply = client.submit("a@example.nl", &["b@example.nl", "c@example.nl"], message).await;
    assert_eq!(reply.code, 250, "{reply:?}");
    let taken = hop.next().await;
    assert_eq!(taken.helo, "client.example");
    assert_eq!(taken.mail, "<a@example.nl>");
    assert_eq!(taken.rcpt, ["<b@example.nl>", "<c@example.nl>"]);
    assert_eq!(taken.data, message);
    assert!(hop.try_next().is_none());
}

#[tokio::test]
async fn chunks_are_put_together() {
    let mut hop = NextHop::start().await;
    let mut client = Client::hello(hop.address).await;
    client
        .send("MAIL FROM:<>\r\nRCPT TO:<b@example.nl> NOTIFY=NEVER\r\nBDAT 3\r\n.\r\nBDAT 4 LAST\r\nend\n")
        .await;
    for _ in 0..4 {
        assert_eq!(client.reply().await.code, 250);
    }
    let taken = hop.next().await;
    assert_eq!((taken.mail.as_str(), taken.rcpt[0].as_str()), ("<>", "<b@example.nl> NOTIFY=NEVER"));
    assert_eq!(taken.data, b".\r\nend\n");
}

#[tokio::test]
async fn the_script_decides() {
    let mut hop = NextHop::scripted(&["SIZE 1000"], |moment, line| match moment {
        Moment::Command if line.contains("<no@") => Some(Answer::Say("550 5.1.1 nobody\r\n".to_owned())),
        Moment::End => Some(Answer::HangUp),
        _ => None,
    })
    .await;
    let mut client = Client::connect(hop.address).await;
    let hello = client.command("EHLO x").await;
    assert!(hello.offers("SIZE") && !hello.offers("PIPELINING"), "{hello:?}");
    assert_eq!(client.submit("a@x.nl", &["no@x.nl"], b"x\r\n").await.code, 550);
    client.command("MAIL FROM:<a@x.nl>").await;
    client.command("RCPT TO:<yes@x.nl>").await;
    client.command("DATA").await;
    client.send(stuff(b"x\r\n")).await;
    assert!(client.is_closed().await);
    assert_eq!(hop.next().await.rcpt, ["<yes@x.nl>"]);
}
