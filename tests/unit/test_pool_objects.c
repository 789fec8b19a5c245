/* SPDX-License-Identifier: BSD-3-Clause */
/* Objects of a pool: values, states, what comes in by a stage and is pinned. */
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

/* Replaces the value of id; 0 if the pool refuses. */
static uint64_t set_filled(uint64_t id, uint64_t size, uint8_t fill)
{
    uint64_t version = 0;
    struct value_in value = {.form = FORM_BIN32, .size = size};
    uint8_t *data = malloc(size + 1);
    ck_assert_ptr_nonnull(data);
    memset(data, fill, size + 1);
    if (size > POOL_COPY_MAX)
        value.stage = staged(&fx, size, fill, true);
    else
        value.data = data;
    int rc = pool_set(fx.pool, id, &value, 0, &version);
    free(data);
    return rc == 0 ? version : 0;
}

/* ---- put and get ---- */

static const uint64_t sizes[] = {0,
                                 1,
                                 3,
                                 4,
                                 5,
                                 7,
                                 8,
                                 9,
                                 15,
                                 16,
                                 17,
                                 127,
                                 128,
                                 129,
                                 255,
                                 256,
                                 4095,
                                 4096,
                                 4097,
                                 16375,
                                 16376,
                                 16377,
                                 16383,
                                 16384,
                                 16385,
                                 65536,
                                 131072,
                                 262144,
                                 256 * 1024 + 1,
                                 3145728};
#define SIZES ((int)(sizeof sizes / sizeof *sizes))

START_TEST(put_value_of_any_size_comes_back)
{
    uint64_t id = put_filled(&fx, fx.a, sizes[_i], 0x5a);
    ck_assert(value_is(&fx, id, sizes[_i], 0x5a));
    ck_assert_uint_eq(inspect_of(&fx, id).size, sizes[_i]);
    ck_assert_uint_eq(stats_of(&fx).object_bytes, sizes[_i]);
}
END_TEST

START_TEST(put_release_gives_all_bytes_back)
{
    uint64_t before = stats_of(&fx).value_live_bytes;
    uint64_t id = put_filled(&fx, fx.a, sizes[_i], 1);
    ck_assert_uint_eq(release_one(&fx, fx.a, id), 0);
    drain(&fx);
    ck_assert(is_gone(&fx, id));
    ck_assert_uint_eq(stats_of(&fx).value_live_bytes, before);
    ck_assert_uint_eq(stats_of(&fx).object_bytes, 0);
}
END_TEST

START_TEST(put_form_comes_back)
{
    struct value_view view;
    struct put_spec spec = {.value = {.form = (enum form)_i, .data = (const uint8_t *)"abc", .size = 3}};
    uint64_t id;
    ck_assert_int_eq(pool_put(fx.pool, fx.a, &spec, &id), 0);
    ck_assert_int_eq(pool_get(fx.pool, id, &view), 0);
    ck_assert_int_eq(view.form, _i);
    ck_assert_mem_eq(view.data, "abc", 3);
    ck_assert_uint_eq(view.version, 1);
}
END_TEST

START_TEST(put_is_held_once_by_its_caller)
{
    uint64_t id = put_leaf(&fx, fx.a);
    struct inspect_row row = inspect_of(&fx, id);
    ck_assert_uint_eq(row.held_sessions, 1);
    ck_assert_uint_eq(row.held_slots + row.held_names + row.held_tickets, 0);
    ck_assert_uint_eq(session_held(fx.a), 1);
    ck_assert_uint_eq(session_held(fx.b), 0);
}
END_TEST

START_TEST(put_tag_and_site_are_told)
{
    struct put_spec spec = {.value = bytes_in("v", 1)};
    uint64_t id;
    spec.tag = (const uint8_t *)"weights";
    spec.tag_size = 7;
    spec.site = (const uint8_t *)"main.c:12";
    spec.site_size = 9;
    ck_assert_int_eq(pool_put(fx.pool, fx.a, &spec, &id), 0);
    struct inspect_row row = inspect_of(&fx, id);
    ck_assert_uint_eq(row.tag_size, 7);
    ck_assert_mem_eq(row.tag, "weights", 7);
    ck_assert_uint_eq(row.site_size, 9);
    ck_assert_mem_eq(row.site, "main.c:12", 9);
}
END_TEST

