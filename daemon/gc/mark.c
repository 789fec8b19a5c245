/* SPDX-License-Identifier: BSD-3-Clause */
/* Marking: a walk over the table that looks for roots, and a stack of grey objects.
 *
 * Objects come off the stack through a ring, in which each is prefetched GC_RING objects before its turn (measured:
 * seven times faster than without). Where many objects are roots the walk is *lazy*: what lies ahead of it is only
 * marked, and scanned when the walk comes to it, in the order of memory (measured with a million objects that are all
 * held: 12 ns each instead of 26; but with few roots 34 instead of 18, hence the choice).
 *
 * What changes meanwhile does no harm: an object that died is skipped, one that took its index is black and scanned
 * once more than needed. */
#include "daemon/gc/internal.h"

#define STACK_PIECE 65536u /* bytes by which the stack grows */
#define WALK_STACK  64u    /* more objects on the stack than these, and a lazy walk pauses */

static uint64_t *marks(const struct gc *gc)
{
    return (void *)gc->heap->marks.base;
}

/* ---- becoming grey ---- */

static bool stack_grow(struct gc *gc)
{
    if (!reserve_grow(&gc->stack, gc->heap->mem, gc->stack.charged + STACK_PIECE))
        return false;
    gc->stack_room = (uint32_t)(gc->stack.charged / sizeof(uint32_t));
    return true;
}

/* There is no room on the stack: the walk comes back for this one, and scans all that is marked from there on once
 * more: slower, never wrong. */
static void go_back(struct gc *gc, uint32_t index)
{
    gc->lazy = true;
    gc->frontier = index < gc->frontier ? index : gc->frontier;
}

/* Marks it; grey if it was not marked before. */
static void shade(struct gc *gc, uint32_t index)
{
    uint64_t *word = &marks(gc)[index / 64], bit = 1ull << (index % 64);
    if ((*word & bit) != 0)
        return;
    *word |= bit;
    if (gc->lazy && index >= gc->frontier)
        return;
    if (gc->stack_count == gc->stack_room && !stack_grow(gc))
        go_back(gc, index);
    else
        ((uint32_t *)(void *)gc->stack.base)[gc->stack_count++] = index;
}

void gc_marked(struct gc *gc, uint32_t index)
{
    shade(gc, index);
}

/* ---- scanning ---- */

/* What the loops over small objects have at hand. */
struct hand {
    const struct hot *hot;
    const struct warm *warm;
    uint64_t *marks;
    uint32_t *stack;
    uint32_t count, room; /* of the stack */
    uint32_t push_below;  /* objects below go on the stack, the walk comes to the others */
};

static inline struct hand hand_of(const struct gc *gc)
{
    return (struct hand){.hot = gc->heap->hot,
                         .warm = gc->heap->warm,
                         .marks = marks(gc),
                         .stack = (void *)gc->stack.base,
                         .count = gc->stack_count,
                         .room = gc->stack_room,
                         .push_below = gc->lazy ? gc->frontier : GC_NONE};
}

/* Whether the slots of a living object can be seen by scan_inline(): no list, and room for both to be pushed. */
static inline bool is_small(const struct hand *hand, uint64_t w0)
{
    return w0_ns(w0) < NS_BLOCK && hand->count + 2 <= hand->room;
}

static inline void scan_inline(struct hand *hand, uint32_t index, unsigned ns)
{
    uint64_t slots = ns == 0 ? 0 : ns == 1 ? (uint32_t)hand->warm[index].slots : hand->warm[index].slots;
    for (; slots != 0; slots >>= 32) {
        /* nil is target 0, whose mark means nothing and which is never pushed */
        uint32_t target = (uint32_t)slots & SLOT_TARGET;
        uint64_t bit = 1ull << (target % 64), word = hand->marks[target / 64];
        hand->marks[target / 64] = word | bit;
        hand->stack[hand->count] = target;
        hand->count += (word & bit) == 0 && target != 0 && target < hand->push_below;
    }
}

