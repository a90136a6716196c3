/* fastpath.h - tables and packet formats for programs in C and for everything that calls C.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Link with:   cc prog.c $(python -m fastpath --cflags --libs)
 * or with pkg-config: see docs/embedding.md. C99 or later, or C++. Nothing here needs Python at run time.
 *
 * Conventions
 *   Result      0 is success, below 0 an enum fastpath_error: the call was wrong or could not be done, nothing has changed
 *               and no output is written, unless a function says otherwise. Decoders also return an enum
 *               fastpath_reason, above 0: the call was right, the packet is broken. No function prints, exits, raises or
 *               sets errno.
 *   Sizes       in bytes; n in elements. A buffer comes with its size. A pointer that may be NULL is marked so.
 *   Memory      that a function writes must not overlap what it reads, nor lie in a handle. Pointers are aligned as their types
 *               ask for; those to bytes need not be.
 *   Structures  that a function fills come with their size as the caller was compiled (sizeof). A library that knows more
 *               members leaves the rest out; one that knows fewer writes zeros. Members are only ever added at the end.
 *   Order       integers are in host order; byte arrays (addresses, headers, packets) are in network order.
 *   Addresses   of 16 bytes hold an IPv4 address as ::ffff:a.b.c.d (RFC 4291, 2.5.5.2).
 *   Time        now_ns is any clock in nanoseconds that never goes back (CLOCK_MONOTONIC); the caller reads it.
 *   Threads     An lpm table has one writer at a time, and any number of readers that take no lock and go on while it
 *               writes; functions of readers are marked (reader). A flow table belongs to one thread at a time. All other
 *               functions may be called by any thread at any time on their own data.
 *   Handles     are made by a create function and freed by the matching free function, which also sets the caller's
 *               variable to NULL; a second call with the same variable, or with NULL, does nothing. Any other use of a
 *               handle after it was freed is undefined, as with free(3).
 */
#ifndef FASTPATH_H
#define FASTPATH_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define FASTPATH_API __attribute__((visibility("default")))
#else
#define FASTPATH_API
#endif

/* The interface's number: raised, with the library's SONAME, when something below changes so that a program has to be
 * compiled or written anew. Additions do not raise it. */
#define FASTPATH_API_VERSION 1

/* ---- the library ---- */

enum fastpath_error {
    FASTPATH_OK = 0,
    FASTPATH_EINVAL = -1,      /* an argument is NULL or out of range */
    FASTPATH_ENOMEM = -2,      /* the system has not that much memory */
    FASTPATH_ENOENT = -3,      /* no such prefix or flow */
    FASTPATH_EEXIST = -4,      /* there is a flow with this key already */
    FASTPATH_EFULL = -5,       /* the flow table holds as many flows as it can */
    FASTPATH_EROOM = -6        /* the output does not fit its buffer */
};

/* Why a packet can not be read. The numbers are those of fastpath.DropReason in Python. */
enum fastpath_reason {
    FASTPATH_GENEVE_SHORT = 1,             /* fewer bytes than the header says */
    FASTPATH_GENEVE_VERSION = 2,           /* a version that is not 0 */
    FASTPATH_GENEVE_OPTION_OVERRUN = 3,    /* an option goes beyond the header */
    FASTPATH_GENEVE_PROTOCOL = 4,          /* neither IPv4 nor IPv6 follows, and the O bit is not set */
    FASTPATH_GWLB_OPTION_MISSING = 5,      /* not all three of the load balancer's options are there */
    FASTPATH_GWLB_OPTION_LENGTH = 6,       /* one of them has the wrong length */
    FASTPATH_GWLB_HEADER_LONG = 7,         /* the header is longer than FASTPATH_GWLB_HEADER_MAX */
    FASTPATH_PACKET_SHORT = 9,             /* fewer bytes than an IP header has */
    FASTPATH_PACKET_VERSION = 10,          /* neither IPv4 nor IPv6 */
    FASTPATH_PACKET_HEADER_LENGTH = 11,    /* an IPv4 header length below 20 bytes */
    FASTPATH_PACKET_TOTAL_LENGTH = 12,     /* a length in the IP header that is more than there is, or impossible */
    FASTPATH_PACKET_EXTENSION_CHAIN = 13,  /* IPv6 extension headers that overrun the packet, or more than 8 */
    FASTPATH_PACKET_L4_SHORT = 14,         /* fewer bytes than a TCP, UDP or ICMP header has */
    FASTPATH_PACKET_SOURCE_ROUTE = 46      /* IPv4: a loose or strict source route; IPv6: a type 0 routing header not at its end */
};

