"""A machine of the lab: one network namespace and one mount namespace, and the commands run in it.

The two are held by open descriptors of the lab's init, not by a process or a name; they vanish with it.
Made by network; used by deployment, the servers' starter and the scenarios. It decides nothing about
addresses.
"""

import os
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from zcc.errors import ZccError
from zcc.lab import kernel
from zcc.lab.enter import HOST_VARIABLE

_OUTSIDE = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "notify_socket", "home")


class CommandFailed(ZccError):
    """A command in a host ended badly or was not there; the message holds its last words."""


class Host:
    """One machine: run things in it with `start` and `run`; make its sockets from outside in `network()`.

    Args:
        name: what people call it.
        files: text by path, laid over the machine's own files of that path (bind mounts), e.g.
            /etc/resolv.conf.
        state: an empty directory for the host's own files.
    Raises:
        OSError: a namespace or a mount was refused.
    """

    def __init__(self, name: str, files: Mapping[str, str], state: Path) -> None:
        self.name = name
        self.state = state
        state.mkdir(parents=True, exist_ok=True)
        covers = []
        for target, text in files.items():
            cover = state / Path(target).name
            cover.write_text(text)
            if Path(target).exists():
                covers.append((str(cover), target))
        self._network, self._mounts = _make_namespaces(covers)

    @contextmanager
    def network(self) -> Iterator[None]:
        """Stand in the host's network namespace; sockets made inside stay there. Main thread only."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            kernel.setns(self._network, kernel.CLONE_NEWNET)
            yield
        finally:
            kernel.setns(home, kernel.CLONE_NEWNET)
            os.close(home)

    @property
    def network_descriptor(self) -> int:
        """The open descriptor of the network namespace, for moving interfaces into it."""
        return self._network

    def write_sysctl(self, name: str, value: str) -> None:
        """Set a sysctl below net, `/` between its parts, in the host's network namespace."""
        with self.network():
            Path("/proc/sys/net", name).write_text(value)

    def start(
        self,
        command: Sequence[str],
        *,
        extra: Mapping[str, str] | None = None,
        log: IO[bytes] | None = None,
        **options: Any,
    ) -> "subprocess.Popen[bytes]":
        """Start a command in the host, away from the terminal.

        Args:
            command: program and arguments; a bare program name is looked up on the PATH.
            extra: further environment variables.
            log: where its standard output and error go; /dev/null without one.
            options: passed to subprocess.Popen.
        Raises:
            CommandFailed: there is no such program.
        """
        options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("stdout", log or subprocess.DEVNULL)
        options.setdefault("stderr", log or subprocess.DEVNULL)
        options.setdefault("start_new_session", True)
        try:
            enter = self._entrance()
            return subprocess.Popen(
                command,
                env=self._environment(extra or {}),
                preexec_fn=enter,  # noqa: PLW1509 -- two system calls, bound beforehand: no lock to meet
                **options,
            )
        except (FileNotFoundError, PermissionError) as error:
            raise CommandFailed(
                f"{command[0]} cannot be run on this machine; install it and try again"
            ) from error

    def run(
        self, command: Sequence[str], *, limit_s: float, input_bytes: bytes = b""
    ) -> "subprocess.CompletedProcess[bytes]":
        """Run a command in the host to its end and return its status and output.

        Args:
            limit_s: seconds it may take.
        Raises:
            CommandFailed: there is no such program, or it took longer than `limit_s`.
        """
        process = self.start(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            output, errors = process.communicate(input_bytes, timeout=limit_s)
        except subprocess.TimeoutExpired as error:
            process.kill()
            process.communicate()
            raise CommandFailed(
                f"{' '.join(command)} on {self.name} did not end within {limit_s:g} s"
            ) from error
        return subprocess.CompletedProcess(command, process.returncode, output, errors)

    def _entrance(self) -> Callable[[], None]:
        network, mounts = self._network, self._mounts

        def enter() -> None:
            kernel.setns(network, kernel.CLONE_NEWNET)
            kernel.setns(mounts, kernel.CLONE_NEWNS)

        return enter

    def _environment(self, extra: Mapping[str, str]) -> dict[str, str]:
        """The caller's environment without what would lead commands astray: proxies, the service manager,
        home.
        """
        kept = {name: value for name, value in os.environ.items() if name.lower() not in _OUTSIDE}
        return {**kept, "HOME": str(self.state), "LC_ALL": "C.UTF-8", HOST_VARIABLE: self.name, **extra}


def _make_namespaces(covers: Sequence[tuple[str, str]]) -> tuple[int, int]:
    """Return descriptors of a new network and a new mount namespace in which each cover lies over its
    target.
    """
    here, there = socket.socketpair()
    maker = os.fork()
    if maker == 0:
        try:
            kernel.unshare(kernel.CLONE_NEWNET | kernel.CLONE_NEWNS)
            for cover, target in covers:
                kernel.mount(cover, target, None, kernel.MS_BIND)
            made = [os.open(f"/proc/self/ns/{kind}", os.O_RDONLY) for kind in ("net", "mnt")]
            socket.send_fds(there, [b"made"], made)
        except OSError as error:
            there.send(f"{error.errno or 0} {error}".encode())
        finally:
            os._exit(0)
    there.close()
    with here:
        answer, descriptors, _, _ = socket.recv_fds(here, 1024, 2)
    os.waitpid(maker, 0)
    if len(descriptors) != 2:
        number, _, text = answer.decode().partition(" ")
        raise OSError(int(number or 0), f"cannot make a host: {text}")
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    return descriptors[0], descriptors[1]
