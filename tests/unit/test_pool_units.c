/* SPDX-License-Identifier: BSD-3-Clause */
/* No call does more than its share, however much there is: units of work and deaths are counted over 300,000
 * objects (HF_OBJECTS; ten million with HF_TEST_LONG=1). CPU times are reported, never judged. */
#include "tests/lib/pool_fixture.h"
#include "tests/lib/suite.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define UNITS          500u   /* a step of the daemon */
#define LOOKED_AT_ONCE 10000u /* most objects or names that one call may look at */

static struct fixture fx;
static uint64_t many; /* objects */

static void setup(void)
{
    const char *number = getenv("HF_OBJECTS"), *longer = getenv("HF_TEST_LONG");
    many = number ? strtoull(number, NULL, 0) : longer && strcmp(longer, "0") != 0 ? 10000000 : 300000;
    fixture_open_with(&fx, &(struct fixture_options){.max_bytes = 16ull << 30});
}

static void teardown(void)
{
    fixture_close(&fx);
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now); /* other programs do not count */
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Objects that died while something ran. */
struct deaths {
    uint64_t dead, freed; /* ids that are GONE; entries that are free again */
};

static struct deaths deaths_begin(void)
{
    struct pool_stats stats = stats_of(&fx);
    return (struct deaths){stats.objects_made - stats.objects, stats.objects_freed};
}

static void deaths_at_most(struct deaths before, uint64_t most)
{
    struct pool_stats stats = stats_of(&fx);
    ck_assert_uint_le(stats.objects_made - stats.objects - before.dead, most);
    ck_assert_uint_le(stats.objects_freed - before.freed, most);
}

/* Steps until nothing is left. Each keeps to its units, and frees no more objects than it has units. */
static void step_to_the_end(const char *what)
{
    uint64_t steps = 0, longest = 0, all = 0;
    for (;;) {
        struct deaths before = deaths_begin();
        uint64_t began = now_ns();
        unsigned spent = pool_step(fx.pool, UNITS);
        uint64_t took = now_ns() - began;
        ck_assert_uint_le(spent, UNITS);
        deaths_at_most(before, UNITS);
        longest = took > longest ? took : longest;
        all += took;
        steps++;
        if (spent < UNITS)
            break;
    }
    ck_assert_uint_eq(stats_of(&fx).backlog, 0);
    printf("  %s: %llu steps of %u units, %.1f ms, longest step %.0f us\n", what, (unsigned long long)steps,
           UNITS, (double)all / 1e6, (double)longest / 1e3);
}

START_TEST(release_of_the_head_of_a_long_chain)
{
    uint64_t head = chain_of(&fx, fx.a, many);
    ck_assert_uint_eq(stats_of(&fx).objects, many);
    struct deaths before = deaths_begin();
    release_one(&fx, fx.a, head);
    deaths_at_most(before, POOL_INLINE_DEATHS + 1);
    ck_assert(is_gone(&fx, head));
    ck_assert_uint_gt(stats_of(&fx).backlog, 0);
    step_to_the_end("chain");
    ck_assert_uint_eq(stats_of(&fx).objects, 0);
    verify_ok(&fx);
}
END_TEST

START_TEST(requests_go_on_while_a_chain_dies)
{
    uint64_t other = put_leaf(&fx, fx.b), head = chain_of(&fx, fx.a, many / 10);
    release_one(&fx, fx.a, head);
    while (stats_of(&fx).backlog > 0) {
        struct deaths before = deaths_begin();
        uint64_t id = put_leaf(&fx, fx.b);
        deaths_at_most(before, POOL_INLINE_DEATHS + 1);
        before = deaths_begin();
        release_one(&fx, fx.b, id);
        deaths_at_most(before, POOL_INLINE_DEATHS + 1);
        ck_assert_uint_eq(retain_one(&fx, fx.a, other), 1);
        ck_assert_uint_eq(release_one(&fx, fx.a, other), 0);
        before = deaths_begin();
        ck_assert_uint_le(pool_step(fx.pool, 7), 7);
        deaths_at_most(before, 7);
    }
    ck_assert_uint_eq(stats_of(&fx).objects, 1);
    verify_ok(&fx);
}
END_TEST

