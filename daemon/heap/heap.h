/* SPDX-License-Identifier: BSD-3-Clause */
/* The heap of one pool: an image in two regions and what is derived from it.
 *
 * It knows objects, values, slots and cells as storage; who holds what and why is the pool's business, when
 * something dies the collector's (gc/). Rules for everyone who writes to the image:
 *
 *   check, prepare (image_prepare: what nobody can reach yet), image_store for each reachable word of truth,
 *   image_commit, and only then give back blocks, cells and indexes.
 *
 * Invariants: sb->index_top <= index_ready; an index below the top is FREE and in free_index, or taken by an
 * operation under way, or ALIVE, or ZERO and in the zero queue, or retired. `in` of an object is the number
 * of slots of objects that are not FREE which name it (of a condemned object, see COLLECT_SWEEP, it is not
 * kept). slots_linked, slots_plain and slots_against count the slots of objects that are not FREE. The undo
 * log is empty between operations.
 *
 * Errors: 0 or negative errno (-ENOMEM: budget or file system spent). */
#ifndef HEAP_HEAP_H
#define HEAP_HEAP_H

#include "daemon/base/bits.h"
#include "daemon/base/freeset.h"
#include "daemon/base/index.h"
#include "daemon/heap/blocks.h"
#include "daemon/heap/format.h"
#include "daemon/heap/region.h"

typedef uint64_t oid_t;

/* A finished or running value block that must stay while it is being sent. */
struct pin {
    uint64_t value; /* word: position and length; 0: free */
    uint32_t count;
    uint32_t next; /* in the free list */
    uint8_t dead;  /* its object is gone: free the block at the last unpin */
    bool versioned;
};

/* What a collection of cycles asks of everyone else (gc/gc.h is its owner). MARK: a reference that comes must not
 * be hidden from it. SWEEP: what is alive and not marked is condemned, its id is GONE. */
enum collecting { COLLECT_NONE, COLLECT_MARK, COLLECT_SWEEP };

#define SPARE_CELLS   64u
#define SPARE_INDEXES 64u
#define SPARE_BLOCKS  64u
/* Bytes of a value, with its version: most are so small, which is looked at inline. */
#define PAYLOAD_SMALL 128u
#define SPARE_CLASSES (PAYLOAD_SMALL / 8)

/* Blocks of one class that are free but not given back to their run, newest last: those that come with a put and go with a
 * release need no look at runs and bitmaps, and the newest are in the cache. Blocks counts them as free (used[],
 * live_bytes); runs and bitmaps know them as in use. */
struct spare_blocks {
    uint32_t count;
    uint32_t at[SPARE_BLOCKS]; /* in BLOCK_UNITs */
};

struct heap {
    struct region meta, values;
    struct superblock *sb;
    struct undo_log *log;
    struct hot *hot;
    struct warm *warm;
    struct reserve marks; /* the collection's, one bit an index; as long as the table */
    bool has_marks;       /* false: no full collection has begun yet, all are 0 */
    enum collecting collecting;
    struct blocks cells, lists, payloads;
    struct freeset free_index;
    struct freeset quarantine;           /* free indexes that may not be used before the collection's end */
    uint32_t spare_index[SPARE_INDEXES]; /* free ones on top of that, newest last: they are in the cache */
    uint32_t spare_index_count;
    uint32_t index_ready;             /* indexes below are backed */
    uint64_t hot_backed, warm_backed; /* bytes */
    struct ahead hot_ahead, warm_ahead;

    uint64_t alive, open, value_bytes, retired, made,
        freed; /* objects alive, of them open, bytes of their values ... */

    /* Slots that name something, by how they came to be; of the linked ones, those whose target's index is not
     * above their own. See heap_may_have_cycles(). */
    uint64_t slots_linked, slots_plain, slots_against;

    struct reserve pins;
    struct index pin_index;
    uint32_t pins_used, pins_free;
    uint64_t pins_count;

