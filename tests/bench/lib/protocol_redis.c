/* SPDX-License-Identifier: BSD-3-Clause */
/* RESP. Values are keys k:NNNNNNNNNN, counters c:NNNNNNNNNN with 1NNNNNNNNN in them, LOAD_PUT uses one key
 * d:NNNNNNNNNN for each connection. */
#include "tests/bench/lib/plan.h"

#include <stdio.h>
#include <string.h>

#define COUNTER_REPLY 13 /* ":1NNNNNNNNN\r\n" */
#define SET_REPLY     9  /* "+OK\r\n" of SET and ":1\r\n" of DEL */

static unsigned char *write_get(unsigned char *out, uint32_t object)
{
    out = load_write_text(out, "*2\r\n$3\r\nGET\r\n$12\r\n");
    out = load_write_key(out, 'k', object);
    return load_write_text(out, "\r\n");
}

static unsigned char *write_count(unsigned char *out, uint32_t object)
{
    out = load_write_text(out, "*3\r\n$6\r\nINCRBY\r\n$12\r\n");
    out = load_write_key(out, 'c', object);
    return load_write_text(out, "\r\n$1\r\n0\r\n");
}

static unsigned char *write_set(unsigned char *out, char kind, uint32_t object, uint32_t value_bytes)
{
    char length[32];
    snprintf(length, sizeof length, "\r\n$%u\r\n", (unsigned)value_bytes);
    out = load_write_text(out, "*3\r\n$3\r\nSET\r\n$12\r\n");
    out = load_write_key(out, kind, object);
    out = load_write_text(out, length);
    out = load_write_value(out, object, value_bytes);
    return load_write_text(out, "\r\n");
}

static unsigned char *write_del(unsigned char *out, uint32_t object)
{
    out = load_write_text(out, "*2\r\n$3\r\nDEL\r\n$12\r\n");
    out = load_write_key(out, 'd', object);
    return load_write_text(out, "\r\n");
}

static size_t digits(uint32_t number)
{
    return (size_t)snprintf(NULL, 0, "%u", (unsigned)number);
}

static bool shape(struct load_plan *plan)
{
    uint32_t bytes = plan->spec.value_bytes;
    plan->head_bytes = (size_t)snprintf((char *)plan->head, sizeof plan->head, "$%u\r\n", (unsigned)bytes);
    switch (plan->spec.work) {
    case LOAD_GET:
        plan->unit_bytes = 32;
        plan->reply_bytes = plan->head_bytes + bytes + 2;
        plan->probe_offset = 1;
        plan->probe_byte = plan->head[1];
        return true;
    case LOAD_COUNT:
        plan->unit_bytes = 42;
        plan->reply_bytes = COUNTER_REPLY;
        plan->probe_offset = 1;
        plan->probe_byte = '1';
        return true;
    case LOAD_PUT:
        plan->unit_bytes = 32 + 5 + digits(bytes) + bytes + 32;
        plan->reply_bytes = SET_REPLY;
        plan->requests_per_unit = 2;
        plan->probe_byte = '+';
        return true;
    }
    return false;
}

static void write_unit(const struct load_plan *plan, unsigned char *out, uint32_t sequence, uint32_t object)
{
    (void)sequence;
    if (plan->spec.work == LOAD_GET)
        write_get(out, object);
    else if (plan->spec.work == LOAD_COUNT)
        write_count(out, object);
    else
        write_del(write_set(out, 'd', object, plan->spec.value_bytes), object);
}

static bool check_get(const struct load_plan *plan, const unsigned char *reply, uint32_t object)
{
    return memcmp(reply, plan->head, 4) == 0 && memcmp(reply + plan->head_bytes, &object, 4) == 0 &&
           memcmp(reply + plan->reply_bytes - 2, "\r\n", 2) == 0;
}

static bool check_count(const unsigned char *reply, const unsigned char *request)
{
    const unsigned char *key = request + 21;
    return reply[0] == ':' && reply[1] == '1' && memcmp(reply + 2, key + 3, 9) == 0 && reply[12] == '\n';
}

static bool check(const struct load_plan *plan, const struct load_batch *batch, const unsigned char *replies,
                  uint32_t first, uint32_t count)
{
    bool right = true;
    for (uint32_t i = first; i < first + count; i++) {
        const unsigned char *reply = replies + i * plan->reply_bytes;
        if (plan->spec.work == LOAD_GET)
            right &= check_get(plan, reply, batch->objects[i]);
        else if (plan->spec.work == LOAD_COUNT)
            right &= check_count(reply, batch->requests + i * plan->unit_bytes);
        else
            right &= memcmp(reply, "+OK\r\n:1\r\n", SET_REPLY) == 0;
    }
    return right;
}

static size_t write_item(enum load_item item, unsigned char *out, uint32_t object, uint32_t value_bytes)
{
    char number[32];
    if (item != LOAD_COUNTER)
        return (size_t)(write_set(out, 'k', object, value_bytes) - out);
    snprintf(number, sizeof number, "\r\n$10\r\n1%09u\r\n", (unsigned)object);
    unsigned char *end = load_write_text(out, "*3\r\n$3\r\nSET\r\n$12\r\n");
    end = load_write_key(end, 'c', object);
    return (size_t)(load_write_text(end, number) - out);
}

static long read_item(const unsigned char *reply, size_t bytes, uint64_t *id)
{
    (void)id;
    if (bytes > 0 && reply[0] != '+')
        return -1;
    return bytes < 5 ? 0 : 5;
}

const struct load_protocol load_redis = {.name = "redis",
                                         .shape = shape,
                                         .write_unit = write_unit,
                                         .check = check,
                                         .write_item = write_item,
                                         .read_item = read_item};