START_TEST(end_of_a_session_with_many_holds)
{
    for (uint64_t i = 0; i < many; i++)
        put_leaf(&fx, fx.a);
    ck_assert_uint_eq(session_held(fx.a), many);
    struct deaths before = deaths_begin();
    pool_session_end(fx.pool, fx.a, REASON_SESSION_END);
    deaths_at_most(before, POOL_INLINE_DEATHS + 1);
    step_to_the_end("session end, objects die");
    ck_assert_uint_eq(stats_of(&fx).objects, 0);
    ck_assert_uint_eq(stats_of(&fx).holds, 0);
    verify_ok(&fx);
}
END_TEST

START_TEST(end_of_a_second_holder_of_many)
{
    for (uint64_t i = 0; i < many / 2; i++)
        retain_one(&fx, fx.b, put_leaf(&fx, fx.a));
    pool_session_end(fx.pool, fx.b, REASON_SESSION_END);
    step_to_the_end("session end, second holder");
    ck_assert_uint_eq(stats_of(&fx).objects, many / 2);
    ck_assert_uint_eq(stats_of(&fx).hold_cells, 0);
    pool_session_end(fx.pool, fx.a, REASON_SESSION_END);
    step_to_the_end("session end, last holder");
    ck_assert_uint_eq(stats_of(&fx).objects, 0);
}
END_TEST

START_TEST(lease_of_a_session_with_many_holds)
{
    for (uint64_t i = 0; i < many / 4; i++)
        put_leaf(&fx, fx.a);
    pool_session_detach(fx.pool, fx.a);
    struct deaths before = deaths_begin();
    pass_ms(&fx, FIXTURE_LEASE_MS);
    deaths_at_most(before, POOL_INLINE_DEATHS + 1);
    step_to_the_end("lease");
    ck_assert_uint_eq(stats_of(&fx).objects, 0);
}
END_TEST

START_TEST(release_of_an_object_with_many_slots)
{
    uint64_t leaf = put_leaf(&fx, fx.a), id = put_leaf(&fx, fx.a), previous;
    for (uint64_t i = 0; i < many; i++)
        ck_assert_int_eq(pool_link(fx.pool, id, i, leaf, &previous), 0);
    ck_assert_uint_eq(inspect_of(&fx, leaf).held_slots, many);
    release_one(&fx, fx.a, id);
    /* A slot is a unit: the call may have dropped some, but not many. */
    ck_assert_uint_gt(inspect_of(&fx, leaf).held_slots, many - 5000);
    uint64_t steps = 0, left = inspect_of(&fx, leaf).held_slots;
    for (;; steps++) {
        unsigned spent = pool_step(fx.pool, UNITS);
        uint64_t now = inspect_of(&fx, leaf).held_slots;
        ck_assert_uint_le(spent, UNITS);
        ck_assert_uint_le(left - now, UNITS);
        left = now;
        if (spent < UNITS)
            break;
    }
    ck_assert_uint_eq(left, 0);
    ck_assert_uint_ge(steps, (many - 5000) / UNITS);
    verify_ok(&fx);
}
END_TEST

START_TEST(release_of_many_heads_in_one_call)
{
    static uint64_t heads[HF_IDS_MAX], counts[HF_IDS_MAX];
    for (unsigned i = 0; i < HF_IDS_MAX; i++)
        heads[i] = chain_of(&fx, fx.a, many / 10 / HF_IDS_MAX + 2);
    struct deaths before = deaths_begin();
    ck_assert_int_eq(pool_release(fx.pool, fx.a, heads, HF_IDS_MAX, 1, counts), 0);
    deaths_at_most(before, HF_IDS_MAX + POOL_INLINE_DEATHS);
    for (unsigned i = 0; i < HF_IDS_MAX; i++)
        ck_assert(is_gone(&fx, heads[i]));
    step_to_the_end("1024 heads");
    ck_assert_uint_eq(stats_of(&fx).objects, 0);
}
END_TEST

