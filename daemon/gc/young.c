/* SPDX-License-Identifier: BSD-3-Clause */
/* Young collections: the ring of suspects, what begins a collection of them, what it did. */
#include "daemon/gc/internal.h"
#include "daemon/gc/trial.h"

/* Of the growth that is at least needed for a full collection; by so much a pool may grow between two young ones: what
 * they find is never more than that. */
#define GROWTH_SHARE 4u

static uint64_t waiting(const struct gc_young *young)
{
    return young->pushed - young->popped;
}

/* ---- suspects ---- */

static inline void push(struct gc *gc, uint32_t index)
{
    struct gc_young *young = &gc->young;
    gc->heap->hot[index].w0 |= W0_SUSPECT;
    if (young->pushed == young->popped)
        young->since_ms = gc->now_ms;
    ((uint32_t *)(void *)young->ring.base)[young->pushed++ % GC_SUSPECTS] = index;
}

/* Looks for room in the ring for one more, and some beyond. */
static bool ring_make_room(struct gc *gc)
{
    struct gc_young *young = &gc->young;
    uint64_t place = young->pushed % GC_SUSPECTS, left = GC_SUSPECTS - waiting(young);
    if (left == 0 || !reserve_grow(&young->ring, gc->heap->mem, (place + 1) * sizeof(uint32_t)))
        return false;
    uint64_t grown = young->ring.charged / sizeof(uint32_t) - place;
    young->room_end = young->pushed + (grown < left ? grown : left);
    return true;
}

/* Out of line, so that the others need no stack. */
static __attribute__((noinline)) void push_if_there_is_room(struct gc *gc, uint32_t index)
{
    if (ring_make_room(gc))
        push(gc, index);
    else
        gc_unresolved(gc, index);
}

void young_suspect(struct gc *gc, uint32_t index)
{
    if (gc->phase >= GC_MARK || gc_is_aged(gc->heap->hot[index].w0))
        gc_unresolved(gc, index);
    else if (likely(gc->young.pushed < gc->young.room_end))
        push(gc, index);
    else
        push_if_there_is_room(gc, index);
}

/* ---- collections ---- */

/* One was asked for that has not begun. */
static bool is_called(const struct gc *gc)
{
    const struct gc_young *young = &gc->young;
    return young->run[false].wanted > young->run[false].begun ||
           young->run[true].wanted > young->run[true].begun;
}

/* What is a reason to begin one now that nobody asked for; GC_YOUNG_TRIGGERS: nothing is. */
static enum gc_young_trigger own_trigger_of(const struct gc *gc)
{
    const struct gc_young *young = &gc->young;
    if (!gc->config.enabled || waiting(young) == 0)
        return GC_YOUNG_TRIGGERS;
    if (young->short_of_memory)
        return GC_YOUNG_BY_MEMORY;
    if (waiting(young) >= gc->config.young_suspects || waiting(young) >= GC_SUSPECTS / 2)
        return GC_YOUNG_BY_SUSPECTS;
    if (gc->heap->alive >= young->objects_end || gc->heap->value_bytes >= young->bytes_end)
        return GC_YOUNG_BY_GROWTH;
    return gc->now_ms - young->since_ms >= gc->config.young_after_ms ? GC_YOUNG_BY_TIME : GC_YOUNG_TRIGGERS;
}

static enum gc_young_trigger trigger_of(const struct gc *gc)
{
    return is_called(gc) ? GC_YOUNG_BY_CALL : own_trigger_of(gc);
}

static void begin(struct gc *gc, enum gc_young_trigger trigger)
{
    struct gc_young *young = &gc->young;
    young->runs = true;
    young->begun++;
    young->trigger = trigger;
    young->dry_run = trigger == GC_YOUNG_BY_CALL && young->run[false].wanted <= young->run[false].begun;
    young->until = young->pushed;
    young->running = (struct gc_result){0};
    if (trigger != GC_YOUNG_BY_CALL)
        return;
    young->run[young->dry_run].begun++;
    young->is_next = false;
}

void young_rest(struct gc *gc)
{
    struct gc_young *young = &gc->young;
    young->since_ms = gc->now_ms;
    young->objects_end = gc->heap->alive + gc->config.objects_least / GROWTH_SHARE + 1;
    young->bytes_end = gc->heap->value_bytes + gc->config.bytes_least / GROWTH_SHARE + 1;
}

static void finish(struct gc *gc)
{
    struct gc_young *young = &gc->young;
    const struct gc_result *run = &young->running;
    young->runs = false;
    young->ended = young->begun;
    young_rest(gc);
    if (young->short_of_memory)
        gc_need_memory(gc); /* what was not resolved is worth a full one */
    young->done[young->trigger]++;
    if (young->trigger == GC_YOUNG_BY_CALL) {
        young->run[young->dry_run].done = young->run[young->dry_run].begun;
        young->run[young->dry_run].last = *run;
    }
    if (young->dry_run)
        return;
    young->total.candidates += run->candidates;
    young->total.unreachable += run->unreachable;
    young->total.collected += run->collected;
    young->total.bytes += run->bytes;
    young->total.delivered += run->delivered;
}

/* Goes on with the one that is under way, or begins one for that reason. */
static unsigned step(struct gc *gc, enum gc_young_trigger trigger)
{
    struct gc_young *young = &gc->young;
    if (gc->phase != GC_IDLE || gc->heap->zero_head != 0 || trigger == GC_YOUNG_TRIGGERS)
        return 0;
    if (!young->runs)
        begin(gc, trigger);
    unsigned units = 1;
    if (young->popped < young->until)
        units = trial(gc, young->until, young->dry_run, &young->running);
    young->running.units += units;
    young->worked = true;
    if (young->popped >= young->until)
        finish(gc);
    return units;
}

unsigned young_step(struct gc *gc)
{
    return step(gc, gc->young.runs ? gc->young.trigger : trigger_of(gc));
}

unsigned gc_relieve(struct gc *gc)
{
    if (waiting(&gc->young) < GC_SUSPECTS / 2)
        return 0;
    unsigned units = step(gc, gc->young.runs ? gc->young.trigger : own_trigger_of(gc));
    gc->total.units += units;
    gc->heap->work += units;
    return units;
}

bool young_goes_first(const struct gc *gc)
{
    return gc->young.runs || gc->young.short_of_memory || (is_called(gc) && gc->young.is_next);
}

bool young_may_be_cut(const struct gc *gc)
{
    const struct gc_young *young = &gc->young;
    return young->runs && young->trigger != GC_YOUNG_BY_CALL && young->trigger != GC_YOUNG_BY_MEMORY;
}

void young_cut(struct gc *gc)
{
    gc->young.until = gc->young.popped;
    finish(gc);
}

bool young_has_work(const struct gc *gc)
{
    return gc->phase == GC_IDLE && (gc->young.runs || trigger_of(gc) != GC_YOUNG_TRIGGERS);
}

uint64_t young_next_due(const struct gc *gc)
{
    bool waits = gc->phase == GC_IDLE && gc->config.enabled && waiting(&gc->young) != 0;
    return waits ? gc->young.since_ms + gc->config.young_after_ms : UINT64_MAX;
}

void gc_collect_young(struct gc *gc, bool dry_run, struct gc_ticket *ret)
{
    uint64_t number = gc->young.run[dry_run].begun + 1;
    gc->young.run[dry_run].wanted = number;
    *ret = (struct gc_ticket){.young = true, .dry_run = dry_run, .number = number};
}
