"""A peer that fails is left out by name; what is ours must not fail."""

from pathlib import Path

import pytest
from bench.gwlb_rig import reflectors
from bench.peers import Failed, Field


def fails() -> list[int]:
    raise RuntimeError("nothing\ncame back")


def test_a_peer_that_fails_is_named_in_one_line_and_not_tried_again(capfd: pytest.CaptureFixture[str]) -> None:
    field = Field("gwlb", {"xreflect": "make xreflect"})
    assert field.measure("xreflect", fails) == []
    assert field.measure("xreflect", lambda: [1]) == []
    assert field.left_out == {"xreflect"}
    assert capfd.readouterr().err == "gwlb: xreflect is left out: nothing came back; make xreflect\n"


def test_what_answers_is_measured_ours_and_theirs() -> None:
    field = Field("gwlb", {"xreflect": ""})
    assert field.measure("xreflect", lambda: [1]) + field.measure("fastpath-xdp", lambda: [2]) == [1, 2]


def test_ours_that_fails_ends_the_bench_and_is_named() -> None:
    with pytest.raises(Failed, match="gwlb: fastpath-xdp: nothing"):
        Field("gwlb", {"xreflect": ""}).measure("fastpath-xdp", fails)


def test_a_half_built_folder_is_told_what_to_make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZCC_BENCH_IO", str(tmp_path))
    assert reflectors.there("xreflect", "gwlbtun") == {}
    (tmp_path / "xreflect").touch()
    assert reflectors.there("xreflect", "gwlbtun") == {"xreflect": f"build it whole in {tmp_path}: make xreflect xred.bpf.o"}
    with pytest.raises(RuntimeError, match=r"xred\.bpf\.o is missing"):
        reflectors.start(None, "xreflect")      # type: ignore[arg-type]
