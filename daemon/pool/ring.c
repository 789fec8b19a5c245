/* SPDX-License-Identifier: BSD-3-Clause */
/* The ring: the last events of the topics somebody is subscribed to.
 *
 * A record is { size 2, topic 1, number of values 1 } and its values, each { kind 1 } with 8 bytes of a number, or 2 of
 * a length and the text. It does not wrap: when the rest of the buffer is too short for it, it goes to the begin. The
 * oldest records make room for it. */
#include "daemon/pool/internal.h"

#include <string.h>

#define RING_LOOK   256u /* events of other topics passed in one call */
#define RECORD_HEAD 4u
/* Subscribers looked at before one of them is given up to chance. */
#define READERS_LOOK 64u
#define VALUE_MOST   (3u + HF_NAME_MAX)

static uint32_t bit_of(enum hf_topic topic)
{
    return 1u << topic;
}

static_assert(HF_TOPIC_COUNT <= 32, "a bit for each topic");

/* ---- records ---- */

static uint8_t *put(uint8_t *at, const void *data, size_t size)
{
    memcpy(at, data, size);
    return at + size;
}

static uint8_t *write_value(uint8_t *at, const struct event_value *value)
{
    uint16_t size = (uint16_t)(value->size > HF_NAME_MAX ? HF_NAME_MAX : value->size);
    *at++ = (uint8_t)value->kind;
    if (value->kind == EVENT_TEXT)
        return put(put(at, &size, sizeof size), value->text, size);
    return value->kind == EVENT_NIL ? at : put(at, &value->number, sizeof value->number);
}

static const uint8_t *read_value(const uint8_t *at, struct event_value *ret)
{
    uint16_t size;
    *ret = (struct event_value){.kind = (enum event_value_kind) * at++};
    if (ret->kind == EVENT_NIL)
        return at;
    if (ret->kind != EVENT_TEXT) {
        memcpy(&ret->number, at, sizeof ret->number);
        return at + sizeof ret->number;
    }
    memcpy(&size, at, sizeof size);
    ret->size = size;
    ret->text = at + sizeof size;
    return ret->text + size;
}

static const uint8_t *record_of(const struct ring *ring, uint64_t seq)
{
    return ring->bytes + ring->at[seq % RING_EVENTS];
}

static enum hf_topic topic_of(const uint8_t *record)
{
    return (enum hf_topic)record[2];
}

static void read_record(const uint8_t *record, uint64_t seq, struct event *ret)
{
    const uint8_t *at = record + RECORD_HEAD;
    ret->topic = topic_of(record);
    ret->seq = seq;
    ret->count = record[3];
    for (unsigned k = 0; k < ret->count; k++)
        at = read_value(at, &ret->values[k]);
}

/* Where `size` contiguous bytes are free, as things are; UINT32_MAX: nowhere. */
static uint32_t room_for(const struct ring *ring, uint32_t size)
{
    if (ring->first == ring->next)
        return 0;
    uint32_t begin = ring->at[ring->first % RING_EVENTS], end = ring->end;
    if (ring->next - ring->first == RING_EVENTS)
        return UINT32_MAX;
    if (end <= begin)
        return begin - end >= size ? end : UINT32_MAX;
    if (RING_BYTES - end >= size)
        return end;
    return begin >= size ? 0 : UINT32_MAX;
}

/* The record goes behind all others; the oldest make room. */
static void append(struct ring *ring, const uint8_t *record, uint16_t size)
{
    uint32_t at;
    while ((at = room_for(ring, size)) == UINT32_MAX)
        ring->first++;
    memcpy(ring->bytes + at, record, size);
    ring->at[ring->next % RING_EVENTS] = at;
    ring->end = at + size;
    ring->next++;
}

#define RECORD_MOST (RECORD_HEAD + EVENT_VALUES_MAX * VALUE_MOST)

/* Writes a record of RECORD_MOST bytes at most. Returns its size. */
static uint16_t write_record(uint8_t *bytes, enum hf_topic topic, const struct event_value *values,
                             unsigned count)
{
    uint8_t *end = bytes + RECORD_HEAD;
    assert(count <= EVENT_VALUES_MAX);
    for (unsigned k = 0; k < count; k++)
        end = write_value(end, &values[k]);
    uint16_t size = (uint16_t)(end - bytes);
    memcpy(bytes, &size, sizeof size);
    bytes[2] = (uint8_t)topic;
    bytes[3] = (uint8_t)count;
    return size;
}

