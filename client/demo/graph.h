/* SPDX-License-Identifier: BSD-3-Clause */
/* A part of a pool as this client sees it: objects and what their slots refer to, read by hf_scan and hf_refs. */
#ifndef HF_DEMO_GRAPH_H
#define HF_DEMO_GRAPH_H

#include "client/holdfast.h"

struct node {
    hf_id id;
    size_t depth; /* steps from the nearest root */
};

struct graph {
    struct node *nodes; /* in the order of discovery: roots first */
    size_t count, capacity;
    size_t *table; /* hash of ids: index + 1 */
    size_t table_size;
    size_t round_trips;
};

/* Adds an object as a root; one that is there already is not added again. 0, or HF_ERR_MEMORY. */
int graph_add(struct graph *graph, hf_id id, size_t *ret_index);

/* Adds all objects of the pool, or those that session `sid` holds. */
int graph_scan(struct graph *graph, hf_conn *conn, uint64_t sid);

/* Follows the slots of all nodes until nothing new is found. */
int graph_walk(struct graph *graph, hf_conn *conn);

void graph_free(struct graph *graph);

#endif