/* The FASTPATH_API_VERSION that the library was built with. */
FASTPATH_API int fastpath_api_version(void);

/* The version of the package, such as "0.1.0". */
FASTPATH_API const char *fastpath_version(void);

/* A sentence for an enum fastpath_error or fastpath_reason; for other numbers "unknown". Never NULL; not to be freed. */
FASTPATH_API const char *fastpath_strerror(int result);

/* ---- lpm: longest prefix match, IPv4 and IPv6 prefixes to 32-bit values ---- */

typedef struct fastpath_lpm4 fastpath_lpm4;
typedef struct fastpath_lpm6 fastpath_lpm6;

/* An empty table; `fallback` is the value where no prefix matches. About 5 MiB. *table is NULL after an error.
 * FASTPATH_EINVAL: table is NULL. FASTPATH_ENOMEM. */
FASTPATH_API int fastpath_lpm4_create(uint32_t fallback, fastpath_lpm4 **table);
FASTPATH_API int fastpath_lpm6_create(uint32_t fallback, fastpath_lpm6 **table);

/* Free a table. No thread may be inside. */
FASTPATH_API void fastpath_lpm4_free(fastpath_lpm4 **table);
FASTPATH_API void fastpath_lpm6_free(fastpath_lpm6 **table);

/* Set the value of a prefix of `length` bits, 0 to 32 or 128. An IPv4 address is a number in host order, an IPv6 address
 * 16 bytes. A prefix that covers many others becomes visible to readers in parts.
 * FASTPATH_EINVAL: also when bits behind the prefix are set. FASTPATH_ENOMEM. */
FASTPATH_API int fastpath_lpm4_insert(fastpath_lpm4 *table, uint32_t address, unsigned length, uint32_t value);
FASTPATH_API int fastpath_lpm6_insert(fastpath_lpm6 *table, const uint8_t *address, unsigned length, uint32_t value);

/* Remove a prefix. FASTPATH_EINVAL as above. FASTPATH_ENOENT: it is not there. FASTPATH_ENOMEM. */
FASTPATH_API int fastpath_lpm4_remove(fastpath_lpm4 *table, uint32_t address, unsigned length);
FASTPATH_API int fastpath_lpm6_remove(fastpath_lpm6 *table, const uint8_t *address, unsigned length);

/* The value of this very prefix; the writer's. FASTPATH_EINVAL as above. FASTPATH_ENOENT: it is not there. */
FASTPATH_API int fastpath_lpm4_exact(const fastpath_lpm4 *table, uint32_t address, unsigned length, uint32_t *value);
FASTPATH_API int fastpath_lpm6_exact(const fastpath_lpm6 *table, const uint8_t *address, unsigned length,
                                     uint32_t *value);

/* Replace all prefixes by these n; of equal ones the last counts. Readers see the old table or the new one. Much faster
 * than single inserts, most of all in order of address. addresses6 is n times 16 bytes. n may be 0, the arrays then NULL.
 * FASTPATH_EINVAL: also when a length or an address is wrong; the table is as it was. FASTPATH_ENOMEM. */
FASTPATH_API int fastpath_lpm4_build(fastpath_lpm4 *table, const uint32_t *addresses, const uint8_t *lengths,
                                     const uint32_t *values, size_t n);
FASTPATH_API int fastpath_lpm6_build(fastpath_lpm6 *table, const uint8_t *addresses6, const uint8_t *lengths,
                                     const uint32_t *values, size_t n);

