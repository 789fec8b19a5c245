/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/heap/recover.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define RING       16u    /* marked objects prefetched ahead (measured: 7.5 times faster) */
#define DRAIN_AT   256u   /* so many wait before they are looked at: enough to keep the ring full */
#define AHEAD      32u    /* entries between what is brought near and what is counted */
#define TELL_EVERY 65536u /* entries between two words about the progress */

struct recovery {
    struct heap *heap;
    struct recover_config config;
    struct recover_result result;
    uint64_t values_end; /* bytes of the values region in which something may lie */
    uint64_t *undone;    /* the words that the rollback has changed, in the order of the log */
    struct reserve marks, stack, counts; /* counts: slots that point at each object */
    struct reserve delivered;            /* one bit an object: its guard becomes a hold */
    struct reserve roots;                /* one bit an object: something outside leads to it */
    struct reserve kinds; /* KIND_... of each entry, so that marking does not look at them again */
    uint64_t stack_count, stack_room;
    uint64_t alive, marked; /* entries that say so, and those found so far */
    uint32_t ring[RING];
    uint32_t ring_head, ring_count;
    char *error;
    size_t error_size;
};

__attribute__((format(printf, 2, 3))) /* lets the compiler check the arguments; C has no other way */
static int
damaged(struct recovery *r, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(r->error, r->error_size, format, args);
    va_end(args);
    return -EINVAL;
}

/* The same for what `blocks` did not claim or admit, unless it was for want of memory. */
__attribute__((format(printf, 3, 4))) /* as above */
static int
refused(struct recovery *r, const struct blocks *blocks, const char *format, ...)
{
    va_list args;
    if (blocks->no_room)
        return -ENOMEM;
    va_start(args, format);
    vsnprintf(r->error, r->error_size, format, args);
    va_end(args);
    return -EINVAL;
}

#define KIND_NONE  0u /* not alive */
#define KIND_ALIVE 1u /* and how many slots, as w0_ns() has it, on top */

/* ---- progress: what part of the work the passes are, measured with ten million objects ---- */

enum pass { PASS_ENTRIES, PASS_ROOTS, PASS_MARK, PASS_COUNT, PASS_SETTLE, PASSES };
static const unsigned begins[PASSES + 1] = {0, 80, 130, 400, 750, RECOVER_HEAP_SHARE};

/* Now and then: how far a pass is. -ECANCELED: it is to end here. */
static int tell(const struct recovery *r, enum pass pass, uint64_t done, uint64_t all)
{
    if (r->config.progress == NULL)
        return 0;
    unsigned whole = begins[pass + 1] - begins[pass];
    unsigned part = all == 0 ? whole : (unsigned)(whole * (done < all ? done : all) / all);
    return r->config.progress(r->config.owner, begins[pass] + part) ? 0 : -ECANCELED;
}

static int tell_entries(const struct recovery *r, enum pass pass, uint32_t index)
{
    return index % TELL_EVERY == 0 ? tell(r, pass, index, r->heap->sb->index_top) : 0;
}

/* ---- 1: extents and the log ---- */

static uint32_t arenas_of(uint64_t bytes)
{
    return (uint32_t)((bytes + ARENA_BYTES - 1) / ARENA_BYTES);
}

/* Bytes of the pages in which so many entries lie. */
static uint64_t table_pages(uint64_t count, size_t entry)
{
    return bits_round_up(count * entry, PAGE_BYTES);
}

/* How far the areas reach. A high-water mark beyond the data of the file is damage: whatever it says would have to be
 * filled with pages. index_take() touches a hot entry before the mark admits it; a warm one may be a zero in a hole. */
