/* SPDX-License-Identifier: BSD-3-Clause */
/* Names of a pool: bind, lookup, unname, store, fetch, walking. */
#include "tests/lib/pool_fixture.h"
#include "tests/lib/suite.h"

#include <stdio.h>
#include <string.h>

static struct fixture fx;

static void setup(void)
{
    fixture_open(&fx);
}

static void teardown(void)
{
    drain(&fx);
    verify_ok(&fx);
    fixture_close(&fx);
}

static int unname(const char *name)
{
    struct name_in in = name_of(name);
    return pool_unname(fx.pool, &in, 1, POOL_ANY_VERSION);
}

static uint64_t lookup(struct session *s, const char *name)
{
    struct name_in in = name_of(name);
    uint64_t id = 0;
    return pool_lookup(fx.pool, s, &in, 1, &id, NULL) == 0 ? id : 0;
}

static int store(const char *name, const char *value, uint64_t if_version, uint64_t *ret_id,
                 uint64_t *ret_version)
{
    struct value_in in = bytes_in(value, strlen(value));
    return pool_store(fx.pool, name_of(name), &in, if_version, NULL, 0, ret_id, ret_version);
}

/* ---- name, lookup, unname ---- */

START_TEST(name_keeps_its_object)
{
    uint64_t id = put_leaf(&fx, fx.a);
    bind_name(&fx, "n", id);
    release_one(&fx, fx.a, id);
    ck_assert_uint_eq(inspect_of(&fx, id).held_names, 1);
    ck_assert_uint_eq(stats_of(&fx).names, 1);
    ck_assert_int_eq(unname("n"), 0);
    ck_assert(is_gone(&fx, id));
    ck_assert_uint_eq(stats_of(&fx).names, 0);
}
END_TEST

START_TEST(name_of_any_length)
{
    char text[256];
    uint64_t id = put_leaf(&fx, fx.a);
    for (uint32_t size = 1; size <= 255; size++) {
        memset(text, 'n', size);
        uint64_t version;
        struct name_in in = {(const uint8_t *)text, size};
        ck_assert_int_eq(pool_name_bind(fx.pool, in, id, 0, &version), 0);
    }
    ck_assert_uint_eq(inspect_of(&fx, id).held_names, 255);
    for (uint32_t size = 1; size <= 255; size++) {
        struct name_in in = {(const uint8_t *)text, size};
        memset(text, 'n', size);
        uint64_t found;
        ck_assert_int_eq(pool_lookup(fx.pool, fx.b, &in, 1, &found, NULL), 0);
        ck_assert_uint_eq(found, id);
        ck_assert_int_eq(pool_unname(fx.pool, &in, 1, POOL_ANY_VERSION), 0);
    }
    ck_assert_uint_eq(inspect_of(&fx, id).held_names, 0);
    ck_assert_uint_eq(inspect_of(&fx, id).held_sessions, 256);
}
END_TEST

START_TEST(name_rebound_lets_the_old_object_die)
{
    uint64_t old = put_leaf(&fx, fx.a), new = put_leaf(&fx, fx.a);
    uint64_t first = bind_name(&fx, "n", old);
    release_one(&fx, fx.a, old);
    uint64_t second = bind_name(&fx, "n", new);
    ck_assert_uint_gt(second, first);
    ck_assert(is_gone(&fx, old));
    ck_assert_uint_eq(lookup(fx.b, "n"), new);
    ck_assert_uint_eq(stats_of(&fx).names, 1);
}
END_TEST

START_TEST(name_rebound_to_the_same_object_keeps_it)
{
    uint64_t id = put_leaf(&fx, fx.a);
    bind_name(&fx, "n", id);
    release_one(&fx, fx.a, id);
    bind_name(&fx, "n", id);
    ck_assert_uint_eq(inspect_of(&fx, id).held_names, 1);
}
END_TEST

START_TEST(name_if_version)
{
    uint64_t id = put_leaf(&fx, fx.a), version, other;
    ck_assert_int_eq(pool_name_bind(fx.pool, name_of("n"), id, 5, &version), -HF_E_CONFLICT);
    ck_assert_int_eq(pool_name_bind(fx.pool, name_of("n"), id, 0, &version), 0);
    ck_assert_int_eq(pool_name_bind(fx.pool, name_of("n"), id, 0, &other), -HF_E_CONFLICT);
    ck_assert_int_eq(pool_name_bind(fx.pool, name_of("n"), id, version + 1, &other), -HF_E_CONFLICT);
    ck_assert_int_eq(pool_name_bind(fx.pool, name_of("n"), id, version, &other), 0);
    ck_assert_uint_gt(other, version);
}
END_TEST

