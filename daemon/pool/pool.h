/* SPDX-License-Identifier: BSD-3-Clause */
/* A pool: one heap image with the policies that decide who keeps what alive.
 *
 * The pool is the unit of heap, isolation, quota, thread and recovery. It is touched by one thread only,
 * never reads a clock, never logs, never does network I/O: time comes in by pool_tick(), work that can wait
 * is done by pool_step() in units, results are returned.
 *
 * What always holds between two calls:
 *  - the undo log is empty: every operation is done or was never begun;
 *  - count(object) = holds of sessions + slots pointing at it + names + tickets, and it is above zero for
 *    every object whose id is answered;
 *  - an error changes nothing that a client can see;
 *  - no call does more than its arguments' length of work plus at most POOL_INLINE_DEATHS deaths: the rest
 *    waits in queues for pool_step().
 *
 * Results: 0, or -HF_E_<CODE> (proto/errors.h) with the particulars in pool_fault(), or POOL_AGAIN where a
 * call says so. Pointers into the heap (struct value_view) are valid until the next call that may change the
 * pool, unless pinned. */
#ifndef POOL_POOL_H
#define POOL_POOL_H

#include "daemon/gc/facts.h"
#include "daemon/heap/format.h"
#include "daemon/heap/save.h"
#include "daemon/heap/sizes.h"
#include "proto/errors.h"
#include "proto/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pool;
struct session; /* a pool's record of one client session; owned by the pool */
struct stage;   /* a large value on its way into the heap; owned by the pool, named by its client */
struct mem;

/* Not done yet and nothing visible has changed: call again with the same arguments on a later turn. */
#define POOL_AGAIN 1

#define POOL_INLINE_DEATHS 64
/* Values above this many bytes come in by a stage, so that no single call copies more than this. */
#define POOL_COPY_MAX (256u * 1024)

/* ---- life cycle ---- */

#define POOL_DEFAULT "default" /* the pool that is always there */

/* `[a-z0-9][a-z0-9._-]{0,63}`: pools' names become file names. */
bool pool_name_fits(const uint8_t *name, uint32_t size);

struct pool_config {
    const char *name;     /* copied; checked by the caller */
    uint64_t max_bytes;   /* limit of image and private memory together; > 0 */
    bool limited;         /* of a new image: it keeps that limit, however much the daemon may have later */
    uint64_t epoch;       /* random, below 2^53, not 0; used when a new image is made */
    uint32_t serial_base; /* random, 1 ... 2^21-1; used when a new image is made */
    uint64_t first_sid;   /* of a new image; 0: 1. All sids of a pool have the upper bits of this one */
    uint64_t random_seed; /* seeds ticket keys when there is no `random` (tests) */
    void (*random)(uint8_t *out, size_t size); /* fills with unpredictable bytes; NULL: from the seed */
    uint64_t now_ms;                           /* time of day at which the pool opens, ms since 1970 */
    uint64_t lease_ms;          /* the loop clock then, from which recovered sessions' leases run */
    struct mem *parent;         /* the daemon's memory budget; may be NULL */
    const struct region_io *io; /* how regions grow; NULL: the real one (tests inject failures) */
    int fd_meta, fd_values;     /* an image to recover; both -1: a new one in memfds */
    bool create;                /* a new one in these two files, which are empty (pool/images.h makes such) */
    bool look_only; /* recover a private copy: the files stay the caller's, untouched (walkers, tests) */
    /* Told now and then, while an image is recovered, how much is done, in thousandths; 0 while the file of a save is read.
     * False: it is to end, and pool_open() or pool_load() fails with -HF_E_DRAINING. NULL: nobody wants to know. */
    bool (*progress)(void *data, unsigned done);
    void *progress_data;
};

/* Makes a pool, or recovers one from an image (recovery is the only way to open an image). Its sessions are in grace
 * then; it has the limit it was made with, or max_bytes if that is lower.
 * Fails with -HF_E_OOM (memory, or the file system of its files), -HF_E_LIMIT (no file descriptors left), or
 * -HF_E_INTERNAL when the image is damaged, -HF_E_DRAINING when it was to end: then no byte of it was changed. `error`
 * says what, and where.
 * The pool owns the two fds on success, unless look_only. */
int pool_open(struct pool **ret, const struct pool_config *config, char *error, size_t error_size);