static int find_extents(struct recovery *r)
{
    struct heap *heap = r->heap;
    const struct superblock *sb = heap->sb;
    uint64_t top = sb->index_top;
    if (region_data_end(&heap->meta, 0, sb->types_at) < sizeof *sb ||
        region_file_size(&heap->meta) < sb->types_at)
        return damaged(r, "the undo log lies beyond the end of the file");
    uint64_t hot = region_data_end(&heap->meta, sb->hot_at, sb->warm_at) - sb->hot_at;
    if (top > 1 && (top * sizeof(struct hot) > hot ||
                    sb->warm_at + top * sizeof(struct warm) > region_file_size(&heap->meta)))
        return damaged(r, "index_top %llu lies beyond the data of the file", (unsigned long long)top);
    uint64_t cells =
        region_data_end(&heap->meta, sb->cells_at, sb->cells_at + sb->cells_bytes) - sb->cells_at;
    uint64_t lists = region_data_end(&heap->meta, sb->blocks_at, heap->meta.size) - sb->blocks_at;
    r->values_end = region_data_end(&heap->values, 0, heap->values.size);
    bool ok = table_know(heap, sb->index_end < top + 1 ? sb->index_end : top + 1) &&
              blocks_claim_begin(&heap->cells, arenas_of(cells)) &&
              blocks_claim_begin(&heap->lists, arenas_of(lists)) &&
              region_admit(&heap->meta, 0, PAGE_BYTES + UNDO_BYTES) == 0 &&
              region_admit(&heap->meta, sb->types_at, heap->cells.types_backed) == 0 &&
              region_admit(&heap->meta, sb->hot_at, table_pages(top, sizeof(struct hot))) == 0 &&
              region_admit(&heap->meta, sb->warm_at, table_pages(top, sizeof(struct warm))) == 0;
    return ok ? 0 : -ENOMEM;
}

static bool is_within(uint64_t offset, uint64_t at, uint64_t bytes)
{
    return offset >= at && offset < at + bytes;
}

/* Only words of entries, cells and slot lists are ever logged; others must not be looked at, either. */
static bool may_be_logged(struct heap *heap, uint64_t offset)
{
    const struct superblock *sb = heap->sb;
    return offset % 8 == 0 && (is_within(offset, sb->hot_at, sb->index_top * sizeof(struct hot)) ||
                               is_within(offset, sb->warm_at, sb->index_top * sizeof(struct warm)) ||
                               (is_within(offset, sb->cells_at, sb->cells_bytes) &&
                                blocks_admit(&heap->cells, offset - sb->cells_at, 8)) ||
                               (is_within(offset, sb->blocks_at, sb->blocks_bytes) &&
                                blocks_admit(&heap->lists, offset - sb->blocks_at, 8)));
}

static uint64_t *logged_word(const struct heap *heap, uint64_t record)
{
    return (void *)(heap->meta.base + heap->log->record[record].offset);
}

static int roll_back(struct recovery *r)
{
    struct heap *heap = r->heap;
    const struct undo_log *log = heap->log;
    if (log->n > UNDO_MAX)
        return damaged(r, "the undo log's length %llu is out of range", (unsigned long long)log->n);
    for (uint64_t k = 0; k < log->n; k++) {
        if (may_be_logged(heap, log->record[k].offset))
            continue;
        if (heap->cells.no_room || heap->lists.no_room)
            return -ENOMEM;
        return damaged(r, "undo record %llu names offset %llu, which is no word of truth",
                       (unsigned long long)k, (unsigned long long)log->record[k].offset);
    }
    r->undone = log->n == 0 ? NULL : mem_alloc(heap->mem, log->n * sizeof *r->undone);
    if (log->n != 0 && r->undone == NULL)
        return -ENOMEM;
    for (uint64_t k = 0; k < log->n; k++)
        r->undone[k] = *logged_word(heap, k);
    r->result.undone = log->n;
    image_rollback(heap);
    return 0;
}

/* The image is refused: back to what it was found as. The log is in force again before the first word of it is changed,
 * so that a death in between is one in the middle of the operation. */
static void roll_forward(struct recovery *r)
{
    struct heap *heap = r->heap;
    if (r->undone == NULL)
        return;
    image_set(heap, &heap->log->n, r->result.undone);
    for (uint64_t k = 0; k < r->result.undone; k++)
        image_set(heap, logged_word(heap, k), r->undone[k]);
}

/* ---- 2: entries ---- */

/* The arenas of a huge value may be holes beyond the data of the file: parts of an open object that were never
 * written, zeros that nobody has touched. */
static void reach_huge(struct recovery *r, const struct hot *hot)
{
    uint64_t bytes = value_block_bytes(hot->w0, hot->value), pages = payload_pages(bytes);
    if ((hot->w0 & W0_INLINE) != 0 || bytes <= BLOCK_MAX || !blocks_is_huge(pages))
        return;
    uint64_t end = value_offset(bytes, hot->value) + pages * PAGE_BYTES;
    if (end > r->values_end && end <= r->heap->values.size)
        r->values_end = end;
}

