/* SPDX-License-Identifier: BSD-3-Clause */
/* Verify: every invariant of a living pool, in steps, while clients go on.
 *
 * Each entry, cell and arena is checked on its own, in an instant. What needs all of them, the count of slots
 * that point at an object, is counted anew in a second array; heap.h's in_add() and in_drop() keep that array
 * right for the slots that were counted already, so at the end both must agree for every object. */
#include "daemon/pool/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum verify_phase {
    VERIFY_ENTRIES,
    VERIFY_COUNTS,
    VERIFY_CELLS,
    VERIFY_CELL_ARENAS,
    VERIFY_LIST_ARENAS,
    VERIFY_VALUE_ARENAS,
    VERIFY_DONE
};

struct verify {
    struct mem mem; /* not the pool's: a pool whose memory is spent is walked too */
    struct reserve counts;
    enum verify_phase phase;
    uint64_t at; /* index, byte of the area of cells, or arena */
    struct verify_result result;
};

int pool_verify_begin(struct pool *pool)
{
    if (pool->verify != NULL)
        return pool_fail(pool, HF_E_BUSY, "a verify is running in this pool; wait for its answer");
    struct verify *verify = calloc(1, sizeof *verify);
    if (verify == NULL)
        return pool_fail_oom(pool, sizeof *verify);
    mem_init(&verify->mem, NULL, UINT64_MAX);
    if (!reserve_init(&verify->counts, pool->heap.sb->index_end * 4ull)) {
        free(verify);
        return pool_fail_oom(pool, pool->heap.sb->index_top * 4);
    }
    verify->at = 1;
    pool->verify = verify;
    pool->heap.audit = (void *)verify->counts.base;
    pool->heap.audit_cursor = 1;
    pool->heap.audit_slot = 0;
    return 0;
}

void verify_done(struct pool *pool)
{
    struct verify *verify = pool->verify;
    if (verify == NULL)
        return;
    pool->heap.audit = NULL;
    pool->verify = NULL;
    reserve_done(&verify->counts, &verify->mem);
    free(verify);
}

void pool_verify_abort(struct pool *pool)
{
    verify_done(pool);
}

__attribute__((format(printf, 2, 3))) /* lets the compiler check the arguments; C has no other way */
static void
finding(struct verify *verify, const char *format, ...)
{
    struct verify_result *result = &verify->result;
    unsigned n = result->findings_count++;
    if (n >= sizeof result->findings / sizeof result->findings[0])
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(result->findings[n].text, sizeof result->findings[n].text, format, args);
    va_end(args);
}

/* ---- entries ---- */

static const char *wrong_value(const struct heap *heap, const struct hot *hot)
{
    if ((hot->w0 & W0_INLINE) != 0)
        return value_size(hot->value) > 4 || (hot->w0 & W0_VERSIONED) != 0
                   ? "an inline value of more than 4 bytes"
                   : NULL;
    uint64_t bytes = value_block_bytes(hot->w0, hot->value);
    if (bytes == 0 || bytes > BLOCK_MAX)
        return NULL;
    if (!blocks_is_allocated(&heap->payloads, payload_class(bytes), value_offset(bytes, hot->value)))
        return "its value's block is not allocated";
    return value_is_spare(heap, bytes, hot->value) ? "its value's block is a spare one, which another gets"
                                                   : NULL;
}

static const char *wrong_links(const struct pool *pool, uint32_t index)
{
    const struct hot *hot = &pool->heap.hot[index];
    unsigned kind = w0_link(hot->w0);
    if ((kind == LINK_CELL || kind == LINK_PAIR) &&
        *(const uint32_t *)cell_at(&pool->heap, hot->link) != index)
        return "its only further cell names another object";
    if (hot->holder >> 32 == 0)
        return w0_link(hot->w0) == LINK_NONE && hot->in == 0 && !freeset_has(&pool->gc.waiting, index)
                   ? "it is alive, but nothing holds it"
                   : NULL;
    const struct session *s = session_of_ref(pool, (uint32_t)hot->holder);
    uint32_t place = place_get(pool, index);
    if (s == NULL || s->ref != (uint32_t)hot->holder)
        return "its first holder is no session";
    return place < s->holds.count && *u32vec_at(&s->holds, place) == index
               ? NULL
               : "its place in the first holder's vector is wrong";
}

