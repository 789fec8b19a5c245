/* SPDX-License-Identifier: BSD-3-Clause */
/* daemon/heap/evacuate.h: memory goes back where much is allocated and little is used.
 *
 * The sizes of what a pool keeps drift from 64 bytes to 4 KiB while objects die at random. Without evacuation the
 * arenas of the small ones stay, a few blocks in each; with it live bytes are 60 % of the backed ones after each step.
 * All values are looked at when they are dropped, so that a byte which a move lost is found. HF_TEST_LONG: 24 steps
 * with 64 MiB (or HF_MIB), and what it cost. */
#include "daemon/pool/internal.h"
#include "tests/lib/pool_fixture.h"
#include "tests/lib/random.h"
#include "tests/lib/suite.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define MIB       (1ull << 20)
#define VALUE_MAX (160u * 1024)

struct kept {
    uint64_t id;
    uint32_t size;
    uint8_t fill;
};

static struct fixture fx;
static struct evacuation *evacuation;
static struct random dice;
static struct kept *kept;
static uint32_t kept_count, kept_room;
static uint64_t live; /* bytes of values */
static uint8_t bytes[VALUE_MAX];

static void open_pool_with(const struct fixture_options *options)
{
    fixture_open_with(&fx, options);
    evacuation = &fx.pool->evacuation;
    dice.state = 1;
    kept_count = kept_room = 0;
    kept = NULL;
    live = 0;
}

static void open_pool(uint64_t max_bytes)
{
    open_pool_with(&(struct fixture_options){.max_bytes = max_bytes});
}

static void close_pool(void)
{
    verify_ok(&fx);
    fixture_close(&fx);
    free(kept);
}

/* ---- what is kept ---- */

static bool try_add(uint32_t size)
{
    struct kept next = {.size = size, .fill = (uint8_t)random_next(&dice)};
    struct put_spec spec = {.value = bytes_in(bytes, size)};
    memset(bytes, next.fill, size);
    if (try_put(&fx, fx.a, &spec, &next.id) != 0)
        return false;
    if (kept_count == kept_room) {
        kept_room = kept_room == 0 ? 1024 : 2 * kept_room;
        kept = realloc(kept, kept_room * sizeof *kept);
        ck_assert_ptr_nonnull(kept);
    }
    kept[kept_count++] = next;
    live += size;
    return true;
}

static void look_at(const struct kept *one)
{
    struct value_view view;
    ck_assert_int_eq(pool_get(fx.pool, one->id, &view), 0);
    ck_assert_uint_eq(view.size, one->size);
    ck_assert(view.data[0] == one->fill && memcmp(view.data, view.data + 1, view.size - 1) == 0);
}

static void look_at_all(void)
{
    for (uint32_t k = 0; k < kept_count; k++)
        look_at(&kept[k]);
}

static void drop_any(void)
{
    uint32_t k = (uint32_t)random_below(&dice, kept_count);
    look_at(&kept[k]);
    release_one(&fx, fx.a, kept[k].id);
    live -= kept[k].size;
    kept[k] = kept[--kept_count];
}

static double share_of(const struct blocks *blocks)
{
    return (double)blocks->live_bytes / (double)blocks->backed_bytes;
}

static double share(void)
{
    return share_of(&fx.pool->heap.payloads);
}

/* Blocks that are free but not given back to their runs. */
static uint32_t spares(void)
{
    uint32_t sum = 0;
    for (unsigned k = 0; k < SPARE_CLASSES; k++)
        sum += fx.pool->heap.spare_blocks[k].count;
    return sum;
}

/* ---- drift ---- */

struct cost {
    uint64_t step_ns, step_ns_max; /* of processor time, of the steps in which a pass was under way */
    uint64_t steps, over;          /* of them those above 200 us */
};

static uint64_t cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* One step as a turn of the server's loop makes them. It backs a piece of an arena or gives one back, if any. False:
 * nothing is left to do. */
