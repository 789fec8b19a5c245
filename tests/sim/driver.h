/* SPDX-License-Identifier: BSD-3-Clause */
/* The simulation: one pool and its model, driven together by a seed.
 *
 * Each operation (ops_*.c) chooses its arguments, says what may come of it (struct verdict), asks the pool,
 * has the answer judged and then does the same to the model. compare.c compares all that can be seen. */
#ifndef HF_TESTS_SIM_DRIVER_H
#define HF_TESTS_SIM_DRIVER_H

#include "tests/lib/pool_fixture.h"
#include "tests/lib/random.h"
#include "tests/sim/model.h"

#define SIM_IDS    HF_IDS_MAX /* most ids in one array */
#define SIM_PINS   4
#define SIM_NAMES  400 /* most different names in use */
#define SIM_OLD    8   /* keys of spent tickets that are remembered */
#define SIM_BUFFER (320u * 1024)

struct sim_pin {
    uint64_t pin;
    const uint8_t *at; /* where the pool keeps the value */
    uint8_t *copy;
    uint64_t size;
};

struct sim {
    uint64_t seed, number; /* of the operation */
    const char *operation;
    bool trace;
    struct random random;
    struct pool *pool;
    struct mem budget; /* above the pool's own */
    struct model *model;
    struct session *handle[MODEL_SESSIONS];
    char owner[MODEL_SESSIONS];
    struct grow_io grow;
    uint64_t now_ms, lease_ms;
    int target;             /* objects that shall live, more or less */
    bool wide, large, many; /* with long lists of slots; values above POOL_COPY_MAX; thousands of objects */
    unsigned names_most, sessions_most, ids_most; /* in use, at one time, in one call */
    int graves_seen;                              /* dead objects that were seen to be GONE */
    bool pending;                                 /* the pool may have work left that takes references away */
    bool due;                                     /* of this, something that came by time */
    bool indirect;                                /* this operation leaves its deaths to pool_step() */
    bool may_oom;                                 /* this operation may find no memory */
    bool squeezed;                                /* the budget is nearly spent */
    bool oom;                                     /* this operation found none */
    bool verifying;
    uint64_t names_cursor, scan_cursor;
    bool names_walking, scan_walking;
    struct sim_pin pins[SIM_PINS];
    int pins_count;
    uint8_t old_tickets[SIM_OLD][16];
    unsigned old_tickets_count;
    uint8_t names[SIM_NAMES][255];
    uint8_t name_sizes[SIM_NAMES];
    uint8_t *buffer;                                             /* random bytes, from which values are cut */
    uint64_t ooms, compared, verified, recovered, failures_seen; /* told at the end */
    struct saving *saving;                                       /* a save under way; NULL: none */
    struct random aside; /* chooses for saves and resends: the rest is the same with and without them */
    uint64_t saved, saves_failed, resent;
    int requester; /* of the call under way; 0: it is not for a window */
    struct m_request request;
};