static int check_entries(struct recovery *r)
{
    struct heap *heap = r->heap;
    uint8_t *kinds = r->kinds.base;
    for (uint32_t index = 1; index < heap->sb->index_top; index++) {
        const struct hot *hot = &heap->hot[index];
        int err = tell_entries(r, PASS_ENTRIES, index);
        if (err != 0)
            return err;
        if (w0_state(hot->w0) == W0_FREE)
            continue;
        if (w0_state(hot->w0) == W0_STATE || w0_gen(hot->w0) == W0_GEN_LAST)
            return damaged(r, "object %u: its state is none", index);
        if (w0_ns(hot->w0) > NS_SEGMENTS || w0_form(hot->w0) >= FORM_COUNT)
            return damaged(r, "object %u: its number of slots or form of value is none", index);
        if ((hot->w0 & W0_INLINE) != 0 && (value_size(hot->value) > 4 || (hot->w0 & W0_VERSIONED) != 0))
            return damaged(r, "object %u: an inline value of more than 4 bytes", index);
        if (w0_state(hot->w0) == W0_ALIVE) {
            r->alive++;
            kinds[index] = (uint8_t)(KIND_ALIVE + w0_ns(hot->w0));
            reach_huge(r, hot);
        }
    }
    return blocks_claim_begin(&heap->payloads, arenas_of(r->values_end)) ? 0 : -ENOMEM;
}

/* ---- 3: cells ---- */

static bool is_session(const struct heap *heap, uint32_t ref)
{
    if ((uint64_t)ref * CELL_UNIT >= (uint64_t)heap->cells.arenas_top * ARENA_BYTES)
        return false;
    unsigned type = cell_type(heap, ref);
    if (type != CELL_ANON && type != CELL_SESSION)
        return false;
    return (uint64_t)ref * CELL_UNIT % CELL_RUN % cell_bytes(type) == 0 &&
           ((const struct cell_anon *)cell_at(heap, ref))->state != SESSION_FREE;
}

bool recover_goes_on(const struct heap *heap, const struct recover_config *config, uint32_t session)
{
    const struct cell_anon *cell = cell_at(heap, session);
    return cell->state == SESSION_OPEN &&
           (cell_type(heap, session) == CELL_SESSION || config->keep_anonymous);
}

static bool goes_on(const struct recovery *r, uint32_t session)
{
    return recover_goes_on(r->heap, &r->config, session);
}

static int check_cell(struct recovery *r, uint32_t ref, unsigned type)
{
    struct heap *heap = r->heap;
    const void *cell = cell_at(heap, ref);
    uint32_t object = *(const uint32_t *)cell;
    bool has_object = type == CELL_HOLD || type == CELL_TICKET || cell_is_name(type);
    if (has_object && (object == 0 || object >= heap->sb->index_top))
        return damaged(r, "cell %u: names object %u, which is none", ref, object);
    if (type == CELL_HOLD) {
        const struct cell_hold *hold = cell;
        if (!is_session(heap, hold->session) || hold->count == 0)
            return damaged(r, "cell %u: a hold of no session, or of no count", ref);
    } else if (type == CELL_TICKET && ((const struct cell_ticket *)cell)->uses == 0) {
        return damaged(r, "cell %u: a ticket without uses", ref);
    } else if (cell_is_name(type)) {
        uint32_t size = ((const struct cell_name *)cell)->size;
        if (size == 0 || cell_name_type(size) != type)
            return damaged(r, "cell %u: a name of %u bytes in a cell of %u", ref, size, cell_bytes(type));
    } else if (type == CELL_NOTICE) {
        const struct cell_notice *notice = cell;
        if (notice->object == 0 || notice->object >= heap->sb->index_top ||
            !is_session(heap, notice->session))
            return damaged(r, "cell %u: a notice of no session, or about no object", ref);
        if (notice->what >> NOTICE_BITS != 0 || (notice->what & NOTICE_GEN) == W0_GEN_LAST ||
            (notice->what & NOTICE_REASON) >> NOTICE_REASON_SHIFT >= REASON_COUNT)
            return damaged(r, "cell %u: what its notice says is nothing", ref);
    } else if ((type == CELL_ANON || type == CELL_SESSION) &&
               ((const struct cell_anon *)cell)->state > SESSION_DYING) {
        return damaged(r, "cell %u: its session's state is none", ref);
    } else if (type == CELL_WINDOW) {
        uint32_t session = ((const struct cell_window *)cell)->session;
        if (!is_session(heap, session) || cell_type(heap, session) != CELL_SESSION)
            return damaged(r, "cell %u: a window of no session with a key", ref);
    } else if (type == CELL_LABEL || type == CELL_LABEL_WIDE) {
        const struct cell_label *label = cell;
        if (label->number > LABEL_LAST ||
            sizeof *label + label->tag_size + label->site_size > cell_bytes(type))
            return damaged(r, "cell %u: a label longer than its cell", ref);
    }
    return 0;
}

