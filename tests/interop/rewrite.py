"""Messages before and after rewriting, read by Python's email package and dkimpy; see rewrite.sh."""

import collections
import email
import email.policy
import pathlib
import re
import sys

import dkim

LINK = "https://afmelden.voorbeeld.nl/u/k3s9x0example0token0of0a0copy"
FOLDER = pathlib.Path(sys.argv[1])
KEYS = {selector: (FOLDER / f"key-{selector}.txt").read_bytes() for selector in ("ed", "rsa")}


def leaves(message):
    return [part for part in message.walk() if not part.is_multipart()]


def defects(message):
    return [defect for part in message.walk() for defect in part.defects]


def in_place_of_others(message):
    """The parts that readers show whatever file name they have: alternatives, and roots of multipart/related."""
    for part in message.walk():
        if part.get_content_type() == "multipart/alternative":
            yield from part.get_payload()
        elif part.get_content_type() == "multipart/related":
            yield from part.get_payload()[:1]


def is_shown(part, shown):
    if part.get_content_maintype() != "text":
        return False
    named = part.get_filename() is not None
    detached = part.get_content_disposition() == "attachment"
    return not named or (part in shown and not detached)


def text_of(part):
    payload = part.get_payload(decode=True) or b""
    charset = part.get_content_charset() or "us-ascii"
    try:
        text = payload.decode(charset, "replace")
    except LookupError:
        text = payload.decode("latin-1")
    return re.sub(r"\s+", "", text)


def verifies(name, raw):
    """Whether our signatures hold, which are on top: two where both kinds of key signed."""
    record = lambda domain, **_: KEYS[domain.split(b".")[0].decode()]
    return all(dkim.DKIM(raw).verify(idx=at, dnsfunc=record) for at in range(2 if name.startswith("both-") else 1))


def check(name):
    before = email.message_from_bytes((FOLDER / f"{name}.before").read_bytes(), policy=email.policy.compat32)
    raw = (FOLDER / f"{name}.after").read_bytes()
    after = email.message_from_bytes(raw, policy=email.policy.compat32)
    found = []
    try:
        if b"\nDKIM-Signature:" in b"\n" + raw and not verifies(name, raw):
            found.append("dkimpy does not verify")
    except dkim.MessageFormatError:
        # A header that it takes no part in: "Subject : x", or worse.
        return "no header for dkimpy", found
    # What was broken before may be read in another way after; what was sound must stay so.
    if defects(before):
        return "broken before", found
    if defects(after):
        found.append(f"new defects: {defects(after)}")
    old, new = leaves(before), leaves(after)
    wrapped = "=_sluis_" in (after.get_boundary() or "")
    if len(new) != len(old) + wrapped:
        found.append(f"{len(old)} leaf parts became {len(new)}")
        return "sound", found
    links, shown = 0, list(in_place_of_others(before))
    for one, other in zip(old, new):
        if wrapped or not is_shown(one, shown):
            # Decoded: an 8-bit part may have been recoded for a next hop without 8BITMIME.
            if one.get_payload(decode=True) != other.get_payload(decode=True):
                found.append(f"{one.get_content_type()} changed")
            continue
        was, now = text_of(one), text_of(other)
        links += now.count(LINK)
        # What the author placed where only some readers see it is filled in, and the footer comes as well.
        seen_by_some = re.search(r"<!--\[if[^>]*>(?:(?!endif\]).)*unsubscribe_url", was) is not None
        if now.count(LINK) > 1 + seen_by_some and was.count("unsubscribe_url") < 2:
            found.append("the link is there twice")
        if LINK in now and len(now) < len(was):
            found.append("text was lost")
    if wrapped:
        links += text_of(new[-1]).count(LINK)
    if name.endswith("marketing") and links == 0:
        found.append("no link that Python can see")
    return "wrapped" if wrapped else "edited" if links else "untouched", found


def main():
    counts, failures = collections.Counter(), 0
    names = sorted(path.stem for path in FOLDER.glob("*.before"))
    for name in names:
        kind, found = check(name)
        counts[kind] += 1
        for what in found:
            failures += 1
            print(f"{name}: {what}", file=sys.stderr)
    if not names:
        sys.exit("nothing was rewritten")
    print(f"ok: {len(names)} messages; " + ", ".join(f"{n} {kind}" for kind, n in sorted(counts.items())))
    if failures:
        sys.exit(1)


main()
