/* SPDX-License-Identifier: BSD-3-Clause */
/* Inside the server: a worker (a thread with one loop, its pools, its connections) and what it is made of.
 * For the files of this folder but the handlers, which see call.h only.
 *
 * What always holds:
 *  - a pool entry and a connection belong to one worker and are touched by its thread alone; so is all of `struct
 *    worker` but its mailbox, `told`, `drained` and `published` (atomic);
 *  - of `struct server` the workers use the directory and the rules of saves (under their locks), the budgets (atomic),
 *    the log, and what does not change after server_open();
 *  - a connection works in one pool entry; it is in that entry's list `conns` until it is closed;
 *  - the worker's input and output buffers belong to one connection at a time, within one call from the loop:
 *    when that call returns both are empty (what is unfinished has gone to the connection's stash or queue);
 *  - what a connection keeps of its client (stash, queue) is charged to the daemon's budget. */
#ifndef SERVER_WORKER_H
#define SERVER_WORKER_H

#include "daemon/base/bits.h"
#include "daemon/base/deadlines.h"
#include "daemon/base/list.h"
#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/pool/images.h"
#include "daemon/server/book.h"
#include "daemon/server/call.h"
#include "daemon/server/loading.h"
#include "daemon/server/mailbox.h"
#include "daemon/server/replay.h"
#include "daemon/server/rules.h"
#include "daemon/server/runners.h"
#include "daemon/server/saving.h"
#include "daemon/server/server.h"
#include "daemon/server/slowlog.h"
#include "daemon/transport/transport.h"
#include "proto/methods.h"
#include "proto/scan.h"

#include <stdalign.h>
#include <stdlib.h>
#include <uv.h>

#define INPUT_SIZE      (64u * 1024)
#define OUTPUT_SIZE     (1024u * 1024)
#define OUTPUT_TURN     (OUTPUT_SIZE - 2 * CALL_REPLY_SURE) /* reply bytes a connection and turn */
#define BATCH_MAX       64u
#define TURN_REQUESTS   256u
#define TURN_BYTES      (256u * 1024)
#define TURN_US         200u
#define TURN_UNITS      4096u        /* of work (pool_work()); the call that goes beyond it is finished */
#define BORROW_MIN      (16u * 1024) /* values from here on are sent from the heap itself */
#define BORROW_MANY_MIN 1024u /* the same in a reply that has COPY_MANY_MAX bytes of copied ones already */
#define COPY_MANY_MAX   (128u * 1024)
#define STREAM_MIN      (256u * 1024) /* values from here on are read from the socket into the heap itself */
#define PROGRESS_MS     30000u        /* a client that takes nothing for so long is cut off */
#define LINGER_MS       2000u /* a closed connection waits so long for its client to read the last reply */
#define STEP_UNITS      128u  /* units of background work between two looks at the clock */
#define SPARES_KEPT     16u
#define CONN_SHARE_MAX  (256ull << 20) /* of the budget, that pools leave to connections */
#define CACHE_LINE      64             /* what two threads write stands this far apart */
#define STASH_MIN       4096u          /* bytes of a stash's first buffer */
#define PARKED_MAX      (32u * 1024)   /* unfinished frames up to here are completed in the shared buffer */
/* Values of put_many that are larger than this, or have more values in them, are staged if the frame is large. */
#define STAGED_ITEM_MIN   1024u
#define STAGED_VALUES_MIN 256u
#define STAGED_UNITS      16u    /* what to begin one costs, in values passed */
#define WALK_STEP         16384u /* values passed in a turn while staging */
/* Values in all unstaged parts of one put_many: more than one that is right can have. */
#define ITEM_VALUES_MAX (HF_IDS_MAX * (STAGED_VALUES_MIN + 64) + 2 * HF_REFS_MAX)

/* ---- output: replies of one call from the loop, before they are written ---- */

/* A value that leaves from the heap: it stands between the bytes before and after `at` of the flat buffer. */
struct borrowed {
    size_t at;
    const uint8_t *data;
    size_t size;
    struct pool_entry *entry;
    uint64_t pin;
};

