"""Names that traffic itself tells: TLS server names, HTTP hosts, QUIC Initials.

Pure: bytes in, what they say out. Any bytes give an answer; what a stranger can make grow has a bound.
"""
