/* SPDX-License-Identifier: BSD-3-Clause */
/* Inside of a pool; for daemon/pool/ and the inline hot path only.
 *
 * Truth is in the heap's image. Everything in `struct pool` and `struct session` is derived from it and can
 * be made anew by rebuild.c. */
#ifndef POOL_INTERNAL_H
#define POOL_INTERNAL_H

#include "daemon/base/deadlines.h"
#include "daemon/base/index.h"
#include "daemon/base/list.h"
#include "daemon/base/u32vec.h"
#include "daemon/gc/gc.h"
#include "daemon/heap/evacuate.h"
#include "daemon/heap/heap.h"
#include "daemon/pool/outbox.h"
#include "daemon/pool/pool.h"
#include "daemon/pool/replay.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#define HOLD_CELL_BIT 0x80000000u /* in a session's vector: a cell's ref, not an object's index */
#define PLACE_NONE    UINT32_MAX
#define TAIL_SMALL    8u
#define INLINE_UNITS  512u /* of reaping at the end of an operation */
#define AFTER_MAX     (2u * HF_IDS_MAX + 16u)

struct session {
    struct session *prev, *next; /* in the pool, in order of sid */
    struct session *next_dying;
    uint32_t ref;                                   /* its cell; names it in holders */
    uint32_t slot;                                  /* in pool->sessions */
    uint64_t sid, since_ms, held_bytes, references; /* references: sum of its counts */
    uint32_t lease_place;                           /* in pool->leases; DEADLINE_NONE unless in grace */
    uint8_t key[HF_KEY_SIZE];                       /* as in its cell; zeros if anonymous */
    bool anonymous;
    enum reason reason;      /* of its end */
    enum session_end ending; /* how it ends, unless by kill */
    void *owner;
    struct u32vec holds;   /* objects held first, or cells of holds */
    struct u32vec guards;  /* their cells */
    struct outbox *outbox; /* NULL: it never asked for an event */
    uint32_t window;       /* its replay window's cell; 0: none */
};

/* The further outside references of an object that has more than one reference outside. */
struct tail {
    uint32_t place; /* of the first holder in its session's vector; PLACE_NONE: there is none */
    uint32_t count; /* further cells */
    uint64_t held;  /* sum of the counts of those that are holds */
    uint32_t names, tickets;
    union {
        uint32_t small[TAIL_SMALL]; /* refs, while count <= TAIL_SMALL and it was never more */
        struct u32vec crowd;        /* entries of pool->crowd_store */
    };
    bool crowded;
    uint32_t next_free;
};

/* One further reference of a crowded object, found by pool->crowd in constant time. */
struct crowd_entry {
    uint32_t ref;   /* the cell; next free entry while unused */
    uint32_t place; /* in the tail's vector */
};

struct label {
    uint32_t ref, uses;
};

/* What an operation gives back once it is committed. */
struct after {
    uint32_t cells[AFTER_MAX];
    uint32_t drops[AFTER_MAX]; /* objects that lost a reference */
    uint16_t labels[AFTER_MAX];
    uint32_t cells_count, drops_count, labels_count;
};

/* The last sessions that ended. */
struct ended {
    struct ended_row *rows; /* POOL_ENDED_MAX; NULL: none ended yet */
    uint64_t count;         /* of all; the next one goes to the place of this number */
};

/* The request that is being executed, for its session's window. */
struct replay_record_next {
    struct cell_window *in_force; /* NULL: there is none, or it is recorded */
    struct cell_window *window;   /* NULL: there is none */
    uint32_t msgid;
    uint8_t shape;
    bool runs;            /* the answer is `packed` */
    uint32_t block_bytes; /* of a block for a long answer; 0: none */
    uint64_t hash, block;
    uint64_t packed[RUNS_BYTES / 8];
};

struct pool {
    struct heap heap;
    struct gc gc;
    struct evacuation evacuation;
    struct mem mem;
    struct replay_record_next replay;
    char name[HF_POOL_NAME_MAX + 1];
    struct fault fault;
    uint64_t now_ms, lease_ms;
    uint64_t lease_base_ms; /* of the loop clock, where lease_ms began; see pool_start_leases() */
    uint64_t random_state, hash_seed;
    void (*random)(uint8_t *out, size_t size);

