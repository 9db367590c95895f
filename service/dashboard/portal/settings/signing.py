"""The public keys with which receipts and statements can be checked by anybody, offline."""

from base64 import b64encode

from fastapi import Request
from starlette.responses import Response

from core.usage.intake.signing_keys import published_keys
from service.dashboard.portal.settings.router import router, settings_page
from service.dashboard.signed_in import PortalEyes, PortalViewer


@router.get("/signing")
def portal_signing(request: Request, _person: PortalViewer, eyes: PortalEyes) -> Response:
    keys = [(each, b64encode(each.public_key).decode()) for each in reversed(published_keys(eyes))]
    return settings_page(request, "signing.html", "Receipts", keys=keys)
