/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/lib/events.h"

#include <stdlib.h>
#include <string.h>

#include "proto/mp.h"

#define GAP_MAX 64u /* bytes of the map of a gap */

struct hf__event_node {
    struct hf__event_node *next;
    size_t size; /* of the allocation */
    uint64_t seq;
    hf_id id;
    hf_item map;
    const char *topic, *reason;
    unsigned char data[]; /* the map, topic and reason, with terminating zeros */
};

/* What an event consists of, still in the message. */
struct parts {
    uint64_t seq;
    hf_item topic, map;
    const char *topic_at, *reason_at;
    size_t topic_size, reason_size;
    hf_id id;
    enum hf__source source;
};

/* ---- reading ---- */

static bool is_text(const char *bytes, size_t size, const char *text)
{
    return size == strlen(text) && memcmp(bytes, text, size) == 0;
}

static bool read_text(hf_item item, const char **ret_at, size_t *ret_size)
{
    const void *at;
    if (!hf_item_bytes(item, &at, ret_size))
        return false;
    *ret_at = at;
    return true;
}

/* Topics of the session itself; a gap says of which source it is. */
static enum hf__source source_of(const struct parts *parts)
{
    const char *of;
    size_t size;
    if (is_text(parts->topic_at, parts->topic_size, "freed") ||
        is_text(parts->topic_at, parts->topic_size, "unreachable"))
        return HF__SESSION;
    bool gap = is_text(parts->topic_at, parts->topic_size, "gap");
    return gap && read_text(hf_item_get(parts->map, "of"), &of, &size) && is_text(of, size, "session")
               ? HF__SESSION
               : HF__RING;
}

static bool read_parts(hf_item params, struct parts *ret)
{
    *ret = (struct parts){.map = hf_item_at(params, 2)};
    if (hf_item_count(params) != 3 || !hf_item_uint(hf_item_at(params, 0), &ret->seq) ||
        !read_text(hf_item_at(params, 1), &ret->topic_at, &ret->topic_size) ||
        hf_item_type(ret->map) != HF_TYPE_MAP)
        return false;
    (void)hf_item_int(hf_item_get(ret->map, "id"), &ret->id);
    (void)read_text(hf_item_get(ret->map, "reason"), &ret->reason_at, &ret->reason_size);
    ret->source = source_of(ret);
    return true;
}

/* ---- keeping ---- */

static const char *copy_text(unsigned char **to, const char *from, size_t size)
{
    char *at = (char *)*to;
    if (size != 0)
        memcpy(at, from, size);
    at[size] = '\0';
    *to += size + 1;
    return at;
}

static struct hf__event_node *node_of(const struct parts *parts)
{
    size_t size =
        sizeof(struct hf__event_node) + parts->map.size + parts->topic_size + 1 + parts->reason_size + 1;
    struct hf__event_node *node = malloc(size);
    if (node == NULL)
        return NULL;
    *node = (struct hf__event_node){.size = size, .seq = parts->seq, .id = parts->id};
    unsigned char *at = node->data;
    memcpy(at, parts->map.data, parts->map.size);
    node->map = (hf_item){.data = at, .size = parts->map.size};
    at += parts->map.size;
    node->topic = copy_text(&at, parts->topic_at, parts->topic_size);
    node->reason = parts->reason_at != NULL ? copy_text(&at, parts->reason_at, parts->reason_size) : NULL;
    return node;
}

static void append(struct hf__events *events, struct hf__event_node *node)
{
    if (events->last != NULL)
        events->last->next = node;
    else
        events->first = node;
    events->last = node;
    events->count++;
    events->bytes += node->size;
}

static void lose(struct hf__events *events, const struct parts *parts)
{
    if (events->lost_from[parts->source] == 0)
        events->lost_from[parts->source] = parts->seq;
    events->lost_to[parts->source] = parts->seq;
}

static bool has_lost(const struct hf__events *events)
{
    return events->lost_from[HF__SESSION] != 0 || events->lost_from[HF__RING] != 0;
}

