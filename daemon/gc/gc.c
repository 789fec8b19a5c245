/* SPDX-License-Identifier: BSD-3-Clause */
/* The state machine of a full collection: what begins one, what follows what, what it did. */
#include "daemon/gc/internal.h"
#include "daemon/gc/trial.h"

#include <errno.h>
#include <string.h>

/* ---- life ---- */

int gc_init(struct gc *gc, struct heap *heap, const struct gc_owner *owner)
{
    *gc = (struct gc){.heap = heap,
                      .owner = *owner,
                      .config = {.enabled = true,
                                 .budget_us = GC_BUDGET_US,
                                 .growth_percent = GC_GROWTH_PERCENT,
                                 .objects_least = GC_OBJECTS_LEAST,
                                 .bytes_least = GC_BYTES_LEAST,
                                 .full_after_ms = GC_FULL_AFTER_MS,
                                 .young_suspects = GC_YOUNG_SUSPECTS,
                                 .young_after_ms = GC_YOUNG_AFTER_MS},
                      .young = {.nodes_most = TRIAL_NODES, .is_next = true},
                      .frontier = GC_NONE};
    uint64_t indexes = heap->sb->index_end;
    bool ok = reserve_init(&gc->stack, indexes * sizeof(uint32_t)) && freeset_init(&gc->guarded, indexes) &&
              freeset_init(&gc->waiting, indexes) &&
              reserve_init(&gc->young.ring, GC_SUSPECTS * sizeof(uint32_t)) &&
              reserve_grow(&gc->stack, heap->mem, PAGE_BYTES);
    gc->stack_room = (uint32_t)(gc->stack.charged / sizeof(uint32_t));
    young_rest(gc);
    gc_configured(gc);
    return ok ? 0 : -ENOMEM;
}

void gc_recovered(struct gc *gc)
{
    gc->live_objects = gc->heap->alive;
    gc->live_bytes = gc_bytes(gc->heap);
    young_rest(gc);
    gc_configured(gc);
}

void gc_done(struct gc *gc)
{
    if (gc->heap == NULL)
        return;
    explain_free(gc->explain);
    for (unsigned dry = 0; dry < 2; dry++) {
        explain_free(gc->runs[dry].next);
        explain_free(gc->runs[dry].explained);
    }
    reserve_done(&gc->stack, gc->heap->mem);
    reserve_done(&gc->young.ring, gc->heap->mem);
    freeset_done(&gc->guarded, gc->heap->mem);
    freeset_done(&gc->waiting, gc->heap->mem);
}

/* ---- barriers and guards ---- */

/* The running collection does not condemn it: the guard may have come after the search for guards, or could not be
 * delivered. Nothing keeps it alive for that reason, so the next collection must see to it. */
static void spare(struct gc *gc, uint32_t index)
{
    if (gc->heap->collecting != COLLECT_MARK || heap_is_marked(gc->heap, index))
        return;
    gc_shade(gc, index);
    gc_unresolved(gc, index);
}

int gc_guard(struct gc *gc, uint32_t index)
{
    if (!freeset_grow(&gc->guarded, gc->heap->mem, index + 1ull) ||
        !freeset_grow(&gc->waiting, gc->heap->mem, index + 1ull))
        return -ENOMEM;
    freeset_add(&gc->guarded, index);
    spare(gc, index);
    return 0;
}

void gc_unguard(struct gc *gc, uint32_t index)
{
    freeset_remove(&gc->guarded, index);
    if (freeset_has(&gc->waiting, index))
        freeset_remove(&gc->waiting, index);
}

/* ---- beginning ---- */

