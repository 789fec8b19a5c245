/* SPDX-License-Identifier: BSD-3-Clause */
/* Young collections through the pool: what trials find and what they leave, when they begin, what they cost. */
#include "daemon/gc/trial.h"
#include "tests/lib/pool_gc.h"

/* ---- what is found ---- */

START_TEST(a_young_collection_finds_small_cycles)
{
    uint64_t ring[10], kept = put_leaf(&fx, fx.a), tail = put_refs(&fx, fx.a, &kept, 1);
    ring_of(fx.a, ring, 10);
    link_to(ring[3], 1, tail);
    (void)release_one(&fx, fx.a, tail);
    release_ids(fx.a, ring, 10);
    ck_assert_uint_eq(collect_young(true).unreachable, 11);
    ck_assert(!is_gone(&fx, ring[0]));
    struct gc_result result = collect_young(false);
    ck_assert_uint_eq(result.collected, 11);
    ck_assert_uint_eq(result.unreachable, 11);
    ck_assert(is_gone(&fx, ring[0]));
    ck_assert(is_gone(&fx, tail));
    ck_assert(!is_gone(&fx, kept));
    ck_assert_uint_eq(collect_young(false).candidates, 0);
    ck_assert_uint_eq(figures().young[GC_YOUNG_BY_CALL], 3);
    ck_assert_uint_eq(figures().young_total.collected, 11);
    ck_assert_uint_eq(figures().unresolved, 0);
}
END_TEST

START_TEST(suspects_are_looked_at_after_a_while)
{
    uint64_t ids[3], now_due, lease_due;
    ring_of(fx.a, ids, 3);
    release_ids(fx.a, ids, 3);
    drain(&fx);
    pool_next_due(fx.pool, &now_due, &lease_due);
    ck_assert_uint_eq(now_due, fx.now_ms + GC_YOUNG_AFTER_MS);
    pass_ms(&fx, GC_YOUNG_AFTER_MS - 1);
    ck_assert(!pool_has_work(fx.pool));
    pass_ms(&fx, 1);
    drain(&fx);
    ck_assert(is_gone(&fx, ids[0]));
    ck_assert_uint_eq(figures().young[GC_YOUNG_BY_TIME], 1);
    pool_next_due(fx.pool, &now_due, &lease_due);
    ck_assert_uint_eq(now_due, UINT64_MAX);
    ck_assert_uint_eq(collections(), 0);
}
END_TEST

/* From the beginning of marking on: a mark may come after the loss, and no trial looks at what is marked. */
START_TEST(suspects_amid_marking_wait_for_a_full_collection)
{
    uint64_t ids[3];
    struct gc_ticket ticket;
    ring_of(fx.a, ids, 3);
    ck_assert_int_eq(pool_collect(fx.pool, false, false, &ticket), 0);
    while (fx.pool->gc.phase != GC_MARK)
        (void)pool_step(fx.pool, 1);
    release_ids(fx.a, ids, 3);
    ck_assert_uint_eq(figures().unresolved, 3);
    ck_assert_uint_eq(figures().suspects, 3);
    drain(&fx);
    ck_assert(is_gone(&fx, ids[0]));
}
END_TEST

/* A live structure whose parts are let go one by one: all of it is seen, so nothing is left for a full collection. */
START_TEST(what_lives_by_a_hold_is_resolved)
{
    uint64_t root = put_leaf(&fx, fx.a), parts[20];
    for (unsigned k = 0; k < 20; k++) {
        parts[k] = put_leaf(&fx, fx.a);
        link_to(root, k, parts[k]);
        link_to(parts[k], 0, root);
    }
    release_ids(fx.a, parts, 20);
    ck_assert_uint_eq(figures().suspects, 20);
    ck_assert_uint_eq(collect_young(false).collected, 0);
    ck_assert_uint_eq(figures().suspects, 0);
    (void)release_one(&fx, fx.a, root);
    ck_assert_uint_eq(collect_young(false).collected, 21);
}
END_TEST

/* After GC_OLD trials a survivor waits for a full collection. */
START_TEST(what_grows_old_waits_for_a_full_collection)
{
    uint64_t root = put_leaf(&fx, fx.a), part = put_leaf(&fx, fx.a);
    link_to(root, 0, part);
    link_to(part, 0, root);
    (void)release_one(&fx, fx.a, part);
    for (unsigned k = 0; k < GC_OLD; k++) {
        ck_assert_uint_eq(figures().unresolved, 0);
        ck_assert_uint_eq(collect_young(false).collected, 0);
        (void)retain_one(&fx, fx.a, part);
        (void)release_one(&fx, fx.a, part);
    }
    ck_assert_uint_eq(figures().unresolved, 1);
    (void)release_one(&fx, fx.a, root);
    ck_assert_uint_eq(collect_young(false).collected, 0);
    ck_assert_uint_eq(collect().collected, 2);
}
END_TEST

