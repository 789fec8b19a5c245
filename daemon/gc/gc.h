/* SPDX-License-Identifier: BSD-3-Clause */
/* Death, and the collector of cycles.
 *
 * An object whose last reference goes is dead at once, its id GONE. One without slots that is small, and whose death
 * nobody waits for, is freed right there. All others are ZERO, in the zero queue; the reaper drops their slots in steps,
 * which may let others die, and frees them. What only a cycle of slots keeps is found by a *full collection*: an
 * incremental mark and sweep whose roots are the objects held from outside. That is known exactly, so no stack has to be
 * scanned, and no phase stops the pool. README.md shows all of it on one example.
 *
 * A collection is a state machine, driven by gc_step() in units (an edge, an object, a guard or a word of a bitmap
 * looked at). Between two steps clients change what they like; the barriers below keep what the collection counts on:
 *
 *   phase     each unit does                                           ends when               then
 *   IDLE      nothing                                                  a trigger, or a call    CLEAR
 *   CLEAR     clears 64 words of marks                                 all are clear           MARK
 *   MARK      scans an object, or passes one in the walk for roots     nothing is grey         GUARDS
 *   GUARDS    looks for guarded objects that are not marked            all are passed          DELIVER
 *   DELIVER   delivers one of those: its guard becomes a hold          none is left            REPORT
 *   REPORT    counts or explains what is unreachable, if asked to      all are passed          SWEEP; dry: IDLE
 *   SWEEP     drops a slot of, or frees, a condemned object            all are passed          MERGE
 *   MERGE     takes the indexes that the sweep freed out of quarantine all are passed          IDLE
 *
 * From MARK to REPORT whatever becomes grey is scanned first, and SWEEP begins in an instant in which nothing is grey
 * and no dead object waits to be freed.
 *
 * Words: an object is *marked* when its bit is set, *grey* when it is marked and not all its slots were seen (it is
 * on the stack, in the ring, or being scanned, or lies ahead of a lazy walk), *black* when it is marked and not grey,
 * *condemned* when it is not marked in SWEEP.
 *
 * Invariants (the numbers are those of the walker and of the tests):
 *  I1 `in` of an object that is not condemned is the number of slots, of objects that are not free, that name it.
 *  I2 from MARK to REPORT no black object has a slot on one that is not marked; and what is held from outside is
 *     marked, or lies ahead of the frontier.
 *  I3 in SWEEP no slot of a marked object, and none of a dead one in the zero queue, names a condemned object.
 *  I4 while no suspect waits, none is unresolved and the zero queue is empty, there is no garbage.
 *
 * Before that, *young collections* look at suspects while they are few: an object that lost a reference and lives on by
 * slots alone waits in a ring for a *trial* (trial.h), one piece of bounded work, which finds small cycles without
 * a look at the rest of the pool. They run in phase IDLE only. A suspect that no trial has resolved counts as
 * *unresolved* until the next full collection; so does every one from MARK on, because a mark may come after the loss.
 * After a collection its marks stay: they tell young objects from old ones, and are taken from what dies.
 *
 * Marks, stack and queues are private and derived: a recovered image needs none of them, because recovery frees all
 * that is unreachable itself. What a sweep writes to the image is death alone, one store an object (generation + 1,
 * FREE), of objects that nothing reachable leads to; their order does not matter.
 *
 * Memory: the bitmaps grow with the table and one page of stack is there from the start. If the stack cannot grow, the
 * walk goes back to what did not fit: slower, never wrong. So no step can fail. */
#ifndef GC_GC_H
#define GC_GC_H

#include "daemon/gc/explain.h"
#include "daemon/gc/facts.h"
#include "daemon/heap/heap.h"

#define GC_RING 32u /* grey objects prefetched ahead (measured: 7.5 times faster) */

/* The layer above, which owns labels and guards. */
struct gc_owner {
    void *arg;
    /* An object that is watched, or has a label, is about to be freed; its entry is still whole. */
    void (*freed)(void *arg, uint32_t index);
    /* Nothing else keeps this guarded object: turns its guard into a hold of the guard's session (and calls
     * gc_unguard()), or calls gc_unguard() because that session is ending. False: no memory, nothing has changed. */
    bool (*deliver)(void *arg, uint32_t index);
    explain_tag *tag;
};

/* Collections of one sort. One that is asked for is the next to begin; those who ask before that share it. */
struct gc_runs {
    uint64_t begun, wanted, done; /* numbers of collections, from 1 */
    struct gc_result last;        /* of the one that was done last */
    struct explain *next;         /* for the next one, if it was asked to explain itself; else NULL */
    struct explain *explained;    /* of the last one that did; NULL: none */
};

