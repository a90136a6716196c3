"""zcc.app_connector.reach: only addresses inside the networks, and the kernel's words in the wire's."""

from __future__ import annotations

import asyncio
import errno
import socket
from ipaddress import ip_address, ip_network

import pytest

from zcc.app_connector.reach import ADDRESS_LIMIT, addresses, refusal
from zcc.mtunnel.errors import Code, Refused

NETWORKS = (ip_network("10.20.0.0/16"), ip_network("fd00:20::/32"))


def reach(host: str, answers: list[str] | Exception | None = None) -> list[str]:
    async def whole() -> list[str]:
        loop = asyncio.get_running_loop()

        async def getaddrinfo(name: str, port: object, **_: object) -> list[object]:
            assert name == host
            if isinstance(answers, Exception):
                raise answers
            return [(0, 0, 0, "", (answer, 0)) for answer in answers or ()]

        loop.getaddrinfo = getaddrinfo  # type: ignore[method-assign, assignment]
        return [str(address) for address in await addresses(host, NETWORKS)]

    return asyncio.run(whole())


def test_a_literal_inside_the_networks_is_opened_as_it_is() -> None:
    assert reach("10.20.1.10") == ["10.20.1.10"]
    assert reach("fd00:20::1") == ["fd00:20::1"]


@pytest.mark.parametrize("host", ["127.0.0.1", "10.21.0.1", "::1", "::ffff:10.20.1.10", "169.254.169.254"])
def test_a_literal_outside_the_networks_is_forbidden(host: str) -> None:
    with pytest.raises(Refused) as refused:
        reach(host)
    assert refused.value.code == Code.FORBIDDEN


def test_a_name_is_resolved_here_and_only_what_lies_inside_is_opened() -> None:
    assert reach("db.example", ["192.0.2.1", "10.20.0.5", "fe80::1%2", "10.20.0.5", "10.20.0.6"]) == [
        "10.20.0.5", "10.20.0.6"]
    assert len(reach("many.example", [f"10.20.0.{last}" for last in range(50)])) == ADDRESS_LIMIT


def test_a_name_that_leads_elsewhere_is_forbidden() -> None:
    with pytest.raises(Refused) as refused:
        reach("rebound.example", ["127.0.0.1"])
    assert refused.value.code == Code.FORBIDDEN


def test_a_name_that_is_not_there_is_not_found() -> None:
    with pytest.raises(Refused) as refused:
        reach("nowhere.example", socket.gaierror(-2, "Name or service not known"))
    assert refused.value.code == Code.NAME_NOT_FOUND


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), Code.REFUSED),
        (TimeoutError(errno.ETIMEDOUT, "timed out"), Code.TIMEOUT),
        (OSError(errno.EHOSTUNREACH, "no route"), Code.UNREACHABLE),
        (OSError(errno.ENETUNREACH, "no route"), Code.UNREACHABLE),
        (PermissionError(errno.EPERM, "not permitted"), Code.FORBIDDEN),
    ],
)
def test_what_the_kernel_says_has_a_code(error: OSError, code: Code) -> None:
    assert refusal(error, str(ip_address("10.20.0.1"))).code == code
