/* SPDX-License-Identifier: BSD-3-Clause */
/* The topic `ops`: a sample of the requests in a pool, as events.
 *
 * Without a subscriber it costs one look a batch. With one, requests of a batch are chosen behind its execution, at
 * even distances and no more than the pool's rate allows, and told with their duration when the replies are written.
 * Each tells how many there were since the one told before, so that numbers can be estimated. */
#include "daemon/pool/events.h"
#include "daemon/server/worker.h"

#include <string.h>

#define THOUSAND 1000u

/* How many may be told now: at the pool's rate, and no more at once than belong to a tenth of a second. */
static unsigned allowance(struct worker *worker, struct pool_entry *entry)
{
    uint64_t rate = pool_ops_rate(entry->pool), most = (rate / 10 + 1) * THOUSAND;
    uint64_t passed_us = (worker->turn_ns - entry->ops_ns) / 1000;
    passed_us = passed_us < 1000000 ? passed_us : 1000000;
    /* in steps of a microsecond, so that nothing is lost in between */
    entry->ops_ns = worker->turn_ns;
    entry->ops_left += passed_us * rate / 1000;
    entry->ops_left = entry->ops_left < most ? entry->ops_left : most;
    uint64_t free = TRACED_MAX - worker->traced_count, count = entry->ops_left / THOUSAND;
    return (unsigned)(count < free ? count : free);
}

static struct traced *choose(struct worker *worker, struct pool_entry *entry, enum hf_method method,
                             uint64_t bytes)
{
    struct traced *traced = &worker->traced[worker->traced_count++];
    traced->method = method;
    traced->bytes = bytes;
    traced->passed = entry->ops_passed;
    entry->ops_passed = 0;
    entry->ops_left -= THOUSAND;
    return traced;
}

void trace_batch(struct conn *conn, unsigned count)
{
    struct worker *worker = conn->worker;
    struct pool_entry *entry = conn->entry;
    if (count > 0 && (conn->pending != NULL || conn->staging != NULL || conn->leaving != NULL))
        count--; /* the last one is not done */
    unsigned chosen = allowance(worker, entry), next = 0;
    chosen = chosen < count ? chosen : count;
    for (unsigned i = 0; i < count; i++) {
        const struct request *request = &worker->batch[i];
        entry->ops_passed++;
        if (next == chosen || i < (2 * next + 1) * count / (2 * chosen) || request->method == HF_METHOD_NONE)
            continue;
        next++;
        struct traced *traced = choose(worker, entry, (enum hf_method)request->method, request->frame.size);
        brief_params(traced->args, traced->method, request->at, &request->frame);
    }
}

void trace_resumed(struct conn *conn)
{
    struct worker *worker = conn->worker;
    struct pool_entry *entry = conn->entry;
    entry->ops_passed++;
    if (allowance(worker, entry) == 0)
        return;
    struct traced *traced =
        choose(worker, entry, (enum hf_method)conn->pending->call.method, conn->pending->frame.size);
    memcpy(traced->args, conn->pending->args, sizeof traced->args);
}

void trace_flushed(struct conn *conn)
{
    struct worker *worker = conn->worker;
    struct pool *pool = conn->entry->pool;
    struct session_row session = {.sid = 0};
    uint64_t ns = uv_hrtime() - conn->read_ns;
    if (conn->session != NULL)
        pool_session_row(pool, conn->session, &session);
    for (unsigned i = 0; i < worker->traced_count; i++) {
        const struct traced *traced = &worker->traced[i];
        pool_tell_op(pool, &(struct op){.method = hfp_method_info(traced->method)->name,
                                        .sid = session.sid,
                                        .name = session.name,
                                        .name_size = session.name_size,
                                        .pid = session.pid,
                                        .args = traced->args,
                                        .bytes = traced->bytes,
                                        .duration_us = ns / 1000,
                                        .passed = traced->passed});
    }
    worker->traced_count = 0;
    pace_touch(conn->entry);
}
