/* SPDX-License-Identifier: BSD-3-Clause */
/* Collections of cycles, as the layers above ask for them. */
#include "daemon/pool/internal.h"

int pool_collect(struct pool *pool, bool dry_run, bool explain, struct gc_ticket *ret)
{
    if (gc_collect(&pool->gc, dry_run, explain, ret) == 0)
        return 0;
    return pool_fail_oom(pool, sizeof(struct gc_cycles));
}

void pool_collect_young(struct pool *pool, bool dry_run, struct gc_ticket *ret)
{
    gc_collect_young(&pool->gc, dry_run, ret);
}

const struct gc_cycles *pool_collect_cycles(const struct pool *pool, bool dry_run)
{
    return gc_cycles(&pool->gc, dry_run);
}

bool pool_is_collecting(const struct pool *pool)
{
    return gc_has_work(&pool->gc);
}

void pool_stepped(struct pool *pool, uint64_t end_ns, uint64_t wall_ns, uint64_t cpu_ns)
{
    gc_stepped(&pool->gc, end_ns, wall_ns, cpu_ns);
}

bool pool_collect_done(const struct pool *pool, struct gc_ticket ticket, struct gc_result *ret)
{
    return gc_is_done(&pool->gc, ticket, ret);
}

void pool_gc_stats(const struct pool *pool, struct gc_stats *ret)
{
    gc_stats(&pool->gc, ret);
    ret->delivered = pool->guards_delivered;
}

const struct gc_config *pool_gc_config(const struct pool *pool)
{
    return &pool->gc.config;
}

void pool_gc_set_config(struct pool *pool, const struct gc_config *config)
{
    pool->gc.config = *config;
    gc_configured(&pool->gc);
}
