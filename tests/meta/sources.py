"""Where the sources are, and how the rules read them."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FASTPATH = ROOT / "src" / "fastpath"
ZCC = ROOT / "src" / "zcc"
CIMPORT = re.compile(
    r"^\s*from fastpath(?:\.(\w+))?(?:\.\w+)* c?import (.+)$|^\s*c?import fastpath\.(\w+)", re.MULTILINE
)


def python_files(*folders: Path) -> list[Path]:
    """All .py files below some folders, sorted."""
    return sorted(path for folder in folders for path in folder.rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in the file; `from a import b` gives a and a.b."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def module_name(path: Path) -> str:
    """zcc.pki.peer for src/zcc/pki/peer.py, zcc.pki for its __init__.py."""
    parts = path.relative_to(ROOT / "src").with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def cimports(path: Path) -> set[str]:
    """The fastpath modules that a .pyx, .pxd or .py of fastpath takes names from."""
    text = path.read_text()
    found = set()
    for module, names, plain in CIMPORT.findall(text):
        found |= {module or plain} if module or plain else {name.strip() for name in names.split(",")}
    return found - {path.stem}
