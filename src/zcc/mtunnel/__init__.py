"""The microtunnel: many streams inside one TLS 1.3 connection between an agent and the private edge.

    frames     12-byte headers ↔ fields                        pure
    session    yamux: bytes in → events, commands → bytes out  pure
    messages   control messages, open requests and replies     pure
    transport  one session on one asyncio transport; stream: what a caller reads and writes
    control    messages over a stream; dial: reach an edge; client: what a connector uses
    tcp, splice  a kernel connection with the same face as a stream, and two of either joined

It knows nothing of policy, leases' allocation or packets.
"""
