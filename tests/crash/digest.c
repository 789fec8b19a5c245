/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/crash/digest.h"

#include "daemon/heap/recover.h"

#include <stdlib.h>
#include <string.h>

struct walk {
    const struct pool *pool;
    uint64_t sum;
    uint8_t *seen;   /* by index */
    uint32_t *queue; /* indexes found, in order; each once */
    uint32_t count, added;
};

static uint64_t hash(const void *data, size_t size, uint64_t kind)
{
    return XXH3_64bits_withSeed(data, size, kind);
}

enum part {
    PART_OBJECT = 1,
    PART_VALUE,
    PART_SLOT,
    PART_LABEL,
    PART_HOLD,
    PART_NAME,
    PART_TICKET,
    PART_SESSION,
    PART_GUARD,
    PART_WINDOW
};

static void add(struct walk *walk, enum part part, const uint64_t *words, size_t count)
{
    walk->sum += hash(words, count * sizeof *words, (uint64_t)part);
}

static void find(struct walk *walk, uint32_t index)
{
    if (walk->seen[index])
        return;
    walk->seen[index] = 1;
    walk->queue[walk->count++] = index;
}

/* The sid of a session that recovery keeps; 0: it goes. */
static uint64_t kept_sid(const struct pool *pool, uint32_t ref)
{
    const struct cell_anon *cell = cell_at(&pool->heap, ref);
    return cell->state == SESSION_OPEN && cell_type(&pool->heap, ref) == CELL_SESSION ? cell->sid : 0;
}

static void add_hold(struct walk *walk, uint32_t index, uint32_t session, uint64_t count, uint64_t site)
{
    uint64_t sid = kept_sid(walk->pool, session);
    if (sid == 0)
        return;
    add(walk, PART_HOLD, (uint64_t[]){sid, heap_id(&walk->pool->heap, index), count, site}, 4);
    find(walk, index);
}

/* Labels are found in the image, not in the pool's table. */
struct label_search {
    const struct heap *heap;
    uint32_t number;
    uint64_t hash;
};

static int match_label(void *owner, uint32_t ref, unsigned type)
{
    struct label_search *search = owner;
    const struct cell_label *cell = cell_at(search->heap, ref);
    if ((type == CELL_LABEL || type == CELL_LABEL_WIDE) && cell->number == search->number)
        search->hash = hash(cell->bytes, (size_t)cell->tag_size + cell->site_size, cell->tag_size);
    return 0;
}

static uint64_t label_digest(const struct heap *heap, uint16_t label)
{
    struct label_search search = {.heap = heap, .number = label};
    if (label != 0)
        (void)cells_each(heap, match_label, &search);
    return search.hash;
}

/* What would be answered to requests that are sent again. */
static void add_window(struct walk *walk, uint32_t ref)
{
    const struct heap *heap = &walk->pool->heap;
    struct cell_window *window = cell_at(heap, ref);
    uint64_t sid = kept_sid(walk->pool, window->session);
    if (sid == 0)
        return;
    add(walk, PART_WINDOW, (uint64_t[]){sid, window->head}, 2);
    for (uint64_t k = window_first(window); k < window->head; k++) {
        const struct replay_record *record = window_at(window, k);
        uint32_t bytes = record_block_bytes(record);
        uint64_t words = hash(record_words(heap, record), bytes == 0 ? 16 : bytes, record->kind);
        add(walk, PART_WINDOW,
            (uint64_t[]){sid, k, record->msgid, record->shape, record->count, record->hash, words}, 7);
    }
}