static void check_entry(struct pool *pool, uint32_t index)
{
    struct verify *verify = pool->verify;
    const struct hot *hot = &pool->heap.hot[index];
    if (w0_state(hot->w0) != W0_ALIVE || heap_is_condemned(&pool->heap, index))
        return;
    verify->result.objects++;
    const char *wrong =
        w0_form(hot->w0) >= FORM_COUNT ? "its form of value is none" : wrong_value(&pool->heap, hot);
    if (wrong == NULL && ((hot->w0 & W0_LABELLED) != 0) != (pool->heap.warm[index].label != 0))
        wrong = "its entry does not know whether it has a label";
    if (wrong == NULL)
        wrong = slots_check(&pool->heap, index, SLOTS_ALLOCATED);
    if (wrong == NULL)
        wrong = wrong_links(pool, index);
    if (wrong == NULL)
        wrong = gc_check(&pool->gc, index);
    if (wrong != NULL)
        finding(verify, "object %llu: %s", (unsigned long long)heap_id(&pool->heap, index), wrong);
}

/* Slots of an entry that point somewhere: of the dead those not dropped yet. */
static uint32_t slots_in_force(const struct heap *heap, uint32_t index)
{
    uint64_t state = w0_state(heap->hot[index].w0);
    return state == W0_ALIVE ? slots_count(heap, index) : state == W0_ZERO ? heap->hot[index].link : 0;
}

static void audit_slot(struct pool *pool, uint32_t index, uint32_t slot)
{
    struct heap *heap = &pool->heap;
    uint32_t target = slots_get(heap, index, slot);
    if (target == 0)
        return;
    bool alive = target < heap->sb->index_top && w0_state(heap->hot[target].w0) == W0_ALIVE &&
                 !heap_is_condemned(heap, target);
    if (alive)
        heap->audit[target]++;
    else if (!heap_is_condemned(heap, index)) /* of two condemned ones either may go first, nobody counts */
        finding(pool->verify, "object %llu: slot %u points to a dead object",
                (unsigned long long)heap_id(heap, index), slot);
}

static unsigned step_entries(struct pool *pool, unsigned units)
{
    struct heap *heap = &pool->heap;
    unsigned spent = 0;
    while (spent < units && heap->audit_cursor < heap->sb->index_top) {
        uint32_t index = heap->audit_cursor;
        if (heap->audit_slot == 0)
            check_entry(pool, index);
        uint32_t slots = slots_in_force(heap, index);
        for (; heap->audit_slot < slots && spent < units; spent++)
            audit_slot(pool, index, heap->audit_slot++);
        if (heap->audit_slot < slots)
            return spent;
        heap->audit_slot = 0;
        heap->audit_cursor++;
        spent++;
    }
    return spent;
}

static unsigned step_counts(struct pool *pool, unsigned units)
{
    struct verify *verify = pool->verify;
    struct heap *heap = &pool->heap;
    unsigned spent = 0;
    heap->audit_cursor = UINT32_MAX; /* whatever is linked from now on is counted in both */
    for (; spent < units && verify->at < heap->sb->index_top; spent++, verify->at++) {
        const struct hot *hot = &heap->hot[verify->at];
        uint32_t in = w0_state(hot->w0) == W0_ALIVE ? hot->in : 0;
        if (!heap_is_condemned(heap, (uint32_t)verify->at) && in != heap->audit[verify->at])
            finding(verify, "object %llu: %u slots are counted, %u point at it",
                    (unsigned long long)heap_id(heap, (uint32_t)verify->at), in, heap->audit[verify->at]);
    }
    return spent;
}

/* ---- cells ---- */

