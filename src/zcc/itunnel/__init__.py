"""The internet tunnel: Geneve packets in DTLS between a connector and its internet edges.

    settings    what is configured              wire       control messages, bytes and back
    session     is one edge alive? (pure)       choice     which edge takes new flows (pure)
    handshake   DTLS without a socket           gateways   the same for every gateway (pure)
    client      the connector's end, over asyncio

The data phase belongs to the compiled worker; here are handshakes, probes and decisions.
"""
