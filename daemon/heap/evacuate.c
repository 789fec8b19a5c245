/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/heap/evacuate.h"

#include <errno.h>

#define AREAS          2u /* of struct evacuation */
#define VALUES         0u
#define LISTS          1u
#define FILL_MOST      12u /* sixteenths: arenas above three quarters are never left */
#define FILL_ALL       16u
#define URGENT_LEAST   (1ull << 20) /* bytes that are worth a pass when there is no memory */
#define URGENT_PERCENT 90u
#define FAILURES_MOST  256u /* copies for which there was no memory: then what could be moved has moved */
#define ENTRIES_A_UNIT 8u
#define ARENA_UNITS    16u
#define BYTES_A_UNIT   256u
#define MOVE_UNITS     4u
#define PIECE_UNITS    256u /* of a piece of an arena made ready for copies: no step has two */

void evacuate_init(struct evacuation *e, struct heap *heap)
{
    *e = (struct evacuation){.heap = heap,
                             .config = {.percent = EVACUATE_PERCENT, .least = EVACUATE_LEAST},
                             .area = {{.blocks = &heap->payloads}, {.blocks = &heap->lists}}};
}

/* ---- whether it is worth it ---- */

/* Below this share of the backed bytes a pass begins: when nearly no memory is left earlier, since it takes a while,
 * and allocations should not have to wait for it. */
static uint32_t percent_of(const struct evacuation *e)
{
    uint32_t percent = e->config.percent;
    if (e->short_of_memory)
        return percent < URGENT_PERCENT ? URGENT_PERCENT : percent;
    return heap_is_nearly_full(e->heap) ? (percent + 100) / 2 : percent;
}

/* Bytes for which the table may be walked: an eighth of it. */
static uint64_t least_of(const struct evacuation *e)
{
    uint64_t table = e->heap->sb->index_top * (sizeof(struct hot) + sizeof(struct warm));
    uint64_t least = e->short_of_memory && e->config.least > URGENT_LEAST ? URGENT_LEAST : e->config.least;
    return table / 8 > least ? table / 8 : least;
}

/* A pass could not do more a moment ago. */
static bool is_spent(const struct evacuate_area *area, uint64_t waste, uint64_t least)
{
    uint64_t backed = area->blocks->small_backed;
    return area->rest_waste != 0 && waste < area->rest_waste + least && backed < area->rest_backed + least &&
           backed + least > area->rest_backed;
}

static bool is_sparse(const struct blocks *b, uint64_t waste, uint32_t percent)
{
    return waste * 100 > b->small_backed * (100 - percent);
}

static bool is_worth_it(const struct evacuation *e, const struct evacuate_area *area)
{
    uint64_t waste = blocks_waste(area->blocks);
    if (waste < e->config.least && !e->short_of_memory) /* as nearly always */
        return false;
    uint64_t least = least_of(e);
    return waste >= least && is_sparse(area->blocks, waste, percent_of(e)) && !is_spent(area, waste, least);
}

bool evacuate_has_work(const struct evacuation *e)
{
    if (heap_waits_for_save(e->heap))
        return false;
    if (e->phase != EVACUATE_IDLE)
        return true;
    return e->config.percent != 0 && (is_worth_it(e, &e->area[VALUES]) || is_worth_it(e, &e->area[LISTS]));
}

void evacuate_need_memory(struct evacuation *e)
{
    if (e->phase != EVACUATE_IDLE)
        return;
    e->short_of_memory = true;
    e->short_of_memory = evacuate_has_work(e);
}

/* ---- the phases ---- */

static void begin(struct evacuation *e)
{
    for (unsigned k = 0; k < AREAS; k++) {
        struct evacuate_area *area = &e->area[k];
        area->chosen = is_worth_it(e, area);
        area->left = 0;
        area->backed = area->blocks->small_backed;
        area->room = (struct blocks_room){.need = 0};
    }
    value_moves(e->heap, true);
    e->phase = EVACUATE_SURVEY;
    e->at = e->cursor = e->part = e->failed = 0;
    e->stats.running = true;
}

/* To the next area, or when both have had this phase to the next one. */
static void next_area(struct evacuation *e, enum evacuate_phase next)
{
    e->cursor = 0;
    e->fill = 1;
    if (++e->at < AREAS)
        return;
    e->at = 0;
    e->phase = next;
    e->top = (uint32_t)e->heap->sb->index_top; /* what is born later is never put where nothing is to stay */
}

static unsigned step_survey(struct evacuation *e, unsigned units)
{
    struct evacuate_area *area = &e->area[e->at];
    unsigned spent = 0;
    for (; area->chosen && spent < units && e->cursor < area->blocks->arenas_top; spent += ARENA_UNITS)
        blocks_survey(area->blocks, e->cursor++, &area->room);
    if (!area->chosen || e->cursor >= area->blocks->arenas_top)
        next_area(e, EVACUATE_CHOOSE);
    return spent + 1;
}

/* What is backed when all has moved is dense enough: half of the rest above the share at which a pass begins. */
static bool is_enough(const struct evacuation *e, const struct evacuate_area *area)
{
    const struct blocks *b = area->blocks;
    uint64_t backed = b->small_backed + area->room.need - area->left, live = b->live_bytes - b->huge_live;
    return live * 200 >= backed * (100 + percent_of(e)) && !e->config.thorough;
}

/* Leaves the arena at the cursor, if it is as full as those that are chosen now. */
static unsigned choose_arena(struct evacuation *e, struct evacuate_area *area)
{
    uint32_t n = e->cursor++;
    if (blocks_fill(area->blocks, n) != e->fill)
        return n % ARENA_UNITS == 0;
    uint64_t most = mem_left(e->heap->mem) / 2;
    if (blocks_leave(area->blocks, n, &area->room, most, e->config.thorough))
        area->left += ARENA_BYTES;
    return ARENA_UNITS;
}