static void record(struct ring *ring, enum hf_topic topic, const struct event_value *values, unsigned count)
{
    uint8_t bytes[RECORD_MOST];
    append(ring, bytes, write_record(bytes, topic, values, count));
}

/* Whether a connected subscriber of another topic than this one has not come past the oldest record: that it is lost
 * would be told as a gap, whatever it is. Of more than READERS_LOOK one may be such. */
static bool first_is_needed(const struct ring *ring, enum hf_topic spare)
{
    unsigned looked = 0;
    for (struct list *at = ring->readers.next; at != &ring->readers; at = at->next) {
        const struct outbox *o = list_entry(at, struct outbox, in_ring);
        if (looked++ == READERS_LOOK)
            return true;
        if (o->listening && (o->topics & ~bit_of(spare)) != 0 && o->sent <= ring->first)
            return true;
    }
    return false;
}

/* ---- life ---- */

void ring_init(struct pool *pool)
{
    /* Numbers of this start are above those of all before: whoever names one of them learns that events are lost. */
    list_init(&pool->ring.readers);
    pool->ring.first = pool->ring.next = (pool->heap.sb->starts << 32) + 1;
}

void ring_done(struct pool *pool)
{
    struct ring *ring = &pool->ring;
    mem_free(&pool->mem, ring->bytes, RING_BYTES);
    mem_free(&pool->mem, ring->at, RING_EVENTS * sizeof *ring->at);
    ring->bytes = NULL;
    ring->at = NULL;
    ring->first = ring->next;
}

static bool make(struct pool *pool)
{
    struct ring *ring = &pool->ring;
    if (ring->bytes != NULL)
        return true;
    ring->bytes = mem_alloc(&pool->mem, RING_BYTES);
    ring->at = mem_alloc(&pool->mem, RING_EVENTS * sizeof *ring->at);
    if (ring->bytes != NULL && ring->at != NULL)
        return true;
    ring_done(pool);
    return false;
}

void ring_add(struct pool *pool, enum hf_topic topic, const struct event_value *values, unsigned count)
{
    if (!ring_wants(pool, topic))
        return;
    record(&pool->ring, topic, values, count);
    list_join(&pool->ready, &pool->caught_up);
}

void ring_add_spare(struct pool *pool, enum hf_topic topic, const struct event_value *values, unsigned count)
{
    struct ring *ring = &pool->ring;
    uint8_t bytes[RECORD_MOST];
    uint16_t size = write_record(bytes, topic, values, count);
    while (room_for(ring, size) == UINT32_MAX) {
        if (first_is_needed(ring, topic))
            return;
        ring->first++;
    }
    append(ring, bytes, size);
    list_join(&pool->ready, &pool->caught_up);
}

/* ---- subscriptions ---- */

void pool_want_ops(struct pool *pool, uint32_t rate)
{
    struct ring *ring = &pool->ring;
    if (ring_wants(pool, HF_TOPIC_ops) && rate > ring->ops_rate)
        ring->ops_rate = rate;
}

/* From here on the topic is recorded. A number of its own stands for what was not: who asks for it learns that. */
static void begin_topic(struct ring *ring, enum hf_topic topic)
{
    if (ring->subscribers[topic]++ != 0)
        return;
    record(ring, HF_TOPIC_NONE, NULL, 0);
    ring->since[topic] = ring->next;
}

static int set_prefix(struct pool *pool, struct outbox *o, const struct topic_in *in)
{
    size_t size = HF_TOPIC_COUNT * sizeof *o->prefixes;
    if (in->prefix.size == 0 && o->prefixes == NULL)
        return 0;
    if (o->prefixes == NULL)
        o->prefixes = mem_zalloc(&pool->mem, size);
    if (o->prefixes == NULL)
        return pool_fail_oom(pool, size);
    struct topic_prefix *prefix = &o->prefixes[in->topic];
    prefix->size = (uint8_t)in->prefix.size;
    if (prefix->size != 0)
        memcpy(prefix->bytes, in->prefix.data, prefix->size);
    return 0;
}

static void join(struct pool *pool, struct outbox *o, const struct topic_in *topics, uint32_t count)
{
    struct ring *ring = &pool->ring;
    uint32_t before = o->topics;
    for (uint32_t k = 0; k < count; k++) {
        if ((o->topics & bit_of(topics[k].topic)) == 0)
            begin_topic(ring, topics[k].topic);
        o->topics |= bit_of(topics[k].topic);
    }
    if (before != 0 || o->topics == 0)
        return;
    ring->sessions++;
    list_append(&ring->readers, &o->in_ring);
    o->read = o->sent = ring->next;
}

