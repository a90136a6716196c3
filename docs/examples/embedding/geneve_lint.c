/* A Geneve header linter: says what is wrong with each Geneve header of a capture.
 *
 *     cc -std=c99 geneve_lint.c $(python -m fastpath --cflags --libs) -o geneve_lint
 *     geneve_lint CAPTURE.pcap          classic pcap of Ethernet, raw IP or Linux cooked links: UDP to or from port 6081
 *     geneve_lint - < HEX               one UDP payload a line, in hex
 *
 * One line a finding: "PACKET: error: …" for what a receiver must drop, "PACKET: warning: …" for what RFC 8926 or AWS's
 * description of Gateway Load Balancer does not allow a sender. Exit code 0: nothing found, 1: something, 2: no input.
 */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fastpath.h>

enum {
    PACKET_MAX = 65535,
    UDP = 17,
    GWLB_CLASS = 0x0108,
    RESERVED_FLAGS = 0x3F,       /* of the second byte of the header, RFC 8926 section 3.4 */
    RESERVED_LENGTH = 0xE0,      /* of the fourth byte of an option, section 3.5 */
    CRITICAL_TYPE = 0x80         /* of an option's type */
};

static unsigned long packets, errors, warnings;

static void say(int is_error, const char *format, ...)
{
    va_list rest;
    va_start(rest, format);
    printf("%lu: %s: ", packets, is_error ? "error" : "warning");
    vprintf(format, rest);
    putchar('\n');
    va_end(rest);
    *(is_error ? &errors : &warnings) += 1;
}

/* ---- what is wrong ---- */

/* Options one by one; returns whether one of them is the load balancer's. */
static int lint_options(const uint8_t *data, const struct fastpath_geneve *geneve)
{
    struct fastpath_geneve_option option;
    size_t offset = 0;
    unsigned seen = 0, critical = 0, gwlb = 0;
    while (fastpath_geneve_next_option(data, geneve->header_size, &offset, &option, sizeof option) == FASTPATH_OK) {
        const uint8_t *header = option.data - 4;
        critical |= option.type & CRITICAL_TYPE;
        if (header[3] & RESERVED_LENGTH)
            say(0, "option 0x%04x type 0x%02x: reserved bits 0x%02x are set", option.option_class, option.type,
                header[3] & RESERVED_LENGTH);
        if (option.option_class != GWLB_CLASS)
            continue;
        gwlb = 1;
        if (option.type < 1 || option.type > 3)
            say(0, "option 0x0108 type 0x%02x: Gateway Load Balancer has types 1, 2 and 3", option.type);
        else if (seen & 1u << option.type)
            say(0, "option 0x0108 type 0x%02x: more than once", option.type);
        else
            seen |= 1u << option.type;
    }
    if (critical && !(geneve->flags & FASTPATH_GENEVE_CRITICAL))
        say(0, "an option is critical and the C bit is not set");
    if (!critical && (geneve->flags & FASTPATH_GENEVE_CRITICAL))
        say(0, "the C bit is set and no option is critical");
    return (int) gwlb;
}

static void lint_inner(const uint8_t *data, size_t size, const struct fastpath_geneve *geneve)
{
    struct fastpath_packet inner;
    int reason = fastpath_packet_parse(data, size, &inner, sizeof inner);
    if (reason)
        say(1, "inner packet: %s", fastpath_strerror(reason));
    else if ((geneve->protocol == 0x0800) != (inner.ip_version == 4))
        say(1, "protocol type 0x%04x, but the inner packet is IPv%d", geneve->protocol, inner.ip_version);
    else if (inner.length < size)
        say(0, "%zu bytes behind the inner packet", size - inner.length);
}

static void lint(const uint8_t *data, size_t size)
{
    struct fastpath_geneve geneve;
    struct fastpath_gwlb gwlb;
    int reason = fastpath_geneve_decode(data, size, &geneve, sizeof geneve);
    if (reason) {
        say(1, "%s", fastpath_strerror(reason));
        return;
    }
    if (data[1] & RESERVED_FLAGS)
        say(0, "reserved bits 0x%02x beside the flags are set", data[1] & RESERVED_FLAGS);
    if (data[7])
        say(0, "the reserved byte behind the VNI is 0x%02x", data[7]);
    if (lint_options(data, &geneve)) {
        reason = fastpath_gwlb_decode(data, size, &gwlb, sizeof gwlb);
        if (reason)
            say(1, "%s", fastpath_strerror(reason));
        if (geneve.vni)
            say(0, "Gateway Load Balancer's VNI is 0, not %lu", (unsigned long) geneve.vni);
    }
    if (geneve.flags & FASTPATH_GENEVE_CONTROL) {
        if (size == geneve.header_size)
            say(0, "the O bit is set and no control message follows");
        return;
    }
    lint_inner(data + geneve.header_size, size - geneve.header_size, &geneve);
}

/* ---- captures ---- */