static int claim_runs(struct recovery *r)
{
    struct blocks *cells = &r->heap->cells;
    uint64_t runs = (uint64_t)cells->arenas_top * (ARENA_BYTES / CELL_RUN);
    for (uint64_t run = 0; run < runs; run++) {
        unsigned type = cells->types[run];
        if (type != CELL_NONE &&
            (cell_bytes(type) == 0 || !blocks_claim_run(cells, type - 1, run * CELL_RUN)))
            return refused(r, cells, "run %llu of cells: its type %u is none", (unsigned long long)run, type);
    }
    /* ref 0 is never given out */
    if (runs > 0 && cells->types[0] != CELL_NONE)
        (void)blocks_claim(cells, cells->types[0] - 1u, 0);
    return 0;
}

int cells_each(const struct heap *heap, cell_visit *visit, void *owner)
{
    uint64_t runs = (uint64_t)heap->cells.arenas_top * (ARENA_BYTES / CELL_RUN);
    for (uint64_t run = 0; run < runs; run++) {
        unsigned type = heap->cells.types[run];
        uint32_t bytes = cell_bytes(type);
        for (uint32_t at = 0; type != CELL_NONE && at + bytes <= CELL_RUN; at += bytes) {
            uint32_t ref = (uint32_t)((run * CELL_RUN + at) / CELL_UNIT);
            if (ref == 0 || *(const uint64_t *)cell_at(heap, ref) == 0)
                continue;
            int err = visit(owner, ref, type);
            if (err != 0)
                return err;
        }
    }
    return 0;
}

static int claim_cell(void *owner, uint32_t ref, unsigned type)
{
    struct recovery *r = owner;
    int err = check_cell(r, ref, type);
    if (err == 0 && !blocks_claim(&r->heap->cells, type - 1, (uint64_t)ref * CELL_UNIT))
        err = refused(r, &r->heap->cells, "cell %u: its place is not a cell's", ref);
    return err;
}

/* ---- 4 and 5: roots and marks ---- */

static bool has_bit(const struct reserve *bits, uint32_t index)
{
    return bits->base[index / 8] >> (index % 8) & 1;
}

static bool is_marked(const struct recovery *r, uint32_t index)
{
    return has_bit(&r->marks, index);
}

static void set_bit(const struct reserve *bits, uint32_t index)
{
    bits->base[index / 8] |= (uint8_t)(1u << (index % 8));
}

static int push(struct recovery *r, uint32_t index)
{
    if (is_marked(r, index))
        return 0;
    set_bit(&r->marks, index);
    if (r->stack_count == r->stack_room) {
        if (!reserve_grow(&r->stack, r->heap->mem, (r->stack_count + 1) * 4))
            return -ENOMEM;
        r->stack_room = r->stack.charged / 4;
    }
    ((uint32_t *)(void *)r->stack.base)[r->stack_count++] = index;
    return 0;
}

static int mark_slot(struct recovery *r, uint32_t index, uint32_t slot, uint32_t edge)
{
    uint32_t target = edge & SLOT_TARGET;
    if (edge == 0)
        return 0;
    if (target == 0 || target >= r->heap->sb->index_top)
        return damaged(r, "object %u, slot %u: points to entry %u, which is none", index, slot, target);
    return push(r, target);
}

static int mark_list(struct recovery *r, uint32_t index)
{
    struct heap *heap = r->heap;
    const char *wrong = slots_check(heap, index, SLOTS_ADMIT);
    if (wrong != NULL)
        return refused(r, &heap->lists, "object %u: %s", index, wrong);
    uint32_t count = slots_count(heap, index);
    int err = 0;
    for (uint32_t slot = 0; slot < count && err == 0; slot++)
        err = mark_slot(r, index, slot, slots_edge(heap, index, slot));
    return err;
}

