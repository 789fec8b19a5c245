/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/sim/judge.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void judge_fail(const struct sim *sim, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "sim_gc: HF_SEED=%llu operation %llu (%s), phase %d: ", (unsigned long long)sim->seed,
            (unsigned long long)sim->number, sim->operation, (int)sim->pool->gc.phase);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    exit(1);
}

/* ---- what the pool has ---- */

static const struct hot *entry_of(const struct sim *sim, uint32_t object)
{
    return heap_find(&sim->pool->heap, sim->graph.objects[object].id);
}

/* Guards that have become holds. */
static void see_deliveries(struct sim *sim)
{
    struct graph *g = &sim->graph;
    bool any = false;
    for (uint32_t k = 1; k <= g->made; k++) {
        struct g_object *o = &g->objects[k];
        if (o->guard == 0 || pool_is_guarded(sim->pool, o->id))
            continue;
        if (o->was_garbage == 0)
            judge_fail(sim, "object %u was delivered, but it could be reached all the time", k);
        if (entry_of(sim, k) == NULL)
            judge_fail(sim, "object %u had a guard and died", k);
        if (!sim->fails && graph_held(g, k) > 0)
            judge_fail(sim, "object %u was delivered, but a client had taken hold of it again", k);
        g->holds[k][o->guard - 1]++;
        o->guard = 0;
        sim->totals->delivered++;
        any = true;
    }
    if (any)
        graph_reach(g);
}

static void check_slots(const struct sim *sim, uint32_t object)
{
    const struct heap *heap = &sim->pool->heap;
    const struct g_object *o = &sim->graph.objects[object];
    uint32_t index = id_index(o->id);
    if (slots_count(heap, index) != o->count)
        judge_fail(sim, "object %u has %u slots, not %u", object, slots_count(heap, index), o->count);
    for (uint32_t slot = 0; slot < o->count; slot++) {
        uint32_t target = slots_get(heap, index, slot);
        uint64_t id = target == 0 ? 0 : heap_id(heap, target);
        if (id != sim->graph.objects[o->slots[slot]].id)
            judge_fail(sim, "object %u, slot %u names %#llx, not object %u", object, slot,
                       (unsigned long long)id, o->slots[slot]);
    }
}

/* The holds of sessions that are ending count until they are cleared. */
static void check_holds(const struct sim *sim, uint32_t object)
{
    struct inspect_row row;
    if (sim->pool->dying != NULL)
        return;
    if (pool_inspect(sim->pool, sim->graph.objects[object].id, &row) != 0)
        judge_fail(sim, "object %u cannot be inspected", object);
    if (row.held_sessions != graph_held(&sim->graph, object))
        judge_fail(sim, "object %u is held %llu times, not %llu", object,
                   (unsigned long long)row.held_sessions,
                   (unsigned long long)graph_held(&sim->graph, object));
}

static void check_objects(struct sim *sim)
{
    struct graph *g = &sim->graph;
    for (uint32_t k = 1; k <= g->made; k++) {
        struct g_object *o = &g->objects[k];
        const struct hot *hot = entry_of(sim, k);
        if (o->gone && hot != NULL)
            judge_fail(sim, "object %u was gone and is back", k);
        if (o->gone)
            continue;
        if (hot == NULL && o->reachable)
            judge_fail(sim, "object %u can be reached and is gone", k);
        o->gone = hot == NULL;
        if (o->gone)
            continue;
        check_slots(sim, k);
        check_holds(sim, k);
        if ((o->guard != 0) != pool_is_guarded(sim->pool, o->id) && sim->pool->dying == NULL)
            judge_fail(sim, "object %u: its guard is %d", k, o->guard);
    }
}