/* What is younger than a full collection is found without a look at what has survived it. */
START_TEST(trials_stop_at_what_a_full_collection_has_marked)
{
    uint64_t old[100], ring[3];
    ring_of(fx.a, old, 100);
    release_ids(fx.a, old, 99);
    (void)collect();
    (void)collect_young(false);
    ring_of(fx.a, ring, 3);
    link_to(ring[1], 1, old[50]);
    release_ids(fx.a, ring, 3);
    struct gc_result result = collect_young(false);
    ck_assert_uint_eq(result.collected, 3);
    ck_assert_uint_eq(result.candidates, 3);
    ck_assert(!is_gone(&fx, old[50]));
}
END_TEST

/* No full collection begins because the pool has grown. */
static void full_by_call_only(void)
{
    struct gc_config config = *pool_gc_config(fx.pool);
    config.objects_least = 1u << 20;
    pool_gc_set_config(fx.pool, &config);
}

START_TEST(more_suspects_than_there_is_room_for)
{
    static uint64_t ids[GC_SUSPECTS + 100];
    full_by_call_only();
    ring_of(fx.a, ids, GC_SUSPECTS + 100);
    release_ids(fx.a, ids, GC_SUSPECTS + 100);
    ck_assert_uint_ge(figures().unresolved, 99);
    ck_assert_uint_eq(figures().suspects, GC_SUSPECTS + 100);
    (void)collect_young(false);
    ck_assert(!is_gone(&fx, ids[0]));
    ck_assert_uint_eq(collect().collected, GC_SUSPECTS + 100);
}
END_TEST

START_TEST(small_young_garbage_is_bounded)
{
    uint64_t objects, bytes;
    churn(5, 100000, 16, &objects, &bytes);
    ck_assert_uint_eq(collections(), 0);
    ck_assert_uint_gt(figures().young[GC_YOUNG_BY_SUSPECTS], 50);
    ck_assert_uint_le(objects, GC_OBJECTS_LEAST / 4 + 100);
}
END_TEST

START_TEST(large_young_garbage_is_bounded)
{
    uint64_t objects, bytes;
    churn(1 << 20, 400, 2, &objects, &bytes);
    ck_assert_uint_eq(collections(), 0);
    ck_assert_uint_gt(figures().young[GC_YOUNG_BY_GROWTH], 20);
    ck_assert_uint_le(bytes, GC_BYTES_LEAST);
}
END_TEST

/* Trials that nobody asked for and that resolve nothing do not keep a full collection waiting, which begins when
 * whoever makes objects has to pay for it. */
START_TEST(growth_cuts_a_young_collection_short)
{
    enum { RING = 2 * TRIAL_NODES };
    static uint64_t ids[RING];
    struct gc_config config = *pool_gc_config(fx.pool);
    config.objects_least = 4 * RING;
    pool_gc_set_config(fx.pool, &config);
    ring_of(fx.a, ids, RING);
    release_ids(fx.a, ids, RING);
    pass_ms(&fx, GC_YOUNG_AFTER_MS);
    while (figures().unresolved == 0 || !fx.pool->gc.young.runs)
        ck_assert_uint_gt(pool_step(fx.pool, 1), 0);
    const struct gc_young *young = &fx.pool->gc.young;
    uint64_t waiting = young->pushed - young->popped;
    while (stats_of(&fx).objects < 4 * RING - 1)
        (void)put_leaf(&fx, fx.a);
    ck_assert(young->runs && fx.pool->gc.phase == GC_IDLE);
    (void)put_leaf(&fx, fx.a);
    ck_assert(!young->runs && fx.pool->gc.phase != GC_IDLE);
    ck_assert_uint_eq(young->pushed - young->popped, waiting);
    drain(&fx);
    ck_assert_uint_eq(figures().full[GC_BY_OBJECTS], 1);
    ck_assert(is_gone(&fx, ids[0]) && is_gone(&fx, ids[RING - 1]));
    ck_assert_uint_eq(figures().unresolved, 0);
}
END_TEST

/* Who makes objects pays for the collection that bounds them, and waits when it is much: then there need be no other
 * work. The rings are too large for trials; each member names objects that live as well, so that to trace one costs
 * more; with one slot it names none of them. */
