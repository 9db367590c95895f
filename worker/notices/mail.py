"""One notice by e-mail: plain text in plain words, over SMTP.

`smtp://user:password@host:587` begins with STARTTLS and goes no further without it; `smtps://` is encrypted from its
first byte; `smtp+plain://` is for a relay on the same machine. Whatever a name or an address holds cannot add a header:
the message is built by `email`, which refuses line breaks, and an address must be one address.
"""

import smtplib
import ssl
import time
from datetime import UTC
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from functools import cache
from typing import Any
from urllib.parse import unquote, urlsplit

from core.errors import InvalidInput
from core.notices.deliver import Outcome, Parcel
from core.notices.wording import written

PATIENCE = 20.0  # seconds for each answer of the server
PORTS = {"smtp": 587, "smtps": 465, "smtp+plain": 25}


def letter(parcel: Parcel, mail_from: str) -> EmailMessage:
    """The message, with the same Message-ID at every attempt. Raises `InvalidInput` for what is not an address."""
    sender, to = one_address(mail_from), one_address(parcel.address)
    subject, text = written(parcel.kind, parcel.data, parcel.language, parcel.locale)
    message = EmailMessage(policy=SMTP)
    message["From"] = Address(display_name=_one_line(parcel.licensor), addr_spec=sender.addr_spec)
    message["To"] = to
    message["Subject"] = subject
    message["Date"] = format_datetime(parcel.told_at.astimezone(UTC))
    message["Message-ID"] = f"<{parcel.message_id}.{parcel.delivery_id}@{sender.domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text)
    return message


def one_address(text: str) -> Address:
    """`text` as one plain e-mail address: no name, no list, no line break."""
    try:
        found = Address(addr_spec=text)
    except (MessageError, ValueError, IndexError):
        found = None
    if found is None or found.addr_spec != text or not text.isprintable() or not text.isascii() or not found.domain:
        raise InvalidInput("bad_address", f"{text[:200]!r} is not one e-mail address such as billing@example.com")
    return found


def send_mail(parcel: Parcel, smtp_url: str, mail_from: str, *, tls: ssl.SSLContext | None = None) -> Outcome:
    """Makes one attempt. A recipient refused for good is refused; everything else may be better later."""
    began = time.monotonic()

    def came_to(result: Any, said: str, status: int | None = None) -> Outcome:
        return Outcome(result, said, status, int((time.monotonic() - began) * 1000))

    if not smtp_url or not mail_from:
        return came_to("failed", "no mail server: set PERIMAGE_SMTP_URL and PERIMAGE_MAIL_FROM")
    try:
        message = letter(parcel, mail_from)
    except InvalidInput as error:
        return came_to("refused", error.sentence)
    try:
        with _connected(smtp_url, tls or _tls()) as server:
            server.send_message(message, from_addr=mail_from, to_addrs=[parcel.address])
    except smtplib.SMTPRecipientsRefused as error:
        code, said = next(iter(error.recipients.values()))
        return came_to("refused" if code >= 500 else "failed", _text(said), code)
    except smtplib.SMTPResponseException as error:
        return came_to("failed", _text(error.smtp_error), error.smtp_code)
    except (smtplib.SMTPException, OSError, ValueError) as error:
        return came_to("failed", f"the mail server did not take it: {error or type(error).__name__}")
    return came_to("delivered", "taken by the mail server", 250)


def _connected(smtp_url: str, tls: ssl.SSLContext) -> smtplib.SMTP:
    parts = urlsplit(smtp_url)
    if parts.scheme not in PORTS or not parts.hostname:
        raise ValueError("PERIMAGE_SMTP_URL is written smtp://user:password@host:587")
    port = parts.port or PORTS[parts.scheme]
    if parts.scheme == "smtps":
        server: smtplib.SMTP = smtplib.SMTP_SSL(parts.hostname, port, timeout=PATIENCE, context=tls)
    else:
        server = smtplib.SMTP(parts.hostname, port, timeout=PATIENCE)
    try:
        if parts.scheme == "smtp":
            server.starttls(context=tls)
        if parts.username:
            server.login(unquote(parts.username), unquote(parts.password or ""))
    except BaseException:
        server.close()
        raise
    return server


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def _one_line(text: str) -> str:
    return "".join(each if each.isprintable() else " " for each in text)


def _text(said: bytes | str) -> str:
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else said
