"""Into a host of a lab that runs already, from another terminal or from a shell inside it.

Every process of a host carries the host's name in its environment, so that a host is found without a file
that could outlive the lab. setns(2), user_namespaces(7). Used by the command.
"""

import os
import shutil
from pathlib import Path
from typing import NoReturn

from zcc.errors import ZccError
from zcc.lab import kernel

HOST_VARIABLE = "ZCC_LAB_HOST"
_KINDS = (
    ("user", kernel.CLONE_NEWUSER),
    ("pid", kernel.CLONE_NEWPID),
    ("net", kernel.CLONE_NEWNET),
    ("mnt", kernel.CLONE_NEWNS),
)


class NoSuchHost(ZccError):
    """No running lab of this user has the host."""


def enter(name: str) -> int:
    """Open a shell in host `name` of a running lab; return its exit status.

    Raises:
        NoSuchHost: there is none.
    """
    process = _process_of(name)
    if process is None:
        raise NoSuchHost(f"no lab of yours that runs has a host {name!r}; start one with: zcc lab --keep")
    namespaces = [
        (os.open(process / "ns" / kind, os.O_RDONLY), flag)
        for kind, flag in _KINDS
        if _differs(process, kind)
    ]
    child = os.fork()
    if child == 0:
        _become_shell(name, namespaces)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _become_shell(name: str, namespaces: list[tuple[int, int]]) -> NoReturn:
    try:
        for descriptor, flag in namespaces:
            kernel.setns(descriptor, flag)
        inner = os.fork()  # a PID namespace holds the children of whoever enters it
        if inner == 0:
            os.chdir("/")
            shell = shutil.which("bash") or "/bin/sh"
            os.execve(shell, shell_command(shell), shell_environment(name))
        os._exit(os.waitstatus_to_exitcode(os.waitpid(inner, 0)[1]))
    except OSError as error:
        os.write(2, f"cannot enter {name}: {error}\n".encode())
        os._exit(1)


def shell_command(shell: str) -> list[str]:
    """Return the arguments with which a shell reads no start-up files that would change its prompt."""
    return [shell, *(["--norc"] if shell.endswith("bash") else []), "-i"]


def shell_environment(name: str) -> dict[str, str]:
    """Return the environment of a shell in host `name`."""
    return {**os.environ, HOST_VARIABLE: name, "PS1": f"[{name}] \\w # "}


def _process_of(name: str) -> Path | None:
    """Return /proc/PID of some process in the host."""
    wanted = f"{HOST_VARIABLE}={name}".encode()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (process / "environ").read_bytes().split(b"\0"):
                return process
        except OSError:
            continue  # another user's, or gone
    return None


def _differs(process: Path, kind: str) -> bool:
    return (process / "ns" / kind).stat().st_ino != Path("/proc/self/ns", kind).stat().st_ino
