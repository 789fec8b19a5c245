/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/demo/graph.h"

#include <stdlib.h>
#include <string.h>

/* Calls in one batch: enough that round trips do not count, little enough for any queue. */
#define BATCH 256

/* Makes room for one more element of `size` bytes. */
static int reserve(void **array, size_t *capacity, size_t count, size_t size)
{
    if (count < *capacity) {
        return 0;
    }
    size_t wanted = *capacity == 0 ? 256 : *capacity * 2;
    void *grown = realloc(*array, wanted * size);
    if (grown == NULL) {
        return HF_ERR_MEMORY;
    }
    *array = grown;
    *capacity = wanted;
    return 0;
}

static size_t *table_place(const struct graph *graph, hf_id id)
{
    size_t mask = graph->table_size - 1;
    size_t at = (size_t)((uint64_t)id * 0x9e3779b97f4a7c15u >> 32) & mask;
    while (graph->table[at] != 0 && graph->nodes[graph->table[at] - 1].id != id) {
        at = (at + 1) & mask;
    }
    return &graph->table[at];
}

static int table_grow(struct graph *graph)
{
    if (graph->count * 2 < graph->table_size) {
        return 0;
    }
    size_t size = graph->table_size == 0 ? 1024 : graph->table_size * 2;
    size_t *table = calloc(size, sizeof *table);
    if (table == NULL) {
        return HF_ERR_MEMORY;
    }
    free(graph->table);
    graph->table = table;
    graph->table_size = size;
    for (size_t i = 0; i < graph->count; i++) {
        *table_place(graph, graph->nodes[i].id) = i + 1;
    }
    return 0;
}

static int node_add(struct graph *graph, hf_id id, size_t depth, size_t *ret_index)
{
    if (table_grow(graph) != 0) {
        return HF_ERR_MEMORY;
    }
    size_t *place = table_place(graph, id);
    if (*place == 0) {
        void *nodes = graph->nodes;
        if (reserve(&nodes, &graph->capacity, graph->count, sizeof *graph->nodes) != 0) {
            return HF_ERR_MEMORY;
        }
        graph->nodes = nodes;
        graph->nodes[graph->count++] = (struct node){.id = id, .depth = depth};
        *place = graph->count;
    }
    *ret_index = *place - 1;
    return 0;
}

int graph_add(struct graph *graph, hf_id id, size_t *ret_index)
{
    return node_add(graph, id, 0, ret_index);
}

int graph_scan(struct graph *graph, hf_conn *conn, uint64_t sid)
{
    const struct hf_scan_options options = {.sid = sid};
    uint64_t cursor = 0;
    do {
        hf_reply *page;
        int error = hf_scan(conn, cursor, &options, &page);
        graph->round_trips++;
        hf_item id, item = hf_reply_item(page);
        hf_walk walk = hf_walk_start(hf_item_at(item, 1));
        while (error == 0 && hf_walk_next(&walk, NULL, &id)) {
            int64_t number;
            size_t index;
            error = hf_item_int(id, &number) ? graph_add(graph, number, &index) : HF_ERR_PROTOCOL;
        }
        if (error == 0 && !hf_item_uint(hf_item_at(item, 0), &cursor)) {
            error = HF_ERR_PROTOCOL;
        }
        hf_reply_free(page);
        if (error != 0) {
            return error;
        }
    } while (cursor != 0);
    return 0;
}

/* Takes in the slots of node `from`. */
static int edges_add(struct graph *graph, size_t from, hf_item ids)
{
    hf_item id;
    hf_walk walk = hf_walk_start(ids);
    graph->nodes[from].edge = graph->edge_count;
    while (hf_walk_next(&walk, NULL, &id)) {
        int64_t number;
        size_t to;
        if (!hf_item_int(id, &number)) {
            continue; /* an empty slot */
        }
        void *edges = graph->edges;
        if (node_add(graph, number, graph->nodes[from].depth + 1, &to) != 0 ||
            reserve(&edges, &graph->edge_capacity, graph->edge_count, sizeof *graph->edges) != 0) {
            return HF_ERR_MEMORY;
        }
        graph->edges = edges;
        graph->edges[graph->edge_count++] = to;
        graph->nodes[from].edge_count++;
    }
    return 0;
}

int graph_walk(struct graph *graph, hf_conn *conn)
{
    /* The nodes themselves are the queue: those that one batch finds are asked for by a later one. */
    for (size_t done = 0; done < graph->count;) {
        hf_reply *replies[BATCH];
        size_t wanted = graph->count - done < BATCH ? graph->count - done : BATCH;
        int error = hf_batch_begin(conn);
        for (size_t i = 0; i < wanted; i++) {
            replies[i] = NULL;
            if (error == 0) {
                error = hf_refs(conn, graph->nodes[done + i].id, &replies[i]);
            }
        }
        int ended = hf_batch_end(conn, NULL);
        error = error == 0 ? ended : error;
        graph->round_trips++;
        for (size_t i = 0; i < wanted; i++) {
            if (error == 0) {
                error = edges_add(graph, done + i, hf_reply_item(replies[i]));
            }
            hf_reply_free(replies[i]);
        }
        if (error != 0) {
            return error;
        }
        done += wanted;
    }
    return 0;
}