START_TEST(name_for_what_is_gone_changes_nothing)
{
    uint64_t id = put_leaf(&fx, fx.a), version;
    bind_name(&fx, "n", id);
    ck_assert_int_eq(pool_name_bind(fx.pool, name_of("n"), 999, POOL_ANY_VERSION, &version), -HF_E_GONE);
    ck_assert_int_eq(pool_name_bind(fx.pool, name_of("m"), 999, POOL_ANY_VERSION, &version), -HF_E_GONE);
    ck_assert_uint_eq(stats_of(&fx).names, 1);
    ck_assert_uint_eq(lookup(fx.b, "n"), id);
}
END_TEST

START_TEST(name_without_memory_changes_nothing)
{
    struct mem *mem = pool_mem(fx.pool);
    uint64_t id = put_leaf(&fx, fx.a), version, failed = 0;
    char text[24];
    for (int i = 0; i < 3000; i++) {
        snprintf(text, sizeof text, "name-%d", i);
        uint64_t before = stats_of(&fx).names;
        mem->fail_at = mem->calls + 1;
        int rc = pool_name_bind(fx.pool, name_of(text), id, POOL_ANY_VERSION, &version);
        mem->fail_at = 0;
        ck_assert(rc == 0 || rc == -HF_E_OOM);
        ck_assert_uint_eq(stats_of(&fx).names, before + (rc == 0));
        ck_assert_uint_eq(inspect_of(&fx, id).held_names, before + (rc == 0));
        ck_assert_uint_eq(lookup(fx.b, text), rc == 0 ? id : 0);
        failed += rc != 0;
    }
    ck_assert_uint_gt(failed, 0);
}
END_TEST

START_TEST(lookup_retains_each_hit_once)
{
    uint64_t a = put_leaf(&fx, fx.a), b = put_leaf(&fx, fx.a), ids[3], versions[3];
    uint64_t of_a = bind_name(&fx, "a", a), of_b = bind_name(&fx, "b", b);
    struct name_in names[] = {name_of("a"), name_of("b"), name_of("a")};
    ck_assert_int_eq(pool_lookup(fx.pool, fx.b, names, 3, ids, versions), 0);
    ck_assert_uint_eq(ids[0], a);
    ck_assert_uint_eq(ids[1], b);
    ck_assert_uint_eq(ids[2], a);
    ck_assert_uint_eq(versions[0], of_a);
    ck_assert_uint_eq(versions[1], of_b);
    ck_assert_uint_eq(retain_one(&fx, fx.b, a), 3);
    ck_assert_uint_eq(retain_one(&fx, fx.b, b), 2);
}
END_TEST

START_TEST(lookup_is_all_or_nothing)
{
    uint64_t ids[3];
    bind_name(&fx, "a", put_leaf(&fx, fx.a));
    struct name_in names[] = {name_of("a"), name_of("nobody"), name_of("a")};
    ck_assert_int_eq(pool_lookup(fx.pool, fx.b, names, 3, ids, NULL), -HF_E_NOTFOUND);
    ck_assert_int_eq(pool_fault(fx.pool)->index, 1);
    ck_assert_uint_eq(session_held(fx.b), 0);
}
END_TEST

START_TEST(unname_is_all_or_nothing)
{
    uint64_t id = put_leaf(&fx, fx.a);
    bind_name(&fx, "a", id);
    bind_name(&fx, "b", id);
    struct name_in missing[] = {name_of("a"), name_of("nobody")}, twice[] = {name_of("a"), name_of("a")};
    ck_assert_int_eq(pool_unname(fx.pool, missing, 2, POOL_ANY_VERSION), -HF_E_NOTFOUND);
    ck_assert_int_eq(pool_fault(fx.pool)->index, 1);
    ck_assert_int_eq(pool_unname(fx.pool, twice, 2, POOL_ANY_VERSION), -HF_E_NOTFOUND);
    ck_assert_int_eq(pool_fault(fx.pool)->index, 1);
    ck_assert_uint_eq(inspect_of(&fx, id).held_names, 2);
    struct name_in both[] = {name_of("a"), name_of("b")};
    ck_assert_int_eq(pool_unname(fx.pool, both, 2, POOL_ANY_VERSION), 0);
    ck_assert_uint_eq(inspect_of(&fx, id).held_names, 0);
}
END_TEST

