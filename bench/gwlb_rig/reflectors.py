"""Programs of the folder that $ZCC_BENCH_IO names: a tunnel handler, and bare reflectors, which only swap addresses.

A program is there when its file is; what it loads as it starts may be missing all the same.
"""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from bench.gwlb_rig.rig import DEVICE_CORE, Rig

SETTLE_S = 0.6


@dataclass(frozen=True)
class Reflector:
    """How it is started, what it loads, and whether XDP answers for it in the kernel."""

    command: tuple[str, ...]
    needs: tuple[str, ...] = ()
    in_kernel: bool = False


TUN_THREADS = ("-p", "8080", "--udpthreads", "1", "--tunthreads", "1")
REFLECTORS = {
    "gwlbtun": Reflector(("./gwlbtun", "-c", "./hook.sh", *TUN_THREADS), ("hook.sh",)),
    "xreflect": Reflector(("./xreflect", "-M", "native"), ("xred.bpf.o",)),
    "reflect-packet": Reflector(("./reflect", "-m", "tp2ring")),
    "reflect-recvmmsg": Reflector(("./reflect", "-m", "mmraw")),
    "kreflect-xdptx": Reflector(("./kreflect", "-m", "xdptx"), ("xred.bpf.o",), in_kernel=True),
}


def folder() -> Path:
    """Where they are, whether or not there is such a folder."""
    return Path(os.environ.get("ZCC_BENCH_IO", "/nonexistent")).absolute()


def there(*names: str) -> dict[str, str]:
    """Of these, those that are there, each with what to do where it does not answer."""
    return {name: advice(name) for name in names if (folder() / REFLECTORS[name].command[0]).exists()}


def advice(name: str) -> str:
    """What to build anew."""
    program = REFLECTORS[name]
    return f"build it whole in {folder()}: make {' '.join((program.command[0].removeprefix('./'), *program.needs))}"


def start(rig: Rig, name: str) -> subprocess.Popen[str]:
    """Start one, pinned; it says nothing, and is ended by a signal.

    Raises:
        RuntimeError: what it loads is not there, or it ended at once.
    """
    program = REFLECTORS[name]
    missing = [needed for needed in program.needs if not (folder() / needed).exists()]
    if missing:
        raise RuntimeError(f"{', '.join(missing)} is missing")
    device = rig.start(["taskset", "-c", str(DEVICE_CORE), *program.command], cwd=folder(), stderr=subprocess.DEVNULL)
    rig.undo.callback(device.terminate)      # it does not look at its input: who waits for it to end by that waits in vain
    time.sleep(SETTLE_S)
    if device.poll() is not None:
        raise RuntimeError(f"it ended with {device.returncode}")
    return device
