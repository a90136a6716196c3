"""Coverage-guided fuzzing of one target by atheris (libFuzzer), from its corpus; what reaches new code may be kept.

    python -m tests.fuzz.guided NAME…|all [--seconds 60] [--keep]

Coverage is that of the Python side: the decoder itself or, for fastpath's, its reference in tests/model, which branches where
the compiled code must branch too. Needs the group `fuzz` of pyproject.toml. A failing input is written to build/fuzz/NAME and
the exit code is not 0. --keep adds to the corpus the fewest inputs that reach what is new.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
OUT = ROOT / "build" / "fuzz"
CORPUS = ROOT / "tests" / "fuzz" / "corpus"


def main() -> int:
    """Fuzz each target; go on behind a failure; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="+", metavar="NAME")
    parser.add_argument("--seconds", type=int, default=60, help="for each")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="add to the corpus what reaches new code")
    arguments = parser.parse_args()
    names = sorted(path.name for path in CORPUS.iterdir()) if arguments.names == ["all"] else arguments.names
    failed = [name for name in names if not fuzzed(name, arguments.seconds, arguments.seed, arguments.keep)]
    print(f"{len(names)} targets, failed: {', '.join(failed) or 'none'}")
    return int(bool(failed))


def fuzzed(name: str, seconds: int, seed: int, keep: bool) -> bool:
    """Fuzz one target; False when an input failed."""
    found, least = OUT / name / "found", OUT / name / "least"
    found.mkdir(parents=True, exist_ok=True)
    print(f"== {name}", flush=True)
    options = [f"-max_total_time={seconds}", f"-seed={seed}", "-print_final_stats=1", f"-artifact_prefix={found.parent}/"]
    if libfuzzer(name, [*options, str(found), str(CORPUS / name)]):
        return False
    if not keep:
        return True
    shutil.rmtree(least, ignore_errors=True)
    shutil.copytree(CORPUS / name, least)
    if libfuzzer(name, ["-merge=1", str(least), str(found)]):
        return False
    for path in least.iterdir():
        shutil.copy(path, CORPUS / name)
    return True


def libfuzzer(name: str, options: list[str]) -> int:
    """Run libFuzzer over a target in a process of its own, which it ends; return the exit code."""
    from fuzz.targets import TARGETS  # noqa: PLC0415 - the process below must import it afresh, under atheris

    modules = {part.removesuffix(".py").replace("/", ".") for part in TARGETS[name].decodes if part.endswith(".py")}
    command = [sys.executable, __file__, "--inside", name, ",".join(sorted(modules or {"model"}))]
    return subprocess.run([*command, *options], cwd=ROOT, check=False).returncode


def inside(name: str, modules: list[str], options: list[str]) -> None:
    """Be libFuzzer's process; the branches of these modules guide it."""
    import atheris  # noqa: PLC0415

    with atheris.instrument_imports(include=modules):
        from fuzz.targets import TARGETS  # noqa: PLC0415
    target = TARGETS[name]
    # libFuzzer starts a merge's inner process by the shell, from these words.
    ourselves = shlex.join([sys.executable, __file__, "--inside", name, ",".join(modules)])
    atheris.Setup([ourselves, f"-max_len={target.limit}", *options], target.check)
    atheris.Fuzz()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        inside(sys.argv[2], sys.argv[3].split(","), sys.argv[4:])
    sys.exit(main())
