"""`zcc lab` and `zcc gwlb` on the command line. Hooked into the program by zcc.cli; imports the heavy parts
only when needed.
"""

import json
import os
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from zcc.errors import ConfigurationError, Problem, ZccError

__all__ = ["gwlb_command", "lab_command"]

_SIZE = re.compile(r"(\d+)\s*(|B|KiB|MiB|GiB)")
_UNITS = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_PACKAGES = {"curl": "curl", "dig": "dnsutils"}


def lab_command(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a row instead of the table.")
    ] = False,
    shell: Annotated[
        str, typer.Option(metavar="HOST", help="Bring the lab up and open a shell in a host.")
    ] = "",
    enter: Annotated[
        str, typer.Option(metavar="HOST", help="Open a shell in a host of a lab that already runs.")
    ] = "",
    keep: Annotated[bool, typer.Option("--keep", help="Stay up after the rows, until Ctrl-C.")] = False,
    only: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Run this row only; may be repeated.")
    ] = None,
    list_rows: Annotated[
        bool, typer.Option("--list", help="List the rows and hosts, and start nothing.")
    ] = False,
    size: Annotated[str, typer.Option(help="Size of the large downloads, such as 64MiB.")] = "1GiB",
) -> None:
    """Run the whole system on this machine, in namespaces, and drive real traffic along every path.

    Example: zcc lab --only zpa-download --size 64MiB
    """
    if enter:
        from zcc.lab.enter import enter as enter_host  # noqa: PLC0415

        raise typer.Exit(enter_host(enter))
    from zcc.lab.scenarios.table import SCENARIOS  # noqa: PLC0415
    from zcc.lab.topology import build  # noqa: PLC0415

    names = {scenario.name: scenario for scenario in SCENARIOS}
    hosts = {machine.name: machine.purpose for machine in build().machines}
    if list_rows:
        _list_rows(as_json, {name: (row.title, row.expected) for name, row in names.items()}, hosts)
        return
    for given, known, what in ((only or [], names, "row"), ([shell] if shell else [], hosts, "host")):
        if unknown := [name for name in given if name not in known]:
            raise typer.BadParameter(f"no {what} {unknown[0]!r}; there are: {', '.join(known)}")
    bytes_wanted = _parse_size(size)
    _need_programs()
    from zcc.lab import namespaces  # noqa: PLC0415
    from zcc.lab.runner import Options, run  # noqa: PLC0415

    # Outside the lab's own file system, which vanishes with it; made only when there is something to keep.
    logs = Path(tempfile.gettempdir()) / f"zcc-lab-logs-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    options = Options(
        [names[name] for name in only] if only else SCENARIOS, bytes_wanted, as_json, keep, shell, logs
    )
    raise typer.Exit(namespaces.isolate(lambda: run(options)))


def gwlb_command(
    config: Annotated[Path, typer.Option(help="The load balancer's YAML file.")],
) -> None:
    """Run the GWLB emulator: endpoints in, Geneve to healthy targets, and back.

    Example: zcc gwlb --config gwlb.yaml
    """
    from zcc.config import validate  # noqa: PLC0415
    from zcc.document import read_document  # noqa: PLC0415
    from zcc.lab.emulator.daemon import run  # noqa: PLC0415
    from zcc.lab.emulator.settings import GwlbSettings  # noqa: PLC0415
    from zcc.serve import serve  # noqa: PLC0415
    from zcc.telemetry.settings import LogSettings  # noqa: PLC0415

    try:
        data = config.read_bytes()
    except OSError as error:
        raise ConfigurationError([Problem(str(config), 1, "", f"cannot be read: {error.strerror}")]) from None
    settings = validate(read_document(data, str(config)), GwlbSettings)
    raise typer.Exit(serve(run, settings, LogSettings()))


def _list_rows(as_json: bool, rows: dict[str, tuple[str, str]], hosts: dict[str, str]) -> None:
    if as_json:
        print(
            json.dumps(
                {
                    "rows": [
                        {"name": name, "title": title, "expected": expected}
                        for name, (title, expected) in rows.items()
                    ],
                    "hosts": hosts,
                }
            )
        )
        return
    for name, (title, expected) in rows.items():
        print(f"{name:22} {title}: {expected}")
    print("\nhosts: " + ", ".join(hosts))


def _parse_size(text: str) -> int:
    match = _SIZE.fullmatch(text.strip())
    if match is None or int(match[1]) == 0:
        raise typer.BadParameter(f"{text!r} is no size; allowed: 1GiB, 64MiB, 100KiB, or bytes")
    return int(match[1]) * _UNITS[match[2]]


def _need_programs() -> None:
    missing = [program for program in _PACKAGES if shutil.which(program) is None]
    if missing:
        packages = " ".join(_PACKAGES[program] for program in missing)
        raise ZccError(
            f"the lab needs {' and '.join(missing)}; install them with: sudo apt-get install {packages}"
        )
    if sys.platform != "linux":
        raise ZccError("the lab needs Linux: it is made of network namespaces")
