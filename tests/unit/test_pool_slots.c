/* SPDX-License-Identifier: BSD-3-Clause */
/* Objects of a pool: slots, ids, death, and what stays of it: memory, rows of a scan, findings of verify. */
#include "daemon/pool/internal.h"
#include "tests/lib/pool_fixture.h"
#include "tests/lib/suite.h"

#include <stdlib.h>
#include <string.h>

static struct fixture fx;

static void setup(void)
{
    fixture_open(&fx);
}

static void teardown(void)
{
    verify_ok(&fx);
    fixture_close(&fx);
}

static uint64_t objects(void)
{
    return stats_of(&fx).objects;
}

/* ---- slots ---- */

static const uint32_t slot_counts[] = {0, 1, 2, 3, 7, 8, 9, 16, 17, 4095, 4096, 4097, 8191, 8192};

START_TEST(slots_of_any_number_come_back)
{
    uint32_t count = slot_counts[_i];
    uint64_t leaf = put_leaf(&fx, fx.a), other = put_leaf(&fx, fx.a), *refs = calloc(count + 1, sizeof *refs);
    for (uint32_t i = 0; i < count; i++)
        refs[i] = i % 5 == 4 ? 0 : i % 2 ? leaf : other;
    uint64_t id = put_refs(&fx, fx.a, refs, count);
    ck_assert(refs_are(&fx, id, refs, count));
    ck_assert_uint_eq(inspect_of(&fx, id).slots, count);
    release_one(&fx, fx.a, id);
    drain(&fx);
    ck_assert_uint_eq(inspect_of(&fx, leaf).held_slots, 0);
    ck_assert_uint_eq(inspect_of(&fx, other).held_slots, 0);
    free(refs);
}
END_TEST

START_TEST(slots_grow_one_by_one)
{
    enum { COUNT = 9000 };
    static uint64_t refs[COUNT];
    uint64_t leaf = put_leaf(&fx, fx.a), id = put_leaf(&fx, fx.a), previous;
    for (uint32_t i = 0; i < COUNT; i++) {
        refs[i] = i % 3 ? leaf : 0;
        ck_assert_int_eq(pool_link(fx.pool, id, i, refs[i], &previous), 0);
        ck_assert_uint_eq(previous, 0);
        if ((i & (i + 1)) == 0 || i > 8190)
            ck_assert(refs_are(&fx, id, refs, i + 1));
    }
    ck_assert_uint_eq(inspect_of(&fx, leaf).held_slots, COUNT - COUNT / 3);
    for (uint32_t i = 0; i < COUNT; i += 7) {
        ck_assert_int_eq(pool_link(fx.pool, id, i, 0, &previous), 0);
        ck_assert_uint_eq(previous, refs[i]);
        refs[i] = 0;
    }
    ck_assert(refs_are(&fx, id, refs, COUNT));
}
END_TEST

START_TEST(slots_in_parts)
{
    uint64_t a = put_leaf(&fx, fx.a), refs[] = {a, 0, a}, got[3];
    uint64_t id = put_refs(&fx, fx.a, refs, 3);
    uint32_t count, total;
    ck_assert_int_eq(pool_refs(fx.pool, id, 2, got, 3, &count, &total), 0);
    ck_assert_uint_eq(count, 1);
    ck_assert_uint_eq(total, 3);
    ck_assert_uint_eq(got[0], a);
    ck_assert_int_eq(pool_refs(fx.pool, id, 3, got, 3, &count, &total), 0);
    ck_assert_uint_eq(count, 0);
    ck_assert_int_eq(pool_refs(fx.pool, id, 0, got, 0, &count, &total), 0);
    ck_assert_uint_eq(count, 0);
    ck_assert_uint_eq(total, 3);
}
END_TEST

START_TEST(link_beyond_the_end_is_BADARG)
{
    uint64_t id = put_leaf(&fx, fx.a), previous;
    ck_assert_int_eq(pool_link(fx.pool, id, 1, id, &previous), -HF_E_BADARG);
    ck_assert_int_eq(pool_link(fx.pool, id, UINT64_MAX, id, &previous), -HF_E_BADARG);
    ck_assert_int_eq(pool_link(fx.pool, id, 1ull << 32, id, &previous), -HF_E_BADARG);
    ck_assert_uint_eq(inspect_of(&fx, id).slots, 0);
}
END_TEST