    struct reserve sessions; /* struct session *, by slot */
    struct freeset session_slots;
    uint32_t sessions_top;
    struct session *first, *last, *dying;
    struct index by_key, by_sid;
    struct deadlines leases;
    uint64_t sessions_open, sessions_grace, sessions_dying, dying_holds;
    struct ended ended;

    struct index names;
    struct index tickets;
    struct deadlines ticket_deadlines;
    uint64_t names_count, tickets_count;

    struct reserve labels; /* struct label, by number */
    struct freeset label_numbers;
    uint32_t labels_top;
    uint64_t labels_count;
    struct index label_index;

    struct reserve tails; /* struct tail, by number - 1 */
    uint32_t tails_used, tails_free;
    struct reserve crowd_store;
    uint32_t crowd_used, crowd_free;
    struct index crowd;
    uint64_t holds, hold_cells;

    struct index guards; /* by object */
    uint64_t guards_delivered;

    struct index watches;               /* armed watches by object, generation and session */
    struct index watched;               /* of those that wait for the same object the first, by object */
    uint32_t firing_first, firing_last; /* chains of watches whose object is freed, by their first ones */
    uint64_t watches_count, events_waiting, events_told;
    struct list ready, caught_up; /* outboxes that have something to be taken; that wait for the ring */
    bool dropping;                /* pool_events_drop() was called */
    struct ring ring;
    struct runs_told told[2]; /* by gc.runs */
    struct runs_told young_told;

    struct save *save; /* under way; NULL: none */
    struct after after;
    struct reserve scratch; /* targets and indexes of a put_many */
    struct verify *verify;
    uint32_t stages;
    uint32_t background; /* counts, so that background work takes turns */
    uint64_t dispose_at;
    unsigned dispose_area;
};

/* Whether somebody is subscribed to the topic: else its events need not even be made. */
static inline bool ring_wants(const struct pool *pool, enum hf_topic topic)
{
    return pool->ring.subscribers[topic] != 0;
}

struct stage {
    uint64_t value; /* word of the block */
    enum form form;
    bool versioned;
};

/* ---- errors ---- */

/* Sets the fault and returns -code. */
int pool_fail(struct pool *pool, enum hf_err code, const char *text);
int pool_fail_id(struct pool *pool, enum hf_err code, uint64_t id, const char *text);
int pool_fail_oom(struct pool *pool, uint64_t need);
int pool_fail_gone(struct pool *pool, uint64_t id);

/* ---- the end of an operation ---- */

/* Commits, gives back what the operation replaced, lets die what lost its last reference (by a release). */
void pool_commit(struct pool *pool);
/* The last part of it, for the hottest operation: letting die. */
void pool_settle_now(struct pool *pool);
static inline void pool_settle(struct pool *pool)
{
    if (unlikely(pool->heap.zero_head != 0 || pool->gc.owed != 0))
        pool_settle_now(pool);
}
/* The same for an operation that takes references away in another way. */
static inline void pool_commit_as(struct pool *pool, enum reason reason)
{
    pool->gc.reason = reason;
    pool_commit(pool);
    pool->gc.reason = REASON_RELEASE;
}
static inline void pool_after_cell(struct pool *pool, uint32_t ref)
{
    assert(pool->after.cells_count < AFTER_MAX);
    pool->after.cells[pool->after.cells_count++] = ref;
}
static inline void pool_after_drop(struct pool *pool, uint32_t index)
{
    assert(pool->after.drops_count < AFTER_MAX);
    pool->after.drops[pool->after.drops_count++] = index;
}
static inline void pool_after_label(struct pool *pool, uint16_t label)
{
    assert(pool->after.labels_count < AFTER_MAX);
    if (label != 0)
        pool->after.labels[pool->after.labels_count++] = label;
}
/* Pays for pending work before an allocation is given up; true if it is worth another try. */
bool pool_make_room(struct pool *pool);

/* ---- replay.c: what the operation under way will be answered, said before its commit ---- */

