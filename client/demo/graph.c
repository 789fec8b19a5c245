/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/demo/graph.h"

#include <stdlib.h>

/* Calls in one batch: enough that round trips do not count, little enough for any queue. */
#define BATCH 256

/* Makes room for one more node. */
static int reserve(struct graph *graph)
{
    if (graph->count < graph->capacity) {
        return 0;
    }
    size_t wanted = graph->capacity == 0 ? 256 : graph->capacity * 2;
    struct node *grown = realloc(graph->nodes, wanted * sizeof *grown);
    if (grown == NULL) {
        return HF_ERR_MEMORY;
    }
    graph->nodes = grown;
    graph->capacity = wanted;
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
        if (reserve(graph) != 0) {
            return HF_ERR_MEMORY;
        }
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

/* Takes in what the slots of node `from` refer to. */
static int targets_add(struct graph *graph, size_t from, hf_item ids)
{
    hf_item id;
    hf_walk walk = hf_walk_start(ids);
    while (hf_walk_next(&walk, NULL, &id)) {
        int64_t number;
        size_t to;
        if (!hf_item_int(id, &number)) {
            continue; /* an empty slot */
        }
        if (node_add(graph, number, graph->nodes[from].depth + 1, &to) != 0) {
            return HF_ERR_MEMORY;
        }
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
                error = targets_add(graph, done + i, hf_reply_item(replies[i]));
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

void graph_free(struct graph *graph)
{
    free(graph->nodes);
    free(graph->table);
    *graph = (struct graph){0};
}