    /* Cells of holds that are free but not given back to their run: they come and go with every retain by a
     * second session, and the newest are in the cache. */
    uint32_t spare_cells[SPARE_CELLS];
    uint32_t spare_count;

    /* Of payloads, by class; at most so many of each. None in a sparse pool, where they would keep arenas, and while blocks
     * are moved. */
    struct spare_blocks spare_blocks[SPARE_CLASSES];
    uint32_t spares_most;
    bool moves_blocks;

    bool hurries; /* memory is given back though a save is short of buffers */

    uint64_t work; /* units of work ever done in loops over what clients made or sent; see pool_work() */

    uint32_t zero_head; /* the queue of the dead, through `in`; 0 ends (gc/reap.c) */
    uint64_t zero_count;

    /* The running audit's own count of slots (pool/verify.c); NULL: none. It has counted the entries below
     * audit_cursor and the slots of that one below audit_slot. */
    uint32_t *audit;
    uint32_t audit_cursor, audit_slot;

    struct mem *mem;
};

struct heap_config {
    const char *name;
    uint64_t max_bytes; /* the areas have room for so much */
    uint64_t own_limit; /* kept in the image; 0: none */
    uint64_t epoch;
    uint32_t serial_base;
    uint64_t born_ms, first_sid;
    int fd_meta, fd_values; /* two empty files for it; both -1: memfds */
    const struct region_io *io;
    struct mem *mem;
};

/* A new image. The heap owns the files; given ones stay the caller's on failure. */
int heap_create(struct heap *heap, const struct heap_config *config);
/* Maps an image; the caller then recovers it (recover.h). Takes the fds over on success unless is_private.
 * -EINVAL: not an image, `*ret_wrong` says why. */
int heap_map(struct heap *heap, int fd_meta, int fd_values, bool is_private, const struct region_io *io,
             struct mem *mem, const char **ret_wrong);
void heap_close(struct heap *heap);
uint64_t superblock_checksum(const struct superblock *sb);
/* An image of an older format, which is one of the newest with less in it, is said to be of the newest: at the end of its
 * recovery. */
void heap_make_current(struct heap *heap);

/* ---- stores into the image ---- */

/* Stands before stores that do without the three below: a save may want to see the word of meta as it is. */
static inline void image_touch(struct heap *heap, const void *word)
{
    region_touch(&heap->meta, (uint64_t)((const uint8_t *)word - heap->meta.base), 8);
}

/* A word that nobody can reach yet. */
static inline void image_prepare(struct heap *heap, uint64_t *word, uint64_t value)
{
    *word = value;
    region_stored(&heap->meta);
}

/* A single word of truth that is its own operation: high-water marks, deaths. */
static inline void image_set(struct heap *heap, uint64_t *word, uint64_t value)
{
    image_touch(heap, word);
    atomic_signal_fence(memory_order_seq_cst);
    *word = value;
    region_stored(&heap->meta);
}

/* The one way to change reachable truth: the old value is in the log before the new one is in its place. */
static inline void image_store(struct heap *heap, uint64_t *word, uint64_t value)
{
    struct undo_log *log = heap->log;
    uint64_t n = log->n;
    assert(n < UNDO_MAX);
    image_touch(heap, word);
    log->record[n].offset = (uint64_t)((uint8_t *)word - heap->meta.base);
    log->record[n].old = *word;
    region_stored(&heap->meta);
    log->n = n + 1;
    region_stored(&heap->meta);
    *word = value;
    region_stored(&heap->meta);
}

/* All stores since the last commit become one. */
static inline void image_commit(struct heap *heap)
{
    atomic_signal_fence(memory_order_seq_cst);
    heap->log->n = 0;
    region_stored(&heap->meta);
}

/* Takes all stores since the last commit back. For operations that fail halfway, and for recovery. */
void image_rollback(struct heap *heap);

/* ---- objects ---- */

static inline uint32_t id_index(oid_t id)
{
    return (uint32_t)id;
}

