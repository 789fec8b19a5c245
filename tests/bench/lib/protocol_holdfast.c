/* SPDX-License-Identifier: BSD-3-Clause */
/* MessagePack-RPC as proto/PROTOCOL.md has it. Message ids are five bytes on the wire, as a client's are
 * after its first 65,536 requests; values are bin; ids are sent as uint64. */
#include "tests/bench/lib/net.h"
#include "tests/bench/lib/plan.h"

#include <string.h>

#define MSGID_BASE  0x10000u /* below it a reply's message id would be shorter */
#define HEAD        8        /* reply: 94 01, message id, error */
#define RETAIN      24       /* bytes of a retain request, its last 8 the id */
#define RELEASE     25
#define COUNT_REPLY (HEAD + 1) /* and a count below 128 */
#define ID          9          /* one of at least 2^32; see even() */
#define PUT_REPLY   (HEAD + ID)

static unsigned char *write_big_endian(unsigned char *out, uint64_t number, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        out[i] = (unsigned char)(number >> (8 * (bytes - 1 - i)));
    return out + bytes;
}

static uint64_t read_big_endian(const unsigned char *at, unsigned bytes)
{
    uint64_t number = 0;
    for (unsigned i = 0; i < bytes; i++)
        number = number << 8 | at[i];
    return number;
}

static unsigned char *write_request(unsigned char *out, uint32_t msgid, const char *method, unsigned params)
{
    out = load_write(out, "\x94\x00\xce", 3);
    out = write_big_endian(out, MSGID_BASE + msgid, 4);
    *out++ = (unsigned char)(0xa0 | strlen(method));
    out = load_write_text(out, method);
    *out++ = (unsigned char)(0x90 | params);
    return out;
}

static unsigned char *write_id(unsigned char *out, uint64_t id)
{
    *out++ = 0xcf;
    return write_big_endian(out, id, 8);
}

static unsigned char *write_bin_head(unsigned char *out, uint32_t bytes)
{
    unsigned width = bytes < 256 ? 1 : bytes < 65536 ? 2 : 4;
    *out++ = width == 1 ? 0xc4 : width == 2 ? 0xc5 : 0xc6;
    return write_big_endian(out, bytes, width);
}

static unsigned char *write_put(unsigned char *out, uint32_t msgid, uint32_t object, uint32_t value_bytes)
{
    out = write_request(out, msgid, "put", 1);
    out = write_bin_head(out, value_bytes);
    return load_write_value(out, object, value_bytes);
}

static bool shape(struct load_plan *plan)
{
    uint32_t bytes = plan->spec.value_bytes;
    plan->head_bytes = (size_t)(write_bin_head(plan->head, bytes) - plan->head);
    plan->probe_offset = HEAD - 1;
    plan->probe_byte = 0xc0;
    switch (plan->spec.work) {
    case LOAD_GET:
        plan->unit_bytes = 21;
        plan->reply_bytes = HEAD + plan->head_bytes + bytes;
        return plan->spec.ids != NULL;
    case LOAD_COUNT:
        plan->unit_bytes = RETAIN + RELEASE;
        plan->reply_bytes = 2 * COUNT_REPLY;
        plan->requests_per_unit = 2;
        return plan->spec.ids != NULL;
    case LOAD_PUT:
        plan->unit_bytes = 12 + plan->head_bytes + bytes + RELEASE;
        plan->reply_bytes = PUT_REPLY + COUNT_REPLY;
        plan->requests_per_unit = 2;
        return true;
    }
    return false;
}

static void write_unit(const struct load_plan *plan, unsigned char *out, uint32_t sequence, uint32_t object)
{
    if (plan->spec.work == LOAD_GET) {
        write_id(write_request(out, sequence, "get", 1), plan->spec.ids[object]);
        return;
    }
    bool count = plan->spec.work == LOAD_COUNT;
    if (count)
        out = write_id(write_request(out, 2 * sequence, "retain", 1), plan->spec.ids[object]);
    else
        out = write_put(out, 2 * sequence, object, plan->spec.value_bytes);
    write_id(write_request(out, 2 * sequence + 1, "release", 1), count ? plan->spec.ids[object] : 0);
}

/* A response without error to that request: the request's first 8 bytes, but type 1 and nil. */
static bool succeeded(const unsigned char *reply, const unsigned char *request)
{
    unsigned char expected[HEAD];
    memcpy(expected, request, HEAD);
    expected[1] = 1;
    expected[HEAD - 1] = 0xc0;
    return memcmp(reply, expected, HEAD) == 0;
}

static bool check_get(const struct load_plan *plan, const unsigned char *request, const unsigned char *reply,
                      uint32_t object)
{
    return succeeded(reply, request) && memcmp(reply + HEAD, plan->head, 2) == 0 &&
           memcmp(reply + HEAD + plan->head_bytes, &object, 4) == 0;
}

static bool check_count(const unsigned char *request, const unsigned char *reply)
{
    return succeeded(reply, request) && reply[HEAD] == 1 &&
           succeeded(reply + COUNT_REPLY, request + RETAIN) && reply[COUNT_REPLY + HEAD] == 0;
}

/* What this unit put is what the unit releases in the batch after it. */
static bool check_put(const struct load_plan *plan, unsigned char *request, const unsigned char *reply)
{
    unsigned char *release = request + plan->unit_bytes - RELEASE;
    bool right = succeeded(reply, request) && reply[HEAD] == 0xcf && succeeded(reply + PUT_REPLY, release) &&
                 reply[PUT_REPLY + HEAD] == 0;
    memcpy(release + RELEASE - 9, reply + HEAD, 9);
    return right;
}

