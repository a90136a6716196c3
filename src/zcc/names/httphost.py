"""HTTP host: the authority that the first request of an HTTP/1 connection names.

Journey: zcc.names.reader → here, each time more of the beginning is there. The target in absolute form counts more than the
Host field, and so does the authority of CONNECT. Total. HTTP/2 with prior knowledge has no name that can be read without its
header compression: it is UNREAD.
Spec: RFC 9112 §2.2, §3, §3.2, §5; RFC 9110 §5.6.2, §7.2.
"""

from __future__ import annotations

import re

from zcc.names.said import NO_NAME, NOT_WEB, UNREAD, How, Said, of_host

__all__ = ["read_request"]

EMPTY_LINES = 2  # before a request; one is to be ignored, a second does no harm
TARGET = re.compile(rb"[!-~\x80-\xff]+")
METHOD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}")  # a token; longer ones are no method
TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
VERSION = re.compile(rb"HTTP/(\d)\.(\d)")
ABSOLUTE = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://([^/?#]*)")
AUTHORITY = re.compile(rb"(\[[^\]]*\]|[^:\[\]@]*)(?::\d*)?")  # with user and password: neither, RFC 9110 §4.2.4
END = re.compile(rb"\r?\n")
CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
PREFACE = b"PRI * HTTP/2.0"


def read_request(data: bytes) -> Said | None:
    """Read the first request of a stream as far as the end of its fields; None = more octets are needed."""
    begin = 0
    for _ in range(EMPTY_LINES):
        empty = END.match(data, begin)
        begin = empty.end() if empty else begin
    if data[begin:] in (b"", b"\r"):
        return None
    word = METHOD.match(data, begin)
    if word is None or (word.end() < len(data) and data[word.end()] != 0x20):
        return NOT_WEB
    lines = END.split(data[begin:])
    if len(lines) == 1:
        # What can be no request any more need not be waited for.
        rest = lines[0][word.end() - begin + 1 :]
        return None if all(0x20 <= octet != 0x7F for octet in rest.removesuffix(b"\r")) else NOT_WEB
    return _of_lines(lines, whole=b"" in lines[:-1])


def _of_lines(lines: list[bytes], *, whole: bool) -> Said | None:
    """The answer of a request line and the fields behind it; `whole`: the empty line is among them."""
    if lines[0] == PREFACE:
        return UNREAD
    parts = lines[0].split(b" ")
    version = VERSION.fullmatch(parts[2]) if len(parts) == 3 else None
    if version is None or TARGET.fullmatch(parts[1]) is None or version[1] != b"1":
        return NOT_WEB
    method, target = parts[0], parts[1]
    if not whole:
        return None
    hosts = []
    for line in lines[1 : lines.index(b"", 1)]:
        name, colon, value = line.partition(b":")
        # A continued line, a space in front of the colon, a bare CR: read as a field by some servers and not by others.
        if not colon or TOKEN.fullmatch(name) is None or CONTROL.search(value):
            return UNREAD
        if name.lower() == b"host":
            hosts.append(value.strip(b" \t"))
    absolute = ABSOLUTE.match(target)
    if method == b"CONNECT":
        return _of_authority(target)
    if absolute is not None:
        return _of_authority(absolute[1])
    if len(hosts) > 1:
        return UNREAD
    return _of_authority(hosts[0]) if hosts else NO_NAME


def _of_authority(text: bytes) -> Said:
    host = AUTHORITY.fullmatch(text)
    if host is None:
        return UNREAD
    return of_host(host[1], How.HOST) if host[1] else NO_NAME