#define PAID_RING 1000u
static void make_and_let_go(const uint64_t *kept, uint32_t refs, uint32_t value_size)
{
    static const uint8_t value[65536];
    static struct put_spec specs[PAID_RING];
    static uint64_t targets[PAID_RING][8], ids[PAID_RING], counts[PAID_RING];
    for (uint32_t k = 0; k < PAID_RING; k++) {
        targets[k][0] = UINT64_MAX - (k + 1) % PAID_RING; /* the next item */
        for (uint32_t slot = 1; slot < refs; slot++)
            targets[k][slot] = kept[(k * 31 + slot * 7) % PAID_RING];
        specs[k] =
            (struct put_spec){.value = bytes_in(value, value_size), .refs = targets[k], .refs_count = refs};
    }
    ck_assert_int_eq(pool_put_many(fx.pool, fx.a, specs, PAID_RING, ids), 0);
    ck_assert_int_eq(pool_release(fx.pool, fx.a, ids, PAID_RING, 1, counts), 0);
}

START_TEST(payments_alone_bound_garbage)
{
    static const struct {
        uint32_t live, refs, value_size;
    } cases[] = {{0, 1, 1}, {0, 8, 1}, {0, 1, 1000}, {0, 1, 60000}, {100000, 1, 1}, {100000, 8, 1}};
    uint64_t kept[PAID_RING], objects_most = 0, bytes_most = 0;
    uint32_t live = cases[_i].live < PAID_RING ? PAID_RING : cases[_i].live, size = cases[_i].value_size;
    for (uint32_t k = 0; k < live; k++)
        kept[k % PAID_RING] = put_refs(&fx, fx.b, &kept[k % PAID_RING], k >= PAID_RING);
    if (cases[_i].live != 0)
        (void)collect(); /* they are what may grow by a quarter */
    struct gc *gc = &fx.pool->gc;
    uint64_t base = gc->live_objects, base_bytes = gc->live_bytes, ended = collections();
    uint64_t more = gc_growth_objects(gc), more_bytes = gc_growth_bytes(gc);
    for (uint32_t k = 0; collections() < ended + 4; k++) {
        ck_assert_uint_lt(k, 1000);
        while (pool_owes(fx.pool)) {
            uint64_t work = pool_work(fx.pool);
            pool_pay(fx.pool);
            ck_assert_uint_le(pool_work(fx.pool) - work, GC_PAY_MOST + TRIAL_UNITS);
        }
        make_and_let_go(kept, cases[_i].refs, size);
        objects_most = stats_of(&fx).objects > objects_most ? stats_of(&fx).objects : objects_most;
        bytes_most = gc_bytes(&fx.pool->heap) > bytes_most ? gc_bytes(&fx.pool->heap) : bytes_most;
    }
    /* what was made in one operation when a collection was seen to be due, when it ended, and now */
    uint64_t batches = 3ull * PAID_RING;
    ck_assert_uint_le(objects_most, base + 2 * more + batches + live * (base == 0));
    ck_assert_uint_le(bytes_most, base_bytes + 2 * more_bytes + batches * (size + 256));
}
END_TEST

/* One that begins when much has been made already is to be done by the same bound. */
START_TEST(a_collection_that_begins_late_has_less_time)
{
    struct gc *gc = &fx.pool->gc;
    struct gc_config config = *pool_gc_config(fx.pool);
    uint64_t more = config.objects_least = 4 * PAID_RING;
    config.enabled = false;
    pool_gc_set_config(fx.pool, &config);
    while (stats_of(&fx).objects < more + more / 2)
        make_and_let_go(NULL, 1, 1);
    config.enabled = true;
    pool_gc_set_config(fx.pool, &config);
    while (gc->phase != GC_MARK)
        ck_assert_uint_gt(pool_step(fx.pool, 1), 0);
    ck_assert_uint_eq(gc->objects_end, gc->live_objects + 2 * more);
}
END_TEST

START_TEST(a_trial_delivers_guards)
{
    uint64_t ids[3];
    ring_of(fx.a, ids, 3);
    ck_assert_int_eq(pool_guard(fx.pool, fx.b, ids[1]), 0);
    release_ids(fx.a, ids, 3);
    ck_assert_uint_eq(collect_young(true).delivered, 0);
    ck_assert(pool_is_guarded(fx.pool, ids[1]));
    struct gc_result result = collect_young(false);
    ck_assert_uint_eq(result.delivered, 1);
    ck_assert_uint_eq(result.collected, 0);
    ck_assert(!pool_is_guarded(fx.pool, ids[1]));
    (void)release_one(&fx, fx.b, ids[1]);
    ck_assert_uint_eq(collect_young(false).collected, 3);
}
END_TEST

