"""The local socket: who may ask, what is answered, and what bounds a question."""

import asyncio
import json
import stat

import pytest

from zcc.connector import local_socket
from zcc.connector.local_socket import LocalSocket
from zcc.errors import ListenError, ZccError


async def echo(question):
    if question.get("fail"):
        raise ZccError("the file is wrong")
    return {"said": question.get("text")}


async def ask(path, *parts, end=True):
    reader, writer = await asyncio.open_unix_connection(str(path))
    try:
        for part in parts:
            writer.write(part)
        if end:
            writer.write_eof()
        return json.loads(await reader.readline())
    finally:
        writer.close()


def run(tmp_path, body):
    async def whole():
        local = LocalSocket(tmp_path / "s", {"echo": echo})
        await local.start()
        try:
            return await body(tmp_path / "s")
        finally:
            await local.close()
            assert not (tmp_path / "s").exists()
    return asyncio.run(whole())  # fmt: skip


def test_only_its_owner_may_open_it(tmp_path):
    async def body(path):
        return stat.S_IMODE(path.stat().st_mode)
    assert run(tmp_path, body) == 0o600  # fmt: skip


def test_a_question_is_answered_by_who_is_asked(tmp_path):
    assert run(tmp_path, lambda path: ask(path, b'{"ask": "echo", "text": "a"}\n')) == {"said": "a"}


@pytest.mark.parametrize(
    ("question", "error"),
    [
        (b'{"ask": "echo", "fail": 1}\n', "the file is wrong"),
        (b'{"ask": "other"}\n', "ask is one of echo"),
        (b'{"ask": ["echo"]}\n', "ask is one of echo"),
        (b"[]\n", "ask is one of echo"),
        (b"no json\n", "one line of JSON"),
        (b"[" * 100_000 + b"\n", "one line of JSON"),
        (b'{"ask": "echo"}', "one line of JSON"),  # no end of line
        (b"", "one line of JSON"),
    ],
)
def test_a_wrong_question_is_told_so(tmp_path, question, error):
    assert error in run(tmp_path, lambda path: ask(path, question))["error"]


def test_a_question_has_a_size_and_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(local_socket, "QUESTION_BYTES", 1000)
    assert "at most 1000 bytes" in run(tmp_path, lambda path: ask(path, b"x" * 5000 + b"\n"))["error"]
    monkeypatch.setattr(local_socket, "QUESTION_S", 0.05)
    assert "no whole question" in run(tmp_path, lambda path: ask(path, b"{", end=False))["error"]


def test_only_so_many_questions_wait(tmp_path):
    async def body(path):
        idle = [await asyncio.open_unix_connection(str(path)) for _ in range(local_socket.WAITING)]
        await asyncio.sleep(0)
        answers = await asyncio.gather(*(ask(path, b'{"ask": "echo"}\n') for _ in range(2)))
        for _, writer in idle:
            writer.close()
        return answers
    assert all("too many questions" in answer["error"] for answer in run(tmp_path, body))  # fmt: skip


def test_a_socket_left_behind_is_taken_over_and_a_missing_directory_is_told(tmp_path):
    (tmp_path / "s").write_text("")
    assert run(tmp_path, lambda path: ask(path, b'{"ask": "echo"}\n')) == {"said": None}
    with pytest.raises(ListenError, match="is its directory there"):
        asyncio.run(LocalSocket(tmp_path / "missing" / "s", {}).start())
