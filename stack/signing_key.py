"""The key with which a stack signs receipts: made once, kept in its data folder, read by its user alone."""

import os
from base64 import b64encode
from pathlib import Path

SIGNING_KEY_FILE = "signing.key"
SEED_BYTES = 32


def signing_key_file(data: Path) -> Path:
    """The file, made if it is not there yet. It appears whole or not at all, and is never replaced.

    Ask only while you hold the lock of the data folder.
    """
    file = data / SIGNING_KEY_FILE
    if file.exists():
        return file
    unfinished = file.with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    number = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(number, "wb") as writing:
        writing.write(b64encode(os.urandom(SEED_BYTES)) + b"\n")
        writing.flush()
        os.fsync(writing.fileno())
    unfinished.rename(file)
    return file
