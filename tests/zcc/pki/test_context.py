"""TLS and DTLS contexts, by real handshakes in memory."""

import ssl
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL

from zcc.errors import IdentityError
from zcc.pki.authority import Authority
from zcc.pki.context import dtls_client, dtls_server, tls_client, tls_server
from zcc.pki.peer import PeerCheck
from zcc.pki.settings import IdentitySettings

from .conftest import identity_of

ALPN = "zcc-mtunnel/1"


def tls_pair(client: ssl.SSLContext, server: ssl.SSLContext) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Shake hands through memory; raises what either side raises."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client.wrap_bio(down, up, server_side=False)
    far = server.wrap_bio(up, down, server_side=True)
    pending: list[Callable[[], None]] = [near.do_handshake, far.do_handshake]
    for _ in range(20):
        for step in list(pending):
            try:
                step()
                pending.remove(step)
            except ssl.SSLWantReadError:
                pass
        if not pending:
            break
    return near, far


def dtls_pair(client: SSL.Context, server: SSL.Context) -> tuple[SSL.Connection, SSL.Connection]:
    """Shake hands through memory; raises SSL.Error when either side refuses."""
    near, far = SSL.Connection(client, None), SSL.Connection(server, None)
    near.set_connect_state()
    far.set_accept_state()
    for end in (near, far):
        end.set_ciphertext_mtu(1400)
    pending = [near, far]
    for _ in range(20):
        for end in list(pending):
            try:
                end.do_handshake()
                pending.remove(end)
            except SSL.WantReadError:
                pass
            move(end, far if end is near else near)
        if not pending:
            return near, far
    raise AssertionError("no handshake after 20 rounds")


def move(source: SSL.Connection, target: SSL.Connection) -> None:
    while True:
        try:
            target.bio_write(source.bio_read(16_384))
        except SSL.WantReadError:
            return


@pytest.fixture
def connector(authority: Authority) -> IdentitySettings:
    return identity_of(authority, "connector", "cc-1")


@pytest.fixture
def edge(authority: Authority) -> IdentitySettings:
    return identity_of(authority, "private-edge", "pe-1")


@pytest.fixture
def stranger(tmp_path_factory: pytest.TempPathFactory) -> IdentitySettings:
    return identity_of(Authority.create(tmp_path_factory.mktemp("x") / "ca", "acme"), "connector", "cc-1")


def test_tls_shakes_hands_with_1_3_and_both_sides_know_the_other(
    connector: IdentitySettings, edge: IdentitySettings
) -> None:
    near, far = tls_pair(tls_client(connector, ALPN), tls_server(edge, ALPN))
    assert near.version() == far.version() == "TLSv1.3"
    assert near.selected_alpn_protocol() == far.selected_alpn_protocol() == ALPN
    to_near, to_far = near.getpeercert(binary_form=True), far.getpeercert(binary_form=True)
    assert to_near and to_far
    assert PeerCheck(connector).verify(to_near, "private-edge").name == "pe-1"
    assert PeerCheck(edge).verify(to_far, "connector").name == "cc-1"


def test_tls_server_refuses_a_client_of_other_ca(stranger: IdentitySettings, edge: IdentitySettings) -> None:
    client = tls_client(stranger, ALPN)
    client.verify_mode = ssl.CERT_NONE
    with pytest.raises(ssl.SSLCertVerificationError):
        tls_pair(client, tls_server(edge, ALPN))


def test_tls_server_refuses_a_client_without_a_certificate(edge: IdentitySettings) -> None:
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    with pytest.raises(ssl.SSLError, match=r"(?i)peer did not return a certificate"):
        tls_pair(client, tls_server(edge, ALPN))


def test_tls_client_refuses_a_server_of_other_ca(stranger: IdentitySettings, edge: IdentitySettings) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        tls_pair(tls_client(edge, ALPN), tls_server(stranger, ALPN))


def test_tls_refuses_version_1_2(connector: IdentitySettings, edge: IdentitySettings) -> None:
    client = tls_client(connector, ALPN)
    client.minimum_version = ssl.TLSVersion.TLSv1_2
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError):
        tls_pair(client, tls_server(edge, ALPN))


def test_dtls_shakes_hands_with_aes_gcm_and_both_sides_know_the_other(
    authority: Authority, connector: IdentitySettings
) -> None:
    edge = identity_of(authority, "internet-edge", "ie-1")
    near, far = dtls_pair(dtls_client(connector), dtls_server(edge))
    assert near.get_protocol_version_name() == "DTLSv1.2"
    assert near.get_cipher_name() == "ECDHE-ECDSA-AES128-GCM-SHA256"
    for end, own, role in ((near, connector, "internet-edge"), (far, edge, "connector")):
        certificate = end.get_peer_certificate(as_cryptography=True)
        assert certificate is not None
        der = certificate.public_bytes(Encoding.DER)
        assert PeerCheck(own).verify(der, role).role == role


def test_dtls_refuses_another_ca_on_either_side(stranger: IdentitySettings, edge: IdentitySettings) -> None:
    with pytest.raises(SSL.Error):
        dtls_pair(dtls_client(stranger), dtls_server(edge))
    with pytest.raises(SSL.Error):
        dtls_pair(dtls_client(edge), dtls_server(stranger))


def test_dtls_server_refuses_a_client_without_a_certificate(edge: IdentitySettings) -> None:
    with pytest.raises(SSL.Error):
        dtls_pair(SSL.Context(SSL.DTLS_CLIENT_METHOD), dtls_server(edge))


@pytest.mark.parametrize("make", [dtls_client, dtls_server, lambda own: tls_client(own, ALPN),
                                  lambda own: tls_server(own, ALPN)])
def test_contexts_name_the_file_that_is_missing(
    connector: IdentitySettings, make: Callable[[IdentitySettings], object]
) -> None:
    connector.key.unlink()
    with pytest.raises(IdentityError, match=r"key\.pem"):
        make(connector)
