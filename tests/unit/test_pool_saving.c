/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory that is given back while a pool is saved: it is copied before it goes, so it waits when the buffers of the
 * save are short, but not when it is needed; and what was about to be given back at the instant is in no file. Free
 * blocks in what is to be copied are set aside for as long as there is other memory. (That the file is the pool at the
 * instant, whatever happens meanwhile: tests/crash/test_save.c.) */
#include "daemon/heap/save.h"
#include "daemon/pool/internal.h"
#include "tests/lib/pool_fixture.h"
#include "tests/lib/suite.h"

#include <sys/mman.h>
#include <unistd.h>

#define MIB    (1ull << 20)
#define VALUES 1024u /* of 64 KiB, more than the buffers of a save hold */

static struct fixture fx;
static uint64_t ids[VALUES];
static struct save *save;
static int fd;

static void fill(uint64_t max_bytes)
{
    fixture_open_with(&fx, &(struct fixture_options){.max_bytes = max_bytes});
    for (unsigned k = 0; k < VALUES; k++)
        ids[k] = put_filled(&fx, fx.a, 64u << 10, 7);
    drain(&fx);
}

static void release_all(void)
{
    for (unsigned k = 0; k < VALUES; k++)
        (void)release_one(&fx, fx.a, ids[k]);
}

static void begin(void)
{
    fd = memfd_create("saved", MFD_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pool_save_begin(fx.pool, fd, -1, &save), 0);
}

static struct save_facts facts(void)
{
    struct save_facts now;
    save_facts(save, &now);
    return now;
}

/* All that can be done while nobody writes. */
static void step_to_the_end(void)
{
    bool more = true;
    while (more) {
        more = pool_has_work(fx.pool) && pool_step(fx.pool, 128) != 0;
        more |= pool_save_step(fx.pool);
    }
}

static bool write_one(void)
{
    struct save_buffer *chain = save_take(save);
    if (chain != NULL)
        save_given_back(save, chain, save_write(chain, NULL, NULL));
    return chain != NULL;
}

static void end_save(void)
{
    do
        step_to_the_end();
    while (write_one());
    ck_assert_int_eq(save_error(save), 0);
    ck_assert(save_is_done(save));
    pool_save_end(fx.pool);
    close(fd);
}

static void close_pool(void)
{
    drain(&fx);
    verify_ok(&fx);
    fixture_close(&fx);
}

static void end(void)
{
    end_save();
    close_pool();
}

static uint64_t backed(void)
{
    return fx.pool->heap.payloads.backed_bytes;
}

START_TEST(memory_that_is_given_back_waits_for_buffers)
{
    fill(1024 * MIB);
    uint64_t most = backed();
    begin();
    release_all();
    step_to_the_end();
    ck_assert_uint_gt(backed(), most / 2);
    ck_assert(!pool_has_work(fx.pool)); /* the loop may sleep until buffers are back */
    for (uint64_t before = backed(); write_one(); before = backed()) {
        step_to_the_end();
        ck_assert(backed() < before || backed() < MIB);
    }
    ck_assert_uint_lt(backed(), MIB);
    ck_assert_uint_gt(facts().urgent, VALUES); /* a piece has 16 KiB at most */
    ck_assert_uint_eq(facts().direct, 0);
    end();
}
END_TEST

#define SMALL       20000u
#define SMALL_BYTES 2000u

/* Small values, and behind any seven the place of another one. */
static void fill_with_holes(uint64_t max_bytes)
{
    static uint64_t small[SMALL];
    fixture_open_with(&fx, &(struct fixture_options){.max_bytes = max_bytes});
    for (unsigned k = 0; k < SMALL; k++)
        small[k] = put_filled(&fx, fx.a, SMALL_BYTES, 7);
    for (unsigned k = 0; k < SMALL; k += 8)
        (void)release_one(&fx, fx.a, small[k]);
    drain(&fx);
}

static void put_small(unsigned count)
{
    for (unsigned k = 0; k < count; k++)
        (void)put_filled(&fx, fx.a, SMALL_BYTES, 8);
}

START_TEST(what_is_free_is_set_aside_and_comes_back)
{
    fill_with_holes(1024 * MIB);
    uint64_t most = backed();
    begin();
    put_small(SMALL / 16);
    ck_assert_uint_gt(backed(), most); /* elsewhere */
    ck_assert_uint_lt(facts().urgent, SMALL / 100);
    end_save();
    most = backed();
    put_small(SMALL / 9);
    ck_assert_uint_eq(backed(), most);
    close_pool();
}
END_TEST