static inline uint64_t w0_gen(uint64_t w0)
{
    return w0 & W0_GEN;
}

static inline uint64_t w0_state(uint64_t w0)
{
    return w0 & W0_STATE;
}

static inline enum form w0_form(uint64_t w0)
{
    return (enum form)((w0 & W0_FORM) >> W0_FORM_SHIFT);
}

static inline unsigned w0_ns(uint64_t w0)
{
    return (unsigned)((w0 & W0_NS) >> W0_NS_SHIFT);
}

/* Of a dead object: why it died. */
static inline enum reason w0_reason(uint64_t w0)
{
    return (enum reason)((w0 & W0_WHY) >> W0_WHY_SHIFT);
}

static inline unsigned w0_link(uint64_t w0)
{
    return (unsigned)((w0 & W0_LINK) >> W0_LINK_SHIFT);
}

static inline oid_t heap_id(const struct heap *heap, uint32_t index)
{
    uint64_t serial = (w0_gen(heap->hot[index].w0) + heap->sb->serial_base) & W0_GEN;
    return serial << 32 | index;
}

static inline bool heap_is_marked(const struct heap *heap, uint32_t index)
{
    return ((const uint64_t *)(const void *)heap->marks.base)[index / 64] >> (index % 64) & 1;
}

static inline void heap_unmark(struct heap *heap, uint32_t index)
{
    ((uint64_t *)(void *)heap->marks.base)[index / 64] &= ~(1ull << (index % 64));
}

static inline void heap_mark(struct heap *heap, uint32_t index)
{
    ((uint64_t *)(void *)heap->marks.base)[index / 64] |= 1ull << (index % 64);
}

/* Whether a living object is found to be unreachable and waits to be freed. */
static inline bool heap_is_condemned(const struct heap *heap, uint32_t index)
{
    return heap->collecting == COLLECT_SWEEP && !heap_is_marked(heap, index);
}

/* The entry of a living object, or NULL if the id names none. */
static inline struct hot *heap_find(const struct heap *heap, oid_t id)
{
    uint32_t index = id_index(id);
    if (unlikely(index >= heap->sb->index_top))
        return NULL;
    struct hot *hot = &heap->hot[index];
    uint64_t serial = (hot->w0 + heap->sb->serial_base) & W0_GEN; /* the generation is the lowest bits */
    bool alive = likely(id >> 32 == serial && (hot->w0 & W0_STATE) == W0_ALIVE); /* nil's entry never is */
    return alive && likely(!heap_is_condemned(heap, index)) ? hot : NULL;
}

/* An entry is about to be filled. Its hot half has been seen by a save when it died, if it was alive then. */
static inline uint32_t index_give_out(struct heap *heap, uint32_t index)
{
    image_touch(heap, &heap->warm[index]);
    return index;
}

/* An index to build an object in; its entry is FREE. 0: no memory. Give it back with index_give() if nothing
 * came of it. */
uint32_t index_take_any(struct heap *heap);
static inline uint32_t index_take(struct heap *heap)
{
    if (likely(heap->spare_index_count > 0))
        return index_give_out(heap, heap->spare_index[--heap->spare_index_count]);
    return index_take_any(heap);
}
static inline void index_give(struct heap *heap, uint32_t index)
{
    if (heap->spare_index_count < SPARE_INDEXES)
        heap->spare_index[heap->spare_index_count++] = index;
    else
        freeset_add(&heap->free_index, index);
}
/* The same for some of the 64 from `first` (a multiple of 64) on, one bit each; but they are not given out before
 * quarantine_end() has come to them. */
void index_give_later(struct heap *heap, uint32_t first, uint64_t indexes);
/* Frees what is in quarantine among the 64 indexes from `first`, a multiple of 64. */
void quarantine_end(struct heap *heap, uint32_t first);
/* Whether the table should be made ready ahead of need; and more entries, at least one. */
bool table_wants_room(const struct heap *heap);
int table_grow(struct heap *heap);
/* Private memory for indexes below `end`; false: none. */
bool table_know(struct heap *heap, uint64_t end);

