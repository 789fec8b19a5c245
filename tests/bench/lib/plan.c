/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/bench/lib/plan.h"

#include <stdlib.h>
#include <string.h>

const struct load_protocol *load_protocol_find(const char *name)
{
    const struct load_protocol *all[] = {&load_redis, &load_memcached, &load_holdfast, &load_echo};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strcmp(all[i]->name, name) == 0)
            return all[i];
    return NULL;
}

/* xorshift64: the same order in every run, so that runs can be compared. */
static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void fill_objects(struct load_plan *plan)
{
    uint64_t state = 88172645463325252u;
    uint32_t count = plan->spec.objects;
    if (!plan->spec.random) {
        memset(plan->objects, 0, plan->units * sizeof *plan->objects);
        return;
    }
    for (uint32_t i = 0; i < count; i++)
        plan->objects[i] = i;
    for (uint32_t i = count - 1; i > 0; i--) {
        uint32_t other = (uint32_t)(next_random(&state) % (i + 1)), kept = plan->objects[i];
        plan->objects[i] = plan->objects[other];
        plan->objects[other] = kept;
    }
}

int load_plan_make(struct load_plan *plan, const struct load_protocol *protocol, const struct load_spec *spec)
{
    *plan = (struct load_plan){.spec = *spec, .protocol = protocol, .requests_per_unit = 1};
    if (!protocol->shape(plan) || spec->objects < spec->depth)
        return -1;
    uint32_t wanted = spec->random ? spec->objects : spec->depth;
    plan->units = wanted - wanted % spec->depth;
    plan->requests = malloc(plan->units * plan->unit_bytes);
    plan->objects = malloc(wanted * sizeof *plan->objects);
    if (!plan->requests || !plan->objects) {
        load_plan_drop(plan);
        return -1;
    }
    fill_objects(plan);
    for (uint32_t i = 0; i < plan->units; i++)
        protocol->write_unit(plan, plan->requests + i * plan->unit_bytes, i, plan->objects[i]);
    return 0;
}

void load_plan_drop(struct load_plan *plan)
{
    free(plan->requests);
    free(plan->objects);
    plan->requests = NULL;
    plan->objects = NULL;
}

bool load_plan_own(const struct load_plan *plan)
{
    return plan->spec.work == LOAD_PUT;
}

unsigned char *load_plan_own_batch(const struct load_plan *plan, uint32_t connection)
{
    unsigned char *batch = malloc(plan->spec.depth * plan->unit_bytes);
    for (uint32_t i = 0; batch && i < plan->spec.depth; i++)
        plan->protocol->write_unit(plan, batch + i * plan->unit_bytes, i, connection);
    return batch;
}

unsigned char *load_write(unsigned char *out, const void *bytes, size_t count)
{
    memcpy(out, bytes, count);
    return out + count;
}

unsigned char *load_write_text(unsigned char *out, const char *text)
{
    return load_write(out, text, strlen(text));
}

unsigned char *load_write_key(unsigned char *out, char kind, uint32_t object)
{
    out[0] = (unsigned char)kind;
    out[1] = ':';
    for (int at = 11; at >= 2; at--, object /= 10)
        out[at] = (unsigned char)('0' + object % 10);
    return out + 12;
}

unsigned char *load_write_value(unsigned char *out, uint32_t object, uint32_t value_bytes)
{
    memset(out, 'x', value_bytes);
    memcpy(out, &object, sizeof object);
    return out + value_bytes;
}
