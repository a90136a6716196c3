"""Who may talk to us: every way in which a certificate can be wrong is refused, and said why."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from hypothesis import given, settings
from hypothesis import strategies as st

from zcc.clock import ManualClock
from zcc.errors import IdentityError
from zcc.pki.authority import Authority
from zcc.pki.certificate import AgentName, new_key
from zcc.pki.issue import issue
from zcc.pki.peer import Peer, PeerCheck, PeerRefused
from zcc.pki.settings import IdentitySettings

from .conftest import identity_of


def der_of(identity: IdentitySettings) -> bytes:
    certificate = x509.load_pem_x509_certificate(identity.certificate.read_bytes())
    return certificate.public_bytes(serialization.Encoding.DER)


def forged(authority: Authority, *names: x509.GeneralName) -> bytes:
    """A certificate truly signed by the CA's key, with alternative names that the CA would not issue."""
    key = serialization.load_pem_private_key((authority.folder / "ca-key.pem").read_bytes(), None)
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder(issuer_name=authority.certificate.subject,
                                subject_name=authority.certificate.subject, public_key=new_key().public_key())
        .serial_number(7).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def test_verify_returns_who_the_peer_is(authority: Authority) -> None:
    check = PeerCheck(identity_of(authority, "private-edge", "pe-1"))
    peer = check.verify(der_of(identity_of(authority, "connector", "cc-1")), "connector", "app-connector")
    assert (peer.tenant, peer.role, peer.name) == ("acme", "connector", "cc-1")
    assert f"{peer.serial:x}" == authority.entries()[-1].serial


def test_verify_refuses_a_role_that_may_not_be_here(authority: Authority) -> None:
    check = PeerCheck(identity_of(authority, "private-edge", "pe-1"))
    with pytest.raises(PeerRefused, match="here only connector or app-connector"):
        check.verify(der_of(identity_of(authority, "internet-edge", "ie-1")), "connector", "app-connector")


def test_verify_refuses_everybody_when_no_role_is_allowed(authority: Authority) -> None:
    check = PeerCheck(identity_of(authority, "private-edge", "pe-1"))
    with pytest.raises(PeerRefused):
        check.verify(der_of(identity_of(authority, "connector", "cc-1")))


def test_verify_refuses_another_ca_even_with_the_same_names(authority: Authority, tmp_path: Path) -> None:
    check = PeerCheck(identity_of(authority, "private-edge", "pe-1"))
    stranger = Authority.create(tmp_path / "stranger", "acme")
    with pytest.raises(PeerRefused, match="not signed by"):
        check.verify(der_of(identity_of(stranger, "connector", "cc-1")), "connector")


def test_verify_refuses_another_tenant_of_the_same_ca(authority: Authority) -> None:
    check = PeerCheck(identity_of(authority, "private-edge", "pe-1"))
    der = forged(authority, x509.UniformResourceIdentifier("zcc://other/connector/cc-1"))
    with pytest.raises(PeerRefused, match="we belong to tenant acme"):
        check.verify(der, "connector")


@pytest.mark.parametrize(
    "uris",
    [
        pytest.param([], id="no URI"),
        pytest.param(["zcc://acme/connector/a", "zcc://acme/connector/b"], id="two URIs"),
        pytest.param(["spiffe://acme/connector/a"], id="another scheme"),
        pytest.param(["zcc://acme/connector/a/b"], id="four parts"),
        pytest.param(["zcc://acme/gateway/a"], id="unknown role"),
        pytest.param(["zcc://acme/connector/"], id="empty name"),
    ],
)
def test_verify_refuses_names_other_than_one_agent(authority: Authority, uris: list[str]) -> None:
    check = PeerCheck(identity_of(authority, "private-edge", "pe-1"))
    with pytest.raises(PeerRefused):
        check.verify(forged(authority, *[x509.UniformResourceIdentifier(uri) for uri in uris]), "connector")


@pytest.mark.parametrize("days", [-1.0, 31.0])
def test_verify_refuses_a_certificate_out_of_date(authority: Authority, days: float) -> None:
    own = identity_of(authority, "private-edge", "pe-1", days=365)
    der = der_of(identity_of(authority, "connector", "cc-1", days=30))
    clock = ManualClock(time=datetime.now(UTC).timestamp())
    check = PeerCheck(own, clock)
    check.verify(der, "connector")
    clock._time += days * 86_400
    with pytest.raises(PeerRefused, match="out of date"):
        check.verify(der, "connector")


def test_verify_refuses_a_revoked_certificate_without_a_restart(authority: Authority) -> None:
    check = PeerCheck(identity_of(authority, "private-edge", "pe-1"))
    der = der_of(identity_of(authority, "connector", "cc-1"))
    peer, generation = check.verify(der, "connector"), check.generation
    authority.revoke("cc-1")
    with pytest.raises(PeerRefused, match="is revoked"):
        check.verify(der, "connector")
    assert check.changed_since(generation) and check.revoked(peer)
    assert not check.changed_since(check.generation)


