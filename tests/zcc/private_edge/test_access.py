"""zcc.private_edge.access: first match, empty criterion is any, nothing matches is refused."""

import pytest

from zcc.private_edge.access import DEFAULT_RULE, Decision, decide
from zcc.private_edge.settings import AccessRule

RULES = (
    AccessRule(name="no place", action="refuse", locations=("bad",)),
    AccessRule(name="one group", action="allow", applications=("a",), connector_groups=("g1", "g2")),
    AccessRule(name="one namespace", action="allow", applications=("b",), namespaces=("co1",)),
    AccessRule(name="never reached", action="refuse", applications=("a",), connector_groups=("g1",)),
)


@pytest.mark.parametrize(
    ("application", "namespace", "group", "location", "expected"),
    [
        pytest.param("a", "co1", "g1", "", Decision(True, "one group"), id="first match allows"),
        pytest.param("a", "co1", "g2", "bad", Decision(False, "no place"), id="an earlier refusal wins"),
        pytest.param("a", "co1", "g3", "", Decision(False, DEFAULT_RULE), id="another group"),
        pytest.param("b", "co1", "g3", "", Decision(True, "one namespace"), id="empty criterion is any"),
        pytest.param("b", "co2", "g1", "", Decision(False, DEFAULT_RULE), id="another namespace"),
        pytest.param("c", "co1", "g1", "", Decision(False, DEFAULT_RULE), id="another application"),
    ],
)
def test_decisions(application: str, namespace: str, group: str, location: str, expected: Decision) -> None:
    assert decide(RULES, application, namespace, group, location) == expected


def test_without_rules_everything_is_refused() -> None:
    assert not decide((), "a", "co1", "g1", "").allowed