/* Frees everything at once. For a pool with much in it use pool_dispose_step() first, in turns. */
void pool_close(struct pool *pool);

/* Gives back up to `units` pieces (256 KiB each) of a pool that is being dropped; true while there is more.
 * After the first call only this and pool_close() may be used. */
bool pool_dispose_step(struct pool *pool, unsigned units);

/* ---- time and background work ---- */

/* Tells the time. `now_ms`: ms since 1970, drives tickets and stamps; `lease_ms`: loop clock that advances at
 * most 1 s a turn, drives leases. Neither may go back (a smaller value is taken as no advance). What became
 * due is queued for pool_step(). */
void pool_tick(struct pool *pool, uint64_t now_ms, uint64_t lease_ms);

/* Of a pool that was recovered by someone who had no such clock, or has waited since: all its leases begin now, when the
 * loop clock says `lease_ms`. */
void pool_start_leases(struct pool *pool, uint64_t lease_ms);

/* Does up to `units` units of pending work. A unit: an object freed, a slot dropped, a hold of an ended
 * session released, a ticket or lease expired; a piece of memory returned or made ready counts
 * POOL_UNITS_PIECE, and a trial of the collector is one piece of up to TRIAL_UNITS, which pool_work() counts in full.
 * Returns the units spent, `units` if it was more; less means that nothing is left to do. */
unsigned pool_step(struct pool *pool, unsigned units);
bool pool_has_work(const struct pool *pool);
#define POOL_UNITS_PIECE 256u

/* Units of work done so far in all loops over what clients made or sent: a unit is one object, slot, ref,
 * hold, name, row or arena looked at, wherever it happens. Tests and statistics take the difference over a
 * loop turn: it has a bound. */
uint64_t pool_work(const struct pool *pool);

/* Whether objects made so far have not paid for all of the collection that they should. Whoever made them must not make more
 * before pool_pay(), which does a part of it (GC_PAY_MOST units of work), has paid all: else garbage has no bound but by
 * background work. */
bool pool_owes(const struct pool *pool);
void pool_pay(struct pool *pool);
/* Objects made so far. */
uint64_t pool_made(const struct pool *pool);

/* ---- memory ahead of need (heap/ahead.h) ---- */

/* Something that takes milliseconds and that another thread can do without touching the pool. */
struct pool_errand {
    struct ahead *of;
    void *address;
    uint64_t offset;
    int fd;
};
/* Whether there is one to be done. Then pool_errand_end() must follow, and before that the pool must not be closed. */
bool pool_errand_begin(struct pool *pool, struct pool_errand *ret);
/* Does it, on any thread. What it returns is for pool_errand_end(). */
int pool_errand_run(const struct pool_errand *errand);
void pool_errand_end(struct pool_errand *errand, int result);

/* When pool_tick() must be called again for something to become due, in ms of the clock named; UINT64_MAX:
 * never. */
void pool_next_due(const struct pool *pool, uint64_t *ret_now_ms, uint64_t *ret_lease_ms);

/* ---- errors ---- */

struct fault {
    int code;            /* HF_E_...; 0: none */
    int64_t index;       /* position of the first bad entry of an array argument; -1: none */
    uint64_t id;         /* object concerned; 0: none */
    uint64_t need, free; /* OOM: bytes */
    bool file_full;      /* OOM: the pool may have more, but its files cannot grow */
    const char *text;    /* what to do; never NULL when code is set; static */
    char who[64];        /* OOM: name (or sid) of the session that holds most */
    uint64_t who_bytes;
};

/* The particulars of the last error of this pool. Valid until the next call. */
const struct fault *pool_fault(const struct pool *pool);

/* ---- facts ---- */

const char *pool_name(const struct pool *pool);
struct mem *pool_mem(struct pool *pool); /* its budget; tests count its calls and make one fail */
uint64_t pool_epoch(const struct pool *pool);
/* What all its sids have in their upper bits. */
#define POOL_SID_BITS 32u
uint32_t pool_number(const struct pool *pool);

