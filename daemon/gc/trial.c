/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/gc/trial.h"
#include "daemon/gc/internal.h"

#define TABLE_MASK ((1u << TRIAL_BITS) - 1)
#define NO_NODE    UINT32_MAX

enum {
    NODE_SEEN = 1,    /* all its slots are subtracted */
    NODE_LIVE = 2,    /* something outside of S leads to it */
    NODE_SUSPECT = 4, /* it was one */
    NODE_CUT = 8,     /* found from a suspect whose closure was not seen whole */
};

struct trial {
    struct gc *gc;
    struct heap *heap;
    uint32_t nodes_most, slots_left;
    uint32_t count;  /* nodes */
    uint32_t looked; /* nodes below were looked at */
    uint32_t first;  /* of the closure that is being seen */
    bool cut;        /* something of it is not seen */
    uint32_t index[TRIAL_NODES];
    uint32_t in[TRIAL_NODES]; /* references from outside of S, once it is seen; before, less the count */
    uint8_t is[TRIAL_NODES];
    uint16_t live[TRIAL_NODES];       /* nodes whose slots are still to be followed */
    uint16_t table[1u << TRIAL_BITS]; /* node + 1; 0: none */
};

/* ---- the set ---- */

/* Where it is, or there is room for it; NO_NODE: neither. */
static uint32_t table_place(const struct trial *t, uint32_t index)
{
    uint32_t place = trial_place(index);
    for (uint32_t probes = 0; probes < TRIAL_PROBES; probes++, place = (place + 1) & TABLE_MASK)
        if (t->table[place] == 0 || t->index[t->table[place] - 1] == index)
            return place;
    return NO_NODE;
}

/* Most are in their first place, or nothing is. */
static inline uint32_t node_of(const struct trial *t, uint32_t index)
{
    uint32_t node = t->table[trial_place(index)];
    if (likely(node == 0 || t->index[node - 1] == index))
        return node - 1;
    uint32_t place = table_place(t, index);
    return place == NO_NODE || t->table[place] == 0 ? NO_NODE : t->table[place] - 1u;
}

static void bring_near(const struct heap *heap, uint32_t index)
{
    bits_prefetch(&heap->hot[index]);
    bits_prefetch(&heap->warm[index]);
}

/* NO_NODE: there is no room for it. */
static uint32_t node_make(struct trial *t, uint32_t index)
{
    uint32_t place = table_place(t, index);
    if (place != NO_NODE && t->table[place] != 0)
        return t->table[place] - 1u;
    if (place == NO_NODE || t->count == t->nodes_most)
        return NO_NODE;
    bring_near(t->heap, index);
    t->index[t->count] = index;
    t->in[t->count] = 0;
    t->is[t->count] = 0;
    t->table[place] = (uint16_t)++t->count;
    return t->count - 1;
}

/* ---- growing ---- */

static void subtract(struct trial *t, uint32_t target)
{
    /* the mark of the last full collection: old, without a look at its entry */
    uint32_t node = heap_is_marked(t->heap, target) ? NO_NODE : node_make(t, target);
    if (node == NO_NODE) {
        t->cut = true;
        return;
    }
    t->in[node]--;
    t->cut |= node < t->first && (t->is[node] & NODE_CUT) != 0;
}

/* Subtracts the slots of a node, unless S stops at it. */
static void look_at(struct trial *t, uint32_t node)
{
    uint32_t index = t->index[node], slots = slots_count(t->heap, index), count;
    const struct hot *hot = &t->heap->hot[index];
    assert(w0_state(hot->w0) == W0_ALIVE);
    if (is_held_outside(hot))
        return;
    if (gc_is_aged(hot->w0) || slots > t->slots_left) {
        t->cut = true;
        return;
    }
    t->slots_left -= slots;
    t->is[node] |= NODE_SEEN;
    t->in[node] += hot->in;
    for (uint32_t slot = 0; slot < slots; slot += count) {
        const uint32_t *span = slots_span(t->heap, index, slot, &count);
        for (uint32_t k = 0; k < count; k++)
            if (span[k] != 0)
                subtract(t, span[k] & SLOT_TARGET);
    }
}

#define LISTS_AHEAD 8u