/* The same for any living object; of one with a list only its beginning, which leaves it in gc->scan. */
static unsigned scan_object(struct gc *gc, uint32_t index)
{
    const struct heap *heap = gc->heap;
    unsigned ns = w0_ns(heap->hot[index].w0);
    if (ns >= NS_BLOCK) {
        gc->scan = index;
        gc->scan_slot = 0;
        return 1;
    }
    for (uint32_t slot = 0; slot < ns; slot++)
        if (slots_get(heap, index, slot) != 0)
            shade(gc, slots_get(heap, index, slot));
    return 1 + ns;
}

/* Goes on with the list of gc->scan, whatever has become of it: what was linked into slots that were passed has been
 * shaded, and a slot keeps its number when a list grows. */
static unsigned scan_list(struct gc *gc, unsigned units)
{
    const struct heap *heap = gc->heap;
    uint32_t index = gc->scan, count;
    if (w0_state(heap->hot[index].w0) != W0_ALIVE || gc->scan_slot >= slots_count(heap, index)) {
        gc->scan = 0;
        return 1;
    }
    const uint32_t *slot = slots_span(heap, index, gc->scan_slot, &count);
    count = count < units ? count : units;
    for (uint32_t k = 0; k < count; k++)
        if (slot[k] != 0)
            shade(gc, slot[k] & SLOT_TARGET);
    gc->scan_slot += count;
    return count;
}

/* ---- the stack ---- */

/* Scans small objects until the units are spent, nothing is left, or the next one in the ring is none. */
static unsigned scan_stack(struct gc *gc, unsigned units)
{
    struct hand hand = hand_of(gc);
    uint32_t *ring = gc->ring, head = gc->ring_head, queued = gc->ring_count;
    unsigned spent = 0;
    while (spent < units) {
        for (; hand.count > 0 && queued < GC_RING; queued++) {
            uint32_t index = hand.stack[--hand.count];
            bits_prefetch(&hand.hot[index]);
            bits_prefetch(&hand.warm[index]);
            ring[(head + queued) % GC_RING] = index;
        }
        if (queued == 0)
            break;
        uint32_t index = ring[head];
        uint64_t w0 = hand.hot[index].w0;
        if (unlikely(w0_state(w0) != W0_ALIVE || !is_small(&hand, w0)))
            break;
        head = (head + 1) % GC_RING;
        queued--;
        scan_inline(&hand, index, w0_ns(w0));
        spent += 1 + w0_ns(w0);
    }
    gc->stack_count = hand.count;
    gc->ring_head = head;
    gc->ring_count = queued;
    return spent;
}

/* Takes the next one out of the ring, whatever it is. 0: nothing there, and nothing on the stack. */
static unsigned scan_next(struct gc *gc)
{
    if (gc->ring_count == 0)
        return 0;
    uint32_t index = gc->ring[gc->ring_head];
    gc->ring_head = (gc->ring_head + 1) % GC_RING;
    gc->ring_count--;
    return w0_state(gc->heap->hot[index].w0) == W0_ALIVE ? scan_object(gc, index) : 1;
}

/* ---- the walk ---- */

/* An object that is_small() is not said of. */
static unsigned walk_large(struct gc *gc, struct hand *hand, uint32_t index)
{
    gc->stack_count = hand->count;
    unsigned spent = scan_object(gc, index);
    *hand = hand_of(gc);
    return spent;
}

/* Which of the objects of a word of the table are roots, looking at `word` of them: without a branch an object. */
static inline uint64_t roots_of(const struct hot *hot, uint64_t word)
{
    uint64_t roots = 0;
    for (; word != 0; word &= word - 1) {
        const struct hot *at = &hot[bits_lowest(word)];
        uint64_t outside = at->holder >> 32 | (at->w0 & W0_LINK), bit = word & -word;
        bits_prefetch(at + AHEAD);
        roots |= outside != 0 && w0_state(at->w0) == W0_ALIVE ? bit : 0;
    }
    return roots;
}

/* Looks at one word of the table, from the frontier on, for roots alone; ends early at one with a list, or without
 * room. */
