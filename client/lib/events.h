/* SPDX-License-Identifier: BSD-3-Clause */
/* Events of a connection that its owner has not taken yet.
 *
 * Always:
 * - They are in the order in which they came. None stands there twice: one of a seq that was seen before (a daemon
 *   sends again what a broken connection may have lost) is dropped.
 * - What there is no room for is dropped and told as a gap behind all that is kept; until that is taken, all that
 *   comes is dropped too. */
#ifndef HF_CLIENT_EVENTS_H
#define HF_CLIENT_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/holdfast.h"

#define HF__EVENTS_MAX   65536u             /* kept, and */
#define HF__EVENTS_BYTES (8u * 1024 * 1024) /* what they take together */

/* Where events come from; each has seqs of its own. */
enum hf__source { HF__SESSION, HF__RING, HF__SOURCES };

struct hf__event_node;

/* A subscription, kept so that a new connection can ask for it again. */
struct hf__topic {
    struct hf__topic *next;
    char *prefix; /* behind the name */
    uint64_t rate;
    char name[];
};

struct hf__events {
    struct hf__event_node *first, *last;
    struct hf__event_node *current; /* the one that was taken last */
    size_t count, bytes;
    uint64_t seen[HF__SOURCES];                            /* the highest seq; 0: none */
    uint64_t lost_from[HF__SOURCES], lost_to[HF__SOURCES]; /* 0: nothing */
    struct hf__topic *topics;
    uint64_t place; /* in the ring: the first event that the subscriptions want; 0: not known yet */
};

/* An event: `params` is [seq, topic, map]. False if it is none, and ignored. */
bool hf__events_add(struct hf__events *events, hf_item params);

/* The next one, valid until the next call; false: there is none. */
bool hf__events_take(struct hf__events *events, struct hf_event *ret);
bool hf__events_any(const struct hf__events *events);

/* From now on each seq of that source is new. */
void hf__events_forget(struct hf__events *events, enum hf__source source);

/* Remembers a subscription, instead of one to the same topic. False without memory: as it was. */
bool hf__topics_add(struct hf__events *events, const char *name, const char *prefix, uint64_t rate);
void hf__topics_remove(struct hf__events *events, const char *name);
void hf__topics_done(struct hf__events *events);

/* The number of the first event of the ring that has not come, and is wanted. */
uint64_t hf__events_place(const struct hf__events *events);

void hf__events_done(struct hf__events *events);

#endif