/* A guard that finds no memory for its delivery keeps its object for a full collection. */
START_TEST(a_delivery_without_memory_is_put_off)
{
    uint64_t ids[3];
    struct mem *mem = pool_mem(fx.pool);
    ring_of(fx.a, ids, 3);
    ck_assert_int_eq(pool_guard(fx.pool, fx.b, ids[1]), 0);
    release_ids(fx.a, ids, 3);
    mem->fail_at = mem->calls + 2; /* the first is the trial's own */
    struct gc_result result = collect_young(false);
    mem->fail_at = 0;
    ck_assert_uint_eq(result.collected + result.delivered, 0);
    ck_assert(pool_is_guarded(fx.pool, ids[1]));
    ck_assert_uint_eq(figures().unresolved, 1);
    ck_assert_uint_eq(collect().delivered, 1);
    ck_assert(!is_gone(&fx, ids[0]));
}
END_TEST

/* Without memory for a trial its suspects wait for a full collection. */
START_TEST(a_trial_without_memory_is_put_off)
{
    uint64_t ids[3];
    struct mem *mem = pool_mem(fx.pool);
    ring_of(fx.a, ids, 3);
    release_ids(fx.a, ids, 3);
    mem->fail_at = mem->calls + 1;
    ck_assert_uint_eq(collect_young(false).collected, 0);
    mem->fail_at = 0;
    ck_assert_uint_eq(figures().unresolved, 3);
    ck_assert_uint_eq(collect().collected, 3);
}
END_TEST

/* Where there can be no cycle an old object that loses a reference is resolved without a collection when its time has
 * come; then it becomes part of one. */
START_TEST(a_cycle_through_an_old_object_is_left_to_a_full_collection)
{
    uint64_t nils[2] = {0}, old = put_refs(&fx, fx.a, nils, 2), holder = put_refs(&fx, fx.a, &old, 1);
    (void)release_one(&fx, fx.a, old);
    (void)collect();
    uint64_t young = put_refs(&fx, fx.a, &old, 1);
    (void)release_one(&fx, fx.a, holder);
    uint64_t ended = collections();
    pass_ms(&fx, GC_FULL_AFTER_MS);
    drain(&fx);
    ck_assert_uint_eq(figures().suspects, 0);
    ck_assert_uint_eq(collections(), ended);
    link_to(old, 0, young);
    ck_assert_uint_eq(figures().suspects, 0);
    (void)release_one(&fx, fx.a, young);
    ck_assert_uint_eq(collect_young(false).collected, 0);
    ck_assert_uint_eq(figures().unresolved, 1);
    ck_assert_uint_eq(collect().collected, 2);
}
END_TEST

/* One would be enough for a full collection to begin some time; how many there are decides how soon. */
START_TEST(each_suspect_behind_a_cut_is_unresolved)
{
    uint64_t nil = 0, old = put_refs(&fx, fx.a, &nil, 1), holder = put_leaf(&fx, fx.a), ids[3];
    (void)collect();
    for (unsigned k = 0; k < 3; k++) {
        ids[k] = put_leaf(&fx, fx.a);
        link_to(ids[k], 0, k == 0 ? old : ids[0]);
        link_to(holder, k, ids[k]);
    }
    uint64_t order[4] = {ids[1], ids[2], ids[0], old};
    link_to(old, 0, holder);
    release_ids(fx.a, order, 4);
    ck_assert_uint_eq(figures().unresolved, 1); /* the old one */
    ck_assert_uint_eq(collect_young(false).collected, 0);
    ck_assert_uint_eq(figures().unresolved, 4);
}
END_TEST

/* Marks tell old objects from young ones, whoever had the index before. */
START_TEST(an_index_that_is_used_again_is_young)
{
    uint64_t old[3], ring[3];
    for (unsigned k = 0; k < 3; k++)
        old[k] = put_leaf(&fx, fx.a);
    (void)collect();
    release_ids(fx.a, old, 3);
    drain(&fx);
    ring_of(fx.a, ring, 3);
    ck_assert_uint_eq(id_index(ring[0]) + id_index(ring[1]) + id_index(ring[2]),
                      id_index(old[0]) + id_index(old[1]) + id_index(old[2]));
    release_ids(fx.a, ring, 3);
    ck_assert_uint_eq(collect_young(false).collected, 3);
}
END_TEST

/* The same for objects of a chain, which are given back many at a time; and no index is lost. */
START_TEST(what_died_in_a_chain_is_young_again)
{
    enum { many = 200 };
    uint64_t ring[many], head = chain_of(&fx, fx.a, many), top = fx.pool->heap.sb->index_top;
    (void)collect();
    (void)release_one(&fx, fx.a, head);
    drain(&fx);
    ck_assert_uint_eq(stats_of(&fx).objects, 0);
    ring_of(fx.a, ring, many);
    ck_assert_uint_eq(fx.pool->heap.sb->index_top, top);
    release_ids(fx.a, ring, many);
    ck_assert_uint_eq(collect_young(false).collected, many);
}
END_TEST

