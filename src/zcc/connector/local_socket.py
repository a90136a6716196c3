"""LocalSocket: questions to the running connector from its own machine, one a connection, as lines of JSON.

    → {"ask": "preview", "file": "role: connector\\n…"}     ← {"looked_at": …, "changed": …, "cut": …, "changes": […]}
    → anything else, or a wrong file                        ← {"error": "…"}

Journey: `zcc policy preview` ▶ here ▶ who answers. A Unix socket in the state directory that only its owner may open (0600):
whoever can ask could read the configuration anyway. A question and the time it takes are bounded, and questions wait for each
other; nothing can be changed by asking. One thread, the event loop's.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from zcc.errors import ListenError, ZccError

__all__ = ["NAME", "Answerer", "LocalSocket"]

NAME = "connector.sock"
QUESTION_BYTES = 1 << 24
QUESTION_S = 10.0  # to send a question whole
ANSWER_S = 120.0
WAITING = 8  # questions that may wait
log = logging.getLogger(__name__)

Answerer = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]


class LocalSocket:
    """Listens; `answerers` by what is asked."""

    def __init__(self, path: Path, answerers: Mapping[str, Answerer]) -> None:
        self._path, self._answerers = path, answerers
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Begin to listen.

        Raises:
            ListenError: the path can not be bound.
        """
        before = os.umask(0o177)  # nobody else may open it, from its first moment on
        try:
            self._path.unlink(missing_ok=True)
            self._server = await asyncio.start_unix_server(self._serve, str(self._path), limit=QUESTION_BYTES)
        except OSError as error:
            raise ListenError(f"{self._path} can not be bound: {error.strerror or error}; is its directory there, and is the "
                              "path shorter than 108 characters?") from None  # fmt: skip
        finally:
            os.umask(before)

    async def close(self) -> None:
        """Stop listening and remove the socket."""
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            answer = await self._answer(reader)
            writer.write(json.dumps(answer).encode() + b"\n")
            await asyncio.wait_for(writer.drain(), QUESTION_S)
        except (OSError, TimeoutError):
            log.debug("who asked went away")
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> Mapping[str, Any]:
        if self._waiting >= WAITING:
            return {"error": "too many questions wait; ask again later"}
        self._waiting += 1
        try:
            question = await self._question(reader)
            async with self._turn:
                return await asyncio.wait_for(self._answerers[question["ask"]](question), ANSWER_S)
        except ZccError as error:
            return {"error": str(error)}
        except TimeoutError:
            return {"error": f"no whole question in {QUESTION_S:.0f} s, or no answer in {ANSWER_S:.0f} s"}
        finally:
            self._waiting -= 1

    async def _question(self, reader: asyncio.StreamReader) -> Mapping[str, Any]:
        try:
            line = await asyncio.wait_for(reader.readuntil(b"\n"), QUESTION_S)
            question = json.loads(line)
        except asyncio.LimitOverrunError:
            raise ZccError(f"a question may have at most {QUESTION_BYTES} bytes") from None
        except (asyncio.IncompleteReadError, ValueError, RecursionError):
            raise ZccError("a question is one line of JSON") from None
        asked = question.get("ask") if isinstance(question, dict) else None
        if not isinstance(asked, str) or asked not in self._answerers:
            raise ZccError(f"ask is one of {', '.join(self._answerers)}")
        found: Mapping[str, Any] = question
        return found
