"""What the README claims, run: its commands exist, its links lead somewhere, its example works."""

import re
import struct

import pytest
from typer.testing import CliRunner

from zcc.cli import app

from .sources import ROOT

README = (ROOT / "README.md").read_text()
UDP_PACKET = struct.pack(">BBHHHBBH4s4sHHHH", 0x45, 0, 28, 0, 0, 64, 17, 0, bytes(4), bytes(4), 1000, 53, 8, 0)


@pytest.mark.parametrize("target", sorted(set(re.findall(r"^make (\w+)", README, re.MULTILINE))))
def test_make_target_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("command", sorted(set(re.findall(r"^\| `zcc ([\w-]+)`", README, re.MULTILINE))))
def test_command_exists_and_explains_itself(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert "Usage" in result.output


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([\w./-]+)\)", README))))
def test_link_leads_somewhere(link: str) -> None:
    assert (ROOT / link).exists()


def test_example_prints_what_the_packet_holds(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(compile(example, "README.md", "exec"), {"inner_packet": UDP_PACKET})
    assert capsys.readouterr().out == f"{0xAAAA} 17 53 0\n"
