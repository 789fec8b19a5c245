/* SPDX-License-Identifier: BSD-3-Clause */
/* Who holds what: answered from what is known, in the time it takes to write the answer. */
#include "daemon/pool/internal.h"

#include <string.h>

#define SCAN_LOOK 4096u /* objects looked at in one call */
/* Cells looked at for one list of holders: more than it tells, for some may be of sessions that are ending. */
#define HOLDERS_LOOK 4096u

static uint64_t since_unpack(uint16_t packed)
{
    unsigned log = packed >> 11;
    return log == 0 ? packed : (uint64_t)(packed & 2047) << log;
}

static uint64_t first_since_ms(const struct pool *pool, const struct warm *warm)
{
    uint64_t age = pool_stamp_age_ms(pool, warm->created), later = since_unpack(warm->since) * STAMP_MS;
    return age > later ? age - later : 0;
}

static bool session_lives(const struct pool *pool, uint32_t ref)
{
    return ((const struct cell_anon *)cell_at(&pool->heap, ref))->state == SESSION_OPEN;
}

/* ---- inspect ---- */

/* The sums over further cells; a dying session's holds count until they are cleared, in steps. */
static void inspect_links(const struct pool *pool, uint32_t index, struct inspect_row *row)
{
    const struct hot *hot = &pool->heap.hot[index];
    if (w0_link(hot->w0) == LINK_TAIL) {
        const struct tail *tail = tail_of(pool, hot);
        row->held_sessions += tail->held;
        row->held_names = tail->names;
        row->held_tickets = tail->tickets;
    } else if (w0_link(hot->w0) != LINK_NONE) {
        unsigned type = cell_type(&pool->heap, hot->link);
        row->held_names = cell_is_name(type);
        row->held_tickets = type == CELL_TICKET;
        if (type == CELL_HOLD)
            row->held_sessions += ((const struct cell_hold *)cell_at(&pool->heap, hot->link))->count;
    }
}

int pool_inspect(struct pool *pool, uint64_t id, struct inspect_row *ret)
{
    const struct hot *hot = heap_find(&pool->heap, id);
    if (hot == NULL)
        return pool_fail_gone(pool, id);
    uint32_t index = id_index(id);
    const struct warm *warm = &pool->heap.warm[index];
    const struct cell_label *label = label_get(pool, warm->label);
    bool open = (hot->w0 & W0_OPEN) != 0;
    *ret = (struct inspect_row){.id = id,
                                .size = value_size(hot->value),
                                .version = value_version(&pool->heap, hot),
                                .age_ms = pool_stamp_age_ms(pool, warm->created),
                                .slots = slots_count(&pool->heap, index),
                                .form = w0_form(hot->w0),
                                .open = open,
                                .sealed = (hot->w0 & W0_SEALED) != 0,
                                .held_sessions = hot->holder >> 32,
                                .held_slots = hot->in};
    if (ret->size > 0 && !open)
        ret->first_byte = value_data(&pool->heap, hot)[0];
    if (label != NULL) {
        ret->tag = label->bytes;
        ret->tag_size = label->tag_size;
        ret->site = label->bytes + label->tag_size;
        ret->site_size = label->site_size;
    }
    inspect_links(pool, index, ret);
    return 0;
}

/* ---- holders ---- */

static void session_row(const struct pool *pool, uint32_t ref, uint64_t count, uint64_t since_ms,
                        struct holder_row *row)
{
    const struct cell_session *cell = cell_at(&pool->heap, ref);
    *row = (struct holder_row){
        .kind = HOLDER_SESSION, .sid = cell->head.sid, .count = count, .since_ms = since_ms};
    if (cell_type(&pool->heap, ref) == CELL_SESSION) {
        row->name = cell->name;
        row->name_size = cell->name_size;
        row->pid = cell->pid;
    }
}