int graph_texts(struct graph *graph, hf_conn *conn)
{
    for (size_t done = 0; done < graph->count;) {
        hf_id ids[BATCH];
        size_t wanted = 0;
        for (; wanted < BATCH && done + wanted < graph->count; wanted++) {
            ids[wanted] = graph->nodes[done + wanted].id;
        }
        hf_reply *values;
        int error = hf_get_many(conn, ids, wanted, &values);
        graph->round_trips++;
        if (error != 0) {
            return error;
        }
        hf_item value;
        hf_walk walk = hf_walk_start(hf_reply_item(values));
        for (; hf_walk_next(&walk, NULL, &value); done++) {
            const void *bytes = "";
            size_t size = 0;
            hf_item_bytes(value, &bytes, &size);
            free(graph->nodes[done].text);
            graph->nodes[done].text = strndup(bytes, size);
        }
        hf_reply_free(values);
    }
    return 0;
}

/* ---- Cycles: Tarjan's algorithm, with a stack of its own instead of recursion ------------------------- */

struct visit {
    size_t order; /* from 1 in the order of the visit; 0: not seen */
    size_t low;   /* least order that is reachable */
    size_t next;  /* edge to follow next */
    size_t parent;
    bool on_stack;
};

struct tarjan {
    struct graph *graph;
    struct visit *visits;
    size_t *stack;
    size_t stack_count, order, components;
};

static void visit_enter(struct tarjan *tarjan, size_t node, size_t parent)
{
    tarjan->visits[node] =
        (struct visit){.order = ++tarjan->order, .low = tarjan->order, .parent = parent, .on_stack = true};
    tarjan->stack[tarjan->stack_count++] = node;
}

static bool has_edge_to_itself(const struct graph *graph, size_t node)
{
    const struct node *from = &graph->nodes[node];
    for (size_t i = 0; i < from->edge_count; i++) {
        if (graph->edges[from->edge + i] == node) {
            return true;
        }
    }
    return false;
}

/* All that is reachable from `node` has been seen: what lies above it on the stack is its component. */
static void visit_leave(struct tarjan *tarjan, size_t node)
{
    struct visit *visit = &tarjan->visits[node];
    if (visit->low == visit->order) {
        bool alone = tarjan->stack[tarjan->stack_count - 1] == node;
        size_t component = alone && !has_edge_to_itself(tarjan->graph, node) ? 0 : ++tarjan->components;
        size_t member;
        do {
            member = tarjan->stack[--tarjan->stack_count];
            tarjan->visits[member].on_stack = false;
            tarjan->graph->nodes[member].component = component;
        } while (member != node);
    }
    if (visit->parent != SIZE_MAX && visit->low < tarjan->visits[visit->parent].low) {
        tarjan->visits[visit->parent].low = visit->low;
    }
}

static void visit_from(struct tarjan *tarjan, size_t root)
{
    visit_enter(tarjan, root, SIZE_MAX);
    for (size_t at = root; at != SIZE_MAX;) {
        struct visit *visit = &tarjan->visits[at];
        const struct node *node = &tarjan->graph->nodes[at];
        if (visit->next == node->edge_count) {
            size_t parent = visit->parent;
            visit_leave(tarjan, at);
            at = parent;
            continue;
        }
        size_t to = tarjan->graph->edges[node->edge + visit->next++];
        if (tarjan->visits[to].order == 0) {
            visit_enter(tarjan, to, at);
            at = to;
        } else if (tarjan->visits[to].on_stack && tarjan->visits[to].order < visit->low) {
            visit->low = tarjan->visits[to].order;
        }
    }
}

int graph_cycles(struct graph *graph, size_t *ret_count)
{
    struct tarjan tarjan = {.graph = graph};
    tarjan.visits = calloc(graph->count + 1, sizeof *tarjan.visits);
    tarjan.stack = calloc(graph->count + 1, sizeof *tarjan.stack);
    int error = tarjan.visits == NULL || tarjan.stack == NULL ? HF_ERR_MEMORY : 0;
    for (size_t i = 0; i < graph->count && error == 0; i++) {
        if (tarjan.visits[i].order == 0) {
            visit_from(&tarjan, i);
        }
    }
    *ret_count = tarjan.components;
    free(tarjan.visits);
    free(tarjan.stack);
    return error;
}

void graph_free(struct graph *graph)
{
    for (size_t i = 0; i < graph->count; i++) {
        free(graph->nodes[i].text);
    }
    free(graph->nodes);
    free(graph->edges);
    free(graph->table);
    *graph = (struct graph){0};
}