static uint32_t load(const uint8_t *at, int size, int little)
{
    uint32_t value = 0;
    int i;
    for (i = 0; i < size; i++)
        value = value << 8 | at[little ? size - 1 - i : i];
    return value;
}

/* The IP packet in a frame, or NULL; *size becomes its size. */
static const uint8_t *ip_packet(const uint8_t *frame, size_t *size, uint32_t link)
{
    size_t at = link == 1 ? 14 : link == 113 ? 16 : 0;
    uint32_t type;
    if (*size <= at)
        return NULL;
    if (at) {
        type = load(frame + at - 2, 2, 0);
        while ((type == 0x8100 || type == 0x88A8) && *size > at + 4) {
            type = load(frame + at + 2, 2, 0);
            at += 4;
        }
        if (type != 0x0800 && type != 0x86DD)
            return NULL;
    }
    *size -= at;
    return frame + at;
}

/* Lint the packet's UDP payload if a port is Geneve's. */
static void lint_packet(const uint8_t *data, size_t size)
{
    struct fastpath_packet outer;
    size_t udp_size;
    if (fastpath_packet_parse(data, size, &outer, sizeof outer) || outer.protocol != UDP ||
        outer.fragment != FASTPATH_FRAGMENT_NONE ||
        (outer.destination_port != FASTPATH_GENEVE_PORT && outer.source_port != FASTPATH_GENEVE_PORT))
        return;
    packets++;
    udp_size = load(data + outer.l4_start + 4, 2, 0);
    if (udp_size < 8 || udp_size > outer.length - outer.l4_start) {
        say(1, "UDP: a length of %zu where there are %zu bytes", udp_size, (size_t) outer.length - outer.l4_start);
        return;
    }
    lint(data + outer.l4_start + 8, udp_size - 8);
}

static int lint_capture(const char *path)
{
    static uint8_t frame[1 << 18];
    uint8_t header[24], record[16];
    const uint8_t *data;
    uint32_t magic, link;
    size_t there, size, n;
    int little;
    FILE *file = fopen(path, "rb");
    if (!file || fread(header, 1, sizeof header, file) != sizeof header) {
        fprintf(stderr, "%s: %s\n", path, file ? "not a pcap file" : strerror(errno));
        if (file)
            fclose(file);
        return 2;
    }
    magic = load(header, 4, 1);
    little = magic == 0xA1B2C3D4 || magic == 0xA1B23C4D;
    magic = load(header, 4, little);
    link = load(header + 20, 4, little) & 0xFFFF;
    if ((magic != 0xA1B2C3D4 && magic != 0xA1B23C4D) ||
        (link != 1 && link != 12 && link != 101 && link != 113 && link != 228 && link != 229)) {
        fprintf(stderr, "%s: not a classic pcap file of Ethernet, raw IP or Linux cooked links\n", path);
        fclose(file);
        return 2;
    }
    while ((n = fread(record, 1, sizeof record, file)) > 0) {
        there = load(record + 8, 4, little);
        if (n != sizeof record || there > sizeof frame || fread(frame, 1, there, file) != there) {
            fprintf(stderr, "%s: a record is cut off or damaged\n", path);
            fclose(file);
            return 2;
        }
        size = there;
        data = ip_packet(frame, &size, link);
        if (data && size <= PACKET_MAX)
            lint_packet(data, size);
    }
    fclose(file);
    return 0;
}

/* ---- hex ---- */

/* Two digits a byte, spaces between bytes as one likes; the number of bytes, or -1. */
static long read_hex(const char *text, uint8_t *out, size_t room)
{
    size_t n = 0;
    unsigned value;
    for (;;) {
        text += strspn(text, " \t\r\n");
        if (!*text)
            return (long) n;
        if (n == room || !isxdigit((unsigned char) text[0]) || !isxdigit((unsigned char) text[1]))
            return -1;
        sscanf(text, "%2x", &value);
        out[n++] = (uint8_t) value;
        text += 2;
    }
}

static int lint_hex(void)
{
    static char line[4 * PACKET_MAX];
    static uint8_t data[PACKET_MAX];
    unsigned long number = 0;
    long size;
    while (fgets(line, sizeof line, stdin)) {
        number++;
        if (!line[strspn(line, " \t\r\n")])
            continue;
        packets++;
        size = read_hex(line, data, sizeof data);
        if (size < 0) {
            fprintf(stderr, "line %lu: not bytes in hex\n", number);
            return 2;
        }
        lint(data, (size_t) size);
    }
    return 0;
}

int main(int argc, char **argv)
{
    int result;
    if (argc != 2 || (argv[1][0] == '-' && argv[1][1])) {
        fprintf(stderr, "usage: geneve_lint CAPTURE.pcap | -\n");
        return 2;
    }
    result = strcmp(argv[1], "-") == 0 ? lint_hex() : lint_capture(argv[1]);
    printf("%lu Geneve packets, %lu errors, %lu warnings\n", packets, errors, warnings);
    if (fflush(stdout))
        return 2;
    return result ? result : errors + warnings > 0;
}