struct output {
    uint8_t *data;
    size_t used, cap;
    struct borrowed *borrowed;
    size_t borrowed_count, borrowed_cap;
    uint64_t borrowed_bytes; /* of those since `mark` */
    uint64_t borrowed_total;
    size_t mark, mark_borrowed; /* where the reply under construction begins */
    int error;                  /* of that reply: the first failure, -HF_E_TOOBIG or -HF_E_OOM */
};

/* ---- pools ---- */

/* Where the pools of the daemon are. Any thread looks; the lock is held for a search and nothing else. */
struct directory {
    uv_mutex_t lock;
    struct place_row *rows; /* in order of their making */
    unsigned count, cap;
    uint32_t next_number;
};

/* What a runner does for a pool, one thing at a time (errand.c). */
struct errand {
    struct chore chore;
    struct pool_errand what;
    int result;
    bool running;
};

struct pool_entry {
    struct list link; /* in worker.pools or worker.disposals */
    struct pool *pool;
    struct worker *worker;
    uint32_t number; /* of the directory; sids and keys of its sessions have it in them */
    struct list conns;
    uint64_t pins;                         /* values of it that are in some output */
    struct list in_touched;                /* in worker.pace.touched, or nowhere */
    uint32_t slot, now_place, lease_place; /* in worker.pace */
    uint64_t now_due, lease_due;           /* as noted there; UINT64_MAX: nothing */
    uint64_t ticked;                       /* turn in which it was told the time */
    uint64_t ops_ns, ops_left; /* of topic ops: when the allowance was last counted; it, in 1/1000 events */
    uint64_t ops_passed;       /* requests since the last one that was told */
    uint64_t worked;           /* pool_work() at the last worker_count_units() */
    struct errand errand;
    uint64_t collected_ns; /* of this turn's steps in which its collector may have worked */
    uint64_t evacuated;    /* pool_evacuated() as last logged */
    bool dropped;
    struct saving *saving; /* under way; NULL: none */
    struct save_figures saved;
    uint64_t save_due_ms; /* of the next periodic one, by uv_hrtime() */
    bool loading;         /* `pool` is a stand-in, see loading.h */
};

/* Which of a worker's pools have something to do now, or later (pace.c). */
struct pace {
    struct list touched;                    /* pools used in this turn, or with work left */
    struct pool_entry *slots[HF_POOLS_MAX]; /* the worker's pools, without gaps */
    uint32_t count;
    struct deadlines now, lease; /* of slots, by the two clocks */
};

/* Memory nearly full: how long a request has waited for what is being freed (patience.c). All 0: it does not wait. */
struct patience {
    bool waits;
    uint64_t since_ms;
    uint64_t waited_ms; /* before that */
    uint64_t turn;      /* of the last attempt: one a turn, which may cost as much as a request alone */
    uint64_t left;      /* bytes left of the pool's memory then */
};

/* ---- connections ---- */

/* A scanned frame. */
struct request {
    struct hfp_frame frame;
    const uint8_t *at;
    uint64_t id; /* as it stands in the frame, of the hot methods that begin with one; else 0 */
    uint16_t method;
    uint16_t
        hot; /* `method`, if it has params and wants an answer, so that a hot one may be executed at once; else NONE */
};

/* A large value on its way from the socket into the heap. */
struct stream_in {
    struct stage *stage; /* NULL: refused, what comes is thrown away */
    enum form form;
    uint64_t size, got;
    size_t at; /* its place holder (a nil), counted from the frame's first byte */
    bool hashes;
    XXH64_state_t hash; /* of the method and all behind it, as far as it came */
};

