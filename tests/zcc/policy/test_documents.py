"""Every example of docs/policy.md is what a connector's file may hold, and every object and criterion has one."""

import re
from pathlib import Path

import pytest
import yaml

from zcc.connector.settings import ConnectorSettings
from zcc.feeds.workloads import WorkloadFile
from zcc.policy.model import CRITERIA, Policy
from zcc.policy.objects.catalogue import Catalogue
from zcc.policy.objects.limits import Limits

DOCUMENT = (Path(__file__).parents[3] / "docs" / "policy.md").read_text()
BLOCKS = [(kind, yaml.safe_load(text)) for kind, text in re.findall(r"```yaml *(\w*)\n(.*?)```", DOCUMENT, re.DOTALL)]
BASE = {
    "name": "cc-1", "state": "/var/lib/zcc", "identity": {"certificate": "c.pem", "key": "k.pem", "ca": "ca.pem"},
    "namespaces": [{"name": "blue", "id": 1}], "locations": ["l1"], "ingress": {"address": "10.1.200.11"},
    "kernel": {"internal": "198.18.0.0/16"}, "zpa": {"edges": ["10.0.3.10:443"]}, "direct": {"address": "10.1.200.111"},
    "zia": {"edges": [{"name": "ie-9", "address": "10.0.4.11:443"}]}, "health": {"address": "10.1.200.11"},
}  # fmt: skip


@pytest.mark.parametrize("number", [n for n, (kind, _) in enumerate(BLOCKS) if not kind])
def test_an_example_is_taken_and_prints_back(number):
    settings = ConnectorSettings.model_validate({**BASE, **BLOCKS[number][1]})
    policy = settings.policy()
    assert Policy.model_validate(policy.model_dump(mode="json")) == policy


def test_the_example_of_a_workload_file_is_taken():
    [block] = [block for kind, block in BLOCKS if kind == "workloads"]
    assert len(list(WorkloadFile.model_validate(block).all(0.0))) == 2


def test_every_object_and_criterion_has_an_example():
    shown = {key for _, block in BLOCKS for key in block}
    assert set(Catalogue.model_fields) <= shown
    used = {field for _, block in BLOCKS for rule in block.get("rules", ()) for field in rule}
    fields = {field for fields in CRITERIA.values() for field in fields}
    assert fields - used <= {"applications", "tags_newer_than"}  # shown by their neighbours


def test_every_limit_is_in_the_table_with_its_default():
    rows = {name: row for row in DOCUMENT.split("## Limits")[1].splitlines() for name in re.findall(r"`(\w+)`", row)}
    for name, field in Limits.model_fields.items():
        assert f"{field.default:,}" in rows[name], name