static void see_closure(struct trial *t, uint32_t index)
{
    uint32_t node = node_make(t, index);
    if (node == NO_NODE) {
        gc_unresolved(t->gc, index);
        return;
    }
    t->first = node;
    t->cut = false;
    t->is[node] |= NODE_SUSPECT;
    while (t->looked < t->count) {
        if (t->looked + LISTS_AHEAD < t->count)
            slots_bring_near(t->heap, t->index[t->looked + LISTS_AHEAD]);
        look_at(t, t->looked++);
    }
    for (uint32_t k = t->first; t->cut && k < t->count; k++)
        t->is[k] |= NODE_CUT;
}

/* A suspect that has waited. False: there is no need to look at it, or it is a node already. */
static bool must_look(struct trial *t, uint32_t index)
{
    struct hot *hot = &t->heap->hot[index];
    if (w0_state(hot->w0) != W0_ALIVE || (hot->w0 & W0_SUSPECT) == 0)
        return false; /* gone, or it took the index of one that is */
    hot->w0 &= ~W0_SUSPECT;
    uint32_t node = node_of(t, index);
    if (node != NO_NODE)
        t->is[node] |= NODE_SUSPECT;
    /* marked: a full collection has begun and ended since, and will be told of what happened meanwhile */
    return node == NO_NODE && !is_held_outside(hot) && hot->in != 0 && !heap_is_marked(t->heap, index);
}

/* Whether the next one waiting fits: a node already, or there is room for half of the largest closure. */
static bool has_room(const struct trial *t, uint32_t index)
{
    return t->count == 0 || (t->count <= t->nodes_most / 2 && t->slots_left >= TRIAL_SLOTS / 2) ||
           node_of(t, index) != NO_NODE;
}

#define SUSPECTS_AHEAD 8u

static unsigned take_suspects(struct trial *t, uint64_t until)
{
    struct gc_young *young = &t->gc->young;
    unsigned popped = 0;
    for (; young->popped < until && popped < TRIAL_POPS; popped++) {
        uint32_t index = young_waiting(young, young->popped);
        if (!has_room(t, index))
            break;
        if (young->popped + SUSPECTS_AHEAD < young->pushed)
            bring_near(t->heap, young_waiting(young, young->popped + SUSPECTS_AHEAD));
        young->popped++;
        if (must_look(t, index))
            see_closure(t, index);
    }
    return popped;
}

/* ---- deciding ---- */

/* It lives: so does what it leads to. */
static void spread(struct trial *t, uint32_t node)
{
    uint32_t waiting = 0, count;
    if ((t->is[node] & NODE_LIVE) != 0)
        return;
    t->is[node] |= NODE_LIVE;
    t->live[waiting++] = (uint16_t)node;
    while (waiting > 0) {
        uint32_t index = t->index[t->live[--waiting]], slots = slots_count(t->heap, index);
        for (uint32_t slot = 0; slot < slots; slot += count) {
            const uint32_t *span = slots_span(t->heap, index, slot, &count);
            for (uint32_t k = 0; k < count; k++) {
                uint32_t next = node_of(t, span[k] & SLOT_TARGET); /* nil is no node */
                if (next == NO_NODE || (t->is[next] & (NODE_SEEN | NODE_LIVE)) != NODE_SEEN)
                    continue;
                t->is[next] |= NODE_LIVE;
                t->live[waiting++] = (uint16_t)next;
            }
        }
    }
}

static bool is_condemned(const struct trial *t, uint32_t node)
{
    return (t->is[node] & (NODE_SEEN | NODE_LIVE)) == NODE_SEEN;
}

static void find_live(struct trial *t)
{
    for (uint32_t node = 0; node < t->count; node++)
        if (is_condemned(t, node) && t->in[node] != 0)
            spread(t, node);
}

/* All guarded ones first, whatever they lead to, then what lives for that reason. One that finds no memory for it
 * lives on until a full collection tries again. */
