/* SPDX-License-Identifier: BSD-3-Clause */
/* daemon/server/runners.h: each chore is run once, in a thread of its own, and done in the loop. */
#include "daemon/server/runners.h"

#include "daemon/base/mem.h"
#include "tests/lib/suite.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <unistd.h>

#define CHORES 100u

struct counted {
    struct chore chore;
    atomic_uint runs;
    unsigned done, again; /* again: times that it is given again when it is done */
    int nice;
    pthread_t thread;
};

static uv_loop_t loop;
static struct runners runners;
static struct mem mem;
static struct counted chores[CHORES];
static pthread_t own;
static atomic_bool held; /* no chore ends */
static atomic_uint running, running_most;

static void run(struct chore *chore)
{
    struct counted *counted = list_entry(chore, struct counted, chore);
    unsigned now = atomic_fetch_add(&running, 1) + 1, most = atomic_load(&running_most);
    while (now > most && !atomic_compare_exchange_weak(&running_most, &most, now))
        ;
    counted->thread = pthread_self();
    counted->nice = getpriority(PRIO_PROCESS, (id_t)gettid());
    while (atomic_load(&held))
        usleep(100); /* it is let go by the test, not by time */
    atomic_fetch_add(&counted->runs, 1);
    atomic_fetch_sub(&running, 1);
}

static void done(struct chore *chore)
{
    struct counted *counted = list_entry(chore, struct counted, chore);
    ck_assert(pthread_equal(pthread_self(), own));
    ck_assert(!pthread_equal(counted->thread, own));
    counted->done++;
    ck_assert_uint_eq(atomic_load(&counted->runs), counted->done);
    if (counted->again > 0) {
        counted->again--;
        ck_assert(runners_do(&runners, chore));
    }
}

static void setup(void)
{
    own = pthread_self();
    atomic_store(&held, false);
    atomic_store(&running_most, 0);
    mem_init(&mem, NULL, UINT64_MAX);
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    ck_assert_int_eq(runners_open(&runners, &mem, &loop), 0);
    for (unsigned k = 0; k < CHORES; k++)
        chores[k] = (struct counted){.chore = {.run = run, .done = done}};
}

static void teardown(void)
{
    runners_close_handle(&runners);
    uv_run(&loop, UV_RUN_DEFAULT);
    runners_close(&runners);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    ck_assert_uint_eq(mem.used, 0);
    mem_done(&mem);
}

static void until_done(unsigned count, unsigned times)
{
    for (unsigned k = 0; k < count; k++)
        while (chores[k].done < times)
            uv_run(&loop, UV_RUN_ONCE);
}

START_TEST(all_are_run_and_done_once)
{
    for (unsigned k = 0; k < CHORES; k++)
        ck_assert(runners_do(&runners, &chores[k].chore));
    until_done(CHORES, 1);
    for (unsigned k = 0; k < CHORES; k++)
        ck_assert_uint_eq(atomic_load(&chores[k].runs), 1);
    ck_assert_uint_le(atomic_load(&running_most), RUNNERS_MOST);
}
END_TEST

START_TEST(one_that_is_done_may_be_given_again)
{
    for (unsigned k = 0; k < 10; k++) {
        chores[k].again = 50;
        ck_assert(runners_do(&runners, &chores[k].chore));
    }
    until_done(10, 51);
}
END_TEST

static void until_running(unsigned count)
{
    while (atomic_load(&running) < count)
        usleep(100);
}

/* It waits for no chore that does not hurry, and has a priority as others have. */
START_TEST(what_hurries_is_done_while_others_are_not)
{
    atomic_store(&held, true);
    for (unsigned k = 0; k < 2 * RUNNERS_MOST; k++)
        ck_assert(runners_do(&runners, &chores[k].chore));
    until_running(RUNNERS_MOST);
    for (unsigned k = 2 * RUNNERS_MOST; k < 4 * RUNNERS_MOST; k++) {
        chores[k].chore.hurries = true;
        ck_assert(runners_do(&runners, &chores[k].chore));
    }
    until_running(2 * RUNNERS_MOST);
    atomic_store(&held, false);
    until_done(4 * RUNNERS_MOST, 1);
    ck_assert_uint_eq(atomic_load(&running_most), 2 * RUNNERS_MOST);
    ck_assert_int_eq(chores[0].nice, 10);
    ck_assert_int_eq(chores[2 * RUNNERS_MOST].nice, getpriority(PRIO_PROCESS, (id_t)gettid()));
}
END_TEST

/* The first one there is runs everything. */
START_TEST(what_hurries_first_needs_no_other)
{
    chores[0].chore.hurries = true;
    ck_assert(runners_do(&runners, &chores[0].chore));
    ck_assert(runners_do(&runners, &chores[1].chore));
    until_done(2, 1);
}
END_TEST

START_TEST(the_loop_ends_after_all_are_done)
{
    atomic_store(&held, true);
    chores[0].again = 3;
    for (unsigned k = 0; k < CHORES; k++)
        ck_assert(runners_do(&runners, &chores[k].chore));
    runners_close_handle(&runners);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    ck_assert(uv_loop_alive(&loop));
    atomic_store(&held, false);
    uv_run(&loop, UV_RUN_DEFAULT);
    for (unsigned k = 0; k < CHORES; k++)
        ck_assert_uint_eq(chores[k].done, k == 0 ? 4 : 1);
}
END_TEST

START_TEST(no_memory_for_the_first_one_is_told)
{
    mem.limit = 0;
    ck_assert(!runners_do(&runners, &chores[0].chore));
    mem.limit = UINT64_MAX;
    ck_assert(runners_do(&runners, &chores[0].chore));
    mem.limit = mem.used; /* now they wait for the one that is there */
    for (unsigned k = 1; k < 10; k++)
        ck_assert(runners_do(&runners, &chores[k].chore));
    until_done(10, 1);
    ck_assert_uint_eq(atomic_load(&running_most), 1);
    mem.limit = UINT64_MAX;
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("runners");
    TCase *tcase = suite_case(suite, "runners", setup, teardown);
    tcase_add_test(tcase, all_are_run_and_done_once);
    tcase_add_test(tcase, one_that_is_done_may_be_given_again);
    tcase_add_test(tcase, what_hurries_is_done_while_others_are_not);
    tcase_add_test(tcase, what_hurries_first_needs_no_other);
    tcase_add_test(tcase, the_loop_ends_after_all_are_done);
    tcase_add_test(tcase, no_memory_for_the_first_one_is_told);
    return suite_run(suite);
}
