/* SPDX-License-Identifier: BSD-3-Clause */
/* The sweep: frees what was not marked, in order of index.
 *
 * Nobody can name a condemned object any more, and only condemned ones have slots on it. So a slot between two of
 * them is simply forgotten: the other one dies too, its count no longer matters. A freed index goes into quarantine
 * until the sweep is over, else a new object could take it and lose its count to a condemned neighbour that is not
 * swept yet. */
#include "daemon/gc/internal.h"

#define VALUE_UNIT (4u << 20) /* bytes of a value that cost a unit to free */

/* What one call changes in sums, in registers until its end. */
struct tally {
    uint64_t objects, bytes, open;
    uint64_t named, linked, against; /* slots: all but nil ones, of them ... */
};

static void settle(struct gc *gc, const struct tally *tally)
{
    struct heap *heap = gc->heap;
    gc->running.unreachable += tally->objects;
    gc->running.collected += tally->objects;
    gc->running.bytes += tally->bytes;
    heap->alive -= tally->objects;
    heap->freed += tally->objects;
    heap->value_bytes -= tally->bytes;
    heap->open -= tally->open;
    heap->slots_plain -= tally->named - tally->linked;
    heap->slots_linked -= tally->linked;
    heap->slots_against -= tally->against;
}

/* A condemned object, which is alive in name only, loses a slot on one that was marked. */
static void drop_marked(struct gc *gc, uint32_t index, uint32_t slot, uint32_t edge)
{
    struct heap *heap = gc->heap;
    uint32_t target = edge & SLOT_TARGET;
    const struct hot *hot = &heap->hot[target];
    in_drop(heap, index, slot, edge);
    if (hot->in == 0 && !is_held_outside(hot))
        object_lost(gc, target);
    /* no suspect: what was marked and is garbage now was reachable after marking began, and became a suspect when that
     * ended */
}

static inline void drop_edge(struct gc *gc, struct tally *tally, uint32_t index, uint32_t slot, uint32_t edge)
{
    uint32_t target = edge & SLOT_TARGET, linked = edge >> 31;
    if (edge == 0)
        return;
    if (heap_is_marked(gc->heap, target)) {
        drop_marked(gc, index, slot, edge);
        return;
    }
    tally->named++;
    tally->linked += linked;
    tally->against += linked & (target <= index);
}

static inline void count_condemned(struct gc *gc, struct tally *tally, uint32_t index)
{
    const struct hot *hot = &gc->heap->hot[index];
    tally->objects++;
    tally->bytes += value_size(hot->value);
    tally->open += (hot->w0 & W0_OPEN) != 0;
    if (unlikely(gc->heap->audit != NULL))
        gc->heap->audit[index] = 0;
}

/* One with a list of slots: dead, and left in gc->scan. */
static void begin_list(struct gc *gc, struct tally *tally, uint32_t index)
{
    struct hot *hot = &gc->heap->hot[index];
    count_condemned(gc, tally, index);
    image_touch(gc->heap, hot);
    hot->w0 = (hot->w0 & ~W0_STATE) | W0_ZERO;
    slots_unmake(gc->heap, index);
    gc->scan = index;
}

/* Goes on with the list of gc->scan, from its end; then frees the object. */
static unsigned drop_list(struct gc *gc, struct tally *tally, unsigned units)
{
    uint32_t index = gc->scan;
    const struct hot *hot = &gc->heap->hot[index];
    unsigned spent = 0;
    for (; hot->link > 0 && spent < units; spent++) {
        uint32_t edge = slots_pop(gc->heap, index);
        drop_edge(gc, tally, index, hot->link, edge);
    }
    if (hot->link > 0)
        return spent;
    gc->scan = 0;
    spent += 1 + value_size(hot->value) / VALUE_UNIT;
    if (object_free(gc, index, hot->w0))
        index_give_later(gc->heap, index - index % 64, 1ull << index % 64);
    return spent;
}

/* One without a list, all at once. Returns the units beyond the first; its bit joins *freed when its index may be used
 * again. */
static inline unsigned free_small(struct gc *gc, struct tally *tally, uint32_t index, uint64_t *freed)
{
    struct heap *heap = gc->heap;
    const struct hot *hot = &heap->hot[index];
    uint64_t w0 = hot->w0, slots = heap->warm[index].slots;
    unsigned ns = w0_ns(w0), units = ns + value_size(hot->value) / VALUE_UNIT;
    count_condemned(gc, tally, index);
    if (ns > 1)
        drop_edge(gc, tally, index, 1, (uint32_t)(slots >> 32));
    if (ns > 0)
        drop_edge(gc, tally, index, 0, (uint32_t)slots);
    *freed |= (uint64_t)object_free(gc, index, w0) << index % 64;
    return units;
}

/* ---- plain ones ---- */

/* A condemned object without a list, of whose death nobody is to be told: one look at its word. With one slot more,
 * NS_BLOCK and NS_SEGMENTS have the same bit. */
static inline bool is_plain(uint64_t w0)
{
    static_assert(NS_BLOCK == 3 && NS_SEGMENTS == 4, "see above");
    const uint64_t mask = W0_STATE | W0_OPEN | W0_WATCHED | W0_LABELLED | 4ull << W0_NS_SHIFT;
    return ((w0 + (1ull << W0_NS_SHIFT)) & mask) == W0_ALIVE;
}

