/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory made ready ahead of need is nobody's loss: a pool that is full has none of it left. */
#include "daemon/pool/internal.h"
#include "tests/lib/pool_fixture.h"
#include "tests/lib/suite.h"

#define MIB   (1ull << 20)
#define LIMIT (48 * MIB)
#define VALUE 100u

static struct fixture fx;

static void setup(void)
{
    fixture_open_with(&fx, &(struct fixture_options){.max_bytes = LIMIT});
}

static void teardown(void)
{
    verify_ok(&fx);
    fixture_close(&fx);
}

/* What a worker sends another thread for. */
static unsigned do_errands(void)
{
    struct pool_errand errand;
    unsigned done = 0;
    for (; pool_errand_begin(fx.pool, &errand); done++)
        pool_errand_end(&errand, pool_errand_run(&errand));
    return done;
}

static bool is_ready(void)
{
    const struct heap *heap = &fx.pool->heap;
    return ahead_is_ready(&heap->payloads.ahead) || ahead_is_ready(&heap->lists.ahead) ||
           ahead_is_ready(&heap->hot_ahead) || ahead_is_ready(&heap->warm_ahead);
}

START_TEST(a_full_pool_has_no_piece_left)
{
    static const uint8_t data[VALUE];
    const struct put_spec spec = {.value = bytes_in(data, VALUE)};
    unsigned done = 0;
    bool had = false;
    uint64_t id;
    while (pool_put(fx.pool, fx.a, &spec, &id) == 0) {
        done += do_errands();
        had = had || is_ready();
    }
    ck_assert(had);
    ck_assert_uint_gt(done, 0);
    ck_assert(!is_ready());
    /* what no object could be made of is less than an arena of each area */
    ck_assert_uint_gt(stats_of(&fx).memory_used, LIMIT - MIB);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pool ahead");
    TCase *t = suite_case(suite, "ahead", setup, teardown);
    tcase_add_test(t, a_full_pool_has_no_piece_left);
    return suite_run(suite);
}