START_TEST(link_to_what_is_gone_changes_nothing)
{
    uint64_t leaf = put_leaf(&fx, fx.a), id = put_refs(&fx, fx.a, &leaf, 1), previous;
    ck_assert_int_eq(pool_link(fx.pool, id, 0, leaf ^ 1ull << 40, &previous), -HF_E_GONE);
    ck_assert_int_eq(pool_link(fx.pool, id ^ 1ull << 40, 0, leaf, &previous), -HF_E_GONE);
    ck_assert(refs_are(&fx, id, &leaf, 1));
}
END_TEST

START_TEST(link_over_the_last_reference_kills_the_target)
{
    uint64_t leaf = put_leaf(&fx, fx.a), id = put_refs(&fx, fx.a, &leaf, 1), previous;
    release_one(&fx, fx.a, leaf);
    ck_assert(!is_gone(&fx, leaf));
    ck_assert_int_eq(pool_link(fx.pool, id, 0, 0, &previous), 0);
    ck_assert_uint_eq(previous, leaf);
    ck_assert(is_gone(&fx, leaf));
}
END_TEST

START_TEST(link_of_the_same_target_again_keeps_it)
{
    uint64_t leaf = put_leaf(&fx, fx.a), id = put_refs(&fx, fx.a, &leaf, 1), previous;
    release_one(&fx, fx.a, leaf);
    ck_assert_int_eq(pool_link(fx.pool, id, 0, leaf, &previous), 0);
    ck_assert_uint_eq(previous, leaf);
    ck_assert_uint_eq(inspect_of(&fx, leaf).held_slots, 1);
}
END_TEST

START_TEST(link_to_itself_counts)
{
    uint64_t id = put_leaf(&fx, fx.a), previous;
    ck_assert_int_eq(pool_link(fx.pool, id, 0, id, &previous), 0);
    release_one(&fx, fx.a, id);
    drain(&fx);
    ck_assert(!is_gone(&fx, id)); /* a cycle: nothing collects it in this version */
    ck_assert_int_eq(pool_link(fx.pool, id, 0, 0, &previous), 0);
    ck_assert(is_gone(&fx, id));
}
END_TEST

START_TEST(link_beyond_inline_without_memory_changes_nothing)
{
    struct mem *mem = pool_mem(fx.pool);
    static const uint32_t counts[] = {2, 8, 16, 4096, 8192};
    for (unsigned k = 0; k < sizeof counts / sizeof *counts; k++) {
        static uint64_t refs[8192];
        uint64_t leaf = put_leaf(&fx, fx.a), previous;
        for (uint32_t i = 0; i < counts[k]; i++)
            refs[i] = leaf;
        uint64_t id = put_refs(&fx, fx.a, refs, counts[k]);
        mem->fail_at = mem->calls + 1;
        int rc = pool_link(fx.pool, id, counts[k], leaf, &previous);
        mem->fail_at = 0;
        ck_assert(rc == 0 || rc == -HF_E_OOM);
        ck_assert_uint_eq(inspect_of(&fx, leaf).held_slots, counts[k] + (rc == 0));
        ck_assert_uint_eq(inspect_of(&fx, id).slots, counts[k] + (rc == 0));
        verify_ok(&fx);
    }
}
END_TEST

/* ---- death and ids ---- */

START_TEST(release_of_the_last_reference_is_GONE_before_the_reply)
{
    uint64_t head = chain_of(&fx, fx.a, POOL_INLINE_DEATHS);
    ck_assert_uint_eq(objects(), POOL_INLINE_DEATHS);
    release_one(&fx, fx.a, head);
    ck_assert(is_gone(&fx, head));
    ck_assert_uint_eq(objects(), 0);
    ck_assert_uint_eq(stats_of(&fx).backlog, 0);
}
END_TEST

START_TEST(release_of_many_roots_kills_them_at_once)
{
    static uint64_t ids[HF_IDS_MAX], counts[HF_IDS_MAX];
    for (unsigned i = 0; i < HF_IDS_MAX; i++)
        ids[i] = put_leaf(&fx, fx.a);
    ck_assert_int_eq(pool_release(fx.pool, fx.a, ids, HF_IDS_MAX, 1, counts), 0);
    for (unsigned i = 0; i < HF_IDS_MAX; i++)
        ck_assert(is_gone(&fx, ids[i]));
    drain(&fx);
}
END_TEST

START_TEST(object_with_two_parents_dies_with_the_second)
{
    uint64_t leaf = put_leaf(&fx, fx.a), first = put_refs(&fx, fx.a, &leaf, 1),
             second = put_refs(&fx, fx.a, &leaf, 1);
    release_one(&fx, fx.a, leaf);
    release_one(&fx, fx.a, first);
    ck_assert(!is_gone(&fx, leaf));
    release_one(&fx, fx.a, second);
    ck_assert(is_gone(&fx, leaf));
}
END_TEST

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