/* Blocks that are kept for the next value are in what is set aside. */
START_TEST(no_block_is_kept_for_the_next_value)
{
    fill_with_holes(1024 * MIB);
    const struct heap *heap = &fx.pool->heap;
    uint64_t one = put_filled(&fx, fx.a, 100, 7);
    (void)release_one(&fx, fx.a, one);
    ck_assert_uint_gt(heap->spares_most, 0);
    begin();
    ck_assert_uint_eq(heap->spares_most, 0);
    for (unsigned k = 0; k < SPARE_CLASSES; k++)
        ck_assert_uint_eq(heap->spare_blocks[k].count, 0);
    end_save();
    ck_assert_uint_gt(heap->spares_most, 0);
    close_pool();
}
END_TEST

/* However often what lives is replaced beside a save: a quarter more is backed, and a few arenas. */
START_TEST(many_saves_do_not_add_up)
{
    static uint64_t small[SMALL];
    fixture_open_with(&fx, &(struct fixture_options){.max_bytes = 4096 * MIB});
    fx.pool->evacuation.config.percent = 0;
    for (unsigned k = 0; k < SMALL; k++)
        small[k] = put_filled(&fx, fx.a, SMALL_BYTES, 7);
    uint64_t live = fx.pool->heap.payloads.live_bytes;
    for (unsigned round = 0; round < 10; round++) {
        for (unsigned k = round % 8; k < SMALL; k += 8)
            (void)release_one(&fx, fx.a, small[k]);
        begin();
        for (unsigned k = round % 8; k < SMALL; k += 8)
            small[k] = put_filled(&fx, fx.a, SMALL_BYTES, 7);
        end_save();
        ck_assert_uint_le(backed(), live / 4 * 5 + 8 * ARENA_BYTES);
    }
    close_pool();
}
END_TEST

START_TEST(but_not_when_memory_is_nearly_spent)
{
    fill_with_holes(1024 * MIB);
    uint64_t most = backed();
    mem_set_limit(pool_mem(fx.pool), pool_mem(fx.pool)->used * 17 / 16);
    begin();
    put_small(SMALL / 100);
    ck_assert_uint_eq(backed(), most);
    end();
}
END_TEST

/* Nor after it was found to be missing: what is free then is for all. */
START_TEST(nor_when_somebody_needs_memory)
{
    fill_with_holes(1024 * MIB);
    begin();
    put_small(1);
    uint64_t most = backed();
    (void)heap_need_memory(&fx.pool->heap);
    put_small(SMALL / 9);
    ck_assert_uint_eq(backed(), most);
    end();
}
END_TEST

#define ENTRIES   1200000u /* of 32 bytes in their hot halves: more than the buffers of a save hold as a rule */
#define A_PIECE   (SAVED_PIECE / sizeof(struct hot))
#define LIMIT_ALL (1024 * MIB)

/* Requests change something in every piece of the table, while nobody writes what is copied before. `left`: of the
 * memory at that time. */
static void change_everywhere(uint64_t left)
{
    uint64_t first = 0, id;
    struct put_spec spec = {.value = bytes_in("v", 1)};
    fixture_open_with(&fx, &(struct fixture_options){.max_bytes = LIMIT_ALL});
    uint64_t *made = calloc(ENTRIES / A_PIECE + 1, sizeof *made);
    for (uint64_t k = 0; k < ENTRIES; k++) {
        ck_assert_int_eq(try_put(&fx, fx.a, &spec, &id), 0);
        first = k % A_PIECE == 0 ? id : first;
        made[k / A_PIECE] = first;
    }
    drain(&fx);
    begin();
    mem_set_limit(pool_mem(fx.pool), pool_mem(fx.pool)->used + left);
    for (uint64_t k = 0; k < ENTRIES / A_PIECE; k++)
        ck_assert_int_eq(pool_seal(fx.pool, fx.a, made[k]), 0);
    free(made);
    mem_set_limit(pool_mem(fx.pool), LIMIT_ALL);
    ck_assert_uint_ge(facts().urgent * SAVED_PIECE, SAVE_MEMORY);
}

