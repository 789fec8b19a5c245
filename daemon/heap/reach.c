/* SPDX-License-Identifier: BSD-3-Clause */
/* What of an image can be reached: its entries, what is marked from the roots, its blocks, its counts. One pass each,
 * in order of index, with what it will look at brought near; apart, because each then has the cache for what it looks
 * at (counting and claiming in one pass took a fifth longer than both take). */
#include "daemon/heap/recovery.h"

#include <errno.h>
#include <string.h>

#define DRAIN_AT 256u /* so many wait before they are looked at: enough to keep the ring full */
#define AHEAD    32u  /* entries between what is brought near and what is looked at */

/* ---- 3 and 4: entries, and which of them are roots ---- */

/* The arenas of a huge value may be holes beyond the data of the file: parts of an open object that were never
 * written, zeros that nobody has touched. */
static void reach_huge(struct recovery *r, const struct hot *hot)
{
    if (value_size(hot->value) < BLOCK_MAX || (hot->w0 & W0_INLINE) != 0)
        return;
    uint64_t bytes = value_block_bytes(hot->w0, hot->value), pages = payload_pages(bytes);
    if (bytes <= BLOCK_MAX || !blocks_is_huge(pages))
        return;
    uint64_t end = value_offset(bytes, hot->value) + pages * PAGE_BYTES;
    if (end > r->values_end && end <= r->heap->values.size)
        r->values_end = end;
}

static const char *what_is_wrong(const struct hot *hot)
{
    if (w0_state(hot->w0) == W0_STATE || w0_gen(hot->w0) == W0_GEN_LAST)
        return "its state is none";
    if (w0_ns(hot->w0) > NS_SEGMENTS || w0_form(hot->w0) >= FORM_COUNT)
        return "its number of slots or form of value is none";
    if ((hot->w0 & W0_INLINE) != 0 && (value_size(hot->value) > 4 || (hot->w0 & W0_VERSIONED) != 0))
        return "an inline value of more than 4 bytes";
    return NULL;
}

static uint64_t edges_of(const struct hot *hot, const struct warm *warm)
{
    unsigned ns = w0_ns(hot->w0);
    uint64_t slots = ns == 0 ? 0 : ns == 1 ? (uint32_t)warm->slots : warm->slots;
    return ns >= NS_BLOCK || slots >= EDGES_LOOK ? EDGES_LOOK : slots;
}

/* Whether a first holder makes a root; neighbours mostly have the same one. */
struct holder {
    uint32_t last;
    bool is_session, goes_on;
};

static void know_holder(const struct recovery *r, struct holder *holder, uint32_t session)
{
    if (session == holder->last)
        return;
    holder->last = session;
    holder->is_session = recovery_is_session(r->heap, session);
    holder->goes_on = holder->is_session && recovery_goes_on(r, session);
}

int recovery_check_entries(struct recovery *r)
{
    struct heap *heap = r->heap;
    uint64_t *edges = (void *)r->edges.base;
    struct holder holder = {.last = 0}; /* which is no session */
    if (w0_state(heap->hot[0].w0) != W0_FREE)
        return recovery_damaged(r, "object 0: in use, but that is nil");
    for (uint32_t index = 1; index < r->top; index++) {
        const struct hot *hot = &heap->hot[index];
        int err = recovery_tell_entries(r, PASS_ENTRIES, index);
        if (err != 0)
            return err;
        edges[index] = EDGES_NONE;
        if (w0_state(hot->w0) == W0_FREE)
            continue;
        const char *wrong = what_is_wrong(hot);
        if (wrong != NULL)
            return recovery_damaged(r, "object %u: %s", index, wrong);
        if (w0_state(hot->w0) != W0_ALIVE)
            continue;
        r->alive++;
        edges[index] = edges_of(hot, &heap->warm[index]);
        reach_huge(r, hot);
        if (hot->holder >> 32 == 0)
            continue;
        know_holder(r, &holder, (uint32_t)hot->holder);
        if (!holder.is_session)
            return recovery_damaged(r, "object %u: its first holder is no session", index);
        if (holder.goes_on)
            recovery_set_bit(&r->roots, index);
    }
    return blocks_claim_begin(&heap->payloads, recovery_arenas_of(r->values_end)) ? 0 : -ENOMEM;
}

/* ---- 4 and 5: other roots, and marks ---- */