static int subscribe(struct pool *pool, struct session *s, const struct topic_in *topics, uint32_t count)
{
    struct outbox *o = outbox_of(pool, s);
    if (o == NULL || (count != 0 && !make(pool)))
        return pool_fail_oom(pool, RING_BYTES);
    for (uint32_t k = 0; k < count; k++) {
        int err = set_prefix(pool, o, &topics[k]);
        if (err != 0)
            return err;
    }
    join(pool, o, topics, count);
    return 0;
}

/* Its next event is that one, or a gap up to where all its topics are recorded. */
static void go_to(const struct ring *ring, struct outbox *o, uint64_t seq)
{
    if (o->topics == 0)
        return;
    o->read = o->sent = seq;
    for (unsigned topic = 0; topic < HF_TOPIC_COUNT; topic++)
        if ((o->topics >> topic & 1) != 0 && ring->since[topic] > o->whole_from)
            o->whole_from = ring->since[topic];
}

int pool_subscribe(struct pool *pool, struct session *s, const struct topic_in *topics, uint32_t count,
                   uint64_t from_seq, uint64_t *ret_seq)
{
    struct ring *ring = &pool->ring;
    if (from_seq > ring->next)
        return pool_fail(pool, HF_E_BADARG, "from_seq is beyond the latest event of this pool");
    int err = subscribe(pool, s, topics, count);
    if (err == -HF_E_OOM && pool_make_room(pool))
        err = subscribe(pool, s, topics, count);
    if (err != 0) {
        if (ring->sessions == 0)
            ring_done(pool);
        return err;
    }
    if (from_seq != 0)
        go_to(ring, s->outbox, from_seq);
    *ret_seq = ring->next - 1;
    outbox_place(pool, s->outbox);
    return 0;
}

void ring_leave(struct pool *pool, struct outbox *o, uint32_t topics)
{
    struct ring *ring = &pool->ring;
    uint32_t gone = o->topics & topics;
    for (unsigned topic = 0; topic < HF_TOPIC_COUNT; topic++)
        ring->subscribers[topic] -= gone >> topic & 1;
    o->topics &= ~topics;
    if (ring->subscribers[HF_TOPIC_ops] == 0)
        ring->ops_rate = 0;
    if (gone == 0 || o->topics != 0)
        return;
    list_remove(&o->in_ring);
    if (--ring->sessions == 0)
        ring_done(pool);
}

void pool_unsubscribe(struct pool *pool, struct session *s, const struct topic_in *topics, uint32_t count)
{
    uint32_t set = 0;
    for (uint32_t k = 0; k < count; k++)
        set |= bit_of(topics[k].topic);
    if (s->outbox == NULL)
        return;
    ring_leave(pool, s->outbox, set);
    outbox_place(pool, s->outbox);
}

/* ---- taking ---- */

static bool matches(const struct outbox *o, const uint8_t *bytes)
{
    enum hf_topic topic = topic_of(bytes);
    int key = hfp_topic_info(topic)->key;
    if ((o->topics & bit_of(topic)) == 0)
        return false;
    if (key < 0 || o->prefixes == NULL || o->prefixes[topic].size == 0)
        return true;
    const uint8_t *at = bytes + RECORD_HEAD;
    struct event_value value = {.kind = EVENT_NIL};
    for (int k = 0; k <= key && k < bytes[3]; k++)
        at = read_value(at, &value);
    const struct topic_prefix *prefix = &o->prefixes[topic];
    return value.kind == EVENT_TEXT && value.size >= prefix->size &&
           memcmp(value.text, prefix->bytes, prefix->size) == 0;
}

bool ring_next(struct pool *pool, struct outbox *o, struct event *ret)
{
    const struct ring *ring = &pool->ring;
    if (o->topics == 0 || o->read == ring->next)
        return false;
    uint64_t from = o->whole_from > ring->first ? o->whole_from : ring->first;
    if (o->read < from) {
        event_gap(ret, "ring", o->read, from - 1);
        o->read = from;
        return true;
    }
    for (unsigned k = 0; k < RING_LOOK && o->read < ring->next; k++) {
        const uint8_t *bytes = record_of(ring, o->read++);
        pool->heap.work++;
        if (!matches(o, bytes))
            continue;
        read_record(bytes, o->read - 1, ret);
        return true;
    }
    return false;
}