START_TEST(put_labels_go_with_their_objects)
{
    struct put_spec spec = {.value = bytes_in("v", 1), .tag = (const uint8_t *)"t", .tag_size = 1};
    uint64_t first, second;
    ck_assert_int_eq(pool_put(fx.pool, fx.a, &spec, &first), 0);
    ck_assert_int_eq(pool_put(fx.pool, fx.a, &spec, &second), 0);
    ck_assert_uint_eq(stats_of(&fx).labels, 1);
    release_one(&fx, fx.a, first);
    release_one(&fx, fx.a, second);
    drain(&fx);
    ck_assert_uint_eq(stats_of(&fx).labels, 0);
}
END_TEST

START_TEST(put_ref_that_is_gone_changes_nothing)
{
    uint64_t leaf = put_leaf(&fx, fx.a), id;
    uint64_t refs[] = {leaf, 0, leaf + (1ull << 32), leaf};
    struct put_spec spec = {.value = bytes_in("v", 1), .refs = refs, .refs_count = 4};
    ck_assert_int_eq(pool_put(fx.pool, fx.a, &spec, &id), -HF_E_GONE);
    ck_assert_int_eq(pool_fault(fx.pool)->index, 2);
    ck_assert_uint_eq(objects(), 1);
    ck_assert_uint_eq(inspect_of(&fx, leaf).held_slots, 0);
}
END_TEST

START_TEST(put_more_refs_than_allowed_is_LIMIT)
{
    uint64_t *refs = calloc(HF_REFS_MAX + 1, sizeof *refs), id;
    struct put_spec spec = {.value = bytes_in("v", 1), .refs = refs, .refs_count = HF_REFS_MAX + 1};
    ck_assert_int_eq(pool_put(fx.pool, fx.a, &spec, &id), -HF_E_LIMIT);
    spec.refs_count = HF_REFS_MAX;
    ck_assert_int_eq(pool_put(fx.pool, fx.a, &spec, &id), 0);
    free(refs);
}
END_TEST

START_TEST(get_of_an_id_that_never_was_is_GONE)
{
    struct value_view view;
    static const uint64_t never[] = {0,         1, 77, 1ull << 32, HF_ID_MAX, HF_ID_MAX - 1, (1ull << 53),
                                     UINT64_MAX};
    for (unsigned i = 0; i < sizeof never / sizeof *never; i++)
        ck_assert_int_eq(pool_get(fx.pool, never[i], &view), -HF_E_GONE);
    ck_assert_int_eq(pool_fault(fx.pool)->code, HF_E_GONE);
}
END_TEST

START_TEST(put_without_memory_changes_nothing)
{
    struct mem *mem = pool_mem(fx.pool);
    uint64_t kept = put_leaf(&fx, fx.a);
    struct pool_stats before = stats_of(&fx);
    unsigned failed = 0;
    /* One that touches everything: a new label, a block of slots, a large block. */
    uint8_t *data = calloc(1, 200000);
    uint64_t refs[20], id;
    for (int i = 0; i < 20; i++)
        refs[i] = kept;
    struct put_spec spec = {.value = bytes_in(data, 200000), .refs = refs, .refs_count = 20};
    spec.tag = (const uint8_t *)"tag";
    spec.tag_size = 3;
    for (uint64_t n = 1;; n++) {
        mem->fail_at = mem->calls + n;
        int rc = pool_put(fx.pool, fx.a, &spec, &id);
        bool reached = mem->calls >= mem->fail_at;
        mem->fail_at = 0;
        verify_ok(&fx);
        if (rc == 0 && !reached)
            break;
        if (rc == 0) {
            release_one(&fx, fx.a, id);
            drain(&fx);
            continue;
        }
        ck_assert_int_eq(rc, -HF_E_OOM);
        failed++;
        struct pool_stats after = stats_of(&fx);
        ck_assert_uint_eq(after.objects, before.objects);
        ck_assert_uint_eq(after.holds, before.holds);
        ck_assert_uint_eq(after.labels, before.labels);
        ck_assert_uint_eq(after.value_live_bytes, before.value_live_bytes);
        ck_assert_uint_eq(inspect_of(&fx, kept).held_slots, 0);
    }
    ck_assert_uint_gt(failed, 0);
    free(data);
}
END_TEST