/* (reader) The value of the longest prefix that holds the address, or the fallback. FASTPATH_EINVAL. */
FASTPATH_API int fastpath_lpm4_lookup(const fastpath_lpm4 *table, uint32_t address, uint32_t *value);
FASTPATH_API int fastpath_lpm6_lookup(const fastpath_lpm6 *table, const uint8_t *address, uint32_t *value);

/* (reader) The same for n addresses at once, several times faster an address: 64 and more pay. addresses6 is n times
 * 16 bytes. FASTPATH_EINVAL. */
FASTPATH_API int fastpath_lpm4_lookup_batch(const fastpath_lpm4 *table, const uint32_t *addresses, uint32_t *values,
                                            size_t n);
FASTPATH_API int fastpath_lpm6_lookup_batch(const fastpath_lpm6 *table, const uint8_t *addresses6, uint32_t *values,
                                            size_t n);

/* Free what replaced tables hold: a table that is rebuilt, or grows, keeps the old one for readers that may still be
 * inside. The caller knows that none has been inside since the last change. FASTPATH_EINVAL. */
FASTPATH_API int fastpath_lpm4_reclaim(fastpath_lpm4 *table);
FASTPATH_API int fastpath_lpm6_reclaim(fastpath_lpm6 *table);

/* How many prefixes there are; the writer's. 0 for NULL. */
FASTPATH_API size_t fastpath_lpm4_size(const fastpath_lpm4 *table);
FASTPATH_API size_t fastpath_lpm6_size(const fastpath_lpm6 *table);

/* Bytes in use of what readers search; the writer's. 0 for NULL. */
FASTPATH_API size_t fastpath_lpm4_bytes(const fastpath_lpm4 *table);
FASTPATH_API size_t fastpath_lpm6_bytes(const fastpath_lpm6 *table);

/* ---- packets ---- */

enum fastpath_fragment {
    FASTPATH_FRAGMENT_NONE = 0,    /* a whole packet */
    FASTPATH_FRAGMENT_FIRST = 1,   /* offset 0, more to come: ports are present */
    FASTPATH_FRAGMENT_LATER = 2    /* offset above 0: no ports */
};

struct fastpath_packet {
    uint8_t source[16];
    uint8_t destination[16];
    uint32_t length;               /* as the IP header says, itself included; what follows is padding */
    uint32_t l4_start;             /* of the transport header, from the IP header on */
    uint16_t source_port;          /* TCP, UDP: port; ICMP(v6) echo: identifier; else 0 */
    uint16_t destination_port;     /* as source_port */
    uint8_t ip_version;            /* 4 or 6 */
    uint8_t protocol;              /* after IPv6 extension headers */
    uint8_t fragment;              /* enum fastpath_fragment */
    uint8_t tcp_flags;             /* of TCP, if fragment is not FASTPATH_FRAGMENT_LATER, else 0 */
};

/* Read the IPv4 or IPv6 packet at `data` and its TCP, UDP or ICMP(v6) header. Transport checksums are not verified.
 * A reason: FASTPATH_PACKET_…; the packet is then zeros. FASTPATH_EINVAL: also size above 65,535 or packet_size too small.
 * Source: RFC 791, 8200, 9293, 768, 792, 4443. */
FASTPATH_API int fastpath_packet_parse(const uint8_t *data, size_t size, struct fastpath_packet *packet,
                                       size_t packet_size);

/* The Internet checksum (RFC 1071) of at most 65,535 bytes, in host order; over a header that holds its checksum it is 0.
 * FASTPATH_EINVAL. */
FASTPATH_API int fastpath_checksum(const uint8_t *data, size_t size, uint16_t *checksum);

/* A checksum after one of its 16-bit words changed (RFC 1624, equation 3). */
FASTPATH_API uint16_t fastpath_checksum_update(uint16_t checksum, uint16_t old_word, uint16_t new_word);

/* ---- Geneve (RFC 8926) and the options of AWS Gateway Load Balancer ---- */

