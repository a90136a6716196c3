"""Synthetic addresses: which name stands behind which address of the pool, for the whole tenant.

    lease    one answer: name, address, application     pure
    pool     which addresses can be given out           pure
    shelf    the addresses of one pool                  pure, time is an argument
    ledger   append-only allocation, a fold of records  pure, time is an argument
    audit    who held which address when               pure
    store    the ledger's records in a SQLite file, at the private edge
    leases   a connector's cache of leases on disk

It knows nothing of DNS messages, policy rules or tunnels.
"""
