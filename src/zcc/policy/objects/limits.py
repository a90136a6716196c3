"""Limits: how much a policy may hold. The file's `limits` raises or lowers each.

Journey: zcc.policy.references compares a policy with them. Where nothing is said the default is the reference product's
figure (`zcc.policy.objects.limits` names it in each description); it is higher where the product's limit has no reason in
this data plane.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from zcc.fields import Settings

__all__ = ["Limits"]

MOST = 1 << 20


def _limit(default: int, what: str, reference: str = "") -> Any:
    lifted = f"; {reference} in the reference product" if reference else ""
    return Field(default=default, ge=0, le=MOST, description=what + lifted)


class Limits(Settings):
    """The most there may be of each."""

    rules: int = _limit(16_384, "forwarding rules", "1,020")
    values: int = _limit(8_000, "addresses, or names, in one rule or group")
    names: int = _limit(MOST, "names and patterns in all rules and groups", "16,000")
    locations_in_rule: int = _limit(64, "locations in one rule", "8")
    location_groups_in_rule: int = _limit(32, "location groups in one rule")
    connector_groups_in_rule: int = _limit(32, "connector groups in one rule")
    workload_groups_in_rule: int = _limit(255, "workload groups in one rule")
    applications: int = _limit(50_000, "applications")
    segment_groups: int = _limit(600, "segment groups")
    server_groups: int = _limit(1_000, "server groups")
    source_groups: int = _limit(4_000, "source groups")
    destination_groups: int = _limit(4_000, "destination groups")
    services: int = _limit(1_024, "network services besides the predefined ones")
    service_groups: int = _limit(1_024, "service groups", "126")
    application_services: int = _limit(1_024, "application services besides the predefined ones")
    workload_groups: int = _limit(4_000, "workload groups")
    tags_in_group: int = _limit(64, "tags in the expression of one workload group", "8")
    locations: int = _limit(1_000, "locations")
    location_groups: int = _limit(1_000, "location groups")
    connector_groups: int = _limit(1_000, "connector groups")
    gateways: int = _limit(1_000, "gateways")
    dns_gateways: int = _limit(255, "DNS gateways")
    pools: int = _limit(255, "pools of synthetic addresses")
