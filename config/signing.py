"""The key with which this installation signs, read from where the settings say. Every process has the same."""

from pathlib import Path

from config.settings import Settings
from core.errors import PerimageError
from core.signatures import Signer


def signer_of(settings: Settings) -> Signer | None:
    """What signs receipts and statements; None without a key. Raises RuntimeError for a key that is none."""
    text = settings.signing_key
    try:
        if not text and settings.signing_key_file:
            text = Path(settings.signing_key_file).read_text()
        return Signer.from_text(text) if text else None
    except OSError as error:
        raise RuntimeError(f"the signing key cannot be read from {settings.signing_key_file}: {error}") from error
    except (PerimageError, UnicodeDecodeError) as error:
        where = "PERIMAGE_SIGNING_KEY" if settings.signing_key else str(settings.signing_key_file)
        raise RuntimeError(f"{where}: {error}") from error