/* false: a hold of a session that is ending, no longer told. */
static bool cell_row(const struct pool *pool, uint32_t ref, struct holder_row *row)
{
    unsigned type = cell_type(&pool->heap, ref);
    if (type == CELL_HOLD) {
        const struct cell_hold *hold = cell_at(&pool->heap, ref);
        const struct cell_label *label = label_get(pool, (uint16_t)hold->label);
        session_row(pool, hold->session, hold->count, pool_stamp_age_ms(pool, hold->since), row);
        if (label != NULL) {
            row->site = label->bytes + label->tag_size;
            row->site_size = label->site_size;
        }
        return session_lives(pool, hold->session);
    }
    if (type == CELL_TICKET) {
        const struct cell_ticket *ticket = cell_at(&pool->heap, ref);
        uint64_t left = ticket->expires_ms > pool->now_ms ? ticket->expires_ms - pool->now_ms : 0;
        *row =
            (struct holder_row){.kind = HOLDER_TICKET, .number = ticket->number, .ttl_ms = left, .count = 1};
        return true;
    }
    const struct cell_name *name = cell_at(&pool->heap, ref);
    *row = (struct holder_row){.kind = HOLDER_NAME, .name = name->bytes, .name_size = name->size, .count = 1};
    return true;
}

int pool_holders(struct pool *pool, uint64_t id, struct holder_row *rows, unsigned max, unsigned *ret_count)
{
    const struct hot *hot = heap_find(&pool->heap, id);
    if (hot == NULL)
        return pool_fail_gone(pool, id);
    uint32_t index = id_index(id), links = links_count(pool, index);
    unsigned count = 0;
    if (max > 0 && hot->holder >> 32 != 0 && session_lives(pool, (uint32_t)hot->holder)) {
        const struct warm *warm = &pool->heap.warm[index];
        session_row(pool, (uint32_t)hot->holder, hot->holder >> 32, first_since_ms(pool, warm),
                    &rows[count++]);
    }
    uint32_t k = 0;
    for (; k < links && count < max && k < HOLDERS_LOOK; k++)
        count += cell_row(pool, links_get(pool, index, k), &rows[count]);
    pool->heap.work += k;
    *ret_count = count;
    return 0;
}

/* ---- scan ---- */

static bool passes(const struct pool *pool, uint32_t index, const struct scan_filter *filter)
{
    const struct hot *hot = &pool->heap.hot[index];
    if (w0_state(hot->w0) != W0_ALIVE || heap_is_condemned(&pool->heap, index) ||
        value_size(hot->value) < filter->min_size)
        return false;
    if (!filter->has_tag)
        return true;
    const struct cell_label *label = label_get(pool, pool->heap.warm[index].label);
    return label != NULL && label->tag_size == filter->tag_size &&
           memcmp(label->bytes, filter->tag, filter->tag_size) == 0;
}

/* The session's vector from its end down: what leaves is replaced by the last one, which this order has told
 * already. */
static void scan_session(struct pool *pool, const struct session *s, uint64_t cursor,
                         const struct scan_filter *filter, uint64_t *ids, unsigned max, unsigned *ret_count,
                         uint64_t *ret_cursor)
{
    uint64_t at = cursor == 0 || cursor > s->holds.count ? s->holds.count : cursor;
    unsigned count = 0, looked = 0;
    for (; at > 0 && count < max && looked < SCAN_LOOK; looked++) {
        uint32_t value = *u32vec_at(&s->holds, (uint32_t)--at), index = value;
        if ((value & HOLD_CELL_BIT) != 0)
            index = ((const struct cell_hold *)cell_at(&pool->heap, value & ~HOLD_CELL_BIT))->object;
        if (passes(pool, index, filter))
            ids[count++] = heap_id(&pool->heap, index);
    }
    pool->heap.work += looked;
    *ret_count = count;
    *ret_cursor = at;
}

int pool_scan(struct pool *pool, uint64_t cursor, const struct scan_filter *filter, uint64_t *ret_ids,
              unsigned max, unsigned *ret_count, uint64_t *ret_cursor)
{
    if (filter->sid != 0) {
        const struct session *s = pool_session_by_sid(pool, filter->sid);
        if (s == NULL)
            return pool_fail(pool, HF_E_NOTFOUND, "no session of that sid in this pool");
        scan_session(pool, s, cursor, filter, ret_ids, max, ret_count, ret_cursor);
        return 0;
    }
    uint64_t at = cursor == 0 ? 1 : cursor, top = pool->heap.sb->index_top;
    unsigned count = 0, looked = 0;
    for (; at < top && count < max && looked < SCAN_LOOK; looked++, at++)
        if (passes(pool, (uint32_t)at, filter))
            ret_ids[count++] = heap_id(&pool->heap, (uint32_t)at);
    pool->heap.work += looked;
    *ret_count = count;
    *ret_cursor = at < top ? at : 0;
    return 0;
}
