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
static void do_errands(void)
{
    struct pool_errand errand;
    while (pool_errand_begin(fx.pool, &errand))
        pool_errand_end(&errand, pool_errand_run(&errand));
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
    uint64_t id;
    while (!ahead_is_ready(&fx.pool->heap.payloads.ahead)) {
        ck_assert_int_eq(pool_put(fx.pool, fx.a, &spec, &id), 0);
        do_errands();
    }
    /* objects without values have no use for that piece */
    const struct put_spec empty = {.value = bytes_in(data, 0)};
    while (pool_put(fx.pool, fx.a, &empty, &id) == 0)
        do_errands();
    ck_assert(!is_ready());
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
