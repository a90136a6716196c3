"""Numbers of things in texts for people."""

import pytest

from zcc.wording import counted


@pytest.mark.parametrize(("number", "text"), [(0, "0 flows"), (1, "1 flow"), (2, "2 flows"), (12345, "12,345 flows")])
def test_a_noun_goes_with_its_number(number: int, text: str) -> None:
    assert counted(number, "flow") == text
