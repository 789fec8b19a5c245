/* SPDX-License-Identifier: BSD-3-Clause */
/* No request allocates in the steady state: after a warm-up the pool's budget is asked for nothing. */
#include "tests/lib/pool_fixture.h"
#include "tests/lib/suite.h"

#include <stdio.h>
#include <string.h>

#define OBJECTS    1000u
#define WARM_UP    20000u
#define ITERATIONS 100000u

static struct fixture fx;
static uint64_t ids[OBJECTS];

static void setup(void)
{
    char text[24];
    fixture_open(&fx);
    for (unsigned i = 0; i < OBJECTS; i++) {
        ids[i] = put_filled(&fx, fx.a, 16, 1);
        snprintf(text, sizeof text, "name-%u", i);
        bind_name(&fx, text, ids[i]);
    }
    drain(&fx);
}

static void teardown(void)
{
    verify_ok(&fx);
    fixture_close(&fx);
}

/* How often the budget is asked while `request` runs, with the background work between. */
static uint64_t asked(void (*request)(unsigned i))
{
    struct mem *mem = pool_mem(fx.pool);
    for (unsigned i = 0; i < WARM_UP; i++) {
        request(i);
        pool_step(fx.pool, 64);
    }
    drain(&fx);
    uint64_t before = mem->calls;
    for (unsigned i = 0; i < ITERATIONS; i++) {
        request(i);
        if (i % 16 == 0)
            pool_step(fx.pool, 64);
    }
    return mem->calls - before;
}

static void put_and_release(unsigned i)
{
    static const uint64_t sizes[] = {4, 16, 100, 1000, 5000};
    static const uint8_t data[5000];
    struct put_spec spec = {.value = bytes_in(data, sizes[i % 5])};
    uint64_t id;
    ck_assert_int_eq(pool_put(fx.pool, fx.a, &spec, &id), 0);
    release_one(&fx, fx.a, id);
}

static void retain_and_release_by_another(unsigned i)
{
    retain_one(&fx, fx.b, ids[i % OBJECTS]);
    release_one(&fx, fx.b, ids[i % OBJECTS]);
}

static void get(unsigned i)
{
    struct value_view view;
    ck_assert_int_eq(pool_get(fx.pool, ids[i % OBJECTS], &view), 0);
}

static void set(unsigned i)
{
    static const uint8_t data[16];
    struct value_in value = bytes_in(data, 16);
    uint64_t version;
    ck_assert_int_eq(pool_set(fx.pool, ids[i % OBJECTS], &value, 0, &version), 0);
}

static void lookup_and_release(unsigned i)
{
    char text[24];
    snprintf(text, sizeof text, "name-%u", i % OBJECTS);
    struct name_in name = name_of(text);
    uint64_t id;
    ck_assert_int_eq(pool_lookup(fx.pool, fx.b, &name, 1, &id, NULL), 0);
    release_one(&fx, fx.b, id);
}

static void store(unsigned i)
{
    static const uint8_t data[300];
    char text[24];
    struct value_in value = bytes_in(data, 300);
    uint64_t id, version;
    snprintf(text, sizeof text, "store-%u", i % 100);
    ck_assert_int_eq(pool_store(fx.pool, name_of(text), &value, POOL_ANY_VERSION, (const uint8_t *)"tag", 3,
                                &id, &version),
                     0);
}

static void share_and_claim(unsigned i)
{
    uint8_t key[HF_KEY_SIZE];
    uint64_t id;
    ck_assert_int_eq(pool_share(fx.pool, fx.a, ids[i % OBJECTS], 1000, 1, key), 0);
    ck_assert_int_eq(pool_claim(fx.pool, fx.b, key, &id), 0);
    release_one(&fx, fx.b, id);
}

static void link_and_unlink(unsigned i)
{
    uint64_t previous;
    ck_assert_int_eq(pool_link(fx.pool, ids[i % OBJECTS], 0, ids[(i + 1) % OBJECTS], &previous), 0);
    ck_assert_int_eq(pool_link(fx.pool, ids[i % OBJECTS], 0, 0, &previous), 0);
}

static void put_slots_and_release(unsigned i)
{
    release_one(&fx, fx.a, put_refs(&fx, fx.a, ids, i % 20));
}

static void name_and_unname(unsigned i)
{
    struct name_in name = name_of("passing");
    bind_name(&fx, "passing", ids[i % OBJECTS]);
    ck_assert_int_eq(pool_unname(fx.pool, &name, 1, POOL_ANY_VERSION), 0);
}

static void retain_arrays(unsigned i)
{
    uint64_t counts[32];
    unsigned at = i % (OBJECTS - 32);
    ck_assert_int_eq(pool_retain(fx.pool, fx.b, ids + at, 32, 1, NULL, 0, counts), 0);
    ck_assert_int_eq(pool_release(fx.pool, fx.b, ids + at, 32, 1, counts), 0);
}

static void inspect_and_holders(unsigned i)
{
    struct holder_row rows[4];
    unsigned count;
    inspect_of(&fx, ids[i % OBJECTS]);
    ck_assert_int_eq(pool_holders(fx.pool, ids[i % OBJECTS], rows, 4, &count), 0);
}

static const struct {
    const char *name;
    void (*run)(unsigned i);
} requests[] = {
    {"put and release", put_and_release},
    {"retain and release by another session", retain_and_release_by_another},
    {"get", get},
    {"set of the same size", set},
    {"lookup and release", lookup_and_release},
    {"store over a name", store},
    {"share and claim", share_and_claim},
    {"link and unlink", link_and_unlink},
    {"put with slots and release", put_slots_and_release},
    {"name and unname", name_and_unname},
    {"retain and release of arrays", retain_arrays},
    {"inspect and holders", inspect_and_holders},
};

START_TEST(steady_state_allocates_nothing)
{
    uint64_t calls = asked(requests[_i].run);
    if (calls != 0)
        ck_abort_msg("%s: %llu allocations in %u iterations", requests[_i].name, (unsigned long long)calls,
                     ITERATIONS);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pool allocations");
    TCase *t = suite_case(suite, "steady state", setup, teardown);
    tcase_add_loop_test(t, steady_state_allocates_nothing, 0, (int)(sizeof requests / sizeof *requests));
    return suite_run(suite);
}
