#!/bin/sh
# Say which system packages are missing, all at once, before anything is built.
# usage: need.sh PYTHON build|lab|callgrind
python=$1
purpose=$2
missing=""

need() { missing="$missing $1"; echo "missing: $2" >&2; }

if ! command -v "$python" >/dev/null 2>&1; then
    need python3 "$python"
elif ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "$python is $("$python" --version 2>&1 | cut -d' ' -f2); 3.11 or newer is needed." >&2
    echo "Give another one: make PYTHON=/path/to/python3.11" >&2
    exit 1
fi

if [ "$purpose" = build ] && [ -z "$missing" ]; then
    "$python" -c 'import ensurepip, venv' 2>/dev/null || need python3-venv "venv and pip for $python"
    "$python" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' \
        || need python3-dev "the headers of $python (Python.h)"
    # Unquoted: CC may be several words, as in "ccache gcc".
    for word in ${CC:-gcc}; do
        command -v "$word" >/dev/null 2>&1 || need gcc "a C compiler ($word)"
    done
    printf '#include <stdio.h>\n' | ${CC:-gcc} -E -o /dev/null - >/dev/null 2>&1 \
        || need libc6-dev "the headers of the C library"
fi

if [ "$purpose" = lab ]; then
    command -v curl >/dev/null 2>&1 || need curl "curl"
    command -v dig >/dev/null 2>&1 || need bind9-dnsutils "dig"
fi

if [ "$purpose" = callgrind ]; then
    command -v valgrind >/dev/null 2>&1 || need valgrind "valgrind"
fi

if [ -n "$missing" ]; then
    echo "On Debian or Ubuntu: sudo apt-get install$missing" >&2
    exit 1
fi