/* ---- slots pointing at an object ---- */

/* Whether the running audit has counted that slot already. */
static inline bool audit_has(const struct heap *heap, uint32_t from, uint32_t slot)
{
    return from < heap->audit_cursor || (from == heap->audit_cursor && slot < heap->audit_slot);
}

/* One more or less (change: 1 or -1) of the slots that name something. */
static inline void count_slot(struct heap *heap, uint32_t from, uint32_t edge, uint64_t change)
{
    if ((edge & SLOT_LINKED) == 0) {
        heap->slots_plain += change;
        return;
    }
    heap->slots_linked += change;
    heap->slots_against += (edge & SLOT_TARGET) <= from ? change : 0;
}

/* A slot (SLOT_..., not nil) of object `from` comes or goes. */
static inline void in_add(struct heap *heap, uint32_t from, uint32_t slot, uint32_t edge)
{
    uint32_t to = edge & SLOT_TARGET;
    heap->hot[to].in++;
    count_slot(heap, from, edge, 1);
    if (unlikely(heap->audit != NULL) && audit_has(heap, from, slot))
        heap->audit[to]++;
}

/* While no audit runs. */
static inline void in_drop_alone(struct heap *heap, uint32_t from, uint32_t edge)
{
    heap->hot[edge & SLOT_TARGET].in--;
    count_slot(heap, from, edge, UINT64_MAX);
}

static inline void in_drop(struct heap *heap, uint32_t from, uint32_t slot, uint32_t edge)
{
    in_drop_alone(heap, from, edge);
    if (unlikely(heap->audit != NULL) && audit_has(heap, from, slot))
        heap->audit[edge & SLOT_TARGET]--;
}

/* The slot named `before` and names `edge` from now on; one of them may be nil. */
static inline void in_replace(struct heap *heap, uint32_t from, uint32_t slot, uint32_t before, uint32_t edge)
{
    if (likely((before & edge & SLOT_LINKED) != 0) && likely(heap->audit == NULL)) {
        heap->hot[edge & SLOT_TARGET].in++;
        heap->hot[before & SLOT_TARGET].in--;
        heap->slots_against += (uint64_t)((edge & SLOT_TARGET) <= from) - ((before & SLOT_TARGET) <= from);
        return;
    }
    if (edge != 0)
        in_add(heap, from, slot, edge);
    if (before != 0)
        in_drop(heap, from, slot, before);
}

/* False: it is certain that no slots make a cycle. Without linked slots all lead from newer to older objects; with
 * nothing but linked slots that do not go against the order of indexes, all lead upwards. */
static inline bool heap_may_have_cycles(const struct heap *heap)
{
    return heap->slots_linked != 0 && (heap->slots_plain != 0 || heap->slots_against != 0);
}

/* ---- slots of an object (slots.c) ---- */