_Noreturn void sim_fail(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define sim_check(sim, condition)                                                                            \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            sim_fail(sim, "%s:%d: not so: %s", __FILE__, __LINE__, #condition);                              \
    } while (0)

void sim_trace(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- verdicts ---- */

struct verdict {
    uint32_t may; /* error codes that would be right, as bits */
    bool fails;   /* success would be wrong */
};

void verdict_fail(struct verdict *v, int code);
void verdict_may(struct verdict *v, int code);
/* Adds what the state of an object brings; asks the pool if the object is in limbo. */
void verdict_object(struct sim *sim, struct verdict *v, int object);
/* The same for an object that another one or a name shall refer to: it must not be open either. */
void verdict_referent(struct sim *sim, struct verdict *v, int object);

/* Is `rc` right? true: success. */
bool sim_judge(struct sim *sim, const struct verdict *v, int rc);
/* The same for an array argument: an error must be that of fault.index, and nothing before it may have to fail. */
bool sim_judge_array(struct sim *sim, const struct verdict *v, unsigned count, int rc);

/* Settles whether an object in limbo is dead. True: it is alive. */
bool sim_alive(struct sim *sim, int object);

/* ---- choosing ---- */

bool chance(struct sim *sim, unsigned percent);
int pick_living(struct sim *sim); /* 0: there is none */
/* Mostly a living object; else a dead one (its id is returned, and its serial number) or an id that never was (0). */
uint64_t pick_id(struct sim *sim, int *ret_object);
int pick_session(struct sim *sim); /* attached; one is opened if there is none */
struct name_in pick_name(struct sim *sim);
uint32_t pick_label(struct sim *sim, const uint8_t **ret); /* a tag or site; often none */
/* A value to be copied in. */
struct value_in pick_value(struct sim *sim);
/* A number of slots near what the layout changes at. */
uint32_t pick_slots(struct sim *sim);

/* A new id: never seen before, in range. Returns the object of the model. */
int sim_born(struct sim *sim, uint64_t id, const struct value_in *value);
void sim_version(struct sim *sim, uint64_t version); /* must be higher than all before */

/* Runs the pool's work for a call that says POOL_AGAIN (SIM_REQUEST). */
void sim_again(struct sim *sim);
/* ---- operations ---- */

struct operation {
    const char *name;
    unsigned weight;
    void (*run)(struct sim *sim);
};

extern const struct operation object_operations[], holder_operations[], session_operations[],
    looking_operations[]; /* each ends with a NULL name */

/* Drops references until fewer objects live. */
void sim_prune(struct sim *sim);
int sim_session_open(struct sim *sim);              /* 0: no memory */
void sim_ticket_spent(struct sim *sim, int ticket); /* its key is remembered, to be tried again */
void sim_session_end(struct sim *sim, int session);

/* ---- comparing ---- */

void compare_object(struct sim *sim, int object);
/* Everything: objects, slots, holders, names, sessions, the dead, statistics. */
void compare_all(struct sim *sim);
/* Recovers a private copy of the pool's image and compares it: what can be reached lives with value, slots and
 * holders, all else is GONE. */
void compare_recovered(struct sim *sim);

/* What a recovered pool must be: a model, and which of its sessions go on. */
struct survival {
    struct model *model;
    struct random *random; /* chooses what is looked at */
    uint64_t now_ms;
    int reached; /* objects */
    bool survives[MODEL_SESSIONS];
};
/* False: it cannot be said now. */
bool survival_now(struct sim *sim, struct survival *ret);
/* Compares a pool that was just recovered, and walks it. */
void survival_check(struct sim *sim, const struct survival *survival, struct pool *pool);
struct pool *survival_open(struct sim *sim, const struct survival *survival, int fd_meta, int fd_values);

/* ---- requests that are sent again (resent.c) ---- */

/* A session for a call that needs none: mostly one with a replay window; 0: there is none. */
int sim_requester(struct sim *sim);
/* Around each call that changes something: sim_answer() tells its result, as words, if it has succeeded. Without a window
 * nothing happens. */
void sim_request(struct sim *sim, int session);
bool sim_request_again(struct sim *sim, int rc);
void sim_answer(struct sim *sim, int rc, const uint64_t *words, uint32_t count);
#define SIM_REQUEST(sim, session, rc, call)                                                                  \
    do {                                                                                                     \
        sim_request((sim), (session));                                                                       \
        (rc) = (call);                                                                                       \
    } while (sim_request_again((sim), (rc)))
/* Sends the last requests of a session again, to this pool: each is answered as it was, and nothing else is in the
 * window. */
void resend(struct sim *sim, const struct m_session *session, struct pool *pool, struct session *handle);
/* Now and then, between two operations. */
void resend_some(struct sim *sim);

/* ---- saves (saved.c) ---- */

/* Between two operations: now and then one begins, is written, ends, and its file is compared. */
void saves_go_on(struct sim *sim);
/* Before the pool ends: the one under way is finished and compared, or given up. */
void saves_end(struct sim *sim);
/* A complete walk of the pool's own invariants. */
void compare_verify(struct sim *sim);
void compare_verify_on(struct sim *sim);

/* One whole run: `operations` of them on a new pool. */
struct sim_totals {
    uint64_t operations, episodes, objects, ooms, compared, verified, recovered, moved, saved, saves_failed,
        resent;
};
void sim_run(uint64_t seed, uint64_t operations, bool trace, struct sim_totals *totals);

#endif
