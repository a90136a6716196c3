"""The internet service edge: ends the connectors' DTLS tunnels, watches flows, and NATs them to the internet.

    settings   what is configured             cookie    proof of a return path, without state
    listener   handshakes, up to a session    datapath  packets: tunnel ⇄ flows ⇄ NAT ⇄ device
    daemon     puts them together
"""