static const char *wrong_guard(const struct pool *pool, uint32_t ref, const struct cell_hold *cell)
{
    const struct session *s = session_of_ref(pool, cell->session);
    if (s == NULL || s->ref != cell->session)
        return "a guard of no session";
    if (cell->place >= s->guards.count || *u32vec_at(&s->guards, cell->place) != ref)
        return "its place in its session's vector is wrong";
    if (!gc_is_guarded(&pool->gc, cell->object))
        return "the collector does not know this guard";
    if (cell->first_place == 0)
        return "nothing will announce this guard";
    return index_find(&pool->guards, bits_mix(cell->object), &cell->object) == ref
               ? NULL
               : "the guard is not found by its object";
}

static const char *wrong_hold(const struct pool *pool, uint32_t ref, const struct cell_hold *cell)
{
    const struct session *s = session_of_ref(pool, cell->session);
    if (s == NULL || s->ref != cell->session)
        return "a hold of no session";
    if (cell->place >= s->holds.count || *u32vec_at(&s->holds, cell->place) != (ref | HOLD_CELL_BIT))
        return "its place in its session's vector is wrong";
    return links_find_hold(pool, cell->object, cell->session) == ref ? NULL
                                                                     : "its object does not know this hold";
}

static const char *wrong_window(struct pool *pool, uint32_t ref)
{
    struct cell_window *window = cell_at(&pool->heap, ref);
    const struct session *s = session_of_ref(pool, window->session);
    if (s == NULL || s->ref != window->session || s->window != ref)
        return "its session does not know this window";
    return window_check(&pool->heap, window, SLOTS_ALLOCATED);
}

static const char *wrong_cell(struct pool *pool, uint32_t ref, unsigned type)
{
    const void *cell = cell_at(&pool->heap, ref);
    uint32_t object = *(const uint32_t *)cell;
    bool has_object = type == CELL_HOLD || type == CELL_TICKET || cell_is_name(type);
    if (has_object && (object >= pool->heap.sb->index_top || w0_state(pool->heap.hot[object].w0) != W0_ALIVE))
        return "it names an object that is not alive";
    if (type == CELL_HOLD && ((const struct cell_hold *)cell)->count == COUNT_GUARD)
        return wrong_guard(pool, ref, cell);
    if (has_object && w0_link(pool->heap.hot[object].w0) == LINK_NONE)
        return "its object knows of no further cells";
    if (type == CELL_HOLD)
        return wrong_hold(pool, ref, cell);
    if (type == CELL_NOTICE)
        return notice_wrong(pool, ref);
    if (type == CELL_WINDOW)
        return wrong_window(pool, ref);
    if (type == CELL_TICKET)
        return index_find(&pool->tickets, pool->tickets.hash_of(pool, ref),
                          ((const struct cell_ticket *)cell)->key) == ref
                   ? NULL
                   : "the ticket is not found by its key";
    if (!cell_is_name(type))
        return NULL;
    const struct cell_name *name = cell;
    struct name_in key = {.data = name->bytes, .size = name->size};
    return index_find(&pool->names, name_hash(pool, key), &key) == ref ? NULL
                                                                       : "the name is not found by its bytes";
}

static unsigned step_cells(struct pool *pool, unsigned units)
{
    struct verify *verify = pool->verify;
    uint64_t end = (uint64_t)pool->heap.cells.arenas_top * ARENA_BYTES;
    unsigned spent = 0;
    for (; spent < units && verify->at < end; spent++) {
        unsigned type = pool->heap.cells.types[verify->at / CELL_RUN];
        uint32_t bytes = cell_bytes(type), in_run = (uint32_t)(verify->at % CELL_RUN);
        if (bytes != 0 && in_run % bytes != 0) {
            verify->at += bytes - in_run % bytes; /* the run has another class by now */
            continue;
        }
        if (bytes == 0 || in_run + bytes > CELL_RUN) {
            verify->at = (verify->at / CELL_RUN + 1) * CELL_RUN;
            continue;
        }
        uint32_t ref = (uint32_t)(verify->at / CELL_UNIT);
        verify->at += bytes;
        if (ref == 0 || *(const uint64_t *)cell_at(&pool->heap, ref) == 0)
            continue;
        const char *wrong = wrong_cell(pool, ref, type);
        if (wrong != NULL)
            finding(verify, "cell %u of type %u: %s", ref, type, wrong);
    }
    return spent;
}

