"""Instructions an operation of three kernels, counted by valgrind's callgrind and held to a baseline of 5 %.

    python -m bench.callgrind [--baseline] [--strict]

A count depends on no clock and no other load, but on the compiler, on the machine's family and on whether it has AVX2 (valgrind
knows no AVX-512, so the dispatch at run time takes AVX2 there at most). These stand in the baseline. Where they differ the
counts are shown and cannot be compared; --strict, as in CI, makes that a failure: make the baseline again and commit it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.kernels import COUNTED, KERNELS
from fastpath import lpm

ROOT = Path(__file__).resolve().parent.parent
BASELINE = ROOT / "bench" / "baselines" / "callgrind.json"
MARGIN = 0.05
COMPILER = re.compile(rb"(?:GCC: \([^)]*\) [\d.]+|[\w ]*clang version [\w.]+)")


def main() -> int:
    """Count, compare or write; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.callgrind", description=__doc__.partition("\n")[0])
    parser.add_argument("--baseline", action="store_true", help="write the baseline instead of comparing with it")
    parser.add_argument("--strict", action="store_true", help="fail where the baseline is for another compiler or machine")
    arguments = parser.parse_args()
    made = {"built": built(), "instructions": {name: counted(name) for name in KERNELS}}
    if arguments.baseline:
        BASELINE.parent.mkdir(exist_ok=True)
        BASELINE.write_text(json.dumps(made, indent=2) + "\n")
        print(f"written: {BASELINE.relative_to(ROOT)}")
    return compared(made, json.loads(BASELINE.read_text()), arguments.strict)


def built() -> dict[str, str | bool]:
    """What the counts depend on: the compiler, as it signed the compiled module, and the machine."""
    signed = COMPILER.search(Path(lpm.__file__).read_bytes())
    features = Path("/proc/cpuinfo").read_text()
    return {"compiler": signed[0].decode() if signed else "unknown", "machine": platform.machine(),
            "avx2": bool(re.search(r"\bavx2\b", features)), "python": platform.python_version()}


def counted(name: str) -> float:
    """Instructions an operation of one kernel.

    Raises:
        RuntimeError: valgrind failed, or nothing was counted.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = ["valgrind", "--tool=callgrind", "--collect-atstart=no", f"--callgrind-out-file={folder}/out",
                   *(f"--toggle-collect={pattern}" for pattern in COUNTED[name]),
                   sys.executable, "-m", "bench.kernels", name]
        # A fixed seed for sets and dictionaries; no byte code is written while one counts.
        environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    total = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or not total or not int(total[1]):
        raise RuntimeError(f"{name}: no instruction was counted; are the functions of bench/kernels.py still so named?\n"
                           + done.stderr[-3000:])
    return round(int(total[1]) / int(done.stdout), 2)


def compared(made: dict, baseline: dict, strict: bool) -> int:
    """Print each count beside the baseline's; return the exit code."""
    differing = [f"{key}: {made['built'][key]} here, {was} there" for key, was in baseline["built"].items()
                 if key != "python" and made["built"][key] != was]
    more = []
    for name, now in made["instructions"].items():
        was = baseline["instructions"].get(name)
        change = now / was - 1 if was else 0.0
        beside = f"baseline {was:.2f} ({change:+.1%})" if was else "new"
        print(f"{name:22} {now:10.2f} instructions an operation, {beside}")
        if not was or change > MARGIN:
            more.append(name)
        elif change < -MARGIN:
            print(f"{'':22} better than the baseline says: make callgrind-baseline would keep it so")
    if differing:
        print("NOT COMPARABLE with the baseline: " + "; ".join(differing))
        print("To go on with this compiler and machine: make callgrind-baseline, and commit bench/baselines/callgrind.json")
        return int(strict)
    if more:
        print(f"more than {MARGIN:.0%} above the baseline: {', '.join(more)}")
        print("If it must be: make callgrind-baseline, commit it, and say why")
    return int(bool(more))


if __name__ == "__main__":
    sys.exit(main())
