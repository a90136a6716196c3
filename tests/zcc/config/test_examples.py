"""The configuration files under docs/examples are right, and there is one for every role."""

from pathlib import Path

import pytest

from zcc.config import load

EXAMPLES = sorted((Path(__file__).parents[3] / "docs" / "examples").glob("*.yaml"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_a_valid_file_of_the_role_it_is_named_for(example: Path) -> None:
    role = load(example).role
    assert example.stem == role or example.stem.startswith(f"{role}-for-")


def test_every_role_has_an_example() -> None:
    named = {path.stem.partition("-for-")[0] for path in EXAMPLES}
    assert named == {"connector", "private-edge", "app-connector", "internet-edge"}