static int add_cell(void *owner, uint32_t ref, unsigned type)
{
    struct walk *walk = owner;
    const struct heap *heap = &walk->pool->heap;
    const void *cell = cell_at(heap, ref);
    uint32_t index = *(const uint32_t *)cell;
    if (type == CELL_HOLD) {
        const struct cell_hold *hold = cell;
        if (hold->count != COUNT_GUARD)
            add_hold(walk, index, hold->session, hold->count, label_digest(heap, (uint16_t)hold->label));
    } else if (type == CELL_TICKET) {
        const struct cell_ticket *ticket = cell;
        add(walk, PART_TICKET,
            (uint64_t[]){heap_id(heap, index), ticket->uses, ticket->expires_ms, ticket->number,
                         hash(ticket->key, sizeof ticket->key, 0)},
            5);
        find(walk, index);
    } else if (cell_is_name(type)) {
        const struct cell_name *name = cell;
        add(walk, PART_NAME,
            (uint64_t[]){heap_id(heap, index), cell_name_version(name), hash(name->bytes, name->size, 0)}, 3);
        find(walk, index);
    } else if (type == CELL_SESSION && kept_sid(walk->pool, ref) != 0) {
        const struct cell_session *session = cell;
        add(walk, PART_SESSION,
            (uint64_t[]){session->head.sid, session->lease_ms, session->pid,
                         hash(session->key, HF_KEY_SIZE, 0), hash(session->name, session->name_size, 1)},
            5);
    } else if (type == CELL_WINDOW) {
        add_window(walk, ref);
    }
    return 0;
}

static void add_object(struct walk *walk, uint32_t index)
{
    const struct heap *heap = &walk->pool->heap;
    const struct hot *hot = &heap->hot[index];
    uint64_t id = heap_id(heap, index), flags = hot->w0 & (W0_OPEN | W0_SEALED | W0_FORM);
    uint32_t slots = slots_count(heap, index);
    add(walk, PART_OBJECT,
        (uint64_t[]){id, flags, value_size(hot->value), value_version(heap, hot), slots,
                     label_digest(heap, heap->warm[index].label)},
        6);
    /* bytes written into an open object may be lost with the write that was under way */
    if ((hot->w0 & W0_OPEN) == 0)
        add(walk, PART_VALUE, (uint64_t[]){id, hash(value_data(heap, hot), value_size(hot->value), 2)}, 2);
    for (uint32_t slot = 0; slot < slots; slot++) {
        uint32_t target = slots_get(heap, index, slot);
        add(walk, PART_SLOT, (uint64_t[]){id, slot, target == 0 ? 0 : heap_id(heap, target)}, 3);
        if (target != 0)
            find(walk, target);
    }
}

static void add_found(struct walk *walk)
{
    while (walk->added < walk->count)
        add_object(walk, walk->queue[walk->added++]);
}

/* One whose object nothing else keeps is as good as the hold that recovery makes of it. */
static int add_guard(void *owner, uint32_t ref, unsigned type)
{
    struct walk *walk = owner;
    const struct cell_hold *cell = cell_at(&walk->pool->heap, ref);
    if (type != CELL_HOLD || cell->count != COUNT_GUARD)
        return 0;
    uint64_t sid = kept_sid(walk->pool, cell->session);
    if (sid != 0 && walk->seen[cell->object])
        add(walk, PART_GUARD, (uint64_t[]){sid, heap_id(&walk->pool->heap, cell->object)}, 2);
    else
        add_hold(walk, cell->object, cell->session, 1, 0);
    add_found(walk);
    return 0;
}

uint64_t digest_count(const struct pool *pool, uint64_t *ret_objects)
{
    const struct heap *heap = &pool->heap;
    uint32_t top = (uint32_t)heap->sb->index_top;
    struct walk walk = {.pool = pool, .seen = calloc(top, 1), .queue = calloc(top, sizeof(uint32_t))};
    for (uint32_t index = 1; index < top; index++) {
        const struct hot *hot = &heap->hot[index];
        if (w0_state(hot->w0) == W0_ALIVE && hot->holder >> 32 != 0)
            add_hold(&walk, index, (uint32_t)hot->holder, hot->holder >> 32, 0);
    }
    (void)cells_each(heap, add_cell, &walk);
    add_found(&walk);
    (void)cells_each(heap, add_guard, &walk);
    free(walk.seen);
    free(walk.queue);
    *ret_objects = walk.count;
    return walk.sum;
}

uint64_t digest_of(const struct pool *pool)
{
    uint64_t objects;
    return digest_count(pool, &objects);
}