/* What a connection keeps of its client's bytes: an unfinished frame, or requests that wait for their turn. */
struct stash {
    struct hfp_scan scan; /* of the frame at `begin` */
    uint8_t *data;
    size_t begin, end, cap;
    size_t hold;     /* bytes of the frame at `begin` whose call needs more turns */
    bool incomplete; /* what stands there is one unfinished frame, as far as it has come */
    bool discarding; /* the rest of a frame above the limit is thrown away; there are no bytes */
    bool streaming;  /* the next bytes belong to `stream` */
    bool streamed;   /* the frame at `begin` has a place holder in it */
    bool refused;    /* this frame is answered with refusal[] whatever comes */
    struct stream_in stream;
    struct patience
        patience; /* of the stream, before it begins or between two pieces: nothing is read while it waits */
    struct hfp_scan_limits limits; /* for a streamed frame: what it may still have */
    struct staged *staged; /* of the frame at `begin`, ascending by place; owned until dispatch() has them */
    uint32_t staged_count, staged_cap;
    bool hashed; /* of the frame at `begin`, for replay */
    uint64_t hash;
    int refusal_code;
    uint32_t refusal_msgid; /* discarding, and refused: this one is owed an answer */
    uint16_t refusal_method;
    uint32_t refusal_size;
    char refusal[CALL_ERROR_MAX];
};

/* What dispatch() gets with a frame that was not executed at once. */
struct prepared {
    struct staged *staged; /* by place; consumed or dropped */
    uint32_t count;
    bool hashed;
    uint64_t hash; /* see replay.h */
};

enum staging_phase {
    STAGING_HASH,
    STAGING_BEGIN,
    STAGING_WALK,
    STAGING_ALLOCATE,
    STAGING_COPY,
    STAGING_DONE
};

/* A whole frame in the stash whose large values are being copied into the heap, some in each turn. */
struct staging {
    struct request request;
    enum staging_phase phase;
    bool single, many; /* it has values to be staged */
    XXH64_state_t hash;
    size_t hashed; /* bytes of the frame that are behind us */
    /* WALK, put_many only: the items that are left, and the values to be passed before the next one */
    struct hfp_cursor cursor;
    uint32_t items;
    uint64_t values;
    const uint8_t *value_at;        /* the item's value has begun here; NULL: it is behind us */
    uint32_t value_rest;            /* of the item: values behind its value */
    uint64_t walked, walked_before; /* values passed that are not staged; the same before this item */
    /* ALLOCATE, COPY: the value, which begins at `source_at` in the frame; COPY: it is the last one in stash->staged */
    const uint8_t *source_at;
    struct value_in source;
    uint64_t copied;
    struct patience patience;
};

/* A call that needs more turns, or an answer of other workers. */
struct pending {
    struct call call;
    struct hfp_frame frame;
    struct patience patience;
    char args[BRIEF_MAX]; /* for slowlog */
};

/* A connection between two threads: just accepted, or on its way to the worker of its pool. */
struct arrival {
    struct message message;
    struct server *server; /* the message is charged to its budget */
    const struct transport *transport;
    int fd;
    uint64_t number;
    bool fresh;          /* just accepted */
    uint64_t read_ns;    /* as in struct conn */
    uint32_t place;      /* the pool's number; PLACE_HOME: to `default`, nothing asked for */
    struct stash *stash; /* what was read and not executed, hello first; NULL: nothing */
    size_t stash_size;   /* bytes of it, charged to nobody but the server meanwhile */
};
#define PLACE_HOME UINT32_MAX

enum conn_state {
    CONN_OPEN,
    CONN_FINISHING, /* reads no more requests; closes when all is written and the client has read it */
    CONN_CLOSING,   /* uv_close was called */
};

struct conn {
    union transport_stream stream;
    struct worker *worker;
    struct pool_entry *entry;
    struct session *session;
    struct stash *stash;
    struct pending *pending;
    struct staging *staging; /* a frame whose large values are being copied into the heap */
    struct arrival *leaving; /* it goes to another worker as soon as its replies are written; else NULL */
    struct worker *leaving_to;
    const struct transport *transport;
    struct list link;        /* in worker.conns */
    struct list in_entry;    /* in entry->conns */
    struct list in_runnable; /* in worker.runnable, or nowhere */
    struct list in_watched;  /* in worker.watched, or nowhere */
    uint64_t number;
    int fd;                 /* the stream's */
    uint64_t queued;        /* bytes given to uv_write and not yet written */
    uint64_t queued_events; /* of them: a batch of events, see events.c */
    uint64_t watched_size;  /* what was left at the last look */
    uint64_t watched_ms;    /* loop time of the last progress, or of the end of its reading */
    uint64_t read_ns;       /* the turn in which it was read last began: see book.h */
    uint64_t turn;          /* the turn that the next four are of */
    uint64_t turn_work;     /* pool_work() of its pool when it began */
    uint64_t turn_made;     /* pool_made() then */
    uint32_t turn_requests, turn_bytes;
    enum conn_state state;
    bool reading;
    bool eof;       /* the client sends no more */
    bool requested; /* a request came (hello must precede it) */
    bool greeted;   /* hello was done */
    bool finish;    /* finish once this reply is written */
    bool owes;      /* what it made is not all paid for: that comes before its next request */
    bool shut;      /* our side is shut down */
    uint8_t replay; /* enum conn_replay */
    struct replay_match match;
    uv_shutdown_t shutdown;
};