/* Young collections (young.c): trials (trial.h) of the suspects that wait, those first that came first. */
struct gc_young {
    struct reserve ring;     /* of u32, GC_SUSPECTS places: indexes of suspects; of some the object is gone */
    uint64_t pushed, popped; /* in the ring are the last pushed - popped */
    uint64_t room_end;     /* it has room for what is pushed before these many; for more it has to be asked */
    uint64_t since_ms;     /* those that wait have not waited for longer than since then */
    uint64_t begun, ended; /* collections, from 1 */
    bool is_next;          /* if both sorts are asked for: the last that began was a full one */
    bool short_of_memory;  /* an allocation failed while suspects waited, and the next one has not ended */
    bool runs, dry_run;    /* a collection is under way ... */
    uint64_t until;        /* ... of the suspects that were pushed before these many */
    uint64_t objects_end, bytes_end; /* a pool that has grown to this (bytes of values) has the next one */
    enum gc_young_trigger trigger;
    struct gc_result running;
    struct {
        uint64_t begun, wanted, done;
        struct gc_result last;
    } run[2];                         /* real, dry; as struct gc_runs, of those that were asked for */
    bool worked;                      /* in the steps that gc_stepped() is told of next */
    uint64_t done[GC_YOUNG_TRIGGERS]; /* dry runs too */
    struct gc_result total;           /* of those that were no dry runs */
    uint32_t nodes_most;              /* of a trial: TRIAL_NODES; tests take less */
};

struct gc {
    struct heap *heap;
    struct gc_owner owner;
    struct gc_config config;
    uint64_t now_ms; /* from gc_tick() */
    /* Why an object that dies now does. RELEASE but within gc_drop() of a caller who has set another; what dies of the
     * dead has their reason, and what nobody could see yet ABORT. What is condemned has none in its entry: CYCLE. */
    enum reason reason;

    enum gc_phase phase;
    enum gc_trigger trigger;
    bool dry_run;
    uint32_t cursor; /* of the phase: the next index to look at */
    uint32_t top;    /* indexes below were in use when marking began */

    struct reserve stack; /* of u32 */
    uint32_t stack_count, stack_room;
    uint32_t ring[GC_RING], ring_head, ring_count;
    uint32_t scan, scan_slot; /* the object being scanned or swept, and its next slot; 0: none */
    uint32_t frontier;        /* the walk's next index; GC_NONE: it is over */
    bool lazy;                /* what is marked ahead of the frontier is not on the stack */

    struct freeset guarded; /* objects that have a guard */
    struct freeset waiting; /* of these, the ones to be delivered */
    bool retry;             /* a delivery that found no memory may be tried again */

    struct gc_young young;

    /* Suspects (objects that lost a reference, live on by slots alone, and have slots themselves) that no trial can judge,
     * or has judged: they wait for a full collection. */
    uint64_t unresolved; /* since the last full collection began */
    /* Those of them that are younger than the last full collection, and the bytes of their values. Old ones are not counted here:
     * all that is old is no more than was alive then, whatever of it may be garbage. */
    uint64_t unresolved_young, unresolved_bytes;
    uint64_t unresolved_since_ms; /* the oldest of them */
    bool short_of_memory;         /* an allocation failed since then */

    uint64_t live_objects,
        live_bytes; /* of what the last full collection found when it began, alive at its end, at most */
    uint64_t bytes_begun;            /* when its marking began */
    uint64_t estimate;               /* units that marking will take, at most, as things were when it began */
    uint64_t objects_end, bytes_end; /* it should be done before the pool has grown to this */
    uint32_t tax;                    /* units that each new object pays while a collection runs */
    uint32_t tax_bytes;              /* and each GC_TAX_PIECE bytes of it */
    uint64_t owed;                   /* of it, not yet paid */
    /* While none runs: a pool that has grown to this (bytes of values) looks whether one is due, which the next object then
     * begins to pay for. */
    uint64_t look_objects, look_bytes;
    uint64_t done_ms; /* when the last one ended */

