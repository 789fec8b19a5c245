/* SPDX-License-Identifier: BSD-3-Clause */
/* What takes milliseconds and needs nothing of a pool but an address: done by libuv's threads, one errand of a pool at
 * a time. The worker's loop does not end before they are back, and a dropped pool stays so long. */
#include "daemon/server/worker.h"

/* On a thread of libuv. */
static void run(uv_work_t *work)
{
    struct pool_entry *entry = work->data;
    entry->errand.result = pool_errand_run(&entry->errand.what);
}

static void come_back(uv_work_t *work, int status)
{
    struct pool_entry *entry = work->data;
    entry->errand.running = false;
    pool_errand_end(&entry->errand.what, status != 0 ? status : entry->errand.result);
    pace_touch(entry);
    worker_wake(entry->worker);
}

void errand_send(struct pool_entry *entry)
{
    struct errand *errand = &entry->errand;
    if (errand->running || entry->loading || !pool_errand_begin(entry->pool, &errand->what))
        return;
    errand->work.data = entry;
    errand->running = uv_queue_work(&entry->worker->loop, &errand->work, run, come_back) == 0;
    if (!errand->running)
        pool_errand_end(&errand->what, UV_ENOMEM);
}