/* An object with a block and a tag, and one slot. */
static uint64_t put_tagged(uint64_t ref)
{
    const struct put_spec spec = {.value = bytes_in("a value that needs a block", 26),
                                  .tag = (const uint8_t *)"node",
                                  .tag_size = 4,
                                  .refs = &ref,
                                  .refs_count = 1};
    uint64_t id;
    ck_assert_int_eq(try_put(&fx, fx.a, &spec, &id), 0);
    return id;
}

/* The next generation of the object's index is the last. Returns its id. */
static uint64_t grow_old(uint64_t id)
{
    struct hot *hot = &fx.pool->heap.hot[id_index(id)];
    hot->w0 = (hot->w0 & ~W0_GEN) | (W0_GEN_LAST - 1);
    return heap_id(&fx.pool->heap, id_index(id));
}

/* Of so many objects that were made last nothing is left, and all their indexes but one can be used again. */
static void all_is_given_back(uint64_t objects, uint64_t many)
{
    ck_assert_uint_eq(stats_of(&fx).objects, objects);
    ck_assert_uint_eq(stats_of(&fx).labels, 0);
    ck_assert_uint_eq(stats_of(&fx).value_live_bytes, 0);
    ck_assert_uint_eq(stats_of(&fx).retired, 1);
    ck_assert_uint_eq(figures().slots, 0);
    uint64_t top = fx.pool->heap.sb->index_top;
    for (uint64_t k = 0; k < many; k++)
        (void)put_leaf(&fx, fx.a);
    ck_assert_uint_eq(fx.pool->heap.sb->index_top, top + 1);
}

/* A guard anywhere, or an audit that counts along, makes no difference. */
START_TEST(a_chain_gives_all_back)
{
    enum { many = 200 };
    const uint64_t guarded = put_leaf(&fx, fx.b);
    uint64_t head = 0, objects = stats_of(&fx).objects;
    if (_i == 1)
        ck_assert_int_eq(pool_guard(fx.pool, fx.b, guarded), 0);
    for (unsigned k = 0; k < many; k++) {
        uint64_t before = head;
        head = put_tagged(before);
        if (k > 0)
            (void)release_one(&fx, fx.a, before);
        if (k == many / 2)
            head = grow_old(head);
    }
    ck_assert_uint_eq(stats_of(&fx).labels, 1);
    struct verify_result result = {0};
    if (_i == 2) {
        ck_assert_int_eq(pool_verify_begin(fx.pool), 0);
        ck_assert(!pool_verify_step(fx.pool, many / 2, &result));
    }
    (void)release_one(&fx, fx.a, head);
    drain(&fx);
    while (_i == 2 && !pool_verify_step(fx.pool, many, &result)) {
    }
    ck_assert_uint_eq(result.findings_count, 0);
    all_is_given_back(objects, many);
}
END_TEST

START_TEST(a_trial_gives_all_back)
{
    enum { many = 100 };
    uint64_t ring[many], objects = stats_of(&fx).objects;
    ring[0] = grow_old(put_tagged(0));
    for (unsigned k = 1; k < many; k++)
        ring[k] = put_tagged(ring[k - 1]);
    link_to(ring[0], 0, ring[many - 1]);
    release_ids(fx.a, ring, many);
    ck_assert_uint_eq(collect_young(false).collected, many);
    all_is_given_back(objects, many);
}
END_TEST

/* ---- when they begin ---- */

/* The memory of a pool that is full of cycles is there for whoever needs it, though few are suspect and no time
 * passes. */
START_TEST(suspects_are_looked_at_when_memory_is_short)
{
    struct fixture_options options = {.max_bytes = 8u << 20};
    fixture_close(&fx);
    fixture_open_with(&fx, &options);
    for (unsigned k = 0; k < 500; k++) {
        uint64_t ids[2] = {put_filled(&fx, fx.a, 100000, 1), put_filled(&fx, fx.a, 100000, 1)};
        link_to(ids[0], 0, ids[1]);
        link_to(ids[1], 0, ids[0]);
        release_ids(fx.a, ids, 2);
    }
    ck_assert_uint_gt(figures().young[GC_YOUNG_BY_MEMORY], 5);
}
END_TEST

