/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/server/slowlog.h"

#include "daemon/base/histogram.h"

#include <stdlib.h>

#define SHORT_NS ((1000ull << HISTOGRAM_OCTAVES) - 1)

int slowlog_open(struct slowlog *slowlog, struct mem *mem)
{
    *slowlog = (struct slowlog){.mem = mem, .first = 1, .next = 1, .quick_ns = SHORT_NS};
    return uv_mutex_init(&slowlog->lock);
}

void slowlog_close(struct slowlog *slowlog)
{
    mem_uncharge(slowlog->mem, slowlog->rows == NULL ? 0 : SLOWLOG_ROWS * sizeof *slowlog->rows);
    free(slowlog->rows);
    uv_mutex_destroy(&slowlog->lock);
}

void slowlog_set(struct slowlog *slowlog, uint64_t threshold_us)
{
    uint64_t ns = threshold_us * 1000, longest_ns = ns - 1; /* 0: UINT64_MAX */
    atomic_store_explicit(&slowlog->threshold_ns, ns, memory_order_relaxed);
    atomic_store_explicit(&slowlog->quick_ns, longest_ns < SHORT_NS ? longest_ns : SHORT_NS,
                          memory_order_relaxed);
}

uint64_t slowlog_threshold_us(const struct slowlog *slowlog)
{
    return atomic_load_explicit(&slowlog->threshold_ns, memory_order_relaxed) / 1000;
}

/* Under the lock. The budget is shared by threads, so it is charged as such and not by mem_alloc(). */
static bool has_rows(struct slowlog *slowlog)
{
    if (slowlog->rows != NULL)
        return true;
    size_t size = SLOWLOG_ROWS * sizeof *slowlog->rows;
    if (!mem_charge(slowlog->mem, size))
        return false;
    slowlog->rows = malloc(size);
    if (slowlog->rows == NULL)
        mem_uncharge(slowlog->mem, size);
    return slowlog->rows != NULL;
}

void slowlog_add(struct slowlog *slowlog, struct slow_row *row)
{
    atomic_fetch_add_explicit(&slowlog->count, 1, memory_order_relaxed); /* a figure */
    uv_mutex_lock(&slowlog->lock);
    if (has_rows(slowlog)) {
        row->number = slowlog->next++;
        slowlog->rows[row->number % SLOWLOG_ROWS] = *row;
        if (slowlog->next - slowlog->first > SLOWLOG_ROWS)
            slowlog->first++;
    }
    uv_mutex_unlock(&slowlog->lock);
}

unsigned slowlog_read(struct slowlog *slowlog, struct slow_row *rows, unsigned max, bool reset)
{
    unsigned count = 0;
    uv_mutex_lock(&slowlog->lock);
    for (uint64_t number = slowlog->next; number > slowlog->first && count < max; number--)
        rows[count++] = slowlog->rows[(number - 1) % SLOWLOG_ROWS];
    if (reset)
        slowlog->first = slowlog->next;
    uv_mutex_unlock(&slowlog->lock);
    return count;
}
