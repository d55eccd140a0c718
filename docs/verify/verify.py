#!/usr/bin/env python3
"""Check a Sluis evidence pack, or a proof between two checkpoints, with the public key alone.

    verify.py pack.zip   "name+id+base64"    the pack
    verify.py proof.json "name+id+base64"    that a later ledger begins with an earlier one (several keys: either)

Written anew from docs/ledger-format.md and the RFC. Needs Python 3.8 and the package `cryptography`.
"""
import base64
import hashlib
import json
import sys
import zipfile
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

class Wrong(Exception): """Something does not hold."""

def need(holds, what):
    if not holds:
        raise Wrong(what)

def open_note(note, *keys):
    """The text of a signed note (c2sp.org/signed-note), once its Ed25519 signature by one of `keys` holds."""
    at = note.rindex("\n\n")
    for key in keys:
        name, key_id, public = key.split("+", 2)
        public = base64.b64decode(public)
        digest = hashlib.sha256(name.encode() + b"\n" + public).digest()[:4]
        need(public[0] == 1 and len(public) == 33 and digest.hex() == key_id, "that is no public key")
        for line in note[at + 2:].splitlines():
            dash, signer, signature = line.split(" ")
            raw = base64.b64decode(signature)
            if dash == "\u2014" and signer == name and raw[:4] == digest:
                Ed25519PublicKey.from_public_bytes(public[1:]).verify(raw[4:], note[: at + 1].encode())
                return note[: at + 1]
    raise Wrong("not signed by this key")

def family(files, key):
    """The key and those it vouches for: a change of keys (keys/N.txt) is signed by the old and by the new one."""
    keys = [key]
    for known in keys:
        for note in (files[name].decode() for name in files if name.startswith("keys/")):
            title, *pair = note.split("\n")[:3]
            if known in pair and title == "sluis ledger keys v1" and all(open_note(note, one) for one in pair):
                keys += [one for one in pair if one not in keys]
    return keys

def checkpoint(note, *keys):
    """Size and root of a checkpoint (c2sp.org/tlog-checkpoint)."""
    lines = open_note(note, *keys).split("\n")
    need(lines[0] == keys[0].split("+")[0], "the checkpoint is of another gateway")
    return int(lines[1]), base64.b64decode(lines[2])

def climb(fn, sn, fr, sr, path):
    """The roots that a path leads to, of the earlier and of the later tree (RFC 9162 2.1.3.2 and 2.1.4.2)."""
    node = lambda left, right: hashlib.sha256(b"\x01" + left + right).digest()
    for step in path:
        need(sn > 0, "the path is too long")
        if fn & 1 or fn == sn:
            fr, sr = node(step, fr), node(step, sr)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node(sr, step)
        fn, sn = fn >> 1, sn >> 1
    need(sn == 0, "the path is too short")
    return fr, sr

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
    same = path and climb(fn, sn, path[0], path[0], path[1:]) == (old_root, new_root)
    need(same, "the later ledger does not begin with the earlier one")

def sha256_of(file):
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()

def check_pack(path, key):
    with zipfile.ZipFile(path) as pack:
        names = pack.namelist()
        need(len(names) == len(set(names)), "two files have the same name")
        hashes = {name: sha256_of(pack.open(name)) for name in names}
        large = ("messages/", "evidence/")  # all of them together may not fit into memory
        files = {name: pack.read(name) for name in names if not name.startswith(large)}
    keys, own = family(files, key), files["key.txt"].decode().strip()
    need(own in keys, "key.txt: not the key you trust, nor one that it vouches for")
    lines = open_note(files["files.txt"].decode(), own).splitlines()
    need(lines[0] == "sluis evidence pack v1", "files.txt is signed, but not a list of files")
    listed = dict(reversed(line.split("  ", 1)) for line in lines if line[64:66] == "  ")
    need(set(listed) | {"files.txt"} == set(names), "a file was added or removed")
    for name, digest in listed.items():
        need(hashes[name] == digest, name + ": changed since the pack was made")
    size, root = checkpoint(newest := files["checkpoint.txt"].decode(), own)
    entries, numbers = [], [name[8:-5] for name in files if name.startswith("entries/") and name[8:-5].isdigit()]
    for number in sorted(numbers):
        exact, proof = files[f"entries/{number}.json"], json.loads(files[f"entries/{number}.proof.json"])
        leaf = hashlib.sha256(b"\x00" + bytes.fromhex(proof["salt"]) + exact).digest()
        need(leaf.hex() == proof["leaf"], f"entry {number}: its leaf hash differs")
        need(int(number) == proof["number"] and size == proof["tree_size"], f"entry {number}: another proof")
        climbed = climb(int(number), size - 1, leaf, leaf, [bytes.fromhex(step) for step in proof["path"]])
        need(int(number) < size and climbed[1] == root, f"entry {number}: not in the signed ledger at this place")
        entries.append(json.loads(exact))
        need(entries[-1]["origin"] == key.split("+")[0], f"entry {number}: of another gateway")
        print(f"entry {number}: {entries[-1]['at']} {entries[-1]['kind']}")
    sent = {f"messages/{one['copy']}.eml": one["sent_sha256"] for one in entries if one["kind"] == "admitted"}
    named = {one["file"]["sha256"]: one["file"]["name"] for one in entries if one["kind"] == "evidence"}
    for name in sorted(name for name in files if name.startswith("anchors/") and name.endswith(".json")):
        proof = json.loads(files[name])
        need((proof["old"], proof["new"]) == (files[name[:-4] + "txt"].decode(), newest), name + ": of others")
        print(f"{name}: {size} entries begin with the {check_proof(proof, *keys)[0]} of this anchor")
    for name in (name for name in names if name.startswith("messages/") and name.endswith(".eml")):
        need(hashes[name] == sent.get(name), name + ": not the bytes that were sent")
        print(f"{name}: byte for byte what was sent")
    shown = [name for name in names if name.startswith("evidence/")]
    before = lines[4][:7] in ("page 1 ", "page 2 ")  # packs held no such files
    need(before or {name[9:73] for name in shown} == set(named), "evidence/: not the files that the entries name")
    missing = [name for name in shown if name.endswith(".missing.txt")]
    for name in set(shown) - set(missing):
        need(hashes[name] == name[9:73] in named, name + ": not the file of an entry")
        print(f"{name}: the file {named[name[9:73]]} that an entry names")
    print(f"the pack is sound: {len(numbers)} entries under a root over {size}")
    need(not missing, "but files that its entries name are not in it: " + " ".join(missing))

def check_proof(proof, *keys):
    (old, old_root), (new, new_root) = checkpoint(proof["old"], *keys), checkpoint(proof["new"], *keys)
    check_consistency(old, old_root, new, new_root, [bytes.fromhex(step) for step in proof["proof"]])
    return old, new

def main(path, *keys):
    if not path.endswith(".json"):
        return check_pack(path, keys[0])
    old, new = check_proof(json.load(open(path, encoding="utf-8")), *keys)
    print(f"the ledger of {new} entries begins with the {old} that were signed earlier")

try:
    main(*(argument.strip() for argument in sys.argv[1:]))
except (Wrong, InvalidSignature) as wrong:
    sys.exit(f"WRONG: {str(wrong) or 'the signature does not hold'}")
