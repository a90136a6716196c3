"""Files that rules look into: what is read, what is refused, and when they are read again."""

import json
import os
from ipaddress import ip_address, ip_network

import pytest

from mmdb import write_mmdb
from zcc.errors import FeedError
from zcc.feeds.categories import PIECE_BYTES, read_categories
from zcc.feeds.countries import CountryFile
from zcc.feeds.settings import FeedSettings
from zcc.feeds.watch import Watch
from zcc.feeds.workloads import read_workloads
from zcc.policy.domains import DomainSet
from zcc.policy.objects.tag_expression import TagType

DE, FR, REGISTERED = {"country": {"iso_code": "DE"}}, {"country_code": "fr"}, {"registered_country": {"iso_code": "US"}}
RECORDS = {"192.0.2.0/25": DE, "192.0.2.128/25": DE, "198.51.100.0/24": FR, "203.0.113.0/24": REGISTERED,
           "2001:db8::/32": DE, "10.0.0.0/8": {"city": "none"}}  # fmt: skip


@pytest.fixture
def countries(tmp_path):
    return CountryFile(write_mmdb(tmp_path / "c.mmdb", RECORDS))


@pytest.mark.parametrize(
    ("address", "country"),
    [("192.0.2.1", "DE"), ("192.0.2.200", "DE"), ("198.51.100.9", "FR"), ("203.0.113.1", "US"), ("10.1.1.1", None),
     ("8.8.8.8", None), ("2001:db8::1", "DE"), ("2001:db9::1", None)],
)  # fmt: skip
def test_an_address_is_in_its_country(countries, address, country):
    assert countries.of(ip_address(address)) == country


def test_networks_of_countries_are_merged(countries):
    found = list(countries.networks(frozenset({"DE", "FR", "SE"})))
    assert found == [(ip_network("192.0.2.0/24"), "DE"), (ip_network("2001:db8::/32"), "DE"),
                     (ip_network("198.51.100.0/24"), "FR")]  # fmt: skip


def test_a_database_of_ipv4_knows_nothing_of_ipv6(tmp_path):
    countries = CountryFile(write_mmdb(tmp_path / "c.mmdb", {"192.0.2.0/24": DE}, ip_version=4))
    assert countries.of(ip_address("192.0.2.1")) == "DE" and countries.of(ip_address("2001:db8::1")) is None
    assert list(countries.networks(frozenset({"DE"}))) == [(ip_network("192.0.2.0/24"), "DE")]


@pytest.mark.parametrize("data", [None, b"", b"no database"])
def test_what_is_no_database_is_refused(tmp_path, data):
    if data is not None:
        (tmp_path / "c.mmdb").write_bytes(data)
    with pytest.raises(FeedError, match=r"give a \.mmdb file"):
        CountryFile(tmp_path / "c.mmdb")


def test_categories_are_directories_and_files(tmp_path):
    (tmp_path / "ads").mkdir()
    (tmp_path / "ads" / "domains").write_text("# a comment\nads.example\nTracker.Example.\n\n*.wild.example # why\n")
    (tmp_path / "ads" / "urls").write_text("not.read.example/path\n")
    (tmp_path / "social" / "chat").mkdir(parents=True)
    (tmp_path / "social" / "chat" / "list.txt").write_text("chat.example\r\n.dotted.example\r\n")
    (tmp_path / "news.txt").write_bytes(b"news.example")
    found = read_categories(tmp_path)
    assert sorted(found) == ["ads", "news", "social/chat"]
    assert [len(found[name]) for name in sorted(found)] == [3, 1, 2]
    for name in ("ads.example", "a.b.ads.example", "tracker.example", "wild.example", "x.wild.example"):
        assert found["ads"].holds(name), name
    for name in ("example", "myads.example", "not.read.example", ""):
        assert not found["ads"].holds(name), name
    assert found["social/chat"].holds("dotted.example") and found["news"].holds("www.news.example")