struct pool_stats {
    uint64_t objects, object_bytes; /* alive; bytes of their values */
    uint64_t objects_open, objects_made, objects_freed;
    uint64_t retired; /* indexes whose serials are spent */
    uint64_t memory_limit, memory_used, memory_image, memory_private;
    uint64_t meta_bytes, value_bytes;     /* backed bytes of the two regions */
    uint64_t value_live_bytes;            /* bytes of allocated value blocks */
    uint64_t list_bytes, list_live_bytes; /* the same of lists of slots, a part of meta_bytes */
    uint64_t holds, hold_cells, names, tickets, labels;
    uint64_t sessions_open, sessions_grace, sessions_dying;
    uint64_t backlog; /* objects dead but not yet freed, plus holds of ended sessions */
    uint64_t pinned;  /* values kept for sending */
    uint64_t next_version;
    uint64_t index_max; /* high-water mark of the table */
};
void pool_stats(const struct pool *pool, struct pool_stats *ret);

/* Memory of blocks, by what they are for and their size. */
enum pool_blocks { BLOCKS_VALUES, BLOCKS_LISTS, BLOCKS_CELLS, BLOCKS_KINDS };
struct pool_sizes {
    struct size_sum of[BLOCKS_KINDS][SIZES];
};
/* Adds the pool's to them. */
void pool_add_sizes(const struct pool *pool, struct pool_sizes *sizes);
/* What the blocks of sizes->of[kind][k] are for; together with their size no two have the same. */
const char *pool_blocks_word(enum pool_blocks kind, unsigned k);

/* ---- evacuation: memory of which little is used is given back, by moving what lives there (heap/evacuate.h) ---- */

/* Begins when live bytes of values fall under that many percent of the backed ones; 0: never. In force at once. */
void pool_evacuate_at(struct pool *pool, uint32_t percent);
struct pool_evacuation {
    uint64_t passes;             /* ended */
    uint64_t moved, moved_bytes; /* values and parts of lists of slots */
    uint64_t returned_bytes;     /* by which less was backed at the end of passes */
    uint64_t cut_short;          /* passes in which copies found no memory */
    uint32_t percent;
    bool running;
};
void pool_evacuation(const struct pool *pool, struct pool_evacuation *ret);
/* The passes that have ended. */
uint64_t pool_evacuated(const struct pool *pool);

/* ---- sessions ---- */

struct session_spec {
    const uint8_t *name; /* NULL or empty: none; copied */
    uint32_t name_size;
    uint32_t pid; /* as told by the client, 0: unknown */
    uint32_t lease_ms;
    bool anonymous;           /* no key; ends with its connection */
    bool replay;              /* it has a replay window (replay.h); not for anonymous ones */
    uint8_t key[HF_KEY_SIZE]; /* random, from the caller, unless anonymous */
    void *owner;              /* the connection; handed back by session_owner(), never followed */
};

/* Opens a session, attached to spec->owner. -HF_E_OOM, -HF_E_LIMIT (HF_SESSIONS_MAX). */
int pool_session_open(struct pool *pool, const struct session_spec *spec, struct session **ret);
/* The session of this key that is open or in grace; else NULL. Constant-time comparison of keys. */
struct session *pool_session_by_key(struct pool *pool, const uint8_t key[HF_KEY_SIZE]);
struct session *pool_session_by_sid(struct pool *pool, uint64_t sid);
/* A connection takes the session over (resume, newcomer wins): the lease stops. */
void pool_session_attach(struct pool *pool, struct session *session, void *owner);
/* Its connection is gone: in grace from now; ends at once if anonymous or lease 0. */
void pool_session_detach(struct pool *pool, struct session *session);
/* Ends it: all it held is void at once, and released by pool_step(). `session` must not be used any more. */
void pool_session_end(struct pool *pool, struct session *session, enum reason reason);

/* Gives a pool whose number another has already a new one, for sids from `first_sid` on. Its sessions end: who has
 * such a key would be led to the other pool. Returns how many there were. */
uint64_t pool_renumber(struct pool *pool, uint64_t first_sid);

uint64_t session_sid(const struct session *session);
const uint8_t *session_key(const struct session *session);  /* HF_KEY_SIZE bytes; zeros if anonymous */
void *session_owner(const struct session *session);         /* NULL while in grace */
uint64_t session_held(const struct session *session);       /* objects held (distinct) */
uint64_t session_references(const struct session *session); /* sum of its counts on them */
bool session_anonymous(const struct session *session);