/* Without a branch on whether it was marked, which is as often as not the one thing about it that nobody can guess. */
static inline int push(struct recovery *r, uint32_t index)
{
    uint64_t *word = (uint64_t *)(void *)r->marks.base + index / 64, before = *word,
             bit = 1ull << (index % 64);
    if (unlikely(r->stack_count == r->stack_room)) {
        if (!reserve_grow(&r->stack, r->heap->mem, (r->stack_count + 1) * 4))
            return -ENOMEM;
        r->stack_room = r->stack.charged / 4;
    }
    *word = before | bit;
    ((uint32_t *)(void *)r->stack.base)[r->stack_count] = index;
    r->stack_count += (before & bit) == 0;
    return 0;
}

static inline int mark_slot(struct recovery *r, uint32_t index, uint32_t slot, uint32_t edge)
{
    uint32_t target = edge & SLOT_TARGET;
    if (edge == 0)
        return 0;
    if (unlikely(target == 0 || target >= r->top))
        return recovery_damaged(r, "object %u, slot %u: points to entry %u, which is none", index, slot,
                                target);
    return push(r, target);
}

static int mark_pair(struct recovery *r, uint32_t index, uint64_t slots)
{
    int err = mark_slot(r, index, 0, (uint32_t)slots);
    return err == 0 ? mark_slot(r, index, 1, (uint32_t)(slots >> 32)) : err;
}

static int mark_list(struct recovery *r, uint32_t index)
{
    struct heap *heap = r->heap;
    const char *wrong = slots_check(heap, index, SLOTS_ADMIT);
    if (wrong != NULL)
        return recovery_refused(r, &heap->lists, "object %u: %s", index, wrong);
    uint32_t count = slots_count(heap, index);
    int err = 0;
    for (uint32_t slot = 0; slot < count && err == 0; slot++)
        err = mark_slot(r, index, slot, slots_edge(heap, index, slot));
    return err;
}

/* What an object that is marked leads to. */
static int look_at(struct recovery *r, uint32_t index)
{
    uint64_t slots = ((const uint64_t *)(const void *)r->edges.base)[index];
    if (likely(slots < EDGES_LOOK))
        return mark_pair(r, index, slots);
    if (slots == EDGES_NONE)
        return recovery_damaged(r, "object %u: is referred to, but not alive", index);
    if (w0_ns(r->heap->hot[index].w0) >= NS_BLOCK)
        return mark_list(r, index);
    return mark_pair(r, index, r->heap->warm[index].slots);
}

/* Through a ring: each object is prefetched when it leaves the stack and looked at RECOVERY_RING objects later. */
static int drain(struct recovery *r)
{
    int err = 0;
    while ((r->stack_count > 0 || r->ring_count > 0) && err == 0) {
        while (r->stack_count > 0 && r->ring_count < RECOVERY_RING) {
            uint32_t index = ((uint32_t *)(void *)r->stack.base)[--r->stack_count];
            bits_prefetch((const uint64_t *)(const void *)r->edges.base + index);
            r->ring[(r->ring_head + r->ring_count++) % RECOVERY_RING] = index;
        }
        uint32_t index = r->ring[r->ring_head];
        r->ring_head = (r->ring_head + 1) % RECOVERY_RING;
        r->ring_count--;
        err = look_at(r, index);
        if (++r->marked % TELL_EVERY == 0 && err == 0)
            err = recovery_tell(r, PASS_MARK, r->marked, r->alive);
    }
    return err;
}

static int find_root(void *owner, uint32_t ref, unsigned type)
{
    struct recovery *r = owner;
    const struct cell_hold *cell = cell_at(r->heap, ref);
    bool hold = type == CELL_HOLD && cell->count != COUNT_GUARD && recovery_goes_on(r, cell->session);
    if (hold || type == CELL_TICKET || cell_is_name(type))
        recovery_set_bit(&r->roots, cell->object);
    return 0;
}

/* A guard whose object nothing else keeps becomes a hold. One after the other: what a hold keeps that was delivered
 * before a kill, it would keep in the recovery after that too. */
static int mark_guard(void *owner, uint32_t ref, unsigned type)
{
    struct recovery *r = owner;
    const struct cell_hold *cell = cell_at(r->heap, ref);
    if (type != CELL_HOLD || cell->count != COUNT_GUARD)
        return 0;
    if (!recovery_goes_on(r, cell->session) || recovery_is_marked(r, cell->object))
        return 0;
    recovery_set_bit(&r->delivered, cell->object);
    int err = push(r, cell->object);
    return err != 0 ? err : drain(r);
}

