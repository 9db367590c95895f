"""Signs what this door says, and publishes the keys with which anybody can check it.

The private key comes from the settings; every process of an installation has the same. Its public half is written into
the database when the service starts, and stays there when the key is replaced: old receipts stay verifiable.
"""

import asyncio
import logging
import time
from collections.abc import Sequence

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from config.settings import Settings
from config.signing import signer_of
from core.signatures import Signer
from core.usage.intake.signing_keys import PublishedKey, published_keys, take_up

HEADER = b"perimage-signature"
REMEMBERED_SECONDS = 5.0
PAUSE_SECONDS = 1.0
log = logging.getLogger("perimage.signing")


class Signing:
    """What signs receipts in this process, if it has a key. Raises RuntimeError for a key that is none."""

    def __init__(self, settings: Settings) -> None:
        self.signer = signer_of(settings)
        self._known: Sequence[PublishedKey] = ()
        self._known_until = 0.0
        if self.signer:
            log.info("receipts are signed with key %s", self.signer.key_id)
        else:
            log.warning("receipts are not signed: set PERIMAGE_SIGNING_KEY or PERIMAGE_SIGNING_KEY_FILE")

    def headers(self, content: bytes) -> list[tuple[bytes, bytes]]:
        """The header that goes with these bytes; none without a key."""
        return [(HEADER, self.signer.header(content))] if self.signer else []

    async def publish(self, engine: Engine) -> None:
        """Writes the public key into the database as soon as it can be reached."""
        while self.signer and not await asyncio.to_thread(self._published, engine, self.signer):
            await asyncio.sleep(PAUSE_SECONDS)

    @staticmethod
    def _published(engine: Engine, signer: Signer) -> bool:
        try:
            with Session(engine) as session:
                take_up(session, signer.key_id, signer.public_key)
                session.commit()
        except SQLAlchemyError as error:
            log.warning("the public key is not published yet: %s", str(error).splitlines()[0])
            return False
        return True

    def keys(self, session: Session) -> Sequence[PublishedKey]:
        """Every published key. Anybody may ask, so the database is asked every few seconds only."""
        if self._known_until < time.monotonic():
            self._known = published_keys(session)
            self._known_until = time.monotonic() + REMEMBERED_SECONDS
        return self._known