static void deliver_guards(struct trial *t, struct gc_result *result)
{
    struct gc *gc = t->gc;
    bool any = false;
    for (uint32_t node = 0; gc->guarded.count != 0 && node < t->count; node++) {
        uint32_t index = t->index[node];
        if (!is_condemned(t, node) || !gc_is_guarded(gc, index))
            continue;
        any = true;
        if (gc->owner.deliver(gc->owner.arg, index))
            result->delivered += is_held_outside(&t->heap->hot[index]);
        else
            gc_unresolved(gc, index);
    }
    for (uint32_t node = 0; any && node < t->count; node++) {
        uint32_t index = t->index[node];
        bool stays = is_held_outside(&t->heap->hot[index]) || gc_is_guarded(gc, index);
        if (stays && is_condemned(t, node))
            spread(t, node);
    }
}

/* ---- doing it ---- */

/* Slots between condemned objects: gone. */
static void detach(struct trial *t, uint32_t index)
{
    uint32_t slots = slots_count(t->heap, index);
    for (uint32_t slot = 0; slot < slots; slot++) {
        uint32_t edge = slots_edge(t->heap, index, slot);
        uint32_t node = edge == 0 ? NO_NODE : node_of(t, edge & SLOT_TARGET);
        if (node == NO_NODE || !is_condemned(t, node))
            continue;
        in_drop(t->heap, index, slot, edge);
        slots_forget(t->heap, index, slot);
    }
}

/* Returns the units spent. */
static unsigned condemn(struct trial *t)
{
    unsigned units = 0;
    for (uint32_t node = 0; node < t->count; node++)
        if (is_condemned(t, node))
            detach(t, t->index[node]);
    t->gc->reason = REASON_CYCLE;
    for (uint32_t node = t->count; node-- > 0;) {
        if (!is_condemned(t, node))
            continue;
        units += object_condemned(t->gc, t->index[node]);
    }
    t->gc->reason = REASON_RELEASE;
    return units;
}

/* What the trial says of one node that is not freed. */
static void survive(struct trial *t, uint32_t node)
{
    struct hot *hot = &t->heap->hot[t->index[node]];
    if ((t->is[node] & NODE_SEEN) != 0 && !gc_is_aged(hot->w0))
        hot->w0 += 1ull << W0_AGE_SHIFT;
    if ((t->is[node] & (NODE_SUSPECT | NODE_CUT)) == (NODE_SUSPECT | NODE_CUT))
        gc_unresolved(t->gc, t->index[node]);
}

/* Returns the units spent. */
static unsigned decide(struct trial *t, bool dry_run, struct gc_result *result)
{
    find_live(t);
    if (!dry_run)
        deliver_guards(t, result);
    for (uint32_t node = 0; node < t->count; node++) {
        bool condemned = is_condemned(t, node);
        result->unreachable += condemned;
        result->bytes += condemned ? value_size(t->heap->hot[t->index[node]].value) : 0;
        result->collected += condemned && !dry_run;
        if (!condemned && !dry_run)
            survive(t, node);
        else if (dry_run && (t->is[node] & NODE_SUSPECT) != 0)
            young_suspect(t->gc, t->index[node]);
    }
    result->candidates += t->count;
    return dry_run ? 0 : condemn(t);
}

/* Without memory for a trial its suspects wait for the full collection, which needs none. */
static unsigned put_off(struct gc *gc, uint64_t until)
{
    struct gc_young *young = &gc->young;
    unsigned units = 0;
    for (; young->popped < until && units < TRIAL_NODES; young->popped++, units++) {
        struct hot *hot = &gc->heap->hot[young_waiting(young, young->popped)];
        if (w0_state(hot->w0) != W0_ALIVE || (hot->w0 & W0_SUSPECT) == 0)
            continue;
        hot->w0 &= ~W0_SUSPECT;
        gc_unresolved(gc, young_waiting(young, young->popped));
    }
    return units;
}

unsigned trial(struct gc *gc, uint64_t until, bool dry_run, struct gc_result *result)
{
    struct trial *t = mem_zalloc(gc->heap->mem, sizeof *t);
    if (t == NULL)
        return put_off(gc, until);
    t->gc = gc;
    t->heap = gc->heap;
    t->nodes_most = gc->young.nodes_most;
    t->slots_left = TRIAL_SLOTS;
    unsigned units = take_suspects(t, until);
    units += decide(t, dry_run, result);
    units += t->count + (TRIAL_SLOTS - t->slots_left);
    mem_free(gc->heap->mem, t, sizeof *t);
    return units;
}