static inline uint32_t slots_count(const struct heap *heap, uint32_t index)
{
    unsigned ns = w0_ns(heap->hot[index].w0);
    return ns < NS_BLOCK ? ns : (uint32_t)(heap->warm[index].slots >> 32);
}
/* All slots of an object that has up to two (`ns`), the first one lowest. */
static inline uint64_t slots_in_entry(const struct warm *warm, unsigned ns)
{
    static const uint64_t named[NS_BLOCK] = {0, UINT32_MAX, UINT64_MAX};
    return warm->slots & named[ns];
}
/* The place of one slot; below the count, or at it when there is room. Up to two are in the entry. */
uint32_t *slots_at_list(const struct heap *heap, uint32_t index, uint32_t slot); /* for slots_at() */
static inline uint32_t *slots_at(const struct heap *heap, uint32_t index, uint32_t slot)
{
    if (likely(w0_ns(heap->hot[index].w0) < NS_BLOCK))
        return (uint32_t *)(void *)&heap->warm[index].slots + slot;
    return slots_at_list(heap, index, slot);
}
/* The target of a slot, 0: nil; and the slot as it is kept (SLOT_...). */
static inline uint32_t slots_edge(const struct heap *heap, uint32_t index, uint32_t slot)
{
    return *slots_at(heap, index, slot);
}
static inline uint32_t slots_get(const struct heap *heap, uint32_t index, uint32_t slot)
{
    return slots_edge(heap, index, slot) & SLOT_TARGET;
}
/* Prefetches the list of an object whose entry is at hand: it will be looked at soon. */
void slots_bring_near(const struct heap *heap, uint32_t index);
/* The slots from `slot` (below the count) on that lie side by side: their place, and how many. */
static inline const uint32_t *slots_span(const struct heap *heap, uint32_t index, uint32_t slot,
                                         uint32_t *ret_count)
{
    uint32_t left = slots_count(heap, index) - slot, row = SEGMENT_SLOTS - slot % SEGMENT_SLOTS;
    *ret_count = w0_ns(heap->hot[index].w0) == NS_SEGMENTS && row < left ? row : left;
    return slots_at(heap, index, slot);
}
/* Prepares the slots of an entry under construction from `targets` (SLOT_...): sets warm->slots and returns the w0
 * bits in *ret_ns; does not touch `in`.
 * -ENOMEM: nothing allocated. */
int slots_prepare_list(struct heap *heap, uint32_t index, const uint32_t *targets, uint32_t count,
                       uint64_t *ret_ns); /* for slots_prepare() */
static inline int slots_prepare(struct heap *heap, uint32_t index, const uint32_t *targets, uint32_t count,
                                uint64_t *ret_ns)
{
    if (count > 2)
        return slots_prepare_list(heap, index, targets, count, ret_ns);
    uint64_t word = count > 0 ? targets[0] : 0;
    image_prepare(heap, &heap->warm[index].slots, word | (count > 1 ? (uint64_t)targets[1] << 32 : 0));
    *ret_ns = (uint64_t)count << W0_NS_SHIFT;
    return 0;
}
/* A list of slots that an operation has replaced; freed after its commit. */
struct slots_old {
    uint64_t offset[2];
    uint32_t room[2];
    unsigned count;
};
/* Stores (by image_store) `target` (SLOT_...) into an existing slot, or appends when slot == count. Does not touch
 * `in`. -ENOMEM: nothing stored. */
int slots_store(struct heap *heap, uint32_t index, uint32_t slot, uint32_t target, struct slots_old *old);
void slots_old_free(struct heap *heap, const struct slots_old *old);
/* Unmaking the list of an object that is dead or was never alive: begin, pop `link` times, free. Pop takes
 * the last slot off, tells it as it was kept, and frees segments as they become empty, so that a list of
 * millions can be unmade in steps. */
void slots_unmake(struct heap *heap, uint32_t index);
/* A slot of an object that nobody can reach becomes nil. */
static inline void slots_forget(struct heap *heap, uint32_t index, uint32_t slot)
{
    image_touch(heap, slots_at(heap, index, slot));
    *slots_at(heap, index, slot) = 0;
    region_stored(&heap->meta);
}
uint32_t slots_pop(struct heap *heap, uint32_t index);
void slots_free(struct heap *heap, uint32_t index);
/* Of a living object with a list in blocks: moves one of these, *part, out of an arena that is being left. Between two
 * operations. *part is the next one then, 0: that was the last. Returns the bytes copied, 0: it may stay; -ENOMEM; -EAGAIN as
 * value_move(), *part is as it was. */
int slots_move(struct heap *heap, uint32_t index, uint32_t *part, bool at_once);
/* The list's shape, and its blocks: inside the area, the same and admitted, claimed (both for recovery), or allocated
 * (for the audit). NULL: sound. */