/* The emptiest ones first. */
static unsigned step_choose(struct evacuation *e, unsigned units)
{
    struct evacuate_area *area = &e->area[e->at];
    unsigned spent = 0, fullest = e->config.thorough ? FILL_ALL : FILL_MOST;
    while (spent < units) {
        if (!area->chosen || e->fill > fullest || is_enough(e, area)) {
            next_area(e, EVACUATE_MOVE);
            return spent + 1;
        }
        if (e->cursor < area->blocks->arenas_top) {
            spent += choose_arena(e, area);
        } else {
            e->cursor = 0;
            e->fill++;
        }
    }
    return spent;
}

/* Notes what was moved (or -ENOMEM). Returns its units. */
static unsigned note_move(struct evacuation *e, int bytes)
{
    e->failed += bytes < 0;
    if (bytes <= 0)
        return 1;
    e->stats.moved++;
    e->stats.moved_bytes += (unsigned)bytes;
    return MOVE_UNITS + (unsigned)bytes / BYTES_A_UNIT;
}

static unsigned move_value(struct evacuation *e, struct hot *hot)
{
    struct heap *heap = e->heap;
    uint64_t bytes = value_block_bytes(hot->w0, hot->value);
    if ((hot->w0 & W0_INLINE) != 0 || bytes == 0 ||
        !blocks_is_leaving(&heap->payloads, value_offset(bytes, hot->value)))
        return 0;
    int moved = value_move(heap, hot, false);
    if (moved != -EAGAIN)
        return note_move(e, moved);
    e->waits = blocks_prepare(&heap->payloads, bytes <= BLOCK_MAX) == -EAGAIN;
    return PIECE_UNITS + (e->waits ? 0 : note_move(e, value_move(heap, hot, true)));
}

static unsigned move_slots(struct evacuation *e, uint32_t index)
{
    struct heap *heap = e->heap;
    int moved = slots_move(heap, index, &e->part, false);
    if (moved != -EAGAIN)
        return note_move(e, moved);
    e->waits = blocks_prepare(&heap->lists, true) == -EAGAIN;
    return PIECE_UNITS + (e->waits ? 0 : note_move(e, slots_move(heap, index, &e->part, true)));
}

/* Of the object at the cursor its value and one block of its slots, once there is room for the copy. Those that wait to
 * be freed take theirs along. */
static unsigned move_object(struct evacuation *e)
{
    uint32_t index = e->cursor;
    struct hot *hot = &e->heap->hot[index];
    unsigned spent = index % ENTRIES_A_UNIT == 0;
    e->waits = false;
    bool stays = (hot->w0 & (W0_STATE | W0_OPEN)) != W0_ALIVE || heap_is_condemned(e->heap, index);
    bool has_list = !stays && e->area[LISTS].chosen && w0_ns(hot->w0) >= NS_BLOCK;
    if (!stays && e->area[VALUES].chosen && e->part == 0)
        spent += move_value(e, hot);
    if (has_list && !e->waits)
        spent += move_slots(e, index);
    if (!e->waits && (!has_list || e->part == 0)) {
        e->part = 0;
        e->cursor++;
    }
    return spent;
}

static unsigned step_move(struct evacuation *e, unsigned units)
{
    unsigned spent = 0;
    while (spent < units && e->cursor < e->top && e->failed < FAILURES_MOST)
        spent += move_object(e);
    if (spent >= units)
        return spent;
    e->phase = EVACUATE_SETTLE;
    return spent + 1;
}

static void end(struct evacuation *e)
{
    uint64_t least = least_of(e);
    for (unsigned k = 0; k < AREAS; k++) {
        struct evacuate_area *area = &e->area[k];
        uint64_t backed = area->blocks->small_backed,
                 gained = area->backed > backed ? area->backed - backed : 0;
        if (!area->chosen)
            continue;
        e->stats.returned_bytes += gained;
        /* it may be that all that was needed is done, or that the next one goes on where this had no memory */
        uint64_t waste = blocks_waste(area->blocks);
        bool is_left = waste >= least && is_sparse(area->blocks, waste, percent_of(e));
        area->rest_waste = is_left && (gained < least || gained == 0) ? waste : 0;
        area->rest_backed = backed;
    }
    e->stats.passes++;
    e->stats.cut_short += e->failed != 0;
    e->stats.running = e->short_of_memory = false;
    value_moves(e->heap, false);
    e->phase = EVACUATE_IDLE;
}

static unsigned step_settle(struct evacuation *e, unsigned units)
{
    unsigned spent = 0;
    for (; spent < units; spent += ARENA_UNITS)
        if (!blocks_settle(e->area[VALUES].blocks) && !blocks_settle(e->area[LISTS].blocks)) {
            end(e);
            return spent + 1;
        }
    return spent;
}

static unsigned step(struct evacuation *e, unsigned units)
{
    switch (e->phase) {
    case EVACUATE_IDLE: break;
    case EVACUATE_SURVEY: return step_survey(e, units);
    case EVACUATE_CHOOSE: return step_choose(e, units);
    case EVACUATE_MOVE: return step_move(e, units);
    case EVACUATE_SETTLE: return step_settle(e, units);
    }
    begin(e);
    return 1;
}

unsigned evacuate_step(struct evacuation *e, unsigned units)
{
    unsigned spent = 0;
    uint64_t passes = e->stats.passes;
    if (!evacuate_has_work(e))
        return 0;
    while (spent < units && e->stats.passes == passes)
        spent += step(e, units - spent);
    e->heap->work += spent;
    return spent;
}
