/* SPDX-License-Identifier: BSD-3-Clause */
/* Outboxes: which session has something to be told and may be told it, and the events that are made here. */
#include "daemon/pool/internal.h"

#include <string.h>

static const char *const reasons[REASON_COUNT] = {
#define LINE(code, word) [REASON_##code] = word,
    HF_REASONS(LINE)
#undef LINE
};

static_assert(
#define LINE(code, word) +1
    0 HF_REASONS(LINE) == REASON_COUNT,
#undef LINE
    "a word for each reason");

static struct event_value text(const char *text)
{
    return (struct event_value){
        .kind = EVENT_TEXT, .text = (const uint8_t *)text, .size = (uint32_t)strlen(text)};
}

static struct event_value number(uint64_t number)
{
    return (struct event_value){.kind = EVENT_UINT, .number = number};
}

void event_gap(struct event *ret, const char *of, uint64_t from, uint64_t to)
{
    ret->topic = HF_TOPIC_gap;
    ret->seq = to;
    ret->count = 3;
    ret->values[0] = text(of);
    ret->values[1] = number(from);
    ret->values[2] = number(to);
}

/* ---- outboxes ---- */

void events_init(struct pool *pool)
{
    list_init(&pool->ready);
    list_init(&pool->caught_up);
}

struct outbox *outbox_of(struct pool *pool, struct session *s)
{
    if (s->outbox != NULL)
        return s->outbox;
    struct outbox *o = mem_zalloc(&pool->mem, sizeof *o);
    if (o == NULL)
        return NULL;
    list_init(&o->link);
    list_init(&o->in_ring);
    o->session = s;
    /* as in the ring: above all numbers of a start before */
    o->next_seq = (pool->heap.sb->starts << 32) + 1;
    s->outbox = o;
    return o;
}

void outbox_free(struct pool *pool, struct session *s)
{
    struct outbox *o = s->outbox;
    if (o == NULL)
        return;
    list_remove(&o->link);
    list_remove(&o->in_ring);
    if (o->prefixes != NULL)
        mem_free(&pool->mem, o->prefixes, HF_TOPIC_COUNT * sizeof *o->prefixes);
    mem_free(&pool->mem, o, sizeof *o);
    s->outbox = NULL;
}

static uint32_t next_notice(const struct pool *pool, const struct outbox *o)
{
    return o->taken == 0 ? o->first : ((const struct cell_notice *)cell_at(&pool->heap, o->taken))->next;
}

static bool has_more(const struct pool *pool, const struct outbox *o)
{
    return next_notice(pool, o) != 0 || (o->lost != 0 && !o->lost_taken) ||
           (o->topics != 0 && o->read != pool->ring.next);
}

void outbox_place(struct pool *pool, struct outbox *o)
{
    list_remove(&o->link);
    if (!o->listening || o->paused)
        return;
    if (has_more(pool, o))
        list_append(&pool->ready, &o->link);
    else if (o->topics != 0)
        list_append(&pool->caught_up, &o->link);
}

static void forget_taken(struct outbox *o)
{
    o->taken = 0;
    o->lost_taken = false;
    o->read = o->sent;
}

void outbox_reset(struct pool *pool, struct session *s)
{
    struct outbox *o = s->outbox;
    if (o == NULL)
        return;
    o->listening = o->paused = false;
    forget_taken(o);
    outbox_place(pool, o);
}

void outbox_end(struct pool *pool, struct session *s)
{
    if (s->outbox == NULL)
        return;
    ring_leave(pool, s->outbox, UINT32_MAX);
    outbox_reset(pool, s);
}

/* ---- taking ---- */

void pool_listen(struct pool *pool, struct session *s)
{
    struct outbox *o = s->outbox;
    if (o == NULL || o->listening)
        return;
    o->listening = true;
    outbox_place(pool, o);
}

bool pool_has_events(const struct pool *pool)
{
    return !list_empty(&pool->ready);
}

struct session *pool_events_session(struct pool *pool)
{
    if (list_empty(&pool->ready))
        return NULL;
    struct outbox *o = list_entry(pool->ready.next, struct outbox, link);
    list_remove(&o->link);
    list_append(&pool->ready, &o->link);
    return o->session;
}

static void take_notice(struct pool *pool, struct outbox *o, uint32_t ref, struct event *ret)
{
    const struct cell_notice *cell = cell_at(&pool->heap, ref);
    bool guard = (cell->what & NOTICE_GUARD) != 0;
    ret->topic = guard ? HF_TOPIC_unreachable : HF_TOPIC_freed;
    ret->seq = cell->seq;
    ret->count = guard ? 1 : 2;
    ret->values[0] = number(notice_id(pool, ref));
    ret->values[1] = text(reasons[(cell->what & NOTICE_REASON) >> NOTICE_REASON_SHIFT]);
    o->taken = ref;
}

static bool take(struct pool *pool, struct outbox *o, struct event *ret)
{
    uint32_t ref = next_notice(pool, o);
    if (ref != 0) {
        take_notice(pool, o, ref, ret);
        return true;
    }
    if (o->lost != 0 && !o->lost_taken) {
        event_gap(ret, "session", o->next_seq, o->next_seq + o->lost - 1);
        o->lost_taken = true;
        return true;
    }
    return ring_next(pool, o, ret);
}

