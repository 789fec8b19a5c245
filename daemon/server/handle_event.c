/* SPDX-License-Identifier: BSD-3-Clause */
/* watch unwatch guard unguard subscribe unsubscribe: what a client wants to be told. The telling itself is in
 * events.c. */
#include "daemon/pool/events.h"
#include "daemon/pool/replay.h"
#include "daemon/server/handlers.h"
#include "proto/mp.h"

#include <string.h>

/* ---- watches and guards ---- */

/* The connection has asked for events, whatever comes of this call. */
static int asked(struct call *call, int r)
{
    pool_listen(call->pool, call->session);
    return r;
}

static void reply_trues(struct call *call, const struct ids *ids)
{
    if (ids->array)
        reply_array(call, ids->count);
    for (uint32_t i = 0; i < ids->count; i++)
        reply_bool(call, true);
}

int handle_watch(struct call *call)
{
    struct ids ids;
    int r;

    if ((r = call_ids(call, "id", &ids)) || (r = call_options(call, NULL, 0)))
        return r;
    pool_replay_shape(call->pool, ids.array ? REPLAY_ARRAY : REPLAY_PLAIN);
    r = asked(call, pool_watch(call->pool, call->session, ids.ids, ids.count));
    if (r)
        return call_list_error(call, r, ids.array);
    reply_trues(call, &ids);
    return 0;
}

int handle_unwatch(struct call *call)
{
    struct ids ids;
    int r;

    if ((r = call_ids(call, "id", &ids)) || (r = call_options(call, NULL, 0)))
        return r;
    pool_replay_shape(call->pool, ids.array ? REPLAY_ARRAY : REPLAY_PLAIN);
    r = pool_unwatch(call->pool, call->session, ids.ids, ids.count);
    if (r)
        return call_list_error(call, r, ids.array);
    reply_trues(call, &ids);
    return 0;
}

int handle_guard(struct call *call)
{
    uint64_t id;
    int r;

    if ((r = call_id(call, "id", &id)) || (r = call_options(call, NULL, 0)))
        return r;
    r = asked(call, pool_guard(call->pool, call->session, id));
    if (r)
        return call_pool_error(call, r);
    reply_bool(call, true);
    return 0;
}

int handle_unguard(struct call *call)
{
    uint64_t id;
    int r;

    if ((r = call_id(call, "id", &id)) || (r = call_options(call, NULL, 0)))
        return r;
    r = pool_unguard(call->pool, call->session, id);
    if (r)
        return call_pool_error(call, r);
    reply_bool(call, true);
    return 0;
}

/* ---- topics ---- */

struct topics {
    struct topic_in in[HF_TOPIC_COUNT];
    uint32_t count;
};

static int add_topic(struct call *call, struct topics *topics, struct name_in name, uint32_t index)
{
    enum hf_topic topic = hfp_topic_find(name.data, name.size);

    if (topic == HF_TOPIC_NONE)
        return call_badarg(call, "topics", index, "there is no such topic in this version");
    if (hfp_topic_info(topic)->kind == HF_T_OWN)
        return call_badarg(call, "topics", index,
                           "that one comes to who watches or guards, without a subscription");
    for (uint32_t i = 0; i < topics->count; i++)
        if (topics->in[i].topic == topic)
            return 0;
    topics->in[topics->count++].topic = topic;
    return 0;
}

/* An array of names of topics; one may stand there twice. */
static int call_topics(struct call *call, struct topics *ret)
{
    struct span span, item;
    struct name_in name;
    const uint8_t *at;
    uint32_t count;
    int r = 0;

    memset(ret, 0, sizeof(*ret));
    if (!call_span(call, &span) || span_array(span, &count, &at))
        return call_badarg(call, "topics", -1, "expected an array of names of topics");
    if (count > HF_IDS_MAX)
        return call_fail(call, HF_E_LIMIT, "too many topics in one call", "items=%u", count);
    for (uint32_t i = 0; r == 0 && i < count; i++) {
        item = span_next(&at, span.end);
        r = span_bytes(item, &name) ? call_badarg(call, "topics", i, "expected the name of a topic")
                                    : add_topic(call, ret, name, i);
    }
    return r;
}

static bool has_topic(const struct topics *topics, enum hf_topic topic)
{
    bool has = false;

    for (uint32_t i = 0; i < topics->count; i++)
        has |= topics->in[i].topic == topic;
    return has;
}

int handle_subscribe(struct call *call)
{
    struct name_in prefix = {NULL, 0};
    uint64_t from_seq = 0, rate = POOL_OPS_RATE, seq;
    bool rated = false;
    const struct option_spec specs[] = {
        {"rate", OPTION_UINT, &rate, &rated, 1, POOL_OPS_RATE_MAX},
        {"from_seq", OPTION_UINT, &from_seq, NULL, 1, HF_ID_MAX},
        {"prefix", OPTION_BYTES, &prefix, NULL, 0, HF_NAME_MAX},
    };
    struct topics topics;
    int r;

    if ((r = call_topics(call, &topics)) || (r = call_options(call, specs, COUNT_OF(specs))))
        return r;
    if (rated && !has_topic(&topics, HF_TOPIC_ops))
        return call_fail(call, HF_E_BADARG, "only the topic ops has a rate", "option=rate");
    for (uint32_t i = 0; i < topics.count; i++)
        topics.in[i].prefix = prefix;
    r = asked(call, pool_subscribe(call->pool, call->session, topics.in, topics.count, from_seq, &seq));
    if (r)
        return call_pool_error(call, r);
    if (has_topic(&topics, HF_TOPIC_ops))
        pool_want_ops(call->pool, (uint32_t)rate);
    reply_uint(call, seq);
    return 0;
}

int handle_unsubscribe(struct call *call)
{
    struct topics topics;
    int r;

    if ((r = call_topics(call, &topics)) || (r = call_options(call, NULL, 0)))
        return r;
    pool_unsubscribe(call->pool, call->session, topics.in, topics.count);
    reply_bool(call, true);
    return 0;
}