START_TEST(expiry_of_many_tickets)
{
    uint8_t key[HF_KEY_SIZE];
    uint64_t tickets = many / 10;
    for (uint64_t i = 0; i < tickets; i++) {
        uint64_t id = put_leaf(&fx, fx.a);
        ck_assert_int_eq(pool_share(fx.pool, fx.a, id, 1000, 1, key), 0);
        release_one(&fx, fx.a, id);
    }
    struct deaths before = deaths_begin();
    pass_ms(&fx, 1000);
    deaths_at_most(before, 0);
    step_to_the_end("tickets");
    ck_assert_uint_eq(stats_of(&fx).tickets, 0);
    ck_assert_uint_eq(stats_of(&fx).objects, 0);
}
END_TEST

START_TEST(expiry_of_many_leases)
{
    unsigned sessions = 20000;
    for (unsigned i = 0; i < sessions; i++) {
        struct session *s = fixture_session(&fx, 100 + i, 500, &fx);
        put_leaf(&fx, s);
        pool_session_detach(fx.pool, s);
    }
    struct deaths before = deaths_begin();
    pass_ms(&fx, 500);
    deaths_at_most(before, 0);
    step_to_the_end("leases");
    ck_assert_uint_eq(stats_of(&fx).sessions_grace, 0);
    ck_assert_uint_eq(stats_of(&fx).objects, 0);
}
END_TEST

START_TEST(scan_that_finds_nothing_looks_at_few_a_call)
{
    struct scan_filter filter = {.min_size = 100};
    uint64_t cursor = 0, calls = 0, ids[4];
    unsigned count;
    for (uint64_t i = 0; i < many; i++)
        put_leaf(&fx, fx.a);
    do {
        ck_assert_int_eq(pool_scan(fx.pool, cursor, &filter, ids, 4, &count, &cursor), 0);
        ck_assert_uint_eq(count, 0);
        calls++;
    } while (cursor != 0);
    ck_assert_uint_ge(calls, many / LOOKED_AT_ONCE);
}
END_TEST

START_TEST(names_walk_that_finds_nothing_looks_at_few_a_call)
{
    uint64_t cursor = 0, calls = 0, id = put_leaf(&fx, fx.a), names = many / 4;
    struct name_row rows[4];
    char text[24];
    for (uint64_t i = 0; i < names; i++) {
        snprintf(text, sizeof text, "n%llu", (unsigned long long)i);
        bind_name(&fx, text, id);
    }
    do {
        ck_assert_uint_eq(pool_names(fx.pool, cursor, name_of("other"), rows, 4, &cursor), 0);
        calls++;
    } while (cursor != 0);
    ck_assert_uint_ge(calls, names / LOOKED_AT_ONCE);
}
END_TEST

START_TEST(verify_keeps_to_its_units)
{
    struct verify_result result;
    uint64_t steps = 0, longest = 0, objects = many / 2;
    unsigned percent = 0, told = 0;
    for (uint64_t i = 0; i < objects; i++)
        put_leaf(&fx, fx.a);
    ck_assert_int_eq(pool_verify_begin(fx.pool), 0);
    for (bool done = false; !done; steps++) {
        ck_assert_uint_ge(pool_verify_percent(fx.pool), percent);
        told += pool_verify_percent(fx.pool) > percent;
        percent = pool_verify_percent(fx.pool);
        uint64_t began = now_ns();
        done = pool_verify_step(fx.pool, UNITS, &result);
        uint64_t took = now_ns() - began;
        longest = took > longest ? took : longest;
    }
    ck_assert_uint_eq(result.findings_count, 0);
    ck_assert_uint_eq(result.objects, objects);
    ck_assert_uint_ge(steps, objects / UNITS);
    ck_assert_uint_gt(told, 20);
    ck_assert_uint_lt(percent, 100);
    printf("  verify: %llu steps, longest %.0f us\n", (unsigned long long)steps, (double)longest / 1e3);
}
END_TEST

