/* SPDX-License-Identifier: BSD-3-Clause */
/* daemon/server/pace.c: pools that nothing happens to cost a turn nothing, and yet nothing that is due is missed. */
#include "daemon/heap/save.h"
#include "daemon/server/worker.h"
#include "tests/lib/suite.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define POOLS    5u
#define LEASE_MS 60000u

static struct server *server;
static struct worker *worker;
static struct log log_of_test;
static struct pool_entry *entries[POOLS];

static void setup(void)
{
    char name[8], error[256];
    int code;
    log_init(&log_of_test, STDERR_FILENO, LOG_LEVEL_ERROR);
    server = aligned_alloc(CACHE_LINE, bits_round_up(sizeof *server, CACHE_LINE));
    ck_assert_ptr_nonnull(server);
    memset(server, 0, sizeof *server);
    server->log = &log_of_test;
    mem_init(&server->mem, NULL, 1ull << 30);
    mem_init(&server->pools_mem, &server->mem, 1ull << 30);
    ck_assert_int_eq(directory_open(&server->directory), 0);
    ck_assert_int_eq(worker_open(&worker, server, 0), 0);
    server->workers[0] = worker;
    server->workers_count = 1;
    for (unsigned i = 0; i < POOLS; i++) {
        struct place place;
        snprintf(name, sizeof name, "p%u", i);
        ck_assert_int_eq(directory_reserve(server, name, &place), 0);
        entries[i] = pools_create(worker, name, place.number, 0, error, sizeof error, &code);
        ck_assert_ptr_nonnull(entries[i]);
    }
}

static void teardown(void)
{
    worker_close(worker);
    directory_close(server);
    ck_assert_uint_eq(atomic_load(&server->mem.used), 0);
    free(server);
}

static void end_turn(void)
{
    while (pace_step(worker))
        continue;
    pace_settle(worker);
    worker->turn++;
}

/* A session in grace: something that is due later. */
static void leave_a_lease(struct pool_entry *entry, uint32_t lease_ms)
{
    struct session *session;
    const struct session_spec spec = {.lease_ms = lease_ms, .owner = entry, .key = {1}};
    worker_clock(worker, entry);
    ck_assert_int_eq(pool_session_open(entry->pool, &spec, &session), 0);
    pool_session_detach(entry->pool, session);
}

static uint64_t in_grace(const struct pool_entry *entry)
{
    struct pool_stats stats;
    pool_stats(entry->pool, &stats);
    return stats.sessions_grace;
}

START_TEST(pools_without_work_are_left_alone)
{
    end_turn();
    ck_assert(list_empty(&worker->pace.touched));
    ck_assert_uint_eq(pace_wait_ms(worker), UINT64_MAX);
    pace_touch(entries[3]);
    pace_touch(entries[3]);
    ck_assert_ptr_eq(worker->pace.touched.next, &entries[3]->in_touched);
    ck_assert_ptr_eq(worker->pace.touched.prev, &entries[3]->in_touched);
    end_turn();
    ck_assert(list_empty(&worker->pace.touched));
}
END_TEST

START_TEST(one_with_work_left_stays)
{
    struct session *session;
    const struct session_spec spec = {.anonymous = true, .owner = entries[1]};
    end_turn();
    worker_clock(worker, entries[1]);
    ck_assert_int_eq(pool_session_open(entries[1]->pool, &spec, &session), 0);
    for (unsigned i = 0; i < 50; i++) {
        const struct put_spec put = {.value = {.form = FORM_RAW, .data = (const uint8_t *)"\x01", .size = 1}};
        uint64_t id;
        ck_assert_int_eq(pool_put(entries[1]->pool, session, &put, &id), 0);
    }
    pool_session_end(entries[1]->pool, session, REASON_SESSION_END);
    ck_assert(pool_has_work(entries[1]->pool));
    pace_settle(worker);
    ck_assert_ptr_eq(worker->pace.touched.next, &entries[1]->in_touched);
    end_turn();
    ck_assert(!pool_has_work(entries[1]->pool));
    ck_assert(list_empty(&worker->pace.touched));
}
END_TEST

/* A session that holds `count` objects of `size` bytes. */
static struct session *put_values(struct pool_entry *entry, unsigned count, uint64_t size)
{
    struct session *session;
    const struct session_spec spec = {.anonymous = true, .owner = entry};
    uint8_t *bytes = malloc(size);
    memset(bytes, 1, size); /* zeros are not saved */
    worker_clock(worker, entry);
    ck_assert_int_eq(pool_session_open(entry->pool, &spec, &session), 0);
    for (unsigned i = 0; i < count; i++) {
        const struct put_spec put = {.value = {.form = FORM_BIN32, .data = bytes, .size = size}};
        uint64_t id;
        ck_assert_int_eq(pool_put(entry->pool, session, &put, &id), 0);
    }
    free(bytes);
    return session;
}

/* To give memory back is no work that units count, so the clock must end such a turn: one that did not went on until
 * all of it was back, 8 ms for the memory of a million objects. With the least budget there is more to give back than a
 * turn can do, however fast the system is: each piece is a call of it. */
START_TEST(a_turn_that_only_gives_memory_back_ends)
{
    struct pool *pool = entries[0]->pool;
    struct gc_config config = *pool_gc_config(pool);
    struct pool_stats stats;
    uint64_t work;
    unsigned turns = 0;
    config.budget_us = GC_BUDGET_US_LEAST;
    pool_gc_set_config(pool, &config);
    pool_session_end(pool, put_values(entries[0], 400, 200000), REASON_SESSION_END);
    do {
        ck_assert(pace_step(worker));
        pool_stats(pool, &stats);
    } while (stats.backlog != 0);
    for (bool more = true; more; turns++) {
        work = pool_work(pool);
        more = pace_step(worker);
        ck_assert_uint_eq(pool_work(pool), work);
    }
    ck_assert_uint_ge(turns, 5);
    ck_assert(!pool_has_work(pool));
}
END_TEST