enum {
    FASTPATH_GENEVE_PORT = 6081,       /* UDP */
    FASTPATH_GENEVE_CONTROL = 0x80,    /* the O bit, in flags */
    FASTPATH_GENEVE_CRITICAL = 0x40,   /* the C bit, in flags */
    FASTPATH_GENEVE_HEADER_MAX = 260,  /* 8 and 252 of options */
    FASTPATH_GWLB_HEADER = 40,         /* what the load balancer sends: 8 and 32 of options */
    FASTPATH_GWLB_HEADER_MAX = 48      /* the longest header that fastpath_gwlb_decode and _echo take */
};

struct fastpath_geneve {
    uint32_t vni;                      /* 24 bits */
    uint16_t protocol;                 /* EtherType of what follows, 0x0800 IPv4, 0x86DD IPv6 */
    uint16_t header_size;              /* options included; the inner packet begins here */
    uint8_t flags;                     /* FASTPATH_GENEVE_CONTROL, FASTPATH_GENEVE_CRITICAL */
    uint8_t pad[3];
};

struct fastpath_geneve_option {
    const uint8_t *data;               /* may be NULL if size is 0 */
    uint16_t option_class;
    uint8_t type;                      /* 0x80 set: critical */
    uint8_t size;                      /* of data: a multiple of 4, at most 124 */
    uint8_t pad[4];
};

struct fastpath_gwlb {
    uint64_t endpoint;                 /* id of the endpoint's interface: vpce-0 and 16 hex digits */
    uint64_t attachment;               /* only ever echoed */
    uint32_t cookie;                   /* of the flow, only ever echoed */
    uint16_t header_size;
    uint8_t pad[2];
};

/* Read the Geneve header at the beginning of a UDP payload; all its options fit it afterwards.
 * A reason: FASTPATH_GENEVE_…; the structure is then zeros. FASTPATH_EINVAL: also size above 65,535. */
FASTPATH_API int fastpath_geneve_decode(const uint8_t *data, size_t size, struct fastpath_geneve *geneve,
                                        size_t geneve_size);

/* The option at *offset of a Geneve header of `size` bytes, and the offset of the next one; begin with *offset = 0.
 * option->data points into the header. FASTPATH_ENOENT: there is none left. FASTPATH_GENEVE_SHORT: the header is cut off,
 * FASTPATH_GENEVE_OPTION_OVERRUN: the option does not fit it. FASTPATH_EINVAL. */
FASTPATH_API int fastpath_geneve_next_option(const uint8_t *header, size_t size, size_t *offset,
                                             struct fastpath_geneve_option *option, size_t option_size);

/* Write a Geneve header with n options (NULL if n is 0) to `out` and its size to *size.
 * geneve->header_size is not read. FASTPATH_EINVAL: also vni above 24 bits, other flags, an option's size, or all options
 * together above 252 bytes. FASTPATH_EROOM: more than `room` bytes. */
FASTPATH_API int fastpath_geneve_encode(const struct fastpath_geneve *geneve, size_t geneve_size,
                                        const struct fastpath_geneve_option *options, size_t n,
                                        uint8_t *out, size_t room, size_t *size);

/* Read a Geneve header and the load balancer's three options (class 0x0108, types 1, 2, 3); others are skipped.
 * A reason: FASTPATH_GENEVE_… or FASTPATH_GWLB_…; the structure is then zeros. FASTPATH_EINVAL: also size above 65,535. */
FASTPATH_API int fastpath_gwlb_decode(const uint8_t *data, size_t size, struct fastpath_gwlb *gwlb, size_t gwlb_size);

/* Write the 40-byte header that the load balancer would send in front of an inner packet of this IP version, 4 or 6.
 * FASTPATH_EINVAL. FASTPATH_EROOM: room is less than FASTPATH_GWLB_HEADER. */
FASTPATH_API int fastpath_gwlb_encode(uint64_t endpoint, uint64_t attachment, uint32_t cookie, unsigned ip_version,
                                      uint8_t *out, size_t room);

/* Make a packet that goes back to the load balancer: put the flow's newest header, byte for byte, in front of the inner
 * packet that lies at inner_start of the buffer. The UDP payload to send then begins at *start. The outer addresses are
 * the caller's to swap; the ports stay. FASTPATH_EINVAL: also a header that fastpath_gwlb_decode does not read.
 * FASTPATH_EROOM: header_size is more than inner_start. */
