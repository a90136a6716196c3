"""The policy in force: prepared in any thread, adopted in one, and no name is lost between the two."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.zcc.connector.fakes import CONNECTOR

from zcc.connector.rulebook import Rulebook
from zcc.connector.settings import ConnectorSettings


def settings(*names):
    rules = [{"name": f"no {name}", "method": "DROP", "destinations": [name]} for name in names]
    return ConnectorSettings.model_validate({**CONNECTOR, "rules": rules})


def test_a_prepared_policy_changes_nothing_until_it_is_adopted():
    book = Rulebook(settings())
    first = book.rules
    with ThreadPoolExecutor(1) as pool:
        prepared = pool.submit(book.prepare, settings("*.evil.example")).result()
    assert book.rules is first and book.generation == 1 and not book.speaks_of("a.evil.example")
    book.names.id_of("a.evil.example")          # learned meanwhile
    assert book.adopt(prepared) is book.rules and book.generation == book.rules.generation == 2
    assert book.speaks_of("a.evil.example") and book.rule_names[0] == "no *.evil.example"


def test_a_policy_prepared_before_another_was_adopted_is_refused():
    book = Rulebook(settings())
    stale = book.prepare(settings("a.example"))
    book.edit(settings("b.example"))
    with pytest.raises(ValueError, match="prepare it again"):
        book.adopt(stale)
    assert book.generation == 2 and book.speaks_of("b.example")
