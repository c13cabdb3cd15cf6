#!/usr/bin/env python3
"""Checks signed notes, checkpoints and proofs of a SHA-256 ledger, from the specifications alone.

Python's standard library and the openssl program, nothing of this project: a second opinion on its bytes.
Sources: C2SP signed-note, tlog-checkpoint, tlog-cosignature, tlog-proof; RFC 9162, sections 2.1.3.2 and 2.1.4.2.

usage: verify_ledger.py note VKEY FILE
       verify_ledger.py checkpoint VKEY FILE
       verify_ledger.py proof VKEY FILE ENTRY-FILE
       verify_ledger.py consistency OLD-SIZE OLD-ROOT NEW-SIZE NEW-ROOT HASH...
       verify_ledger.py batch FILE    (a JSON array of these argument lists; prints one line for each)

Prints "ok" and ends with 0, or prints why not and ends with 4.
"""
import base64
import binascii
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile

ED25519, COSIGNATURE = 1, 4
# SubjectPublicKeyInfo of an Ed25519 key up to the key itself (RFC 8410).
SPKI = bytes.fromhex("302a300506032b6570032100")


class Refused(Exception):
    pass


def strict_base64(text):
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused("not base64") from error
    if base64.b64encode(data).decode() != text:
        raise Refused("base64 in another spelling")
    return data


def ed25519(public, message, signature):
    with tempfile.TemporaryDirectory() as directory:
        names = [os.path.join(directory, name) for name in ("key", "message", "signature")]
        for name, data in zip(names, (SPKI + public, message, signature)):
            with open(name, "wb") as file:
                file.write(data)
        key, text, proof = names
        done = subprocess.run(
            ["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", key, "-rawin", "-in", text, "-sigfile", proof],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        return done.returncode == 0


def key_of(vkey):
    match = re.fullmatch(r"([^+\s]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)", vkey)
    if not match:
        raise Refused("no verifier key")
    name, key_id, material = match.group(1), match.group(2), strict_base64(match.group(3))
    if len(material) != 33 or material[0] not in (ED25519, COSIGNATURE):
        raise Refused("a verifier key of another type")
    digest = hashlib.sha256(name.encode() + b"\n" + material).digest()
    if digest[:4].hex() != key_id:
        raise Refused("a verifier key with another id")
    return name, bytes.fromhex(key_id), material[0], material[1:]


def open_note(data, vkey):
    name, key_id, kind, public = key_of(vkey)
    try:
        text = data.decode("utf-8", errors="strict")
    except UnicodeDecodeError as error:
        raise Refused("not UTF-8") from error
    if any(ord(c) < 0x20 and c != "\n" for c in text):
        raise Refused("control characters")
    body, empty, tail = text.rpartition("\n\n")
    if not empty or not tail.endswith("\n"):
        raise Refused("no note")
    body += "\n"
    signed = False
    for line in tail[:-1].split("\n"):
        parts = line.split(" ")
        if len(parts) != 3 or parts[0] != "\u2014" or not parts[1] or "+" in parts[1]:
            raise Refused("a signature line of another form")
        signature = strict_base64(parts[2])
        if len(signature) < 5:
            raise Refused("a signature without bytes")
        if parts[1] != name or signature[:4] != key_id:
            continue
        message, proof = body.encode(), signature[4:]
        if kind == COSIGNATURE:
            time, proof = int.from_bytes(proof[:8], "big"), proof[8:]
            message = b"cosignature/v1\ntime %d\n" % time + message
        if not ed25519(public, message, proof):
            raise Refused("a wrong signature")
        signed = True
    if not signed:
        raise Refused("not signed by this key")
    return body


def decimal(text):
    if not re.fullmatch(r"0|[1-9][0-9]*", text) or int(text) >= 1 << 63:
        raise Refused("no decimal")
    return int(text)


def checkpoint(data, vkey):
    lines = open_note(data, vkey)[:-1].split("\n")
    if len(lines) < 3 or "" in lines:
        raise Refused("no checkpoint")
    root = strict_base64(lines[2])
    if len(root) != 32:
        raise Refused("a root of another length")
    return lines[0], decimal(lines[1]), root


def leaf(data):
    return hashlib.sha256(b"\0" + data).digest()


def node(left, right):
    return hashlib.sha256(b"\1" + left + right).digest()


def included(index, size, value, path, root):
    if not 0 <= index < size:
        raise Refused("an index outside of the tree")
    fn, sn = index, size - 1
    for step in path:
        if sn == 0:
            raise Refused("a proof that is too long")
        if fn & 1 or fn == sn:
            value = node(step, value)
            while not fn & 1 and fn:
                fn >>= 1
                sn >>= 1
        else:
            value = node(value, step)
        fn >>= 1
        sn >>= 1
    if sn or value != root:
        raise Refused("not in the tree")


def consistent(old, old_root, new, new_root, path):
    if not 0 < old <= new:
        raise Refused("sizes that need no proof or have none")
    if old == new:
        if path or old_root != new_root:
            raise Refused("two trees of one size")
        return
    if old & (old - 1) == 0:
        path = [old_root] + path
    if not path:
        raise Refused("a proof that is too short")
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn >>= 1
        sn >>= 1
    fr = sr = path[0]
    for step in path[1:]:
        if sn == 0:
            raise Refused("a proof that is too long")
        if fn & 1 or fn == sn:
            fr, sr = node(step, fr), node(step, sr)
            while not fn & 1 and fn:
                fn >>= 1
                sn >>= 1
        else:
            sr = node(sr, step)
        fn >>= 1
        sn >>= 1
    if sn or fr != old_root or sr != new_root:
        raise Refused("not consistent")


def proof(data, vkey, entry):
    try:
        text = data.decode("utf-8", errors="strict")
    except UnicodeDecodeError as error:
        raise Refused("not UTF-8") from error
    head, empty, note = text.partition("\n\n")
    lines = head.split("\n")
    if not empty or lines.pop(0) != "c2sp.org/tlog-proof@v1":
        raise Refused("no proof")
    if lines and lines[0].startswith("extra "):
        strict_base64(lines.pop(0)[6:])
    if not lines or not lines[0].startswith("index "):
        raise Refused("no index")
    index = decimal(lines.pop(0)[6:])
    path = [strict_base64(line) for line in lines]
    if any(len(step) != 32 for step in path):
        raise Refused("a hash of another length")
    _, size, root = checkpoint(note.encode(), vkey)
    included(index, size, leaf(entry), path, root)


def read(name):
    with open(name, "rb") as file:
        return file.read()


def run(arguments):
    what, rest = arguments[0], arguments[1:]
    if what == "note":
        open_note(read(rest[1]), rest[0])
    elif what == "checkpoint":
        checkpoint(read(rest[1]), rest[0])
    elif what == "proof":
        proof(read(rest[1]), rest[0], read(rest[2]))
    elif what == "consistency":
        old, old_root, new, new_root = decimal(rest[0]), strict_base64(rest[1]), decimal(rest[2]), strict_base64(rest[3])
        consistent(old, old_root, new, new_root, [strict_base64(step) for step in rest[4:]])
    else:
        raise SystemExit(__doc__)


def told(arguments):
    try:
        run(arguments)
        return "ok"
    except Refused as error:
        return "refused: %s" % error


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    if sys.argv[1] == "batch":
        for each in json.loads(read(sys.argv[2])):
            print(told(each))
        sys.exit(0)
    answer = told(sys.argv[1:])
    print(answer)
    sys.exit(0 if answer == "ok" else 4)
