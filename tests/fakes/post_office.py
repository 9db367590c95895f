"""A real SMTP server that keeps what it is sent, with or without STARTTLS, and refuses what it is told to refuse."""

import ssl
from types import TracebackType
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session


class AnyPort(Controller):
    """A controller that knocks at the port it was given and not at the 0 it asked for."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


class PostOffice:
    """`answers` are taken one by one for recipients, and the last one holds for ever: "250 OK", "550 no such user"."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.letters: list[Envelope] = []
        self.answers = ["250 OK"]
        options = {"tls_context": tls, "require_starttls": True} if tls else {}
        self.controller = AnyPort(self, hostname="127.0.0.1", port=0, **options)

    @property
    def port(self) -> int:
        return int(self.controller.port)

    async def handle_RCPT(  # noqa: N802 - the server looks for this name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: Any
    ) -> str:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.letters.append(envelope)
        return "250 taken"

    def __enter__(self) -> "PostOffice":
        self.controller.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.controller.stop()