/* A window for a session that is being opened, its birth within that operation, its end. 0: no memory. */
uint32_t window_make(struct pool *pool);
void window_born(struct pool *pool, const struct session *s);
void window_drop(struct pool *pool, struct session *s);

void replay_put(struct pool *pool, enum replay_kind kind, uint32_t count, uint64_t first, uint64_t second);
/* Pairs if `second` is given. More than two words need replay_reserve() first. */
void replay_put_words(struct pool *pool, const uint64_t *first, const uint64_t *second, uint32_t count);
int replay_room(struct pool *pool, uint32_t words);

/* Makes room for an answer of so many words, before the first store. -HF_E_OOM. */
static inline int replay_reserve(struct pool *pool, uint32_t words)
{
    return likely(pool->replay.in_force == NULL) ? 0 : replay_room(pool, words);
}
int replay_room_for(struct pool *pool, const uint64_t *words, uint32_t count);
/* The same for an answer that is known already, which may need none; what replay_words() is given then is this. */
static inline int replay_reserve_for(struct pool *pool, const uint64_t *words, uint32_t count)
{
    return likely(pool->replay.in_force == NULL) ? 0 : replay_room_for(pool, words, count);
}
/* The answers of what gives back must be kept although the pool is full: so much more is there for those that are long and
 * do not pack, beyond its limit. */
#define ANSWERS_OVER (4ull * ARENA_BYTES)
static inline void replay_pair(struct pool *pool, enum replay_kind kind, uint64_t first, uint64_t second)
{
    if (unlikely(pool->replay.in_force != NULL))
        replay_put(pool, kind, 1, first, second);
}
static inline void replay_uint(struct pool *pool, uint64_t value)
{
    replay_pair(pool, REPLAY_UINT, value, 0);
}
static inline void replay_true(struct pool *pool)
{
    replay_pair(pool, REPLAY_TRUE, 0, 0);
}
/* One for each of an array, or for what was none. */
static inline void replay_trues(struct pool *pool, uint32_t count)
{
    if (unlikely(pool->replay.in_force != NULL))
        replay_put(pool, REPLAY_TRUES, count, 0, 0);
}
static inline void replay_words(struct pool *pool, const uint64_t *first, const uint64_t *second,
                                uint32_t count)
{
    if (unlikely(pool->replay.in_force != NULL))
        replay_put_words(pool, first, second, count);
}

/* A stamp for image fields, and back. */
static inline uint32_t pool_stamp(const struct pool *pool)
{
    return (uint32_t)((pool->now_ms - pool->heap.sb->born_ms) / STAMP_MS);
}
static inline uint64_t pool_stamp_age_ms(const struct pool *pool, uint32_t stamp)
{
    uint32_t now = pool_stamp(pool); /* less than the stamp when the clock was set back between two starts */
    return now > stamp ? (uint64_t)(now - stamp) * STAMP_MS : 0;
}
uint64_t pool_next_version(struct pool *pool);
void pool_random(struct pool *pool, uint8_t *out, size_t size);

/* ---- holds.c; the further cells of an object: links.h ---- */

/* The session's count on the object; 0: not held. */
uint64_t hold_count(const struct pool *pool, const struct session *s, uint32_t index);
/* Adds n inside an operation; *ret_count is the session's count then. -HF_E_OOM, -HF_E_LIMIT: nothing
 * stored. */
int hold_add(struct pool *pool, struct session *s, uint32_t index, uint32_t n, uint16_t label,
             uint64_t *ret_count);
/* Takes n (at most the count) away inside an operation. */
void hold_drop(struct pool *pool, struct session *s, uint32_t index, uint32_t n);
/* As pool_release() of one id. False: nothing was done, ask that for the reason. */
bool pool_release_one(struct pool *pool, struct session *s, uint64_t id, uint32_t n, uint64_t *ret_count);
/* Releases the last hold of a session that is ending and has one. */
void hold_drop_last(struct pool *pool, struct session *s);
struct session *session_of_ref(const struct pool *pool, uint32_t ref);

/* ---- guards.c ---- */

