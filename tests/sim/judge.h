/* SPDX-License-Identifier: BSD-3-Clause */
/* The judge of sim_gc.c: what must hold after each operation and each step, whatever the pool and its collector are in the
 * midst of. It looks into the pool and compares it with the graph (graph.h), which says what is reachable. */
#ifndef HF_TESTS_SIM_JUDGE_H
#define HF_TESTS_SIM_JUDGE_H

#include "daemon/gc/internal.h"
#include "daemon/pool/internal.h"
#include "tests/lib/pool_fixture.h"
#include "tests/lib/random.h"
#include "tests/sim/graph.h"

/* Over all runs; told at the end. */
struct totals {
    uint64_t operations, collections, collected, delivered, dry_runs, idle_checks, revived;
    uint64_t young, young_collected, saved;
};

struct sim {
    uint64_t seed, number; /* of the operation */
    struct totals *totals;
    const char *operation;
    struct random random;
    struct fixture fx;
    struct pool *pool;
    struct graph graph;
    struct session *session[GRAPH_SESSIONS];
    unsigned keys_used;
    uint8_t ticket[GRAPH_TICKETS][HF_KEY_SIZE];
    uint32_t living_most;
    bool tiny;         /* a few objects, mostly without slots at first: cycles come and go */
    bool weak;         /* clients name what they do not hold */
    bool guards;       /* ... and guard objects */
    bool small_stack;  /* the stack never grows */
    bool fails;        /* private memory fails now and then */
    unsigned alone;    /* percent of the steps that are the collector's alone, whatever waits to be freed */
    bool verifies;     /* the pool's own walk runs beside everything else */
    uint64_t snapshot; /* number of the collection it was taken for */
    bool watching;     /* until its end */
    bool settled;      /* after the last check nothing was dead, ending or being collected */
    bool quiet;        /* no operation since then, and nothing dies but by the collection */
    uint32_t garbage;  /* at the snapshot */
    uint64_t young_popped;
    uint64_t dry_begun;
    uint32_t dry_garbage;
    bool dry_quiet;
    bool verifying; /* the pool's own walk is under way, in steps between everything else */
    struct gc_ticket asked;
    bool asking;
    bool saves;                  /* now and then (saved_graph.h) */
    struct graph_saving *saving; /* under way; NULL: none */
    struct random aside;         /* chooses for saves alone */
};

/* Tells the seed, the operation and the phase, and ends the program. */
_Noreturn void judge_fail(const struct sim *sim, const char *format, ...)
    __attribute__((format(printf, 2, 3))); /* checks arguments */
/* After a step; after an operation of a client. */
void judge(struct sim *sim);
void judge_changed(struct sim *sim);
/* A guard that finds no memory for its delivery keeps its object, and what that leads to, until the next time. */
void judge_spare_guarded(struct sim *sim);

#endif