bool pool_events_next(struct pool *pool, struct session *s, struct event *ret)
{
    struct outbox *o = s->outbox;
    bool taken = o != NULL && o->listening && !o->paused && take(pool, o, ret);
    pool->heap.work++;
    pool->events_told += taken;
    if (o != NULL && (!taken || !has_more(pool, o)))
        outbox_place(pool, o);
    return taken;
}

void pool_events_sent(struct pool *pool, struct session *s)
{
    struct outbox *o = s->outbox;
    if (o == NULL)
        return;
    while (o->taken != 0)
        notice_told(pool, o);
    if (o->lost_taken)
        o->lost = 0;
    o->sent = o->read;
}

void pool_events_unsent(struct pool *pool, struct session *s)
{
    if (s->outbox == NULL)
        return;
    forget_taken(s->outbox);
    outbox_place(pool, s->outbox);
}

void pool_events_pause(struct pool *pool, struct session *s)
{
    if (s->outbox == NULL)
        return;
    s->outbox->paused = true;
    outbox_place(pool, s->outbox);
}

void pool_events_resume(struct pool *pool, struct session *s)
{
    if (s->outbox == NULL || !s->outbox->paused)
        return;
    s->outbox->paused = false;
    outbox_place(pool, s->outbox);
}

/* ---- collections ---- */

/* In the order of the topic's fields. */
static void collection(struct pool *pool, bool begins, bool young, bool dry_run)
{
    static const char *const full_triggers[GC_TRIGGERS] = {[GC_BY_CALL] = "call",
                                                           [GC_BY_OBJECTS] = "objects",
                                                           [GC_BY_BYTES] = "bytes",
                                                           [GC_BY_TIME] = "time",
                                                           [GC_BY_MEMORY] = "memory"};
    static const char *const young_triggers[GC_YOUNG_TRIGGERS] = {[GC_YOUNG_BY_CALL] = "call",
                                                                  [GC_YOUNG_BY_SUSPECTS] = "suspects",
                                                                  [GC_YOUNG_BY_GROWTH] = "growth",
                                                                  [GC_YOUNG_BY_TIME] = "time",
                                                                  [GC_YOUNG_BY_MEMORY] = "memory"};
    const struct gc *gc = &pool->gc;
    /* it stays when it is done, until the next begins */
    const struct gc_result *result = young ? &gc->young.running : &gc->running;
    const char *trigger = young ? young_triggers[gc->young.trigger] : full_triggers[gc->trigger];
    const struct event_value values[] = {
        text(begins ? "start" : "end"),
        text(young ? "young" : "full"),
        text(trigger),
        {.kind = EVENT_BOOL, .number = dry_run},
        number(result->candidates),
        number(result->unreachable),
        number(result->collected),
        number(result->bytes),
        number(result->delivered),
        number(result->units),
    };
    ring_add(pool, HF_TOPIC_gc, values, begins ? 5 : sizeof values / sizeof values[0]);
}

void events_collections(struct pool *pool)
{
    for (unsigned dry = 0; dry < 2; dry++) {
        const struct gc_runs *runs = &pool->gc.runs[dry];
        if (pool->told[dry].begun != runs->begun)
            collection(pool, true, false, dry);
        if (pool->told[dry].done != runs->done)
            collection(pool, false, false, dry);
        pool->told[dry] = (struct runs_told){.begun = runs->begun, .done = runs->done};
    }
    const struct gc_young *young = &pool->gc.young;
    if (pool->young_told.begun != young->begun)
        collection(pool, true, true, young->dry_run);
    if (pool->young_told.done != young->ended)
        collection(pool, false, true, young->dry_run);
    pool->young_told = (struct runs_told){.begun = young->begun, .done = young->ended};
}

/* ---- requests ---- */

/* In the order of the topic's fields. */
void pool_tell_op(struct pool *pool, const struct op *op)
{
    const struct event_value nil = {.kind = EVENT_NIL};
    const struct event_value values[] = {
        text(op->method),
        op->sid == 0 ? nil : number(op->sid),
        op->name_size == 0
            ? nil
            : (struct event_value){.kind = EVENT_TEXT, .text = op->name, .size = op->name_size},
        op->pid == 0 ? nil : number(op->pid),
        op->args[0] == '\0' ? nil : text(op->args),
        number(op->bytes),
        number(op->duration_us),
        number(op->passed),
    };
    if (ring_wants(pool, HF_TOPIC_ops))
        ring_add_spare(pool, HF_TOPIC_ops, values, sizeof values / sizeof values[0]);
}

uint32_t pool_ops_rate(const struct pool *pool)
{
    return pool->ring.ops_rate;
}

/* ---- facts ---- */

void pool_event_stats(const struct pool *pool, struct event_stats *ret)
{
    *ret = (struct event_stats){.watches = pool->watches_count,
                                .guards = pool->gc.guarded.count,
                                .waiting = pool->events_waiting,
                                .subscribers = pool->ring.sessions,
                                .ring_first = pool->ring.first,
                                .ring_next = pool->ring.next,
                                .told = pool->events_told};
}