static unsigned walk_roots(struct gc *gc, struct hand *hand, unsigned units)
{
    const uint64_t *free = (const void *)gc->heap->free_index.level[0].base;
    uint32_t first = gc->frontier - gc->frontier % 64, end = first + 64;
    uint64_t *marks = &hand->marks[first / 64];
    end = end < gc->top ? end : gc->top;
    end = end - gc->frontier < units ? end : gc->frontier + units;
    uint64_t word = ~(free[first / 64] | *marks) & UINT64_MAX << (gc->frontier % 64) &
                    UINT64_MAX >> (63 - (end - 1) % 64);
    unsigned spent = bits_count(word) + 1;
    gc->frontier = end;
    for (uint64_t roots = roots_of(&hand->hot[first], word); roots != 0; roots &= roots - 1) {
        uint32_t index = first + bits_lowest(roots);
        uint64_t w0 = hand->hot[index].w0;
        if ((*marks & roots & -roots) != 0) /* by one before it in this word */
            continue;
        *marks |= roots & -roots;
        if (unlikely(!is_small(hand, w0))) {
            gc->frontier = index + 1;
            return spent + walk_large(gc, hand, index);
        }
        scan_inline(hand, index, w0_ns(w0));
        spent += w0_ns(w0);
    }
    return spent;
}

/* The same of a lazy walk: also for what is marked, and scans that. */
static unsigned walk_lazily(struct gc *gc, struct hand *hand, unsigned units)
{
    const uint64_t *free = (const void *)gc->heap->free_index.level[0].base;
    uint32_t first = gc->frontier - gc->frontier % 64;
    uint64_t *marks = &hand->marks[first / 64], word = ~free[first / 64] & UINT64_MAX << (gc->frontier % 64);
    unsigned spent = 0;
    for (; word != 0 && spent < units; word &= word - 1) {
        uint32_t index = first + bits_lowest(word);
        const struct hot *hot = &hand->hot[index];
        uint64_t bit = word & -word, w0 = hot->w0;
        if (index >= gc->top) {
            word = 0;
            break;
        }
        bits_prefetch(hot + AHEAD);
        spent++;
        gc->frontier = index + 1;
        hand->push_below = gc->frontier;
        if (w0_state(w0) != W0_ALIVE || ((*marks & bit) == 0 && !is_held_outside(hot)))
            continue;
        *marks |= bit;
        if (unlikely(!is_small(hand, w0)))
            return spent + walk_large(gc, hand, index);
        scan_inline(hand, index, w0_ns(w0));
        spent += w0_ns(w0);
    }
    if (word != 0)
        return spent;
    gc->frontier = first + 64;
    return spent + 1;
}

/* Goes on from the frontier: marks what is held and scans it, and if it is lazy all that is marked. Pauses for what it
 * has put on the stack: what can be reached need not be passed as unmarked. 0: it is over. */
static unsigned walk(struct gc *gc, unsigned units)
{
    struct hand hand = hand_of(gc);
    uint32_t most = gc->lazy ? WALK_STACK : 0;
    unsigned spent = 0;
    while (spent < units && gc->frontier < gc->top && gc->scan == 0 && hand.count <= most)
        spent += gc->lazy ? walk_lazily(gc, &hand, units - spent) : walk_roots(gc, &hand, units - spent);
    gc->stack_count = hand.count;
    if (gc->frontier >= gc->top)
        gc->frontier = GC_NONE;
    return spent;
}

unsigned mark_grey(struct gc *gc, unsigned units)
{
    unsigned spent = 0;
    while (spent < units) {
        unsigned done = gc->scan != 0 ? scan_list(gc, units - spent) : scan_stack(gc, units - spent);
        if (done == 0 && (done = scan_next(gc)) == 0 && (done = walk(gc, units - spent)) == 0)
            return spent;
        spent += done;
    }
    return spent;
}

/* ---- beginning ---- */

#define SAMPLES 64u

/* Whether at least a quarter of the objects are roots, by a sample. */
static bool has_many_roots(const struct gc *gc)
{
    uint32_t alive = 0, held = 0;
    for (uint32_t k = 0; k < SAMPLES; k++) {
        const struct hot *hot = &gc->heap->hot[(uint64_t)k * gc->top / SAMPLES];
        alive += w0_state(hot->w0) == W0_ALIVE;
        held += w0_state(hot->w0) == W0_ALIVE && is_held_outside(hot);
    }
    return held * 4 >= alive;
}

void mark_begin(struct gc *gc)
{
    gc->frontier = 1;
    gc->lazy = has_many_roots(gc);
}