static unsigned step_arenas(struct pool *pool, const struct blocks *blocks, const char *area)
{
    struct verify *verify = pool->verify;
    if (verify->at >= blocks->arenas_top)
        return 0;
    const char *wrong = blocks_check_arena(blocks, (uint32_t)verify->at);
    if (wrong != NULL)
        finding(verify, "arena %llu of %s: %s", (unsigned long long)verify->at, area, wrong);
    verify->at++;
    return POOL_UNITS_PIECE;
}

static unsigned step_values(struct pool *pool)
{
    const char *wrong = pool->verify->at == 0 ? value_spares_check(&pool->heap) : NULL;
    if (wrong != NULL)
        finding(pool->verify, "%s", wrong);
    return step_arenas(pool, &pool->heap.payloads, "values");
}

/* ---- all ---- */

static unsigned step(struct pool *pool, unsigned units)
{
    switch (pool->verify->phase) {
    case VERIFY_ENTRIES: return step_entries(pool, units);
    case VERIFY_COUNTS: return step_counts(pool, units);
    case VERIFY_CELLS: return step_cells(pool, units);
    case VERIFY_CELL_ARENAS: return step_arenas(pool, &pool->heap.cells, "cells");
    case VERIFY_LIST_ARENAS: return step_arenas(pool, &pool->heap.lists, "slot blocks");
    case VERIFY_VALUE_ARENAS: return step_values(pool);
    case VERIFY_DONE: break;
    }
    return 0;
}

/* By experience: of the time of a whole walk. */
static const uint8_t phase_percent[VERIFY_DONE] = {
    [VERIFY_ENTRIES] = 60,    [VERIFY_COUNTS] = 10,     [VERIFY_CELLS] = 20,
    [VERIFY_CELL_ARENAS] = 3, [VERIFY_LIST_ARENAS] = 2, [VERIFY_VALUE_ARENAS] = 5};

static uint64_t phase_end(const struct heap *heap, enum verify_phase phase)
{
    switch (phase) {
    case VERIFY_ENTRIES:
    case VERIFY_COUNTS: return heap->sb->index_top;
    case VERIFY_CELLS: return (uint64_t)heap->cells.arenas_top * ARENA_BYTES;
    case VERIFY_CELL_ARENAS: return heap->cells.arenas_top;
    case VERIFY_LIST_ARENAS: return heap->lists.arenas_top;
    case VERIFY_VALUE_ARENAS: return heap->payloads.arenas_top;
    case VERIFY_DONE: break;
    }
    return 1;
}

unsigned pool_verify_percent(const struct pool *pool)
{
    const struct verify *verify = pool->verify;
    uint64_t at = verify->phase == VERIFY_ENTRIES ? pool->heap.audit_cursor : verify->at;
    uint64_t end = phase_end(&pool->heap, verify->phase);
    unsigned percent = 0;
    for (unsigned phase = 0; phase < verify->phase; phase++)
        percent += phase_percent[phase];
    if (verify->phase != VERIFY_DONE && end != 0)
        percent += (unsigned)(phase_percent[verify->phase] * (at < end ? at : end) / end);
    return percent < 99 ? percent : 99;
}

bool pool_verify_step(struct pool *pool, unsigned units, struct verify_result *ret)
{
    struct verify *verify = pool->verify;
    unsigned spent = 0;
    while (spent < units && verify->phase != VERIFY_DONE) {
        unsigned done = step(pool, units - spent);
        pool->heap.work += done;
        spent += done;
        if (done != 0)
            continue;
        verify->phase++;
        verify->at = verify->phase == VERIFY_COUNTS ? 1 : 0;
    }
    if (verify->phase != VERIFY_DONE)
        return false;
    *ret = verify->result;
    verify_done(pool);
    return true;
}