FASTPATH_API int fastpath_gwlb_echo(uint8_t *buffer, size_t size, size_t inner_start, const uint8_t *header,
                                    size_t header_size, size_t *start);

/* ---- flows ---- */

enum {
    FASTPATH_SECRET_SIZE = 32,
    FASTPATH_DIRECTION_FORWARD = 0,    /* sent by end a of the key */
    FASTPATH_DIRECTION_REVERSE = 1     /* sent by end b */
};

/* 40 bytes without gaps, the same for both directions of a flow: end a has the lower (address, port). */
struct fastpath_flow_key {
    uint8_t a_address[16];
    uint8_t b_address[16];
    uint16_t a_port;
    uint16_t b_port;
    uint16_t space;                    /* keeps equal addresses of two networks apart; 0 where there is one */
    uint8_t protocol;
    uint8_t ip_version;
};

/* The key of a packet's flow, and which end sent it (*direction). `packet` is what fastpath_packet_parse wrote.
 * FASTPATH_EINVAL: also an ip_version that is not 4 or 6. */
FASTPATH_API int fastpath_flow_key_of(const struct fastpath_packet *packet, size_t packet_size, uint16_t space,
                                      struct fastpath_flow_key *key, int *direction);

/* The keyed hash of a flow key. The secret is FASTPATH_SECRET_SIZE random bytes, drawn anew by each process and shown to
 * nobody: who knows it can choose flows that collide. Not a cryptographic hash: do not send it out.
 * FASTPATH_EINVAL: also a secret that is plainly not random, with fewer than 8 bits set in 8 bytes at a multiple of 8. */
FASTPATH_API int fastpath_flow_hash(const struct fastpath_flow_key *key, const uint8_t *secret, size_t secret_size,
                                    uint64_t *hash);

enum fastpath_timeout {
    FASTPATH_TIMEOUT_TCP = 0,          /* established */
    FASTPATH_TIMEOUT_TCP_OPENING = 1,  /* no answer seen yet, or no ACK of the initiator */
    FASTPATH_TIMEOUT_TCP_CLOSING = 2,  /* both FIN, or RST */
    FASTPATH_TIMEOUT_UDP = 3,
    FASTPATH_TIMEOUT_ICMP = 4,
    FASTPATH_TIMEOUT_OTHER = 5,
    FASTPATH_TIMEOUTS = 6
};

enum {                                 /* bits of fastpath_flow.state */
    FASTPATH_FLOW_SEEN_REPLY = 1,
    FASTPATH_FLOW_FIN_FORWARD = 2,     /* FIN from the initiator */
    FASTPATH_FLOW_FIN_REVERSE = 4,
    FASTPATH_FLOW_RESET = 8,
    FASTPATH_FLOW_ACKNOWLEDGED = 128   /* TCP: the initiator has sent an ACK */
};

typedef struct fastpath_flows fastpath_flows;

struct fastpath_flow {
    struct fastpath_flow_key key;
    uint64_t hash;
    uint64_t started_ns;
    uint64_t last_seen_ns;
    uint64_t packets[2];               /* [0] from the initiator, [1] to it */
    uint64_t bytes[2];
    uint32_t owner;                    /* what fastpath_flows_set_owner has set; 0 at first */
    uint8_t state;
    uint8_t initiator;                 /* direction of the packets of the side that began */
    uint8_t timeout;                   /* enum fastpath_timeout */
    uint8_t pad;
};

/* A table for at most `capacity` flows, 1 to 2^30; it takes memory as flows come, about 192 bytes each. idle_ns[i] is how
 * long a flow of enum fastpath_timeout i may be idle, above 0; n is FASTPATH_TIMEOUTS. *flows is NULL after an error.
 * FASTPATH_EINVAL. FASTPATH_ENOMEM. */
FASTPATH_API int fastpath_flows_create(size_t capacity, const uint64_t *idle_ns, size_t n, fastpath_flows **flows);

FASTPATH_API void fastpath_flows_free(fastpath_flows **flows);