/* ---- the worker ---- */

/* Requests of the topic `ops` that were executed and whose replies are not written yet. */
#define TRACED_MAX 16u
struct traced {
    enum hf_method method;
    uint64_t bytes, passed;
    char args[BRIEF_MAX];
};

/* What a worker tells now and then to whoever wants to know without asking (relaxed: each a figure by itself). */
struct published {
    _Atomic uint64_t pools, objects, object_bytes, sessions, memory_used;
    _Atomic uint64_t waiting; /* connections, as of the last turn, while it drains */
};

struct worker {
    struct server *server;
    struct log *log;
    struct mem *mem; /* &own */
    struct mem own;  /* below the server's */
    unsigned index;  /* in server.workers */
    uv_loop_t loop;
    uv_thread_t thread;
    struct mailbox mailbox;
    struct message drain, close, close_at_once, alive, rules; /* of the main thread, one of each */
    bool asked;                  /* of the main thread: `alive` was posted and its answer not seen */
    _Atomic bool answered;       /* `alive` is the main thread's again */
    _Atomic bool told;           /* `rules` is under way: whoever posts it next is who finds this false */
    _Atomic bool drained, ended; /* told to the main thread */
    struct published published;
    bool has_loop, has_mailbox; /* worker_open() got so far */
    struct runners runners;
    bool draining, closing, closed;
    unsigned quiet_turns; /* in a row, while draining */
    uv_prepare_t prepare;
    uv_check_t check;
    uv_idle_t busy;         /* active while there is work that must not wait for I/O */
    uv_timer_t due;         /* the next thing a pool wants to be told the time for */
    uv_timer_t watch;       /* active while a connection is watched */
    uv_timer_t save_due;    /* the next periodic save */
    uint64_t save_every_ms; /* 0: there are none; taken over from the server's rules */
    struct list savings;    /* saves under way */
    struct pool_load *load; /* by `load`, see loads.c; NULL: none */
    struct list pools, disposals;
    struct pace pace;
    struct list conns, runnable, watched;
    struct pool_entry *first; /* `default`; of the first worker only */
    struct pool_entry *found; /* the one that worker_pool_next() returned last, while it is in `pools` */

    uint8_t *input;
    struct output out;
    struct scratch *scratch;
    struct request batch[BATCH_MAX];
    char error[CALL_ERROR_MAX];
    struct stash *spares[SPARES_KEPT]; /* stashes with their buffers */
    unsigned spares_count;
    struct pending *spare_pending;
    struct question *spare_questions;
    unsigned spare_questions_count;
    struct waste *waste;  /* large buffers that are being given back */
    struct hfp_scan scan; /* of what stands in `input` */
    uint64_t run_ns;      /* loop_run(): see time_is_up() */
    size_t held;          /* loop_run(): bytes of the frame whose call needs more turns, 0: none */

    uint64_t turn;
    uint64_t turn_units; /* of work in this turn, as far as it was counted */
    bool clocked;        /* this turn knows the time */
    bool active;         /* this turn has read or executed something */
    uint64_t turn_ns;    /* uv_hrtime() at that moment */
    uint64_t clock_ns;   /* the same without what has not yet counted as a millisecond */
    uint64_t now_ms;     /* time of day, counting suspend, for pools */
    uint64_t lease_ms;   /* loop clock */
    bool due_fired;      /* that was so: pools are told the time */
    uint64_t due_ms;     /* when `due` fires, loop time; 0: not armed */
    struct counters counters;
    struct book book;
    struct traced traced[TRACED_MAX];
    unsigned traced_count;
};