bool hf__events_add(struct hf__events *events, hf_item params)
{
    struct parts parts;
    if (!read_parts(params, &parts))
        return false;
    if (parts.seq <= events->seen[parts.source])
        return true;
    events->seen[parts.source] = parts.seq;
    bool room = !has_lost(events) && events->count < HF__EVENTS_MAX && events->bytes < HF__EVENTS_BYTES;
    struct hf__event_node *node = room ? node_of(&parts) : NULL;
    if (node != NULL)
        append(events, node);
    else
        lose(events, &parts);
    return true;
}

/* ---- taking ---- */

bool hf__events_any(const struct hf__events *events)
{
    return events->first != NULL || has_lost(events);
}

/* The gap of a source, as the daemon would have told it. NULL without memory: it stays to be told. */
static struct hf__event_node *gap_node(struct hf__events *events, enum hf__source source)
{
    uint8_t map[GAP_MAX], *end = hfp_put_map_head(map, 3);
    end = hfp_put_text(hfp_put_text(end, "of"), source == HF__SESSION ? "session" : "ring");
    end = hfp_put_uint(hfp_put_text(end, "from"), events->lost_from[source]);
    end = hfp_put_uint(hfp_put_text(end, "to"), events->lost_to[source]);
    const struct parts parts = {.seq = events->lost_to[source],
                                .map = {.data = map, .size = (size_t)(end - map)},
                                .topic_at = "gap",
                                .topic_size = 3};
    struct hf__event_node *node = node_of(&parts);
    if (node != NULL)
        events->lost_from[source] = events->lost_to[source] = 0;
    return node;
}

static struct hf__event_node *take_node(struct hf__events *events)
{
    struct hf__event_node *node = events->first;
    if (node == NULL)
        return has_lost(events)
                   ? gap_node(events, events->lost_from[HF__SESSION] != 0 ? HF__SESSION : HF__RING)
                   : NULL;
    events->first = node->next;
    if (events->first == NULL)
        events->last = NULL;
    events->count--;
    events->bytes -= node->size;
    return node;
}

bool hf__events_take(struct hf__events *events, struct hf_event *ret)
{
    struct hf__event_node *node = take_node(events);
    if (node == NULL)
        return false;
    free(events->current);
    events->current = node;
    *ret = (struct hf_event){
        .seq = node->seq, .topic = node->topic, .id = node->id, .reason = node->reason, .map = node->map};
    return true;
}

/* ---- topics ---- */

static struct hf__topic **find_topic(struct hf__events *events, const char *name)
{
    struct hf__topic **at = &events->topics;
    while (*at != NULL && strcmp((*at)->name, name) != 0)
        at = &(*at)->next;
    return at;
}

bool hf__topics_add(struct hf__events *events, const char *name, const char *prefix, uint64_t rate)
{
    size_t name_size = strlen(name) + 1, prefix_size = strlen(prefix) + 1;
    struct hf__topic *topic = malloc(sizeof *topic + name_size + prefix_size);
    if (topic == NULL)
        return false;
    hf__topics_remove(events, name);
    topic->next = events->topics;
    topic->rate = rate;
    memcpy(topic->name, name, name_size);
    topic->prefix = topic->name + name_size;
    memcpy(topic->prefix, prefix, prefix_size);
    events->topics = topic;
    return true;
}

void hf__topics_remove(struct hf__events *events, const char *name)
{
    struct hf__topic **at = find_topic(events, name), *topic = *at;
    if (topic == NULL)
        return;
    *at = topic->next;
    free(topic);
    if (events->topics == NULL)
        events->place = 0;
}

void hf__topics_done(struct hf__events *events)
{
    while (events->topics != NULL)
        hf__topics_remove(events, events->topics->name);
}

uint64_t hf__events_place(const struct hf__events *events)
{
    uint64_t behind = events->seen[HF__RING] + 1;
    return events->place > behind ? events->place : behind;
}

void hf__events_forget(struct hf__events *events, enum hf__source source)
{
    events->seen[source] = 0;
}

void hf__events_done(struct hf__events *events)
{
    while (events->first != NULL) {
        struct hf__event_node *next = events->first->next;
        free(events->first);
        events->first = next;
    }
    free(events->current);
    hf__topics_done(events);
    *events = (struct hf__events){0};
}
