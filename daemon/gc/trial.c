/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/gc/trial.h"
#include "daemon/gc/internal.h"

#include <string.h>

#define TABLE_MASK ((1u << TRIAL_BITS) - 1)
#define NO_NODE    UINT32_MAX

enum {
    NODE_SEEN = 1,    /* all its slots are subtracted */
    NODE_LIVE = 2,    /* something outside of S leads to it */
    NODE_SUSPECT = 4, /* it was one */
};

struct trial {
    struct gc *gc;
    struct heap *heap;
    struct hot *hot; /* the heap's, and so are these: looked at all the time */
    struct warm *warm;
    const uint64_t *marks;
    uint32_t nodes_most, slots_left;
    uint32_t count;  /* nodes */
    uint32_t looked; /* nodes below were looked at */
    uint32_t first;  /* of the closure that is being seen */
    bool cut;        /* something of it is not seen */
    uint32_t index[TRIAL_NODES];
    uint32_t in[TRIAL_NODES]; /* references from outside of S, once it is seen; before, less the count */
    uint8_t is[TRIAL_NODES];
    bool is_cut[TRIAL_NODES];         /* found from a suspect whose closure was not seen whole */
    uint16_t edges[TRIAL_NODES];      /* where its slots begin in `edge`, if they are seen and in its entry */
    uint16_t edge[TRIAL_SLOTS];       /* the node that a slot names, or the low half of NO_NODE */
    uint32_t outside[TRIAL_NODES];    /* what slots name that is no node, as far as there is room */
    uint32_t outsiders;               /* of them */
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

static inline void bring_near(const struct trial *t, uint32_t index)
{
    bits_prefetch(&t->hot[index]);
    bits_prefetch(&t->warm[index]);
}

static uint32_t node_add(struct trial *t, uint32_t place, uint32_t index)
{
    bring_near(t, index);
    t->index[t->count] = index;
    t->in[t->count] = 0;
    t->is[t->count] = 0;
    t->table[place] = (uint16_t)++t->count;
    return t->count - 1;
}

static uint32_t node_search(struct trial *t, uint32_t index)
{
    uint32_t place = table_place(t, index);
    if (place != NO_NODE && t->table[place] != 0)
        return t->table[place] - 1u;
    return place == NO_NODE || t->count == t->nodes_most ? NO_NODE : node_add(t, place, index);
}

/* NO_NODE: there is no room for it. */
static inline uint32_t node_make(struct trial *t, uint32_t index)
{
    uint32_t place = trial_place(index), node = t->table[place];
    if (likely(node == 0 && t->count < t->nodes_most))
        return node_add(t, place, index);
    return node != 0 && t->index[node - 1] == index ? node - 1 : node_search(t, index);
}

/* ---- growing ---- */

/* The node that it is, or NO_NODE. (Left to itself, gcc makes this a call.) */
static inline __attribute__((always_inline)) uint32_t subtract(struct trial *t, uint32_t target)
{
    /* the mark of the last full collection: old, without a look at its entry */
    uint32_t node = heap_is_marked(t->heap, target) ? NO_NODE : node_make(t, target);
    if (node == NO_NODE) {
        t->cut = true;
        if (t->outsiders < TRIAL_NODES)
            t->outside[t->outsiders++] = target;
        return NO_NODE;
    }
    t->in[node]--;
    t->cut |= node < t->first && t->is_cut[node];
    return node;
}

static void subtract_list(struct trial *t, uint32_t index, uint32_t slots)
{
    uint32_t count;
    for (uint32_t slot = 0; slot < slots; slot += count) {
        const uint32_t *span = slots_span(t->heap, index, slot, &count);
        for (uint32_t k = 0; k < count; k++)
            if (span[k] != 0)
                (void)subtract(t, span[k] & SLOT_TARGET);
    }
}

/* Subtracts the slots of a node, unless S stops at it. */
static void look_at(struct trial *t, uint32_t node)
{
    uint32_t index = t->index[node];
    const struct hot *hot = &t->hot[index];
    uint64_t w0 = hot->w0;
    unsigned ns = w0_ns(w0);
    uint32_t slots = likely(ns < NS_BLOCK) ? ns : slots_count(t->heap, index);
    assert(w0_state(w0) == W0_ALIVE);
    if (is_held_outside(hot))
        return;
    if (gc_is_aged(w0) || slots > t->slots_left) {
        t->cut = true;
        return;
    }
    uint16_t *edge = &t->edge[TRIAL_SLOTS - t->slots_left];
    t->edges[node] = (uint16_t)(TRIAL_SLOTS - t->slots_left);
    t->slots_left -= slots;
    t->is[node] |= NODE_SEEN;
    t->in[node] += hot->in;
    if (unlikely(ns >= NS_BLOCK)) {
        subtract_list(t, index, slots);
        return;
    }
    for (uint64_t left = slots_in_entry(&t->warm[index], ns); left != 0; left >>= 32, edge++)
        if ((uint32_t)left != 0)
            *edge = (uint16_t)subtract(t, left & SLOT_TARGET);
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
    memset(&t->is_cut[node], t->cut, t->count - node);
}

/* A suspect that has waited. False: there is no need to look at it, or it is a node already. */
static bool must_look(struct trial *t, uint32_t index, uint32_t node)
{
    struct hot *hot = &t->hot[index];
    if (w0_state(hot->w0) != W0_ALIVE || (hot->w0 & W0_SUSPECT) == 0)
        return false; /* gone, or it took the index of one that is */
    hot->w0 &= ~W0_SUSPECT;
    if (node != NO_NODE)
        t->is[node] |= NODE_SUSPECT;
    /* marked: a full collection has begun and ended since, and will be told of what happened meanwhile */
    return node == NO_NODE && !is_held_outside(hot) && hot->in != 0 && !heap_is_marked(t->heap, index);
}

/* Whether there is room for half of the largest closure. */
static bool has_room(const struct trial *t)
{
    return t->count == 0 || (t->count <= t->nodes_most / 2 && t->slots_left >= TRIAL_SLOTS / 2);
}

/* Suspects before their turn: so many that closures lie between, since those that come right after one another are
 * mostly nodes already. Of the nearer ones the entry is there by then, and tells whose marks will be looked at. */
#define SUSPECTS_AHEAD 48u
#define MARKS_AHEAD    24u

/* The marks of what the slots of an entry name. A prefetch of what is no slot does no harm. */
static inline void bring_marks_near(const struct trial *t, uint32_t index)
{
    uint64_t slots = t->warm[index].slots;
    bits_prefetch(&t->marks[(slots & SLOT_TARGET) / 64]);
    bits_prefetch(&t->marks[(slots >> 32 & SLOT_TARGET) / 64]);
}

static unsigned take_suspects(struct trial *t, uint64_t until)
{
    struct gc_young *young = &t->gc->young;
    uint64_t begin = young->popped, pushed = young->pushed, at = begin;
    uint64_t end = until - begin < TRIAL_POPS ? until : begin + TRIAL_POPS;
    for (; at < end; at++) {
        uint32_t index = young_waiting(young, at), node = node_of(t, index);
        if (node == NO_NODE && !has_room(t))
            break;
        if (likely(at + SUSPECTS_AHEAD < pushed)) {
            bring_near(t, young_waiting(young, at + SUSPECTS_AHEAD));
            bring_marks_near(t, young_waiting(young, at + MARKS_AHEAD));
        }
        if (must_look(t, index, node))
            see_closure(t, index);
    }
    young->popped = at;
    return (unsigned)(at - begin);
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
        if (t->in[node] != 0 && is_condemned(t, node))
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

static bool is_condemned_target(const struct trial *t, uint32_t edge)
{
    uint32_t node = node_of(t, edge & SLOT_TARGET);
    return node != NO_NODE && is_condemned(t, node);
}

/* One that the reaper will have in several pieces: its slots on condemned objects go here, since those are freed before
 * it. */
static void leave_to_reaper(struct trial *t, uint32_t index)
{
    uint32_t slots = slots_count(t->heap, index);
    for (uint32_t slot = 0; slot < slots; slot++) {
        uint32_t edge = slots_edge(t->heap, index, slot);
        if (edge == 0 || !is_condemned_target(t, edge))
            continue;
        count_slot(t->heap, index, edge, UINT64_MAX);
        slots_forget(t->heap, index, slot);
    }
    object_dies(t->gc, index);
    zero_add(t->heap, index);
}

/* What the heap and the result are told of in the end: those that were freed, and their values. */
struct freeing {
    struct freed freed;
    uint64_t objects, bytes;
    unsigned units;
};

/* All others at once. What they name beside each other loses a reference once they are freed. */
static inline void free_at_once(struct trial *t, uint32_t node, struct freeing *f)
{
    struct heap *heap = t->heap;
    uint32_t index = t->index[node];
    const uint16_t *named = &t->edge[t->edges[node]];
    struct hot *hot = &heap->hot[index];
    const struct warm *warm = &heap->warm[index];
    uint64_t w0 = hot->w0, slots = slots_in_entry(warm, w0_ns(w0));
    uint32_t drops[2], count = 0;
    for (uint32_t slot = 0; slots != 0; slots >>= 32, slot++) {
        uint32_t edge = (uint32_t)slots;
        if (edge != 0 && named[slot] != (uint16_t)NO_NODE && is_condemned(t, named[slot])) {
            count_slot(heap, index, edge, UINT64_MAX);
        } else if (edge != 0) {
            in_drop(heap, index, slot, edge);
            drops[count++] = edge & SLOT_TARGET;
        }
    }
    f->objects++;
    f->bytes += value_size(hot->value);
    f->units += 1 + w0_ns(w0);
    if (unlikely((w0 & W0_LABELLED) != 0))
        t->gc->owner.freed(t->gc->owner.arg, index);
    if (likely(object_end(t->gc, hot, w0, false)))
        freed_add(heap, &f->freed, index);
    while (count > 0)
        gc_drop(t->gc, drops[--count]);
}

static inline void condemn(struct trial *t, uint32_t node, struct freeing *f, struct gc_result *result)
{
    uint32_t index = t->index[node];
    const struct hot *hot = &t->hot[index];
    if (unlikely(t->heap->audit != NULL))
        t->heap->audit[index] = 0;
    if (likely(is_simple(hot))) {
        free_at_once(t, node, f);
        return;
    }
    result->unreachable++;
    result->collected++;
    result->bytes += value_size(hot->value);
    leave_to_reaper(t, index);
}

/* What the trial says of one node that is not freed. */
static void survive(struct trial *t, uint32_t node)
{
    struct hot *hot = &t->heap->hot[t->index[node]];
    if (w0_state(hot->w0) != W0_ALIVE)
        return; /* nothing but a condemned object kept it */
    if ((t->is[node] & NODE_SEEN) != 0 && !gc_is_aged(hot->w0))
        hot->w0 += 1ull << W0_AGE_SHIFT;
    if ((t->is[node] & NODE_SUSPECT) != 0 && t->is_cut[node])
        gc_unresolved(t->gc, t->index[node]);
}

/* What the dead name beside each other is mostly old, and anywhere. All in a row, so that the searches for their pages
 * overlap: in between other work each prefetch makes that wait for one (measured: 3 ns an object in churn). A trial
 * that had no room left has seen something large, of which it will hardly free much. */
static void bring_outside_near(const struct trial *t)
{
    for (uint32_t k = 0; t->count < t->nodes_most && k < t->outsiders; k++)
        bits_prefetch(&t->hot[t->outside[k]]);
}

/* Nothing but condemned objects refers to condemned ones, so nobody counts the slots between them any more. Returns the
 * units of freeing. */
static unsigned do_it(struct trial *t, struct gc_result *result)
{
    struct freeing f = {0};
    t->gc->reason = REASON_CYCLE;
    for (uint32_t node = t->count; node-- > 0;)
        if (is_condemned(t, node))
            condemn(t, node, &f, result);
        else
            survive(t, node);
    t->gc->reason = REASON_RELEASE;
    freed_give(t->heap, &f.freed);
    t->heap->freed += f.objects;
    t->heap->alive -= f.objects;
    t->heap->value_bytes -= f.bytes;
    result->unreachable += f.objects;
    result->collected += f.objects;
    result->bytes += f.bytes;
    return f.units;
}

/* What could be freed is told, and all stay suspects. */
static void only_tell(struct trial *t, struct gc_result *result)
{
    for (uint32_t node = 0; node < t->count; node++) {
        uint32_t index = t->index[node];
        result->unreachable += is_condemned(t, node);
        result->bytes += is_condemned(t, node) ? value_size(t->heap->hot[index].value) : 0;
        if ((t->is[node] & NODE_SUSPECT) != 0)
            young_suspect(t->gc, index);
    }
}

/* Returns the units of freeing. */
static unsigned decide(struct trial *t, bool dry_run, struct gc_result *result)
{
    result->candidates += t->count;
    bring_outside_near(t);
    find_live(t);
    if (dry_run) {
        only_tell(t, result);
        return 0;
    }
    deliver_guards(t, result);
    return do_it(t, result);
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
    struct trial *t = mem_alloc(gc->heap->mem, sizeof *t);
    if (t == NULL)
        return put_off(gc, until);
    t->gc = gc;
    t->heap = gc->heap;
    t->hot = gc->heap->hot;
    t->warm = gc->heap->warm;
    t->marks = (const void *)gc->heap->marks.base;
    t->nodes_most = gc->young.nodes_most;
    t->slots_left = TRIAL_SLOTS;
    t->count = t->looked = t->first = t->outsiders = 0;
    t->cut = false;
    memset(t->table, 0, sizeof t->table);
    unsigned units = take_suspects(t, until);
    units += decide(t, dry_run, result);
    units += t->count + (TRIAL_SLOTS - t->slots_left);
    mem_free(gc->heap->mem, t, sizeof *t);
    return units;
}
