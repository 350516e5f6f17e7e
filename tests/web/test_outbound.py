"""Which addresses tenants may make this server connect to."""

import asyncio
import ipaddress
import socket

import pytest

from crm_api.web import outbound

PRIVATE = [
    "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.100.100.200", "0.0.0.0",  # noqa: S104
    "168.63.129.16", "224.0.0.1", "255.255.255.255", "192.0.0.192", "198.18.0.1", "::1", "::", "fe80::1", "fc00::1",
    "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::", "2002:a9fe:a9fe::1", "2001:db8::1", "fec0::1",
]  # fmt: skip
PUBLIC = ["8.8.8.8", "223.5.5.5", "2400:3200::1", "64:ff9b::808:808", "::ffff:8.8.8.8"]


@pytest.mark.parametrize("address", PRIVATE)
def test_not_public(address):
    assert not outbound.is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_public(address):
    assert outbound.is_public(ipaddress.ip_address(address))


def answers(monkeypatch, *rounds):
    """Let the resolver answer each question with the next list of addresses; returns the questions."""
    asked = []

    async def getaddrinfo(_loop, host, port, **_how):
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in rounds[len(asked) - 1]]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo)
    return asked


@pytest.mark.asyncio
class TestResolve:
    async def test_one_private_address_is_enough_to_refuse(self, monkeypatch):
        answers(monkeypatch, ["8.8.8.8", "127.0.0.1"])
        with pytest.raises(outbound.ForbiddenAddressError):
            await outbound.resolve("example.com", 443, private=False)

    async def test_a_name_that_changes_its_mind_is_asked_once(self, monkeypatch):
        """The connection goes to the address that was checked, whatever the name says a moment later."""
        asked = answers(monkeypatch, ["203.0.113.1"], ["127.0.0.1"])
        monkeypatch.setattr(outbound, "is_public", lambda address: str(address) == "203.0.113.1")
        tried = []

        async def sock_connect(_loop, _socket, address):
            tried.append(address)
            raise ConnectionRefusedError

        monkeypatch.setattr(asyncio.selector_events.BaseSelectorEventLoop, "sock_connect", sock_connect)
        with pytest.raises(ConnectionRefusedError):
            await outbound.connect("rebind.example", 25, private=False, seconds=1)
        assert (asked, tried) == (["rebind.example"], [("203.0.113.1", 25)])

    async def test_numbers_in_disguise(self):
        for host in ("2130706433", "0x7f.1", "127.1", "localhost"):
            with pytest.raises((outbound.ForbiddenAddressError, outbound.UnknownHostError)):
                await outbound.resolve(host, 80, private=False)