bool guards_init(struct pool *pool);
/* Enters a guard whose cell is in place into all that is derived. -HF_E_OOM: nothing entered. */
int guard_enter(struct pool *pool, uint32_t ref);
/* As gc_owner.deliver. */
bool guard_deliver(void *pool, uint32_t index);
/* Cancels the last guard of a session that is ending; false: none left. */
bool guard_drop_last(struct pool *pool, struct session *s);
/* Whether the notice `ref` is the announcement of a guard that has not become a hold; guard_claim() also makes the two
 * known to each other. */
bool guard_has(const struct pool *pool, const struct cell_notice *notice, uint32_t ref);
bool guard_claim(struct pool *pool, const struct cell_notice *notice, uint32_t ref);

/* ---- labels.c ---- */

/* The number of (tag, site), made when new, with one more use; 0 for none. -HF_E_OOM, -HF_E_LIMIT. Inside an
 * operation. */
int label_take(struct pool *pool, const uint8_t *tag, uint32_t tag_size, const uint8_t *site,
               uint32_t site_size, uint16_t *ret);
/* One use less, outside an operation (inside: pool_after_label()). 0 is allowed. */
void label_drop(struct pool *pool, uint16_t label);
const struct cell_label *label_get(const struct pool *pool, uint16_t label);
/* As explain_tag: the tag of an object. */
uint32_t label_tag(void *pool, uint32_t index, const uint8_t **ret_tag);
bool labels_init(struct pool *pool);
void labels_done(struct pool *pool);

/* ---- names.c, tickets.c, sessions.c ---- */

/* Seeded with a secret of the process: clients choose names, and must not be able to choose buckets. */
static inline uint64_t name_hash(const struct pool *pool, struct name_in name)
{
    return XXH3_64bits_withSeed(name.data, name.size, pool->hash_seed);
}
bool names_init(struct pool *pool);
bool tickets_init(struct pool *pool);
/* Ends one ticket whose time is over; false: none is due. */
bool ticket_expire(struct pool *pool);
/* Ends all of them. */
void tickets_end(struct pool *pool);
bool sessions_init(struct pool *pool);
void sessions_done(struct pool *pool);
/* Of a pool that is being dropped: frees a chunk of one session's vector, or a session. False: none is left. */
bool session_dispose(struct pool *pool);
bool lease_expire(struct pool *pool);
/* Enters a session whose cell is in place into all that is derived. -HF_E_OOM: nothing entered. */
int session_enter(struct pool *pool, struct session *s);
/* At most `units` (1 and more) holds of a dying session, or the session itself. Returns the units spent; 0: none is dying. */
unsigned session_dying_step(struct pool *pool, unsigned units);

/* ---- ended.c ---- */

/* Notes a session that ends, before it is taken apart. */
void ended_note(struct pool *pool, const struct session *s, enum session_end how);
void ended_done(struct pool *pool);

/* ---- objects.c ---- */

/* Why pool_find() finds nothing. NULL. */
struct hot *pool_fail_find(struct pool *pool, uint64_t id);
/* The entry of a living object that is not open; NULL: the fault is set. */
static inline struct hot *pool_find(struct pool *pool, uint64_t id)
{
    struct hot *hot = heap_find(&pool->heap, id);
    return likely(hot != NULL && (hot->w0 & W0_OPEN) == 0) ? hot : pool_fail_find(pool, id);
}
/* For pool_store(): a new object without a holder, inside an operation. */
int object_make(struct pool *pool, struct session *s, const struct put_spec *spec, uint32_t *ret_index);
/* After the commit of an object made from `spec`: the stage it came in is used up. */
void object_made(struct pool *pool, const struct put_spec *spec);
void object_freed(void *owner, uint32_t index);

/* ---- rebuild.c ---- */

/* While the heap is recovered: looks for what stands twice, and makes the indexes that find it. 0; -ENOMEM; -EINVAL:
 * damaged, `error` says what. */
struct recover_config;
int pool_check(struct pool *pool, const struct recover_config *config, char *error, size_t error_size);
/* Makes all that is private anew from a recovered heap that was checked. -HF_E_OOM. */
int pool_rebuild(struct pool *pool, const struct recover_config *config);

/* ---- verify.c ---- */

/* Ends the running walk, if there is one. */
void verify_done(struct pool *pool);

#include "daemon/pool/links.h"

#endif
