"""Who is who: the tenant's CA, the agents' certificates, TLS and DTLS contexts, and the check of a peer.

Every handshake of the product, both sides, uses a context from here and ends with zcc.pki.peer.PeerCheck.
All cryptography is the cryptography package's. Enrolment by provisioning key and renewal are not here.
"""