struct session_row {
    uint64_t sid;
    const uint8_t *name;
    uint32_t name_size; /* valid until the next change */
    uint32_t pid;
    uint64_t held, held_bytes; /* objects; value bytes of those it holds as first holder */
    uint32_t lease_ms;
    uint64_t since_ms, idle_left_ms; /* age; lease left while in grace, else 0 */
    bool anonymous, grace;
    void *owner;
};
void pool_session_row(const struct pool *pool, const struct session *session, struct session_row *ret);
/* Rows in order of sid, from the first with sid > after_sid. Returns how many were written (at most `max`). */
unsigned pool_sessions(struct pool *pool, uint64_t after_sid, struct session_row *rows, unsigned max);
/* A page of them in no order: from *cursor on, 0 at first; then it is where the next page begins, 0: this was the last. Who is
 * there throughout is in one page. It may be empty: a page looks at `max` places and no more. */
unsigned pool_sessions_page(struct pool *pool, uint32_t *cursor, struct session_row *rows, unsigned max);

/* The last sessions that ended; not the anonymous ones that held nothing. */
#define POOL_ENDED_MAX 64u
enum session_end {
    ENDED_BYE,        /* by its own call */
    ENDED_CLOSED,     /* with its connection: anonymous, or without a lease */
    ENDED_LEASE,      /* its lease ran out in grace */
    ENDED_KILLED,     /* by `kill` */
    ENDED_RENUMBERED, /* with the number of its pool, which another one had */
    ENDED_COUNT
};
struct ended_row {
    struct session_row row; /* as it was when it ended; `name` points to the next */
    uint8_t name[HF_NAME_MAX];
    uint64_t references; /* sum of its counts */
    uint64_t ended_ms;   /* how long ago */
    enum session_end how;
};
/* The latest first. Returns how many were written (at most `max`). */
unsigned pool_ended(const struct pool *pool, struct ended_row *rows, unsigned max);

/* ---- values ---- */

/* A value on its way in: either `data` (copied; at most POOL_COPY_MAX bytes) or a finished `stage` (consumed
 * on success only). `form` and the payload without its MessagePack header, see heap/format.h. */
struct value_in {
    enum form form;
    const uint8_t *data;
    uint64_t size;
    struct stage *stage;
};

/* A value on its way out. */
struct value_view {
    enum form form;
    const uint8_t *data; /* for inline values points into the entry */
    uint64_t size;
    uint64_t version;
};

/* Begins a large value of `size` bytes (> 0). Checks that there is room (-HF_E_OOM, -HF_E_TOOBIG), backs
 * nothing yet. `replaces`: it is for pool_set(), which keeps a version behind the value. */
int pool_stage_begin(struct pool *pool, enum form form, uint64_t size, bool replaces, struct stage **ret);
/* Copies `size` bytes (at most POOL_COPY_MAX) to `offset`; memory is backed as they arrive. -HF_E_OOM. */
int pool_stage_write(struct pool *pool, struct stage *stage, uint64_t offset, const uint8_t *data,
                     uint64_t size);
/* Direct access for a socket read: `*ret_at` is writable for the returned number of bytes (at most
 * POOL_COPY_MAX). */
int pool_stage_room(struct pool *pool, struct stage *stage, uint64_t offset, uint8_t **ret_at,
                    uint64_t *ret_size);
void pool_stage_drop(struct pool *pool, struct stage *stage);

/* Keeps the value under `view` (of object `id`, just returned) where it is until unpinned, whatever happens
 * to the object. `*ret_pin` is passed to pool_unpin(). -HF_E_OOM. Inline values and values up to 16 KiB
 * should be copied instead. */
int pool_pin(struct pool *pool, uint64_t id, uint64_t *ret_pin);
void pool_unpin(struct pool *pool, uint64_t pin);

/* ---- objects; all take the calling session where holding matters ---- */

struct put_spec {
    struct value_in value;
    const uint64_t *refs; /* refs_count ids; 0 is nil */
    uint32_t refs_count;  /* at most HF_REFS_MAX, else LIMIT */
    const uint8_t *tag, *site;
    uint32_t tag_size, site_size; /* 0: none; at most HF_NAME_MAX */
    bool open;                    /* put {size}: value.size bytes, zero-filled, value.data NULL */
    bool seal;
};
/* Makes an object held once by `s`. -HF_E_GONE (a ref; fault.index), OOM, QUOTA, TOOBIG, LIMIT, UNSEALED (a
 * ref to somebody's open object). */