/* What an object that is marked leads to. */
static int look_at(struct recovery *r, uint32_t index)
{
    unsigned kind = r->kinds.base[index];
    if (kind == KIND_NONE)
        return damaged(r, "object %u: is referred to, but not alive", index);
    uint64_t slots = r->heap->warm[index].slots;
    unsigned ns = kind - KIND_ALIVE;
    if (ns >= NS_BLOCK)
        return mark_list(r, index);
    int err = ns > 0 ? mark_slot(r, index, 0, (uint32_t)slots) : 0;
    return ns > 1 && err == 0 ? mark_slot(r, index, 1, (uint32_t)(slots >> 32)) : err;
}

/* Through a ring: each object is prefetched when it leaves the stack and looked at RING objects later. */
static int drain(struct recovery *r)
{
    struct heap *heap = r->heap;
    int err = 0;
    while ((r->stack_count > 0 || r->ring_count > 0) && err == 0) {
        while (r->stack_count > 0 && r->ring_count < RING) {
            uint32_t index = ((uint32_t *)(void *)r->stack.base)[--r->stack_count];
            bits_prefetch(&r->kinds.base[index]);
            bits_prefetch(&heap->warm[index]);
            r->ring[(r->ring_head + r->ring_count++) % RING] = index;
        }
        uint32_t index = r->ring[r->ring_head];
        r->ring_head = (r->ring_head + 1) % RING;
        r->ring_count--;
        err = look_at(r, index);
        if (++r->marked % TELL_EVERY == 0 && err == 0)
            err = tell(r, PASS_MARK, r->marked, r->alive);
    }
    return err;
}

static int find_root(void *owner, uint32_t ref, unsigned type)
{
    struct recovery *r = owner;
    const struct cell_hold *cell = cell_at(r->heap, ref);
    bool hold = type == CELL_HOLD && cell->count != COUNT_GUARD && goes_on(r, cell->session);
    if (hold || type == CELL_TICKET || cell_is_name(type))
        set_bit(&r->roots, cell->object);
    return 0;
}

static int find_roots(struct recovery *r)
{
    struct heap *heap = r->heap;
    for (uint32_t index = 1; index < heap->sb->index_top; index++) {
        uint64_t holder = heap->hot[index].holder;
        int err = tell_entries(r, PASS_ROOTS, index);
        if (err != 0)
            return err;
        if (w0_state(heap->hot[index].w0) != W0_ALIVE || holder >> 32 == 0)
            continue;
        if (!is_session(heap, (uint32_t)holder))
            return damaged(r, "object %u: its first holder is no session", index);
        if (goes_on(r, (uint32_t)holder))
            set_bit(&r->roots, index);
    }
    return cells_each(heap, find_root, r);
}

/* A guard whose object nothing else keeps becomes a hold. One after the other: what a hold keeps that was delivered
 * before a kill, it would keep in the recovery after that too. */
static int mark_guard(void *owner, uint32_t ref, unsigned type)
{
    struct recovery *r = owner;
    const struct cell_hold *cell = cell_at(r->heap, ref);
    if (type != CELL_HOLD || cell->count != COUNT_GUARD)
        return 0;
    if (!goes_on(r, cell->session) || is_marked(r, cell->object))
        return 0;
    set_bit(&r->delivered, cell->object);
    int err = push(r, cell->object);
    return err != 0 ? err : drain(r);
}

/* Roots are marked first, all at once, and looked at in order of index: what many of them lead to is then found by its
 * bit alone, and most of the entries are met one behind the other. */
static int mark(struct recovery *r)
{
    struct heap *heap = r->heap;
    int err = find_roots(r);
    const uint64_t *roots = (const void *)r->roots.base;
    uint64_t words = err == 0 ? heap->sb->index_top / 64 + 1 : 0;
    memcpy(r->marks.base, roots, words * 8);
    for (uint64_t w = 0; w < words; w++) {
        for (uint64_t left = roots[w]; left != 0 && err == 0; left &= left - 1) {
            err = look_at(r, (uint32_t)(w * 64 + bits_lowest(left)));
            if (++r->marked % TELL_EVERY == 0 && err == 0)
                err = tell(r, PASS_MARK, r->marked, r->alive);
            if (r->stack_count >= DRAIN_AT && err == 0)
                err = drain(r);
        }
    }
    if (err == 0)
        err = drain(r);
    return err != 0 ? err : cells_each(heap, mark_guard, r);
}

