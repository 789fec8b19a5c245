/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/heap/recovery.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int recovery_damaged(struct recovery *r, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(r->error, r->error_size, format, args);
    va_end(args);
    return -EINVAL;
}

int recovery_refused(struct recovery *r, const struct blocks *blocks, const char *format, ...)
{
    va_list args;
    if (blocks->no_room)
        return -ENOMEM;
    va_start(args, format);
    vsnprintf(r->error, r->error_size, format, args);
    va_end(args);
    return -EINVAL;
}

/* What part of the work the passes are, measured with ten million objects. */
static const unsigned begins[PASSES + 1] = {0, 140, 400, 600, 750, RECOVER_HEAP_SHARE};

int recovery_tell(const struct recovery *r, enum pass pass, uint64_t done, uint64_t all)
{
    if (r->config.progress == NULL)
        return 0;
    unsigned whole = begins[pass + 1] - begins[pass];
    unsigned part = all == 0 ? whole : (unsigned)(whole * (done < all ? done : all) / all);
    return r->config.progress(r->config.owner, begins[pass] + part) ? 0 : -ECANCELED;
}

/* ---- 1: extents and the log ---- */

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
        return recovery_damaged(r, "the undo log lies beyond the end of the file");
    uint64_t hot = region_data_end(&heap->meta, sb->hot_at, sb->warm_at) - sb->hot_at;
    if (top > 1 && (top * sizeof(struct hot) > hot ||
                    sb->warm_at + top * sizeof(struct warm) > region_file_size(&heap->meta)))
        return recovery_damaged(r, "index_top %llu lies beyond the data of the file",
                                (unsigned long long)top);
    uint64_t cells =
        region_data_end(&heap->meta, sb->cells_at, sb->cells_at + sb->cells_bytes) - sb->cells_at;
    uint64_t lists = region_data_end(&heap->meta, sb->blocks_at, heap->meta.size) - sb->blocks_at;
    r->values_end = region_data_end(&heap->values, 0, heap->values.size);
    bool ok = table_know(heap, sb->index_end < top + 1 ? sb->index_end : top + 1) &&
              blocks_claim_begin(&heap->cells, recovery_arenas_of(cells)) &&
              blocks_claim_begin(&heap->lists, recovery_arenas_of(lists)) &&
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
        return recovery_damaged(r, "the undo log's length %llu is out of range", (unsigned long long)log->n);
    for (uint64_t k = 0; k < log->n; k++) {
        if (may_be_logged(heap, log->record[k].offset))
            continue;
        if (heap->cells.no_room || heap->lists.no_room)
            return -ENOMEM;
        return recovery_damaged(r, "undo record %llu names offset %llu, which is no word of truth",
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

/* ---- 2: cells ---- */

bool recovery_is_session(const struct heap *heap, uint32_t ref)
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

static int check_cell(struct recovery *r, uint32_t ref, unsigned type)
{
    struct heap *heap = r->heap;
    const void *cell = cell_at(heap, ref);
    uint32_t object = *(const uint32_t *)cell;
    bool has_object = type == CELL_HOLD || type == CELL_TICKET || cell_is_name(type);
    if (has_object && (object == 0 || object >= heap->sb->index_top))
        return recovery_damaged(r, "cell %u: names object %u, which is none", ref, object);
    if (type == CELL_HOLD) {
        const struct cell_hold *hold = cell;
        if (!recovery_is_session(heap, hold->session) || hold->count == 0)
            return recovery_damaged(r, "cell %u: a hold of no session, or of no count", ref);
    } else if (type == CELL_TICKET && ((const struct cell_ticket *)cell)->uses == 0) {
        return recovery_damaged(r, "cell %u: a ticket without uses", ref);
    } else if (cell_is_name(type)) {
        uint32_t size = ((const struct cell_name *)cell)->size;
        if (size == 0 || cell_name_type(size) != type)
            return recovery_damaged(r, "cell %u: a name of %u bytes in a cell of %u", ref, size,
                                    cell_bytes(type));
    } else if (type == CELL_NOTICE) {
        const struct cell_notice *notice = cell;
        if (notice->object == 0 || notice->object >= heap->sb->index_top ||
            !recovery_is_session(heap, notice->session))
            return recovery_damaged(r, "cell %u: a notice of no session, or about no object", ref);
        if (notice->what >> NOTICE_BITS != 0 || (notice->what & NOTICE_GEN) == W0_GEN_LAST ||
            (notice->what & NOTICE_REASON) >> NOTICE_REASON_SHIFT >= REASON_COUNT)
            return recovery_damaged(r, "cell %u: what its notice says is nothing", ref);
    } else if ((type == CELL_ANON || type == CELL_SESSION) &&
               ((const struct cell_anon *)cell)->state > SESSION_DYING) {
        return recovery_damaged(r, "cell %u: its session's state is none", ref);
    } else if (type == CELL_WINDOW) {
        uint32_t session = ((const struct cell_window *)cell)->session;
        if (!recovery_is_session(heap, session) || cell_type(heap, session) != CELL_SESSION)
            return recovery_damaged(r, "cell %u: a window of no session with a key", ref);
    } else if (type == CELL_LABEL || type == CELL_LABEL_WIDE) {
        const struct cell_label *label = cell;
        if (label->number > LABEL_LAST ||
            sizeof *label + label->tag_size + label->site_size > cell_bytes(type))
            return recovery_damaged(r, "cell %u: a label longer than its cell", ref);
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
            return recovery_refused(r, cells, "run %llu of cells: its type %u is none",
                                    (unsigned long long)run, type);
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
        err = recovery_refused(r, &r->heap->cells, "cell %u: its place is not a cell's", ref);
    return err;
}

/* Answers that stand in blocks; those of sessions that do not go on are of no use to anybody. */
static int claim_window(void *owner, uint32_t ref, unsigned type)
{
    struct recovery *r = owner;
    struct cell_window *window = cell_at(r->heap, ref);
    if (type != CELL_WINDOW || !recovery_goes_on(r, window->session))
        return 0;
    const char *wrong = window_check(r->heap, window, SLOTS_ADMIT);
    if (wrong == NULL)
        wrong = window_check(r->heap, window, SLOTS_CLAIM);
    return wrong == NULL ? 0 : recovery_refused(r, &r->heap->lists, "cell %u: %s", ref, wrong);
}

/* ---- 7: truth in order; holds before objects before sessions ---- */

/* The scratch slot may hold half a record. */
static int settle_window(struct recovery *r, uint32_t ref)
{
    struct cell_window *window = cell_at(r->heap, ref);
    if (recovery_goes_on(r, window->session)) {
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
    if (type == CELL_HOLD && cell->count == COUNT_GUARD && recovery_goes_on(r, cell->session) &&
        recovery_has_bit(&r->delivered, cell->object)) {
        image_set(r->heap, (uint64_t *)(void *)&cell->count, (uint64_t)cell->since << 32 | 1);
        return 0;
    }
    if (type == CELL_WINDOW)
        return settle_window(r, ref);
    if ((type != CELL_HOLD && type != CELL_NOTICE) || recovery_goes_on(r, cell->session))
        return 0;
    r->result.voided += type == CELL_HOLD && cell->count != COUNT_GUARD;
    image_set(r->heap, (uint64_t *)(void *)cell, 0);
    cell_give(r->heap, ref);
    return 0;
}

static int end_session(void *owner, uint32_t ref, unsigned type)
{
    struct recovery *r = owner;
    if ((type != CELL_ANON && type != CELL_SESSION) || recovery_goes_on(r, ref))
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
        (void)recovery_tell_entries(r, PASS_SETTLE, top - index); /* it is too late to end it */
        hot->in = counts[index];
        hot->link = 0;
        hot->w0 &= ~W0_DERIVED;
        if (recovery_is_marked(r, index)) {
            if (hot->holder >> 32 != 0 && !recovery_goes_on(r, (uint32_t)hot->holder)) {
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

static bool have_room(struct recovery *r)
{
    struct mem *mem = r->heap->mem;
    uint64_t top = r->top, bits = (top / 64 + 1) * 8;
    bool ok = reserve_init(&r->marks, bits) && reserve_init(&r->roots, bits) &&
              reserve_init(&r->delivered, bits) && reserve_init(&r->edges, top * 8) &&
              reserve_init(&r->stack, top * 4) && reserve_init(&r->counts, top * 4) &&
              reserve_grow(&r->marks, mem, bits) && reserve_grow(&r->roots, mem, bits) &&
              reserve_grow(&r->delivered, mem, bits) && reserve_grow(&r->edges, mem, top * 8) &&
              reserve_grow(&r->counts, mem, top * 4);
    if (!ok)
        return false;
    reserve_want_huge(&r->edges, r->edges.charged);
    reserve_want_huge(&r->counts, r->counts.charged);
    return true;
}

static int verify(struct recovery *r)
{
    struct heap *heap = r->heap;
    r->top = (uint32_t)heap->sb->index_top;
    if (!have_room(r))
        return -ENOMEM;
    int err = claim_runs(r);
    if (err == 0)
        err = cells_each(heap, claim_cell, r);
    if (err == 0)
        err = recovery_check_entries(r);
    if (err == 0)
        err = recovery_mark(r);
    if (err == 0)
        err = recovery_claim(r);
    if (err == 0)
        err = recovery_count(r);
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
    heap->hot_backed = bits_round_up(sb->index_top * sizeof(struct hot), PIECE_BYTES);
    heap->warm_backed = bits_round_up(sb->index_top * sizeof(struct warm), PIECE_BYTES);
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
    reserve_done(&r.edges, heap->mem);
    reserve_done(&r.delivered, heap->mem);
    reserve_done(&r.stack, heap->mem);
    reserve_done(&r.counts, heap->mem);
    if (err == -ENOMEM)
        tell_shortage(heap, error, error_size);
    *ret = r.result;
    return err;
}
