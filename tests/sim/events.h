/* SPDX-License-Identifier: BSD-3-Clause */
/* What the parts of sim_events.c share: the clients and their small graph, of which the pool is asked who died. */
#ifndef HF_TESTS_SIM_EVENTS_H
#define HF_TESTS_SIM_EVENTS_H

#include "daemon/pool/internal.h"
#include "tests/lib/event_fixture.h"
#include "tests/lib/random.h"
#include "tests/sim/told.h"

#define OBJECTS  400u /* ever made in one run */
#define NAMES    3u
#define SLOTS    3u
#define SESSIONS TOLD_SESSIONS

#define FIRST_KEY 100u

struct object {
    uint64_t id;
    bool gone;
    bool watched[SESSIONS];
    uint64_t holds[SESSIONS];
    int guard; /* the session whose guard it has, plus 1; 0: none */
};

struct client {
    struct session *session;
    unsigned key;
    int owner; /* stands for its connection: only the address matters */
    bool attached, asked, in_flight;
};

struct totals {
    uint64_t operations, freed, delivered, restarts, notices, events, gaps, again;
};

struct sim {
    uint64_t seed, number; /* of the operation */
    struct totals *totals;
    const char *operation;
    struct random random;
    struct fixture fx;
    struct pool *pool;
    struct told told;
    struct client clients[SESSIONS];
    struct object objects[OBJECTS + 1];
    uint32_t made, living_most;
    unsigned keys_used;
    bool names_bound[NAMES];
    bool fails;           /* private memory fails now and then */
    uint32_t why;         /* what the operation may kill objects of, as bits */
    uint32_t pending;     /* the same of sessions that are ending */
    uint64_t begun, done; /* collections, as told so far */
    uint64_t numbers;     /* of events of the test's own */
};

struct operation {
    const char *name;
    unsigned weight;
    void (*run)(struct sim *sim);
};

/* Those that make and let go of objects; ends with a NULL name. */
extern const struct operation events_graph_operations[];

_Noreturn void events_fail(const struct sim *sim, const char *format, ...)
    __attribute__((format(printf, 2, 3))); /* checks arguments */
bool events_chance(struct sim *sim, unsigned percent);

/* ---- after each operation and step ---- */

/* Sees who is gone and which guard is a hold, and tells the oracle who is to be told. */
void events_see(struct sim *sim);
/* Collections that have begun or ended became events, if somebody was subscribed. */
void events_count_collections(struct sim *sim);

/* ---- choosing ---- */

/* A living object; NULL: none was met. */
struct object *events_pick(struct sim *sim);
/* One that is attached; NULL: none was met. */
struct client *events_pick_client(struct sim *sim);
unsigned events_client_number(const struct sim *sim, const struct client *client);

/* ---- on the graph ---- */

/* Whether it was done. It may only have failed for want of memory, or because room was made for it by a collection
 * that found an object of it to be garbage; and then nothing has happened. */
bool events_went_well(const struct sim *sim, int rc);
/* Time passes, but no lease. */
void events_tick(struct sim *sim);
/* Lets go of some while too many live, so that all kinds of objects die. */
void events_prune(struct sim *sim);

#endif