/* Make a flow; *index is its number until it is removed. `hash` is what fastpath_flow_hash says of the key, with one secret
 * for the whole table; `initiator` the direction of the first packet, `timeout` its class (fastpath_flows_account chooses
 * later ones). FASTPATH_EEXIST: *index is the flow that has this key. FASTPATH_EFULL. FASTPATH_EINVAL. FASTPATH_ENOMEM. */
FASTPATH_API int fastpath_flows_insert(fastpath_flows *flows, const struct fastpath_flow_key *key, uint64_t hash,
                                       int initiator, int timeout, uint64_t now_ns, int32_t *index);

/* The flow with a key. FASTPATH_ENOENT: there is none; *index is then -1. FASTPATH_EINVAL. */
FASTPATH_API int fastpath_flows_find(const fastpath_flows *flows, const struct fastpath_flow_key *key, uint64_t hash,
                                     int32_t *index);

/* The flows of n keys, -1 where there is none, and how many those are (misses may be NULL). Their memory is fetched side by
 * side, so that 64 and more cost a fraction of single calls. FASTPATH_EINVAL. */
FASTPATH_API int fastpath_flows_lookup_batch(const fastpath_flows *flows, const struct fastpath_flow_key *keys,
                                             const uint64_t *hashes, int32_t *indexes, size_t n, size_t *misses);

/* Note a use of a flow now; its timeout class may be another one.
 * FASTPATH_ENOENT: index is no flow. FASTPATH_EINVAL. */
FASTPATH_API int fastpath_flows_touch(fastpath_flows *flows, int32_t index, int timeout, uint64_t now_ns);

/* Count a packet of `bytes` bytes in its direction, move the TCP state on by its flags (0 for others), choose the timeout
 * class by protocol and state, and note the use. FASTPATH_ENOENT: index is no flow. FASTPATH_EINVAL. */
FASTPATH_API int fastpath_flows_account(fastpath_flows *flows, int32_t index, int direction, unsigned tcp_flags,
                                        size_t bytes, uint64_t now_ns);

/* Attach a number to a flow. FASTPATH_ENOENT: index is no flow. FASTPATH_EINVAL. */
FASTPATH_API int fastpath_flows_set_owner(fastpath_flows *flows, int32_t index, uint32_t owner);

/* A copy of a flow. FASTPATH_ENOENT: index is no flow. FASTPATH_EINVAL. */
FASTPATH_API int fastpath_flows_get(const fastpath_flows *flows, int32_t index, struct fastpath_flow *flow,
                                    size_t flow_size);

/* Forget a flow; its number may be used again at once. FASTPATH_ENOENT: index is no flow. FASTPATH_EINVAL. */
FASTPATH_API int fastpath_flows_remove(fastpath_flows *flows, int32_t index);

/* The flow to give up for a new one when the table is full: of those that saw no answer or are closing, the least recently
 * used. FASTPATH_ENOENT: there is none; *index is then -1. FASTPATH_EINVAL. */
FASTPATH_API int fastpath_flows_oldest(const fastpath_flows *flows, int32_t *index);

/* Up to `room` flows that have been idle for longer than their class allows, and how many they are; they stay until they
 * are removed. Costs nothing for flows that are not due. FASTPATH_EINVAL. */
FASTPATH_API int fastpath_flows_due(const fastpath_flows *flows, uint64_t now_ns, int32_t *indexes, size_t room, size_t *n);

/* Remove all flows that are due, and say how many they were (n may be NULL). FASTPATH_EINVAL. */
FASTPATH_API int fastpath_flows_expire(fastpath_flows *flows, uint64_t now_ns, size_t *n);

/* How many flows there are, and how many there may be. 0 for NULL. */
FASTPATH_API size_t fastpath_flows_size(const fastpath_flows *flows);
FASTPATH_API size_t fastpath_flows_capacity(const fastpath_flows *flows);

/* Bytes of memory that the table has used so far. 0 for NULL. */
FASTPATH_API size_t fastpath_flows_bytes(const fastpath_flows *flows);

#ifdef __cplusplus
}
#endif

#endif
