/* SPDX-License-Identifier: BSD-3-Clause */
/* The floor: value_bytes bytes that come back as they went. */
#include "tests/bench/lib/plan.h"

#include <string.h>

static bool shape(struct load_plan *plan)
{
    plan->unit_bytes = plan->reply_bytes = plan->spec.value_bytes;
    plan->probe_offset = 4; /* the first filling byte behind the number */
    plan->probe_byte = 'x';
    return plan->spec.work == LOAD_GET;
}

static void write_unit(const struct load_plan *plan, unsigned char *out, uint32_t sequence, uint32_t object)
{
    (void)object;
    load_write_value(out, sequence, plan->spec.value_bytes);
}

static bool check(const struct load_plan *plan, const struct load_batch *batch, const unsigned char *replies,
                  uint32_t first, uint32_t count)
{
    bool right = true;
    for (uint32_t i = first; i < first + count; i++) {
        size_t at = i * plan->unit_bytes;
        right &= memcmp(replies + at, batch->requests + at, 8) == 0;
    }
    return right;
}

const struct load_protocol load_echo = {
    .name = "echo", .shape = shape, .write_unit = write_unit, .check = check};
