"""asking: a question to the connector that runs on this machine, over its socket, and the answer.

Journey: `zcc policy preview` and `zcc status` ask here; zcc.connector.local_socket answers.
"""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from zcc.errors import ZccError

__all__ = ["SOCKET", "ask"]

SOCKET = "connector.sock"  # as zcc.connector.local_socket names it
ANSWER_S = 130.0
ANSWER_BYTES = 1 << 26


def ask(path: Path, question: dict[str, Any]) -> dict[str, Any]:
    """Ask one question.

    Args:
        path: of the socket.
        question: with what is asked as `ask`.

    Raises:
        ZccError: nobody answers there, or the answer is an error.
    """
    try:
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(ANSWER_S)
            asking.connect(str(path))
            asking.sendall(json.dumps(question).encode() + b"\n")
            with asking.makefile("rb") as answer:
                found: dict[str, Any] = json.loads(answer.readline(ANSWER_BYTES))
    except (OSError, ValueError) as error:
        raise ZccError(f"{path} does not answer: {error}; does a connector run here, and may this user open "
                       "its socket?") from None
    if "error" in found:
        raise ZccError(found["error"])
    return found
