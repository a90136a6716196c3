/* Every function of fastpath.h once, from C99 and from C++, without Python. Exit code: the number of the first check that
 * failed, or 0. */
#include <fastpath.h>

#include <stdio.h>
#include <string.h>

#define CHECK(what) do { checks++; if (!(what)) { printf("%d: %s\n", checks, #what); return checks; } } while (0)

static int checks;

static const uint8_t PACKET[28] = {0x45, 0, 0, 28, 0, 1, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 192, 0, 2, 9, 0x13, 0x88, 0, 53, 0, 8, 0, 0};

static int check_library(void)
{
    CHECK(fastpath_api_version() == FASTPATH_API_VERSION);
    CHECK(fastpath_version()[0] != 0);
    CHECK(strcmp(fastpath_strerror(FASTPATH_OK), "done") == 0);
    return 0;
}

static int check_lpm4(void)
{
    uint32_t addresses[3] = {0x0A000000u, 0x0A010000u, 0xC0000200u}, values[3] = {1, 2, 3}, value = 0;
    uint8_t lengths[3] = {8, 16, 24};
    fastpath_lpm4 *table = NULL;
    CHECK(fastpath_lpm4_create(9, &table) == FASTPATH_OK);
    CHECK(fastpath_lpm4_insert(table, 0x0A000000u, 8, 5) == FASTPATH_OK);
    CHECK(fastpath_lpm4_lookup(table, 0x0AFFFFFFu, &value) == FASTPATH_OK && value == 5);
    CHECK(fastpath_lpm4_exact(table, 0x0A000000u, 9, &value) == FASTPATH_ENOENT);
    CHECK(fastpath_lpm4_remove(table, 0x0A000000u, 8) == FASTPATH_OK);
    CHECK(fastpath_lpm4_build(table, addresses, lengths, values, 3) == FASTPATH_OK);
    CHECK(fastpath_lpm4_size(table) == 3 && fastpath_lpm4_bytes(table) > 0);
    addresses[0] = 0x0A010203u, addresses[1] = 0x0A020304u, addresses[2] = 0x08080808u;
    CHECK(fastpath_lpm4_lookup_batch(table, addresses, values, 3) == FASTPATH_OK);
    CHECK(values[0] == 2 && values[1] == 1 && values[2] == 9);
    CHECK(fastpath_lpm4_reclaim(table) == FASTPATH_OK);
    fastpath_lpm4_free(&table);
    CHECK(table == NULL);
    fastpath_lpm4_free(&table);
    return 0;
}

static int check_lpm6(void)
{
    uint8_t addresses[32] = {0x20, 0x01, 0x0d, 0xb8}, lengths[2] = {32, 0};
    uint32_t values[2] = {1, 2}, value = 0;
    fastpath_lpm6 *table = NULL;
    CHECK(fastpath_lpm6_create(9, &table) == FASTPATH_OK);
    CHECK(fastpath_lpm6_insert(table, addresses, 32, 5) == FASTPATH_OK);
    CHECK(fastpath_lpm6_exact(table, addresses, 32, &value) == FASTPATH_OK && value == 5);
    CHECK(fastpath_lpm6_remove(table, addresses, 32) == FASTPATH_OK);
    CHECK(fastpath_lpm6_build(table, addresses, lengths, values, 2) == FASTPATH_OK);
    CHECK(fastpath_lpm6_size(table) == 2 && fastpath_lpm6_bytes(table) > 0);
    CHECK(fastpath_lpm6_lookup(table, addresses, &value) == FASTPATH_OK && value == 1);
    CHECK(fastpath_lpm6_lookup_batch(table, addresses, values, 2) == FASTPATH_OK && values[0] == 1 && values[1] == 2);
    CHECK(fastpath_lpm6_reclaim(table) == FASTPATH_OK);
    fastpath_lpm6_free(&table);
    return 0;
}

