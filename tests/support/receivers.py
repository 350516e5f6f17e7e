"""Real servers that messages are sent to: SMTP (aiosmtpd) and HTTP."""

import asyncio
import email.policy
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult


@dataclass
class Mailbox:
    """What an SMTP server took, and what it says to the next messages."""

    port: int = 0
    letters: list[EmailMessage] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    logins: list[tuple[bytes, bytes]] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    pause: float = 0

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Take a message, unless told to refuse it."""
        del server
        await asyncio.sleep(self.pause)
        if self.answers:
            return self.answers.pop(0)
        self.encrypted.append(session.ssl is not None)
        letter = message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(letter, EmailMessage)
        self.letters.append(letter)
        return "250 OK queued as Q1"

    def authenticate(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        """Let ``shop`` with ``password`` in."""
        self.logins.append((data.login, data.password))
        return AuthResult(success=(data.login, data.password) == (b"shop", b"password"), handled=False)


@asynccontextmanager
async def smtp_server(
    *, context: ssl.SSLContext | None = None, tls: bool = False, auth: bool = False
) -> AsyncIterator[Mailbox]:
    """Run a mail server; with a context it offers STARTTLS, or speaks TLS from the start."""
    mailbox = Mailbox()

    def make() -> SMTP:
        return SMTP(
            mailbox,
            hostname="localhost",
            tls_context=None if tls else context,
            authenticator=mailbox.authenticate if auth else None,
            auth_required=auth,
            enable_SMTPUTF8=True,
        )

    loop = asyncio.get_running_loop()
    server = await loop.create_server(make, "127.0.0.1", 0, ssl=context if tls else None)
    mailbox.port = server.sockets[0].getsockname()[1]
    try:
        yield mailbox
    finally:
        server.close()


def self_signed(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """Return a server's context for the name localhost, and the certificate to trust."""
    key, certificate = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context, certificate


@dataclass(frozen=True)
class Posted:
    """A request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Provider:
    """What an HTTP server received, and what it answers next: (status, body, further headers)."""

    url: str = ""
    requests: list[Posted] = field(default_factory=list)
    answers: list[tuple[int, bytes, dict[str, str]]] = field(default_factory=list)
    pause: float = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request, unless who sends it dies meanwhile."""
        with suppress(asyncio.IncompleteReadError):
            await self._answer(reader, writer)
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        method, path, _ = first.split(" ")
        self.requests.append(Posted(method, path, headers, body))
        await asyncio.sleep(self.pause)
        status, answer, more = self.answers.pop(0) if self.answers else (200, b'{"code":"OK","id":"P1"}', {})
        extra = "".join(f"{name}: {value}\r\n" for name, value in more.items())
        head = f"HTTP/1.1 {status} X\r\ncontent-length: {len(answer)}\r\nconnection: close\r\n{extra}\r\n"
        writer.write(head.encode() + answer)
        with suppress(ConnectionError):
            await writer.drain()


@asynccontextmanager
async def http_receiver() -> AsyncIterator[Provider]:
    """Run an HTTP server that notes what it is sent."""
    provider = Provider()
    server = await asyncio.start_server(provider.serve, "127.0.0.1", 0)
    provider.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield provider
    finally:
        server.close()