static bool step(struct cost *cost)
{
    bool moves = evacuation->phase != EVACUATE_IDLE;
    const struct grow_io before = fx.grow;
    uint64_t begin = moves ? cpu_ns() : 0;
    bool more = pool_step(fx.pool, 128) >= 128;
    uint64_t calls = fx.grow.calls - before.calls + fx.grow.punches - before.punches;
    uint64_t changed = fx.grow.backed - before.backed + fx.grow.punched - before.punched;
    ck_assert_msg(calls <= 1 && changed <= PIECE_BYTES, "%llu bytes in %llu calls in one step",
                  (unsigned long long)changed, (unsigned long long)calls);
    if (!moves)
        return more;
    ck_assert(spares() == 0 || evacuation->phase == EVACUATE_IDLE);
    uint64_t ns = cpu_ns() - begin;
    cost->steps++;
    cost->step_ns += ns;
    cost->over += ns > 200000;
    cost->step_ns_max = ns > cost->step_ns_max ? ns : cost->step_ns_max;
    return more;
}

/* Each step replaces half of all by values a little larger. Returns the lowest share of live bytes after a step. */
static double drift(uint64_t most, unsigned steps, struct cost *cost)
{
    double lowest = 1, size = 64, growth = steps == 24 ? 1.189207 : 1.414214; /* 64 bytes to 4 KiB */
    for (unsigned n = 0; n <= steps; n++, size *= growth) {
        for (uint64_t made = 0; made < (n == 0 ? most : most / 2);) {
            uint32_t next = (uint32_t)(size * (double)random_between(&dice, 75, 125) / 100);
            while (live + next > most)
                drop_any();
            ck_assert(try_add(next));
            made += next;
            if (random_once_in(&dice, 64))
                step(cost);
        }
        while (step(cost))
            continue;
        lowest = share() < lowest ? share() : lowest;
    }
    return lowest;
}

START_TEST(sizes_drift_and_memory_goes_back)
{
    struct cost cost = {0};
    open_pool(64 * MIB);
    evacuation->config.percent = 0;
    ck_assert_double_lt(drift(3 * MIB, 12, &cost), 0.4);
    ck_assert_uint_eq(evacuation->stats.passes, 0);
    close_pool();
    open_pool(64 * MIB);
    evacuation->config.least = MIB / 2;
    ck_assert_double_ge(drift(3 * MIB, 12, &cost), 0.6);
    ck_assert_uint_gt(evacuation->stats.passes, 2);
    ck_assert_uint_lt(evacuation->stats.moved_bytes, 12 * MIB); /* of 21 MiB that came and went */
    look_at_all();
    close_pool();
}
END_TEST

START_TEST(more_drifts_and_what_it_costs)
{
    const char *mib = getenv("HF_MIB");
    uint64_t most = (mib != NULL ? strtoull(mib, NULL, 10) : 64) * MIB;
    struct cost cost = {0};
    open_pool(8 * most);
    double lowest = drift(most, 24, &cost);
    const struct evacuate_stats *stats = &evacuation->stats;
    printf("drift of %llu MiB: live bytes at least %.3f of the backed ones, %llu passes, %llu MiB in %llu "
           "objects moved, %.3f s of "
           "processor time in %llu steps, of which %llu took more than 200 us, the longest %.0f\n",
           (unsigned long long)(most / MIB), lowest, (unsigned long long)stats->passes,
           (unsigned long long)(stats->moved_bytes / MIB), (unsigned long long)stats->moved,
           (double)cost.step_ns / 1e9, (unsigned long long)cost.steps, (unsigned long long)cost.over,
           (double)cost.step_ns_max / 1e3);
    ck_assert_double_ge(lowest, 0.6);
    close_pool();
}
END_TEST

/* ---- bursts ---- */

static void burst(uint32_t least_size, uint32_t most_size, uint64_t most, unsigned die_percent)
{
    while (live < most)
        ck_assert(try_add((uint32_t)random_between(&dice, least_size, most_size)));
    for (uint32_t left = kept_count * (100 - die_percent) / 100; kept_count > left;)
        drop_any();
    drain(&fx);
    look_at_all();
}

/* In memory, and where files are as on disk. */
START_TEST(after_a_burst_memory_goes_back)
{
    open_pool_with(&(struct fixture_options){.max_bytes = 64 * MIB, .granules = _i == 1});
    evacuation->config.least = MIB / 2;
    burst(16, 1000, 8 * MIB, 75);
    ck_assert_double_ge(share(), 0.6);
    close_pool();
}
END_TEST

