/* SPDX-License-Identifier: BSD-3-Clause */
/* Collections of cycles, as the layers above ask for them. */
#include "daemon/pool/internal.h"

struct gc_ticket pool_collect(struct pool *pool, bool dry_run)
{
    return gc_collect(&pool->gc, dry_run);
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
}