    bool worked; /* in the steps that gc_stepped() is told of next */
    struct gc_result running;
    struct explain *explain; /* of the running one; NULL: it does not explain itself */
    struct gc_runs runs[2];  /* real, dry */
    uint64_t full[GC_TRIGGERS];
    uint64_t step_wall[GC_STEP_BUCKETS], step_cpu[GC_STEP_BUCKETS];
    struct gc_result total; /* of all that are done */
};
#define GC_NONE           UINT32_MAX
#define GC_SUSPECTS       (2 * GC_YOUNG_SUSPECTS_MOST) /* places in the ring */
#define GC_OLD            2u /* trials survived; after these trials stop at an object, and let it wait */
#define GC_TAX_PIECE      256u
#define GC_TAX_MOST       128u /* units: about 4 microseconds */
#define GC_TAX_BYTES_MOST 4u
#define GC_PAY_MOST       4096u /* in one go; the rest stays owed */
#define GC_LOOK_OBJECTS   256u  /* between two looks in vain */
#define GC_LOOK_BYTES     65536u
#define GC_MEMORY_WAIT_MS 1000u /* between two collections for want of memory */

/* ---- life ---- */

/* -ENOMEM; then gc_done() is still allowed. The heap is empty or just recovered. */
int gc_init(struct gc *gc, struct heap *heap, const struct gc_owner *owner);
void gc_done(struct gc *gc);
/* The heap was recovered since: what it has is what is reachable. */
void gc_recovered(struct gc *gc);

/* ---- work ---- */

void gc_tick(struct gc *gc, uint64_t now_ms);
/* Up to `units` units of collecting, a few more at most (a small object is scanned whole). Returns the units spent; 0:
 * nothing to do now. While the zero queue is not empty it may do nothing. Before MARK it is for the caller to see that
 * what was let go counts no more (sessions that are ending): marking begins with what is held at that moment. A call
 * that ends a collection, of either sort, begins no other. */
unsigned gc_step(struct gc *gc, unsigned units);
/* What the objects made since the last call owe to the running collection, or to the one that is due, or a part of it:
 * GC_PAY_MOST units, the rest stays owed. The pool must not outgrow the collection, so whoever makes objects must not go on
 * before all is paid. Only between two operations; for a collection that has not begun what gc_step() says of sessions
 * that are ending counts here too. */
void gc_pay(struct gc *gc);
/* The configuration was changed. */
void gc_configured(struct gc *gc);
bool gc_has_work(const struct gc *gc);
/* When gc_tick() makes the next collection begin, if nothing else does; UINT64_MAX: never. */
uint64_t gc_next_due(const struct gc *gc);
/* Asks for a full collection that begins after this call, and may explain the cycles it finds. -ENOMEM: not asked. */
int gc_collect(struct gc *gc, bool dry_run, bool explain, struct gc_ticket *ret);
/* Asks for a young collection of all suspects that wait at this moment. It begins when no full one runs. */
void gc_collect_young(struct gc *gc, bool dry_run, struct gc_ticket *ret);
/* So many suspects wait that there is soon no room for more, and they can be looked at now, whatever else there is to do:
 * one piece of that. Returns the units spent; 0: not so. */
unsigned gc_relieve(struct gc *gc);
/* Whether it is done; *ret is what the last one of its sort did. */
bool gc_is_done(const struct gc *gc, struct gc_ticket ticket, struct gc_result *ret);
/* What the last one of that sort that explained itself has found; NULL: none did. Valid until the next one is done. */
const struct gc_cycles *gc_cycles(const struct gc *gc, bool dry_run);
/* Tells how long the steps since the last call took, all together: on the wall and of processor time. `end_ns`: the clock
 * at their end. */
void gc_stepped(struct gc *gc, uint64_t end_ns, uint64_t wall_ns, uint64_t cpu_ns);
/* There is no memory left: whatever may be garbage is worth a collection now, a young one first. */
void gc_need_memory(struct gc *gc);
/* Objects and bytes (of entries, lists and values) by which the pool may grow before a collection begins. */
uint64_t gc_growth_objects(const struct gc *gc);
uint64_t gc_growth_bytes(const struct gc *gc);
uint64_t gc_bytes(const struct heap *heap);
void gc_stats(const struct gc *gc, struct gc_stats *ret);
/* Units that a running collection still needs, by what is known; 0: none runs. */
uint64_t gc_debt(const struct gc *gc);

/* Up to `units` units of freeing (an object freed; a slot dropped, and the object that is freed right there for it) and
 * `frees` objects, one more at most. Returns the units spent. */
unsigned gc_reap(struct gc *gc, unsigned units, unsigned frees);

/* For the walker: checks what the invariants say of one object; NULL: sound. */
const char *gc_check(const struct gc *gc, uint32_t index);

/* ---- guards: registered by the owner, which keeps whose they are ---- */

/* -ENOMEM. The object has none yet. */
int gc_guard(struct gc *gc, uint32_t index);
void gc_unguard(struct gc *gc, uint32_t index);
static inline bool gc_is_guarded(const struct gc *gc, uint32_t index)
{
    return gc->guarded.count != 0 && index / 8 < gc->guarded.level[0].charged &&
           freeset_has(&gc->guarded, index);
}

