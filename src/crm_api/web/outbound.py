"""Connections to addresses that tenants name: resolved first, refused when not public, pinned, no redirects.

A tenant could otherwise make this server call the cloud's metadata service or the merchant's database (server-side
request forgery). The name is resolved once, every address it has is checked, and the connection goes to the checked
address, so a name that answers differently the second time gains nothing.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import httpx

MAX_ANSWER: Final = 64 * 1024
"""Bytes of an answer that are read."""

_INSIDE: Final = tuple(
    ipaddress.ip_network(text)
    for text in ("168.63.129.16", "192.0.0.0/24", "64:ff9b:1::/48", "100::/64", "2001::/23", "3fff::/20", "5f00::/16")
)
"""Not for the public, though not every Python says so: Azure's wire server, and IANA's special-purpose registries."""

_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class ForbiddenAddressError(Exception):
    """The name leads to an address that tenants may not reach."""


class UnknownHostError(Exception):
    """The name leads nowhere (now)."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What came back: at most ``MAX_ANSWER`` bytes of it."""

    status: int
    body: bytes


def is_public(address: Address) -> bool:
    """Tell whether an address is on the public internet: not private, loopback, link-local, multicast or metadata."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = _embedded(address)
        if inner is not None:
            return is_public(inner)
        if address.is_site_local:
            return False
    if address.is_multicast or address.is_reserved or any(address in network for network in _INSIDE):
        return False
    return address.is_global


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address a packet to this one would reach: mapped, 6to4, Teredo, NAT64."""
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address.teredo is not None:
        return address.teredo[1]
    return address.ipv4_mapped or address.sixtofour


async def resolve(host: str, port: int, *, private: bool) -> str:
    """Return the address to connect to.

    Args:
        host: name or address.
        port: of the service.
        private: whether addresses inside the network will do (development).

    Raises:
        ForbiddenAddressError: one of the name's addresses is not public.
        UnknownHostError: there is none.

    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UnknownHostError(f"the name {host} cannot be resolved") from error
    addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
    if not addresses:
        raise UnknownHostError(f"the name {host} has no address")
    if not private and not all(is_public(each) for each in addresses):
        raise ForbiddenAddressError(f"{host} is not on the public internet")
    return str(addresses[0])


async def connect(host: str, port: int, *, private: bool, seconds: float) -> socket.socket:
    """Return a socket connected to a checked address."""
    address = await resolve(host, port, private=private)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    connection = socket.socket(family, socket.SOCK_STREAM)
    connection.setblocking(False)
    try:
        async with asyncio.timeout(seconds):
            await asyncio.get_running_loop().sock_connect(connection, (address, port))
    except BaseException:
        connection.close()
        raise
    return connection


async def post(
    url: str,
    headers: Mapping[str, str],
    content: bytes,
    *,
    private: bool,
    seconds: float,
    auth: tuple[str, str] | None = None,
) -> HttpAnswer:
    """POST to an address a tenant named and return the beginning of the answer.

    Raises:
        ForbiddenAddressError: it is not on the public internet.
        UnknownHostError: its name leads nowhere.
        TimeoutError, httpx.TransportError: no answer.

    """
    parts = httpx.URL(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    async with (
        asyncio.timeout(seconds),
        httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=seconds) as client,
    ):
        address = await resolve(parts.host, port, private=private)
        # The connection goes to the checked address; Host and the certificate stay the name's.
        request = client.build_request(
            "POST",
            parts.copy_with(host=address),
            headers={**headers, "host": parts.netloc.decode("ascii")},
            content=content,
            extensions={"sni_hostname": parts.raw_host.decode("ascii")},
        )
        answer = await client.send(request, stream=True, auth=auth)
        try:
            return HttpAnswer(answer.status_code, await _beginning(answer))
        finally:
            await answer.aclose()


async def _beginning(answer: httpx.Response) -> bytes:
    read = bytearray()
    async for chunk in answer.aiter_raw():
        read += chunk
        if len(read) >= MAX_ANSWER:
            break
    return bytes(read[:MAX_ANSWER])