/* Bytes that differ, of each size around those where copies and blocks change. */
START_TEST(put_value_is_put_of_a_value)
{
    static uint8_t data[40000];
    for (size_t k = 0; k < sizeof data; k++)
        data[k] = (uint8_t)(k * 7 + k / 251);
    for (uint32_t size = 0; size < sizeof data; size += size < 140 ? 1 : 1 + size / 2) {
        struct pool_stats before = stats_of(&fx);
        const struct put_spec spec = {.value = bytes_in(data, size)};
        struct value_view views[2];
        uint64_t ids[2];
        ck_assert_int_eq(pool_put(fx.pool, fx.a, &spec, &ids[0]), 0);
        ck_assert_int_eq(pool_put_value(fx.pool, fx.a, &spec.value, &ids[1]), 0);
        for (unsigned k = 0; k < 2; k++)
            ck_assert_int_eq(pool_get(fx.pool, ids[k], &views[k]), 0);
        ck_assert_uint_eq(views[1].size, size);
        ck_assert_int_eq(views[1].form, views[0].form);
        ck_assert_uint_eq(views[1].version, 1);
        ck_assert(size == 0 || memcmp(views[1].data, data, size) == 0);
        ck_assert_uint_eq(stats_of(&fx).holds, before.holds + 2);
        ck_assert_uint_eq(stats_of(&fx).object_bytes, before.object_bytes + 2 * size);
        verify_ok(&fx);
        for (unsigned k = 0; k < 2; k++)
            release_one(&fx, fx.a, ids[k]);
        ck_assert_uint_eq(stats_of(&fx).objects, before.objects);
    }
}
END_TEST

START_TEST(put_value_without_memory_changes_nothing)
{
    struct fixture small;
    fixture_open_with(&small, &(struct fixture_options){.max_bytes = 16u << 20});
    static uint8_t data[100000];
    const struct value_in value = bytes_in(data, sizeof data);
    uint64_t first = 0, id;
    int rc;
    while ((rc = pool_put_value(small.pool, small.a, &value, &id)) == 0)
        first = first != 0 ? first : id;
    ck_assert_int_eq(rc, -HF_E_OOM);
    ck_assert_int_eq(pool_fault(small.pool)->code, HF_E_OOM);
    struct pool_stats before = stats_of(&small);
    ck_assert_int_eq(pool_put_value(small.pool, small.a, &value, &id), -HF_E_OOM);
    ck_assert_uint_eq(stats_of(&small).objects, before.objects);
    ck_assert_uint_eq(stats_of(&small).value_live_bytes, before.value_live_bytes);
    verify_ok(&small);
    /* what waits to be freed pays for the next one */
    release_one(&small, small.a, first);
    ck_assert_int_eq(pool_put_value(small.pool, small.a, &value, &id), 0);
    fixture_close(&small);
}
END_TEST

START_TEST(put_when_growth_fails_is_OOM_and_works_later)
{
    uint64_t id, size = 200000;
    uint8_t *data = calloc(1, size);
    struct put_spec spec = {.value = bytes_in(data, size)};
    fx.grow.fail_at = 1;
    fx.grow.fail_count = UINT64_MAX / 2;
    int rc, puts = 0;
    while ((rc = pool_put(fx.pool, fx.a, &spec, &id)) == 0 && ++puts < 100) {
    }
    ck_assert_int_eq(rc, -HF_E_OOM);
    ck_assert_ptr_nonnull(pool_fault(fx.pool)->text);
    verify_ok(&fx);
    fx.grow.fail_at = 0;
    ck_assert_int_eq(pool_put(fx.pool, fx.a, &spec, &id), 0);
    free(data);
}
END_TEST

START_TEST(put_in_a_full_pool_is_OOM_until_something_is_released)
{
    struct fixture small;
    fixture_open_with(&small, &(struct fixture_options){.max_bytes = 16u << 20});
    uint8_t *data = calloc(1, 100000);
    struct put_spec spec = {.value = bytes_in(data, 100000)};
    uint64_t first = 0, id;
    int rc;
    while ((rc = pool_put(small.pool, small.a, &spec, &id)) == 0)
        first = first ? first : id;
    ck_assert_int_eq(rc, -HF_E_OOM);
    ck_assert_uint_ne(first, 0);
    ck_assert_uint_gt(pool_fault(small.pool)->need, 0);
    ck_assert_uint_eq(pool_fault(small.pool)->who_bytes, stats_of(&small).object_bytes);
    ck_assert_uint_le(stats_of(&small).memory_used, 16u << 20);
    release_one(&small, small.a, first);
    ck_assert_int_eq(pool_put(small.pool, small.a, &spec, &id), 0);
    verify_ok(&small);
    fixture_close(&small);
    free(data);
}
END_TEST

/* ---- put_many ---- */