/* ---- barriers: what every operation tells the collector ---- */

void gc_marked(struct gc *gc, uint32_t index); /* for gc_shade() */
static inline void gc_shade(struct gc *gc, uint32_t index)
{
    if (!heap_is_marked(gc->heap, index))
        gc_marked(gc, index);
}
void gc_born_owing(struct gc *gc, uint32_t index); /* for gc_born() */
/* It is alive and nothing refers to it any more: it dies, or its guard is delivered. */
void object_lost(struct gc *gc, uint32_t index);
void young_suspect(struct gc *gc, uint32_t index); /* for gc_suspect(); it is not marked */

/* It may be garbage: there must be a full collection some time. */
static inline void gc_unresolved_old(struct gc *gc)
{
    if (unlikely(gc->unresolved++ == 0))
        gc->unresolved_since_ms = gc->now_ms;
}
static inline void gc_unresolved(struct gc *gc, uint32_t index)
{
    gc_unresolved_old(gc);
    if (heap_is_marked(gc->heap, index))
        return;
    gc->unresolved_young++;
    gc->unresolved_bytes += value_size(gc->heap->hot[index].value);
}

/* It has survived GC_OLD trials: no trial looks at it any more, as at none that the last full collection has marked. */
static inline bool gc_is_aged(uint64_t w0)
{
    static_assert(GC_OLD == 2, "one bit tells");
    return (w0 & (uint64_t)GC_OLD << W0_AGE_SHIFT) != 0;
}

/* One that is not marked waits for a trial already: that it has lost one more reference is nothing new. */
static inline bool gc_waits(const struct gc *gc, uint64_t w0)
{
    return (w0 & W0_SUSPECT) != 0 && gc->phase < GC_MARK && !gc_is_aged(w0);
}

/* Only slots keep it. If they make a cycle with its own, nobody would ever free it. Most of what lives long has been
 * marked: that is told at once, even while there can be no cycle, since the next step then resolves it. */
static inline void gc_suspect(struct gc *gc, uint32_t index)
{
    uint64_t w0 = gc->heap->hot[index].w0;
    if (w0_ns(w0) == 0)
        return;
    if (heap_is_marked(gc->heap, index))
        gc_unresolved_old(gc);
    else if (!gc_waits(gc, w0) && likely(heap_may_have_cycles(gc->heap)))
        young_suspect(gc, index);
}

/* Whether anything outside holds it: a first holder, or a further cell (all cells are strong in this
 * version). */
static inline bool is_held_outside(const struct hot *hot)
{
    return hot->holder >> 32 != 0 || w0_link(hot->w0) != LINK_NONE;
}

/* An object came to life: marked, and never grey, because gc_linked() is told each of its slots. It pays for the
 * collection that runs or is due. */
static inline void gc_born(struct gc *gc, uint32_t index)
{
    const struct heap *heap = gc->heap;
    if (unlikely(gc->phase >= GC_MARK) || unlikely(heap->alive >= gc->look_objects) ||
        unlikely(heap->payloads.live_bytes >= gc->look_bytes))
        gc_born_owing(gc, index);
}

/* Something outside begins to hold it: a root, which the search may have passed. */
static inline void gc_held(struct gc *gc, uint32_t index)
{
    if (unlikely(gc->heap->collecting == COLLECT_MARK))
        gc_shade(gc, index);
}

/* A slot of `from` names `to` from now on: `from` may be black. */
static inline void gc_linked(struct gc *gc, uint32_t from, uint32_t to)
{
    if (unlikely(gc->heap->collecting == COLLECT_MARK) && heap_is_marked(gc->heap, from))
        gc_shade(gc, to);
}

/* An object got its first slot: without slots it was no suspect, and it may be garbage already, kept by other garbage. */
static inline void gc_first_slot(struct gc *gc, uint32_t index)
{
    if (!is_held_outside(&gc->heap->hot[index]))
        gc_suspect(gc, index);
}

/* The object has lost a reference. Call after every drop, once the operation is committed: it dies if that was the
 * last one, unless it is dead already. (Left to itself, gcc makes this a call.) */
static inline __attribute__((always_inline)) void gc_drop(struct gc *gc, uint32_t index)
{
    const struct hot *hot = &gc->heap->hot[index];
    if (hot->holder >> 32 != 0 || (hot->w0 & (W0_LINK | W0_STATE)) != W0_ALIVE)
        return;
    if (likely(hot->in != 0))
        gc_suspect(gc, index);
    else
        object_lost(gc, index);
}

#endif
