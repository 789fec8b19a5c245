/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/lib/event_fixture.h"

#include "daemon/pool/internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

bool peek_event(struct fixture *fx, struct session *s, struct event *ret)
{
    memset(ret, 0xa5, sizeof *ret); /* whatever is not told is nonsense */
    for (unsigned looks = 0; looks < 2 * RING_EVENTS; looks++) {
        if (pool_events_next(fx->pool, s, ret))
            return true;
        if (!pool_has_events(fx->pool))
            return false;
    }
    return false;
}

bool take_event(struct fixture *fx, struct session *s, struct event *ret)
{
    bool taken = peek_event(fx, s, ret);
    pool_events_sent(fx->pool, s);
    return taken;
}

struct event_stats events_of(const struct fixture *fx)
{
    struct event_stats stats;
    pool_event_stats(fx->pool, &stats);
    return stats;
}

void fixture_end(struct fixture *fx)
{
    drain(fx);
    verify_ok(fx);
    fixture_close(fx);
}

bool text_is(const struct event_value *value, const char *text)
{
    return value->kind == EVENT_TEXT && value->size == strlen(text) &&
           memcmp(value->text, text, value->size) == 0;
}

static void describe(const struct event *event, char *out, size_t size)
{
    int used = snprintf(out, size, "%s seq %llu:", hfp_topic_info(event->topic)->name,
                        (unsigned long long)event->seq);
    for (unsigned k = 0; k < event->count && used > 0 && (size_t)used < size; k++) {
        const struct event_value *value = &event->values[k];
        used += value->kind == EVENT_TEXT
                    ? snprintf(out + used, size - (size_t)used, " %.*s", (int)value->size,
                               (const char *)value->text)
                    : snprintf(out + used, size - (size_t)used, " %llu", (unsigned long long)value->number);
    }
}

static void take_one(struct fixture *fx, struct session *s, enum hf_topic topic, unsigned count,
                     struct event *ret)
{
    char text[300];
    if (!take_event(fx, s, ret))
        fixture_die("no event, expected is one of %s", hfp_topic_info(topic)->name);
    describe(ret, text, sizeof text);
    if (ret->topic != topic || ret->count != count)
        fixture_die("the event is %s; expected is one of %s", text, hfp_topic_info(topic)->name);
}

static void must_be(const struct event *event, bool right)
{
    char text[300];
    describe(event, text, sizeof text);
    if (!right)
        fixture_die("not the expected event, but %s", text);
}

uint64_t expect_freed(struct fixture *fx, struct session *s, uint64_t id, const char *reason)
{
    struct event event;
    take_one(fx, s, HF_TOPIC_freed, 2, &event);
    must_be(&event, event.values[0].kind == EVENT_UINT && event.values[0].number == id &&
                        text_is(&event.values[1], reason));
    return event.seq;
}

uint64_t expect_unreachable(struct fixture *fx, struct session *s, uint64_t id)
{
    struct event event;
    take_one(fx, s, HF_TOPIC_unreachable, 1, &event);
    must_be(&event, event.values[0].kind == EVENT_UINT && event.values[0].number == id);
    return event.seq;
}

uint64_t expect_gap(struct fixture *fx, struct session *s, const char *of, uint64_t from, uint64_t to)
{
    struct event event;
    take_one(fx, s, HF_TOPIC_gap, 3, &event);
    must_be(&event,
            text_is(&event.values[0], of) && event.values[1].number == from && event.values[2].number == to);
    return event.seq;
}

void expect_nothing(struct fixture *fx, struct session *s)
{
    struct event event;
    char text[300];
    if (take_event(fx, s, &event)) {
        describe(&event, text, sizeof text);
        fixture_die("an event that nobody expects: %s", text);
    }
    for (unsigned k = 0; k < 8; k++)
        if (pool_events_session(fx->pool) == s)
            fixture_die("the session has no event, but is said to have one");
}

void watch(struct fixture *fx, struct session *s, uint64_t id)
{
    int rc = pool_watch(fx->pool, s, &id, 1);
    if (rc != 0)
        fixture_die("watch answered %d", rc);
    pool_listen(fx->pool, s);
}

static struct session *again(struct fixture *fx, unsigned number)
{
    uint8_t key[HF_KEY_SIZE];
    fixture_key(number, key);
    return pool_session_by_key(fx->pool, key);
}

void fixture_restart(struct fixture *fx)
{
    const struct heap *heap = &fx->pool->heap;
    struct pool_config config = {.name = "test",
                                 .max_bytes = mem_limit(pool_mem(fx->pool)),
                                 .random_seed = 1,
                                 .now_ms = fx->now_ms,
                                 .lease_ms = fx->lease_ms,
                                 .io = &fx->grow.io,
                                 .fd_meta = fcntl(heap->meta.fd, F_DUPFD_CLOEXEC, 0),
                                 .fd_values = fcntl(heap->values.fd, F_DUPFD_CLOEXEC, 0)};
    char error[256] = "";
    pool_close(fx->pool);
    int rc = pool_open(&fx->pool, &config, error, sizeof error);
    if (rc != 0)
        fixture_die("pool_open answered %d: %s", rc, error);
    fx->a = again(fx, 1);
    fx->b = again(fx, 2);
}
