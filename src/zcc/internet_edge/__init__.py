"""The internet service edge: ends the connectors' tunnels, watches flows, and NATs them to the internet.

    settings   what is configured             cookie    proof of a return path, without state
    listener   handshakes, up to a session    datapath  packets: tunnel ⇄ flows ⇄ NAT ⇄ device
    streams    the same by TLS          gate      who is behind each of them, and what both say
    daemon     puts them together
"""
