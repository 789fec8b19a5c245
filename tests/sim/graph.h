/* SPDX-License-Identifier: BSD-3-Clause */
/* The oracle of the collector: a naive model of what is reachable.
 *
 * Objects by number, each with an array of slots; holds as a matrix; names and tickets as arrays. What can be reached is
 * found by walking from all outside references until nothing changes. It shares no code with the pool and knows
 * nothing of counts, marks or phases. It is told what the pool did with what cannot be reached: gone, revived by its
 * id, or delivered to the session that guards it. */
#ifndef HF_TESTS_SIM_GRAPH_H
#define HF_TESTS_SIM_GRAPH_H

#include <stdbool.h>
#include <stdint.h>

#define GRAPH_OBJECTS  4000 /* ever made in one run */
#define GRAPH_SESSIONS 4    /* at one time */
#define GRAPH_NAMES    5
#define GRAPH_TICKETS  4

struct g_object {
    uint64_t id;
    uint32_t *slots; /* numbers of objects; 0: nil */
    uint32_t count;
    bool gone;       /* the pool said so; for ever */
    bool reachable;  /* by the last graph_reach() */
    int was_garbage; /* not 0: at some moment since the last graph_snapshot() but one */
    bool must_go;    /* was garbage at the last graph_snapshot(), and ever since */
    int guard;       /* the session whose guard it has, plus 1; 0: none */
};

struct graph {
    struct g_object *objects; /* [0] unused */
    uint32_t made;
    uint64_t (*holds)[GRAPH_SESSIONS]; /* by object */
    uint32_t names[GRAPH_NAMES];       /* 0: not bound */
    uint32_t tickets[GRAPH_TICKETS];   /* 0: none */
};

void graph_init(struct graph *g);
void graph_done(struct graph *g);
/* A new object with `count` slots, all nil. */
uint32_t graph_born(struct graph *g, uint64_t id, uint32_t count);
void graph_link(struct graph *g, uint32_t object, uint32_t slot, uint32_t target); /* slot = count appends */
/* Recomputes `reachable`, then was_garbage and must_go from it. Returns how many can be reached. */
uint32_t graph_reach(struct graph *g);
/* A collection begins: what is garbage now must be gone at its end. Returns how many that are. */
uint32_t graph_snapshot(struct graph *g);
/* This one and what it leads to need not go, whatever the snapshot says. */
void graph_spare(struct graph *g, uint32_t object);
uint64_t graph_held(const struct graph *g, uint32_t object); /* sum over the sessions */
void graph_end_session(struct graph *g, int session);

#endif
