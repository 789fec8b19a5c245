/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/sim/graph.h"

#include <stdlib.h>
#include <string.h>

static void *allocate(size_t count, size_t size)
{
    void *p = calloc(count != 0 ? count : 1, size);
    if (p == NULL)
        abort();
    return p;
}

void graph_init(struct graph *g)
{
    memset(g, 0, sizeof *g);
    g->objects = allocate(GRAPH_OBJECTS, sizeof *g->objects);
    g->holds = allocate(GRAPH_OBJECTS, sizeof *g->holds);
}

void graph_done(struct graph *g)
{
    for (uint32_t k = 1; k <= g->made; k++)
        free(g->objects[k].slots);
    free(g->objects);
    free(g->holds);
}

uint32_t graph_born(struct graph *g, uint64_t id, uint32_t count)
{
    if (g->made + 1 == GRAPH_OBJECTS)
        abort();
    uint32_t object = ++g->made;
    g->objects[object] =
        (struct g_object){.id = id, .slots = allocate(count, sizeof(uint32_t)), .count = count};
    return object;
}

void graph_link(struct graph *g, uint32_t object, uint32_t slot, uint32_t target)
{
    struct g_object *o = &g->objects[object];
    if (slot == o->count) {
        o->slots = realloc(o->slots, (o->count + 1) * sizeof *o->slots);
        if (o->slots == NULL)
            abort();
        o->count++;
    }
    o->slots[slot] = target;
}

uint64_t graph_held(const struct graph *g, uint32_t object)
{
    uint64_t sum = 0;
    for (int s = 0; s < GRAPH_SESSIONS; s++)
        sum += g->holds[object][s];
    return sum;
}

void graph_end_session(struct graph *g, int session)
{
    for (uint32_t k = 1; k <= g->made; k++) {
        g->holds[k][session] = 0;
        if (g->objects[k].guard == session + 1)
            g->objects[k].guard = 0;
    }
}

uint32_t graph_reach(struct graph *g)
{
    uint32_t reached = 0, before;
    for (uint32_t k = 1; k <= g->made; k++)
        g->objects[k].reachable = graph_held(g, k) > 0;
    for (int k = 0; k < GRAPH_NAMES; k++)
        g->objects[g->names[k]].reachable = true;
    for (int k = 0; k < GRAPH_TICKETS; k++)
        g->objects[g->tickets[k]].reachable = true;
    do {
        before = reached;
        reached = 0;
        for (uint32_t k = 1; k <= g->made; k++) {
            const struct g_object *o = &g->objects[k];
            if (!o->reachable)
                continue;
            reached++;
            for (uint32_t slot = 0; slot < o->count; slot++)
                g->objects[o->slots[slot]].reachable = true;
        }
    } while (reached != before);
    for (uint32_t k = 1; k <= g->made; k++) {
        struct g_object *o = &g->objects[k];
        if (o->reachable)
            o->must_go = false;
        else
            o->was_garbage = 2;
    }
    return reached;
}

void graph_spare(struct graph *g, uint32_t object)
{
    bool *spared = allocate(GRAPH_OBJECTS, sizeof *spared), changed = object != 0;
    spared[object] = true;
    while (changed) {
        changed = false;
        for (uint32_t k = 1; k <= g->made; k++)
            for (uint32_t slot = 0; spared[k] && slot < g->objects[k].count; slot++) {
                changed = changed || !spared[g->objects[k].slots[slot]];
                spared[g->objects[k].slots[slot]] = true;
            }
    }
    for (uint32_t k = 1; k <= g->made; k++)
        g->objects[k].must_go = g->objects[k].must_go && !spared[k];
    free(spared);
}

uint32_t graph_snapshot(struct graph *g)
{
    uint32_t garbage = 0;
    for (uint32_t k = 1; k <= g->made; k++) {
        struct g_object *o = &g->objects[k];
        o->must_go = !o->reachable && !o->gone;
        o->was_garbage -= o->was_garbage > 0;
        garbage += o->must_go;
    }
    return garbage;
}