enum slots_check_mode { SLOTS_BOUNDS, SLOTS_ADMIT, SLOTS_CLAIM, SLOTS_ALLOCATED };
const char *slots_check(struct heap *heap, uint32_t index, enum slots_check_mode mode);

/* ---- values (values.c) ---- */

static inline uint32_t value_size(uint64_t value)
{
    return (uint32_t)(value >> 32);
}

static inline uint64_t value_block_bytes(uint64_t w0, uint64_t value)
{
    return value_size(value) + ((w0 & W0_VERSIONED) != 0 ? 8u : 0u);
}

static inline uint64_t value_offset(uint64_t bytes, uint64_t value)
{
    return (uint64_t)(uint32_t)value * (bytes > BLOCK_MAX ? PAGE_BYTES : BLOCK_UNIT);
}

/* Where the payload of an entry is. */
static inline const uint8_t *value_data(const struct heap *heap, const struct hot *hot)
{
    if ((hot->w0 & W0_INLINE) != 0)
        return (const uint8_t *)&hot->value;
    return heap->values.base + value_offset(value_block_bytes(hot->w0, hot->value), hot->value);
}

static inline uint64_t value_version(const struct heap *heap, const struct hot *hot)
{
    uint64_t version = 1;
    if (unlikely((hot->w0 & W0_VERSIONED) != 0))
        __builtin_memcpy(&version, value_data(heap, hot) + value_size(hot->value), 8);
    return version;
}

static inline unsigned payload_class_small(uint64_t bytes)
{
    return (unsigned)(bytes - 1) / 8;
}
/* Room for `size` bytes (+ 8 of version); *ret_value is the word. Empty values have the word 0. */
int value_alloc_any(struct heap *heap, uint64_t size, bool versioned, uint64_t *ret_value);
static inline int value_alloc(struct heap *heap, uint64_t size, bool versioned, uint64_t *ret_value)
{
    uint64_t bytes = size + (versioned ? 8u : 0u), offset = 0;
    if (unlikely(bytes - 1 >= PAYLOAD_SMALL))
        return value_alloc_any(heap, size, versioned, ret_value);
    struct spare_blocks *spare = &heap->spare_blocks[payload_class_small(bytes)];
    if (likely(spare->count > 0)) {
        uint32_t at = spare->at[--spare->count];
        blocks_reuse(&heap->payloads, payload_class_small(bytes), (uint64_t)at * BLOCK_UNIT);
        *ret_value = size << 32 | at;
        return 0;
    }
    int err = blocks_alloc(&heap->payloads, payload_class_small(bytes), &offset);
    if (likely(err == 0))
        *ret_value = size << 32 | offset / BLOCK_UNIT;
    return err;
}
/* Where the block of that word is (not for inline values). */
static inline uint8_t *value_at(const struct heap *heap, uint64_t value, bool versioned)
{
    return heap->values.base + value_offset(value_size(value) + (versioned ? 8u : 0u), value);
}
/* Frees the block of a word that no entry has any more, unless it is pinned: then the last unpin does. */
void value_free_any(struct heap *heap, uint64_t value, bool versioned);
void value_free_to_run(struct heap *heap, unsigned class, uint64_t offset); /* no spare one */
static inline void value_free(struct heap *heap, uint64_t value, bool versioned)
{
    uint64_t bytes = value_size(value) + (versioned ? 8u : 0u);
    if (unlikely(bytes - 1 >= PAYLOAD_SMALL || heap->pins_count != 0)) {
        value_free_any(heap, value, versioned);
        return;
    }
    unsigned class = payload_class_small(bytes);
    struct spare_blocks *spare = &heap->spare_blocks[class];
    if (likely(spare->count < heap->spares_most && !blocks_are_sparse(&heap->payloads))) {
        blocks_spare(&heap->payloads, class, value_offset(bytes, value));
        spare->at[spare->count++] = (uint32_t)value;
    } else {
        value_free_to_run(heap, class, value_offset(bytes, value));
    }
}
/* As blocks_set_aside() and blocks_set_back(). Spare blocks would be in what is set aside, so there are none then. */
void value_set_aside(struct heap *heap, uint64_t bytes);
void value_set_back(struct heap *heap);
/* Gives all spare blocks back to their runs; false: there were none. */
bool value_spares_give(struct heap *heap);
/* For the walker: whether the block of that word, of so many bytes, is a spare one, which no living entry's is; and what
 * is wrong with the spare ones, or NULL. */
