// tunhandler: a GWLB tunnel handler of the plain kind, for comparison: one datagram a system call, each inner packet by TUN
// through the kernel's forwarding and back. The same calls as the well-known handler makes, with less bookkeeping than it has.
//
//   UDP 6081 ─recvmsg─▶ remember the flow's header ─write─▶ gwi ─ kernel forwards ─▶ gwo ─read─▶ find the flow ─sendmsg (raw)─▶
//
// Two threads, one lock around the table of flows. tunhandler ADDRESS: prints "ready", ends with its input.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PORT = 6081, SLOTS = 1 << 18, ROOM = 9216, HEADER_MAX = 64, OUTER = 28 };

struct flow {
    uint32_t source, destination, peer;
    uint16_t source_port, destination_port, peer_port;
    uint8_t protocol, used, header_bytes, header[HEADER_MAX];
};

static struct flow *flows;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint32_t own;
static int receiving, sending, in, out;

static void fail(const char *what) { perror(what); exit(1); }

static int tun(const char *name) {
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    int fd = open("/dev/net/tun", O_RDWR), control = socket(AF_INET, SOCK_DGRAM, 0);
    strcpy(request.ifr_name, name);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0) fail("tun");
    ioctl(control, SIOCGIFFLAGS, &request);
    request.ifr_flags |= IFF_UP;
    if (ioctl(control, SIOCSIFFLAGS, &request) < 0) fail("up");
    close(control);
    return fd;
}

static struct flow *slot(const uint8_t *ip, int n, int make) {
    int ihl = (ip[0] & 15) * 4;
    struct flow key = {0};
    if (n < ihl + 4 || ip[0] >> 4 != 4) return NULL;
    memcpy(&key.source, ip + 12, 4), memcpy(&key.destination, ip + 16, 4);
    memcpy(&key.source_port, ip + ihl, 2), memcpy(&key.destination_port, ip + ihl + 2, 2);
    key.protocol = ip[9];
    uint64_t hash = ((uint64_t)key.source << 32 | key.destination) * 0x9E3779B97F4A7C15ull;
    hash ^= ((uint64_t)key.source_port << 16 | key.destination_port) * 0xC2B2AE3D27D4EB4Full;
    for (uint32_t at = hash >> 40;; at++) {
        struct flow *f = &flows[at % SLOTS];
        if (f->used && f->source == key.source && f->destination == key.destination && f->protocol == key.protocol &&
            f->source_port == key.source_port && f->destination_port == key.destination_port)
            return f;
        if (!f->used && !make) return NULL;
        if (!f->used) return key.used = 1, *f = key, f;
    }
}

static void *from_gateway(void *unused) {
    static uint8_t data[ROOM];
    for (;;) {
        struct sockaddr_in peer;
        struct iovec part = {data, ROOM};
        struct msghdr message = {.msg_name = &peer, .msg_namelen = sizeof peer, .msg_iov = &part, .msg_iovlen = 1};
        ssize_t n = recvmsg(receiving, &message, 0);
        int header = 8 + (n > 0 ? (data[0] & 63) * 4 : 0);
        if (n < header + 20 || header > HEADER_MAX) continue;
        pthread_mutex_lock(&lock);
        struct flow *f = slot(data + header, n - header, 1);
        if (f) {
            memcpy(f->header, data, f->header_bytes = header);
            f->peer = peer.sin_addr.s_addr, f->peer_port = peer.sin_port;
        }
        pthread_mutex_unlock(&lock);
        if (f && write(in, data + header, n - header) < 0) perror("write");
    }
    return unused;
}

static void *from_kernel(void *unused) {
    static uint8_t data[ROOM];
    for (;;) {
        uint8_t *ip = data + OUTER + HEADER_MAX, outer[OUTER] = {0x45, [6] = 0x40, [8] = 64, [9] = 17};
        ssize_t n = read(out, ip, ROOM - OUTER - HEADER_MAX);
        if (n < 20) continue;
        struct sockaddr_in to = {.sin_family = AF_INET};
        pthread_mutex_lock(&lock);
        struct flow *f = slot(ip, n, 0);
        int header = f ? f->header_bytes : 0;
        if (f) {
            memcpy(ip - header, f->header, header);
            to.sin_addr.s_addr = f->peer;
            memcpy(outer + 20, &f->peer_port, 2);
        }
        pthread_mutex_unlock(&lock);
        if (!f) continue;
        uint16_t udp = htons(8 + header + n), port = htons(PORT);
        memcpy(outer + 12, &own, 4), memcpy(outer + 16, &to.sin_addr, 4), memcpy(outer + 22, &port, 2), memcpy(outer + 24, &udp, 2);
        memcpy(ip - header - OUTER, outer, OUTER);
        struct iovec part = {ip - header - OUTER, OUTER + header + n};
        struct msghdr message = {.msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &part, .msg_iovlen = 1};
        if (sendmsg(sending, &message, 0) < 0) perror("sendmsg");
    }
    return unused;
}

int main(int argc, char **argv) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    pthread_t threads[2];
    char line[64];
    int size = 1 << 24;
    if (argc != 2 || inet_pton(AF_INET, argv[1], &at.sin_addr) != 1) return 2;
    own = at.sin_addr.s_addr;
    flows = calloc(SLOTS, sizeof *flows);
    receiving = socket(AF_INET, SOCK_DGRAM, 0), sending = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
    setsockopt(receiving, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    if (!flows || sending < 0 || bind(receiving, (struct sockaddr *)&at, sizeof at) < 0) fail("socket");
    in = tun("gwi"), out = tun("gwo");
    pthread_create(&threads[0], NULL, from_gateway, NULL);
    pthread_create(&threads[1], NULL, from_kernel, NULL);
    puts("ready"), fflush(stdout);
    while (fgets(line, sizeof line, stdin)) ;
    return 0;
}