static bool check(const struct load_plan *plan, const struct load_batch *batch, const unsigned char *replies,
                  uint32_t first, uint32_t count)
{
    bool right = true;
    for (uint32_t i = first; i < first + count; i++) {
        const unsigned char *reply = replies + i * plan->reply_bytes;
        unsigned char *request = batch->requests + i * plan->unit_bytes;
        if (plan->spec.work == LOAD_GET)
            right &= check_get(plan, request, reply, batch->objects[i]);
        else if (plan->spec.work == LOAD_COUNT)
            right &= check_count(request, reply);
        else
            right &= check_put(plan, request, reply);
    }
    return right;
}

/* Of what begins with that byte; of no integer: of the longest, which the check then looks at. */
static size_t unsigned_bytes(unsigned char first)
{
    switch (first) {
    case 0xcc: return 2;
    case 0xcd: return 3;
    case 0xce: return 5;
    default: return first < 0x80 ? 1 : ID;
    }
}

/* Ids below 2^32 are shorter than others: serials start anywhere, and come past 0 at some time. */
static size_t even(const struct load_plan *plan, unsigned char *replies, uint32_t first, size_t bytes,
                   size_t room)
{
    size_t at = first * plan->reply_bytes + HEAD;
    for (; plan->spec.work == LOAD_PUT && at < bytes; at += plan->reply_bytes) {
        unsigned char *id = replies + at;
        size_t have = unsigned_bytes(id[0]), head = have > 1;
        if (have == ID || at + have > bytes || bytes + ID - have > room)
            continue;
        uint64_t number = read_big_endian(id + head, (unsigned)(have - head));
        memmove(id + ID, id + have, bytes - at - have);
        write_id(id, number);
        bytes += ID - have;
    }
    return bytes;
}

/* `hello {replay: true}`; its answer ends with the keys that were ignored, of which there are none. */
static bool greet(int fd)
{
    static const char last[] = "\xa7ignored\x90";
    unsigned char hello[32], reply[2048], *end = write_request(hello, 0, "hello", 1);
    *end++ = 0x81;
    end = load_write(end, "\xa6replay\xc3", 8);
    if (load_send_all(fd, hello, (size_t)(end - hello)) < 0)
        return false;
    for (size_t have = 0, size = sizeof last - 1; have < sizeof reply;) {
        long n = load_receive(fd, reply + have, sizeof reply - have);
        if (n < 0)
            return false;
        have += (size_t)n;
        if (have > size && memcmp(reply + have - size, last, size) == 0)
            return succeeded(reply, hello);
    }
    return false;
}

/* The first batch needs ids to release: put one object for each of its units. */
static bool prime(const struct load_plan *plan, int fd, unsigned char *requests)
{
    size_t put_bytes = plan->unit_bytes - RELEASE;
    if (plan->spec.replay && !greet(fd))
        return false;
    for (uint32_t i = 0; plan->spec.work == LOAD_PUT && i < plan->spec.depth; i++) {
        unsigned char *request = requests + i * plan->unit_bytes, reply[PUT_REPLY];
        if (load_send_all(fd, request, put_bytes) < 0)
            return false;
        for (size_t have = 0; have < PUT_REPLY;) {
            long n = load_receive(fd, reply + have, PUT_REPLY - have);
            if (n < 0)
                return false;
            have = even(plan, reply, 0, have + (size_t)n, sizeof reply);
            if (have > HEAD - 1 && !succeeded(reply, request))
                return false;
        }
        if (reply[HEAD] != 0xcf)
            return false;
        memcpy(request + plan->unit_bytes - 9, reply + HEAD, 9);
    }
    return true;
}

static size_t write_item(enum load_item item, unsigned char *out, uint32_t object, uint32_t value_bytes)
{
    if (item != LOAD_NAMED)
        return (size_t)(write_put(out, object, object, value_bytes) - out);
    unsigned char *end = write_request(out, object, "store", 2);
    *end++ = 0xa0 | 12;
    end = load_write_key(end, 'k', object);
    end = write_bin_head(end, value_bytes);
    return (size_t)(load_write_value(end, object, value_bytes) - out);
}

/* An unsigned integer of any width at `at`: its bytes, 0 if it is not complete, -1 if it is none. */
static long read_unsigned(const unsigned char *at, size_t bytes, uint64_t *number)
{
    if (bytes == 0)
        return 0;
    if (at[0] < 0x80) {
        *number = at[0];
        return 1;
    }
    if (at[0] < 0xcc || at[0] > 0xcf)
        return -1;
    unsigned width = 1u << (at[0] - 0xcc);
    if (bytes <= width)
        return 0;
    *number = read_big_endian(at + 1, width);
    return 1 + (long)width;
}

/* The result of put is an id, that of store [id, version]. */
static long read_item(const unsigned char *reply, size_t bytes, uint64_t *id)
{
    uint64_t version;
    if (bytes <= HEAD)
        return 0;
    if (memcmp(reply, "\x94\x01\xce", 3) != 0 || reply[HEAD - 1] != 0xc0)
        return -1;
    size_t at = HEAD + (reply[HEAD] == 0x92);
    long id_bytes = read_unsigned(reply + at, bytes - at, id);
    if (id_bytes <= 0 || reply[HEAD] != 0x92)
        return id_bytes <= 0 ? id_bytes : (long)at + id_bytes;
    at += (size_t)id_bytes;
    long version_bytes = read_unsigned(reply + at, bytes - at, &version);
    return version_bytes <= 0 ? version_bytes : (long)at + version_bytes;
}

const struct load_protocol load_holdfast = {.name = "holdfast",
                                            .shape = shape,
                                            .write_unit = write_unit,
                                            .check = check,
                                            .even = even,
                                            .prime = prime,
                                            .write_item = write_item,
                                            .read_item = read_item};