int pool_put(struct pool *pool, struct session *s, const struct put_spec *spec, uint64_t *ret_id);
/* The same with nothing but a value, which has no stage. */
int pool_put_value(struct pool *pool, struct session *s, const struct value_in *value, uint64_t *ret_id);
/* One atomic graph: refs[] of an item may also hold POOL_ITEM(k) for the k-th item (0-based) of this call.
 * An item that is open cannot be named (UNSEALED). `fault.index` is the item. count: 1 ... HF_IDS_MAX. */
int pool_put_many(struct pool *pool, struct session *s, const struct put_spec *specs, uint32_t count,
                  uint64_t *ret_ids);
#define POOL_ITEM(k) (UINT64_MAX - (uint64_t)(k))

/* The hot path: see pool/hot.h for pool_get(), pool_prefetch(). */
int pool_get(struct pool *pool, uint64_t id, struct value_view *ret);

/* Replaces the value. if_version 0: unconditional. Result: the new version. */
int pool_set(struct pool *pool, uint64_t id, const struct value_in *value, uint64_t if_version,
             uint64_t *ret_version);
/* Writes into an open object of this session. size at most POOL_COPY_MAX a call; `total` is what the whole
 * request will write from `offset` on (checked against the object's size before anything: BADARG). UNSEALED
 * for another session, GONE, SEALED (not open). */
int pool_write(struct pool *pool, struct session *s, uint64_t id, uint64_t offset, const uint8_t *data,
               uint32_t size, uint64_t total);
/* Ends the open or mutable state. POOL_AGAIN while a large object is still being backed. Sealing a sealed
 * one is fine. */
int pool_seal(struct pool *pool, struct session *s, uint64_t id);
/* Up to `max` slots from `offset`; *ret_total is their number. */
int pool_refs(struct pool *pool, uint64_t id, uint32_t offset, uint64_t *ret_ids, uint32_t max,
              uint32_t *ret_count, uint32_t *ret_total);
/* target 0: nil. *ret_previous 0: was nil. slot == number of slots appends, beyond is BADARG. */
int pool_link(struct pool *pool, uint64_t id, uint64_t slot, uint64_t target, uint64_t *ret_previous);

/* ids[count] with one n for all; all or nothing; fault.index names the first bad one. ret_counts: the
 * session's count on each. */
int pool_retain(struct pool *pool, struct session *s, const uint64_t *ids, uint32_t count, uint32_t n,
                const uint8_t *site, uint32_t site_size, uint64_t *ret_counts);
int pool_release(struct pool *pool, struct session *s, const uint64_t *ids, uint32_t count, uint32_t n,
                 uint64_t *ret_counts);

/* ---- tickets ---- */

int pool_share(struct pool *pool, struct session *s, uint64_t id, uint64_t ttl_ms, uint32_t uses,
               uint8_t ret_key[HF_KEY_SIZE]);
int pool_claim(struct pool *pool, struct session *s, const uint8_t key[HF_KEY_SIZE], uint64_t *ret_id);
int pool_unshare(struct pool *pool, const uint8_t key[HF_KEY_SIZE]);

/* ---- names ---- */

struct name_in {
    const uint8_t *data;
    uint32_t size;
};
/* if_version: POOL_ANY_VERSION unconditional, 0 must not exist, else the binding's version. */
#define POOL_ANY_VERSION UINT64_MAX
int pool_name_bind(struct pool *pool, struct name_in name, uint64_t id, uint64_t if_version,
                   uint64_t *ret_version);
/* All or nothing; each hit is retained once by s. ret_versions may be NULL. */
int pool_lookup(struct pool *pool, struct session *s, const struct name_in *names, uint32_t count,
                uint64_t *ret_ids, uint64_t *ret_versions);
int pool_unname(struct pool *pool, const struct name_in *names, uint32_t count, uint64_t if_version);
/* New object bound to the name in one step; the caller holds nothing. */
int pool_store(struct pool *pool, struct name_in name, const struct value_in *value, uint64_t if_version,
               const uint8_t *tag, uint32_t tag_size, uint64_t *ret_id, uint64_t *ret_version);
/* *ret_version is the binding's. The view is of the named object; ret_id its id. */
int pool_fetch(struct pool *pool, struct name_in name, struct value_view *ret, uint64_t *ret_id,
               uint64_t *ret_version);

struct name_row {
    const uint8_t *name;
    uint32_t name_size; /* valid until the next change */
    uint64_t id;
};
/* Rows from cursor (0 starts), with a prefix. Looks at a bounded number of records a call. *ret_cursor 0:
 * end. */
