"""TLS and DTLS contexts: mutual, chained to the tenant's CA, one protocol version each.

    tls_*     TLS 1.3, Python's ssl                           microtunnels, portal
    dtls_*    DTLS 1.2, ECDHE-ECDSA-AES{128,256}-GCM, pyOpenSSL    internet tunnels
    stream_*  TLS 1.3, AES-GCM, pyOpenSSL                          internet tunnels where UDP is blocked

A context proves only that the peer belongs to the CA; host names are not looked at. Which role and tenant
the peer has, and whether it is revoked, zcc.pki.peer.PeerCheck decides after every handshake, before a byte
of the peer is used. No resumption: every handshake proves the key again. DTLS cookies are the session's work.
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime

from OpenSSL import SSL

from zcc.errors import IdentityError
from zcc.pki.certificate import load_identity
from zcc.pki.settings import IdentitySettings

__all__ = ["TUNNEL_ALPN", "dtls_client", "dtls_server", "stream_client", "stream_server", "tls_client", "tls_server"]

DTLS_CIPHERS = b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384"
# RFC 6347 §4.2.1 has no constant of its own for this in pyOpenSSL: the wire version of DTLS 1.2.
DTLS_1_2 = 0xFEFD
TUNNEL_ALPN = b"zcc-itunnel/1"


def tls_server(identity: IdentitySettings, alpn: str) -> ssl.SSLContext:
    """Make the context of a listener.

    Args:
        identity: our own certificate, key and CA.
        alpn: the one protocol spoken; RFC 7301. A peer that offers none is not refused by the library:
            compare selected_alpn_protocol() after the handshake.

    Raises:
        IdentityError: a file is missing, unreadable, out of date or does not fit.
    """
    context = _tls(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), identity, alpn)
    context.num_tickets = 0
    return context


def tls_client(identity: IdentitySettings, alpn: str) -> ssl.SSLContext:
    """Make the context of a dialler; see tls_server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    return _tls(context, identity, alpn)


def dtls_server(identity: IdentitySettings) -> SSL.Context:
    """Make the context of the internet edge's listener; the caller sets the cookie callbacks.

    Raises:
        IdentityError: a file is missing, unreadable, out of date or does not fit.
    """
    context = _open_ssl(SSL.Context(SSL.DTLS_SERVER_METHOD), identity, DTLS_1_2)
    context.set_cipher_list(DTLS_CIPHERS)
    return context


def dtls_client(identity: IdentitySettings) -> SSL.Context:
    """Make the context of the connector's side; see dtls_server."""
    context = _open_ssl(SSL.Context(SSL.DTLS_CLIENT_METHOD), identity, DTLS_1_2)
    context.set_cipher_list(DTLS_CIPHERS)
    return context


def stream_server(identity: IdentitySettings) -> SSL.Context:
    """Make the context of the internet edge's TCP listener; a peer that does not offer TUNNEL_ALPN is refused.

    Raises:
        IdentityError: a file is missing, unreadable, out of date or does not fit.
    """
    context = _open_ssl(SSL.Context(SSL.TLS_SERVER_METHOD), identity, SSL.TLS1_3_VERSION)
    context.set_alpn_select_callback(_choose_alpn)
    return context


def stream_client(identity: IdentitySettings) -> SSL.Context:
    """Make the context of the connector's side; see stream_server."""
    context = _open_ssl(SSL.Context(SSL.TLS_CLIENT_METHOD), identity, SSL.TLS1_3_VERSION)
    context.set_alpn_protos([TUNNEL_ALPN])
    return context


def _tls(context: ssl.SSLContext, identity: IdentitySettings, alpn: str) -> ssl.SSLContext:
    load_identity(identity, datetime.now(UTC))
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    try:
        context.load_cert_chain(identity.certificate, identity.key)
        context.load_verify_locations(cafile=identity.ca)
    except (ssl.SSLError, OSError) as error:
        raise IdentityError(f"{identity.certificate}: {error}; write it again with: zcc pki issue") from None
    context.set_alpn_protocols([alpn])
    return context


def _choose_alpn(connection: SSL.Connection, offered: list[bytes]) -> bytes:
    if TUNNEL_ALPN not in offered:
        raise ValueError("the peer does not speak the internet tunnel's protocol")      # the library ends the handshake
    return TUNNEL_ALPN


def _open_ssl(context: SSL.Context, identity: IdentitySettings, version: int) -> SSL.Context:
    load_identity(identity, datetime.now(UTC))
    context.set_min_proto_version(version)
    context.set_max_proto_version(version)
    context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_RENEGOTIATION)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)
    try:
        context.use_certificate_file(str(identity.certificate))
        context.use_privatekey_file(str(identity.key))
        context.load_verify_locations(str(identity.ca))
    except SSL.Error as error:
        raise IdentityError(f"{identity.certificate}: {error}; write it again with: zcc pki issue") from None
    return context
