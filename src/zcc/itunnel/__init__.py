"""The internet tunnel: Geneve packets in DTLS between a connector and its internet edges.

    settings    what is configured              wire       control messages, bytes and back
    session     is one edge alive? (pure)       choice     which edge takes new flows (pure)
    pathmtu     how large may a packet be?      gateways   the same for every gateway (pure)
                (pure)
    leg         one session, by its messages    handshake  DTLS without a socket
                (pure)
    dial        from an address to a session    keeper     one edge: dialled, watched, renewed
    client      all edges: the connector's end, over asyncio

The data phase belongs to the compiled worker; here are handshakes, probes and decisions.
"""