START_TEST(put_many_makes_a_graph_at_once)
{
    uint64_t ids[3], to_second[] = {POOL_ITEM(1)}, to_both[] = {POOL_ITEM(0), POOL_ITEM(2), 0};
    struct put_spec specs[3] = {{.value = bytes_in("a", 1), .refs = to_second, .refs_count = 1},
                                {.value = bytes_in("b", 1), .refs = to_both, .refs_count = 3},
                                {.value = bytes_in("c", 1)}};
    ck_assert_int_eq(pool_put_many(fx.pool, fx.a, specs, 3, ids), 0);
    ck_assert(refs_are(&fx, ids[0], &ids[1], 1));
    ck_assert(refs_are(&fx, ids[1], (uint64_t[]){ids[0], ids[2], 0}, 3));
    ck_assert(refs_are(&fx, ids[2], NULL, 0));
    ck_assert_uint_eq(session_held(fx.a), 3);
}
END_TEST

START_TEST(put_many_bad_item_makes_nothing)
{
    uint64_t ids[3], bad[] = {POOL_ITEM(0), 12345};
    struct put_spec specs[3] = {{.value = bytes_in("a", 1)},
                                {.value = bytes_in("b", 1)},
                                {.value = bytes_in("c", 1), .refs = bad, .refs_count = 2}};
    ck_assert_int_eq(pool_put_many(fx.pool, fx.a, specs, 3, ids), -HF_E_GONE);
    ck_assert_int_eq(pool_fault(fx.pool)->index, 2);
    ck_assert_uint_eq(objects(), 0);
    ck_assert_uint_eq(session_held(fx.a), 0);
}
END_TEST

/* Only its creator keeps an open object, so that it goes with the creator. */
START_TEST(put_many_no_item_refers_to_an_open_one)
{
    uint64_t ids[2], to_open[] = {POOL_ITEM(1)};
    const struct put_spec specs[] = {
        {.value = bytes_in("a", 1), .refs = to_open, .refs_count = 1},
        {.value = {.form = FORM_BIN8, .size = 100}, .open = true},
    };
    ck_assert_int_eq(pool_put_many(fx.pool, fx.a, specs, 2, ids), -HF_E_UNSEALED);
    ck_assert_int_eq(pool_fault(fx.pool)->index, 0);
    ck_assert_uint_eq(stats_of(&fx).objects, 0);
    ck_assert_int_eq(pool_put_many(fx.pool, fx.a, specs + 1, 1, ids), 0);
}
END_TEST

START_TEST(put_many_most_items)
{
    static struct put_spec specs[HF_IDS_MAX];
    static uint64_t ids[HF_IDS_MAX], refs[HF_IDS_MAX];
    for (unsigned k = 0; k < HF_IDS_MAX; k++) {
        refs[k] = POOL_ITEM((k + 1) % HF_IDS_MAX);
        specs[k] = (struct put_spec){.value = bytes_in("x", 1), .refs = &refs[k], .refs_count = 1};
    }
    ck_assert_int_eq(pool_put_many(fx.pool, fx.a, specs, HF_IDS_MAX, ids), 0);
    ck_assert(refs_are(&fx, ids[HF_IDS_MAX - 1], &ids[0], 1));
    ck_assert_uint_eq(objects(), HF_IDS_MAX);
}
END_TEST

/* ---- set and versions ---- */

START_TEST(set_from_any_size_to_any_size)
{
    uint64_t id = put_filled(&fx, fx.a, sizes[_i], 1);
    for (int k = 0; k < SIZES; k++) {
        ck_assert_uint_ne(set_filled(id, sizes[k], (uint8_t)(k + 2)), 0);
        ck_assert(value_is(&fx, id, sizes[k], (uint8_t)(k + 2)));
        ck_assert_uint_ne(set_filled(id, sizes[_i], 1), 0);
        ck_assert(value_is(&fx, id, sizes[_i], 1));
        drain(&fx);
    }
    ck_assert_uint_eq(stats_of(&fx).object_bytes, sizes[_i]);
}
END_TEST

START_TEST(set_version_only_grows)
{
    uint64_t a = put_leaf(&fx, fx.a), b = put_leaf(&fx, fx.a);
    uint64_t first = set_filled(a, 5, 1), second = set_filled(b, 5, 1), third = set_filled(a, 3, 1);
    ck_assert_uint_gt(first, 1);
    ck_assert_uint_gt(second, first);
    ck_assert_uint_gt(third, second);
    ck_assert_uint_eq(inspect_of(&fx, a).version, third);
    ck_assert_uint_eq(inspect_of(&fx, b).version, second);
}
END_TEST