struct listener {
    struct list link; /* in server.listeners */
    struct listening listening;
    uv_poll_t poll;
    struct server *server;
};

struct server {
    struct worker *workers[SERVER_WORKERS_MAX];
    unsigned workers_count;
    struct log *log;
    uint64_t opened_ns;
    uint64_t now_offset_ms; /* time of day minus time since boot, taken at the start */
    struct directory directory;
    struct slowlog slowlog;
    struct rules rules;
    struct images
        images; /* of a daemon with files, else its path is NULL; does not change while threads run */
    struct server_keeper keeper; /* neither does this one */
    const char *set_aside;
    struct loading loading;
    _Atomic bool accepting;            /* clients come in, so leases run */
    _Atomic uint32_t evacuate_percent; /* the main thread changes it, pools take it over as they are used */

    /* The main thread's own. */
    uv_loop_t loop;
    uv_async_t wake; /* a worker has drained or ended */
    uv_timer_t drain, patience;
    struct list listeners;
    unsigned listeners_count;
    struct list surveys; /* under way, see survey.h */
    unsigned surveys_count;
    int reserve_fd; /* given up when descriptors run out, so that a client can be told */
    bool draining, closing;
    unsigned running; /* workers whose threads were started and not joined: the first ones */
    uint64_t next_number;
    void (*stopped)(void *data);
    void *stopped_data;
    void (*loaded)(void *data, const char *error);
    void *loaded_data;

    /* Everything that clients cause; and of it, the pools: the rest is for connections, so that a full heap can be
     * asked. Written by all threads when something grows, so on lines of their own. */
    alignas(CACHE_LINE) struct mem mem;
    alignas(CACHE_LINE) struct mem pools_mem;
    alignas(CACHE_LINE) _Atomic uint64_t refused; /* connections */
};

/* worker.c */
int worker_open(struct worker **ret, struct server *server, unsigned index);
/* Its thread: serves until the worker was told to close and has closed its connections. 0 or -1. */
int worker_start(struct worker *worker);
/* From the main thread: finish what is under way; end (`at_once`: whatever is under way); look how often pools are to be
 * saved now; are you alive? */
void worker_tell_drain(struct worker *worker);
void worker_tell_close(struct worker *worker, bool at_once);
void worker_tell_rules(struct worker *worker);
/* True if it has answered the last such question; asks anew then. */
bool worker_alive(struct worker *worker);
/* Tells what it has to those who do not ask its pools themselves; on its thread. */
void worker_publish(struct worker *worker);
/* Frees it; its thread has ended, or was never started. */
void worker_close(struct worker *worker);
/* Makes sure that this turn knows the time and that the pool was told. */
void worker_clock(struct worker *worker, struct pool_entry *entry);
void worker_wake(struct worker *worker);
/* Processor time of the calling thread. */
uint64_t thread_cpu_ns(void);
/* Adds what the pool has done since the last time to this turn's units. */
void worker_count_units(struct worker *worker, struct pool_entry *entry);
/* There is a connection to be watched. */
void worker_watch(struct worker *worker);

/* pace.c */
bool pace_open(struct pace *pace, struct mem *mem);
void pace_close(struct pace *pace);
/* A pool of this worker comes (false: no memory), goes. */
bool pace_add(struct pace *pace, struct pool_entry *entry);
void pace_remove(struct pace *pace, struct pool_entry *entry);
/* Something happens to the pool in this turn. */
void pace_touch(struct pool_entry *entry);
/* Tells the time to the pools that wait for it. */
void pace_tell_time(struct worker *worker);
/* Background work of pools, in rounds, for at most their budgets (gc_config) and TURN_UNITS. True while there is more. */
bool pace_step(struct worker *worker);
/* Counts the units of this turn and notes what is due when. */
void pace_settle(struct worker *worker);

/* ---- errand.c ---- */

/* Sends a runner to do what the pool wants done, if it wants anything. At a turn's end. */
void errand_send(struct pool_entry *entry);
/* Until something is due in a pool; UINT64_MAX: nothing. */
uint64_t pace_wait_ms(const struct worker *worker);