START_TEST(drop_of_a_pool_by_pieces)
{
    uint64_t steps = 0, longest = 0;
    for (uint64_t i = 0; i < many; i++)
        put_leaf(&fx, fx.a);
    uint64_t pieces = stats_of(&fx).memory_image / ARENA_BYTES;
    for (bool more = true; more; steps++) {
        uint64_t punched = fx.grow.punches, began = now_ns();
        more = pool_dispose_step(fx.pool, 2);
        uint64_t took = now_ns() - began;
        longest = took > longest ? took : longest;
        ck_assert_uint_le(fx.grow.punches - punched, 2);
        ck_assert_uint_le(fx.grow.punch_most, ARENA_BYTES);
    }
    ck_assert_uint_ge(steps, pieces / 4);
    uint64_t began = now_ns();
    fixture_close(&fx);
    printf("  drop: %llu steps of 2 pieces, longest %.0f us, close %.0f us\n", (unsigned long long)steps,
           (double)longest / 1e3, (double)(now_ns() - began) / 1e3);
}
END_TEST

/* ---- every method, over a pool that is large in all directions ---- */

#define CALLS     300u   /* of each method */
#define WORK_MOST 10000u /* units in one call: 8192 refs or 4096 rows looked at, 512 of reaping, and some */

static struct {
    uint64_t *ids; /* objects */
    uint64_t list; /* has as many slots as there are objects */
    uint64_t open;
    uint64_t popular;    /* held by many sessions, names and tickets */
    uint64_t next, made; /* numbers for what is taken and made by calls */
} large;

static uint64_t some_id(void)
{
    large.next = (large.next + 7919) % many;
    return large.ids[large.next];
}

static struct name_in some_name(char text[24])
{
    snprintf(text, 24, "n%llu", (unsigned long long)(large.next = (large.next + 7919) % (many / 10)));
    return name_of(text);
}

static void fill_large(void)
{
    char text[24];
    uint8_t key[HF_KEY_SIZE];
    uint64_t previous;
    large.ids = malloc(many * sizeof *large.ids);
    ck_assert_ptr_nonnull(large.ids);
    large.list = put_leaf(&fx, fx.a);
    large.popular = put_leaf(&fx, fx.a);
    large.open = put_open(&fx, fx.a, 100);
    for (uint64_t i = 0; i < many; i++) {
        large.ids[i] = put_leaf(&fx, fx.a);
        ck_assert_int_eq(pool_link(fx.pool, large.list, i, large.ids[i], &previous), 0);
    }
    for (uint64_t i = 0; i < many / 10; i++) {
        snprintf(text, sizeof text, "n%llu", (unsigned long long)i);
        bind_name(&fx, text, i % 2 ? large.popular : large.ids[i]);
    }
    for (uint64_t i = 0; i < many / 100; i++) {
        struct session *s = fixture_session(&fx, 100 + (unsigned)i, FIXTURE_LEASE_MS, &fx);
        retain_one(&fx, s, large.popular);
        ck_assert_int_eq(pool_share(fx.pool, fx.a, large.popular, 1000000, 1, key), 0);
    }
    drain(&fx);
}

static void call_put(void)
{
    uint64_t refs[3] = {some_id(), some_id(), 0};
    put_refs(&fx, fx.b, refs, 3);
}

static void call_put_most_refs(void)
{
    put_refs(&fx, fx.b, large.ids, HF_REFS_MAX);
}

static void call_put_many(void)
{
    static struct put_spec specs[HF_IDS_MAX];
    static uint64_t ids[HF_IDS_MAX];
    for (unsigned k = 0; k < HF_IDS_MAX; k++)
        specs[k] = (struct put_spec){.value = bytes_in("x", 1), .refs = large.ids + k * 7, .refs_count = 7};
    ck_assert_int_eq(pool_put_many(fx.pool, fx.b, specs, HF_IDS_MAX, ids), 0);
}

static void call_get(void)
{
    struct value_view view;
    ck_assert_int_eq(pool_get(fx.pool, some_id(), &view), 0);
}

static void call_set(void)
{
    struct value_in value = bytes_in("another value", 13);
    uint64_t version;
    ck_assert_int_eq(pool_set(fx.pool, some_id(), &value, 0, &version), 0);
}

static void call_write(void)
{
    ck_assert_int_eq(pool_write(fx.pool, fx.a, large.open, 3, (const uint8_t *)"x", 1, 1), 0);
}