START_TEST(set_if_version_of_another_is_CONFLICT)
{
    uint64_t id = put_leaf(&fx, fx.a), version;
    struct value_in value = bytes_in("new", 3);
    ck_assert_int_eq(pool_set(fx.pool, id, &value, 2, &version), -HF_E_CONFLICT);
    ck_assert_int_eq(pool_set(fx.pool, id, &value, 1, &version), 0);
    ck_assert_int_eq(pool_set(fx.pool, id, &value, 1, &version), -HF_E_CONFLICT);
    ck_assert_int_eq(pool_set(fx.pool, id, &value, version, &version), 0);
    ck_assert_uint_eq(inspect_of(&fx, id).version, version);
}
END_TEST

START_TEST(set_of_a_sealed_object_is_SEALED)
{
    uint64_t id = put_leaf(&fx, fx.a), version, previous;
    struct value_in value = bytes_in("new", 3);
    ck_assert_int_eq(pool_seal(fx.pool, fx.b, id), 0);
    ck_assert_int_eq(pool_seal(fx.pool, fx.a, id), 0);
    ck_assert_int_eq(pool_set(fx.pool, id, &value, 0, &version), -HF_E_SEALED);
    ck_assert_int_eq(pool_link(fx.pool, id, 0, id, &previous), -HF_E_SEALED);
    ck_assert(inspect_of(&fx, id).sealed);
    struct value_view view;
    ck_assert_int_eq(pool_get(fx.pool, id, &view), 0);
    ck_assert_mem_eq(view.data, "leaf", 4);
}
END_TEST

START_TEST(set_without_memory_keeps_the_old_value)
{
    uint64_t id = put_filled(&fx, fx.a, 40, 7), version;
    uint8_t *data = calloc(1, 250000);
    struct value_in value = bytes_in(data, 250000);
    fx.grow.fail_at = 1;
    fx.grow.fail_count = UINT64_MAX / 2;
    pool_mem(fx.pool)->limit = stats_of(&fx).memory_used;
    /* The first ones may still fit into what is there. */
    int rc = 0;
    uint64_t ids[20];
    struct put_spec spec = {.value = value};
    for (int i = 0; i < 20 && rc == 0; i++)
        rc = pool_put(fx.pool, fx.b, &spec, &ids[i]);
    ck_assert_int_eq(rc, -HF_E_OOM);
    ck_assert_int_eq(pool_set(fx.pool, id, &value, 0, &version), -HF_E_OOM);
    ck_assert(value_is(&fx, id, 40, 7));
    ck_assert_uint_eq(inspect_of(&fx, id).version, 1);
    pool_mem(fx.pool)->limit = UINT64_MAX / 2;
    free(data);
}
END_TEST

/* ---- open objects ---- */

START_TEST(open_object_is_zero_filled_and_written_in_parts)
{
    uint64_t size = sizes[_i] ? sizes[_i] : 2, id = put_open(&fx, fx.a, size);
    ck_assert(inspect_of(&fx, id).open);
    ck_assert_int_eq(pool_write(fx.pool, fx.a, id, size - 1, (const uint8_t *)"z", 1, 1), 0);
    int rc;
    while ((rc = pool_seal(fx.pool, fx.a, id)) == POOL_AGAIN)
        pool_step(fx.pool, POOL_UNITS_PIECE);
    ck_assert_int_eq(rc, 0);
    struct value_view view;
    ck_assert_int_eq(pool_get(fx.pool, id, &view), 0);
    ck_assert_uint_eq(view.size, size);
    ck_assert_uint_eq(view.data[size - 1], 'z');
    ck_assert(size == 1 || view.data[0] == 0);
    ck_assert(size <= 2 || memcmp(view.data, view.data + 1, size - 2) == 0);
    ck_assert(inspect_of(&fx, id).sealed);
    ck_assert_uint_ge(fx.grow.backed, size); /* no page of it waits for its first reader */
}
END_TEST

START_TEST(open_object_is_zero_filled_where_others_have_been)
{
    for (int round = 0; round < 8; round++) {
        uint64_t used = put_filled(&fx, fx.a, 3000, 0xee);
        release_one(&fx, fx.a, used);
        uint64_t id = put_open(&fx, fx.a, 3000);
        ck_assert_int_eq(pool_seal(fx.pool, fx.a, id), 0);
        ck_assert(value_is(&fx, id, 3000, 0));
    }
}
END_TEST

