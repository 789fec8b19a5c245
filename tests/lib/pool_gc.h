/* SPDX-License-Identifier: BSD-3-Clause */
/* What the tests of the collector share, about the pool `fx` of the file that includes this. */
#ifndef HF_TESTS_LIB_POOL_GC_H
#define HF_TESTS_LIB_POOL_GC_H

#include "daemon/pool/internal.h"
#include "tests/lib/pool_fixture.h"
#include "tests/lib/suite.h"

static struct fixture fx;

static inline void setup(void)
{
    fixture_open(&fx);
}

static inline void teardown(void)
{
    (void)verify_ok(&fx);
    fixture_close(&fx);
}

static inline struct gc_stats figures(void)
{
    struct gc_stats stats;
    pool_gc_stats(fx.pool, &stats);
    return stats;
}

static inline uint64_t collections(void)
{
    struct gc_stats stats = figures();
    uint64_t sum = 0;
    for (unsigned k = 0; k < GC_TRIGGERS; k++)
        sum += stats.full[k];
    return sum;
}

static inline struct gc_result collect_with(bool dry_run, bool explain)
{
    struct gc_ticket ticket;
    struct gc_result result;
    ck_assert_int_eq(pool_collect(fx.pool, dry_run, explain, &ticket), 0);
    while (!pool_collect_done(fx.pool, ticket, &result))
        ck_assert_uint_gt(pool_step(fx.pool, 100), 0);
    return result;
}

static inline struct gc_result collect(void)
{
    return collect_with(false, false);
}

static inline void link_to(uint64_t from, uint64_t slot, uint64_t to)
{
    uint64_t previous;
    ck_assert_int_eq(pool_link(fx.pool, from, slot, to, &previous), 0);
}

/* `count` objects in a ring, each held once by s; the ids are stored. */
static inline void ring_of(struct session *s, uint64_t *ids, uint32_t count)
{
    for (uint32_t k = 0; k < count; k++)
        ids[k] = put_leaf(&fx, s);
    for (uint32_t k = 0; k < count; k++)
        link_to(ids[k], 0, ids[(k + 1) % count]);
}

static inline void release_ids(struct session *s, const uint64_t *ids, uint32_t count)
{
    for (uint32_t k = 0; k < count; k++)
        (void)release_one(&fx, s, ids[k]);
}

/* Until marking is under way, with nothing marked yet. */
static inline void begin_marking(void)
{
    while (fx.pool->gc.phase != GC_MARK)
        ck_assert_uint_gt(pool_step(fx.pool, 1), 0);
}

static inline void finish(void)
{
    while (fx.pool->gc.phase != GC_IDLE)
        (void)pool_step(fx.pool, 100);
}

/* Cycles of more than one object are too large for a trial. */
static inline void full_only(void)
{
    fx.pool->gc.young.nodes_most = 1;
}

static inline struct gc_result collect_young(bool dry_run)
{
    struct gc_ticket ticket;
    struct gc_result result;
    pool_collect_young(fx.pool, dry_run, &ticket);
    while (!pool_collect_done(fx.pool, ticket, &result))
        ck_assert_uint_gt(pool_step(fx.pool, 100), 0);
    return result;
}

/* Cyclic garbage as fast as it can be made, and no time for it but what each turn has, after `every` rounds: its bound
 * holds. */
static inline void churn(uint64_t size, uint64_t rounds, uint64_t every, uint64_t *ret_objects_most,
                         uint64_t *ret_bytes_most)
{
    *ret_objects_most = *ret_bytes_most = 0;
    for (uint64_t k = 0; k < rounds; k++) {
        uint64_t ids[2] = {put_filled(&fx, fx.a, size, 1), put_filled(&fx, fx.a, size, 2)};
        link_to(ids[0], 0, ids[1]);
        link_to(ids[1], 0, ids[0]);
        release_ids(fx.a, ids, 2);
        if (k % every == 0)
            (void)pool_step(fx.pool, POOL_UNITS_PIECE);
        struct pool_stats stats = stats_of(&fx);
        *ret_objects_most = stats.objects > *ret_objects_most ? stats.objects : *ret_objects_most;
        uint64_t bytes = gc_bytes(&fx.pool->heap);
        *ret_bytes_most = bytes > *ret_bytes_most ? bytes : *ret_bytes_most;
    }
}

#endif