static void call_refs(void)
{
    static uint64_t ids[HF_IDS_MAX];
    uint32_t count, total;
    uint32_t offset = (uint32_t)(some_id() % many);
    ck_assert_int_eq(pool_refs(fx.pool, large.list, offset, ids, HF_IDS_MAX, &count, &total), 0);
}

static void call_link(void)
{
    uint64_t previous, id = some_id();
    ck_assert_int_eq(pool_link(fx.pool, large.list, large.next, id, &previous), 0);
}

static void call_link_append(void)
{
    uint64_t previous, id = some_id();
    ck_assert_int_eq(pool_link(fx.pool, large.list, many + large.made++, id, &previous), 0);
}

static void call_retain_and_release_arrays(void)
{
    static uint64_t counts[HF_IDS_MAX];
    const uint64_t *ids = large.ids + large.next % (many - HF_IDS_MAX);
    some_id();
    ck_assert_int_eq(pool_retain(fx.pool, fx.b, ids, HF_IDS_MAX, 1, NULL, 0, counts), 0);
    ck_assert_int_eq(pool_release(fx.pool, fx.b, ids, HF_IDS_MAX, 1, counts), 0);
}

static void call_retain_and_release_popular(void)
{
    retain_one(&fx, fx.b, large.popular);
    release_one(&fx, fx.b, large.popular);
}

static void call_tickets(void)
{
    uint8_t key[HF_KEY_SIZE];
    uint64_t id;
    ck_assert_int_eq(pool_share(fx.pool, fx.a, large.popular, 1000, 2, key), 0);
    ck_assert_int_eq(pool_claim(fx.pool, fx.b, key, &id), 0);
    ck_assert_int_eq(pool_unshare(fx.pool, key), 0);
    release_one(&fx, fx.b, id);
}

static void call_name_and_unname(void)
{
    struct name_in name = name_of("passing");
    bind_name(&fx, "passing", large.popular);
    bind_name(&fx, "passing", some_id());
    ck_assert_int_eq(pool_unname(fx.pool, &name, 1, POOL_ANY_VERSION), 0);
}

static void call_lookup(void)
{
    char text[24];
    uint64_t id;
    struct name_in name = some_name(text);
    ck_assert_int_eq(pool_lookup(fx.pool, fx.b, &name, 1, &id, NULL), 0);
    release_one(&fx, fx.b, id);
}

static void call_store_and_fetch(void)
{
    struct value_in value = bytes_in("stored", 6);
    struct value_view view;
    uint64_t id, version;
    ck_assert_int_eq(pool_store(fx.pool, name_of("stored"), &value, POOL_ANY_VERSION, NULL, 0, &id, &version),
                     0);
    ck_assert_int_eq(pool_fetch(fx.pool, name_of("stored"), &view, &id, &version), 0);
}

static void call_names(void)
{
    struct name_row rows[HF_IDS_MAX];
    static uint64_t cursor;
    pool_names(fx.pool, cursor, name_of("nobody has this"), rows, HF_IDS_MAX, &cursor);
}

static void call_scan(void)
{
    struct scan_filter filter = {.min_size = 1u << 30};
    static uint64_t ids[HF_IDS_MAX], cursor;
    unsigned count;
    ck_assert_int_eq(pool_scan(fx.pool, cursor, &filter, ids, HF_IDS_MAX, &count, &cursor), 0);
}

static void call_scan_of_session(void)
{
    struct scan_filter filter = {.sid = session_sid(fx.a), .min_size = 1u << 30};
    static uint64_t ids[HF_IDS_MAX], cursor;
    unsigned count;
    ck_assert_int_eq(pool_scan(fx.pool, cursor, &filter, ids, HF_IDS_MAX, &count, &cursor), 0);
}

static void call_inspect_and_holders(void)
{
    static struct holder_row rows[HF_IDS_MAX];
    unsigned count;
    inspect_of(&fx, large.popular);
    ck_assert_int_eq(pool_holders(fx.pool, large.popular, rows, HF_IDS_MAX, &count), 0);
    ck_assert_uint_gt(count, 100);
}

