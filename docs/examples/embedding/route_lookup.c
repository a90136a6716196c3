/* A route look-up service: prefixes from a file, addresses in, values out.
 *
 *     cc -std=c99 route_lookup.c -pthread $(python -m fastpath --cflags --libs) -o route_lookup
 *     route_lookup ROUTES < addresses         one address a line, one answer a line
 *     route_lookup ROUTES PORT                the same in UDP datagrams to 127.0.0.1; SIGHUP reads ROUTES again
 *
 * A line of ROUTES is a prefix and a value below 2^32 - 1, such as "10.0.0.0/8 64500"; # begins a comment. An answer is the
 * address, a tab and the value, or "-" where no prefix matches, or "?" for what is no address.
 */
#define _POSIX_C_SOURCE 200809L

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fastpath.h>

enum { BATCH = 256, LINE = 128, DATAGRAM = 4096 };

static const uint32_t NO_ROUTE = UINT32_MAX;

/* The prefixes of one family as fastpath_lpm4_build and fastpath_lpm6_build take them. */
struct column {
    uint8_t *addresses;
    uint8_t *lengths;
    uint32_t *values;
    size_t n, room, address_size;
};

struct service {
    const char *path;
    fastpath_lpm4 *four;
    fastpath_lpm6 *six;
    /* Held by the writer while it changes the tables, and by the reader while it reclaims what they have replaced. */
    pthread_mutex_t writing;
    int replaced;
};

/* ---- routes ---- */

static int add(struct column *column, const uint8_t *address, unsigned length, uint32_t value)
{
    if (column->n == column->room) {
        size_t room = column->room ? 2 * column->room : 1024;
        uint8_t *addresses = realloc(column->addresses, room * column->address_size);
        if (addresses)
            column->addresses = addresses;
        uint8_t *lengths = realloc(column->lengths, room);
        if (lengths)
            column->lengths = lengths;
        uint32_t *values = realloc(column->values, room * sizeof *values);
        if (values)
            column->values = values;
        if (!addresses || !lengths || !values)
            return -1;
        column->room = room;
    }
    memcpy(column->addresses + column->n * column->address_size, address, column->address_size);
    column->lengths[column->n] = (uint8_t) length;
    column->values[column->n++] = value;
    return 0;
}

static void drop(struct column *column)
{
    free(column->addresses);
    free(column->lengths);
    free(column->values);
}

/* Read "PREFIX/LENGTH VALUE" into the column of its family; say what is wrong, or NULL. */
static const char *read_route(char *line, struct column *four, struct column *six)
{
    char *end, *text, *slash = strchr(line, '/');
    uint8_t address[16];
    uint32_t number;
    if (!slash)
        return "a line must be PREFIX/LENGTH VALUE";
    *slash = 0;
    errno = 0;
    unsigned long length = strtoul(slash + 1, &text, 10);
    unsigned long long value = strtoull(text, &end, 10);
    if (errno || end == text || end[strspn(end, " \t")] || value >= NO_ROUTE)
        return "a value must be a number below 4294967295, and nothing may follow";
    if (inet_pton(AF_INET, line, address) == 1) {
        memcpy(&number, address, 4);
        number = ntohl(number);
        if (length > 32 || (length < 32 && number << length))
            return "the length must be 0 to 32, and no bit behind it be set";
        return add(four, (const uint8_t *) &number, (unsigned) length, (uint32_t) value) ? "no memory" : NULL;
    }
    if (inet_pton(AF_INET6, line, address) != 1)
        return "not an IPv4 or IPv6 prefix";
    if (length > 128)
        return "the length must be 0 to 128";
    return add(six, address, (unsigned) length, (uint32_t) value) ? "no memory" : NULL;
}

/* Read the file into both columns; 0, or -1 after a message. */
static int read_routes(const char *path, struct column *four, struct column *six)
{
    char line[LINE];
    const char *wrong = NULL;
    size_t number = 0;
    FILE *file = fopen(path, "r");
    if (!file) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return -1;
    }
    while (!wrong && fgets(line, sizeof line, file)) {
        number++;
        line[strcspn(line, "#\r\n")] = 0;
        if (line[strspn(line, " \t")])
            wrong = read_route(line, four, six);
    }
    fclose(file);
    if (wrong)
        fprintf(stderr, "%s:%zu: %s\n", path, number, wrong);
    return wrong ? -1 : 0;
}

/* Make the file's routes those of the service, all at once; readers go on meanwhile. 0, or -1 after a message. */
static int load(struct service *service)
{
    struct column four = {.address_size = 4}, six = {.address_size = 16};
    int done = read_routes(service->path, &four, &six);
    if (done == 0) {
        pthread_mutex_lock(&service->writing);
        done = fastpath_lpm4_build(service->four, (uint32_t *) (void *) four.addresses, four.lengths, four.values, four.n);
        if (done == FASTPATH_OK)
            done = fastpath_lpm6_build(service->six, six.addresses, six.lengths, six.values, six.n);
        service->replaced = 1;
        pthread_mutex_unlock(&service->writing);
        if (done != FASTPATH_OK)
            fprintf(stderr, "%s: %s\n", service->path, fastpath_strerror(done));
        else
            fprintf(stderr, "%s: %zu IPv4 and %zu IPv6 routes\n", service->path, fastpath_lpm4_size(service->four),
                    fastpath_lpm6_size(service->six));
    }
    drop(&four);
    drop(&six);
    return done;
}