START_TEST(open_object_is_UNSEALED_for_everything_else)
{
    uint64_t id = put_open(&fx, fx.a, 100), leaf = put_leaf(&fx, fx.a), out, version, counts;
    uint32_t got, total;
    struct value_view view;
    struct value_in value = bytes_in("v", 1);
    struct put_spec spec = {.value = value, .refs = &id, .refs_count = 1};
    uint8_t key[HF_KEY_SIZE];
    ck_assert_int_eq(pool_get(fx.pool, id, &view), -HF_E_UNSEALED);
    ck_assert_int_eq(pool_set(fx.pool, id, &value, 0, &version), -HF_E_UNSEALED);
    ck_assert_int_eq(pool_refs(fx.pool, id, 0, &out, 1, &got, &total), -HF_E_UNSEALED);
    ck_assert_int_eq(pool_link(fx.pool, id, 0, leaf, &out), -HF_E_UNSEALED);
    ck_assert_int_eq(pool_link(fx.pool, leaf, 0, id, &out), -HF_E_UNSEALED);
    ck_assert_int_eq(pool_put(fx.pool, fx.b, &spec, &out), -HF_E_UNSEALED);
    ck_assert_int_eq(pool_retain(fx.pool, fx.b, &id, 1, 1, NULL, 0, &counts), -HF_E_UNSEALED);
    ck_assert_int_eq(pool_share(fx.pool, fx.a, id, 1000, 1, key), -HF_E_UNSEALED);
    ck_assert_int_eq(pool_name_bind(fx.pool, name_of("n"), id, POOL_ANY_VERSION, &version), -HF_E_UNSEALED);
    ck_assert_uint_eq(inspect_of(&fx, id).held_sessions, 1);
    ck_assert_uint_eq(objects(), 2);
}
END_TEST

START_TEST(open_object_is_written_by_its_creator_only)
{
    uint64_t id = put_open(&fx, fx.a, 4);
    ck_assert_int_eq(pool_write(fx.pool, fx.b, id, 0, (const uint8_t *)"x", 1, 1), -HF_E_UNSEALED);
    ck_assert_int_ne(pool_seal(fx.pool, fx.b, id), 0);
    ck_assert(inspect_of(&fx, id).open);
}
END_TEST

START_TEST(write_beyond_the_end_is_BADARG)
{
    uint64_t id = put_open(&fx, fx.a, 10);
    const uint8_t *data = (const uint8_t *)"0123456789";
    ck_assert_int_eq(pool_write(fx.pool, fx.a, id, 1, data, 10, 10), -HF_E_BADARG);
    ck_assert_int_eq(pool_write(fx.pool, fx.a, id, 11, data, 0, 0), -HF_E_BADARG);
    ck_assert_int_eq(pool_write(fx.pool, fx.a, id, 0, data, 5, 11), -HF_E_BADARG);
    ck_assert_int_eq(pool_write(fx.pool, fx.a, id, UINT64_MAX, data, 2, 2), -HF_E_BADARG);
    ck_assert_int_eq(pool_write(fx.pool, fx.a, id, 10, data, 0, 0), 0);
    ck_assert_int_eq(pool_write(fx.pool, fx.a, id, 0, data, 10, 10), 0);
}
END_TEST

START_TEST(write_to_what_is_not_open_is_SEALED)
{
    uint64_t id = put_leaf(&fx, fx.a);
    ck_assert_int_eq(pool_write(fx.pool, fx.a, id, 0, (const uint8_t *)"x", 1, 1), -HF_E_SEALED);
    ck_assert_int_eq(pool_write(fx.pool, fx.a, 999, 0, (const uint8_t *)"x", 1, 1), -HF_E_GONE);
}
END_TEST

START_TEST(open_object_dies_with_its_session)
{
    uint64_t id = put_open(&fx, fx.a, 300000), leaf = put_leaf(&fx, fx.b);
    ck_assert_uint_eq(stats_of(&fx).objects_open, 1);
    pool_session_end(fx.pool, fx.a, REASON_SESSION_END);
    drain(&fx);
    ck_assert(is_gone(&fx, id));
    ck_assert(!is_gone(&fx, leaf));
    ck_assert_uint_eq(stats_of(&fx).objects_open, 0);
}
END_TEST

START_TEST(open_object_is_released_by_its_creator)
{
    uint64_t id = put_open(&fx, fx.a, 100);
    ck_assert_uint_eq(release_one(&fx, fx.a, id), 0);
    drain(&fx);
    ck_assert(is_gone(&fx, id));
}
END_TEST

/* ---- stages ---- */

START_TEST(stage_that_is_dropped_leaves_nothing)
{
    uint64_t before = stats_of(&fx).value_live_bytes;
    struct stage *stage = staged(&fx, 3145728, 9, false);
    pool_stage_drop(fx.pool, stage);
    drain(&fx);
    ck_assert_uint_eq(stats_of(&fx).value_live_bytes, before);
}
END_TEST

