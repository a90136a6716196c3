"""libfastpath through cffi (ABI mode), as a host that is not Python calls it; declared to cffi by fastpath.h itself."""

import re
from pathlib import Path

from cffi import FFI

import fastpath

HEADER = Path(fastpath.get_include()) / "fastpath.h"


def declarations(header: str) -> str:
    """What is left of a header for cffi: no comment, no preprocessor, nothing for C++ alone."""
    text = re.sub(r"/\*.*?\*/", "", header, flags=re.DOTALL)
    text = re.sub(r"^#ifdef __cplusplus.*?^#endif", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)
    return text.replace("FASTPATH_API ", "")


DECLARATIONS = declarations(HEADER.read_text())
ffi = FFI()
ffi.cdef(DECLARATIONS)
lib = ffi.dlopen(fastpath.get_library())
FUNCTIONS = sorted(set(re.findall(r"\b(fastpath_\w+)\(", DECLARATIONS)))

OK, EINVAL, ENOMEM = lib.FASTPATH_OK, lib.FASTPATH_EINVAL, lib.FASTPATH_ENOMEM
ENOENT, EEXIST, EFULL, EROOM = lib.FASTPATH_ENOENT, lib.FASTPATH_EEXIST, lib.FASTPATH_EFULL, lib.FASTPATH_EROOM


def text(result: int) -> str:
    """fastpath_strerror as a str."""
    return ffi.string(lib.fastpath_strerror(result)).decode()


def filled(kind: str, function, *arguments) -> tuple[int, object]:
    """Call a function that fills a structure, given behind `arguments` with its size; the result and the structure."""
    out = ffi.new(f"struct {kind} *")
    return function(*arguments, out, ffi.sizeof(out[0])), out
