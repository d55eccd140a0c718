#!/usr/bin/env python3
"""Check a Sluis evidence pack, or a proof between two checkpoints, with the public key alone.

    verify.py pack.zip  "name+id+base64"     the pack
    verify.py proof.json "name+id+base64"    that a later ledger begins with an earlier one

A second implementation, written from docs/ledger-format.md and the RFC and not from the program: the format
does not need the program to survive. Needs Python 3.8 and the package `cryptography`.
"""
import base64
import hashlib
import json
import sys
import zipfile

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


class Wrong(Exception):
    """Something does not hold."""


def need(holds, what):
    if not holds:
        raise Wrong(what)


def open_note(note, key):
    """The text of a signed note (c2sp.org/signed-note), once its Ed25519 signature by `key` holds."""
    name, key_id, public = key.strip().split("+", 2)
    public = base64.b64decode(public)
    need(public[0] == 1 and len(public) == 33, "the public key is not an Ed25519 key")
    digest = hashlib.sha256(name.encode() + b"\n" + public).digest()[:4]
    need(digest.hex() == key_id, "the public key does not have the id that it names")
    at = note.rindex("\n\n")
    text = note[: at + 1]
    for line in note[at + 2:].splitlines():
        dash, signer, signature = line.split(" ")
        raw = base64.b64decode(signature)
        if dash == "\u2014" and signer == name and raw[:4] == digest:
            try:
                Ed25519PublicKey.from_public_bytes(public[1:]).verify(raw[4:], text.encode())
            except InvalidSignature:
                raise Wrong("the signature does not hold") from None
            return text
    raise Wrong("not signed by this key")


def checkpoint(note, key):
    """Size and root of a checkpoint (c2sp.org/tlog-checkpoint)."""
    lines = open_note(note, key).split("\n")
    need(lines[0] == key.split("+")[0], "the checkpoint is of another gateway")
    return int(lines[1]), base64.b64decode(lines[2])

def node(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


def check_inclusion(number, size, leaf, path, root):
    """RFC 9162 2.1.3.2."""
    need(0 <= number < size, "its number is not in the tree")
    fn, sn, got = number, size - 1, leaf
    for step in path:
        need(sn > 0, "its path is too long")
        if fn & 1 or fn == sn:
            got = node(step, got)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            got = node(got, step)
        fn, sn = fn >> 1, sn >> 1
    need(sn == 0 and got == root, "it does not stand in the signed ledger in this form at this place")


def check_consistency(old, old_root, new, new_root, path):
    """RFC 9162 2.1.4.2."""
    need(old <= new, "the earlier checkpoint covers more than the later one")
    if old in (0, new):
        return need(not path and (old == 0 or old_root == new_root), "the two roots differ")
    if old & (old - 1) == 0:
        path = [old_root] + path
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    need(path, "the proof is empty")
    fr = sr = path[0]
    for step in path[1:]:
        need(sn > 0, "the proof is too long")
        if fn & 1 or fn == sn:
            fr, sr = node(step, fr), node(step, sr)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node(sr, step)
        fn, sn = fn >> 1, sn >> 1
    need(sn == 0 and fr == old_root and sr == new_root, "the later ledger does not begin with the earlier one")


def check_pack(path, key):
    with zipfile.ZipFile(path) as pack:
        names = pack.namelist()
        need(len(names) == len(set(names)), "two files have the same name")
        files = {name: pack.read(name) for name in names}
    lines = open_note(files["files.txt"].decode(), key).splitlines()
    need(lines[0] == "sluis evidence pack v1", "files.txt is signed, but not a list of files")
    listed = dict(reversed(line.split("  ", 1)) for line in lines if line[64:66] == "  ")
    need(set(listed) | {"files.txt"} == set(files), "a file was added or removed")
    for name, digest in listed.items():
        need(hashlib.sha256(files[name]).hexdigest() == digest, name + ": changed since the pack was made")
    need(files["key.txt"].decode().strip() == key.strip(), "key.txt: not the key you trust")
    size, root = checkpoint(files["checkpoint.txt"].decode(), key)
    sent = {}
    numbers = [name[8:-5] for name in files if name.startswith("entries/") and name[8:-5].isdigit()]
    for number in sorted(numbers):
        exact, proof = files[f"entries/{number}.json"], json.loads(files[f"entries/{number}.proof.json"])
        leaf = hashlib.sha256(b"\x00" + bytes.fromhex(proof["salt"]) + exact).digest()
        need(leaf.hex() == proof["leaf"], f"entry {number}: its leaf hash differs")
        need(int(number) == proof["number"] and size == proof["tree_size"], f"entry {number}: another proof")
        try:
            check_inclusion(int(number), size, leaf, [bytes.fromhex(step) for step in proof["path"]], root)
        except Wrong as wrong:
            raise Wrong(f"entry {number}: {wrong}") from None
        entry = json.loads(exact)
        if entry["kind"] == "admitted":
            sent[f"messages/{entry['copy']}.eml"] = entry["sent_sha256"]
        print(f"entry {number}: {entry['at']} {entry['kind']}")
    for name in (name for name in files if name.startswith("messages/") and name.endswith(".eml")):
        need(hashlib.sha256(files[name]).hexdigest() == sent.get(name), name + ": not the bytes that were sent")
        print(f"{name}: byte for byte what was sent")
    print(f"the pack is sound: {len(numbers)} entries under a root over {size}")


def main(path, key):
    if path.endswith(".json"):
        with open(path, encoding="utf-8") as file:
            proof = json.load(file)
        (old, old_root), (new, new_root) = checkpoint(proof["old"], key), checkpoint(proof["new"], key)
        check_consistency(old, old_root, new, new_root, [bytes.fromhex(step) for step in proof["proof"]])
        print(f"the ledger of {new} entries begins with the {old} that were signed earlier")
    else:
        check_pack(path, key)


try:
    main(*sys.argv[1:])
except Wrong as wrong:
    sys.exit(f"WRONG: {wrong}")