/* ---- 6: counts and claims ---- */

static int claim_value(struct recovery *r, uint32_t index)
{
    struct heap *heap = r->heap;
    const struct hot *hot = &heap->hot[index];
    if ((hot->w0 & W0_INLINE) != 0)
        return 0;
    uint64_t bytes = value_block_bytes(hot->w0, hot->value), offset = value_offset(bytes, hot->value);
    bool ok = bytes == 0          ? true
              : bytes > BLOCK_MAX ? blocks_claim_pages(&heap->payloads, payload_pages(bytes), offset,
                                                       (hot->w0 & W0_OPEN) == 0)
                                  : blocks_claim(&heap->payloads, payload_class(bytes), offset);
    return ok ? 0 : refused(r, &heap->payloads, "object %u: its value's block is not its own", index);
}

static void count_slots(struct recovery *r, uint32_t index)
{
    struct heap *heap = r->heap;
    uint32_t count = slots_count(heap, index);
    for (uint32_t slot = 0; slot < count; slot++) {
        uint32_t edge = slots_edge(heap, index, slot);
        if (edge == 0)
            continue;
        ((uint32_t *)(void *)r->counts.base)[edge & SLOT_TARGET]++;
        count_slot(heap, index, edge, 1);
    }
}

/* The same, of a list that stands in the entry. */
static void count_inline(struct recovery *r, uint32_t index, unsigned count)
{
    uint64_t slots = r->heap->warm[index].slots;
    for (; count > 0; count--, slots >>= 32) {
        uint32_t edge = (uint32_t)slots;
        if (edge == 0)
            continue;
        ((uint32_t *)(void *)r->counts.base)[edge & SLOT_TARGET]++;
        count_slot(r->heap, index, edge, 1);
    }
}

/* What count_and_claim() will look at beside the entry itself. */
static void bring_near(const struct recovery *r, uint32_t index)
{
    const struct heap *heap = r->heap;
    const struct hot *hot = &heap->hot[index];
    uint64_t slots = heap->warm[index].slots, bytes = value_block_bytes(hot->w0, hot->value);
    unsigned ns = w0_ns(hot->w0);
    if (!is_marked(r, index))
        return;
    if (ns == 1 || ns == 2) /* targets of marked objects have been looked at */
        bits_prefetch((const uint32_t *)(const void *)r->counts.base + ((uint32_t)slots & SLOT_TARGET));
    if (ns == 2)
        bits_prefetch((const uint32_t *)(const void *)r->counts.base + (slots >> 32 & SLOT_TARGET));
    if ((hot->w0 & W0_INLINE) == 0 && bytes != 0 && bytes <= BLOCK_MAX)
        blocks_prefetch(&heap->payloads, payload_class(bytes), value_offset(bytes, hot->value));
}

static int count_and_claim(struct recovery *r)
{
    struct heap *heap = r->heap;
    uint32_t top = (uint32_t)heap->sb->index_top;
    for (uint32_t index = 1; index < top; index++) {
        if (index + AHEAD < top)
            bring_near(r, index + AHEAD);
        int err = tell_entries(r, PASS_COUNT, index);
        if (err == 0 && !is_marked(r, index))
            continue;
        if (err == 0)
            err = claim_value(r, index);
        unsigned ns = w0_ns(heap->hot[index].w0);
        const char *wrong = err == 0 && ns >= NS_BLOCK ? slots_check(heap, index, SLOTS_CLAIM) : NULL;
        if (wrong != NULL)
            err = refused(r, &heap->lists, "object %u: %s", index, wrong);
        if (err != 0)
            return err;
        if (ns >= NS_BLOCK)
            count_slots(r, index);
        else
            count_inline(r, index, ns);
        heap->alive++;
        heap->value_bytes += value_size(heap->hot[index].value);
    }
    return 0;
}

/* Answers that stand in blocks; those of sessions that do not go on are of no use to anybody. */
static int claim_window(void *owner, uint32_t ref, unsigned type)
{
    struct recovery *r = owner;
    struct cell_window *window = cell_at(r->heap, ref);
    if (type != CELL_WINDOW || !goes_on(r, window->session))
        return 0;
    const char *wrong = window_check(r->heap, window, SLOTS_ADMIT);
    if (wrong == NULL)
        wrong = window_check(r->heap, window, SLOTS_CLAIM);
    return wrong == NULL ? 0 : refused(r, &r->heap->lists, "cell %u: %s", ref, wrong);
}