/* server.c */
/* The time of day, counting suspend, for pools. Any thread. */
uint64_t server_now_ms(const struct server *server);
/* Tells a client just accepted that it cannot be served, and closes it. Any thread. */
void server_refuse(struct server *server, int fd, enum hf_err code, const char *text);

/* move.c: connections from thread to thread */
/* From the main thread: a connection just accepted begins at the first worker. NULL: no memory. */
struct arrival *arrival_new(struct server *server, const struct transport *transport, int fd,
                            uint64_t number);
void arrival_post(struct arrival *arrival, struct worker *to);
/* conn_move() of call.h begins a move. This is the way back, after a hello that failed away from home: with what is not
 * executed yet. */
void move_home(struct conn *conn);
/* All is written: it leaves. */
void move_depart(struct conn *conn);
void move_cancel(struct conn *conn);

/* conn.c */
/* A connection of this worker, in `entry`, with what was read of it before. */
void conn_open(struct worker *worker, struct pool_entry *entry, const struct arrival *arrival);
/* Closes at once; `reason` is a word for the log. */
void conn_close(struct conn *conn, const char *reason);
/* The same for a client that has to be cut off: told to the administrator. */
void conn_cut(struct conn *conn, const char *reason);
/* No more requests; closes when everything is written. */
void conn_finish(struct conn *conn, const char *reason);
void conn_make_runnable(struct conn *conn);
/* One turn of a connection with leftover input, a pending call or a staging. */
void conn_run(struct conn *conn);
/* Once a second, while it is in the list `watched`. */
void conn_look(struct conn *conn, uint64_t now_ms);
void conn_watch(struct conn *conn);
/* A part of its queue is out, or failed; `events`: a batch of them. */
void conn_written(struct conn *conn, int status, bool events);
int conn_open_session(struct conn *conn);
/* True while the connection may not execute another request. */
bool conn_blocked(const struct conn *conn);

/* loop.c: from bytes to replies */

enum loop_end {
    LOOP_ALL,     /* every byte is done with */
    LOOP_MORE,    /* an unfinished frame is left; `scan` knows how far it was looked at */
    LOOP_STOPPED, /* the turn is over, or a call needs more of them: its frame are the next worker.held bytes */
    LOOP_DISCARDING, /* every byte is done with; `scan` throws away the rest of a frame */
    LOOP_BAD,        /* no MessagePack-RPC; the connection is finishing */
};

/* Executes the requests in bytes[0 ... count); returns how many bytes are done with. */
size_t loop_run(struct conn *conn, const uint8_t *bytes, size_t count, struct hfp_scan *scan,
                enum loop_end *end);
/* The connection has had its share of this turn. */
bool loop_turn_over(const struct conn *conn);
/* For a scan of the frame at bytes[0] that ended with HFP_BAD or HFP_TOOBIG: answers it; bytes done with. */
size_t loop_odd(struct conn *conn, enum hfp_result result, const struct hfp_frame *frame,
                const uint8_t *bytes, size_t count, struct hfp_scan *scan, enum loop_end *end);

/* dispatch.c */
/* Executes one request or notification of the frame, by its handler, and appends the reply. */
void dispatch(struct conn *conn, const struct request *request, const struct prepared *prepared);
/* Begins the reply of a call: its head. */
void dispatch_begin(struct call *call);
void dispatch_resume(struct conn *conn);
void dispatch_drop_pending(struct conn *conn);
/* It waits for an answer; that has come. */
bool dispatch_waits(const struct conn *conn);
void dispatch_answered(struct conn *conn);
/* Appends an error response made of a text. */
void dispatch_error(struct worker *worker, uint32_t msgid, int code, const char *text, size_t size);
/* Appends an error response with a standard text. */
void dispatch_fail(struct worker *worker, uint32_t msgid, int code);

/* patience.c */
/* It has just asked for memory in vain, and nothing has changed. False: nothing is being freed, or it has waited long
 * enough. */
bool patience_wait(struct patience *patience, const struct worker *worker, struct pool *pool);
/* Whether to ask now: it does not wait, or there is more memory than at the last time, or it is the last time. */
bool patience_try(const struct patience *patience, const struct worker *worker, struct pool *pool);
/* It has got its memory. */
void patience_end(struct patience *patience, const struct worker *worker);