/* One trial, and nothing is reaped. Returns the units. */
static unsigned collect_and_stay(void)
{
    struct gc_ticket ticket;
    pool_collect_young(fx.pool, false, &ticket);
    unsigned units = gc_step(&fx.pool->gc, 1);
    ck_assert_int_eq(fx.pool->gc.reason, REASON_RELEASE);
    return units;
}

static void is_dead_by_cycle(uint64_t id)
{
    uint64_t w0 = fx.pool->heap.hot[id_index(id)].w0;
    ck_assert_uint_eq(w0_state(w0), W0_ZERO);
    ck_assert_int_eq(w0_reason(w0), REASON_CYCLE);
}

/* What dies in a trial, and what only that kept alive (it is old, so no trial looks at it), has the reason of all
 * cycles. Their values are large: they wait for the reaper. */
START_TEST(they_die_because_of_a_cycle)
{
    uint64_t ring[2], wide[2] = {put_filled(&fx, fx.a, 100000, 1), put_filled(&fx, fx.a, 100000, 1)};
    uint64_t old = put_filled(&fx, fx.a, 100000, 1);
    heap_mark(&fx.pool->heap, id_index(old));
    ring_of(fx.a, ring, 2);
    link_to(ring[0], 1, old);
    link_to(wide[0], 0, wide[1]);
    link_to(wide[1], 0, wide[0]);
    (void)release_one(&fx, fx.a, old);
    release_ids(fx.a, ring, 2);
    release_ids(fx.a, wide, 2);
    ck_assert_uint_gt(collect_and_stay(), 0);
    is_dead_by_cycle(wide[0]);
    is_dead_by_cycle(wide[1]);
    is_dead_by_cycle(old);
    ck_assert_uint_eq(fx.pool->heap.zero_count, 3);
}
END_TEST

/* What is small needs no turn in the queue, nor does what only that kept alive: a leaf that was looked at, and one that
 * was not because it is old. What lives on loses the slots on it. All of it is work: of each suspect, each node, each
 * slot, each one condemned, and its slots once more. */
START_TEST(small_ones_are_freed_in_the_trial)
{
    uint64_t ring[3], leaf = put_leaf(&fx, fx.a), old = put_leaf(&fx, fx.a), kept = put_leaf(&fx, fx.a);
    uint64_t freed = fx.pool->heap.freed;
    heap_mark(&fx.pool->heap, id_index(old));
    ring_of(fx.a, ring, 3);
    link_to(ring[0], 1, leaf);
    link_to(ring[1], 1, ring[2]);
    link_to(ring[1], 0, old);
    link_to(ring[2], 1, kept);
    (void)release_one(&fx, fx.a, leaf);
    (void)release_one(&fx, fx.a, old);
    release_ids(fx.a, ring, 3);
    ck_assert_uint_eq(collect_and_stay(), 3 + 5 + 6 + 4 + 6);
    const uint64_t dead[5] = {ring[0], ring[1], ring[2], leaf, old};
    for (unsigned k = 0; k < 5; k++)
        ck_assert_uint_eq(w0_state(fx.pool->heap.hot[id_index(dead[k])].w0), W0_FREE);
    ck_assert_uint_eq(fx.pool->heap.freed, freed + 5);
    ck_assert_uint_eq(fx.pool->heap.zero_count, 0);
    ck_assert_uint_eq(fx.pool->heap.hot[id_index(kept)].in, 0);
}
END_TEST

/* A large value, and a list, are given back in pieces. What they name beside each other is none of the trial's. */
START_TEST(large_ones_wait_for_the_reaper)
{
    uint64_t kept = put_leaf(&fx, fx.a), refs[3] = {kept, kept, kept}, objects = stats_of(&fx).objects;
    uint64_t ring[3] = {put_filled(&fx, fx.a, 100000, 1), put_refs(&fx, fx.a, refs, 3), put_leaf(&fx, fx.a)};
    for (unsigned k = 0; k < 3; k++)
        link_to(ring[k], 0, ring[(k + 1) % 3]);
    release_ids(fx.a, ring, 3);
    (void)collect_and_stay();
    const struct heap *heap = &fx.pool->heap;
    ck_assert_uint_eq(w0_state(heap->hot[id_index(ring[0])].w0), W0_ZERO);
    ck_assert_uint_eq(w0_state(heap->hot[id_index(ring[1])].w0), W0_ZERO);
    ck_assert_uint_eq(w0_state(heap->hot[id_index(ring[2])].w0), W0_FREE);
    ck_assert_uint_eq(heap->zero_count, 2);
    ck_assert_uint_eq(heap->hot[id_index(kept)].in, 2);
    drain(&fx);
    ck_assert_uint_eq(stats_of(&fx).objects, objects);
    ck_assert_uint_eq(heap->hot[id_index(kept)].in, 0);
}
END_TEST

