"""Workloads: whose an address is, from a file of YAML or JSON.

    confirmed: 2026-11-26T06:00:00Z     # when this was last known to be right; without it, the file's own time
    vpcs:    [{id: vpc-1, namespace: blue, tags: {env: prod}}]
    subnets: [{id: subnet-1, in: vpc-1, tags: {tier: web}}]
    vms:     [{id: i-1, in: subnet-1, tags: {group: Dev}, attributes: {ImageId: ami-1}}]
    enis:    [{id: eni-1, in: i-1, addresses: [10.8.6.4]}]
    workloads:                          # or without what is around them
    - {address: 10.8.6.5, namespace: blue, tags: {vm: {group: Prod}}, attributes: {Vpc-id: vpc-1}}

Journey: the file → here → zcc.policy.workload. An attribute Vpc-id is given to everything in a VPC, unless it has one. A
mistake is told with its line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints

from zcc.config import validate
from zcc.document import Document, read_document
from zcc.errors import ConfigurationError, FeedError
from zcc.fields import Settings
from zcc.policy.objects.tag_expression import TagType
from zcc.policy.workload import Carrier, Inventory, InventoryError, Workload, Workloads

__all__ = ["WorkloadFile", "read_workloads"]

FILE_BYTES_LIMIT = 1 << 28
Id = Annotated[str, StringConstraints(min_length=1, max_length=255)]
Text = Annotated[str, StringConstraints(max_length=1024)]
Tags = Annotated[Mapping[Text, Text], Field(default_factory=dict)]


class CarrierEntry(Settings):
    """A VPC, subnet, VM or ENI."""

    id: Id
    parent: str = Field(default="", alias="in", description="id of the VPC, subnet or VM that it is in")
    namespace: str = ""
    tags: Tags
    attributes: Tags
    addresses: tuple[IPv4Address | IPv6Address, ...] = ()


class LevelTags(Settings):
    """Tags of one address, by what carries them."""

    vpc: Tags
    subnet: Tags
    vm: Tags
    eni: Tags


class WorkloadEntry(Settings):
    """One address."""

    address: IPv4Address | IPv6Address
    namespace: str = ""
    id: str = ""
    tags: LevelTags = LevelTags.model_validate({})
    attributes: Tags


class WorkloadFile(Settings):
    """The whole file."""

    confirmed: datetime | None = None
    vpcs: tuple[CarrierEntry, ...] = ()
    subnets: tuple[CarrierEntry, ...] = ()
    vms: tuple[CarrierEntry, ...] = ()
    enis: tuple[CarrierEntry, ...] = ()
    workloads: tuple[WorkloadEntry, ...] = ()

    def all(self, confirmed_s: float) -> Iterator[Workload]:
        """Yield the workload of every address.

        Raises:
            InventoryError: something names what is not there.
        """
        listed = ((TagType.VPC, self.vpcs), (TagType.SUBNET, self.subnets), (TagType.VM, self.vms), (TagType.ENI, self.enis))
        carriers = [_carrier(type, entry) for type, entries in listed for entry in entries]
        yield from Inventory(carriers, confirmed_s).workloads()
        for entry in self.workloads:
            own = {type: tags for type in (TagType.VPC, TagType.SUBNET, TagType.VM, TagType.ENI)
                   if (tags := getattr(entry.tags, type.lower()))}  # fmt: skip
            yield Workload(entry.namespace, entry.address, own, entry.attributes, confirmed_s, entry.id)


def _carrier(type: TagType, entry: CarrierEntry) -> Carrier:
    attributes = {"Vpc-id": entry.id, **entry.attributes} if type is TagType.VPC else entry.attributes
    return Carrier(type, entry.id, entry.parent, entry.tags, attributes, entry.addresses, entry.namespace)


def read_workloads(path: Path) -> Workloads:
    """Read a file of workloads.

    Raises:
        FeedError: it can not be read, or is wrong; with file, line, field and what is allowed.
    """
    try:
        status = path.stat()
        if status.st_size > FILE_BYTES_LIMIT:
            raise FeedError(f"{path}: a file of workloads may have at most {FILE_BYTES_LIMIT} bytes")
        data = path.read_bytes()
    except OSError as error:
        raise FeedError(f"{path}: workloads can not be read: {error.strerror}") from None
    try:
        file = validate(_document(path, data), WorkloadFile)
    except ConfigurationError as error:
        raise FeedError(str(error)) from None
    assert isinstance(file, WorkloadFile)
    confirmed_s = status.st_mtime if file.confirmed is None else file.confirmed.timestamp()
    try:
        return Workloads(file.all(confirmed_s))
    except InventoryError as error:
        raise FeedError(f"{path}: {error}") from None


def _document(path: Path, data: bytes) -> Document:
    """Parse JSON by its own parser, many times as fast; its problems name fields, and line 1."""
    if path.suffix == ".json":
        try:
            return Document(str(path), json.loads(data))
        except (ValueError, RecursionError) as error:
            raise FeedError(f"{path}: not JSON: {error}") from None
    document = read_document(data, str(path))
    if document.value is None and not document.problems:
        document.value = {}
    return document