/* ---- answers ---- */

/* Answer n lines in order; IPv4 addresses are looked up together. Returns the bytes written to `out`. */
static size_t answer(const struct service *service, char *const *lines, size_t n, char *out, size_t room)
{
    uint32_t addresses[BATCH], found[BATCH], values[BATCH];
    size_t where[BATCH], n_four = 0, used = 0, k;
    char known[BATCH] = {0};
    uint8_t address[16];
    for (k = 0; k < n; k++) {
        if (inet_pton(AF_INET, lines[k], address) == 1) {
            memcpy(&addresses[n_four], address, 4);
            addresses[n_four] = ntohl(addresses[n_four]);
            where[n_four++] = k;
            known[k] = 1;
        } else if (inet_pton(AF_INET6, lines[k], address) == 1) {
            known[k] = fastpath_lpm6_lookup(service->six, address, &values[k]) == FASTPATH_OK;
        }
    }
    if (n_four)
        fastpath_lpm4_lookup_batch(service->four, addresses, found, n_four);
    for (k = 0; k < n_four; k++)
        values[where[k]] = found[k];
    for (k = 0; k < n && used < room; k++) {
        if (!known[k])
            used += (size_t) snprintf(out + used, room - used, "%s\t?\n", lines[k]);
        else if (values[k] == NO_ROUTE)
            used += (size_t) snprintf(out + used, room - used, "%s\t-\n", lines[k]);
        else
            used += (size_t) snprintf(out + used, room - used, "%s\t%" PRIu32 "\n", lines[k], values[k]);
    }
    return used < room ? used : room - 1;
}

static int serve_stdin(const struct service *service)
{
    static char text[BATCH][LINE], out[BATCH * (LINE + 16)];
    char *lines[BATCH];
    size_t n = 0;
    int more = 1;
    while (more) {
        more = fgets(text[n], LINE, stdin) != NULL;
        if (more) {
            text[n][strcspn(text[n], "\r\n")] = 0;
            lines[n] = text[n];
            n++;
        }
        if (n && (n == BATCH || !more)) {
            fwrite(out, 1, answer(service, lines, n, out, sizeof out), stdout);
            n = 0;
        }
    }
    return fflush(stdout) ? 1 : 0;
}

/* ---- the socket ---- */

static void *reload_on_hangup(void *argument)
{
    struct service *service = argument;
    sigset_t hangup;
    int signal_number;
    sigemptyset(&hangup);
    sigaddset(&hangup, SIGHUP);
    while (sigwait(&hangup, &signal_number) == 0)
        load(service);                     /* after a mistake in the file, the routes stay as they were */
    return NULL;
}

/* Between two datagrams nobody is inside the tables but the writer, so what it has replaced can go. */
static void reclaim(struct service *service)
{
    if (pthread_mutex_trylock(&service->writing))
        return;
    if (service->replaced) {
        fastpath_lpm4_reclaim(service->four);
        fastpath_lpm6_reclaim(service->six);
        service->replaced = 0;
    }
    pthread_mutex_unlock(&service->writing);
}

static int serve_udp(struct service *service, int port)
{
    static char text[DATAGRAM], out[2 * DATAGRAM];
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons((uint16_t) port)}, peer;
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *) &here, sizeof here)) {
        fprintf(stderr, "UDP port %d: %s\n", port, strerror(errno));
        return 1;
    }
    fprintf(stderr, "ready\n");
    for (;;) {
        socklen_t peer_size = sizeof peer;
        ssize_t got = recvfrom(fd, text, sizeof text - 1, 0, (struct sockaddr *) &peer, &peer_size);
        if (got < 0)
            continue;
        text[got] = 0;
        char *lines[BATCH], *rest = NULL;
        size_t n = 0;
        for (char *line = strtok_r(text, "\r\n", &rest); line && n < BATCH; line = strtok_r(NULL, "\r\n", &rest))
            lines[n++] = line;
        size_t size = answer(service, lines, n, out, sizeof out);
        sendto(fd, out, size, 0, (struct sockaddr *) &peer, peer_size);
        reclaim(service);
    }
}

int main(int argc, char **argv)
{
    struct service service = {.path = argc > 1 ? argv[1] : NULL, .writing = PTHREAD_MUTEX_INITIALIZER};
    sigset_t hangup;
    pthread_t reloader;
    int result, port = argc == 3 ? atoi(argv[2]) : 0;
    if (argc < 2 || argc > 3 || argv[1][0] == '-' || (argc == 3 && (port < 1 || port > 65535))) {
        fprintf(stderr, "usage: route_lookup ROUTES [PORT]\n");
        return 2;
    }
    result = fastpath_lpm4_create(NO_ROUTE, &service.four);
    if (result == FASTPATH_OK)
        result = fastpath_lpm6_create(NO_ROUTE, &service.six);
    if (result != FASTPATH_OK) {
        fprintf(stderr, "%s\n", fastpath_strerror(result));
        return 1;
    }
    if (load(&service))
        return 2;
    if (argc == 2) {
        result = serve_stdin(&service);
    } else {
        sigemptyset(&hangup);
        sigaddset(&hangup, SIGHUP);
        pthread_sigmask(SIG_BLOCK, &hangup, NULL);
        result = pthread_create(&reloader, NULL, reload_on_hangup, &service) ? 1 : serve_udp(&service, port);
    }
    fastpath_lpm4_free(&service.four);
    fastpath_lpm6_free(&service.six);
    return result;
}