/* ---- 7: truth in order; holds before objects before sessions ---- */

/* The scratch slot may hold half a record. */
static int settle_window(struct recovery *r, uint32_t ref)
{
    struct cell_window *window = cell_at(r->heap, ref);
    if (goes_on(r, window->session)) {
        window_at(window, window->head)->kind = REPLAY_NONE;
        region_stored(&r->heap->meta);
        return 0;
    }
    image_set(r->heap, (uint64_t *)(void *)window, 0);
    cell_give(r->heap, ref);
    return 0;
}

/* Guards are delivered, and holds, guards, notices and windows of sessions that do not go on are void. */
static int settle_hold(void *owner, uint32_t ref, unsigned type)
{
    struct recovery *r = owner;
    struct cell_hold *cell = cell_at(r->heap, ref);
    if (type == CELL_HOLD && cell->count == COUNT_GUARD && goes_on(r, cell->session) &&
        has_bit(&r->delivered, cell->object)) {
        image_set(r->heap, (uint64_t *)(void *)&cell->count, (uint64_t)cell->since << 32 | 1);
        return 0;
    }
    if (type == CELL_WINDOW)
        return settle_window(r, ref);
    if ((type != CELL_HOLD && type != CELL_NOTICE) || goes_on(r, cell->session))
        return 0;
    r->result.voided += type == CELL_HOLD && cell->count != COUNT_GUARD;
    image_set(r->heap, (uint64_t *)(void *)cell, 0);
    cell_give(r->heap, ref);
    return 0;
}

static int end_session(void *owner, uint32_t ref, unsigned type)
{
    struct recovery *r = owner;
    if ((type != CELL_ANON && type != CELL_SESSION) || goes_on(r, ref))
        return 0;
    image_set(r->heap, cell_at(r->heap, ref), 0);
    cell_give(r->heap, ref);
    return 0;
}

static void settle_entries(struct recovery *r)
{
    struct heap *heap = r->heap;
    const uint32_t *counts = (const void *)r->counts.base;
    uint32_t top = (uint32_t)heap->sb->index_top;
    for (uint32_t index = top; index-- > 1;) {
        struct hot *hot = &heap->hot[index];
        (void)tell_entries(r, PASS_SETTLE, top - index); /* it is too late to end it */
        hot->in = counts[index];
        hot->link = 0;
        hot->w0 &= ~W0_DERIVED;
        if (is_marked(r, index)) {
            if (hot->holder >> 32 != 0 && !goes_on(r, (uint32_t)hot->holder)) {
                r->result.voided++;
                image_set(heap, &hot->holder, 0);
            }
            continue;
        }
        if (w0_state(hot->w0) != W0_FREE) {
            r->result.freed++;
            image_set(heap, &hot->w0, (w0_gen(hot->w0) + 1) | W0_FREE);
        }
        if (w0_gen(hot->w0) == W0_GEN_LAST)
            heap->retired++;
        else
            freeset_add(&heap->free_index, index); /* not index_give(): the low ones first */
    }
}

/* ---- all ---- */

static int verify(struct recovery *r)
{
    struct heap *heap = r->heap;
    uint64_t top = heap->sb->index_top, bits = (top / 64 + 1) * 8;
    if (!reserve_init(&r->marks, bits) || !reserve_init(&r->roots, bits) || !reserve_init(&r->kinds, top) ||
        !reserve_grow(&r->kinds, heap->mem, top) || !reserve_init(&r->delivered, bits) ||
        !reserve_init(&r->stack, top * 4) || !reserve_init(&r->counts, top * 4) ||
        !reserve_grow(&r->marks, heap->mem, bits) || !reserve_grow(&r->roots, heap->mem, bits) ||
        !reserve_grow(&r->delivered, heap->mem, bits) || !reserve_grow(&r->counts, heap->mem, top * 4))
        return -ENOMEM;
    int err = check_entries(r);
    if (err == 0)
        err = claim_runs(r);
    if (err == 0)
        err = cells_each(heap, claim_cell, r);
    if (err == 0)
        err = mark(r);
    if (err == 0)
        err = count_and_claim(r);
    if (err == 0)
        err = cells_each(heap, claim_window, r);
    return err;
}

