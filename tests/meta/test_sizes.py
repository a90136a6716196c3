"""Small files, short functions: what does not fit a screen is not read."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from .sources import FASTPATH, ROOT, ZCC, python_files

FILE_LIMIT = 400
FUNCTION_LIMIT = 40
# Longer than the limit, and why that is better than the alternative.
LONG_FILES: dict[str, str] = {}
LONG_FUNCTIONS: dict[str, str] = {
    "src/zcc/lab/command.py:lab_command": "one parameter an option, as typer reads them",
}

PYTHON = python_files(ROOT / "src", ROOT / "bench", ROOT / "tools", ROOT / "tests")
CYTHON = sorted(path for path in FASTPATH.iterdir() if path.suffix in (".pyx", ".pxd"))
HEAD = re.compile(r"^( *)(?:cdef|cpdef|def)\b(?! class).*\(")


def place(path: Path) -> str:
    return str(path.relative_to(ROOT))


def python_functions(path: Path) -> Iterator[tuple[str, int]]:
    """Each function's name and its lines of code, the docstring not counted."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            text = (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            )
            docstring = (first.end_lineno or 0) - first.lineno + 1 if text else 0
            yield node.name, (node.end_lineno or 0) - node.lineno + 1 - docstring


def cython_functions(path: Path) -> Iterator[tuple[str, int]]:
    """The same for Cython, by indentation."""
    lines = path.read_text().splitlines()
    for start, line in enumerate(lines):
        head = HEAD.match(line)
        if head is None or (
            line.rstrip().endswith((")", "nogil", "-1", "noexcept")) and not line.rstrip().endswith(":")
        ):
            continue
        indent, end = len(head[1]), start + 1
        while end < len(lines) and (
            not lines[end].strip()
            or lines[end].startswith(" " * (indent + 1))
            or lines[end].lstrip().startswith((")", "#"))
        ):
            end += 1
        body = "\n".join(lines[start:end]).rstrip()
        bare = re.sub(r'""".*?"""', "", body, flags=re.DOTALL)
        name = re.search(r"(\w+)\s*\(", line)
        yield name[1] if name else line, bare.count("\n") + 1


@pytest.mark.parametrize("path", [*PYTHON, *CYTHON], ids=place)
def test_files_are_at_most_400_lines(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= FILE_LIMIT or place(path) in LONG_FILES, f"{lines} lines: split it by nouns"


@pytest.mark.parametrize("path", [*PYTHON, *CYTHON], ids=place)
def test_functions_are_at_most_40_lines(path: Path) -> None:
    functions = python_functions(path) if path.suffix == ".py" else cython_functions(path)
    long = [
        f"{name}: {lines} lines"
        for name, lines in functions
        if lines > FUNCTION_LIMIT and f"{place(path)}:{name}" not in LONG_FUNCTIONS
    ]
    assert not long


def test_exceptions_are_still_needed() -> None:
    for name in LONG_FILES:
        assert len((ROOT / name).read_text().splitlines()) > FILE_LIMIT, name
    for name in LONG_FUNCTIONS:
        file, _, function = name.partition(":")
        functions = python_functions if file.endswith(".py") else cython_functions
        assert dict(functions(ROOT / file)).get(function, 0) > FUNCTION_LIMIT, name


@pytest.mark.parametrize("path", python_files(ZCC), ids=place)
def test_no_file_is_named_for_everything(path: Path) -> None:
    assert path.stem not in {"utils", "util", "helpers", "helper", "common", "misc", "manager"}