/* A few blocks, each in another arena, are free and kept for what is put next. */
START_TEST(spare_blocks_keep_no_arena)
{
    struct cost cost = {0};
    open_pool(64 * MIB);
    for (unsigned k = 0; k < 30000; k++)
        ck_assert(try_add(100));
    drop_any();
    ck_assert_uint_eq(spares(), 1);
    ck_assert(try_add(104));
    ck_assert_uint_eq(spares(), 0);
    while (kept_count > 0)
        drop_any();
    while (step(&cost))
        continue;
    ck_assert_uint_le(fx.pool->heap.payloads.small_backed, 5 * ARENA_BYTES);
    ck_assert_uint_eq(fx.pool->heap.payloads.live_bytes, 0);
    close_pool();
}
END_TEST

/* The same when others than small values leave, and nothing is moved. */
START_TEST(spare_blocks_of_a_pool_that_becomes_sparse_keep_no_arena)
{
    struct cost cost = {0};
    open_pool(128 * MIB);
    evacuation->config.percent = 0;
    while (live < 16 * MIB)
        ck_assert(try_add(100));
    uint32_t small = kept_count;
    while (live < 64 * MIB)
        ck_assert(try_add(4096));
    for (; small > 0; small--) { /* the large ones take their places */
        uint32_t k = (uint32_t)random_below(&dice, small);
        release_one(&fx, fx.a, kept[k].id);
        kept[k] = kept[small - 1];
        kept[small - 1] = kept[--kept_count];
    }
    ck_assert_uint_eq(spares(), SPARE_BLOCKS);
    while (kept_count > 0)
        release_one(&fx, fx.a, kept[--kept_count].id);
    ck_assert_uint_eq(spares(), 0);
    while (step(&cost))
        continue;
    ck_assert_uint_le(fx.pool->heap.payloads.small_backed, 5 * ARENA_BYTES);
    close_pool();
}
END_TEST

static void release_kept(uint32_t from, uint32_t end)
{
    for (; from < end; from++)
        release_one(&fx, fx.a, kept[from].id);
}

/* In a full pool all that is free are the blocks of one run, half of them kept for what is put next: another size needs
 * that run, and gets it at once. */
START_TEST(spare_blocks_are_room_for_other_sizes)
{
    open_pool(4 * MIB);
    while (try_add(128))
        continue;
    uint32_t run = fx.pool->heap.payloads.class[15].count;
    release_kept(2 * run, 2 * run + SPARE_BLOCKS);
    ck_assert_uint_eq(spares(), SPARE_BLOCKS);
    release_kept(5 * run, 5 * run + 1); /* or run 2 were the last one with room, which is kept */
    release_kept(2 * run + SPARE_BLOCKS, 3 * run);
    ck_assert(try_add(120));
    close_pool();
}
END_TEST

START_TEST(values_of_whole_pages_move)
{
    open_pool(128 * MIB);
    evacuation->config.least = MIB;
    burst(17 * 1024, 128 * 1024, 40 * MIB, 85);
    ck_assert_double_ge(share(), 0.6);
    ck_assert_uint_gt(evacuation->stats.moved, 0);
    close_pool();
}
END_TEST

START_TEST(values_with_versions_move)
{
    open_pool(64 * MIB);
    uint64_t ids[2000], versions[2000];
    for (unsigned k = 0; k < 2000; k++) {
        struct value_in value = bytes_in("another value", 13);
        ids[k] = put_leaf(&fx, fx.a);
        ck_assert_int_eq(pool_set(fx.pool, ids[k], &value, 0, &versions[k]), 0);
    }
    evacuation->config = (struct evacuate_config){.percent = 99, .least = 1, .thorough = true};
    drain(&fx);
    ck_assert_uint_ge(evacuation->stats.moved, 2000);
    for (unsigned k = 0; k < 2000; k++) {
        struct value_view view;
        ck_assert_int_eq(pool_get(fx.pool, ids[k], &view), 0);
        ck_assert_uint_eq(view.version, versions[k]);
        ck_assert_mem_eq(view.data, "another value", 13);
    }
    close_pool();
}
END_TEST