static int check_formats(void)
{
    uint8_t buffer[128] = {0}, header[FASTPATH_GWLB_HEADER] = {0}, made[FASTPATH_GENEVE_HEADER_MAX];
    struct fastpath_geneve geneve;
    struct fastpath_geneve_option option;
    struct fastpath_gwlb gwlb;
    size_t start = 0, size = 0, offset = 0;
    uint16_t sum = 0;
    CHECK(fastpath_checksum(PACKET, 20, &sum) == FASTPATH_OK && sum != 0);
    CHECK(fastpath_checksum_update(sum, 1, 1) == sum);
    CHECK(fastpath_gwlb_encode(1, 2, 3, 4, header, sizeof header) == FASTPATH_OK);
    memcpy(buffer + 64, PACKET, sizeof PACKET);
    CHECK(fastpath_gwlb_echo(buffer, 64 + sizeof PACKET, 64, header, sizeof header, &start) == FASTPATH_OK && start == 24);
    size = 40 + sizeof PACKET;
    CHECK(fastpath_gwlb_decode(buffer + start, size, &gwlb, sizeof gwlb) == FASTPATH_OK);
    CHECK(gwlb.endpoint == 1 && gwlb.attachment == 2 && gwlb.cookie == 3 && gwlb.header_size == 40);
    CHECK(fastpath_geneve_decode(buffer + start, size, &geneve, sizeof geneve) == FASTPATH_OK && geneve.protocol == 0x0800);
    CHECK(fastpath_geneve_next_option(buffer + start, 40, &offset, &option, sizeof option) == FASTPATH_OK);
    CHECK(option.option_class == 0x0108 && option.type == 1 && option.size == 8);
    CHECK(fastpath_geneve_encode(&geneve, sizeof geneve, &option, 1, made, sizeof made, &size) == FASTPATH_OK && size == 20);
    CHECK(fastpath_geneve_decode(made, 7, &geneve, sizeof geneve) == FASTPATH_GENEVE_SHORT);
    return 0;
}

static int check_flows(void)
{
    uint8_t secret[FASTPATH_SECRET_SIZE];
    const uint64_t idle[FASTPATH_TIMEOUTS] = {9, 9, 9, 9, 9, 9};
    struct fastpath_packet packet;
    struct fastpath_flow_key key;
    struct fastpath_flow flow;
    fastpath_flows *flows = NULL;
    uint64_t hash = 0;
    int32_t index = -1, found = -1;
    size_t n = 9;
    int direction = 7;
    memset(secret, 0x5A, sizeof secret);       /* a program draws it: getrandom(secret, sizeof secret, 0) */
    CHECK(fastpath_packet_parse(PACKET, sizeof PACKET, &packet, sizeof packet) == FASTPATH_OK);
    CHECK(packet.source_port == 5000 && packet.destination_port == 53 && packet.protocol == 17);
    CHECK(fastpath_flow_key_of(&packet, sizeof packet, 0, &key, &direction) == FASTPATH_OK && direction == 0);
    CHECK(fastpath_flow_hash(&key, secret, sizeof secret, &hash) == FASTPATH_OK);
    CHECK(fastpath_flows_create(100, idle, FASTPATH_TIMEOUTS, &flows) == FASTPATH_OK);
    CHECK(fastpath_flows_find(flows, &key, hash, &index) == FASTPATH_ENOENT && index == -1);
    CHECK(fastpath_flows_insert(flows, &key, hash, direction, FASTPATH_TIMEOUT_UDP, 1, &index) == FASTPATH_OK);
    CHECK(fastpath_flows_insert(flows, &key, hash, direction, FASTPATH_TIMEOUT_UDP, 1, &found) == FASTPATH_EEXIST);
    CHECK(found == index && fastpath_flows_size(flows) == 1 && fastpath_flows_capacity(flows) == 100);
    CHECK(fastpath_flows_lookup_batch(flows, &key, &hash, &found, 1, &n) == FASTPATH_OK && found == index && n == 0);
    CHECK(fastpath_flows_account(flows, index, direction, 0, packet.length, 2) == FASTPATH_OK);
    CHECK(fastpath_flows_touch(flows, index, FASTPATH_TIMEOUT_UDP, 3) == FASTPATH_OK);
    CHECK(fastpath_flows_set_owner(flows, index, 42) == FASTPATH_OK);
    CHECK(fastpath_flows_get(flows, index, &flow, sizeof flow) == FASTPATH_OK);
    CHECK(flow.packets[0] == 1 && flow.bytes[0] == 28 && flow.owner == 42 && flow.last_seen_ns == 3);
    CHECK(memcmp(&flow.key, &key, sizeof key) == 0);
    CHECK(fastpath_flows_oldest(flows, &found) == FASTPATH_OK && found == index);
    CHECK(fastpath_flows_due(flows, 12, &found, 1, &n) == FASTPATH_OK && n == 0);
    CHECK(fastpath_flows_due(flows, 13, &found, 1, &n) == FASTPATH_OK && n == 1 && found == index);
    CHECK(fastpath_flows_expire(flows, 13, &n) == FASTPATH_OK && n == 1);
    CHECK(fastpath_flows_remove(flows, index) == FASTPATH_ENOENT);
    CHECK(fastpath_flows_bytes(flows) > 0);
    fastpath_flows_free(&flows);
    CHECK(flows == NULL);
    return 0;
}

int main(void)
{
    int failed = check_library();
    if (!failed)
        failed = check_lpm4();
    if (!failed)
        failed = check_lpm6();
    if (!failed)
        failed = check_formats();
    if (!failed)
        failed = check_flows();
    if (!failed)
        puts("everything works");
    return failed;
}
