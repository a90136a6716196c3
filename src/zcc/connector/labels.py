"""The names of one connector's numbers, for records: of its file, and of the rules in force.

Journey: the daemon makes them once; an edit of the policy gives them the new names of rules.
"""

from __future__ import annotations

from collections.abc import Mapping

from zcc.connector.rulebook import Rulebook
from zcc.connector.sessions import Labels
from zcc.connector.settings import ConnectorSettings

__all__ = ["labels_of"]


def labels_of(settings: ConnectorSettings, rulebook: Rulebook, methods: Mapping[int, str]) -> Labels:
    """Make the labels of a connector.

    Args:
        methods: what rules do with flows, by the data plane's numbers.
    """
    tunnels = (
        {} if settings.zia is None else {slot: edge.name for slot, edge in enumerate(settings.zia.edges)}
    )
    return Labels(
        {namespace.id: namespace.name for namespace in settings.namespaces},
        {number: name for name, number in rulebook.location_ids.items()},
        methods,
        rulebook.rule_names,
        rulebook.names.name_of,
        tunnels,
    )