/* Whether a slot names something that was marked; nil was not. */
static inline bool is_marked(const uint64_t *marks, uint32_t edge)
{
    uint32_t target = edge & SLOT_TARGET;
    return (marks[target / 64] >> target % 64 & 1) != 0;
}

/* A slot of a plain object is forgotten; it may be nil. Without a branch. */
static inline void forget_edge(struct tally *tally, uint32_t index, uint32_t edge)
{
    tally->named += edge != 0;
    tally->linked += edge >> 31;
    tally->against += (edge ^ SLOT_LINKED) <= index; /* never of an unlinked one */
}

/* Frees plain objects of a word that name nothing that was marked, until one is another or the units are spent. Returns
 * what is left of the word; the indexes that may be used again join *freed. There is no second look at what stays the
 * same, and no call but for a value in a block (measured, rings of ten, the whole collection: 6.0 ns an object instead
 * of 7.8; with such values 14.3 instead of 15.6). Neither a save nor an audit looks on. */
static __attribute__((noinline)) uint64_t sweep_plain(struct gc *gc, struct tally *tally, uint32_t first,
                                                      uint64_t word, unsigned units, unsigned *spent,
                                                      uint64_t *freed)
{
    struct heap *heap = gc->heap;
    const struct warm *warm = &heap->warm[first];
    const uint64_t *marks = (const void *)heap->marks.base;
    struct tally sum = {0};
    uint64_t left = word, retired = 0;
    unsigned done = 0;
    for (struct hot *hot = &heap->hot[first]; left != 0 && done < units; left &= left - 1) {
        unsigned at = bits_lowest(left);
        uint64_t w0 = hot[at].w0;
        unsigned ns = w0_ns(w0);
        bits_prefetch(&hot[at + AHEAD]);
        bits_prefetch(&warm[at + AHEAD]);
        if (unlikely(!is_plain(w0)))
            break;
        uint64_t slots = slots_in_entry(&warm[at], ns);
        uint32_t edge = (uint32_t)slots, second = (uint32_t)(slots >> 32);
        if (unlikely(is_marked(marks, edge)) || (second != 0 && unlikely(is_marked(marks, second))))
            break;
        forget_edge(&sum, first + at, edge);
        if (second != 0)
            forget_edge(&sum, first + at, second);
        sum.bytes += value_size(hot[at].value);
        done += 1 + ns + value_size(hot[at].value) / VALUE_UNIT;
        if (unlikely((w0 & W0_INLINE) == 0))
            value_free(heap, hot[at].value, (w0 & W0_VERSIONED) != 0);
        if (unlikely(!generation_end(heap, &hot[at], w0, true)))
            retired |= 1ull << at;
    }
    tally->objects += bits_count(word ^ left);
    tally->bytes += sum.bytes;
    tally->named += sum.named;
    tally->linked += sum.linked;
    tally->against += sum.against;
    *spent += done;
    *freed |= (word ^ left) & ~retired;
    if (left != 0)
        gc->cursor = first + bits_lowest(left);
    return left;
}

/* Sweeps one word of the table, from the cursor on. */
static unsigned sweep_word(struct gc *gc, struct tally *tally, unsigned units)
{
    struct heap *heap = gc->heap;
    uint32_t first = gc->cursor - gc->cursor % 64;
    uint64_t word = unmarked(gc, gc->cursor), freed = 0;
    bool alone = heap->audit == NULL && heap->meta.save == NULL;
    unsigned spent = 0;
    while (word != 0 && spent < units) {
        uint32_t index = first + bits_lowest(word);
        const struct hot *hot = &heap->hot[index];
        if (alone && is_plain(hot->w0)) {
            uint64_t left = sweep_plain(gc, tally, first, word, units - spent, &spent, &freed);
            if (left != word) {
                word = left;
                continue;
            }
        }
        word &= word - 1;
        gc->cursor = index + 1;
        bits_prefetch(hot + AHEAD);
        bits_prefetch(&heap->warm[index] + AHEAD);
        spent++;
        if (w0_state(hot->w0) != W0_ALIVE)
            continue;
        if (w0_ns(hot->w0) >= NS_BLOCK) {
            begin_list(gc, tally, index);
            break;
        }
        spent += free_small(gc, tally, index, &freed);
    }
    index_give_later(heap, first, freed);
    if (word != 0)
        return spent;
    gc->cursor = first + 64;
    return spent + 1;
}

unsigned sweep_condemned(struct gc *gc, unsigned units)
{
    struct tally tally = {0};
    unsigned spent = 0;
    gc->reason = REASON_CYCLE;
    while (spent < units && (gc->scan != 0 || gc->cursor < gc->top))
        spent += gc->scan != 0 ? drop_list(gc, &tally, units - spent) : sweep_word(gc, &tally, units - spent);
    gc->reason = REASON_RELEASE;
    settle(gc, &tally);
    return spent;
}

unsigned sweep_merge(struct gc *gc, unsigned units)
{
    unsigned spent = 0;
    for (; spent < units && gc->cursor < gc->top; spent++) {
        quarantine_end(gc->heap, gc->cursor);
        gc->cursor += 64;
    }
    return spent;
}
