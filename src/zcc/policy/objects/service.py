"""NetworkService, ServiceGroup: protocols and ports by name.

Journey: rules name services by themselves (tcp/443) or by name, and groups of them. `predefined` lists the usual ones.
Only destination ports are told apart; a flow is decided on its first packet. Application protocols are not looked at.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from zcc.fields import Settings
from zcc.policy.criteria import SERVICES, Service, ServiceField
from zcc.policy.objects.name import Description, ObjectName

__all__ = ["NetworkService", "ServiceGroup", "ServiceOrName"]


class NetworkService(Settings):
    """Traffic of these protocols and destination ports: any of them."""

    name: ObjectName
    description: Description = ""
    services: Annotated[tuple[ServiceField, ...], Field(min_length=1)]


class ServiceGroup(Settings):
    """Network services that rules mean together."""

    name: ObjectName
    description: Description = ""
    services: tuple[str, ...] = ()


def _service_or_name(value: object) -> Any:
    """Read tcp/443 and its like as a service, anything else as the name of one.

    Raises:
        ValueError: it begins as a service does and is none, or is no text.
    """
    if isinstance(value, Service):
        return value
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{value!r} is no service; allowed: {SERVICES}, or the name of one")
    text = value.strip()
    return Service.parse(text) if Service.looks_like_one(text) else text


ServiceOrName = Annotated[
    Service | str,
    BeforeValidator(_service_or_name),
    PlainSerializer(str, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "description": f"{SERVICES}, or the name of a network service such as HTTPS"}),
]
