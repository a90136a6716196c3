"""`python -m fastpath --cflags --libs`: what a C compiler and a linker need for fastpath.h, on one line."""

from __future__ import annotations

import argparse
import sys

from fastpath import capi


def main(arguments: list[str] | None = None) -> int:
    """Print what was asked for; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m fastpath", description="Where the C interface of fastpath is.",
        epilog="cc prog.c $(python -m fastpath --cflags --libs)",
    )
    parser.add_argument("--cflags", action="store_true", help="flags for the compiler")
    parser.add_argument("--libs", action="store_true", help="flags for the linker, run-time path included")
    parser.add_argument("--include", action="store_true", help="the folder of fastpath.h")
    parser.add_argument("--library", action="store_true", help="the shared library itself")
    parser.add_argument("--pkgconfigdir", action="store_true", help="the folder of fastpath.pc, for PKG_CONFIG_PATH")
    asked = parser.parse_args(arguments)
    words = [
        *(capi.compiler_flags() if asked.cflags else []),
        *(capi.linker_flags() if asked.libs else []),
        *([capi.get_include()] if asked.include else []),
        *([capi.get_library()] if asked.library else []),
        *([capi.get_library_dir()] if asked.pkgconfigdir else []),
    ]
    if not words:
        parser.print_usage(sys.stderr)
        return 2
    print(" ".join(words))
    return 0


if __name__ == "__main__":
    sys.exit(main())
