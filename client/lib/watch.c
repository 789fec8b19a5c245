/* SPDX-License-Identifier: BSD-3-Clause */
/* Calls that ask for events, and the one that takes them. */
#include "client/lib/conn.h"
#include "client/lib/events.h"
#include "client/lib/pack.h"

static int call_id(hf_conn *conn, const char *method, hf_id id)
{
    hf__pack_id(hf__call(conn, method, 1), id);
    struct hf__sink sink = hf__sink_none();
    return hf__call_end(conn, &sink);
}

static int call_ids(hf_conn *conn, const char *method, const hf_id *ids, size_t count)
{
    hf__pack_ids(hf__call(conn, method, 1), ids, count);
    struct hf__sink sink = hf__sink_none();
    return hf__call_end(conn, &sink);
}

/* From here on events may come, and after a reconnection they shall come again. */
static int asking(hf_conn *conn, int code)
{
    conn->asked |= code == 0;
    return code;
}

int hf_watch(hf_conn *conn, hf_id id)
{
    return asking(conn, call_id(conn, "watch", id));
}

int hf_watch_many(hf_conn *conn, const hf_id *ids, size_t count)
{
    return asking(conn, call_ids(conn, "watch", ids, count));
}

int hf_unwatch(hf_conn *conn, hf_id id)
{
    return call_id(conn, "unwatch", id);
}

int hf_unwatch_many(hf_conn *conn, const hf_id *ids, size_t count)
{
    return call_ids(conn, "unwatch", ids, count);
}

int hf_guard(hf_conn *conn, hf_id id)
{
    return asking(conn, call_id(conn, "guard", id));
}

int hf_unguard(hf_conn *conn, hf_id id)
{
    return call_id(conn, "unguard", id);
}

static void pack_topics(msgpack_packer *packer, const char *const *topics, size_t count)
{
    msgpack_pack_array(packer, count);
    for (size_t k = 0; k < count; k++)
        hf__pack_text(packer, topics[k]);
}

/* The first subscription of all begins behind the event of that number. */
static int take_seq(const struct hf__sink *sink, hf_item result)
{
    struct hf__events *events = sink->ret[0];
    int64_t *ret = sink->ret[1], seq;
    if (!hf_item_int(result, &seq) || seq < 0)
        return HF_ERR_PROTOCOL;
    if (events->place == 0)
        events->place = (uint64_t)seq + 1;
    if (ret != NULL)
        *ret = seq;
    return 0;
}

static int subscribe(hf_conn *conn, const char *const *topics, size_t count,
                     const struct hf_subscribe_options *options, int64_t *ret_seq)
{
    uint32_t pairs = (options->from_seq != 0) + (options->prefix != NULL) + (options->rate != 0);
    msgpack_packer *packer = hf__call(conn, "subscribe", 1 + (pairs != 0));
    pack_topics(packer, topics, count);
    if (pairs != 0)
        msgpack_pack_map(packer, pairs);
    hf__pack_option_uint(packer, "from_seq", options->from_seq);
    hf__pack_option_text(packer, "prefix", options->prefix);
    hf__pack_option_uint(packer, "rate", options->rate);
    struct hf__sink sink = {.take = take_seq, .ret = {&conn->events, ret_seq}};
    return asking(conn, hf__call_end(conn, &sink));
}

/* The rate is that of `ops` alone. */
static bool remember(hf_conn *conn, const char *const *topics, size_t count,
                     const struct hf_subscribe_options *options)
{
    const char *prefix = options->prefix != NULL ? options->prefix : "";
    bool ok = true;
    for (size_t k = 0; k < count; k++)
        ok &= hf__topics_add(&conn->events, topics[k], prefix,
                             strcmp(topics[k], "ops") == 0 ? options->rate : 0);
    return ok;
}

int hf_subscribe(hf_conn *conn, const char *const *topics, size_t count,
                 const struct hf_subscribe_options *options, int64_t *ret_seq)
{
    static const struct hf_subscribe_options none;
    if (options == NULL)
        options = &none;
    struct hf__events *events = &conn->events;
    const uint64_t seen = events->seen[HF__RING], place = events->place;
    if (options->from_seq != 0) {
        hf__events_forget(events, HF__RING); /* they are wanted again */
        events->place = options->from_seq;
    } else if (events->topics == NULL) {
        events->place = 0; /* as the daemon will tell */
    }
    int code = subscribe(conn, topics, count, options, ret_seq);
    if (code != 0) {
        events->seen[HF__RING] = seen;
        events->place = place;
    }
    if (code == 0 && !remember(conn, topics, count, options))
        code = hf__fail(conn, HF_ERR_MEMORY, NULL);
    return code;
}

int hf_unsubscribe(hf_conn *conn, const char *const *topics, size_t count)
{
    pack_topics(hf__call(conn, "unsubscribe", 1), topics, count);
    struct hf__sink sink = hf__sink_none();
    int code = hf__call_end(conn, &sink);
    for (size_t k = 0; code == 0 && k < count; k++)
        hf__topics_remove(&conn->events, topics[k]);
    return code;
}

/* Subscribes anew, from where the events ended. If that place is none (the files of the pool were put back to an older
 * state) from now on; a topic that was refused within a batch, where nobody looked, is left out. */
static int subscribe_again(hf_conn *conn, const struct hf__topic *topic, uint64_t from)
{
    const char *const names[] = {topic->name};
    struct hf_subscribe_options options = {.from_seq = from, .prefix = topic->prefix, .rate = topic->rate};
    int code = subscribe(conn, names, 1, &options, NULL);
    if (code != HF_ERR_BADARG)
        return code;
    options.from_seq = 0;
    conn->events.place = 0;
    code = subscribe(conn, names, 1, &options, NULL);
    if (code == 0)
        hf__events_forget(&conn->events, HF__RING);
    return code == HF_ERR_BADARG ? 0 : code;
}

int hf__ask_again(hf_conn *conn)
{
    static const struct hf_subscribe_options none;
    if (!conn->asked)
        return 0;
    int code = subscribe(conn, NULL, 0, &none, NULL); /* the session's own events */
    const uint64_t from = hf__events_place(&conn->events);
    for (const struct hf__topic *topic = conn->events.topics; code == 0 && topic != NULL; topic = topic->next)
        code = subscribe_again(conn, topic, from);
    return code == 0 ? hf__fail(conn, 0, NULL) : code;
}

int hf_next_event(hf_conn *conn, int64_t timeout_ms, struct hf_event *ret)
{
    static const struct hf_event none;
    *ret = none;
    int code = hf__alone(conn);
    if (code != 0)
        return code;
    bool in_time = hf__events_any(&conn->events) || hf__run_events(conn, timeout_ms);
    if (hf__events_take(&conn->events, ret))
        return hf__fail(conn, 0, NULL);
    if (hf__events_any(&conn->events))
        return hf__fail(conn, HF_ERR_MEMORY, NULL);
    if (!in_time)
        return hf__fail(conn, HF_ERR_TIMEOUT, "no event came in the time given");
    return hf__fail(conn, HF_ERR_UNSENT, NULL);
}
