"""The public keys with which receipts can be verified, by anybody and offline."""

from base64 import b64encode
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from core.signatures import ALGORITHM
from service.session import RequestSession

router = APIRouter(tags=["usage"])
CACHED = "public, max-age=300"


class PublicKey(BaseModel):
    """One key. Signatures by a retired key stay good for what was signed with it."""

    key_id: str = Field(description="first 16 hexadecimal digits of the SHA-256 of the public key")
    algorithm: str = Field(examples=[ALGORITHM])
    public_key: str = Field(description="32 bytes in base64")
    created_at: datetime
    retired_at: datetime | None = Field(description="when another key took over; null while this one is in use")


class PublicKeys(BaseModel):
    """Every key that receipts were ever signed with, oldest first."""

    keys: list[PublicKey]


@router.get("/.well-known/perimage-keys.json", summary="Public keys of signed receipts")
def get_keys(request: Request, response: Response, session: RequestSession) -> PublicKeys:
    """With these the header `Perimage-Signature` of a receipt is verified over the exact bytes of its body.

    Keep a copy: keys are added, never taken away."""
    signing: Any = request.app.state.signing
    keys = [
        PublicKey(
            key_id=key.key_id,
            algorithm=ALGORITHM,
            public_key=b64encode(key.public_key).decode(),
            created_at=key.created_at,
            retired_at=key.retired_at,
        )
        for key in signing.keys(session)
    ]
    response.headers["Cache-Control"] = CACHED
    return PublicKeys(keys=keys)
