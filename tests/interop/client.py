"""smtplib, email and urllib against a running gateway; see python.sh."""

import email
import email.policy
import os
import pathlib
import smtplib
import ssl
import urllib.error
import urllib.request
from email.message import EmailMessage

NEWS = "nieuws@voorbeeldhypotheken.nl"
READER = "abonnee@example.org"
OUTBOX = pathlib.Path(os.environ["OUTBOX"])


def connect():
    host, port = os.environ["SMTP"].rsplit(":", 1)
    client = smtplib.SMTP(host, int(port), timeout=20)
    context = ssl.create_default_context(cafile=os.environ["AUTHORITY"])
    # The certificate names this host, so the name is checked, too.
    client.starttls(context=context)
    client.login(os.environ["ACCOUNT"], os.environ["PASSWORD"])
    return client


def newsletter(to, mark):
    message = EmailMessage()
    message["From"] = f"Voorbeeld Hypotheken <{NEWS}>"
    message["To"] = to
    message["Subject"] = "Rente daalt naar één procent"
    message.set_content(f"Beste lezer, de rente daalt.\n.\nGroet, {mark}\n")
    message.add_alternative(
        f"<html><body><p>De rente daalt naar één procent.</p><p>{mark}</p></body></html>", subtype="html"
    )
    message.add_attachment(bytes(range(256)) * 8, "application", "octet-stream", filename="tarieven.bin")
    return message


def parse(path):
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    for part in message.walk():
        assert not part.defects, f"{path.name}: {part.defects}"
        if not part.is_multipart():
            part.get_content()
    assert message["Message-ID"] and message["Date"], f"{path.name}: no Message-ID or Date"
    return message


def sent(mark):
    found = []
    for path in OUTBOX.rglob("*.eml"):
        message = parse(path)
        body = message.get_body(("plain",))
        if body is not None and mark in body.get_content():
            found.append(message)
    return found


def submit(client, to, mark):
    client.send_message(newsletter(to, mark), NEWS, [to])


def main():
    client = connect()
    submit(client, READER, "python-first")
    (message,) = sent("python-first")
    original = newsletter(READER, "python-first")

    link = message["List-Unsubscribe"]
    assert message.get_all("List-Unsubscribe") == [link] and link.count("<http") == 1, link
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    url = link[link.index("<http") + 1 : link.index(">", link.index("<http"))]
    for kind in ("plain", "html"):
        body = message.get_body((kind,)).get_content()
        assert url in body, f"{kind}: no visible link"
        assert "12345678" in body and "Dorpsstraat 1" in body, f"{kind}: no identity"
    attachment = next(message.iter_attachments()).get_content()
    assert attachment == next(original.iter_attachments()).get_content(), "the attachment was changed"

    with urllib.request.urlopen(url) as page:
        assert b"<button" in page.read()
    submit(client, READER, "python-still")
    request = urllib.request.Request(url, b"List-Unsubscribe=One-Click", method="POST")
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 200 and answer.url == url
    try:
        submit(client, READER, "python-after")
        raise SystemExit("FAILED: a newsletter went to somebody who unsubscribed")
    except smtplib.SMTPRecipientsRefused as refused:
        code, text = refused.recipients[READER]
        assert code == 550 and text.startswith(b"5.7.1"), (code, text)
    except smtplib.SMTPDataError as refused:
        assert refused.smtp_code == 550, refused
    assert not sent("python-after")
    try:
        urllib.request.urlopen(url[:-1])
        raise SystemExit("FAILED: a truncated link opened")
    except urllib.error.HTTPError as error:
        assert error.code == 404, error
    client.quit()

    for path in OUTBOX.rglob("*.eml"):
        parse(path)
    print("ok: submission, footers, headers, attachment, page, one-click, refusal afterwards")


main()
