"""WorkloadGroup: workloads that belong together, by their tags.

Journey: rules name it as source or destination; zcc.policy asks it about each workload once and compiles the answers. The
expression is given as text or as JSON containers, and printed as text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from zcc.fields import Settings
from zcc.policy.objects.name import Description, ObjectName
from zcc.policy.objects.tag_containers import read_containers
from zcc.policy.objects.tag_expression import Expression, Join, Tag, Tagged, parse_expression

__all__ = ["ExpressionField", "WorkloadGroup"]


def _read(value: object) -> Any:
    if isinstance(value, Tag | Join):
        return value
    if isinstance(value, Mapping):
        return read_containers(value)
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no tag expression; allowed: text such as vm-tag-group=Dev AND "
                         "attr-Vpc-id=vpc-0a1b, or a mapping with expressionContainers")  # fmt: skip
    return parse_expression(value)


ExpressionField = Annotated[
    Tag | Join,
    BeforeValidator(_read),
    PlainSerializer(str, return_type=str, when_used="json"),
    WithJsonSchema({
        "description": "tags: vm-tag-group=Dev OR vm-tag-group=Prod; types vpc, subnet, vm, eni, any, and attr-KEY=VALUE",
        "anyOf": [{"type": "string"}, {"type": "object", "required": ["expressionContainers"],
                                       "properties": {"expressionContainers": {"type": "array"}}}],
    }),
]  # fmt: skip


class WorkloadGroup(Settings):
    """Workloads by their tags and attributes."""

    name: ObjectName
    description: Description = ""
    expression: ExpressionField

    def holds(self, workload: Tagged) -> bool:
        """Tell whether a workload belongs to the group."""
        found: Expression = self.expression
        return found.matches(workload)