unsigned pool_names(struct pool *pool, uint64_t cursor, struct name_in prefix, struct name_row *rows,
                    unsigned max, uint64_t *ret_cursor);

/* ---- who holds what ---- */

struct inspect_row {
    uint64_t id, size, version, age_ms, slots;
    enum form form;
    uint8_t first_byte; /* of the value, for a RAW form: tells its MessagePack type */
    const uint8_t *tag, *site;
    uint32_t tag_size, site_size;
    bool open, sealed;
    uint64_t held_sessions, held_slots, held_names,
        held_tickets; /* references, not holders: their sum is the count */
};
int pool_inspect(struct pool *pool, uint64_t id, struct inspect_row *ret);

enum holder_kind { HOLDER_SESSION, HOLDER_NAME, HOLDER_TICKET };
struct holder_row {
    enum holder_kind kind;
    uint64_t sid;
    const uint8_t *name;
    uint32_t name_size;
    uint32_t pid; /* session; name also for HOLDER_NAME */
    uint64_t count, since_ms;
    const uint8_t *site;
    uint32_t site_size;
    uint64_t number, ttl_ms; /* ticket */
};
int pool_holders(struct pool *pool, uint64_t id, struct holder_row *rows, unsigned max, unsigned *ret_count);

struct scan_filter {
    const uint8_t *tag;
    uint32_t tag_size;
    bool has_tag;
    uint64_t min_size;
    uint64_t sid; /* 0: any */
};
/* Ids from cursor (0 starts); looks at a bounded number of objects a call. -HF_E_NOTFOUND: no such sid. */
int pool_scan(struct pool *pool, uint64_t cursor, const struct scan_filter *filter, uint64_t *ret_ids,
              unsigned max, unsigned *ret_count, uint64_t *ret_cursor);

/* ---- searches over all slots, in steps; what clients change meanwhile may be missed ---- */

struct referrers {
    uint64_t id;
    uint32_t at;  /* index to go on from; 0: the beginning */
    unsigned max; /* ids to be told, 1 ... HF_IDS_MAX */
    unsigned count;
    uint64_t ids[HF_IDS_MAX]; /* of objects with at least one slot on it, in order of index */
    uint64_t cursor;          /* when done: where the next ones are, 0: there are no more */
    uint64_t found;           /* inside: slots that name it */
    uint32_t slot, here;      /* inside: of the object looked at; its slots that name it */
};
/* Up to `units` objects and slots. 0: not done; 1: done; -HF_E_GONE. */
int pool_referrers_step(struct pool *pool, struct referrers *search, unsigned units);

#define POOL_CHAIN_MOST 1000u
struct why_result {
    bool is_held;             /* false: no reference from outside leads to it, only a cycle keeps it */
    struct holder_row holder; /* of the chain's first object; until the pool is used again */
    uint64_t length;          /* objects of the chain */
    unsigned count;           /* of them told: of a longer one the first and the last POOL_CHAIN_MOST / 2 */
    uint64_t ids[POOL_CHAIN_MOST]; /* from the one that is held to the one asked for */
};
struct why; /* one search; takes 12 bytes of memory of its own for each object that it sees */
/* NULL: no memory. */
struct why *pool_why_new(struct pool *pool, uint64_t id);
void pool_why_free(struct why *why);
/* Looks for a shortest chain from what is held to the object. 0: not done; 1: done, *ret is filled; -HF_E_GONE, OOM, BUSY (it
 * changes all the time). */
int pool_why_step(struct why *why, unsigned units, struct why_result *ret);

/* ---- guards ---- */

/* When nothing else keeps the object it is not freed: the guard becomes one hold of its session, once. -HF_E_GONE, UNSEALED,
 * CONFLICT (it has one already), OOM. A guard ends with its session. */
int pool_guard(struct pool *pool, struct session *s, uint64_t id);
/* Takes the session's guard back. -HF_E_GONE, UNSEALED, CONFLICT (it has none there). */
int pool_unguard(struct pool *pool, struct session *s, uint64_t id);
bool pool_is_guarded(const struct pool *pool, uint64_t id);

/* ---- collections of cycles; they run in pool_step() ---- */

/* Asks for a full collection that begins after this call; all that was let go before is taken into account. A dry run
 * frees nothing and delivers no guard. -HF_E_OOM: no memory to explain the cycles that it finds. */
