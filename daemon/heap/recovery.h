/* SPDX-License-Identifier: BSD-3-Clause */
/* Inside of recovery; for recover.c and reach.c only. */
#ifndef HEAP_RECOVERY_H
#define HEAP_RECOVERY_H

#include "daemon/heap/recover.h"

#define RECOVERY_RING 16u    /* marked objects prefetched ahead (measured: 7.5 times faster) */
#define TELL_EVERY    65536u /* entries between two words about the progress */

struct recovery {
    struct heap *heap;
    struct recover_config config;
    struct recover_result result;
    uint64_t values_end; /* bytes of the values region in which something may lie */
    uint64_t *undone;    /* the words that the rollback has changed, in the order of the log */
    struct reserve marks, stack, counts; /* counts: slots that point at each object */
    struct reserve delivered;            /* one bit an object: its guard becomes a hold */
    struct reserve roots;                /* one bit an object: something outside leads to it */
    struct reserve edges;                /* what an object leads to, 64 bits each, see EDGES_NONE */
    uint64_t stack_count, stack_room;
    uint64_t alive, marked;       /* entries that say so, and those found so far */
    uint32_t top;                 /* of the table */
    uint32_t ring[RECOVERY_RING]; /* marked objects that will be looked at next */
    uint32_t ring_head, ring_count;
    char *error;
    size_t error_size;
};

/* Slots that stand in an entry, as they are there, so that who goes from object to object looks at one line of a dense
 * array instead of one of each half of the entry. Two values that no sound pair of slots has say: */
#define EDGES_NONE UINT64_MAX       /* not alive */
#define EDGES_LOOK (UINT64_MAX - 1) /* the entry tells */

/* -EINVAL, and the words for it. */
__attribute__((format(printf, 2, 3))) /* lets the compiler check the arguments; C has no other way */
int recovery_damaged(struct recovery *r, const char *format, ...);
/* The same for what `blocks` did not claim or admit, unless it was for want of memory. */
__attribute__((format(printf, 3, 4))) /* as above */
int recovery_refused(struct recovery *r, const struct blocks *blocks, const char *format, ...);

enum pass { PASS_ENTRIES, PASS_MARK, PASS_CLAIM, PASS_COUNT, PASS_SETTLE, PASSES };
/* Now and then: how far a pass is. -ECANCELED: it is to end here. */
int recovery_tell(const struct recovery *r, enum pass pass, uint64_t done, uint64_t all);

static inline int recovery_tell_entries(const struct recovery *r, enum pass pass, uint32_t index)
{
    return index % TELL_EVERY == 0 ? recovery_tell(r, pass, index, r->heap->sb->index_top) : 0;
}

static inline uint32_t recovery_arenas_of(uint64_t bytes)
{
    return (uint32_t)((bytes + ARENA_BYTES - 1) / ARENA_BYTES);
}

/* Whether the cell of a session is there; `ref` may be anything. */
bool recovery_is_session(const struct heap *heap, uint32_t ref);
static inline bool recovery_goes_on(const struct recovery *r, uint32_t session)
{
    return recover_goes_on(r->heap, &r->config, session);
}

static inline bool recovery_has_bit(const struct reserve *bits, uint32_t index)
{
    return ((const uint64_t *)(const void *)bits->base)[index / 64] >> (index % 64) & 1;
}

static inline bool recovery_is_marked(const struct recovery *r, uint32_t index)
{
    return recovery_has_bit(&r->marks, index);
}

static inline void recovery_set_bit(const struct reserve *bits, uint32_t index)
{
    ((uint64_t *)(void *)bits->base)[index / 64] |= 1ull << (index % 64);
}

/* Steps 3 to 6, see recover.h: 0, -EINVAL, -ENOMEM, -ECANCELED. */
int recovery_check_entries(struct recovery *r);
int recovery_mark(struct recovery *r);
int recovery_claim(struct recovery *r);
int recovery_count(struct recovery *r);

#endif