/* I1, and the sums of slots. */
static void check_counts(const struct sim *sim)
{
    const struct heap *heap = &sim->pool->heap;
    uint32_t top = (uint32_t)heap->sb->index_top, *in = calloc(top, sizeof *in);
    uint64_t plain = 0, linked = 0, against = 0;
    for (uint32_t index = 1; index < top; index++) {
        const struct hot *hot = &heap->hot[index];
        uint64_t state = w0_state(hot->w0);
        uint32_t count = state == W0_ALIVE ? slots_count(heap, index) : state == W0_ZERO ? hot->link : 0;
        for (uint32_t slot = 0; slot < count; slot++) {
            uint32_t edge = slots_edge(heap, index, slot), target = edge & SLOT_TARGET;
            if (edge == 0)
                continue;
            bool is_linked = (edge & SLOT_LINKED) != 0;
            plain += !is_linked;
            linked += is_linked;
            against += is_linked && target <= index;
            in[target]++;
        }
    }
    for (uint32_t index = 1; index < top; index++)
        if (w0_state(heap->hot[index].w0) == W0_ALIVE && !heap_is_condemned(heap, index) &&
            heap->hot[index].in != in[index])
            judge_fail(sim, "index %u: %u slots are counted, %u name it", index, heap->hot[index].in,
                       in[index]);
    if (plain != heap->slots_plain || linked != heap->slots_linked || against != heap->slots_against)
        judge_fail(sim, "the sums of slots are wrong");
    free(in);
}

static void set_grey(uint8_t *grey, const uint32_t *from, uint32_t count)
{
    for (uint32_t k = 0; k < count; k++)
        grey[from[k]] = 1;
}

/* Which objects are grey, as gc.h defines it. */
static uint8_t *find_grey(const struct gc *gc, uint32_t top)
{
    uint8_t *grey = calloc(top, 1);
    set_grey(grey, (const uint32_t *)(const void *)gc->stack.base, gc->stack_count);
    for (uint32_t k = 0; k < gc->ring_count; k++)
        grey[gc->ring[(gc->ring_head + k) % GC_RING]] = 1;
    for (uint32_t index = 1; index < top; index++)
        if (gc->lazy && index >= gc->frontier)
            grey[index] = 1;
    return grey;
}

static void check_slots_of_marked(const struct sim *sim, uint32_t index, bool is_grey)
{
    const struct heap *heap = &sim->pool->heap;
    const struct gc *gc = &sim->pool->gc;
    uint32_t count = slots_count(heap, index);
    for (uint32_t slot = 0; slot < count; slot++) {
        uint32_t target = slots_get(heap, index, slot);
        if (target == 0 || heap_is_marked(heap, target))
            continue;
        if (heap->collecting == COLLECT_SWEEP)
            judge_fail(sim, "I3: marked %u names condemned %u", index, target);
        if (!is_grey && (gc->scan != index || slot < gc->scan_slot))
            judge_fail(sim, "I2: black %u names white %u", index, target);
    }
}

/* I2 and I3. */
static void check_marks(const struct sim *sim)
{
    const struct heap *heap = &sim->pool->heap;
    const struct gc *gc = &sim->pool->gc;
    uint32_t top = (uint32_t)heap->sb->index_top;
    if (heap->collecting == COLLECT_NONE)
        return;
    uint8_t *grey = find_grey(gc, top);
    for (uint32_t index = 1; index < top; index++) {
        const struct hot *hot = &heap->hot[index];
        uint64_t state = w0_state(hot->w0);
        const char *wrong = state == W0_ALIVE ? gc_check(gc, index) : NULL;
        if (wrong != NULL)
            judge_fail(sim, "index %u: %s", index, wrong);
        if (state == W0_ALIVE && heap_is_marked(heap, index))
            check_slots_of_marked(sim, index, grey[index] != 0);
        if (state == W0_ALIVE && is_held_outside(hot) && !heap_is_marked(heap, index) && index < gc->frontier)
            judge_fail(sim, "I2: %u is held and was missed", index);
        bool swept = gc->phase == GC_SWEEP && gc->scan == index;
        if (state == W0_ZERO && heap->collecting == COLLECT_SWEEP && !swept)
            for (uint32_t slot = 0; slot < hot->link; slot++)
                if (slots_get(heap, index, slot) != 0 && !heap_is_marked(heap, slots_get(heap, index, slot)))
                    judge_fail(sim, "I3: dead %u names a condemned object", index);
    }
    free(grey);
}

