/* SPDX-License-Identifier: BSD-3-Clause */
/* A part of a pool as this client sees it: objects, their values as text, and the slots between them. It is read
 * through the public calls only: hf_scan, hf_refs, hf_get_many. */
#ifndef HF_DEMO_GRAPH_H
#define HF_DEMO_GRAPH_H

#include "client/holdfast.h"

struct node {
    hf_id id;
    char *text;              /* value of the object, NULL before graph_texts */
    size_t edge, edge_count; /* its slots: graph.edges[edge] ... */
    size_t depth;            /* steps from the nearest root */
    size_t component;        /* number of its cycle, see graph_cycles */
};

struct graph {
    struct node *nodes; /* in the order of discovery: roots first */
    size_t count, capacity;
    size_t *edges; /* indexes of nodes */
    size_t edge_count, edge_capacity;
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

/* Fetches the values. */
int graph_texts(struct graph *graph, hf_conn *conn);

/* Numbers the cycles (strongly connected components with an edge inside) from 1 in node.component; 0 is a node in
 * no cycle. `*ret_count` is how many there are. */
int graph_cycles(struct graph *graph, size_t *ret_count);

void graph_free(struct graph *graph);

#endif