/* What a session held that ended before the call counts no more, however many suspects wait. */
START_TEST(a_called_collection_waits_for_sessions_that_end)
{
    static uint64_t ids[GC_SUSPECTS / 2 + 100];
    uint64_t ring[50];
    struct gc_ticket ticket;
    struct gc_result result;
    struct session *s = fixture_session(&fx, 7, 1000, &fx);
    ring_of(s, ring, 50);
    for (unsigned k = 0; k < GC_SUSPECTS / 2 + 100; k += 2) {
        ring_of(fx.a, ids + k, 2);
        release_ids(fx.a, ids + k, 2);
    }
    pool_session_end(fx.pool, s, REASON_SESSION_END);
    pool_collect_young(fx.pool, false, &ticket);
    while (!pool_collect_done(fx.pool, ticket, &result))
        ck_assert_uint_gt(pool_step(fx.pool, 1), 0);
    ck_assert(is_gone(&fx, ring[0]));
}
END_TEST

/* Whoever asks for one sort again and again does not keep others from the other sort. */
START_TEST(calls_of_both_sorts_take_turns)
{
    for (unsigned young = 0; young < 2; young++) {
        struct gc_ticket once, again;
        struct gc_result result;
        if (young == 1)
            pool_collect_young(fx.pool, false, &once);
        else
            ck_assert_int_eq(pool_collect(fx.pool, false, false, &once), 0);
        for (unsigned steps = 0; !pool_collect_done(fx.pool, once, &result); steps++) {
            if (young == 1)
                ck_assert_int_eq(pool_collect(fx.pool, false, false, &again), 0);
            else
                pool_collect_young(fx.pool, false, &again);
            ck_assert_uint_lt(steps, 100);
            (void)pool_step(fx.pool, 1);
        }
    }
}
END_TEST

/* ---- what they cost ---- */

/* Objects that want the same place in a trial's table are not searched for long: too many of them wait for a full
 * collection. */
START_TEST(objects_that_collide_are_left_to_a_full_collection)
{
    uint64_t ring[TRIAL_PROBES + 1];
    uint32_t found = 0;
    full_by_call_only();
    while (found <= TRIAL_PROBES) {
        uint64_t id = put_leaf(&fx, fx.a);
        if (trial_place(id_index(id)) == 7)
            ring[found++] = id;
    }
    for (uint32_t k = 0; k < found; k++)
        link_to(ring[k], 0, ring[(k + 1) % found]);
    release_ids(fx.a, ring, found);
    ck_assert_uint_eq(collect_young(true).unreachable, 0);
    ck_assert_uint_eq(collect_young(false).collected, 0);
    ck_assert_uint_ge(figures().unresolved, 1);
    ck_assert_uint_eq(collect().collected, found);
}
END_TEST

/* Objects with more slots than a trial may look at are left to a full collection. */
START_TEST(a_trial_has_room_for_some_slots)
{
    uint64_t ids[5], nils[TRIAL_SLOTS / 4] = {0};
    for (unsigned k = 0; k < 5; k++)
        ids[k] = put_refs(&fx, fx.a, nils, TRIAL_SLOTS / 4);
    for (unsigned k = 0; k < 4; k++)
        link_to(ids[k], 0, ids[(k + 1) % 4]);
    release_ids(fx.a, ids, 4);
    ck_assert_uint_eq(collect_young(false).collected, 4);
    for (unsigned k = 0; k < 4; k++)
        ids[k] = put_refs(&fx, fx.a, nils, TRIAL_SLOTS / 4);
    for (unsigned k = 0; k < 5; k++)
        link_to(ids[k], 0, ids[(k + 1) % 5]);
    release_ids(fx.a, ids, 5);
    ck_assert_uint_eq(collect_young(false).collected, 0);
    ck_assert_uint_eq(figures().unresolved, 5);
    ck_assert_uint_eq(collect().collected, 5);
}
END_TEST

/* Its work is counted, and no step does more than one trial beyond its units. */
START_TEST(a_trial_is_counted_and_bounded)
{
    static uint64_t ids[3000];
    uint64_t most = 0;
    ring_of(fx.a, ids, 3000);
    release_ids(fx.a, ids, 3000);
    while (pool_has_work(fx.pool)) {
        uint64_t before = pool_work(fx.pool);
        (void)pool_step(fx.pool, 1);
        most = pool_work(fx.pool) - before > most ? pool_work(fx.pool) - before : most;
    }
    ck_assert_uint_gt(most, TRIAL_NODES);
    ck_assert_uint_le(most, TRIAL_UNITS);
}
END_TEST