static void call_sessions(void)
{
    static struct session_row rows[HF_IDS_MAX];
    ck_assert_uint_gt(pool_sessions(fx.pool, session_sid(fx.b), rows, HF_IDS_MAX), 100);
}

static void call_session_open_and_end(void)
{
    struct session *s = fixture_anonymous(&fx, &fx);
    retain_one(&fx, s, large.popular);
    pool_session_end(fx.pool, s, REASON_SESSION_END);
}

static void call_session_break_and_resume(void)
{
    uint8_t key[HF_KEY_SIZE];
    fixture_key(1, key);
    pool_session_detach(fx.pool, fx.a);
    pool_session_attach(fx.pool, pool_session_by_key(fx.pool, key), &fx.owner_a);
}

static void call_stats_and_tick(void)
{
    uint64_t now_due, lease_due;
    stats_of(&fx);
    pass_ms(&fx, 1);
    pool_next_due(fx.pool, &now_due, &lease_due);
}

static const struct {
    const char *name;
    void (*run)(void);
} methods[] = {
    {"put", call_put},
    {"put with 8192 refs", call_put_most_refs},
    {"put_many of 1024", call_put_many},
    {"get", call_get},
    {"set", call_set},
    {"write", call_write},
    {"refs of a long list", call_refs},
    {"link in a long list", call_link},
    {"link at the end of a long list", call_link_append},
    {"retain and release of 1024", call_retain_and_release_arrays},
    {"retain and release of one that many hold", call_retain_and_release_popular},
    {"share, claim, unshare", call_tickets},
    {"name, rebind, unname", call_name_and_unname},
    {"lookup, release", call_lookup},
    {"store, fetch", call_store_and_fetch},
    {"names", call_names},
    {"scan", call_scan},
    {"scan of a session", call_scan_of_session},
    {"inspect, holders", call_inspect_and_holders},
    {"sessions", call_sessions},
    {"session open, end", call_session_open_and_end},
    {"session break, resume", call_session_break_and_resume},
    {"stats, tick", call_stats_and_tick},
};

START_TEST(every_method_keeps_to_a_bound_of_work)
{
    fill_large();
    for (unsigned k = 0; k < sizeof methods / sizeof *methods; k++) {
        uint64_t most = 0, longest = 0;
        for (unsigned i = 0; i < CALLS; i++) {
            struct deaths before = deaths_begin();
            uint64_t work = pool_work(fx.pool), began = now_ns();
            methods[k].run();
            uint64_t took = now_ns() - began, done = pool_work(fx.pool) - work;
            deaths_at_most(before, 2 * POOL_INLINE_DEATHS);
            most = done > most ? done : most;
            longest = took > longest ? took : longest;
            pool_step(fx.pool, UNITS);
        }
        printf("  %s: at most %llu units, longest call %.0f us\n", methods[k].name, (unsigned long long)most,
               (double)longest / 1e3);
        if (most > WORK_MOST)
            ck_abort_msg("%s does %llu units of work in one call", methods[k].name, (unsigned long long)most);
    }
    verify_ok(&fx);
    free(large.ids);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pool units");
    TCase *t = suite_case(suite, "units", setup, teardown);
    tcase_add_test(t, release_of_the_head_of_a_long_chain);
    tcase_add_test(t, requests_go_on_while_a_chain_dies);
    tcase_add_test(t, end_of_a_session_with_many_holds);
    tcase_add_test(t, end_of_a_second_holder_of_many);
    tcase_add_test(t, lease_of_a_session_with_many_holds);
    tcase_add_test(t, release_of_an_object_with_many_slots);
    tcase_add_test(t, release_of_many_heads_in_one_call);
    tcase_add_test(t, expiry_of_many_tickets);
    tcase_add_test(t, expiry_of_many_leases);
    tcase_add_test(t, scan_that_finds_nothing_looks_at_few_a_call);
    tcase_add_test(t, names_walk_that_finds_nothing_looks_at_few_a_call);
    tcase_add_test(t, verify_keeps_to_its_units);
    tcase_add_test(t, drop_of_a_pool_by_pieces);
    tcase_add_test(t, every_method_keeps_to_a_bound_of_work);
    return suite_run(suite);
}
