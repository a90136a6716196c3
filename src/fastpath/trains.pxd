# Trains: packets of a batch that follow one another in one TCP stream, to be given to the kernel as one. Row 1.

from libc.stdint cimport int16_t, uint8_t, uint16_t, uint32_t

from fastpath.batch cimport Columns
from fastpath.vnet cimport Vnet

cdef enum:
    TRAIN_ROWS = 256         # rows that are coupled at a time
    TRAIN_SLOTS = 64         # streams that may be open meanwhile
    HEADERS_MAX = 100        # IPv6 40, TCP 60

# One packet to be written: the rows rows[first], after[first], … of it.
cdef struct Train:
    uint16_t first, last     # places in Trains.rows
    uint16_t packets
    uint16_t size            # payload of each but the last
    uint16_t header          # bytes of IP and TCP header; 0 = no packet can follow
    uint16_t l4
    int length               # of all, headers once
    uint32_t next            # the sequence number that would follow
    uint8_t ends             # the TCP flags FIN and PSH of the last
    uint8_t sound            # the first one's checksum has been found right

cdef struct Trains:
    int count
    Train trains[TRAIN_ROWS]
    uint16_t rows[TRAIN_ROWS]
    uint16_t after[TRAIN_ROWS]       # the place that follows in its train
    int16_t open[TRAIN_SLOTS]        # by stream: the train that a packet may join, -1 = none

# Couple the live ones of n <= TRAIN_ROWS rows by their inner packets. Trains are in an order in which each stream keeps its own.
cdef void couple(Trains* t, Columns* b, const uint16_t* rows, int n, bint join) noexcept nogil
# What stands before a train of several packets, and its headers: returns how many bytes these have.
cdef int lead(const Trains* t, const Train* train, Columns* b, Vnet* vnet, uint8_t* headers) noexcept nogil
