/* SPDX-License-Identifier: BSD-3-Clause */
/* memcached's meta commands (its older text `get` is several times slower when pipelined). Keys as in
 * protocol_redis.c. */
#include "tests/bench/lib/plan.h"

#include <stdio.h>
#include <string.h>

#define COUNTER_REPLY 19 /* "VA 10\r\n1NNNNNNNNN\r\n" */
#define SET_REPLY     8  /* "HD\r\n" of ms and of md */

static unsigned char *write_line(unsigned char *out, const char *command, char kind, uint32_t object,
                                 const char *rest)
{
    out = load_write_text(out, command);
    out = load_write_key(out, kind, object);
    return load_write_text(out, rest);
}

static unsigned char *write_set(unsigned char *out, char kind, uint32_t object, uint32_t value_bytes)
{
    char length[32];
    snprintf(length, sizeof length, " %u\r\n", (unsigned)value_bytes);
    out = write_line(out, "ms ", kind, object, length);
    out = load_write_value(out, object, value_bytes);
    return load_write_text(out, "\r\n");
}

static bool shape(struct load_plan *plan)
{
    uint32_t bytes = plan->spec.value_bytes;
    plan->head_bytes = (size_t)snprintf((char *)plan->head, sizeof plan->head, "VA %u\r\n", (unsigned)bytes);
    plan->probe_byte = 'V';
    switch (plan->spec.work) {
    case LOAD_GET:
        plan->unit_bytes = 3 + 12 + 4;
        plan->reply_bytes = plan->head_bytes + bytes + 2;
        return true;
    case LOAD_COUNT:
        plan->unit_bytes = 3 + 12 + 7;
        plan->reply_bytes = COUNTER_REPLY;
        return true;
    case LOAD_PUT:
        plan->unit_bytes = 3 + 12 + (plan->head_bytes - 2) + bytes + 2 + 3 + 12 + 2;
        plan->reply_bytes = SET_REPLY;
        plan->requests_per_unit = 2;
        plan->probe_byte = 'H';
        return true;
    }
    return false;
}

static void write_unit(const struct load_plan *plan, unsigned char *out, uint32_t sequence, uint32_t object)
{
    (void)sequence;
    if (plan->spec.work == LOAD_GET)
        write_line(out, "mg ", 'k', object, " v\r\n");
    else if (plan->spec.work == LOAD_COUNT)
        write_line(out, "ma ", 'c', object, " D0 v\r\n");
    else
        write_line(write_set(out, 'd', object, plan->spec.value_bytes), "md ", 'd', object, "\r\n");
}

static bool check_get(const struct load_plan *plan, const unsigned char *reply, uint32_t object)
{
    return memcmp(reply, plan->head, 6) == 0 && memcmp(reply + plan->head_bytes, &object, 4) == 0 &&
           memcmp(reply + plan->reply_bytes - 2, "\r\n", 2) == 0;
}

static bool check_count(const unsigned char *reply, const unsigned char *request)
{
    const unsigned char *key = request + 3;
    return memcmp(reply, "VA 10\r\n1", 8) == 0 && memcmp(reply + 8, key + 3, 9) == 0 &&
           reply[COUNTER_REPLY - 1] == '\n';
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
            right &= memcmp(reply, "HD\r\nHD\r\n", SET_REPLY) == 0;
    }
    return right;
}

static size_t write_item(enum load_item item, unsigned char *out, uint32_t object, uint32_t value_bytes)
{
    char number[32];
    if (item != LOAD_COUNTER)
        return (size_t)(write_set(out, 'k', object, value_bytes) - out);
    snprintf(number, sizeof number, " 10\r\n1%09u\r\n", (unsigned)object);
    return (size_t)(write_line(out, "ms ", 'c', object, number) - out);
}

static long read_item(const unsigned char *reply, size_t bytes, uint64_t *id)
{
    (void)id;
    if (bytes > 0 && reply[0] != 'H')
        return -1;
    return bytes < 4 ? 0 : 4;
}

const struct load_protocol load_memcached = {.name = "memcached",
                                             .shape = shape,
                                             .write_unit = write_unit,
                                             .check = check,
                                             .write_item = write_item,
                                             .read_item = read_item};
