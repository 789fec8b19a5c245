/* SPDX-License-Identifier: BSD-3-Clause */
/* What takes milliseconds and needs nothing of a pool but an address: done by the worker's runners, one errand of a
 * pool at a time. A dropped pool stays until it is back. */
#include "daemon/server/worker.h"

#include <errno.h>

/* On a runner. */
static void run(struct chore *chore)
{
    struct errand *errand = list_entry(chore, struct errand, chore);
    errand->result = pool_errand_run(&errand->what);
}

static void come_back(struct chore *chore)
{
    struct errand *errand = list_entry(chore, struct errand, chore);
    struct pool_entry *entry = list_entry(errand, struct pool_entry, errand);
    errand->running = false;
    pool_errand_end(&errand->what, errand->result);
    pace_touch(entry);
    worker_wake(entry->worker);
}

void errand_send(struct pool_entry *entry)
{
    struct errand *errand = &entry->errand;
    if (errand->running || entry->loading || !pool_errand_begin(entry->pool, &errand->what))
        return;
    errand->chore = (struct chore){.run = run, .done = come_back};
    errand->running = runners_do(&entry->worker->runners, &errand->chore);
    if (!errand->running)
        pool_errand_end(&errand->what, -ENOMEM);
}