uint64_t gc_bytes(const struct heap *heap)
{
    return heap->payloads.live_bytes + heap->lists.live_bytes +
           heap->alive * (sizeof(struct hot) + sizeof(struct warm));
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

uint64_t gc_growth_objects(const struct gc *gc)
{
    return larger(gc->live_objects * gc->config.growth_percent / 100, gc->config.objects_least);
}

uint64_t gc_growth_bytes(const struct gc *gc)
{
    return larger(gc->live_bytes * gc->config.growth_percent / 100, gc->config.bytes_least);
}

/* What is a reason to begin now; GC_TRIGGERS: nothing is. */
static enum gc_trigger trigger_of(const struct gc *gc)
{
    const struct heap *heap = gc->heap;
    for (unsigned dry = 0; dry < 2; dry++)
        if (gc->runs[dry].wanted > gc->runs[dry].begun)
            return GC_BY_CALL;
    if (!gc->config.enabled || gc->unresolved == 0)
        return GC_TRIGGERS;
    uint64_t objects = gc_growth_objects(gc), bytes = gc_growth_bytes(gc);
    if (gc->short_of_memory)
        return GC_BY_MEMORY;
    if (heap->alive >= gc->live_objects + objects || gc->unresolved_young >= objects)
        return GC_BY_OBJECTS;
    if (gc_bytes(heap) >= gc->live_bytes + bytes || gc->unresolved_bytes >= bytes)
        return GC_BY_BYTES;
    return gc->now_ms - gc->unresolved_since_ms >= gc->config.full_after_ms ? GC_BY_TIME : GC_TRIGGERS;
}

/* The next look is when one could be due for the pool's growth, or a little later. */
static void look_again(struct gc *gc)
{
    const struct heap *heap = gc->heap;
    uint64_t objects_end = gc->live_objects + gc_growth_objects(gc), objects = heap->alive;
    uint64_t bytes_end = gc->live_bytes + gc_growth_bytes(gc), bytes = gc_bytes(heap);
    gc->look_objects = larger(objects_end, objects + GC_LOOK_OBJECTS);
    gc->look_bytes =
        heap->payloads.live_bytes + (bytes_end > bytes + GC_LOOK_BYTES ? bytes_end - bytes : GC_LOOK_BYTES);
}

void gc_configured(struct gc *gc)
{
    look_again(gc);
}

void gc_born_owing(struct gc *gc, uint32_t index)
{
    uint32_t pieces = value_size(gc->heap->hot[index].value) / GC_TAX_PIECE;
    if (gc->phase >= GC_MARK) {
        heap_mark(gc->heap, index);
        gc->owed += gc->tax + (uint64_t)gc->tax_bytes * pieces;
    } else if (gc_has_work(gc)) {
        gc->owed +=
            GC_TAX_MOST + (uint64_t)GC_TAX_BYTES_MOST * pieces; /* how much is known when it has begun */
    } else {
        look_again(gc);
    }
}

static void resolve(struct gc *gc)
{
    gc->unresolved = gc->unresolved_young = gc->unresolved_bytes = 0;
    gc->short_of_memory = false;
}

static void begin(struct gc *gc, enum gc_trigger trigger)
{
    gc->trigger = trigger;
    gc->dry_run = gc->runs[false].wanted <= gc->runs[false].begun && trigger == GC_BY_CALL;
    gc->running = (struct gc_result){0};
    gc->young.is_next = true;
    gc->phase = GC_CLEAR;
    gc->heap->has_marks = true;
    gc->cursor = 0;
}

/* The pool may grow once until a collection begins, and once while it runs; one that begins late has half of that. */
static uint64_t growth_end(uint64_t live, uint64_t growth, uint64_t now)
{
    return larger(live + 2 * growth, now + growth / 2);
}

/* From here on the marks mean something. What is unreachable now will be found. */
static void begin_marking(struct gc *gc)
{
    struct heap *heap = gc->heap;
    gc->phase = GC_MARK;
    heap->collecting = COLLECT_MARK;
    gc->runs[gc->dry_run].begun++;
    gc->explain = gc->runs[gc->dry_run].next;
    gc->runs[gc->dry_run].next = NULL;
    gc->running.candidates = heap->alive;
    gc->top = (uint32_t)heap->sb->index_top;
    mark_begin(gc);
    gc->estimate = heap->alive + heap->slots_plain + heap->slots_linked + gc->top / 64;
    gc->bytes_begun = gc_bytes(heap);
    gc->objects_end = growth_end(gc->live_objects, gc_growth_objects(gc), heap->alive);
    gc->bytes_end = growth_end(gc->live_bytes, gc_growth_bytes(gc), gc->bytes_begun);
    /* a dry run resolves nothing: what it finds stays */
    if (!gc->dry_run)
        resolve(gc);
}

/* ---- going on ---- */

static unsigned step_clear(struct gc *gc, unsigned units)
{
    uint64_t *marks = (void *)gc->heap->marks.base;
    unsigned spent = 0;
    for (; spent < units && gc->cursor < gc->heap->sb->index_top; spent++) {
        uint64_t words = gc->heap->marks.charged / 8 - gc->cursor / 64;
        memset(marks + gc->cursor / 64, 0, (words < 64 ? words : 64) * 8);
        gc->cursor += 64 * 64;
    }
    if (gc->cursor >= gc->heap->sb->index_top)
        begin_marking(gc);
    return spent;
}

/* Guarded objects that are not marked wait for their delivery, all of them before the first is delivered: what one
 * of them keeps alive was unreachable too. */
static unsigned step_guards(struct gc *gc, unsigned units)
{
    const uint64_t *guarded = (const void *)gc->guarded.level[0].base;
    const uint64_t *marks = (const void *)gc->heap->marks.base;
    uint64_t end = gc->guarded.level[0].charged * 8;
    unsigned spent = 0;
    end = end < gc->top ? end : gc->top;
    for (; spent < units && gc->guarded.count != 0 && gc->cursor < end; gc->cursor += 64, spent++) {
        uint64_t word = guarded[gc->cursor / 64] & ~marks[gc->cursor / 64];
        for (; word != 0; word &= word - 1)
            if (!freeset_has(&gc->waiting, gc->cursor + bits_lowest(word)))
                freeset_add(&gc->waiting, gc->cursor + bits_lowest(word));
    }
    if (gc->cursor >= end || gc->guarded.count == 0)
        gc->phase = GC_DELIVER;
    return spent;
}

/* One that is held again by now keeps its guard. One that cannot be delivered is kept for the next time. */
static void deliver(struct gc *gc, uint32_t index)
{
    freeset_remove(&gc->waiting, index);
    if (is_held_outside(&gc->heap->hot[index]))
        return;
    if (gc->owner.deliver(gc->owner.arg, index)) {
        gc->running.delivered += is_held_outside(&gc->heap->hot[index]);
        return;
    }
    spare(gc, index);
}

static unsigned step_deliver(struct gc *gc)
{
    uint32_t index = freeset_lowest(&gc->waiting);
    if (index != FREESET_NONE) {
        deliver(gc, index);
        return 1;
    }
    gc->phase = GC_REPORT;
    gc->cursor = 1;
    return 0;
}

/* Looks at one unreachable object, or at a word without one. */
static void report(struct gc *gc)
{
    uint64_t word = unmarked(gc, gc->cursor);
    uint32_t index = gc->cursor / 64 * 64 + (word == 0 ? 63 : bits_lowest(word));
    const struct hot *hot = &gc->heap->hot[index];
    gc->cursor = index + 1;
    if (word == 0 || w0_state(hot->w0) != W0_ALIVE)
        return;
    bool has_room = gc->explain != NULL && explain_add(gc->explain, index);
    if (gc->dry_run) {
        gc->running.unreachable++;
        gc->running.bytes += value_size(hot->value);
    } else if (!has_room) {
        gc->cursor = gc->top;
    }
}

/* A dry run counts what is unreachable; one that explains itself looks for cycles in it. */
static unsigned step_report(struct gc *gc, unsigned units)
{
    unsigned spent = 0;
    if (!gc->dry_run && gc->explain == NULL)
        return 0;
    for (; spent < units && gc->cursor < gc->top; spent++)
        report(gc);
    if (spent < units && gc->explain != NULL)
        spent += explain_step(gc->explain, units - spent);
    if (spent == 0 && gc->explain != NULL)
        explain_finish(gc->explain, gc->owner.tag, gc->owner.arg);
    return spent;
}

static void add_to_total(struct gc *gc)
{
    const struct gc_result *run = &gc->running;
    gc->total.candidates += run->candidates;
    gc->total.unreachable += run->unreachable;
    gc->total.collected += run->collected;
    gc->total.bytes += run->bytes;
    gc->total.delivered += run->delivered;
}

/* What was made while it ran may be garbage as well as not: it is growth. */
static void note_survivors(struct gc *gc)
{
    const struct gc_result *run = &gc->running;
    uint64_t objects = run->candidates - run->collected, alive = gc->heap->alive;
    uint64_t freed = run->bytes + run->collected * (sizeof(struct hot) + sizeof(struct warm));
    uint64_t bytes = gc->bytes_begun > freed ? gc->bytes_begun - freed : 0, all = gc_bytes(gc->heap);
    gc->live_objects = objects < alive ? objects : alive;
    gc->live_bytes = bytes < all ? bytes : all;
}

static void finish(struct gc *gc)
{
    struct gc_runs *runs = &gc->runs[gc->dry_run];
    gc->phase = GC_IDLE;
    gc->tax = gc->tax_bytes = 0;
    gc->owed = 0;
    runs->done = runs->begun;
    runs->last = gc->running;
    if (gc->explain != NULL) {
        explain_free(runs->explained);
        runs->explained = gc->explain;
        gc->explain = NULL;
    }
    gc->done_ms = gc->now_ms;
    gc->full[gc->trigger]++;
    if (gc->dry_run)
        return;
    note_survivors(gc);
    young_rest(gc);
    look_again(gc);
    add_to_total(gc);
}

/* The flip: nothing is grey and nothing dead has slots on what is not marked. */
static void condemn(struct gc *gc)
{
    if (gc->dry_run) {
        gc->heap->collecting = COLLECT_NONE;
        finish(gc);
        return;
    }
    gc->heap->collecting = COLLECT_SWEEP;
    gc->phase = GC_SWEEP;
    gc->cursor = 1;
    /* scan_inline() may have marked nil; the sweep takes whatever is unmarked for condemned or nil */
    heap_unmark(gc->heap, 0);
}

static unsigned step_sweep(struct gc *gc, unsigned units)
{
    unsigned spent = sweep_condemned(gc, units);
    if (spent == 0) {
        gc->heap->collecting = COLLECT_NONE;
        gc->phase = GC_MERGE;
        gc->cursor = 0;
    }
    return spent;
}

static unsigned step_merge(struct gc *gc, unsigned units)
{
    unsigned spent = sweep_merge(gc, units);
    if (spent == 0)
        finish(gc);
    return spent;
}

/* What the phase does while nothing is grey. 0: it is over. */
static unsigned step_marking(struct gc *gc, unsigned units)
{
    switch (gc->phase) {
    case GC_MARK:
        gc->phase = gc->dry_run ? GC_REPORT : GC_GUARDS;
        gc->cursor = gc->dry_run ? 1 : 0;
        return 0;
    case GC_GUARDS: return step_guards(gc, units);
    case GC_DELIVER: return step_deliver(gc);
    default: return step_report(gc, units);
    }
}

/* Deliveries that found no memory are tried again. */
static unsigned step_idle(struct gc *gc, unsigned units)
{
    unsigned spent = 0;
    while (gc->retry && gc->waiting.count != 0 && spent < units) {
        uint32_t index = freeset_lowest(&gc->waiting);
        freeset_remove(&gc->waiting, index);
        gc_drop(gc, index);
        gc->retry = !freeset_has(&gc->waiting, index);
        spent++;
    }
    if (spent != 0)
        return spent;
    if (!heap_may_have_cycles(gc->heap))
        resolve(gc);
    enum gc_trigger trigger = trigger_of(gc);
    /* Trials find none of this growth, or it would not be there; and nobody pays for them. */
    if ((trigger == GC_BY_OBJECTS || trigger == GC_BY_BYTES) && young_may_be_cut(gc))
        young_cut(gc);
    if (trigger == GC_TRIGGERS || young_goes_first(gc))
        return young_step(gc);
    begin(gc, trigger);
    return 1;
}

/* A piece of work of the phase, or the step into the next one. 0: nothing can be done now. */
static unsigned step(struct gc *gc, unsigned units)
{
    switch (gc->phase) {
    case GC_IDLE: return step_idle(gc, units);
    case GC_CLEAR: return step_clear(gc, units);
    case GC_SWEEP: return step_sweep(gc, units);
    case GC_MERGE: return step_merge(gc, units);
    default: break;
    }
    unsigned spent = mark_grey(gc, units);
    if (spent != 0)
        return spent;
    enum gc_phase phase = gc->phase;
    spent = step_marking(gc, units);
    if (spent != 0 || gc->phase != phase)
        return spent;
    if (gc->heap->zero_head != 0)
        return 0;
    condemn(gc);
    return 1;
}

/* How much each new object must pay so that the collection is done before the pool has grown too much. What the sweep
 * frees is no more time for it: what is made meanwhile may be garbage too. */
static void set_tax(struct gc *gc)
{
    uint64_t debt = gc_debt(gc), objects = gc->heap->alive, bytes = gc_bytes(gc->heap);
    uint64_t room = gc->objects_end > objects ? gc->objects_end - objects : 1;
    uint64_t room_pieces = gc->bytes_end > bytes ? (gc->bytes_end - bytes) / GC_TAX_PIECE + 1 : 1;
    uint64_t tax = debt / room + 1, tax_bytes = debt / room_pieces + 1;
    gc->tax = (uint32_t)larger(gc->tax, tax < GC_TAX_MOST ? tax : GC_TAX_MOST);
    gc->tax_bytes =
        (uint32_t)larger(gc->tax_bytes, tax_bytes < GC_TAX_BYTES_MOST ? tax_bytes : GC_TAX_BYTES_MOST);
}

unsigned gc_step(struct gc *gc, unsigned units)
{
    unsigned spent = 0;
    while (spent < units) {
        enum gc_phase before = gc->phase;
        uint64_t ended = gc->young.ended;
        unsigned done = step(gc, units - spent);
        spent += done;
        if (before != GC_IDLE) {
            gc->running.units += done;
            gc->worked = true;
        }
        /* the next collection begins in a call of its own, see above */
        if ((done == 0 && gc->phase == before) || (gc->phase == GC_IDLE && before != GC_IDLE) ||
            gc->young.ended != ended)
            break;
    }
    if (spent == 0)
        return 0;
    gc->total.units += spent;
    gc->heap->work += spent;
    if (gc->phase >= GC_MARK)
        set_tax(gc);
    return spent;
}

void gc_pay(struct gc *gc)
{
    unsigned units = gc->owed < GC_PAY_MOST ? (unsigned)gc->owed : GC_PAY_MOST;
    gc->owed -= units;
    while (units > 0 && gc_has_work(gc)) {
        bool runs = gc->phase != GC_IDLE;
        unsigned done = gc->heap->zero_head != 0 ? gc_reap(gc, units, UINT32_MAX) : gc_step(gc, units);
        if (done == 0 || (runs && gc->phase == GC_IDLE)) /* the next one begins in a call of its own */
            return;
        units -= done < units ? done : units;
    }
    if (!gc_has_work(gc))
        gc->owed = 0;
}

static unsigned bucket_of(uint64_t ns)
{
    static const uint16_t bounds_us[] = GC_STEP_BOUNDS_US;
    unsigned bucket = 0;
    while (bucket < GC_STEP_BUCKETS - 1 && ns > bounds_us[bucket] * 1000ull)
        bucket++;
    return bucket;
}

static void add_step(struct gc_result *result, uint64_t end_ns, uint64_t wall_ns, uint64_t cpu_ns)
{
    if (result->steps++ == 0)
        result->begun_ns = end_ns - wall_ns;
    result->ended_ns = end_ns;
    result->cpu_ns += cpu_ns;
    result->step_ns_max = larger(result->step_ns_max, wall_ns);
}

void gc_stepped(struct gc *gc, uint64_t end_ns, uint64_t wall_ns, uint64_t cpu_ns)
{
    gc->step_wall[bucket_of(wall_ns)]++;
    gc->step_cpu[bucket_of(cpu_ns)]++;
    add_step(&gc->total, end_ns, wall_ns, cpu_ns);
    if (gc->young.worked)
        add_step(&gc->young.running, end_ns, wall_ns, cpu_ns);
    if (gc->young.worked && !gc->young.runs && gc->young.trigger == GC_YOUNG_BY_CALL)
        gc->young.run[gc->young.dry_run].last = gc->young.running;
    gc->young.worked = false;
    if (gc->worked)
        add_step(&gc->running, end_ns, wall_ns, cpu_ns);
    if (gc->worked && gc->phase == GC_IDLE) /* it ended in this step */
        gc->runs[gc->dry_run].last = gc->running;
    gc->worked = false;
}

/* ---- questions ---- */

void gc_tick(struct gc *gc, uint64_t now_ms)
{
    gc->now_ms = now_ms;
    gc->retry = true;
}

bool gc_has_work(const struct gc *gc)
{
    if (gc->phase != GC_IDLE)
        return true;
    if (gc->retry && gc->waiting.count != 0)
        return true;
    return trigger_of(gc) != GC_TRIGGERS || young_has_work(gc);
}

uint64_t gc_next_due(const struct gc *gc)
{
    bool waits = gc->phase == GC_IDLE && gc->config.enabled && gc->unresolved != 0;
    uint64_t full = waits ? gc->unresolved_since_ms + gc->config.full_after_ms : UINT64_MAX;
    uint64_t young = young_next_due(gc);
    return full < young ? full : young;
}

int gc_collect(struct gc *gc, bool dry_run, bool explain, struct gc_ticket *ret)
{
    struct gc_runs *runs = &gc->runs[dry_run];
    if (explain && runs->next == NULL && (runs->next = explain_new(gc->heap)) == NULL)
        return -ENOMEM;
    runs->wanted = runs->begun + 1;
    *ret = (struct gc_ticket){.dry_run = dry_run, .number = runs->wanted};
    return 0;
}

const struct gc_cycles *gc_cycles(const struct gc *gc, bool dry_run)
{
    const struct explain *explained = gc->runs[dry_run].explained;
    return explained == NULL ? NULL : explain_result(explained);
}

bool gc_is_done(const struct gc *gc, struct gc_ticket ticket, struct gc_result *ret)
{
    const struct gc_runs *runs = &gc->runs[ticket.dry_run];
    if (ticket.young) {
        *ret = gc->young.run[ticket.dry_run].last;
        return gc->young.run[ticket.dry_run].done >= ticket.number;
    }
    *ret = runs->last;
    return runs->done >= ticket.number;
}

void gc_need_memory(struct gc *gc)
{
    gc->young.short_of_memory =
        gc->config.enabled && gc->phase == GC_IDLE && gc->young.pushed != gc->young.popped;
    if (gc->unresolved != 0 && gc->now_ms - gc->done_ms >= GC_MEMORY_WAIT_MS)
        gc->short_of_memory = true;
}

uint64_t gc_debt(const struct gc *gc)
{
    const struct heap *heap = gc->heap;
    if (gc->phase == GC_IDLE)
        return 0;
    uint64_t words = gc->top / 64 + 1, done = gc->cursor / 64;
    if (gc->phase == GC_MERGE)
        return words - done;
    if (gc->phase == GC_SWEEP)
        return 2 * words - done +
               (2 * heap->alive + heap->slots_plain + heap->slots_linked) * (gc->top - gc->cursor) / gc->top;
    uint64_t marking = gc->estimate > gc->running.units ? gc->estimate - gc->running.units : 0;
    return marking + 3 * words + gc_growth_objects(gc);
}

void gc_stats(const struct gc *gc, struct gc_stats *ret)
{
    *ret = (struct gc_stats){.phase = gc->phase,
                             .total = gc->total,
                             .young_total = gc->young.total,
                             .suspects = gc->unresolved + (gc->young.pushed - gc->young.popped),
                             .unresolved = gc->unresolved,
                             .debt = gc_debt(gc),
                             .guards = gc->guarded.count,
                             .slots = gc->heap->slots_plain + gc->heap->slots_linked,
                             .slots_linked = gc->heap->slots_linked};
    memcpy(ret->full, gc->full, sizeof ret->full);
    memcpy(ret->young, gc->young.done, sizeof ret->young);
    memcpy(ret->step_wall, gc->step_wall, sizeof ret->step_wall);
    memcpy(ret->step_cpu, gc->step_cpu, sizeof ret->step_cpu);
}
