/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/gc/explain.h"

#include <string.h>

#define TABLE 8192u /* places of the hash of objects: a power of two, twice as many as objects */
#define NONE  UINT32_MAX

struct node {
    uint64_t id, size;
    uint32_t index;
    uint32_t edges, edges_count; /* in `edges` */
    uint32_t order, low;         /* Tarjan's; order 0: not visited */
    uint32_t parent, next_edge;  /* of the walk in depth */
    bool open;                   /* on the stack of components */
};

enum stage { STAGE_ADD, STAGE_COPY, STAGE_SEARCH, STAGE_DONE };

struct explain {
    struct heap *heap;
    enum stage stage;
    struct node nodes[EXPLAIN_OBJECTS];
    uint32_t nodes_count;
    uint32_t table[TABLE]; /* number of a node + 1, by index */
    uint32_t edges[EXPLAIN_SLOTS];
    uint32_t edges_count;
    uint32_t at, slot; /* of the stage: the node, and its slot */
    uint32_t orders;   /* given out */
    uint32_t node;     /* being visited; NONE */
    uint32_t stack[EXPLAIN_OBJECTS], stack_count;
    struct gc_cycles result;
};

struct explain *explain_new(struct heap *heap)
{
    struct explain *e = mem_zalloc(heap->mem, sizeof *e);
    if (e == NULL)
        return NULL;
    e->heap = heap;
    e->node = NONE;
    e->result.whole = true;
    return e;
}

void explain_free(struct explain *e)
{
    if (e != NULL)
        mem_free(e->heap->mem, e, sizeof *e);
}

/* ---- the sample ---- */

static uint32_t *place_of(struct explain *e, uint32_t index)
{
    uint32_t at = (uint32_t)bits_mix(index) & (TABLE - 1);
    while (e->table[at] != 0 && e->nodes[e->table[at] - 1].index != index)
        at = (at + 1) & (TABLE - 1);
    return &e->table[at];
}

bool explain_add(struct explain *e, uint32_t index)
{
    if (e->nodes_count == EXPLAIN_OBJECTS) {
        e->result.whole = false;
        return false;
    }
    e->nodes[e->nodes_count] = (struct node){
        .id = heap_id(e->heap, index), .size = value_size(e->heap->hot[index].value), .index = index};
    *place_of(e, index) = ++e->nodes_count;
    return true;
}

/* One slot of the node, or the end of its slots. */
static void copy_slot(struct explain *e)
{
    struct node *node = &e->nodes[e->at];
    /* it may have died, and another have its index */
    bool same = heap_find(e->heap, node->id) != NULL;
    if (e->slot == 0)
        node->edges = e->edges_count;
    if (!same || e->slot >= slots_count(e->heap, node->index) || e->edges_count == EXPLAIN_SLOTS) {
        e->result.whole = e->result.whole && e->edges_count < EXPLAIN_SLOTS;
        node->edges_count = e->edges_count - node->edges;
        e->at++;
        e->slot = 0;
        return;
    }
    uint32_t target = *place_of(e, slots_get(e->heap, node->index, e->slot++));
    if (target != 0)
        e->edges[e->edges_count++] = target - 1;
}

/* ---- components ---- */

static void enter(struct explain *e, uint32_t n, uint32_t parent)
{
    struct node *node = &e->nodes[n];
    node->order = node->low = ++e->orders;
    node->parent = parent;
    node->open = true;
    e->stack[e->stack_count++] = n;
    e->node = n;
}

static bool names_itself(const struct explain *e, uint32_t n)
{
    const struct node *node = &e->nodes[n];
    for (uint32_t k = 0; k < node->edges_count; k++)
        if (e->edges[node->edges + k] == n)
            return true;
    return false;
}

/* A component lies on the stack from `first` on: a cycle, if it has more than one object or one that names itself. */
static void take_component(struct explain *e, uint32_t first)
{
    uint32_t count = e->stack_count - first;
    bool is_cycle = count > 1 || names_itself(e, e->stack[first]);
    struct gc_cycle *cycle = &e->result.cycles[e->result.count];
    if (is_cycle && e->result.count < GC_CYCLES_MAX)
        *cycle = (struct gc_cycle){.objects = count};
    for (uint32_t k = first; k < e->stack_count; k++) {
        struct node *node = &e->nodes[e->stack[k]];
        node->open = false;
        if (!is_cycle || e->result.count == GC_CYCLES_MAX)
            continue;
        cycle->bytes += node->size;
        if (cycle->members_count < GC_MEMBERS_MAX)
            cycle->members[cycle->members_count++] = (struct gc_member){.id = node->id, .size = node->size};
    }
    e->stack_count = first;
    e->result.found += is_cycle;
    e->result.count += is_cycle && e->result.count < GC_CYCLES_MAX;
}

/* All edges of the node are looked at: it ends a component, or passes on how low it reaches. Returns the units. */
static unsigned leave(struct explain *e)
{
    struct node *node = &e->nodes[e->node];
    unsigned units = 1;
    if (node->low == node->order) {
        uint32_t first = e->stack_count;
        while (e->stack[--first] != e->node)
            units++;
        take_component(e, first);
    }
    e->node = node->parent;
    if (e->node != NONE && node->low < e->nodes[e->node].low)
        e->nodes[e->node].low = node->low;
    return units;
}

static unsigned search(struct explain *e)
{
    if (e->node == NONE) {
        if (e->nodes[e->at].order == 0)
            enter(e, e->at, NONE);
        e->at++;
        return 1;
    }
    struct node *node = &e->nodes[e->node];
    if (node->next_edge == node->edges_count)
        return leave(e);
    uint32_t target = e->edges[node->edges + node->next_edge++];
    const struct node *to = &e->nodes[target];
    if (to->order == 0)
        enter(e, target, e->node);
    else if (to->open && to->order < node->low)
        node->low = to->order;
    return 1;
}

unsigned explain_step(struct explain *e, unsigned units)
{
    unsigned spent = 0;
    if (e->stage == STAGE_ADD) {
        e->stage = STAGE_COPY;
        e->at = 0;
    }
    for (; spent < units && e->stage == STAGE_COPY; spent++) {
        if (e->at < e->nodes_count) {
            copy_slot(e);
            continue;
        }
        e->stage = STAGE_SEARCH;
        e->at = 0;
    }
    while (spent < units && e->stage == STAGE_SEARCH) {
        if (e->node == NONE && e->at == e->nodes_count)
            e->stage = STAGE_DONE;
        else
            spent += search(e);
    }
    return spent;
}

void explain_finish(struct explain *e, explain_tag *tag, void *arg)
{
    struct gc_cycles *result = &e->result;
    for (uint32_t k = 0; k < result->count; k++)
        for (uint32_t m = 0; m < result->cycles[k].members_count; m++) {
            struct gc_member *member = &result->cycles[k].members[m];
            const uint8_t *text = NULL;
            uint32_t size =
                heap_find(e->heap, member->id) == NULL ? 0 : tag(arg, id_index(member->id), &text);
            if (size == 0 || result->tags_used + size > GC_TAGS_MAX)
                continue;
            member->tag_at = result->tags_used;
            member->tag_size = size;
            memcpy(result->tags + result->tags_used, text, size);
            result->tags_used += size;
        }
}

const struct gc_cycles *explain_result(const struct explain *e)
{
    return &e->result;
}
