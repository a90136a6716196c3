"""The lab's own little world: user, mount, PID and network namespaces that vanish with the command that made
them.

    zcc lab (outside)  ──fork──▶ keeper  ──fork──▶ init: PID 1 of the world, runs the lab
        waits, tells signals        waits             dies with the keeper, and all its world with it

Namespaces stay anonymous, so nothing can be left behind: neither Ctrl-C, a crash nor `kill -9` of any of the
three leaves an interface, a process or a mount. namespaces(7), user_namespaces(7), pid_namespaces(7).
Called by the command; it knows nothing of hosts, networks or daemons.
"""

import os
import select
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from zcc.errors import ZccError
from zcc.lab import kernel

_WORLD = kernel.CLONE_NEWNS | kernel.CLONE_NEWPID | kernel.CLONE_NEWNET
_STATE_PLACES = ("/srv", "/media", "/mnt", "/opt")
_REFUSED = 125  # exit status of the keeper when the kernel refuses; the reason comes through a pipe


class IsolationRefused(ZccError):
    """The kernel does not let this user make namespaces; the message says what to change."""


def isolate(main: Callable[[], int]) -> int:
    """Run `main` as the first process of a new world and return its exit status.

    Args:
        main: runs as root of the world, with a fresh /proc and an empty file system of its own at
            `state_directory()`.
    Returns:
        What `main` returned; 128 + n when signal n ended it.
    Raises:
        IsolationRefused: namespaces are forbidden here.
    """
    reason_from, reason_to = os.pipe()
    me = os.getpid()
    keeper = os.fork()
    if keeper == 0:
        os.close(reason_from)
        _keep(main, me, reason_to)
    os.close(reason_to)
    previous = _pass_on_signals(keeper)
    try:
        status = _wait(keeper)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        reason = os.read(reason_from, 4096).decode()
        os.close(reason_from)
    if status == _REFUSED and reason:
        raise IsolationRefused(reason)
    return status


def state_directory() -> Path:
    """Return the directory on which the world's own file system is mounted: one that the lab's programs do
    not live in.

    Raises:
        IsolationRefused: no such directory on this machine.
    """
    needed = [Path(sys.prefix), Path(sys.base_prefix), Path(__file__), Path.cwd()]
    for place in map(Path, _STATE_PLACES):
        if place.is_dir() and not any(path.resolve().is_relative_to(place) for path in needed):
            return place
    raise IsolationRefused(
        f"one of the directories {', '.join(_STATE_PLACES)} must exist; create one and try again"
    )


def _keep(main: Callable[[], int], parent: int, reason_to: int) -> NoReturn:
    """Enter the namespaces, fork the world's init and wait for it; never returns."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to init too; init decides
    try:
        _enter_world()
        kernel.die_with_parent()
    except OSError as error:
        os.write(reason_to, explain_refusal(error).encode())
        os._exit(_REFUSED)
    if os.getppid() != parent:
        os._exit(_REFUSED)
    alive_from, alive_to = os.pipe()
    init = os.fork()
    if init == 0:
        os.close(alive_to)
        os.close(reason_to)
        _init(main, alive_from)
    os.close(alive_from)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(init, signal.SIGTERM))
    os._exit(_wait(init))


def _enter_world() -> None:
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        try:
            kernel.unshare(_WORLD)
            return
        except PermissionError:
            pass  # root of a container without CAP_SYS_ADMIN: as an ordinary user, then
    kernel.unshare(kernel.CLONE_NEWUSER)
    kernel.become_root_of_namespace(user, group)
    kernel.unshare(_WORLD)


def _init(main: Callable[[], int], alive_from: int) -> NoReturn:
    """Be PID 1: die with the keeper, mount what the world needs, run `main`; never returns."""
    status = 1
    try:
        kernel.die_with_parent()
        if select.select([alive_from], [], [], 0)[0]:
            os._exit(_REFUSED)  # the keeper ended before the wish was heard
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        _mount_own_file_systems()
        status = main()
    except SystemExit as wish:
        status = wish.code if isinstance(wish.code, int) else 1
    except KeyboardInterrupt:
        status = 128 + signal.SIGINT
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _mount_own_file_systems() -> None:
    kernel.mount("none", "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("zcc-lab", str(state_directory()), "tmpfs", 0, "mode=0755")
    # A container that masks parts of /proc forbids it; the old one serves, with the numbers from outside.
    with suppress(PermissionError):
        kernel.mount("proc", "/proc", "proc", 0)


def _pass_on_signals(keeper: int) -> dict[int, "signal._HANDLER"]:
    return {
        signal.SIGINT: signal.signal(signal.SIGINT, signal.SIG_IGN),
        signal.SIGTERM: signal.signal(signal.SIGTERM, lambda *_: os.kill(keeper, signal.SIGTERM)),
        signal.SIGHUP: signal.signal(signal.SIGHUP, lambda *_: os.kill(keeper, signal.SIGTERM)),
    }


def _wait(process: int) -> int:
    _, status = os.waitpid(process, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def explain_refusal(error: OSError) -> str:
    """Say why the kernel refuses namespaces and what an administrator types to allow them."""
    remedies = [
        (
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0      (Ubuntu 23.10 and newer)",
        ),
        (
            "/proc/sys/kernel/unprivileged_userns_clone",
            "0",
            "sysctl -w kernel.unprivileged_userns_clone=1      (Debian's and Arch's switch)",
        ),
        ("/proc/sys/user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=15000"),
        ("/proc/sys/user/max_net_namespaces", "0", "sysctl -w user.max_net_namespaces=15000"),
    ]
    steps = [remedy for path, value, remedy in remedies if _reads(path, value)]
    if not steps:
        steps = [
            "run `sudo zcc lab`, or, in a container, start it with --cap-add SYS_ADMIN "
            "--security-opt apparmor=unconfined --security-opt seccomp=unconfined"
        ]
    return (
        f"the kernel does not let user {os.geteuid()} make namespaces ({error.strerror}).\n"
        "As root:  " + "\n     or:  ".join(steps) + "\nor run the lab as root."
    )


def _reads(path: str, value: str) -> bool:
    try:
        return Path(path).read_text().strip() == value
    except OSError:
        return False
