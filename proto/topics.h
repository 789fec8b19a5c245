/* SPDX-License-Identifier: BSD-3-Clause */
/* The topics of events, one list, and the words in them.
 *
 * X(topic, fields, key, kind, since): `fields` are the keys of the event's map, names separated by ", ", in the order in
 * which the pool gives their values (pool/events.h); a value that is nil is left out of the map. `key` is the number
 * of the field that the option `prefix` of `subscribe` filters, HF_T_NO_KEY if there is none. A new topic of the ring
 * is a line here and a call of ring_add() where it happens. Derived from it: `enum hf_topic`, the pool's filters, the
 * server's maps, and (checked by `make tidy`) the table in PROTOCOL.md. Numbers are local to a build and never
 * travel. */
#ifndef HF_PROTO_TOPICS_H
#define HF_PROTO_TOPICS_H

#include <stddef.h>
#include <stdint.h>

/* OWN: told to one session, for a watch, a guard, or a loss; they cannot be subscribed to. RING: of the pool's ring. */
enum hf_topic_kind { HF_T_OWN, HF_T_RING };
#define HF_T_NO_KEY (-1)

#define HF_TOPICS(X)                                                                                         \
    X(freed, "id, reason", HF_T_NO_KEY, HF_T_OWN, "0.1")                                                     \
    X(unreachable, "id", HF_T_NO_KEY, HF_T_OWN, "0.1")                                                       \
    X(gap, "of, from, to", HF_T_NO_KEY, HF_T_OWN, "0.1")                                                     \
    X(gc, "phase, kind, trigger, dry_run, candidates, unreachable, collected, bytes, delivered, units", 0,   \
      HF_T_RING, "0.1")                                                                                      \
    X(ops, "method, sid, name, pid, args, bytes, duration_us, passed", 0, HF_T_RING, "0.1")

/* X(CODE, word): why an object ended, `reason` of the topic `freed`. */
#define HF_REASONS(X)                                                                                        \
    X(RELEASE, "release")                                                                                    \
    X(UNLINK, "unlink")                                                                                      \
    X(UNNAME, "unname")                                                                                      \
    X(REPLACED, "replaced")                                                                                  \
    X(EXPIRE, "expire")                                                                                      \
    X(EVICT, "evict")                                                                                        \
    X(TICKET, "ticket")                                                                                      \
    X(SESSION_END, "session_end")                                                                            \
    X(CYCLE, "cycle")                                                                                        \
    X(ABORT, "abort")                                                                                        \
    X(KILL, "kill")                                                                                          \
    X(POOL_DROP, "pool_drop")

enum hf_topic {
    HF_TOPIC_NONE = 0, /* no topic of this version */
#define HF_TOPIC_ENUM(name, fields, key, kind, since) HF_TOPIC_##name,
    HF_TOPICS(HF_TOPIC_ENUM)
#undef HF_TOPIC_ENUM
        HF_TOPIC_COUNT /* one more than the last topic */
};

/* A topic's line of the list, as data. */
struct hf_topic_info {
    const char *name;
    const char *fields;
    const char *since;
    int key;
    enum hf_topic_kind kind;
};

/* The line of `topic`; the line of HF_TOPIC_NONE (and of anything out of range) has empty strings. Never NULL. */
const struct hf_topic_info *hfp_topic_info(enum hf_topic topic);

/* The topic called `name` (of `size` bytes, not terminated), or HF_TOPIC_NONE. */
enum hf_topic hfp_topic_find(const void *name, size_t size);

#endif
