"""check, explain, replay and policy diff as a person runs them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mmdb import write_mmdb

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "connector.yaml"
RECORD = {"log": "session", "clt_src_ip": "10.8.6.4", "clt_dst_ip": "203.0.113.9", "clt_dst_port": 443,
          "fwdtypename": "ZIA", "rdrrulename": "Default Forwarding Rule", "clt_nw_protocol": "TCP"}  # fmt: skip


def zcc(*arguments, folder):
    command = [sys.executable, "-m", "zcc", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False, timeout=60)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "zcc.yaml").write_text(EXAMPLE.read_text())
    return tmp_path


def edit(folder, old, new, name="zcc.yaml"):
    text = (folder / "zcc.yaml").read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new))


def test_check_tells_of_a_shadow_with_its_line_and_exits_0(folder):
    edit(folder, "rules:", "rules:\n- {name: all, method: DROP}\n#")
    done = zcc("check", folder=folder)
    assert done.returncode == 0 and done.stdout.startswith("zcc.yaml: OK, 4 warnings")
    first = done.stderr.splitlines()[0]
    lines = (folder / "zcc.yaml").read_text().splitlines()
    line = lines.index("- {name: applications, method: ZPA, all_applications: true}") + 1
    assert first.startswith(f"zcc.yaml:{line}: rules[1]: warning: rule 'applications' never decides: 'all' above it")
    answer = json.loads(zcc("check", "--json", folder=folder).stdout)
    assert answer["ok"] and {p["code"] for p in answer["problems"]} == {"shadowed"}


def test_check_tells_of_a_missing_feed_as_a_mistake_and_exits_2(folder):
    edit(folder, "drain:", "feeds: {workloads: none.yaml}\ndrain:")
    done = zcc("check", folder=folder)
    assert done.returncode == 2 and "feeds: none.yaml: workloads can not be read" in done.stderr


def test_explain_looks_into_the_files_beside_the_configuration(folder):
    write_mmdb(folder / "c.mmdb", {"203.0.113.0/24": {"country": {"iso_code": "DE"}}})
    edit(folder, "drain:", "feeds: {countries: c.mmdb}\ndrain:")
    edit(folder, "rules:", "rules:\n- {name: home, method: DIRECT, countries: [DE]}\n#")
    done = zcc("explain", "--src", "10.8.6.4", "--dst", "203.0.113.9", "--json", folder=folder)
    told = json.loads(done.stdout)
    assert told["rule"]["name"] == "home" and told["flow"]["country"] == "DE"


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        (("--name", "portal.corp.example"), "subject"),
        (("--workload", "10.8.6.4", "--namespace", "blue"), "subject"),
        (("--src", "10.8.6.4", "--name", "portal.corp.example", "--service", "tcp/443"), "rule"),
        (("--src", "10.8.6.4", "--dst", "10.8.6.5", "--endpoint", "vpce-0a1b2c3d4e5f60718"), "rule"),
    ],
)
def test_explain_answers_what_is_asked(folder, arguments, key):
    done = zcc("explain", *arguments, "--json", folder=folder)
    assert done.returncode == 0 and key in json.loads(done.stdout)
    assert zcc("explain", *arguments, folder=folder).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give --src"),
        (("--src", "10.8.6.4"), "--src needs --dst, or --name"),
        (("--dst", "10.8.6.4"), "give --src"),
        (("--src", "x", "--dst", "10.0.0.1"), "does not appear"),
        (("--src", "10.8.6.4", "--dst", "10.0.0.1", "--endpoint", "vpce-00000000000000001"), "is not in the file"),
        (("--src", "10.8.6.4", "--dst", "10.0.0.1", "--endpoint", "vpce-0a1b2c3d4e5f60718", "--namespace", "green"),
         "not of green"),
        (("--src", "10.8.6.4", "--dst", "10.0.0.1", "--namespace", "blu"), "allowed: blue, green"),
        (("--src", "10.8.6.4", "--dst", "10.0.0.1", "--location", "nowhere"), "allowed: blue-production, green-production"),
        (("--tag", "vm-tag-a=b AND vm-tag-c=d", "--dst", "10.0.0.1"), "more than one tag"),
    ],
)
def test_a_question_that_is_none_exits_2(folder, arguments, message):
    done = zcc("explain", *arguments, folder=folder)
    assert done.returncode == 2 and message in " ".join(done.stderr.replace("│", " ").split())


def test_explain_answers_for_a_workload_that_is_not_there_yet_and_for_the_query_before_a_flow(folder):
    rule = "rules:\n- {name: dev, method: DROP, source_workload_groups: [dev], destinations: [evil.example]}\n#"
    edit(folder, "rules:", rule)
    edit(folder, "drain:", "workload_groups: [{name: dev, expression: vm-tag-group=Dev}]\n"
         "dns_rules: [{name: sink, action: OVERWRITE, names: [evil.example], addresses: [10.9.9.9]}]\ndrain:")
    flow = ("--name", "evil.example", "--service", "tcp/443", "--json")
    by_tag = json.loads(zcc("explain", "--tag", "vm-tag-group=Dev", *flow, folder=folder).stdout)
    without = json.loads(zcc("explain", "--src", "10.8.6.4", *flow, folder=folder).stdout)
    assert by_tag["rule"]["name"] == "dev" and by_tag["flow"]["source"] is None and without["rule"]["name"] == "no-evil"
    assert "DNS rule 0 'sink' decides: OVERWRITE; the answer: 10.9.9.9" in without["notes"][-1]
    about = json.loads(zcc("explain", "--name", "evil.example", "--json", folder=folder).stdout)
    assert about["notes"][-1] == "DNS rules about it: 0 'sink' (OVERWRITE); ask with --query and --src"


def test_replay_of_a_log_lists_what_would_change(folder):
    (folder / "session.jsonl").write_text(json.dumps(RECORD) + "\n" + json.dumps(RECORD | {"clt_dst_ip": "192.0.2.1"}) + "\n")
    done = zcc("replay", "session.jsonl", "--json", folder=folder)
    change, summary = map(json.loads, done.stdout.splitlines())
    assert change["after"] == {"method": "DIRECT", "rule": "updates"} and summary["cut"] == 1 and summary["looked_at"] == 2
    assert "2 flows looked at · 1 decided otherwise" in zcc("replay", "session.jsonl", folder=folder).stdout
    edit(folder, "203.0.113.0/24", "198.51.100.0/24", "candidate.yaml")
    done = zcc("replay", "session.jsonl", "--config", "candidate.yaml", "--against", "zcc.yaml", "--json", folder=folder)
    assert json.loads(done.stdout.splitlines()[0])["before"]["rule"] == "updates"


def test_diff_says_what_is_different_and_exits_1(folder):
    edit(folder, "203.0.113.0/24", "198.51.100.0/24", "candidate.yaml")
    done = zcc("policy", "diff", "zcc.yaml", "candidate.yaml", "--json", folder=folder)
    told = json.loads(done.stdout)
    assert done.returncode == 1 and told["effect"]["cut"] > 0
    assert told["differences"] == ["rule 'updates': destinations: + 198.51.100.0/24, − 203.0.113.0/24"]
    assert zcc("policy", "diff", "zcc.yaml", "zcc.yaml", folder=folder).returncode == 0


@pytest.mark.parametrize("command", [("policy", "diff"), ("replay",), ("explain",), ("check",)])
def test_help_has_an_example(tmp_path, command):
    done = zcc(*command, "--help", folder=tmp_path)
    assert done.returncode == 0 and "Example" in done.stdout


def test_explain_tells_what_becomes_of_a_dns_query(folder):
    write_mmdb(folder / "c.mmdb", {"192.0.2.0/24": {"country": {"iso_code": "KP"}}})
    example = EXAMPLE.with_name("connector-for-encrypted-dns.yaml").read_text()
    (folder / "zcc.yaml").write_text(example.replace("/var/lib/zcc/countries.mmdb", str(folder / "c.mmdb")))
    done = zcc("explain", "--src", "10.8.6.4", "--query", "use-application-dns.net", folder=folder)
    assert done.returncode == 0 and "rule 0 'canary' decides: BLOCK" in done.stdout
    assert "answer: NXDOMAIN, from the connector itself: DNS rule canary" in done.stdout
    answers = ("--answer", "203.0.113.9", "--answer", "192.0.2.9")
    done = zcc("explain", "--src", "10.8.6.4", "--query", "www.example", "--type", "HTTPS", *answers, "--json", folder=folder)
    said = json.loads(done.stdout)
    assert said["answer"]["gateway"] == "inhouse" and said["rule"]["name"] == "visible"
    assert said["review"]["rule"] == "no embargoed places" and said["review"]["action"] == "BLOCK"
    done = zcc("explain", "--query", "www.example", folder=folder)
    assert done.returncode == 2 and "give --query with --src" in done.stderr.replace("\n", " ").replace("│", "")