START_TEST(id_is_never_used_twice)
{
    enum { ROUNDS = 5000 };
    static uint64_t seen[ROUNDS];
    for (unsigned i = 0; i < ROUNDS; i++) {
        seen[i] = put_leaf(&fx, fx.a);
        release_one(&fx, fx.a, seen[i]);
    }
    for (unsigned i = 0; i < ROUNDS; i++)
        ck_assert(is_gone(&fx, seen[i]));
    qsort(seen, ROUNDS, sizeof *seen, by_number);
    for (unsigned i = 1; i < ROUNDS; i++)
        ck_assert_uint_ne(seen[i - 1], seen[i]);
}
END_TEST

START_TEST(serial_starts_at_the_base_and_wraps)
{
    struct fixture other;
    uint32_t last = (1u << HF_SERIAL_BITS) - 1;
    fixture_open_with(&other, &(struct fixture_options){.serial_base = last});
    uint64_t id = put_leaf(&other, other.a);
    ck_assert_uint_eq(id >> 32, last);
    release_one(&other, other.a, id);
    uint64_t next = 0;
    for (int i = 0; i < 1000 && (uint32_t)next != (uint32_t)id; i++)
        next = put_leaf(&other, other.a);
    ck_assert_uint_le(next, HF_ID_MAX);
    ck_assert_uint_ne(next, id);
    ck_assert(is_gone(&other, id));
    verify_ok(&other);
    fixture_close(&other);
}
END_TEST

/* An index dies 2^21 - 1 times before it is retired; the image is told that it nearly has. */
START_TEST(index_with_spent_serials_is_retired)
{
    uint64_t id = put_leaf(&fx, fx.a);
    uint32_t index = (uint32_t)id, used = 0;
    release_one(&fx, fx.a, id);
    drain(&fx);
    uint64_t *w0 = &fx.pool->heap.hot[index].w0;
    ck_assert_uint_eq(*w0 & W0_STATE, W0_FREE);
    *w0 = (*w0 & ~W0_GEN) | (W0_GEN_LAST - 3);
    uint64_t last = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t made = put_leaf(&fx, fx.a);
        if ((uint32_t)made == index) {
            ck_assert_uint_ne(made, last);
            last = made;
            used++;
        }
        release_one(&fx, fx.a, made);
        drain(&fx);
        ck_assert(is_gone(&fx, made));
    }
    ck_assert_uint_eq(used, 3);
    ck_assert_uint_eq(stats_of(&fx).retired, 1);
}
END_TEST

/* ---- memory ---- */

START_TEST(memory_of_released_values_is_given_back)
{
    enum { COUNT = 2000 };
    static uint64_t ids[COUNT];
    for (unsigned i = 0; i < COUNT; i++)
        ids[i] = put_filled(&fx, fx.a, i % 3 == 0 ? 40000 : 8000, 1);
    uint64_t most = stats_of(&fx).value_bytes;
    for (unsigned i = 0; i < COUNT; i++)
        release_one(&fx, fx.a, ids[i]);
    drain(&fx);
    ck_assert_uint_eq(stats_of(&fx).value_live_bytes, 0);
    ck_assert_uint_lt(stats_of(&fx).value_bytes, most / 10);
    ck_assert_uint_gt(fx.grow.punches, 0);
}
END_TEST

START_TEST(memory_stays_within_the_limit)
{
    struct fixture small;
    fixture_open_with(&small, &(struct fixture_options){.max_bytes = 24u << 20});
    static const uint64_t of_size[] = {10, 500, 9000, 60000, 200000};
    static uint8_t data[200000];
    for (unsigned i = 0; i < 20000; i++) {
        struct put_spec spec = {.value = bytes_in(data, of_size[i % 5])};
        uint64_t id;
        int rc = pool_put(small.pool, small.a, &spec, &id);
        ck_assert(rc == 0 || rc == -HF_E_OOM);
        ck_assert_uint_le(stats_of(&small).memory_used, 24u << 20);
    }
    verify_ok(&small);
    pool_session_end(small.pool, small.a, REASON_SESSION_END);
    drain(&small);
    ck_assert_uint_eq(stats_of(&small).objects, 0);
    verify_ok(&small);
    fixture_close(&small);
}
END_TEST

/* ---- scan ---- */