START_TEST(stage_survives_a_put_that_fails)
{
    struct stage *stage = staged(&fx, 400000, 9, false);
    uint64_t bad = 4242, id;
    struct put_spec spec = {
        .value = {.form = FORM_BIN32, .size = 400000, .stage = stage}, .refs = &bad, .refs_count = 1};
    ck_assert_int_eq(pool_put(fx.pool, fx.a, &spec, &id), -HF_E_GONE);
    spec.refs_count = 0;
    ck_assert_int_eq(pool_put(fx.pool, fx.a, &spec, &id), 0);
    ck_assert(value_is(&fx, id, 400000, 9));
}
END_TEST

START_TEST(stage_larger_than_the_pool_is_refused_at_once)
{
    struct stage *stage;
    int rc = pool_stage_begin(fx.pool, FORM_BIN32, 2ull << 30, false, &stage);
    ck_assert(rc == -HF_E_OOM || rc == -HF_E_TOOBIG);
    ck_assert_int_eq(pool_stage_begin(fx.pool, FORM_BIN32, 1ull << 40, false, &stage), -HF_E_TOOBIG);
}
END_TEST

START_TEST(stage_backs_memory_as_bytes_arrive)
{
    struct stage *stage;
    uint64_t size = 32u << 20, before = fx.grow.backed;
    uint8_t byte = 1;
    ck_assert_int_eq(pool_stage_begin(fx.pool, FORM_BIN32, size, false, &stage), 0);
    ck_assert_int_eq(pool_stage_write(fx.pool, stage, 0, &byte, 1), 0);
    ck_assert_uint_le(fx.grow.backed - before, 4 * ARENA_BYTES);
    pool_stage_drop(fx.pool, stage);
}
END_TEST

/* ---- pins ---- */

START_TEST(pinned_value_outlives_its_object)
{
    uint64_t id = put_filled(&fx, fx.a, 200000, 0x77), pin;
    struct value_view view;
    ck_assert_int_eq(pool_get(fx.pool, id, &view), 0);
    ck_assert_int_eq(pool_pin(fx.pool, id, &pin), 0);
    set_filled(id, 200000, 0x11);
    release_one(&fx, fx.a, id);
    drain(&fx);
    for (int i = 0; i < 10; i++)
        put_filled(&fx, fx.a, 200000, 0x22);
    ck_assert_uint_eq(view.data[0], 0x77);
    ck_assert_mem_eq(view.data, view.data + 1, view.size - 1);
    ck_assert_uint_eq(stats_of(&fx).pinned, 1);
    pool_unpin(fx.pool, pin);
    ck_assert_uint_eq(stats_of(&fx).pinned, 0);
}
END_TEST

/* Reading needs no memory that a full pool might not have. */
START_TEST(values_are_pinned_in_a_full_pool)
{
    uint64_t ids[64], pins[64];
    for (unsigned k = 0; k < 64; k++)
        ids[k] = put_filled(&fx, fx.a, 20000, (uint8_t)k);
    ck_assert(mem_charge(pool_mem(fx.pool), mem_left(pool_mem(fx.pool))));
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned k = 0; k < 64; k++)
            ck_assert_int_eq(pool_pin(fx.pool, ids[k], &pins[k]), 0);
        for (unsigned k = 0; k < 64; k++)
            pool_unpin(fx.pool, pins[k]);
    }
}
END_TEST

/* The largest block and the smallest of pages, for a value of the same size with a version behind it, may have the
 * same number as their place, in different units: a pin keeps the one and not the other. */
START_TEST(pin_of_a_block_is_no_pin_of_pages)
{
    enum { SIZE = 16384, BLOCKS = 16, PAGES = 500 };
    static uint8_t data[SIZE];
    uint64_t blocks[BLOCKS], pins[BLOCKS], pages[PAGES], version;
    for (unsigned k = 0; k < BLOCKS; k++)
        blocks[k] = put_filled(&fx, fx.a, SIZE, (uint8_t)k);
    const struct value_in value = bytes_in(data, SIZE);
    for (unsigned k = 0; k < PAGES; k++) {
        pages[k] = put_leaf(&fx, fx.a);
        ck_assert_int_eq(pool_set(fx.pool, pages[k], &value, 0, &version), 0);
    }
    for (unsigned k = 0; k < BLOCKS; k++)
        ck_assert_int_eq(pool_pin(fx.pool, blocks[k], &pins[k]), 0);
    for (unsigned k = 0; k < PAGES; k++)
        release_one(&fx, fx.a, pages[k]);
    drain(&fx);
    ck_assert_uint_eq(stats_of(&fx).value_live_bytes, BLOCKS * SIZE);
    for (unsigned k = 0; k < BLOCKS; k++)
        pool_unpin(fx.pool, pins[k]);
    for (unsigned k = 0; k < BLOCKS; k++)
        (void)put_filled(&fx, fx.a, SIZE, 0xee);
    for (unsigned k = 0; k < BLOCKS; k++)
        ck_assert(value_is(&fx, blocks[k], SIZE, (uint8_t)k));
}
END_TEST

