/* SPDX-License-Identifier: BSD-3-Clause */
/* Events on their way to clients: taken from the pools at the end of a turn, sent as notifications
 * `[2, "event", [seq, topic, map]]` behind the replies of that turn.
 *
 * A connection has at most one batch of events on its way (EVENTS_BATCH bytes and one event more). While it is not all
 * written its session is passed by: what happens meanwhile waits in the pool, where its own events have their memory
 * already, and the ring goes on. So a client that reads slowly or not at all costs no memory, holds nobody up, and is
 * not cut off for its events. */
#include "daemon/pool/events.h"
#include "daemon/server/worker.h"
#include "proto/mp.h"
#include "proto/rpc.h"

#include <string.h>

#define EVENTS_BATCH    (32u * 1024) /* bytes */
#define EVENTS_TURN     2048u        /* events, and */
#define EVENTS_SESSIONS 64u          /* sessions that are sent some in a turn: each costs a system call */
#define FIELD_MOST      32u          /* bytes of a field's name */
#define EVENT_FRAME_MAX                                                                                      \
    (HFP_EVENT_HEAD_MAX + FIELD_MOST + 8 + EVENT_VALUES_MAX * (2 * FIELD_MOST + HF_NAME_MAX))

/* ---- one event ---- */

static uint8_t *put_value(uint8_t *at, const struct event_value *value)
{
    switch (value->kind) {
    case EVENT_UINT: return hfp_put_uint(at, value->number);
    case EVENT_BOOL: return hfp_put_bool(at, value->number != 0);
    case EVENT_TEXT: return hfp_put_str(at, value->text, value->size);
    default: return hfp_put_nil(at);
    }
}

/* The map of those fields that have a value. */
static uint8_t *put_map(uint8_t *at, const struct event *event)
{
    const char *field = hfp_topic_info(event->topic)->fields;
    uint32_t pairs = 0;
    for (unsigned k = 0; k < event->count; k++)
        pairs += event->values[k].kind != EVENT_NIL;
    at = hfp_put_map_head(at, pairs);
    for (unsigned k = 0; k < event->count; k++) {
        size_t size = strcspn(field, ",");
        if (event->values[k].kind != EVENT_NIL) {
            at = hfp_put_str(at, field, (uint32_t)size);
            at = put_value(at, &event->values[k]);
        }
        field += size;
        field += strspn(field, ", ");
    }
    return at;
}

static void append(struct output *out, const struct event *event)
{
    const char *topic = hfp_topic_info(event->topic)->name;
    uint8_t *at = output_room(out, EVENT_FRAME_MAX);
    if (at == NULL)
        return; /* not so: the buffer is empty before the first one, and much larger than a batch */
    at = hfp_put_event_head(at, event->seq, topic, (uint32_t)strlen(topic));
    out->used = (size_t)(put_map(at, event) - out->data);
}

/* ---- sending ---- */

/* A batch of the session's events into the output, which is empty. Returns how many. */
static unsigned fill(struct output *out, struct pool *pool, struct session *session)
{
    struct event event;
    unsigned count = 0;
    output_mark(out);
    while (out->used < EVENTS_BATCH && pool_events_next(pool, session, &event)) {
        append(out, &event);
        count++;
    }
    return count;
}

/* Whether it may be sent events now: not while it has some to take, nor on its way to another worker. */
static bool is_ready(const struct conn *conn)
{
    return conn->state == CONN_OPEN && !conn->finish && conn->leaving == NULL && conn->queued_events == 0;
}

static unsigned send_to(struct conn *conn)
{
    struct pool *pool = conn->entry->pool;
    struct session *session = conn->session;
    if (!is_ready(conn)) {
        pool_events_pause(pool, session);
        return 1;
    }
    unsigned count = fill(&conn->worker->out, pool, session);
    enum flushed flushed = output_flush_events(conn);
    if (flushed == FLUSH_DONE)
        pool_events_sent(pool, session);
    if (flushed == FLUSH_KEPT)
        pool_events_unsent(pool, session);
    if (flushed == FLUSH_KEPT || flushed == FLUSH_QUEUED) {
        pool_events_pause(pool, session);
        conn_watch(conn);
    }
    return count + 1;
}

bool events_send(struct worker *worker)
{
    struct list *at, *after;
    unsigned events = 0, sessions = 0;
    bool more = false;
    list_each(at, after, &worker->pace.touched)
    {
        struct pool *pool = list_entry(at, struct pool_entry, in_touched)->pool;
        struct session *session;
        while (events < EVENTS_TURN && sessions < EVENTS_SESSIONS &&
               (session = pool_events_session(pool)) != NULL) {
            book_settle(&worker->book);
            worker->active = true;
            events += send_to(session_owner(session));
            sessions++;
        }
        more |= pool_has_events(pool);
    }
    return more;
}

void events_resume(struct conn *conn)
{
    if (conn->session == NULL || conn->queued_events != 0)
        return;
    pool_events_resume(conn->entry->pool, conn->session);
    pace_touch(conn->entry);
    worker_wake(conn->worker);
}

void events_written(struct conn *conn)
{
    if (conn->session == NULL)
        return;
    pool_events_sent(conn->entry->pool, conn->session);
    events_resume(conn);
}

void events_farewell(struct conn *conn)
{
    if (conn->session == NULL || conn->queued_events != 0 || !conn->entry->dropped)
        return;
    (void)fill(&conn->worker->out, conn->entry->pool, conn->session);
    (void)output_flush_events(conn);
}
