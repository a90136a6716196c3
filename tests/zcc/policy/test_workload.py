"""Whose an address is: tags inherited from VPC to ENI, and what is wrong with an inventory."""

from ipaddress import ip_address

import pytest

from zcc.policy.objects.tag_expression import TagType
from zcc.policy.workload import Carrier, Inventory, InventoryError, Workload, Workloads

VPC = Carrier(TagType.VPC, "vpc-1", tags={"env": "prod", "team": "a"}, attributes={"Vpc-id": "vpc-1"}, namespace="blue")
SUBNET = Carrier(TagType.SUBNET, "subnet-1", "vpc-1", tags={"tier": "web"})
VM = Carrier(TagType.VM, "i-1", "subnet-1", tags={"env": "dev"}, attributes={"ImageId": "ami-1"})
ENI = Carrier(TagType.ENI, "eni-1", "i-1", tags={"role": "front"}, addresses=(ip_address("10.8.6.4"),))


@pytest.mark.parametrize(
    ("type", "key", "value", "there"),
    [
        ("VPC", "env", "prod", True),
        ("SUBNET", "env", "prod", True),
        ("VM", "env", "prod", False),  # its own is dev
        ("VM", "env", "dev", True),
        ("ENI", "env", "dev", True),
        ("ENI", "team", "a", True),
        ("ENI", "role", "front", True),
        ("VM", "role", "front", False),  # what an ENI carries is not its VM's
        ("SUBNET", "tier", "web", True),
        ("VPC", "tier", "web", False),
        ("ANY", "env", "prod", True),
        ("ANY", "env", "dev", True),
        ("ANY", "env", "test", False),
        ("ATTR", "Vpc-id", "vpc-1", True),
        ("ATTR", "ImageId", "ami-1", True),
        ("ATTR", "env", "dev", False),
        ("VM", "Vpc-id", "vpc-1", False),  # an attribute is no tag
    ],
)
def test_tags_are_inherited_inwards_and_the_inner_one_counts(type, key, value, there):
    [workload] = Inventory([ENI, VM, SUBNET, VPC], 5.0).workloads()
    assert (workload.namespace, workload.address, workload.confirmed_s) == ("blue", ip_address("10.8.6.4"), 5.0)
    assert workload.has_tag(TagType(type), key, value) is there


@pytest.mark.parametrize(
    ("carriers", "message"),
    [
        ([VPC, VPC], "id 'vpc-1' is used twice"),
        ([SUBNET], "subnet 'subnet-1' is in 'vpc-1', which does not exist"),
        ([VPC, Carrier(TagType.SUBNET, "s", "s")], "cannot be in the subnet 's'"),
        ([Carrier(TagType.VM, "a", "b"), Carrier(TagType.VM, "b", "a")], "cannot be in the vm"),
    ],
)
def test_a_wrong_inventory_is_refused(carriers, message):
    with pytest.raises(InventoryError, match=message):
        Inventory(carriers, 0.0)


def test_an_address_in_two_namespaces_is_two_workloads():
    here, there = (Workload(namespace, ip_address("10.0.0.1"), id=namespace) for namespace in ("blue", "green"))
    workloads = Workloads([here, there])
    assert workloads.find("blue", ip_address("10.0.0.1")) is here and not workloads.repeated
    assert workloads.find("red", ip_address("10.0.0.1")) is None


def test_of_two_for_one_address_the_one_confirmed_last_counts():
    old, new = (Workload("", ip_address("10.0.0.1"), confirmed_s=at) for at in (1.0, 2.0))
    for order in ([old, new], [new, old]):
        workloads = Workloads(order)
        assert workloads.find(None, ip_address("10.0.0.1")) is new and len(workloads.repeated) == 1