bool value_is_spare(const struct heap *heap, uint64_t bytes, uint64_t value);
const char *value_spares_check(const struct heap *heap);
/* The same before blocks are moved: there are none until that ends. */
void value_moves(struct heap *heap, bool begin);
/* Gives the value of a living entry another block of the same size. Between two operations. Returns the bytes copied; 0: it is
 * pinned, and stays; -ENOMEM; -EAGAIN: not `at_once`, and an arena is to be made ready first (blocks_prepare()). */
int value_move(struct heap *heap, struct hot *hot, bool at_once);
/* What freeing the value of a living entry looks at. */
void value_prefetch_free_any(const struct heap *heap, const struct hot *hot);
static inline void value_prefetch_free(const struct heap *heap, const struct hot *hot)
{
    uint64_t bytes = value_block_bytes(hot->w0, hot->value);
    if (unlikely(bytes - 1 >= PAYLOAD_SMALL || (hot->w0 & W0_INLINE) != 0)) {
        value_prefetch_free_any(heap, hot);
        return;
    }
    unsigned class = payload_class_small(bytes);
    if (unlikely(heap->spare_blocks[class].count + SPARE_BLOCKS / 2 > heap->spares_most ||
                 heap->pins_count != 0))
        blocks_prefetch(&heap->payloads, class, value_offset(bytes, hot->value));
}
/* Backs [offset, offset+size) of a huge one. */
int value_back_any(struct heap *heap, uint64_t value, bool versioned, uint64_t offset, uint64_t size);
static inline int value_back(struct heap *heap, uint64_t value, bool versioned, uint64_t offset,
                             uint64_t size)
{
    return likely(value_size(value) <= BLOCK_MAX) ? 0 : value_back_any(heap, value, versioned, offset, size);
}
bool value_backed(const struct heap *heap, uint64_t value, bool versioned, uint64_t *ret_at);
unsigned payload_class(uint64_t bytes);
uint32_t payload_pages(uint64_t bytes);

int value_pin(struct heap *heap, const struct hot *hot, uint64_t *ret_pin);
void value_unpin(struct heap *heap, uint64_t pin);

/* ---- cells (cells.c) ---- */

static inline void *cell_at(const struct heap *heap, uint32_t ref)
{
    return heap->meta.base + heap->sb->cells_at + (uint64_t)ref * CELL_UNIT;
}

static inline unsigned cell_type(const struct heap *heap, uint32_t ref)
{
    return heap->cells.types[(uint64_t)ref * CELL_UNIT / CELL_RUN];
}

static inline bool cell_is_name(unsigned type)
{
    return type >= CELL_NAME && type < CELL_NAME + CELL_NAME_CLASSES;
}

/* The type for a name of that many bytes, 1 ... 255. */
unsigned cell_name_type(uint32_t size);
/* Out of a run of the type, and back to it. */
uint32_t cell_alloc(struct heap *heap, unsigned type);
void cell_free(struct heap *heap, uint32_t ref);
/* A free cell, its first word 0. 0: no memory. (Ref 0 is never given out.) */
static inline uint32_t cell_take(struct heap *heap, unsigned type)
{
    if (type == CELL_HOLD && likely(heap->spare_count > 0))
        return heap->spare_cells[--heap->spare_count];
    return cell_alloc(heap, type);
}
/* Its first word must be 0 already. */
static inline void cell_give(struct heap *heap, uint32_t ref)
{
    if (likely(cell_type(heap, ref) == CELL_HOLD && heap->spare_count < SPARE_CELLS))
        heap->spare_cells[heap->spare_count++] = ref;
    else
        cell_free(heap, ref);
}
/* Bytes of a cell of that type; 0: no such type. */
uint32_t cell_bytes(unsigned type);