/* I4. */
static void check_idle(struct sim *sim)
{
    const struct pool *pool = sim->pool;
    if (pool->gc.phase != GC_IDLE || pool->gc.unresolved != 0 || pool->heap.zero_head != 0 ||
        pool->dying != NULL || pool->gc.young.pushed != pool->gc.young.popped)
        return;
    if (pool->gc.waiting.count != 0)
        return; /* what a guard keeps until there is memory for its delivery */
    sim->totals->idle_checks++;
    for (uint32_t k = 1; k <= sim->graph.made; k++)
        if (!sim->graph.objects[k].gone && !sim->graph.objects[k].reachable)
            judge_fail(sim, "I4: object %u is garbage, and no collection would find it", k);
}

/* ---- collections ---- */

static void see_begin(struct sim *sim)
{
    const struct gc *gc = &sim->pool->gc;
    bool real = gc->runs[false].begun != sim->snapshot;
    bool tried = gc->young.popped != sim->young_popped; /* trials in the same step */
    sim->settled = sim->settled && !tried;
    sim->young_popped = gc->young.popped;
    if (real) {
        sim->quiet = sim->settled && gc->runs[false].begun == sim->snapshot + 1;
        sim->snapshot = gc->runs[false].begun;
        sim->watching = true;
        sim->garbage = graph_snapshot(&sim->graph);
    }
    if (gc->runs[true].begun != sim->dry_begun) {
        sim->dry_begun = gc->runs[true].begun;
        sim->dry_quiet = sim->settled && !real;
        sim->dry_garbage = 0;
        for (uint32_t k = 1; k <= sim->graph.made; k++)
            sim->dry_garbage += !sim->graph.objects[k].gone && !sim->graph.objects[k].reachable;
    }
}

void judge_spare_guarded(struct sim *sim)
{
    for (uint32_t k = 1; sim->fails && k <= sim->graph.made; k++)
        if (sim->graph.objects[k].guard != 0 && !sim->graph.objects[k].reachable)
            graph_spare(&sim->graph, k);
}

static void see_end(struct sim *sim)
{
    const struct gc *gc = &sim->pool->gc;
    if (sim->watching && gc->runs[false].done == sim->snapshot) {
        judge_spare_guarded(sim);
        for (uint32_t k = 1; k <= sim->graph.made; k++)
            if (sim->graph.objects[k].must_go && !sim->graph.objects[k].gone)
                judge_fail(sim, "object %u was garbage when collection %llu began, and is there after it", k,
                           (unsigned long long)sim->snapshot);
        const struct gc_result *last = &gc->runs[false].last;
        if (last->collected != last->unreachable)
            judge_fail(sim, "a collection found %llu and freed %llu", (unsigned long long)last->unreachable,
                       (unsigned long long)last->collected);
        if (sim->quiet && !sim->guards && last->collected != sim->garbage)
            judge_fail(sim, "a collection freed %llu of %u", (unsigned long long)last->collected,
                       sim->garbage);
        sim->totals->collections++;
        sim->totals->collected += last->collected;
        sim->watching = sim->quiet = false;
    }
    if (gc->runs[true].done == sim->dry_begun && sim->dry_quiet) {
        const struct gc_result *last = &gc->runs[true].last;
        if (last->unreachable != sim->dry_garbage || last->collected != 0)
            judge_fail(sim, "a dry run found %llu of %u", (unsigned long long)last->unreachable,
                       sim->dry_garbage);
        sim->totals->dry_runs++;
        sim->dry_quiet = false;
    }
}

void judge(struct sim *sim)
{
    graph_reach(&sim->graph);
    see_deliveries(sim);
    see_begin(sim);
    check_objects(sim);
    check_counts(sim);
    check_marks(sim);
    see_end(sim);
    check_idle(sim);
    struct gc_result result;
    if (sim->asking && pool_collect_done(sim->pool, sim->asked, &result))
        sim->asking = false;
    sim->settled =
        sim->pool->heap.zero_head == 0 && sim->pool->dying == NULL && sim->pool->gc.phase == GC_IDLE;
}

void judge_changed(struct sim *sim)
{
    sim->quiet = sim->dry_quiet = sim->settled = false;
    judge(sim);
}