/* What has survived a full collection is no growth since then, however often it loses a reference to what dies: it
 * brings no full collection by number, only by time. */
START_TEST(old_suspects_are_no_growth)
{
    uint64_t old[10], refs[2];
    struct gc_config config = *pool_gc_config(fx.pool);
    config.objects_least = 100;
    pool_gc_set_config(fx.pool, &config);
    ring_of(fx.a, old, 10);
    release_ids(fx.a, old, 9);
    (void)collect();
    for (unsigned k = 0; k < 500; k++) {
        refs[0] = old[k % 9];
        (void)release_one(&fx, fx.a, put_refs(&fx, fx.a, refs, 1));
        drain(&fx);
    }
    ck_assert_uint_eq(collections(), 1);
    ck_assert_uint_ge(figures().unresolved, 500);
    pass_ms(&fx, GC_FULL_AFTER_MS);
    drain(&fx);
    ck_assert_uint_eq(figures().full[GC_BY_TIME], 1);
    ck_assert_uint_eq(figures().unresolved, 0);
}
END_TEST

START_TEST(its_steps_are_its_own)
{
    uint64_t ids[3];
    struct gc_ticket full, young;
    struct gc_result result;
    ck_assert_int_eq(pool_collect(fx.pool, false, false, &full), 0);
    begin_marking();
    finish();
    pool_stepped(fx.pool, 1000000, 1000, 1000);
    ring_of(fx.a, ids, 3);
    release_ids(fx.a, ids, 3);
    pool_collect_young(fx.pool, false, &young);
    drain(&fx);
    pool_stepped(fx.pool, 5000000, 2000, 1500);
    ck_assert(pool_collect_done(fx.pool, young, &result));
    ck_assert_uint_eq(result.steps, 1);
    ck_assert_uint_eq(result.cpu_ns, 1500);
    ck_assert_uint_eq(result.ended_ns - result.begun_ns, 2000);
    ck_assert(pool_collect_done(fx.pool, full, &result));
    ck_assert_uint_eq(result.steps, 1);
    ck_assert_uint_eq(result.ended_ns, 1000000);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("young collections");
    TCase *young = suite_case(suite, "young", setup, teardown);
    tcase_add_test(young, a_young_collection_finds_small_cycles);
    tcase_add_test(young, suspects_are_looked_at_after_a_while);
    tcase_add_test(young, suspects_amid_marking_wait_for_a_full_collection);
    tcase_add_test(young, what_lives_by_a_hold_is_resolved);
    tcase_add_test(young, what_grows_old_waits_for_a_full_collection);
    tcase_add_test(young, trials_stop_at_what_a_full_collection_has_marked);
    tcase_add_test(young, more_suspects_than_there_is_room_for);
    tcase_add_test(young, small_young_garbage_is_bounded);
    tcase_add_test(young, large_young_garbage_is_bounded);
    tcase_add_test(young, growth_cuts_a_young_collection_short);
    tcase_add_loop_test(young, payments_alone_bound_garbage, 0, 6);
    tcase_add_test(young, a_collection_that_begins_late_has_less_time);
    tcase_add_test(young, a_trial_delivers_guards);
    tcase_add_test(young, a_trial_without_memory_is_put_off);
    tcase_add_test(young, a_delivery_without_memory_is_put_off);
    tcase_add_test(young, suspects_are_looked_at_when_memory_is_short);
    tcase_add_test(young, a_called_collection_waits_for_sessions_that_end);
    tcase_add_test(young, calls_of_both_sorts_take_turns);
    tcase_add_test(young, objects_that_collide_are_left_to_a_full_collection);
    tcase_add_test(young, a_trial_is_counted_and_bounded);
    tcase_add_test(young, a_trial_has_room_for_some_slots);
    tcase_add_test(young, each_suspect_behind_a_cut_is_unresolved);
    tcase_add_test(young, an_index_that_is_used_again_is_young);
    tcase_add_test(young, what_died_in_a_chain_is_young_again);
    tcase_add_loop_test(young, a_chain_gives_all_back, 0, 3);
    tcase_add_test(young, a_trial_gives_all_back);
    tcase_add_test(young, large_ones_wait_for_the_reaper);
    tcase_add_test(young, a_cycle_through_an_old_object_is_left_to_a_full_collection);
    tcase_add_test(young, old_suspects_are_no_growth);
    tcase_add_test(young, its_steps_are_its_own);
    tcase_add_test(young, they_die_because_of_a_cycle);
    tcase_add_test(young, small_ones_are_freed_in_the_trial);
    return suite_run(suite);
}
