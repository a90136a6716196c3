# The words that every stage uses: what becomes of a packet, why it was dropped, why Python is asked.
# Row 0. Enumerators are declared here once; action.pyx makes Python enums of them.

cpdef enum Action:
    ACTION_NONE = 0      # not decided yet
    ACTION_DIRECT = 1    # source NAT to the egress address, out of the service interface
    ACTION_LOCAL = 2     # back to GWLB with the header it came with
    ACTION_DROP = 3      # discarded and counted
    ACTION_ZIA = 4       # Geneve in DTLS to an internet edge
    ACTION_ZPA = 5       # to the kernel's TCP or UDP, then a microtunnel
    ACTION_REJECT = 6    # discarded, and its sender is told: a TCP reset or an ICMP error

cpdef enum Direction:
    DIRECTION_FORWARD = 0   # sent by the lower (address, port) of the canonical flow key
    DIRECTION_REVERSE = 1   # sent by the higher one

cpdef enum Fragment:
    FRAGMENT_NONE = 0    # a whole packet
    FRAGMENT_FIRST = 1   # offset 0, more to come: ports are present
    FRAGMENT_LATER = 2   # offset > 0: no ports

# How the name of a flow is known. From ECH on no name is sure, and this is why.
cpdef enum Naming:
    NAMING_ADDRESS = 0   # by the destination's address, from a DNS answer or a lease; or nothing has been seen yet
    NAMING_SNI = 1       # it asked for it: TLS
    NAMING_HOST = 2      # HTTP/1
    NAMING_QUIC = 3
    NAMING_ECH = 4       # an encrypted ClientHello is there too; a number is that of the name outside
    NAMING_NO_NAME = 5   # TLS or HTTP/1 without one
    NAMING_NOT_WEB = 6   # neither of these
    NAMING_UNREAD = 7    # not to be read, or not within the bounds

cpdef enum PuntReason:
    PUNT_DNS_QUERY = 1          # UDP to port 53, held until Python answers or resumes it
    PUNT_DNS_ANSWER = 2         # UDP from port 53 towards a workload, held until its names are learned
    PUNT_UNKNOWN_SYNTHETIC = 3  # a pool address this connector has no name for: ask who-is
    PUNT_TUNNEL_CONTROL = 4     # a Geneve packet with the O bit from an internet edge
    PUNT_TUNNEL_CLOSED = 5      # the DTLS session ended
    PUNT_FLOW_OPENED = 6        # a ZPA flow is about to reach the kernel's listener
    PUNT_FLOW_CLOSED = 7        # a flow ended: its record, for the session log
    PUNT_DNS_ANSWERED = 10      # a query for an owned name was answered: the answer, for the log
    PUNT_WORDS = 11             # a copy of a packet in which a watched flow may say its name

cpdef enum DropReason:
    DROP_NONE = 0
    # geneve
    DROP_GENEVE_SHORT = 1
    DROP_GENEVE_VERSION = 2
    DROP_GENEVE_OPTION_OVERRUN = 3
    DROP_GENEVE_PROTOCOL = 4
    # gwlb
    DROP_GWLB_OPTION_MISSING = 5
    DROP_GWLB_OPTION_LENGTH = 6
    DROP_GWLB_HEADER_LONG = 7
    DROP_GWLB_ENDPOINT_UNKNOWN = 8
    # packet
    DROP_PACKET_SHORT = 9
    DROP_PACKET_VERSION = 10
    DROP_PACKET_HEADER_LENGTH = 11
    DROP_PACKET_TOTAL_LENGTH = 12
    DROP_PACKET_EXTENSION_CHAIN = 13
    DROP_PACKET_L4_SHORT = 14
    # flow table
    DROP_FLOW_TABLE_FULL = 15
    # policy
    DROP_POLICY = 16
    DROP_POLICY_STRAY = 17
    # methods that cannot forward now
    DROP_ZIA_DOWN = 18
    DROP_ZIA_TOO_BIG = 19
    DROP_ZPA_UNSUPPORTED = 20
    DROP_DIRECT_DOWN = 21
    DROP_LOCAL_NOT_GENEVE = 22
    DROP_DRAINING = 23
    # nat
    DROP_NAT_EXHAUSTED = 24
    DROP_NAT_PROTOCOL = 25
    DROP_NAT_NO_BINDING = 26
    DROP_NAT_FRAGMENT = 27
    DROP_NAT_FAMILY = 28
    # dtls and the internet tunnel
    DROP_DTLS_RECORD = 29
    DROP_DTLS_PEER_UNKNOWN = 30
    DROP_TUNNEL_FLOW_UNKNOWN = 31
    # rings and devices
    DROP_PUNT_FULL = 32
    DROP_INJECT_STALE = 33
    DROP_IO_TRUNCATED = 34
    DROP_IO_SEND = 35
    DROP_TTL_EXPIRED = 36
    # fragments
    DROP_FRAGMENT_ORPHAN = 37     # its first fragment did not come in time
    DROP_FRAGMENT_OVERLAP = 38    # it lies over another, or its datagram has one that does
    DROP_FRAGMENT_DUPLICATE = 39
    DROP_FRAGMENT_SHAPE = 40      # no fragment can be like that, or its datagram has too many
    # what its sender is told of
    DROP_REJECTED = 41            # the rule says so
    DROP_MIDSTREAM = 42           # TCP from the middle of a connection that nobody here knows
    DROP_DIRECT_TOO_BIG = 43
    DROP_ZPA_TOO_BIG = 44
    DROP_ICMP_UNMATCHED = 45      # an ICMP error that speaks of no flow, where it must be translated
    DROP_PACKET_SOURCE_ROUTE = 46
    # several workers
    DROP_SHARD_MOVED = 47         # no loss: the worker that it belongs to has got it
    DROP_SHARD_FULL = 48          # the ring to that worker had no room
    DROP_PUNT_SHARE = 49          # its sender has asked the control plane more often than one may
    # packets that a tunnel carries in parts
    DROP_PART_SHAPE = 50          # no packet can have such a part, or it has been here
    DROP_PART_ORPHAN = 51         # others of its packet did not come
    DROP_PART_HELD = 52           # no loss: it waits for the others of its packet
    DROP_OVERLOAD = 53            # of no flow that is known, while more came than can be carried: see earlydrop
    DROP_REASONS = 54    # how many there are