static inline uint64_t cell_name_version(const struct cell_name *cell)
{
    return (uint64_t)cell->version_high << 32 | cell->version_low;
}

/* ---- memory ahead of need (ahead.h) ---- */

/* Whether another thread should make a piece ready: then *ret is for it, and ahead_end(*ret_ahead) must follow before the
 * heap is closed. */
bool heap_ahead_begin(struct heap *heap, struct ahead_job *ret, struct ahead **ret_ahead);
/* When memory is short: gives back a piece that is ready and that nobody needed yet. False: there is none. */
bool heap_ahead_give(struct heap *heap);

/* ---- replay windows (windows.c) ---- */

/* The oldest record that is valid; those below head are. */
static inline uint64_t window_first(const struct cell_window *window)
{
    return window->head < REPLAY_SLOTS ? 0 : window->head - (REPLAY_SLOTS - 1);
}

static inline struct replay_record *window_at(struct cell_window *window, uint64_t number)
{
    return &window->record[number % REPLAY_SLOTS];
}

/* Bytes of the block that a record's words stand in; 0: it has none. */
static inline uint32_t record_block_bytes(const struct replay_record *record)
{
    uint32_t words = record->kind == REPLAY_UINTS   ? record->count
                     : record->kind == REPLAY_PAIRS ? record->count * 2u
                                                    : 0;
    return words <= 2 ? 0 : words * 8;
}

/* A block for the words of a record, at most BLOCK_MAX bytes: its place for word[0]. -ENOMEM. */
int record_block_alloc(struct heap *heap, uint32_t bytes, uint64_t *ret_place);
void record_block_free(struct heap *heap, uint32_t bytes, uint64_t place);
/* The words of a record, wherever they stand. */
const uint64_t *record_words(const struct heap *heap, const struct replay_record *record);
uint64_t *record_block(const struct heap *heap, uint64_t place);
/* Runs of equal numbers in 16 bytes: for each run its length and its number, 7 bits a byte, the lowest first, with the top
 * bit where more follow. What is behind the last run does not matter. */
#define RUNS_BYTES 16u
/* False: they do not fit. */
bool runs_pack(const uint64_t *numbers, uint32_t count, uint64_t ret[RUNS_BYTES / 8]);
/* The run at *at, which then is behind it: its length; 0: there is none that could be. */
uint64_t runs_next(const uint64_t words[RUNS_BYTES / 8], uint32_t *at, uint64_t *ret_number);

/* What is wrong with a window's records and blocks, which are admitted, claimed, or looked at as allocated (for the
 * audit); NULL: sound. */
const char *window_check(struct heap *heap, struct cell_window *window, enum slots_check_mode mode);
/* Gives back the blocks of a window that ends; how many there were. */
unsigned window_clear(struct heap *heap, struct cell_window *window);

/* ---- background ---- */

/* Less than a sixteenth of its memory is left. */
bool heap_is_nearly_full(const struct heap *heap);
/* Whether what makes copies for a save, and could be done later, is to wait: the save has used up half of its buffers, and
 * all that requests change until some are back must be copied, too. Never when memory is nearly spent, nor after
 * heap_need_memory(): what waits is memory that nobody uses. */
bool heap_waits_for_save(const struct heap *heap);
/* An allocation has failed: until the end of the save that is running nothing waits for it, and spare blocks go back to
 * their runs, which may be all that these still have. True: there were some, so there may be room now. */
bool heap_need_memory(struct heap *heap);
/* One piece of memory given back or made ready; false: nothing to do. */
bool heap_step(struct heap *heap);
bool heap_has_work(const struct heap *heap);

#endif
