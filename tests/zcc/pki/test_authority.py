"""The CA's folder: what appears in it, who may read it, and what a crash leaves."""

import json
import os
import stat
from pathlib import Path

import pytest
from cryptography import x509

from zcc.errors import AuthorityError
from zcc.pki import authority as authority_module
from zcc.pki.authority import Authority
from zcc.pki.certificate import AgentName, agent_name, new_key, request
from zcc.pki.issue import issue

from .conftest import identity_of


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def crl_of(authority: Authority) -> x509.CertificateRevocationList:
    return x509.load_pem_x509_crl(authority.crl())


def test_create_writes_a_private_key_that_only_the_owner_reads(authority: Authority) -> None:
    assert mode(authority.folder / "ca-key.pem") == 0o600
    assert mode(authority.folder / "ca.pem") == 0o644


def test_create_is_not_fooled_by_the_umask(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        made = Authority.create(tmp_path / "ca", "acme")
    finally:
        os.umask(old)
    assert mode(made.folder / "ca-key.pem") == 0o600


def test_create_refuses_a_folder_with_files_and_leaves_it_alone(tmp_path: Path) -> None:
    (tmp_path / "ca").mkdir()
    (tmp_path / "ca" / "thesis.txt").write_text("mine")
    with pytest.raises(AuthorityError, match="choose an absent or empty folder"):
        Authority.create(tmp_path / "ca", "acme")
    assert [path.name for path in tmp_path.rglob("*")] == ["ca", "thesis.txt"]


def test_create_twice_keeps_the_first_ca(authority: Authority) -> None:
    before = (authority.folder / "ca.pem").read_bytes()
    with pytest.raises(AuthorityError):
        Authority.create(authority.folder, "other")
    assert (authority.folder / "ca.pem").read_bytes() == before


@pytest.mark.parametrize("tenant", ["", "Acme", "a/b", "a b", "x" * 64])
def test_create_refuses_a_tenant_that_no_uri_can_hold(tmp_path: Path, tenant: str) -> None:
    with pytest.raises(ValueError, match="tenant"):
        Authority.create(tmp_path / "ca", tenant)
    assert not (tmp_path / "ca").exists()


def test_open_names_the_command_when_there_is_no_ca(tmp_path: Path) -> None:
    with pytest.raises(AuthorityError, match="zcc pki init"):
        Authority(tmp_path)


def test_open_says_when_the_index_is_damaged(authority: Authority) -> None:
    (authority.folder / "index.json").write_text("{}")
    with pytest.raises(AuthorityError, match="damaged"):
        Authority(authority.folder)


def test_open_refuses_the_key_of_another_ca(authority: Authority, tmp_path: Path) -> None:
    other = Authority.create(tmp_path / "other", "acme")
    (authority.folder / "ca-key.pem").write_bytes((other.folder / "ca-key.pem").read_bytes())
    with pytest.raises(AuthorityError, match="not the key"):
        Authority(authority.folder)


def test_issue_writes_four_files_and_lists_the_certificate(authority: Authority, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "identity"
    made = issue(authority, "connector", "cc-1", out, 30)
    assert sorted(path.name for path in out.iterdir()) == ["ca.pem", "certificate.pem", "crl.pem", "key.pem"]
    assert mode(out / "key.pem") == 0o600
    assert str(agent_name(made)) == "zcc://acme/connector/cc-1"
    [entry] = authority.entries()
    assert (entry.name, entry.serial) == ("cc-1", f"{made.serial_number:x}")


def test_issue_again_renews_and_keeps_the_key(authority: Authority, tmp_path: Path) -> None:
    out = tmp_path / "identity"
    first = issue(authority, "connector", "cc-1", out, 30)
    key = (out / "key.pem").read_bytes()
    second = issue(authority, "connector", "cc-1", out, 60)
    assert (out / "key.pem").read_bytes() == key
    assert second.public_key() == first.public_key() and second.serial_number != first.serial_number


def test_issue_refuses_a_folder_with_other_files(authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(AuthorityError, match=r"no key\.pem"):
        issue(authority, "connector", "cc-1", tmp_path, 30)
    assert authority.entries() == []


@pytest.mark.parametrize(("role", "name"), [("gateway", "x"), ("connector", ""), ("connector", "a/b")])
def test_issue_refuses_names_that_are_not_allowed(authority: Authority, role: str, name: str) -> None:
    with pytest.raises(ValueError, match="allowed"):
        issue(authority, role, name, authority.folder / "out", 30)


def test_sign_never_outlives_the_ca(authority: Authority, tmp_path: Path) -> None:
    made = issue(authority, "connector", "cc-1", tmp_path / "out", 100_000)
    assert made.not_valid_after_utc == authority.certificate.not_valid_after_utc


def test_sign_refuses_a_csr_of_another_tenant(authority: Authority) -> None:
    csr = request(new_key(), AgentName("other", "connector", "cc-1"))
    with pytest.raises(AuthorityError, match="belongs to tenant acme"):
        authority.sign(csr, 30)
    assert authority.entries() == []


def test_revoke_by_name_lists_every_certificate_of_it(authority: Authority, tmp_path: Path) -> None:
    serials = {issue(authority, "connector", "cc-1", tmp_path / "out", 30).serial_number for _ in range(2)}
    kept = issue(authority, "connector", "cc-2", tmp_path / "kept", 30).serial_number
    assert len(authority.revoke("cc-1")) == 2
    assert {entry.serial_number for entry in crl_of(authority)} == serials
    assert kept not in serials


def test_revoke_by_serial_touches_that_one_only(authority: Authority, tmp_path: Path) -> None:
    first = issue(authority, "connector", "cc-1", tmp_path / "out", 30)
    issue(authority, "connector", "cc-1", tmp_path / "out", 30)
    authority.revoke(f"{first.serial_number:X}")
    assert [entry.serial_number for entry in crl_of(authority)] == [first.serial_number]


def test_revoke_asks_for_the_role_when_a_name_has_two(authority: Authority) -> None:
    identity_of(authority, "connector", "n1")
    identity_of(authority, "private-edge", "n1")
    with pytest.raises(AuthorityError, match="connector/n1 or private-edge/n1"):
        authority.revoke("n1")
    assert [entry.role for entry in authority.revoke("private-edge/n1")] == ["private-edge"]


def test_revoke_refuses_a_name_that_was_never_issued(authority: Authority) -> None:
    with pytest.raises(AuthorityError, match="zcc pki list"):
        authority.revoke("cc-9")


def test_revoke_again_completes_a_command_that_crashed_before_the_list(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity_of(authority, "connector", "cc-1")
    before = authority.crl()
    with monkeypatch.context() as patched:
        def crash(*_: object) -> bytes:
            raise OSError("disk full")
        patched.setattr(authority_module, "_sign_crl", crash)
        with pytest.raises(AuthorityError, match="disk full"):
            authority.revoke("cc-1")
    assert authority.crl() == before
    again = Authority(authority.folder).revoke("cc-1")
    assert again[0].revoked and len(list(crl_of(authority))) == 1


def test_crl_numbers_only_grow(authority: Authority, tmp_path: Path) -> None:
    numbers = []
    for name in ("a", "b", "c"):
        issue(authority, "connector", name, tmp_path / name, 30)
        numbers.append(crl_of(authority).extensions.get_extension_for_class(x509.CRLNumber).value.crl_number)
    assert numbers == sorted(set(numbers))


def test_index_is_plain_json_that_other_programs_can_read(authority: Authority) -> None:
    identity_of(authority, "connector", "cc-1")
    index = json.loads((authority.folder / "index.json").read_text())
    assert index["tenant"] == "acme" and index["certificates"][0]["role"] == "connector"
