"""A plain program in C links with libfastpath and runs, without Python and under valgrind; and so does one in C++."""

import re
from pathlib import Path

import pytest

import fastpath
from fastpath.__main__ import main

from .compiler import PLAIN, ROOT, SANITIZED, STRICT, compiled, flags, run, tool

SOURCE = Path(__file__).with_name("everything.c")
WORKS = (0, "everything works\n", "")


def outcome(command: list[str]) -> tuple[int, str, str]:
    done = run(command)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(SOURCE, tmp_path_factory.mktemp("c") / "everything")


def test_a_c99_program_runs(program: Path) -> None:
    assert outcome([str(program)]) == WORKS


def test_it_loads_no_python(program: Path) -> None:
    loaded = run([tool("ldd", "libc-bin"), str(program)]).stdout
    assert fastpath.get_library() in loaded and "python" not in loaded.lower().replace(fastpath.get_library().lower(), "")


@pytest.mark.skipif(SANITIZED, reason="AddressSanitizer and valgrind exclude each other; the release build runs this")
def test_valgrind_finds_nothing(program: Path) -> None:
    checked = ["--quiet", "--error-exitcode=99", "--leak-check=full", "--errors-for-leak-kinds=all"]
    assert outcome([tool("valgrind", "valgrind"), *checked, str(program)]) == WORKS


def test_the_page_s_snippets_compile_and_run(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "embedding.md").read_text()
    blocks = [re.sub("^    ", "", block, flags=re.MULTILINE) for block in re.findall(r"\n\n((?:    .*\n|\n)+)", page)]
    [program] = [block for block in blocks if block.startswith("#include <fastpath.h>")]
    [function] = [block for block in blocks if block.startswith("static int count(")]
    used = f"#include <fastpath.h>\nstatic const uint8_t secret[32] = {{0}};\n{function}\n"
    (tmp_path / "look_up.c").write_text(program)
    (tmp_path / "count.c").write_text(used + "int main(void) { return count(0, secret, 20, 1) != FASTPATH_PACKET_VERSION; }\n")
    assert outcome([str(compiled(tmp_path / "look_up.c", tmp_path / "look_up"))]) == (0, "64500\n", "")
    assert outcome([str(compiled(tmp_path / "count.c", tmp_path / "count"))]) == (0, "", "")


@pytest.mark.parametrize("standard", ["-std=c++11", "-std=c++20"])
def test_the_header_serves_cplusplus(tmp_path: Path, standard: str) -> None:
    built = compiled(SOURCE, tmp_path / "everything", "-x", "c++", compiler="c++", standard=standard)
    assert outcome([str(built)]) == WORKS


def test_pkg_config_leads_there_too(tmp_path: Path) -> None:
    [folder] = flags("--pkgconfigdir")
    asked = run([tool("pkg-config", "pkg-config"), "--cflags", "--libs", "fastpath"], env={**PLAIN, "PKG_CONFIG_PATH": folder})
    out = tmp_path / "everything"
    done = run([tool("cc", "gcc"), "-std=c99", *STRICT, str(SOURCE), *asked.stdout.split(), "-o", str(out)])
    assert (done.returncode, done.stderr) == (0, "") and outcome([str(out)]) == WORKS


def test_the_flags_name_the_folders_that_the_functions_return(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--cflags", "--libs"]) == 0
    folder = fastpath.get_library_dir()
    assert capsys.readouterr().out == f"-I{fastpath.get_include()} -L{folder} -Wl,-rpath,{folder} -lfastpath\n"
    assert main(["--include", "--library"]) == 0
    assert capsys.readouterr().out == f"{fastpath.get_include()} {fastpath.get_library()}\n"
    assert (Path(fastpath.get_include()) / "fastpath.h").is_file() and Path(fastpath.get_library()).is_file()


def test_nothing_asked_is_answered_by_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "--cflags" in capsys.readouterr().err