/* Roots are marked first, all at once, and looked at in order of index: what many of them lead to is then found by its
 * bit alone, and most of the entries are met one behind the other. */
int recovery_mark(struct recovery *r)
{
    struct heap *heap = r->heap;
    int err = cells_each(heap, find_root, r);
    const uint64_t *roots = (const void *)r->roots.base;
    uint64_t words = err == 0 ? heap->sb->index_top / 64 + 1 : 0;
    memcpy(r->marks.base, roots, words * 8);
    for (uint64_t w = 0; w < words; w++) {
        for (uint64_t left = roots[w]; left != 0 && err == 0; left &= left - 1) {
            err = look_at(r, (uint32_t)(w * 64 + bits_lowest(left)));
            if (++r->marked % TELL_EVERY == 0 && err == 0)
                err = recovery_tell(r, PASS_MARK, r->marked, r->alive);
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
    return ok ? 0
              : recovery_refused(r, &heap->payloads, "object %u: its value's block is not its own", index);
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

/* Slots by how they came to be, as struct heap has them. */
struct tally {
    uint64_t plain, linked, against;
};

/* One slot that stands in an entry. */
static inline void count_inline(uint32_t *counts, struct tally *tally, uint32_t index, uint32_t edge)
{
    uint32_t target = edge & SLOT_TARGET, linked = edge >> 31;
    counts[target]++; /* of nil, too: entry 0 is nobody's */
    tally->plain += edge != 0 && linked == 0;
    tally->linked += linked;
    tally->against += linked & (target <= index);
}

/* In order of index, and apart from the claims, which look at other lines. */
int recovery_count(struct recovery *r)
{
    struct heap *heap = r->heap;
    const uint64_t *edges = (const void *)r->edges.base;
    uint32_t *counts = (void *)r->counts.base, top = r->top;
    struct tally tally = {0};
    for (uint32_t index = 1; index < top; index++) {
        uint64_t ahead = edges[index + AHEAD < top ? index + AHEAD : index];
        if (ahead < EDGES_LOOK) {
            bits_prefetch(&counts[(uint32_t)ahead & SLOT_TARGET]);
            bits_prefetch(&counts[ahead >> 32 & SLOT_TARGET]);
        }
        int err = recovery_tell_entries(r, PASS_COUNT, index);
        if (err != 0)
            return err;
        if (!recovery_is_marked(r, index))
            continue;
        if (edges[index] == EDGES_LOOK) {
            count_slots(r, index);
            continue;
        }
        count_inline(counts, &tally, index, (uint32_t)edges[index]);
        count_inline(counts, &tally, index, (uint32_t)(edges[index] >> 32));
    }
    heap->slots_plain += tally.plain;
    heap->slots_linked += tally.linked;
    heap->slots_against += tally.against;
    return 0;
}

/* What claim_value() will look at beside the entry itself. */
static inline void bring_near(const struct recovery *r, uint32_t index)
{
    const struct heap *heap = r->heap;
    const struct hot *hot = &heap->hot[index];
    uint64_t bytes = value_block_bytes(hot->w0, hot->value);
    if (recovery_is_marked(r, index) && (hot->w0 & W0_INLINE) == 0 && bytes != 0 && bytes <= BLOCK_MAX)
        blocks_prefetch(&heap->payloads, payload_class(bytes), value_offset(bytes, hot->value));
}

int recovery_claim(struct recovery *r)
{
    struct heap *heap = r->heap;
    for (uint32_t index = 1; index < r->top; index++) {
        if (index + AHEAD < r->top)
            bring_near(r, index + AHEAD);
        int err = recovery_tell_entries(r, PASS_CLAIM, index);
        if (err == 0 && !recovery_is_marked(r, index))
            continue;
        if (err == 0)
            err = claim_value(r, index);
        const struct hot *hot = &heap->hot[index];
        const char *wrong =
            err == 0 && w0_ns(hot->w0) >= NS_BLOCK ? slots_check(heap, index, SLOTS_CLAIM) : NULL;
        if (wrong != NULL)
            err = recovery_refused(r, &heap->lists, "object %u: %s", index, wrong);
        if (err != 0)
            return err;
        heap->alive++;
        heap->value_bytes += value_size(hot->value);
    }
    return 0;
}