/* Objects with lists of slots, most of which die. */
static void lists_burst(uint64_t leaf, uint32_t count, uint32_t slots)
{
    static uint64_t refs[9000];
    for (uint32_t k = 0; k < slots; k++)
        refs[k] = k % 3 == 0 ? 0 : leaf;
    for (uint32_t k = 0; k < count; k++) {
        uint64_t id = put_refs(&fx, fx.a, refs, slots > HF_REFS_MAX ? HF_REFS_MAX : slots), previous;
        for (uint32_t n = HF_REFS_MAX; n < slots; n++)
            ck_assert_int_eq(pool_link(fx.pool, id, n, refs[n], &previous), 0);
        if (k % 8 != 0)
            release_one(&fx, fx.a, id);
        else
            retain_one(&fx, fx.b, id); /* to be found again */
    }
    drain(&fx);
    unsigned found = 0;
    for (uint32_t k = 0; k < fx.a->holds.count; k++) {
        uint32_t index = *u32vec_at(&fx.a->holds, k) & ~HOLD_CELL_BIT;
        if (slots_count(&fx.pool->heap, index) != slots)
            continue;
        ck_assert(refs_are(&fx, heap_id(&fx.pool->heap, index), refs, slots));
        found++;
    }
    ck_assert_uint_ge(found, count / 8);
}

START_TEST(lists_of_slots_move)
{
    const struct blocks *lists;
    open_pool(256 * MIB);
    lists = &fx.pool->heap.lists;
    uint64_t leaf = put_leaf(&fx, fx.a);
    evacuation->config.least = MIB / 2;
    lists_burst(leaf, 40000, 12);
    ck_assert_double_ge(share_of(lists), 0.6);
    lists_burst(leaf, 120, 8800); /* in segments: nothing needs to move, they leave whole arenas */
    ck_assert_double_ge(share_of(lists), 0.6);
    evacuation->config = (struct evacuate_config){.percent = 99, .least = 1, .thorough = true};
    uint64_t before = evacuation->stats.moved;
    lists_burst(leaf, 16, 8800);
    ck_assert_uint_gt(evacuation->stats.moved, before + 2 * 3); /* directory and segments, and all else */
    close_pool();
}
END_TEST

/* ---- what stays ---- */

START_TEST(what_is_pinned_open_or_staged_stays)
{
    struct value_view view;
    uint64_t pin;
    open_pool(64 * MIB);
    evacuation->config = (struct evacuate_config){.percent = 99, .least = 1, .thorough = true};
    uint64_t pinned = put_filled(&fx, fx.a, 20000, 7), open = put_open(&fx, fx.a, 20000);
    uint64_t moved = put_filled(&fx, fx.a, 20000, 9);
    struct stage *stage = staged(&fx, 20000, 8, false);
    uint64_t staged_at = stage->value;
    ck_assert_int_eq(pool_get(fx.pool, pinned, &view), 0);
    ck_assert_int_eq(pool_pin(fx.pool, pinned, &pin), 0);
    const uint8_t *at = view.data;
    uint64_t open_at = heap_find(&fx.pool->heap, open)->value,
             moved_at = heap_find(&fx.pool->heap, moved)->value;
    drain(&fx);
    ck_assert_uint_ge(evacuation->stats.passes, 1);
    ck_assert_int_eq(pool_get(fx.pool, pinned, &view), 0);
    ck_assert_ptr_eq(view.data, at);
    ck_assert_uint_eq(heap_find(&fx.pool->heap, open)->value, open_at);
    ck_assert_uint_eq(stage->value, staged_at);
    ck_assert_uint_ne(heap_find(&fx.pool->heap, moved)->value, moved_at);
    pool_unpin(fx.pool, pin);
    pool_stage_drop(fx.pool, stage);
    ck_assert(value_is(&fx, pinned, 20000, 7) && value_is(&fx, moved, 20000, 9));
    close_pool();
}
END_TEST

/* Values of few sizes, so that runs and arenas become full and empty. */
static uint32_t any_size(void)
{
    static const uint32_t sizes[] = {100, 5000, 16000, 20000, 100000};
    return sizes[random_below(&dice, 5)];
}