/* stash.c: what cannot be executed yet */

/* Where the next bytes of the socket shall go; size 0: no memory. */
void stash_buffer(struct conn *conn, uv_buf_t *ret);
/* `count` bytes came into what stash_buffer() gave: executes what can be executed. */
void stash_arrived(struct conn *conn, uint8_t *at, size_t count);
/* Goes on with requests that wait for their turn. */
void stash_run(struct conn *conn);
/* True if there is something that does not wait for more bytes. */
bool stash_ready(const struct conn *conn);
/* True while a stream waits for memory: no bytes may be read. */
bool stash_starves(const struct conn *conn);
/* The call that held a frame is done. */
void stash_release(struct conn *conn);
/* For a connection that changes its thread: takes the stash away from it, with its bytes of memory; gives it to
 * another one. */
struct stash *stash_take(struct conn *conn, size_t *ret_size);
void stash_give(struct conn *conn, struct stash *stash, size_t size);
/* Frees one that was taken and is charged to nobody. */
void stash_discard(struct server *server, struct stash *stash, size_t size);
void stash_free(struct conn *conn);
/* A step of giving back the memory of large ones; true while there is more. */
bool stash_dispose(struct worker *worker);
/* Frees the spare ones, and what is being given back. */
void stash_free_spares(struct worker *worker);
/* From now on the frame at the stash's begin is answered with the pool's error r. */
void stash_refuse(struct conn *conn, int r);
/* Takes note of a staged value at `at`; on failure the stage is dropped. */
int stash_add_staged(struct conn *conn, const uint8_t *at, enum form form, uint64_t size,
                     struct stage *stage);
/* Executes a request of the stash with what was staged for it. */
void stash_dispatch(struct conn *conn, const struct request *request);

/* staging.c: large values of a whole frame */

/* A whole frame in the stash: true if large values in it have to be copied into the heap first, which has
 * begun. */
bool staging_begin(struct conn *conn, const struct request *request);
/* One turn of it; at the end it executes the request. */
void staging_step(struct conn *conn);
void staging_free(struct conn *conn);

/* ask.c */
void ask_free_spares(struct worker *worker);

/* output.c */
int output_init(struct output *out);
void output_done(struct output *out);
/* Room for `size` more bytes behind `used`, which the caller then raises; NULL: no room, kept in
 * out->error. */
uint8_t *output_room(struct output *out, size_t size);
void output_mark(struct output *out);
/* 0, or why the reply under construction cannot be sent: -HF_E_TOOBIG or -HF_E_OOM. */
int output_error(const struct output *out);
/* Forgets the reply under construction. */
void output_rewind(struct output *out);
/* Appends a value of object `id` that stays where it is until it is sent. */
int output_borrow(struct output *out, struct pool_entry *entry, uint64_t id, const uint8_t *data,
                  size_t size);
/* Writes all to the connection, or queues it. */
void output_flush(struct conn *conn);
/* The same for a batch of events, for which no connection is closed: KEPT: there was no memory to queue it, and it is
 * forgotten. CLOSED: the client is gone. */
enum flushed { FLUSH_DONE, FLUSH_QUEUED, FLUSH_KEPT, FLUSH_CLOSED };
enum flushed output_flush_events(struct conn *conn);

/* trace.c: a sample of requests for the topic `ops`, while somebody is subscribed to it */
/* The first `count` requests of the batch were executed. */
void trace_batch(struct conn *conn, unsigned count);
/* A call of more than one turn is done. */
void trace_resumed(struct conn *conn);
/* The replies are written: tells those that were chosen. */
void trace_flushed(struct conn *conn);

/* events.c */
/* Sends what the pools of this turn have to tell; true while there is more. */
bool events_send(struct worker *worker);
/* The connection may take events again; its batch of them is written. */
void events_resume(struct conn *conn);
void events_written(struct conn *conn);
/* Of a dropped pool: the last ones, before the connection is finished. */
void events_farewell(struct conn *conn);

/* directory.c: where pools are. All but the last two from any thread. */