START_TEST(what_must_be_copied_at_once_may_use_more_memory)
{
    change_everywhere(LIMIT_ALL / 2);
    ck_assert_uint_eq(facts().direct, 0);
    ck_assert_uint_gt(facts().memory, SAVE_MEMORY);
    ck_assert_uint_le(facts().memory, SAVE_MEMORY + SAVE_URGENT);
    end();
}
END_TEST

START_TEST(but_not_what_is_nearly_spent)
{
    change_everywhere(SAVE_MEMORY + MIB);
    ck_assert_uint_gt(facts().direct, 0);
    ck_assert_uint_le(facts().memory, SAVE_MEMORY + MIB);
    end();
}
END_TEST

START_TEST(when_memory_is_nearly_spent_nothing_waits)
{
    fill(1024 * MIB);
    begin();
    release_all();
    step_to_the_end();
    uint64_t waiting = backed();
    ck_assert_uint_gt(waiting, 16 * MIB);
    mem_set_limit(pool_mem(fx.pool), pool_mem(fx.pool)->used * 17 / 16);
    ck_assert(pool_has_work(fx.pool));
    step_to_the_end();
    ck_assert_uint_lt(backed(), waiting - MIB);
    end();
}
END_TEST

/* Much is left, but not enough. */
START_TEST(who_needs_memory_need_not_wait)
{
    struct put_spec spec = {.value = bytes_in(NULL, 0)};
    uint64_t id;
    fill(1024 * MIB);
    begin();
    release_all();
    step_to_the_end();
    mem_set_limit(pool_mem(fx.pool), pool_mem(fx.pool)->used + 10 * MIB);
    ck_assert(!pool_has_work(fx.pool));
    spec.value = bytes_in(calloc(1, 20 * MIB), 20 * MIB);
    bool done = false;
    for (unsigned tries = 0; !done && tries < 1000; tries++) { /* as a request that waits does */
        done = try_put(&fx, fx.a, &spec, &id) == 0;
        ck_assert(done || pool_has_work(fx.pool));
        (void)pool_step(fx.pool, 128);
    }
    ck_assert(done);
    free((void *)(uintptr_t)spec.value.data);
    end();
}
END_TEST

START_TEST(what_is_about_to_be_given_back_is_not_saved)
{
    fill(1024 * MIB);
    release_all();
    while (fx.pool->heap.zero_head != 0)
        (void)gc_reap(&fx.pool->gc, 64, UINT32_MAX);
    ck_assert_uint_gt(backed(), 32 * MIB);
    begin();
    ck_assert_uint_lt(facts().bytes_most, 4 * MIB);
    step_to_the_end();
    ck_assert_uint_lt(backed(), MIB);
    ck_assert_uint_lt(facts().bytes, 4 * MIB);
    ck_assert_uint_le(facts().bytes, facts().bytes_most);
    ck_assert_uint_lt(facts().urgent, 10);
    end();
}
END_TEST

START_TEST(evacuation_waits_for_buffers)
{
    struct evacuation *evacuation;
    fill(1024 * MIB);
    evacuation = &fx.pool->evacuation;
    begin();
    while (pool_save_step(fx.pool))
        continue;
    release_all();
    step_to_the_end();
    evacuation->config = (struct evacuate_config){.percent = 99, .least = 1, .thorough = true};
    ck_assert(!evacuate_has_work(evacuation));
    ck_assert_uint_eq(evacuate_step(evacuation, 100), 0);
    (void)write_one();
    (void)write_one();
    ck_assert(evacuate_has_work(evacuation));
    end();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pool saving");
    TCase *tc = suite_case(suite, "pool saving", NULL, NULL);
    tcase_add_test(tc, memory_that_is_given_back_waits_for_buffers);
    tcase_add_test(tc, what_is_free_is_set_aside_and_comes_back);
    tcase_add_test(tc, no_block_is_kept_for_the_next_value);
    tcase_add_test(tc, many_saves_do_not_add_up);
    tcase_add_test(tc, but_not_when_memory_is_nearly_spent);
    tcase_add_test(tc, nor_when_somebody_needs_memory);
    tcase_add_test(tc, what_must_be_copied_at_once_may_use_more_memory);
    tcase_add_test(tc, but_not_what_is_nearly_spent);
    tcase_add_test(tc, when_memory_is_nearly_spent_nothing_waits);
    tcase_add_test(tc, who_needs_memory_need_not_wait);
    tcase_add_test(tc, what_is_about_to_be_given_back_is_not_saved);
    tcase_add_test(tc, evacuation_waits_for_buffers);
    return suite_run(suite);
}