def test_a_list_is_cut_at_lines_only(tmp_path):
    lines = [f"d{n}.example" for n in range(400_000)]
    (tmp_path / "big.txt").write_text("\n".join(lines))
    assert (tmp_path / "big.txt").stat().st_size > PIECE_BYTES
    found = read_categories(tmp_path)["big"]
    assert len(found) == 400_000 and all(found.holds(name) for name in lines[::997]) and not found.holds("d400000.example")
    assert found.nbytes == 8 * 400_000


@pytest.mark.parametrize("place", ["missing", "file"])
def test_a_missing_directory_is_told(tmp_path, place):
    (tmp_path / "file").write_text("")
    with pytest.raises(FeedError, match=r"give one with a directory|can not be read"):
        read_categories(tmp_path / place)


def test_an_empty_set_holds_nothing():
    assert not DomainSet([]).holds("a.example") and len(DomainSet([b"\n\n"])) == 0


WORKLOADS = """\
confirmed: 2026-01-01T00:00:00Z
vpcs: [{id: vpc-1, namespace: blue, tags: {env: prod}}]
vms: [{id: i-1, in: vpc-1, tags: {group: Dev}}]
enis: [{id: eni-1, in: i-1, addresses: [10.8.6.4, "fd00:8::4"]}]
workloads:
- {address: 10.8.6.5, namespace: blue, tags: {vm: {group: Prod}}, attributes: {Vpc-id: vpc-9}}
"""


def test_workloads_are_read_with_what_they_inherit(tmp_path):
    (tmp_path / "w.yaml").write_text(WORKLOADS)
    found = read_workloads(tmp_path / "w.yaml")
    first, second = (found.find("blue", ip_address(a)) for a in ("10.8.6.4", "10.8.6.5"))
    assert len(found) == 3 and first.has_tag(TagType.VM, "env", "prod") and first.has_tag(TagType.ATTR, "Vpc-id", "vpc-1")
    assert second.has_tag(TagType.VM, "group", "Prod") and second.attributes == {"Vpc-id": "vpc-9"}
    assert first.confirmed_s == 1767225600


def test_json_is_read_too_and_confirmed_by_its_time(tmp_path):
    path = tmp_path / "w.json"
    path.write_text(json.dumps({"workloads": [{"address": "10.0.0.1"}]}))
    os.utime(path, (5, 7))
    [workload] = read_workloads(path)
    assert workload.confirmed_s == 7.0


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("w.yaml", "workloads:\n- {adress: 10.0.0.1}\n",
         r"w\.yaml:2: workloads\[0\]\.adress: unknown field; did you mean address"),
        ("w.yaml", "vms: [{id: i-1, in: vpc-9}]", "vm 'i-1' is in 'vpc-9', which does not exist"),
        ("w.yaml", "workloads: [{address: 10.0.0.300}]", r"workloads\[0\]\.address"),
        ("w.json", "{", "not JSON"),
        ("w.json", '{"workloads": [{"address": 1.5}]}', r"workloads\[0\]\.address"),
    ],
)
def test_a_wrong_file_is_told_with_its_place(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(FeedError, match=message):
        read_workloads(tmp_path / name)


def test_a_changed_file_is_read_again_and_a_wrong_one_leaves_the_old(tmp_path):
    path = tmp_path / "w.yaml"
    path.write_text("workloads: [{address: 10.0.0.1}]")
    watch = Watch(FeedSettings(workloads=path))
    first = watch.world
    assert watch.look() == [] and watch.world is first
    path.write_text("workloads: [{address: 10.0.0.1}, {address: 10.0.0.2}]")
    assert watch.look() == ["workloads"] and len(watch.world.workloads) == 2 and len(first.workloads) == 1
    path.write_text("workloads: [{address: x}]")
    [problem] = watch.look()
    assert isinstance(problem, FeedError) and len(watch.world.workloads) == 2 and watch.look() == []


def test_a_new_category_is_seen(tmp_path):
    (tmp_path / "a.txt").write_text("a.example")
    watch = Watch(FeedSettings(categories=tmp_path))
    (tmp_path / "b.txt").write_text("b.example")
    assert watch.look() == ["categories"] and watch.world.categories_of("x.b.example") == {"b"}
