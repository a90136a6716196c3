"""The app connector: beside the applications, it dials out to the private edges and opens the last hop.

    settings   the file                       reach      names and networks to addresses
    opener     one data stream, TCP           datagrams  one data stream, UDP
    link       one edge, kept connected       daemon     composition and life

It listens on no port and opens nothing outside its configured networks.
"""