/* From what was admitted to the end of the piece. */
static bool back_rest(struct region *region, uint64_t at, uint64_t admitted, uint64_t end)
{
    return region_charge(region, end) &&
           (admitted == end || region_back(region, at + admitted, end - admitted, false) == 0);
}

/* The table may grow again from the end of its last pieces. */
static int back_table(struct heap *heap)
{
    const struct superblock *sb = heap->sb;
    heap->hot_backed = bits_round_up(sb->index_top * sizeof(struct hot), ARENA_BYTES);
    heap->warm_backed = bits_round_up(sb->index_top * sizeof(struct warm), ARENA_BYTES);
    uint64_t hot = heap->hot_backed / sizeof(struct hot), warm = heap->warm_backed / sizeof(struct warm);
    uint64_t ready = hot < warm ? hot : warm;
    heap->index_ready = (uint32_t)(ready < sb->index_end ? ready : sb->index_end);
    bool ok = region_charge(&heap->meta, PAGE_BYTES + UNDO_BYTES) && table_know(heap, heap->index_ready) &&
              back_rest(&heap->meta, sb->hot_at, table_pages(sb->index_top, sizeof(struct hot)),
                        heap->hot_backed) &&
              back_rest(&heap->meta, sb->warm_at, table_pages(sb->index_top, sizeof(struct warm)),
                        heap->warm_backed);
    ahead_pass(&heap->hot_ahead, sb->hot_at, heap->hot_backed);
    ahead_pass(&heap->warm_ahead, sb->warm_at, heap->warm_backed);
    return ok ? 0 : -ENOMEM;
}

/* What lies beyond the table is no hole in a copy that was made without holes. */
static void trim(struct region *region, uint64_t at, uint64_t backed, uint64_t end)
{
    uint64_t from = at + bits_round_up(backed, REGION_GRANULE);
    if (from < end && region_has_data(region, from, end - from))
        region_punch(region, from, end - from, false);
}

static int settle(struct recovery *r)
{
    struct heap *heap = r->heap;
    const struct superblock *sb = heap->sb;
    if (back_table(heap) != 0 || !blocks_claimed(&heap->payloads) || !blocks_claimed(&heap->lists) ||
        !blocks_claimed(&heap->cells))
        return -ENOMEM;
    trim(&heap->meta, sb->hot_at, heap->hot_backed, sb->warm_at);
    trim(&heap->meta, sb->warm_at, heap->warm_backed, sb->blocks_at);
    (void)cells_each(heap, settle_hold, r);
    settle_entries(r);
    (void)cells_each(heap, end_session, r);
    heap_make_current(heap);
    image_set(heap, &heap->sb->starts, heap->sb->starts + 1);
    return 0;
}

static void tell_shortage(const struct heap *heap, char *error, size_t error_size)
{
    int why = heap->meta.error != 0 ? heap->meta.error : heap->values.error;
    if (why != 0)
        snprintf(error, error_size, "no room to recover the image: %s", strerror(why));
    else
        snprintf(error, error_size, "not enough memory to recover the image");
}

int heap_recover(struct heap *heap, const struct recover_config *config, struct recover_result *ret,
                 char *error, size_t error_size)
{
    struct recovery r = {.heap = heap, .config = *config, .error = error, .error_size = error_size};
    int err = find_extents(&r);
    if (err == 0)
        err = roll_back(&r);
    if (err == 0)
        err = verify(&r);
    if (err == 0 && config->check != NULL)
        err = config->check(config->owner, error, error_size);
    if (err != 0)
        roll_forward(&r);
    else
        err = settle(&r);
    region_admitted(&heap->meta);
    region_admitted(&heap->values);
    mem_free(heap->mem, r.undone, r.result.undone * sizeof *r.undone);
    reserve_done(&r.marks, heap->mem);
    reserve_done(&r.roots, heap->mem);
    reserve_done(&r.kinds, heap->mem);
    reserve_done(&r.delivered, heap->mem);
    reserve_done(&r.stack, heap->mem);
    reserve_done(&r.counts, heap->mem);
    if (err == -ENOMEM)
        tell_shortage(heap, error, error_size);
    *ret = r.result;
    return err;
}