START_TEST(scan_finds_by_tag_size_and_holder)
{
    struct put_spec spec = {
        .value = bytes_in("0123456789", 10), .tag = (const uint8_t *)"big", .tag_size = 3};
    uint64_t tagged, cursor, ids[10];
    unsigned count;
    ck_assert_int_eq(pool_put(fx.pool, fx.a, &spec, &tagged), 0);
    uint64_t plain = put_leaf(&fx, fx.b);
    struct scan_filter by_tag = {.has_tag = true, .tag = spec.tag, .tag_size = 3}, by_size = {.min_size = 10},
                       by_sid = {.sid = session_sid(fx.b)}, none = {.sid = 999};
    ck_assert_int_eq(pool_scan(fx.pool, 0, &by_tag, ids, 10, &count, &cursor), 0);
    ck_assert_uint_eq(count, 1);
    ck_assert_uint_eq(ids[0], tagged);
    ck_assert_int_eq(pool_scan(fx.pool, 0, &by_size, ids, 10, &count, &cursor), 0);
    ck_assert_uint_eq(count, 1);
    ck_assert_uint_eq(ids[0], tagged);
    ck_assert_int_eq(pool_scan(fx.pool, 0, &by_sid, ids, 10, &count, &cursor), 0);
    ck_assert_uint_eq(count, 1);
    ck_assert_uint_eq(ids[0], plain);
    ck_assert_uint_eq(cursor, 0);
    ck_assert_int_eq(pool_scan(fx.pool, 0, &none, ids, 10, &count, &cursor), -HF_E_NOTFOUND);
}
END_TEST

/* ---- verify ---- */

START_TEST(verify_one_walk_at_a_time)
{
    struct verify_result result;
    for (int i = 0; i < 100; i++)
        put_leaf(&fx, fx.a);
    ck_assert_int_eq(pool_verify_begin(fx.pool), 0);
    ck_assert_int_eq(pool_verify_begin(fx.pool), -HF_E_BUSY);
    pool_verify_abort(fx.pool);
    ck_assert_int_eq(pool_verify_begin(fx.pool), 0);
    while (!pool_verify_step(fx.pool, 10, &result)) {
    }
    ck_assert_uint_eq(result.objects, 100);
    ck_assert_uint_eq(result.findings_count, 0);
}
END_TEST

START_TEST(verify_finds_a_count_that_is_wrong)
{
    struct verify_result result;
    uint64_t leaf = put_leaf(&fx, fx.a);
    put_refs(&fx, fx.a, &leaf, 1);
    fx.pool->heap.hot[(uint32_t)leaf].in++;
    ck_assert_int_eq(pool_verify_begin(fx.pool), 0);
    while (!pool_verify_step(fx.pool, 1000, &result)) {
    }
    fx.pool->heap.hot[(uint32_t)leaf].in--;
    ck_assert_uint_gt(result.findings_count, 0);
    ck_assert_uint_gt(strlen(result.findings[0].text), 10);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pool slots");
    TCase *t = suite_case(suite, "slots", setup, teardown);
    tcase_add_loop_test(t, slots_of_any_number_come_back, 0, (int)(sizeof slot_counts / sizeof *slot_counts));
    tcase_add_test(t, slots_grow_one_by_one);
    tcase_add_test(t, slots_in_parts);
    tcase_add_test(t, link_beyond_the_end_is_BADARG);
    tcase_add_test(t, link_to_what_is_gone_changes_nothing);
    tcase_add_test(t, link_over_the_last_reference_kills_the_target);
    tcase_add_test(t, link_of_the_same_target_again_keeps_it);
    tcase_add_test(t, link_to_itself_counts);
    tcase_add_test(t, link_beyond_inline_without_memory_changes_nothing);
    t = suite_case(suite, "death", setup, teardown);
    tcase_add_test(t, release_of_the_last_reference_is_GONE_before_the_reply);
    tcase_add_test(t, release_of_many_roots_kills_them_at_once);
    tcase_add_test(t, object_with_two_parents_dies_with_the_second);
    tcase_add_test(t, id_is_never_used_twice);
    tcase_add_test(t, serial_starts_at_the_base_and_wraps);
    tcase_add_test(t, index_with_spent_serials_is_retired);
    t = suite_case(suite, "memory", setup, teardown);
    tcase_add_test(t, memory_of_released_values_is_given_back);
    tcase_add_test(t, memory_stays_within_the_limit);
    t = suite_case(suite, "scan and verify", setup, teardown);
    tcase_add_test(t, scan_finds_by_tag_size_and_holder);
    tcase_add_test(t, verify_one_walk_at_a_time);
    tcase_add_test(t, verify_finds_a_count_that_is_wrong);
    return suite_run(suite);
}