struct place_row {
    char name[HF_POOL_NAME_MAX + 1];
    uint32_t number;
    struct worker *worker;
    bool ready; /* false: being made */
};
int directory_open(struct directory *directory);
void directory_close(struct server *server);
/* Reserves the name, and a worker for it: the one with the fewest pools. -HF_E_EXISTS, LIMIT, OOM. */
int directory_reserve(struct server *server, const char *name, struct place *ret);
/* The same for a pool that has a number already; it gets another one (ret->number) if that is taken. */
int directory_reserve_number(struct server *server, const char *name, uint32_t wanted, struct place *ret);
void directory_ready(struct server *server, uint32_t number);
void directory_remove(struct server *server, uint32_t number);

/* folder.c: the pools that are in files, at the start */
/* Opens the folder and every image in it. 0, or -1 with a text for a person. */
int folder_open(struct server *server, const char *path, char *error, size_t error_size);

/* load.c: the file of a save, at the start */
/* Before places are reserved: what is there under its name gives way, if it is empty. 0, or -1 with a text. */
int load_make_way(struct server *server, const char *path, char *error, size_t error_size);
/* Makes a pool from the file. 0, or -1 with a text for a person. */
int load_open(struct server *server, const char *path, char *error, size_t error_size);

/* loads.c: files of saves while the server runs */
#define SAVES_PATH_LOAD_MAX 4096u /* bytes of folder and name, as the system's */
/* A load that the worker was asked for comes to nothing, soon. */
void loads_abort(struct worker *worker);

/* kept.c: the pools whose memory was kept, at the start */
/* Puts together what came back; takes all its descriptors over. 0, or -1 with a text for a person. */
int kept_open(struct server *server, const struct server_config *config, char *error, size_t error_size);
/* What pool_open() refuses, with what to do about it. */
void kept_explain(const char *name, bool damaged, const char *why, char *error, size_t error_size);
/* Copies an image away and lets it go. False: it shall not be, `error` is empty then, or could not. Any thread. */
bool kept_set_aside(struct server *server, const char *name, int fd_meta, int fd_values, const char *why,
                    char *error, size_t error_size);

/* pools.c: a worker's own pools, on its thread */
struct pool_entry *pools_entry(struct worker *worker, const struct pool *pool);
struct pool_entry *pools_numbered(struct worker *worker, uint32_t number);
/* What every pool of this daemon has in common, whether it is made or recovered. Any thread. */
void pools_config(struct server *server, const char *name, struct pool_config *ret);
/* What a new one has of its own: an epoch, a base of serials, its first sid. */
void pools_identity(struct pool_config *config, uint32_t number);
/* The two files of a new pool, for config; when the image is in them the pool is given its name, from which moment on
 * whoever comes after this process finds it; or its files go (memfds: when they are closed). 0 or an error for a client. */
int pools_make_files(const struct server *server, const char *name, struct pool_config *config, char *error,
                     size_t error_size);
int pools_publish(const struct server *server, const char *name, const struct pool_config *config,
                  char *error, size_t error_size);
void pools_discard(const struct server *server, const char *name);
/* Takes the name away again; see images_remove(). */
int pools_unpublish(const struct server *server, const char *name, bool *ret_left, char *error,
                    size_t error_size);
/* Makes the pool of a reserved place and lets the directory know; on failure the place is given up. */
struct pool_entry *pools_create(struct worker *worker, const char *name, uint32_t number, uint64_t max_bytes,
                                char *error, size_t error_size, int *ret_code);
/* Takes over a pool that was recovered for a reserved place; its leases run from here on. NULL: no memory; the pool stays
 * the caller's. */
struct pool_entry *pools_adopt(struct worker *worker, struct pool *pool, uint32_t number);
/* An entry that takes connections until the pool is there, see loading.h. NULL: no memory. */
struct pool_entry *pools_stand_in(struct worker *worker, struct pool *pool, uint32_t number);
/* Makes a new `default` in place of the stand-in. False: `error`. */
bool pools_begin(struct worker *worker, uint32_t number, char *error, size_t error_size, int *ret_code);
/* A step of the pools that were dropped; true while there is more. */
bool pools_dispose(struct worker *worker);
void pools_close(struct worker *worker);

#endif