START_TEST(pinned_twice_is_freed_at_the_last_unpin)
{
    uint64_t before = stats_of(&fx).value_live_bytes;
    uint64_t id = put_filled(&fx, fx.a, 50000, 0x77), first, second;
    ck_assert_int_eq(pool_pin(fx.pool, id, &first), 0);
    ck_assert_int_eq(pool_pin(fx.pool, id, &second), 0);
    release_one(&fx, fx.a, id);
    drain(&fx);
    pool_unpin(fx.pool, first);
    ck_assert_uint_gt(stats_of(&fx).value_live_bytes, before);
    pool_unpin(fx.pool, second);
    ck_assert_uint_eq(stats_of(&fx).value_live_bytes, before);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pool objects");
    TCase *t = suite_case(suite, "put", setup, teardown);
    tcase_add_loop_test(t, put_value_of_any_size_comes_back, 0, SIZES);
    tcase_add_loop_test(t, put_release_gives_all_bytes_back, 0, SIZES);
    tcase_add_loop_test(t, put_form_comes_back, 0, FORM_COUNT);
    tcase_add_test(t, put_is_held_once_by_its_caller);
    tcase_add_test(t, put_tag_and_site_are_told);
    tcase_add_test(t, put_labels_go_with_their_objects);
    tcase_add_test(t, put_ref_that_is_gone_changes_nothing);
    tcase_add_test(t, put_more_refs_than_allowed_is_LIMIT);
    tcase_add_test(t, get_of_an_id_that_never_was_is_GONE);
    tcase_add_test(t, put_without_memory_changes_nothing);
    tcase_add_test(t, put_value_is_put_of_a_value);
    tcase_add_test(t, put_value_without_memory_changes_nothing);
    tcase_add_test(t, put_when_growth_fails_is_OOM_and_works_later);
    tcase_add_test(t, put_in_a_full_pool_is_OOM_until_something_is_released);
    t = suite_case(suite, "put_many", setup, teardown);
    tcase_add_test(t, put_many_makes_a_graph_at_once);
    tcase_add_test(t, put_many_bad_item_makes_nothing);
    tcase_add_test(t, put_many_no_item_refers_to_an_open_one);
    tcase_add_test(t, put_many_most_items);
    t = suite_case(suite, "set", setup, teardown);
    tcase_add_loop_test(t, set_from_any_size_to_any_size, 0, SIZES);
    tcase_add_test(t, set_version_only_grows);
    tcase_add_test(t, set_if_version_of_another_is_CONFLICT);
    tcase_add_test(t, set_of_a_sealed_object_is_SEALED);
    tcase_add_test(t, set_without_memory_keeps_the_old_value);
    t = suite_case(suite, "open", setup, teardown);
    tcase_add_loop_test(t, open_object_is_zero_filled_and_written_in_parts, 0, SIZES);
    tcase_add_test(t, open_object_is_zero_filled_where_others_have_been);
    tcase_add_test(t, open_object_is_UNSEALED_for_everything_else);
    tcase_add_test(t, open_object_is_written_by_its_creator_only);
    tcase_add_test(t, write_beyond_the_end_is_BADARG);
    tcase_add_test(t, write_to_what_is_not_open_is_SEALED);
    tcase_add_test(t, open_object_dies_with_its_session);
    tcase_add_test(t, open_object_is_released_by_its_creator);
    t = suite_case(suite, "stage", setup, teardown);
    tcase_add_test(t, stage_that_is_dropped_leaves_nothing);
    tcase_add_test(t, stage_survives_a_put_that_fails);
    tcase_add_test(t, stage_larger_than_the_pool_is_refused_at_once);
    tcase_add_test(t, stage_backs_memory_as_bytes_arrive);
    t = suite_case(suite, "pin", setup, teardown);
    tcase_add_test(t, pinned_value_outlives_its_object);
    tcase_add_test(t, values_are_pinned_in_a_full_pool);
    tcase_add_test(t, pin_of_a_block_is_no_pin_of_pages);
    tcase_add_test(t, pinned_twice_is_freed_at_the_last_unpin);
    return suite_run(suite);
}