def test_verify_lets_the_others_in_after_a_revocation(authority: Authority) -> None:
    check = PeerCheck(identity_of(authority, "private-edge", "pe-1"))
    identity_of(authority, "connector", "cc-1")
    der = der_of(identity_of(authority, "connector", "cc-2"))
    authority.revoke("cc-1")
    assert check.verify(der, "connector").name == "cc-2"


def test_a_broken_list_never_lets_the_revoked_back_in(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    own = identity_of(authority, "private-edge", "pe-1")
    der = der_of(identity_of(authority, "connector", "cc-1"))
    authority.revoke("cc-1")
    check = PeerCheck(own)
    assert own.crl is not None
    for content in (b"", b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n", None):
        own.crl.write_bytes(content) if content is not None else os.unlink(own.crl)
        with pytest.raises(PeerRefused, match="is revoked"):
            check.verify(der, "connector")
    assert "revocation list kept" in caplog.text


def test_a_list_of_another_ca_is_not_believed(authority: Authority, tmp_path: Path) -> None:
    own = identity_of(authority, "private-edge", "pe-1")
    stranger = Authority.create(tmp_path / "stranger", "acme")
    assert own.crl is not None
    own.crl.write_bytes(stranger.crl())
    with pytest.raises(IdentityError, match="not signed by this agent's CA"):
        PeerCheck(own)


def test_start_fails_when_the_list_is_missing(authority: Authority) -> None:
    own = identity_of(authority, "private-edge", "pe-1")
    with pytest.raises(IdentityError, match=r"copy crl\.pem"):
        PeerCheck(own.model_copy(update={"crl": authority.folder / "absent.pem"}))


def test_without_a_list_nothing_is_revoked(authority: Authority) -> None:
    check = PeerCheck(identity_of(authority, "private-edge", "pe-1").model_copy(update={"crl": None}))
    der = der_of(identity_of(authority, "connector", "cc-1"))
    authority.revoke("cc-1")
    serial = int(authority.entries()[1].serial, 16)
    assert check.verify(der, "connector") == Peer("acme", "connector", "cc-1", serial)
    assert not check.changed_since(0)


@pytest.fixture(scope="module")
def one_check(tmp_path_factory: pytest.TempPathFactory) -> tuple[PeerCheck, bytes]:
    authority = Authority.create(tmp_path_factory.mktemp("pki") / "ca", "acme")
    check = PeerCheck(identity_of(authority, "private-edge", "pe-1"))
    return check, der_of(identity_of(authority, "connector", "cc-1"))


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_verify_of_any_bytes_returns_the_genuine_peer_or_refuses(
    one_check: tuple[PeerCheck, bytes], data: st.DataObject
) -> None:
    check, der = one_check
    if data.draw(st.booleans()):
        position = data.draw(st.integers(0, len(der) - 1))
        junk = der[:position] + data.draw(st.binary(max_size=4)) + der[position:]
    else:
        junk = data.draw(st.binary(max_size=600))
    try:
        assert check.verify(junk, "connector").name == "cc-1"
    except PeerRefused:
        assert junk != der


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("certificate.pem", None, "No such file"),
        ("certificate.pem", b"", "no certificate in PEM form"),
        ("key.pem", b"junk", "no unencrypted private key"),
        ("ca.pem", b"junk", "no certificate in PEM form"),
    ],
)
def test_own_identity_names_the_file_that_is_wrong(
    authority: Authority, file: str, content: bytes | None, message: str
) -> None:
    own = identity_of(authority, "private-edge", "pe-1")
    path = own.certificate.parent / file
    path.write_bytes(content) if content is not None else path.unlink()
    with pytest.raises(IdentityError, match=message) as caught:
        PeerCheck(own)
    assert str(path) in str(caught.value)


def test_own_key_must_belong_to_the_certificate(authority: Authority) -> None:
    own = identity_of(authority, "private-edge", "pe-1")
    other = identity_of(authority, "private-edge", "pe-2")
    with pytest.raises(IdentityError, match="not the key of"):
        PeerCheck(own.model_copy(update={"key": other.key}))


def test_own_certificate_must_be_in_date(authority: Authority) -> None:
    own = identity_of(authority, "private-edge", "pe-1", days=30)
    with pytest.raises(IdentityError, match="zcc pki issue"):
        PeerCheck(own, ManualClock(time=datetime.now(UTC).timestamp() + 31 * 86_400))


def test_a_key_that_others_can_read_is_warned_about(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    own = identity_of(authority, "private-edge", "pe-1")
    own.key.chmod(0o644)
    PeerCheck(own)
    assert "chmod 600" in caplog.text


@pytest.mark.parametrize("uri", ["", "zcc://", "zcc://a/b", "zcc://acme/connector/ü", "http://acme/connector/x"])
def test_agent_names_parse_only_their_own_shape(uri: str) -> None:
    with pytest.raises(ValueError):
        AgentName.parse(uri)


def test_agent_names_print_what_they_parse(authority: Authority, tmp_path: Path) -> None:
    issue(authority, "app-connector", "AC_1.x", tmp_path / "out", 1)
    assert str(AgentName.parse("zcc://acme/app-connector/AC_1.x")) == "zcc://acme/app-connector/AC_1.x"