START_TEST(clients_go_on_meanwhile)
{
    open_pool(64 * MIB);
    evacuation->config = (struct evacuate_config){.percent = 99, .least = 1, .thorough = true};
    for (unsigned n = 0; n < 3000; n++) {
        for (uint64_t k = random_below(&dice, 4); k > 0 && live < 4 * MIB; k--)
            ck_assert(try_add(any_size()));
        for (uint64_t k = random_below(&dice, 4); k > 0 && kept_count > 0; k--)
            drop_any();
        while (random_once_in(&dice, 60) && kept_count > 4)
            for (unsigned k = 0; k < 4; k++)
                drop_any();
        if (random_once_in(&dice,
                           300)) /* whole arenas are given back, whatever the pass is about to do with them */
            while (kept_count > 0)
                drop_any();
        (void)evacuate_step(evacuation, (unsigned)random_between(&dice, 1, 60));
        if (random_once_in(&dice, 10))
            verify_ok(&fx);
        if (random_once_in(&dice, 100))
            drain(&fx);
    }
    ck_assert_uint_gt(evacuation->stats.passes, 20);
    look_at_all();
    close_pool();
}
END_TEST

START_TEST(runs_in_which_something_stays_are_used_again)
{
    uint64_t open[17], others[40];
    open_pool(64 * MIB);
    evacuation->config = (struct evacuate_config){.percent = 99, .least = 1, .thorough = true};
    for (unsigned k = 0; k < 17; k++) /* a full run, and one with room */
        open[k] = put_open(&fx, fx.a, 16000);
    drain(&fx);
    ck_assert_uint_ge(evacuation->stats.passes, 1);
    verify_ok(&fx);
    for (unsigned k = 0; k < 40; k++)
        others[k] = put_filled(&fx, fx.a, 16000, (uint8_t)k);
    for (unsigned k = 0; k < 17; k++)
        ck_assert_int_eq(pool_seal(fx.pool, fx.a, open[k]), 0);
    for (unsigned k = 0; k < 40; k++)
        ck_assert(value_is(&fx, others[k], 16000, (uint8_t)k));
    for (unsigned k = 0; k < 17; k++)
        ck_assert(value_is(&fx, open[k], 16000, 0));
    close_pool();
}
END_TEST

/* ---- when it works, and when it does not ---- */

START_TEST(what_cannot_be_helped_costs_nothing)
{
    uint64_t pins[400], ids[400];
    struct value_view view;
    unsigned count = 0;
    open_pool(256 * MIB);
    evacuation->config.least = MIB;
    for (unsigned k = 0; k < 4000; k++) { /* each tenth stays, and is being sent */
        uint64_t id = put_filled(&fx, fx.a, 16000, 1);
        if (k % 10 != 0) {
            release_one(&fx, fx.a, id);
            continue;
        }
        ck_assert_int_eq(pool_get(fx.pool, id, &view), 0);
        ck_assert_int_eq(pool_pin(fx.pool, id, &pins[count]), 0);
        ids[count++] = id;
    }
    for (unsigned k = 0; k < 3000; k++) /* what comes next to them goes */
        ck_assert(try_add(15000));
    while (kept_count > 0)
        drop_any();
    drain(&fx);
    ck_assert(!pool_has_work(fx.pool));
    ck_assert_uint_le(evacuation->stats.passes, 3);
    uint64_t work = pool_work(fx.pool), passes = evacuation->stats.passes;
    for (unsigned k = 0; k < 1000; k++) { /* a client that does little does not make it work either */
        ck_assert(try_add(100));
        drop_any();
        drain(&fx);
    }
    ck_assert_uint_eq(evacuation->stats.passes, passes);
    ck_assert_uint_lt(pool_work(fx.pool) - work, 10000);
    while (count-- > 0) {
        pool_unpin(fx.pool, pins[count]);
        ck_assert(value_is(&fx, ids[count], 16000, 1));
    }
    close_pool();
}
END_TEST

