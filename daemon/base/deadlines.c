/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/base/deadlines.h"

#include <assert.h>

static struct deadline *heap(const struct deadlines *d)
{
    return (void *)d->store.base;
}

bool deadlines_init(struct deadlines *d, struct mem *mem, uint32_t max, void *owner, deadline_placed *placed)
{
    *d = (struct deadlines){.owner = owner, .placed = placed, .mem = mem};
    return reserve_init(&d->store, (max + 1ull) * sizeof(struct deadline));
}

void deadlines_done(struct deadlines *d)
{
    reserve_done(&d->store, d->mem);
}

bool deadlines_prepare(struct deadlines *d, uint64_t count)
{
    return reserve_grow(&d->store, d->mem, count * sizeof(struct deadline));
}

static void put(struct deadlines *d, uint32_t place, struct deadline entry)
{
    heap(d)[place] = entry;
    d->placed(d->owner, entry.key, place);
}

static void sift_up(struct deadlines *d, uint32_t place, struct deadline entry)
{
    while (place > 0 && heap(d)[(place - 1) / 4].at > entry.at) {
        put(d, place, heap(d)[(place - 1) / 4]);
        place = (place - 1) / 4;
    }
    put(d, place, entry);
}

static void sift_down(struct deadlines *d, uint32_t place, struct deadline entry)
{
    for (;;) {
        uint64_t child = place * 4ull + 1;
        uint32_t best = place;
        uint64_t best_at = entry.at;
        for (uint64_t k = child; k < child + 4 && k < d->count; k++) {
            if (heap(d)[k].at < best_at) {
                best = (uint32_t)k;
                best_at = heap(d)[k].at;
            }
        }
        if (best == place)
            break;
        put(d, place, heap(d)[best]);
        place = best;
    }
    put(d, place, entry);
}

void deadlines_add(struct deadlines *d, uint64_t at, uint32_t key)
{
    sift_up(d, d->count++, (struct deadline){.at = at, .key = key});
}

void deadlines_remove(struct deadlines *d, uint32_t place)
{
    assert(place < d->count);
    d->placed(d->owner, heap(d)[place].key, DEADLINE_NONE);
    struct deadline last = heap(d)[--d->count];
    if (place == d->count)
        return;
    if (place > 0 && heap(d)[(place - 1) / 4].at > last.at)
        sift_up(d, place, last);
    else
        sift_down(d, place, last);
}

const struct deadline *deadlines_first(const struct deadlines *d)
{
    return d->count == 0 ? NULL : heap(d);
}