/* In a turn that has served somebody a save does one step. What it has left is not forgotten, whatever else the pool
 * did: else the loop would sleep. */
START_TEST(a_turn_with_requests_leaves_a_save_for_the_next)
{
    struct pool *pool = entries[0]->pool;
    struct save *save;
    struct save_facts before, after;
    int fd = memfd_create("saved", MFD_CLOEXEC);
    struct session *kept = put_values(entries[0], 400, 200000);
    struct gc_config config = *pool_gc_config(pool);
    config.budget_us = GC_BUDGET_US_MOST; /* time ends no turn */
    pool_gc_set_config(pool, &config);
    ck_assert_int_eq(pool_save_begin(pool, fd, -1, &save), 0);
    for (unsigned held = 100; held < 400; held += 10) {
        pool_session_end(pool, put_values(entries[0], held, 1), REASON_SESSION_END);
        worker->active = true;
        save_facts(save, &before);
        for (bool more = true; more && pool_save_has_work(pool);) {
            more = pace_step(worker);
            ck_assert_msg(more || !pool_save_has_work(pool), "%u objects", held);
            save_facts(save, &after);
            ck_assert_uint_le(after.copied, before.copied + 4);
            before = after;
        }
        struct save_buffer *chain = save_take(save);
        if (chain != NULL)
            save_given_back(save, chain, save_write(chain, NULL, NULL));
    }
    ck_assert_uint_gt(after.copied, 2000);
    pool_save_end(pool);
    pool_session_end(pool, kept, REASON_SESSION_END);
    close(fd);
}
END_TEST

static uint64_t backlog_of(const struct pool_entry *entry)
{
    struct pool_stats stats;
    pool_stats(entry->pool, &stats);
    return stats.backlog;
}

/* Every step of one pool uses up a turn. Another pool's ended session is released all the same, before the first pool
 * has done all: turns that all began with the same pool let it wait until then. */
START_TEST(a_pool_with_long_steps_keeps_no_other_from_its_own)
{
    struct gc_config config = *pool_gc_config(entries[0]->pool);
    config.budget_us = GC_BUDGET_US_LEAST;
    for (unsigned i = 0; i < 2; i++)
        pool_gc_set_config(entries[i]->pool, &config);
    pool_session_end(entries[0]->pool, put_values(entries[0], 400, 200000), REASON_SESSION_END);
    while (backlog_of(entries[0]) != 0)
        (void)pace_step(worker);
    pool_session_end(entries[1]->pool, put_values(entries[1], 50, 1), REASON_SESSION_END);
    while (backlog_of(entries[1]) != 0) {
        ck_assert(pool_has_work(entries[0]->pool));
        (void)pace_step(worker);
    }
    ck_assert(pool_has_work(entries[0]->pool));
    end_turn();
}
END_TEST

START_TEST(the_first_thing_due_ends_the_sleep_and_is_told)
{
    leave_a_lease(entries[4], LEASE_MS);
    leave_a_lease(entries[2], LEASE_MS / 2);
    end_turn();
    ck_assert(list_empty(&worker->pace.touched));
    ck_assert_uint_le(pace_wait_ms(worker), LEASE_MS / 2);
    worker->lease_ms += LEASE_MS / 2;
    ck_assert_uint_eq(pace_wait_ms(worker), 0);
    worker->clocked = true; /* this turn's time is the one set here */
    pace_tell_time(worker);
    ck_assert_ptr_eq(worker->pace.touched.next, &entries[2]->in_touched);
    ck_assert_ptr_eq(worker->pace.touched.prev, &entries[2]->in_touched);
    end_turn();
    ck_assert_uint_eq(in_grace(entries[2]), 0);
    ck_assert_uint_eq(in_grace(entries[4]), 1);
    ck_assert_uint_gt(pace_wait_ms(worker), 0);
    ck_assert_uint_ne(pace_wait_ms(worker), UINT64_MAX);
}
END_TEST

START_TEST(what_others_wait_for_survives_a_pool_that_goes)
{
    struct call call = {.server = server, .worker = worker, .error = worker->error};
    for (unsigned i = 0; i < POOLS; i++)
        leave_a_lease(entries[i], LEASE_MS * (i + 1));
    end_turn();
    ck_assert_int_eq(worker_pool_drop(&call, entries[1]->pool, true), 0);
    worker->lease_ms += LEASE_MS * POOLS;
    worker->clocked = true;
    pace_tell_time(worker);
    end_turn();
    ck_assert_uint_eq(worker->pace.count, POOLS - 1);
    for (unsigned i = 0; i < POOLS; i++) {
        if (i != 1)
            ck_assert_uint_eq(in_grace(entries[i]), 0);
    }
    ck_assert_uint_eq(pace_wait_ms(worker), UINT64_MAX);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pace");
    TCase *tcase = suite_case(suite, "pace", setup, teardown);
    tcase_add_test(tcase, pools_without_work_are_left_alone);
    tcase_add_test(tcase, one_with_work_left_stays);
    tcase_add_test(tcase, a_turn_that_only_gives_memory_back_ends);
    tcase_add_test(tcase, a_turn_with_requests_leaves_a_save_for_the_next);
    tcase_add_test(tcase, a_pool_with_long_steps_keeps_no_other_from_its_own);
    tcase_add_test(tcase, the_first_thing_due_ends_the_sleep_and_is_told);
    tcase_add_test(tcase, what_others_wait_for_survives_a_pool_that_goes);
    return suite_run(suite);
}