START_TEST(a_large_table_is_not_walked_for_little)
{
    open_pool(256 * MIB);
    evacuation->config.least = MIB / 4;
    for (unsigned k = 0; k < 200000; k++) /* 9 MiB of table */
        put_bytes(&fx, fx.a, "abcd", 4);
    burst(500, 1500, MIB / 4, 90);
    ck_assert_double_lt(share(), 0.5);
    ck_assert_uint_eq(evacuation->stats.passes, 0);
    burst(500, 1500, 4 * MIB, 90);
    ck_assert_uint_gt(evacuation->stats.passes, 0);
    close_pool();
}
END_TEST

/* A client that keeps the share at the border pays for each byte that is moved by as many that it frees. */
START_TEST(moves_are_paid_for)
{
    struct cost cost = {0};
    uint64_t freed = 0;
    open_pool(64 * MIB);
    evacuation->config.least = MIB / 2;
    for (unsigned round = 0; round < 20; round++) {
        while (live < 4 * MIB)
            ck_assert(try_add((uint32_t)random_between(&dice, 16, 400)));
        while (share() > 0.59 && live > MIB && evacuation->phase == EVACUATE_IDLE) {
            uint64_t before = live;
            drop_any();
            freed += before - live;
            step(&cost);
        }
        while (step(&cost))
            continue;
    }
    ck_assert_uint_gt(evacuation->stats.passes, 5);
    ck_assert_uint_lt(evacuation->stats.moved_bytes, 2 * freed);
    close_pool();
}
END_TEST

START_TEST(a_pool_without_memory_is_helped)
{
    open_pool(8 * MIB);
    while (try_add(64))
        continue;
    for (uint32_t left = kept_count * 3 / 10; kept_count > left;)
        drop_any();
    uint64_t before = live;
    unsigned misses = 0; /* as a request that waits for memory */
    while (misses < 1000) {
        if (try_add(3900))
            misses = 0;
        else if (pool_has_work(fx.pool))
            misses += pool_step(fx.pool, 128) != 0;
        else
            break;
    }
    ck_assert_uint_gt(evacuation->stats.passes, 0);
    /* Of what the small values had, less than a third stays with them. */
    ck_assert_uint_gt(live - before, 2 * MIB);
    ck_assert_double_ge(share(), 0.9);
    look_at_all();
    close_pool();
}
END_TEST

START_TEST(it_can_be_switched_off)
{
    open_pool(64 * MIB);
    evacuation->config = (struct evacuate_config){.percent = 0, .least = 1};
    burst(16, 3000, 6 * MIB, 80);
    evacuate_need_memory(evacuation);
    drain(&fx);
    ck_assert_uint_eq(evacuation->stats.passes, 0);
    ck_assert(!evacuation->short_of_memory);
    close_pool();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("evacuate");
    TCase *tc = suite_case(suite, "evacuate", NULL, NULL);
    tcase_add_test(tc, sizes_drift_and_memory_goes_back);
    tcase_add_loop_test(tc, after_a_burst_memory_goes_back, 0, 2);
    tcase_add_test(tc, spare_blocks_keep_no_arena);
    tcase_add_test(tc, spare_blocks_of_a_pool_that_becomes_sparse_keep_no_arena);
    tcase_add_test(tc, spare_blocks_are_room_for_other_sizes);
    tcase_add_test(tc, values_of_whole_pages_move);
    tcase_add_test(tc, values_with_versions_move);
    tcase_add_test(tc, lists_of_slots_move);
    tcase_add_test(tc, what_is_pinned_open_or_staged_stays);
    tcase_add_test(tc, clients_go_on_meanwhile);
    tcase_add_test(tc, runs_in_which_something_stays_are_used_again);
    tcase_add_test(tc, what_cannot_be_helped_costs_nothing);
    tcase_add_test(tc, a_large_table_is_not_walked_for_little);
    tcase_add_test(tc, moves_are_paid_for);
    tcase_add_test(tc, a_pool_without_memory_is_helped);
    tcase_add_test(tc, it_can_be_switched_off);
    const char *longer = getenv("HF_TEST_LONG");
    if (longer != NULL && longer[0] == '1')
        tcase_add_test(tc, more_drifts_and_what_it_costs);
    return suite_run(suite);
}
