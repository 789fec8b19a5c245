/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory nearly full: what asked for memory in vain waits for what is being freed, and asks again. */
#include "daemon/server/worker.h"

#define MEMORY_WAIT_MS 100u /* of one request, in all */

bool patience_wait(struct patience *patience, const struct worker *worker, struct pool *pool)
{
    uint64_t waited_ms = patience->waited_ms;
    if (patience->waits)
        waited_ms += worker->now_ms - patience->since_ms;
    if (!pool_has_work(pool) || waited_ms >= MEMORY_WAIT_MS)
        return false;
    if (!patience->waits)
        patience->since_ms = worker->now_ms;
    patience->waits = true;
    patience->turn = worker->counters.turns;
    patience->left = mem_left(pool_mem(pool));
    return true;
}

bool patience_try(const struct patience *patience, const struct worker *worker, struct pool *pool)
{
    if (!patience->waits)
        return true;
    if (patience->turn == worker->counters.turns)
        return false;
    uint64_t waited_ms = patience->waited_ms + (worker->now_ms - patience->since_ms);
    return mem_left(pool_mem(pool)) > patience->left || !pool_has_work(pool) || waited_ms >= MEMORY_WAIT_MS;
}

void patience_end(struct patience *patience, const struct worker *worker)
{
    if (patience->waits)
        patience->waited_ms += worker->now_ms - patience->since_ms;
    patience->waits = false;
}
