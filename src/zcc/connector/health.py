"""Health: whether packets given to this connector would be forwarded, and the HTTP answer that GWLB asks for.

Journey: the daemon observes its parts → `assess` says what is broken → `GET /?cchealth` is 200, or 503
with the reasons. GWLB sends new flows elsewhere after some answers of 503; flows it has stay.
Spec: RFC 9110, RFC 9112. The parser is total on any bytes and takes nothing that two readers could read
differently. One request a connection: health checks come seconds apart, and an idle connection would only
be a place to hide. It changes nothing: asking has no effect on what is asked about.
"""

import asyncio
import contextlib
import json
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from zcc.clock import Clock
from zcc.errors import ListenError

HEARTBEAT_LIMIT_NS = 2_000_000_000  # a worker's turn takes milliseconds
HEAD_LIMIT = 8192  # RFC 9112 §3 asks for 8000 octets of request line alone
CONNECTION_LIMIT = 64
PATIENCE_S = 5.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Way:
    """A way out that the policy may use."""

    used: bool  # some rule, or the default, sends flows there
    up: bool  # an edge is connected
    fails_open: bool = False  # without an edge its flows are forwarded otherwise


@dataclass(frozen=True, slots=True)
class Observed:
    """The parts of a connector, as they are now."""

    heartbeat_ns: int  # monotonic, of the worker's last turn; 0 = not yet
    device: bool  # the device to the kernel exists and is up
    zia: Way
    zpa: Way
    draining: bool


@dataclass(frozen=True, slots=True)
class Assessment:
    """A verdict and what it rests on."""

    healthy: bool
    stages: dict[str, str]  # stage → "ok", "not used", "fails open", or what is wrong


def assess(observed: Observed, now_ns: int) -> Assessment:
    """Judge whether packets can be forwarded.

    Args:
        now_ns: monotonic.
    """
    age_ns = now_ns - observed.heartbeat_ns
    worker = "" if age_ns < HEARTBEAT_LIMIT_NS else f"no sign of life for {age_ns // 1_000_000} ms"
    wrong = {
        "worker": worker if observed.heartbeat_ns else "not started",
        "device": "" if observed.device else "down",
        "zia": _wrong_with(observed.zia),
        "zpa": _wrong_with(observed.zpa),
        "draining": "draining" if observed.draining else "",
    }
    stages = {name: problem or "ok" for name, problem in wrong.items()}
    for name, way in (("zia", observed.zia), ("zpa", observed.zpa)):
        if not way.used:
            stages[name] = "not used"
        elif not way.up and way.fails_open:
            stages[name] = "no edge is up; fails open"
    return Assessment(not any(wrong.values()), stages)


def _wrong_with(way: Way) -> str:
    return "no edge is up" if way.used and not way.up and not way.fails_open else ""


class HealthServer:
    """Answers `GET /?cchealth`."""

    def __init__(self, host: str, port: int, observe: Callable[[], Observed], clock: Clock) -> None:
        """Prepare; nothing is bound before `start`.

        Args:
            host, port: where to listen; port 0 = any.
            observe: looks at the parts of the connector; called for each request, must not raise or wait.
        """
        self._address = (host, port)
        self._observe = observe
        self._clock = clock
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.StreamWriter, None] = {}
        self._healthy: bool | None = None

    async def start(self) -> None:
        """Listen.

        Raises:
            ListenError: the address cannot be bound.
        """
        host, port = self._address
        try:
            self._server = await asyncio.start_server(self._serve, host, port, limit=HEAD_LIMIT)
        except OSError as error:
            raise ListenError(f"health: {host} port {port}: {error.strerror}; change health") from None

    @property
    def port(self) -> int:
        """Port listened on; valid after `start`."""
        if self._server is None:
            raise ValueError("the server has not been started")
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stop listening; again is no error."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._open:
            writer.transport.abort()

    def verdict(self) -> Assessment:
        """Judge now, and log when the verdict changes."""
        found = assess(self._observe(), self._clock.monotonic_ns())
        if found.healthy != self._healthy:
            level = logging.INFO if found.healthy else logging.WARNING
            log.log(level, "health is %s: %s", "200" if found.healthy else "503", found.stages)
            self._healthy = found.healthy
        return found

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open[writer] = None
        if len(self._open) > CONNECTION_LIMIT:
            # The oldest has had the most time to ask; whoever holds connections open must not silence the
            # checks.
            next(iter(self._open)).transport.abort()
        try:
            async with asyncio.timeout(PATIENCE_S):
                writer.write(self._answer(await _read_head(reader)))
                await writer.drain()
        except (TimeoutError, OSError):
            log.debug("health: a connection sent no whole request")
        finally:
            del self._open[writer]
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def _answer(self, head: bytes | int) -> bytes:
        status, method = (head, "GET") if isinstance(head, int) else read_request(head)
        if status != 200:
            return _response(status, {"status": _REASONS[status]}, with_body=method != "HEAD")
        found = self.verdict()
        body = {"status": "ok" if found.healthy else "unhealthy", "stages": found.stages}
        return _response(200 if found.healthy else 503, body, with_body=method != "HEAD")


async def _read_head(reader: asyncio.StreamReader) -> bytes | int:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        return 431
    except asyncio.IncompleteReadError:
        return 400


_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed",
            431: "Request Header Fields Too Large", 503: "Service Unavailable",
            505: "HTTP Version Not Supported"}  # fmt: skip
_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # RFC 9110 §5.6.2
_REQUEST_LINE = re.compile(rb"(" + _TOKEN + rb") ([\x21-\x7e]+) HTTP/(\d)\.(\d)")
_FIELD_LINE = re.compile(rb"(" + _TOKEN + rb"):[ \t]*([\x20-\x7e\x80-\xff\t]*)")
_ORIGIN = re.compile(rb"http://[^/?#]+(/[^#]*)?", re.IGNORECASE)


def read_request(head: bytes) -> tuple[int, str]:
    """Read a request's head.

    Args:
        head: everything up to and including the empty line.
    Returns:
        (status, method): 200 when it asks for health, else the error to answer; method is "" when unreadable.
    Source: RFC 9112 §2.2 (no bare CR or LF), §3 (request line), §3.2 (Host), §5 (field lines, no folding).
    """
    line, *fields = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    request = _REQUEST_LINE.fullmatch(line)
    if request is None:
        return 400, ""
    method = request[1].decode("ascii")
    if request[3] != b"1":
        return 505, method
    hosts = 0
    for one in fields:
        found = _FIELD_LINE.fullmatch(one)
        if found is None:
            return 400, method
        hosts += found[1].lower() == b"host"
    if hosts > 1 or (hosts == 0 and request[4] != b"0"):
        return 400, method
    if method not in ("GET", "HEAD"):
        return 405, method
    target = request[2]
    absolute = _ORIGIN.fullmatch(target)
    if absolute is not None:
        target = absolute[1] or b"/"
    return (200 if target == b"/?cchealth" else 404), method


def _response(status: int, body: Mapping[str, object], *, with_body: bool) -> bytes:
    text = json.dumps(body).encode() + b"\n"
    lines = [f"HTTP/1.1 {status} {_REASONS[status]}", "Content-Type: application/json",
             f"Content-Length: {len(text)}", "Cache-Control: no-store", "Connection: close"]  # fmt: skip
    if status == 405:
        lines.append("Allow: GET, HEAD")
    return "\r\n".join([*lines, "", ""]).encode() + (text if with_body else b"")
