/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/bench/sequence.h"

#include <stdlib.h>

uint32_t bench_sequence_length(uint32_t objects, uint32_t sequences)
{
    uint64_t wanted = 4 * (uint64_t)objects;
    uint64_t most = BENCH_SEQUENCE_MOST / sequences;
    if (wanted < BENCH_SEQUENCE_LEAST)
        wanted = BENCH_SEQUENCE_LEAST;
    return (uint32_t)(wanted < most ? wanted : most);
}

static enum bench_step draw_step(const struct bench_mix *mix, uint32_t total, struct bench_random *random)
{
    uint32_t point = bench_random_below(random, total);
    unsigned operation = 0;
    while (point >= mix->weight[operation])
        point -= mix->weight[operation++];
    return bench_operations[operation].first;
}

static uint32_t size_of(const struct bench_source *source, uint32_t object)
{
    return source->object_sizes != NULL ? source->object_sizes[object] : bench_sizes_most(source->sizes);
}

/* Two objects, of which the first refers to the second. The second has the higher number, always: so no references
 * go round in a circle, and all of them die when they are released. */
static void draw_link(struct bench_draw *draw, const struct bench_source *source, struct bench_random *random)
{
    uint32_t from = bench_keys_draw(source->keys, random);
    uint32_t to = bench_keys_draw(source->keys, random);
    if (from == to && to + 1 < source->keys->count)
        to++;
    else if (from == to)
        from--;
    draw->object = from < to ? to : from;
    draw->patch = bench_patch_id((uint64_t)source->ids[from < to ? from : to]);
}

static void draw_one(struct bench_draw *draw, const struct bench_source *source, struct bench_random *random)
{
    switch ((enum bench_step)draw->step) {
    case BENCH_STEP_GET:
    case BENCH_STEP_RETAIN_FOREIGN:
        draw->object = bench_keys_draw(source->keys, random);
        draw->size = size_of(source, draw->object);
        draw->patch = bench_patch_id((uint64_t)source->ids[draw->object]);
        break;
    case BENCH_STEP_STORE:
    case BENCH_STEP_FETCH:
    case BENCH_STEP_LOOKUP:
        draw->object = bench_keys_draw(source->keys, random);
        draw->size = size_of(source, draw->object);
        draw->patch = bench_patch_name(draw->object);
        break;
    case BENCH_STEP_PUT: draw->size = bench_sizes_draw(source->sizes, random); break;
    case BENCH_STEP_RETAIN_OWN: draw->object = bench_keys_draw(source->own, random); break;
    case BENCH_STEP_LINK: draw_link(draw, source, random); break;
    default: break;
    }
}

bool bench_sequence_make(struct bench_sequence *sequence, const struct bench_source *source, uint32_t count,
                         struct bench_random *random)
{
    uint32_t total = 0;
    for (unsigned i = 0; i < BENCH_OPERATION_COUNT; i++)
        total += source->mix->weight[i];
    *sequence = (struct bench_sequence){.draws = calloc(count, sizeof *sequence->draws)};
    if (sequence->draws == NULL)
        return false;
    sequence->count = count;
    for (uint32_t i = 0; i < count; i++) {
        sequence->draws[i].step = draw_step(source->mix, total, random) & 15u;
        draw_one(&sequence->draws[i], source, random);
    }
    return true;
}

void bench_sequence_done(struct bench_sequence *sequence)
{
    free(sequence->draws);
    *sequence = (struct bench_sequence){0};
}
