"""Ed25519 signatures over bytes: what proves to a third party that we said something.

Signing is deterministic (RFC 8032), so the same bytes always get the same signature, on every process that has the key.
"""

from base64 import b64decode, b64encode
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from core.errors import InvalidInput

ALGORITHM = "ed25519"
SEED_BYTES = 32
PUBLIC_KEY_BYTES = 32
KEY_ID_DIGITS = 16


def key_id_of(public_key: bytes) -> str:
    """How a public key is named beside a signature: the first 16 hexadecimal digits of its SHA-256."""
    return sha256(public_key).hexdigest()[:KEY_ID_DIGITS]


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the holder of the private half of this key signed these very bytes."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


class Signer:
    """A private key. It never leaves this object, and is not printed with it."""

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise InvalidInput("invalid_signing_key", f"a signing key is {SEED_BYTES} bytes, not {len(seed)}")
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public_key = self._key.public_key().public_bytes_raw()
        self.key_id = key_id_of(self.public_key)

    @classmethod
    def from_text(cls, text: str) -> "Signer":
        """The key that is written in base64, as settings and key files hold it."""
        try:
            seed = b64decode(text.strip(), validate=True)
        except ValueError:
            raise InvalidInput("invalid_signing_key", f"a signing key is {SEED_BYTES} bytes in base64") from None
        return cls(seed)

    def sign(self, message: bytes) -> bytes:
        """The signature over these bytes: 64 bytes, always the same."""
        return self._key.sign(message)

    def header(self, message: bytes) -> bytes:
        """The signature as it is sent beside the bytes: `keyid="<hex>", ed25519=:<base64>:`."""
        return b'keyid="%s", %s=:%s:' % (self.key_id.encode(), ALGORITHM.encode(), b64encode(self.sign(message)))
