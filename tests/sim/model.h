/* SPDX-License-Identifier: BSD-3-Clause */
/* A naive model of a pool, written for obviousness: objects by serial number in plain arrays, everything
 * found by looking at all of it, counts recounted each time. It shares no code with the pool.
 *
 * What is asked of both: count = holds of open sessions + slots of living objects + names + tickets; an
 * object whose count is zero is dead for ever, and then what only its slots kept alive is dead, and so on.
 *
 * The pool does part of this later, in steps. So between two settled moments an object of the model can be
 * in LIMBO: nothing is left that keeps it alive, but what kept it may not have been taken away yet. The pool
 * may answer for it or say GONE; what it says is noted (model_bury, or a new reference), and once the
 * pool has nothing left to do all that is still in limbo is dead (model_settle).
 *
 * Serial numbers count from 1, 0 is nil. Only a limit of the arrays makes a function fail: by abort. */
#ifndef HF_TESTS_SIM_MODEL_H
#define HF_TESTS_SIM_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#define MODEL_OBJECTS  16384 /* ever made */
#define MODEL_SESSIONS 4096  /* ever opened */
#define MODEL_HOLDS    16384 /* at one time */
#define MODEL_NAMES    512   /* at one time */
#define MODEL_TICKETS  512   /* at one time */

enum life { LIFE_GONE, LIFE_LIMBO, LIFE_SURE };

struct m_object {
    bool dead;
    bool sure;           /* set by model_count(): something keeps it alive */
    uint64_t firm;       /* set by model_count(): references that keep it alive */
    uint64_t firm_slots; /* of these, slots of other objects */
    int form;
    uint8_t *data;
    uint64_t size, version;
    int *slots; /* serial numbers */
    uint32_t slots_count;
    uint8_t *tag, *site;
    uint32_t tag_size, site_size;
    bool open, sealed;
    int creator;
    uint64_t made_ms;
    bool reached;                 /* set by model_reach() */
    bool scan_started, scan_seen; /* for a scan that takes many calls */
};

struct m_hold {
    int session, object;
    uint64_t count;
};

struct m_name {
    uint8_t bytes[255];
    uint32_t size;
    int object;
    uint64_t version;
    bool walk_started, walk_seen; /* for a walk over names that takes many calls */
};

struct m_ticket {
    uint8_t key[16];
    int object;
    uint32_t uses;
    uint64_t expires_ms;
};

/* DUE: its lease has run out, but the pool may not have come to ending it; until it has, its key may still
 * resume it, whole. */
enum m_state { M_OPEN, M_GRACE, M_DUE, M_ENDED };

/* A changing request of a session with a replay window, and how it was answered. */
#define M_REQUESTS 80 /* more than a window has */
struct m_request {
    uint32_t msgid, code, count;
    uint64_t hash, digest; /* of the words of the answer */
};

struct m_session {
    enum m_state state;
    uint64_t sid;
    uint8_t key[16], name[255];
    uint32_t name_size, pid, lease_ms;
    bool anonymous;
    uint64_t since_ms;
    uint64_t lease_ends; /* in GRACE: on the lease clock */
    bool replays;
    uint32_t first_msgid;
    uint64_t requests_made;
    struct m_request requests[M_REQUESTS]; /* the last ones; number n at n % M_REQUESTS */
};

struct model {
    struct m_object *objects; /* by serial number; [0] unused */
    uint64_t *ids;            /* by serial number: the pool's */
    int objects_made;
    int *living; /* serial numbers of the objects that are not dead */
    int living_count;
    int *graves; /* serial numbers of the dead, in the order in which they died */
    int graves_count;
    struct m_session *sessions; /* by serial number; [0] unused */
    int sessions_made;
    struct m_hold *holds;
    int holds_count;
    struct m_name *names;
    int names_count;
    struct m_ticket *tickets;
    int tickets_count;
    uint64_t last_version; /* the highest that the pool has told */
    bool dirty;            /* references went since model_count(), or came while something was in limbo */
    int limbo;             /* objects in limbo, by the last model_count() */
};

struct model *model_new(void);
/* As it is now: what lives whole, of the dead only that they are. */
struct model *model_copy(const struct model *m);
void model_free(struct model *m);

/* Recounts everything: sets firm, firm_slots and sure of each living object and `limbo`. */
void model_count(struct model *m);

/* The living objects to which nothing living refers are dead now. Returns how many. Only right when the pool had
 * nothing left to do before the operation that took their references away. */
int model_strike(struct model *m);

/* All that is in limbo is dead, and sessions that are DUE have ended: the pool has nothing left to do. */
void model_settle(struct model *m);

/* What recovery keeps: marks what can be reached from names, tickets and the holds of sessions for which
 * survives[session] is set, through slots. Returns how many that are. */
int model_reach(struct model *m, const bool *survives);

/* The pool said GONE for an object in limbo. */
void model_bury(struct model *m, int object);

/* ---- objects ---- */

int model_object(const struct model *m, uint64_t id);    /* 0: no object ever had this id */
enum life model_life(const struct model *m, int object); /* by the last model_count(); 0 is GONE */
int model_born(struct model *m, uint64_t id, int form, const uint8_t *data, uint64_t size);
void model_value(struct model *m, int object, int form, const uint8_t *data, uint64_t size, uint64_t version);
void model_label(struct model *m, int object, const uint8_t *tag, uint32_t tag_size, const uint8_t *site,
                 uint32_t site_size);
void model_slot(struct model *m, int object, uint32_t slot, int target); /* slot = slots_count appends */

/* ---- outside references ---- */

uint64_t model_held(const struct model *m, int session, int object); /* the session's count on it */
uint64_t model_held_objects(const struct model *m, int session);
void model_hold(struct model *m, int session, int object, uint64_t n);
void model_unhold(struct model *m, int session, int object, uint64_t n);
int model_name(const struct model *m, const uint8_t *bytes, uint32_t size); /* its place in `names`, or -1 */
void model_bind(struct model *m, const uint8_t *bytes, uint32_t size, int object, uint64_t version);
void model_unname(struct model *m, int name);
int model_ticket(const struct model *m, const uint8_t key[16]); /* its place in `tickets`, or -1 */
void model_share(struct model *m, const uint8_t key[16], int object, uint32_t uses, uint64_t expires_ms);
void model_unshare(struct model *m, int ticket);
uint64_t model_named(const struct model *m, int object);    /* names bound to it */
uint64_t model_ticketed(const struct model *m, int object); /* tickets for it */
uint64_t model_held_by_all(const struct model *m,
                           int object); /* holds, of open sessions and those in grace */

/* ---- sessions ---- */

int model_session_open(struct model *m, uint64_t sid);
void model_session_end(struct model *m, int session);

/* What the clocks bring: tickets expire, leases run out. Returns how many did. */
int model_tick(struct model *m, uint64_t now_ms, uint64_t lease_ms);

#endif
