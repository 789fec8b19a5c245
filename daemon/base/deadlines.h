/* SPDX-License-Identifier: BSD-3-Clause */
/* Deadlines: which key is due first.
 *
 * A 4-ary heap in a reserve: adding, moving and removing cost log4(n) steps, so a deadline that is renewed
 * often leaves nothing behind (a lazy queue would keep a year's worth of stale entries). Each key is told
 * its place whenever that changes and hands it back to be removed. A timer wheel would be faster
 * for many more deadlines; for two million at most, a heap is smaller and exact. */
#ifndef BASE_DEADLINES_H
#define BASE_DEADLINES_H

#include "daemon/base/mem.h"

#define DEADLINE_NONE UINT32_MAX

struct deadline {
    uint64_t at;
    uint32_t key;
};

/* Tells the owner that `key` now has `place` (DEADLINE_NONE: removed). */
typedef void deadline_placed(void *owner, uint32_t key, uint32_t place);

struct deadlines {
    struct reserve store;
    uint32_t count;
    void *owner;
    deadline_placed *placed;
    struct mem *mem;
};

bool deadlines_init(struct deadlines *deadlines, struct mem *mem, uint32_t max, void *owner,
                    deadline_placed *placed);
void deadlines_done(struct deadlines *deadlines);
/* Makes sure that adds up to `count` deadlines in all cannot fail. */
bool deadlines_prepare(struct deadlines *deadlines, uint64_t count);
void deadlines_add(struct deadlines *deadlines, uint64_t at, uint32_t key);
void deadlines_remove(struct deadlines *deadlines, uint32_t place);
/* The earliest, or NULL. */
const struct deadline *deadlines_first(const struct deadlines *deadlines);

#endif
