#!/usr/bin/env python3
"""Opens envelope-1-draft.json without any code of Valise, from SEALING.md alone.

Needs Python's `cryptography`, 48 or later. Prints one line and exits 0, or fails at the first value that differs.
"""

import hashlib
import hmac
import json
import pathlib
import struct

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305


def sha256(data):
    return hashlib.sha256(data).digest()


def mac(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()


def xwing_decapsulate(seed, enc):
    """draft-connolly-cfrg-xwing-kem, sections 5.2 and 5.4."""
    expanded = hashlib.shake_256(seed).digest(96)
    mlkem = MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
    x25519 = X25519PrivateKey.from_private_bytes(expanded[64:])
    share = enc[1088:]
    shared = mlkem.decapsulate(enc[:1088]) + x25519.exchange(X25519PublicKey.from_public_bytes(share))
    return hashlib.sha3_256(shared + share + x25519.public_key().public_bytes_raw() + b"\\.//^\\").digest()


def hpke_open(shared_secret, info, ct):
    """RFC 9180, section 5.1, mode base, with KEM 0x647a, KDF 1, AEAD 3; the first message of its context."""
    suite = b"HPKE" + struct.pack(">HHH", 0x647A, 1, 3)

    def extract(salt, label, ikm):
        return mac(salt or bytes(32), b"HPKE-v1" + suite + label + ikm)

    def expand(prk, label, data, length):
        return mac(prk, struct.pack(">H", length) + b"HPKE-v1" + suite + label + data + b"\x01")[:length]

    context = b"\0" + extract(b"", b"psk_id_hash", b"") + extract(b"", b"info_hash", info)
    secret = extract(shared_secret, b"secret", b"")
    key, nonce = expand(secret, b"key", context, 32), expand(secret, b"base_nonce", context, 12)
    return ChaCha20Poly1305(key).decrypt(nonce, ct, b"")


def main():
    path = pathlib.Path(__file__).with_name("envelope-1-draft.json")
    vector = json.loads(path.read_text())
    value = bytes.fromhex
    sender, recipient = vector["sender"], vector["recipient"]
    header, signed = value(vector["header"]), b"valise/1 header\0" + value(vector["header"])

    public = value(sender["signing_public"])
    Ed25519PublicKey.from_public_bytes(public).verify(value(vector["signature"]), signed)
    assert sha256(signed) == value(vector["header_hash"])

    mailbox = recipient["mailbox"].encode()
    info = b"valise/1 wrap\0" + bytes([len(mailbox)]) + mailbox + value(recipient["prekey_id"]) + sha256(signed)
    shared = xwing_decapsulate(value(recipient["xwing_seed"]), value(vector["wrap"]["enc"]))
    plain = hpke_open(shared, info, value(vector["wrap"]["ct"]))
    assert plain == value(vector["cek"]) + b"\0"

    key_id = sha256(value("302a300506032b6570032100") + public)
    message_id = header[header.index(b"\x1a\x10") + 2 :][:16]
    name = sender["mailbox"].encode()
    ctx = sha256(b"valise/1 ctx\0" + struct.pack(">I", 1) + bytes([len(name)]) + name + key_id + message_id)
    assert ctx == value(vector["ctx"])
    prk = mac(ctx, plain[:32])
    commitment = mac(prk, b"commit\x01")
    assert commitment == value(vector["commitment"]) and commitment in header

    for number, part in enumerate(vector["parts"]):
        (segment,) = map(value, part["segments"])
        key = mac(prk, b"part" + struct.pack(">I", number) + b"\x01")
        padded = ChaCha20Poly1305(key).decrypt(bytes(11) + b"\x01", segment, ctx)
        assert padded.rstrip(b"\0") == value(part["plaintext"]) + b"\x80"
        assert sha256(b"\0" + segment) in header
    print(f"opened: {len(vector['parts'])} parts")


main()