START_TEST(unname_if_version)
{
    uint64_t version = bind_name(&fx, "a", put_leaf(&fx, fx.a));
    struct name_in name = name_of("a");
    ck_assert_int_eq(pool_unname(fx.pool, &name, 1, version + 1), -HF_E_CONFLICT);
    ck_assert_uint_eq(stats_of(&fx).names, 1);
    ck_assert_int_eq(pool_unname(fx.pool, &name, 1, version), 0);
    ck_assert_int_eq(pool_unname(fx.pool, &name, 1, version), -HF_E_NOTFOUND);
}
END_TEST

START_TEST(holders_tell_names)
{
    uint64_t id = put_leaf(&fx, fx.a);
    struct holder_row rows[4];
    unsigned count;
    bind_name(&fx, "first", id);
    release_one(&fx, fx.a, id);
    ck_assert_int_eq(pool_holders(fx.pool, id, rows, 4, &count), 0);
    ck_assert_uint_eq(count, 1);
    ck_assert_int_eq(rows[0].kind, HOLDER_NAME);
    ck_assert_uint_eq(rows[0].name_size, 5);
    ck_assert_mem_eq(rows[0].name, "first", 5);
}
END_TEST

/* ---- store, fetch ---- */

START_TEST(store_is_held_by_its_name_alone)
{
    uint64_t id, version, found, found_version;
    struct value_view view;
    ck_assert_int_eq(store("n", "value", POOL_ANY_VERSION, &id, &version), 0);
    struct inspect_row row = inspect_of(&fx, id);
    ck_assert_uint_eq(row.held_names, 1);
    ck_assert_uint_eq(row.held_sessions, 0);
    ck_assert_int_eq(pool_fetch(fx.pool, name_of("n"), &view, &found, &found_version), 0);
    ck_assert_mem_eq(view.data, "value", 5);
    ck_assert_uint_eq(found, id);
    ck_assert_uint_eq(found_version, version);
    ck_assert_int_eq(pool_fetch(fx.pool, name_of("m"), &view, &found, &found_version), -HF_E_NOTFOUND);
}
END_TEST

START_TEST(store_over_a_name_makes_a_new_object)
{
    uint64_t first, second, version, later;
    ck_assert_int_eq(store("n", "one", POOL_ANY_VERSION, &first, &version), 0);
    ck_assert_int_eq(store("n", "two", POOL_ANY_VERSION, &second, &later), 0);
    ck_assert_uint_ne(first, second);
    ck_assert_uint_gt(later, version);
    ck_assert(is_gone(&fx, first));
    ck_assert_uint_eq(stats_of(&fx).objects, 1);
}
END_TEST

START_TEST(store_if_version)
{
    uint64_t id, version, other;
    ck_assert_int_eq(store("n", "v", 7, &id, &version), -HF_E_CONFLICT);
    ck_assert_int_eq(store("n", "v", 0, &id, &version), 0);
    ck_assert_int_eq(store("n", "w", 0, &id, &other), -HF_E_CONFLICT);
    ck_assert_int_eq(store("n", "w", version + 1, &id, &other), -HF_E_CONFLICT);
    ck_assert_uint_eq(stats_of(&fx).objects, 1);
    ck_assert_int_eq(store("n", "w", version, &id, &other), 0);
}
END_TEST

START_TEST(store_without_memory_keeps_the_old_value)
{
    uint64_t id, version, kept, now;
    struct value_view view;
    ck_assert_int_eq(store("n", "old", POOL_ANY_VERSION, &kept, &version), 0);
    uint8_t *data = calloc(1, 200000);
    struct value_in value = bytes_in(data, 200000);
    fx.grow.fail_at = 1;
    fx.grow.fail_count = UINT64_MAX / 2;
    int rc = 0;
    for (int i = 0; i < 100 && rc == 0; i++) {
        rc = pool_store(fx.pool, name_of("filler"), &value, POOL_ANY_VERSION, NULL, 0, &id, &now);
        struct put_spec spec = {.value = value};
        if (rc == 0)
            rc = pool_put(fx.pool, fx.a, &spec, &id);
    }
    ck_assert_int_eq(rc, -HF_E_OOM);
    ck_assert_int_eq(pool_store(fx.pool, name_of("n"), &value, POOL_ANY_VERSION, NULL, 0, &id, &now),
                     -HF_E_OOM);
    ck_assert_int_eq(pool_fetch(fx.pool, name_of("n"), &view, &id, &now), 0);
    ck_assert_uint_eq(id, kept);
    ck_assert_uint_eq(now, version);
    ck_assert_mem_eq(view.data, "old", 3);
    free(data);
}
END_TEST