int pool_collect(struct pool *pool, bool dry_run, bool explain, struct gc_ticket *ret);
/* The same for a young collection, of the objects that have lost a reference and were not looked at since; it finds small
 * young cycles. */
void pool_collect_young(struct pool *pool, bool dry_run, struct gc_ticket *ret);
/* Whether it is done; then *ret is what it did (or the last one of its sort). */
bool pool_collect_done(const struct pool *pool, struct gc_ticket ticket, struct gc_result *ret);
/* The cycles that the last collection of that sort found which was asked to explain itself; NULL: none was. Valid until
 * the pool's next step. */
const struct gc_cycles *pool_collect_cycles(const struct pool *pool, bool dry_run);
/* Whether the next step may collect. Then the steps of a turn are to be timed, and pool_stepped() told how long they took, all
 * together, on the wall and of processor time, and the clock at their end: for statistics. */
bool pool_is_collecting(const struct pool *pool);
void pool_stepped(struct pool *pool, uint64_t end_ns, uint64_t wall_ns, uint64_t cpu_ns);
void pool_gc_stats(const struct pool *pool, struct gc_stats *ret);
const struct gc_config *pool_gc_config(const struct pool *pool);
/* In force at once. */
void pool_gc_set_config(struct pool *pool, const struct gc_config *config);

/* ---- saves: the image as it is at one instant, written to a file in steps ---- */

/* Begins one; fd, fd_past: as in struct save_config. The rest is heap/save.h's: save_take(), save_write(), save_given_back()
 * move the bytes, until save_is_done() or save_error(). One at a time: -HF_E_BUSY; -HF_E_OOM. */
int pool_save_begin(struct pool *pool, int fd, int fd_past, struct save **ret);
/* Ends it, done or not, when no chain is out. */
void pool_save_end(struct pool *pool);
/* Copies a few pieces; false: there was none, or no buffer for one. */
bool pool_save_step(struct pool *pool);
bool pool_save_has_work(const struct pool *pool);
#define POOL_UNITS_SAVE 32u /* of work (pool_work()) for a piece */

/* Makes a pool from the file of a saved image, as pool_open() does from an image: config has two empty files, or -1
 * for memfds, its name, epoch, serial_base (any random number) and first_sid. Nobody has it any more: its sessions and
 * tickets have ended, what only they kept goes in pool_step(), names live. Errors as pool_open(); INTERNAL: the file
 * is damaged, or of another format. The file stays the caller's; the two are the pool's on success. */
int pool_load(struct pool **ret, const struct pool_config *config, int fd, char *error, size_t error_size);
/* Bytes of memory that the pool in such a file takes, about; 0: it cannot be read. */
uint64_t pool_saved_room(int fd);
/* The name of the pool in such a file. 0; -HF_E_INTERNAL as above. */
int pool_saved_name(int fd, char ret[HF_POOL_NAME_MAX + 1], char *error, size_t error_size);
/* Its header; and whether every byte of it is sound. 0; -HF_E_INTERNAL: `error` says what is wrong, and where. */
int pool_saved_header(int fd, struct saved_header *ret, char *error, size_t error_size);
int pool_saved_check(int fd, const struct saved_header *header, char *error, size_t error_size);
/* What is sound of it as the two files of an image, memfds, the caller's; for those who look at a damaged one. */
struct pool_unpacked {
    int fd_meta, fd_values;
    char name[HF_POOL_NAME_MAX + 8];
    uint64_t epoch;
    bool whole;
    uint64_t bad, bad_at; /* else: damaged places, the first */
};
int pool_unpack(int fd, struct pool_unpacked *ret, char *error, size_t error_size);

/* ---- verify: walks every invariant in steps while the pool goes on ---- */

struct verify; /* one running walk; at most one a pool */
struct finding {
    char text[160];
};
struct verify_result {
    uint64_t objects;
    unsigned findings_count;
    struct finding findings[16]; /* the first ones */
};
int pool_verify_begin(struct pool *pool); /* -HF_E_BUSY: one is running; -HF_E_OOM */
/* Up to `units` units; true: finished, *ret is filled. */
bool pool_verify_step(struct pool *pool, unsigned units, struct verify_result *ret);
void pool_verify_abort(struct pool *pool);
/* How far the running walk is, 0 to 99. */
unsigned pool_verify_percent(const struct pool *pool);

#endif
