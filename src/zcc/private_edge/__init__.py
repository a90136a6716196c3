"""The private service edge: agents dial in; it authorises, picks an app connector and joins streams.

    settings    the file                              access     may this go there           pure
    catalogue   which application covers a name       registry   app connectors by group
    leasing     the ledger in use                     broker     one agent's connection
    opening     one data stream                       journal    what is recorded
    metrics     what is counted                       daemon     composition and life

It never sees an IP packet.
"""