START_TEST(store_large_values_by_stages)
{
    uint64_t id, version;
    for (uint8_t fill = 1; fill < 5; fill++) {
        struct value_in value = {
            .form = FORM_BIN32, .size = 1000000, .stage = staged(&fx, 1000000, fill, false)};
        ck_assert_int_eq(pool_store(fx.pool, name_of("n"), &value, POOL_ANY_VERSION, NULL, 0, &id, &version),
                         0);
        ck_assert(value_is(&fx, id, 1000000, fill));
    }
    ck_assert_uint_eq(stats_of(&fx).objects, 1);
}
END_TEST

/* ---- walking ---- */

#define MANY 5000

static void bind_many(void)
{
    char text[24];
    uint64_t id = put_leaf(&fx, fx.a);
    for (int i = 0; i < MANY; i++) {
        snprintf(text, sizeof text, "%s-%d", i % 10 ? "even" : "odd", i);
        bind_name(&fx, text, id);
    }
}

START_TEST(names_walk_tells_each_at_least_once)
{
    static bool seen[MANY];
    struct name_row rows[100];
    uint64_t cursor = 0, calls = 0;
    bind_many();
    do {
        unsigned count = pool_names(fx.pool, cursor, (struct name_in){0}, rows, 100, &cursor);
        for (unsigned i = 0; i < count; i++) {
            const char *dash = memchr(rows[i].name, '-', rows[i].name_size);
            char number[16] = "";
            memcpy(number, dash + 1, rows[i].name_size - (size_t)(dash + 1 - (const char *)rows[i].name));
            seen[atoi(number)] = true;
        }
        calls++;
    } while (cursor != 0);
    for (int i = 0; i < MANY; i++)
        ck_assert(seen[i]);
    ck_assert_uint_ge(calls, MANY / 100);
}
END_TEST

START_TEST(names_walk_with_prefix)
{
    struct name_row rows[100];
    uint64_t cursor = 0, seen = 0;
    bind_many();
    do {
        unsigned count = pool_names(fx.pool, cursor, name_of("odd-"), rows, 100, &cursor);
        for (unsigned i = 0; i < count; i++)
            ck_assert_mem_eq(rows[i].name, "odd-", 4);
        seen += count;
    } while (cursor != 0);
    ck_assert_uint_ge(seen, MANY / 10);
}
END_TEST

START_TEST(names_walk_while_names_come)
{
    struct name_row rows[7];
    uint64_t cursor = 0, id = put_leaf(&fx, fx.a);
    bool seen[200] = {false};
    char text[24];
    int made = 0;
    for (int i = 0; i < 200; i++) {
        snprintf(text, sizeof text, "old-%d", i);
        bind_name(&fx, text, id);
    }
    do {
        unsigned count = pool_names(fx.pool, cursor, name_of("old-"), rows, 7, &cursor);
        for (unsigned i = 0; i < count; i++) {
            snprintf(text, sizeof text, "%.*s", (int)rows[i].name_size, (const char *)rows[i].name);
            seen[atoi(text + 4)] = true;
        }
        for (int i = 0; i < 100 && made < 5000; i++, made++) {
            snprintf(text, sizeof text, "new-%d", made);
            bind_name(&fx, text, id);
        }
    } while (cursor != 0);
    for (int i = 0; i < 200; i++)
        ck_assert(seen[i]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pool names");
    TCase *t = suite_case(suite, "names", setup, teardown);
    tcase_add_test(t, name_keeps_its_object);
    tcase_add_test(t, name_of_any_length);
    tcase_add_test(t, name_rebound_lets_the_old_object_die);
    tcase_add_test(t, name_rebound_to_the_same_object_keeps_it);
    tcase_add_test(t, name_if_version);
    tcase_add_test(t, name_for_what_is_gone_changes_nothing);
    tcase_add_test(t, name_without_memory_changes_nothing);
    tcase_add_test(t, lookup_retains_each_hit_once);
    tcase_add_test(t, lookup_is_all_or_nothing);
    tcase_add_test(t, unname_is_all_or_nothing);
    tcase_add_test(t, unname_if_version);
    tcase_add_test(t, holders_tell_names);
    t = suite_case(suite, "store", setup, teardown);
    tcase_add_test(t, store_is_held_by_its_name_alone);
    tcase_add_test(t, store_over_a_name_makes_a_new_object);
    tcase_add_test(t, store_if_version);
    tcase_add_test(t, store_without_memory_keeps_the_old_value);
    tcase_add_test(t, store_large_values_by_stages);
    t = suite_case(suite, "walks", setup, teardown);
    tcase_add_test(t, names_walk_tells_each_at_least_once);
    tcase_add_test(t, names_walk_with_prefix);
    tcase_add_test(t, names_walk_while_names_come);
    return suite_run(suite);
}
