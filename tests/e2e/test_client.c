/* SPDX-License-Identifier: BSD-3-Clause */
/* libholdfast against a real daemon, $HOLDFASTD or build/holdfastd: every typed call, batches, a broken
 * connection. */
#include "client/holdfast.h"
#include "tests/lib/live.h"
#include "tests/lib/suite.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static struct live server;
static hf_conn *conn, *other;

static void setup(void)
{
    live_start(&server);
    live_open(&server, &conn, "first");
    live_open(&server, &other, "second");
}

static void teardown(void)
{
    live_end(&server, conn, other);
}

/* ---- Helpers ---- */

static hf_id put_text(const char *text)
{
    hf_id id = 0;
    ck_assert_int_eq(hf_put(conn, hf_str(text, strlen(text)), NULL, &id), 0);
    ck_assert_int_gt(id, 0);
    return id;
}

static void expect_bytes(hf_reply *reply, const char *bytes)
{
    const void *data;
    size_t size;
    ck_assert(hf_item_bytes(hf_reply_item(reply), &data, &size));
    ck_assert_uint_eq(size, strlen(bytes));
    ck_assert_mem_eq(data, bytes, size);
    hf_reply_free(reply);
}

static uint64_t number_at(hf_item map, const char *key)
{
    uint64_t number = UINT64_MAX;
    ck_assert_msg(hf_item_uint(hf_item_get(map, key), &number), "no number %s", key);
    return number;
}

/* ---- Values ---- */

START_TEST(values_of_every_type_come_back)
{
    static const char packed[] = "\x82\xa1"
                                 "a\x93\x01\xc0\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00\xa1"
                                 "b\xc7\x03\x05xyz";
    const hf_value values[] = {hf_nil(),          hf_int(-5),
                               hf_int(INT64_MAX), hf_str("\xff\x00x", 3),
                               hf_bin("", 0),     hf_packed(packed, sizeof packed - 1)};
    const char *const expected[] = {"\xc0",          "\xfb",     "\xcf\x7f\xff\xff\xff\xff\xff\xff\xff",
                                    "\xa3\xff\x00x", "\xc4\x00", packed};
    const size_t sizes[] = {1, 1, 9, 4, 2, sizeof packed - 1};
    for (size_t i = 0; i < 6; i++) {
        hf_reply *reply;
        hf_id id;
        ck_assert_int_eq(hf_put(conn, values[i], NULL, &id), 0);
        ck_assert_int_eq(hf_get(conn, id, &reply), 0);
        ck_assert_uint_eq(hf_reply_item(reply).size, sizes[i]);
        ck_assert_mem_eq(hf_reply_item(reply).data, expected[i], sizes[i]);
        hf_reply_free(reply);
    }
}
END_TEST

START_TEST(a_value_of_the_largest_size_and_one_above)
{
    hf_reply *reply;
    const void *data;
    size_t got;
    hf_id id;
    size_t size = (size_t)hf_session(conn)->value_max - 16;
    char *large = calloc(1, size + 32);
    ck_assert_ptr_nonnull(large);
    memset(large + size - 4, 'x', 4);
    ck_assert_int_eq(hf_put(conn, hf_bin(large, size), NULL, &id), 0);
    ck_assert_int_eq(hf_get(conn, id, &reply), 0);
    ck_assert(hf_item_bytes(hf_reply_item(reply), &data, &got));
    ck_assert_uint_eq(got, size);
    ck_assert_mem_eq(data, large, size);
    hf_reply_free(reply);
    ck_assert_int_eq(hf_put(conn, hf_bin(large, size + 17), NULL, &id), HF_ERR_TOOBIG);
    ck_assert_int_eq(hf_get_part(conn, id, size - 5, 100, &reply), 0);
    ck_assert(hf_item_bytes(hf_reply_item(reply), &data, &got));
    ck_assert_uint_eq(got, 5);
    ck_assert_mem_eq(data, "\0xxxx", 5);
    hf_reply_free(reply);
    free(large);
}
END_TEST

START_TEST(set_only_at_a_version)
{
    hf_reply *reply;
    int64_t version, newer;
    hf_id id = put_text("a");
    ck_assert_int_eq(hf_get_version(conn, id, &reply), 0);
    ck_assert(hf_item_int(hf_item_at(hf_reply_item(reply), 1), &version));
    hf_reply_free(reply);
    ck_assert_int_eq(hf_set(other, id, hf_int(1), version, &newer), 0);
    ck_assert_int_gt(newer, version);
    ck_assert_int_eq(hf_set(conn, id, hf_int(2), version, NULL), HF_ERR_CONFLICT);
    ck_assert_int_eq(hf_set(conn, id, hf_str("b", 1), HF_ANY_VERSION, NULL), 0);
    ck_assert_int_eq(hf_seal(conn, id), 0);
    ck_assert_int_eq(hf_set(conn, id, hf_int(2), HF_ANY_VERSION, NULL), HF_ERR_SEALED);
    ck_assert_int_eq(hf_get(other, id, &reply), 0);
    expect_bytes(reply, "b");
}
END_TEST

START_TEST(an_open_object_is_filled_and_sealed)
{
    const struct hf_put_options options = {.size = 10, .tag = "open"};
    hf_reply *reply;
    hf_id id;
    ck_assert_int_eq(hf_put(conn, hf_nil(), &options, &id), 0);
    ck_assert_int_eq(hf_get(other, id, &reply), HF_ERR_UNSEALED);
    ck_assert_int_eq(hf_write(conn, id, 0, "01234", 5), 0);
    ck_assert_int_eq(hf_write(conn, id, 5, "56789", 5), 0);
    ck_assert_int_eq(hf_seal(conn, id), 0);
    ck_assert_int_eq(hf_write(conn, id, 0, "x", 1), HF_ERR_SEALED);
    ck_assert_int_eq(hf_get(other, id, &reply), 0);
    expect_bytes(reply, "0123456789");
}
END_TEST

START_TEST(a_graph_is_put_at_once_and_read_back)
{
    const hf_id to_first[] = {-1, 0};
    const hf_id to_all[] = {-1, -2, -3};
    struct hf_put_item items[3] = {{.value = hf_int(1)}, {.value = hf_int(2)}, {.value = hf_int(3)}};
    hf_id ids[3], refs[3], previous = 5;
    hf_reply *reply;
    items[1].options = (struct hf_put_options){.refs = to_first, .ref_count = 2};
    items[2].options = (struct hf_put_options){.refs = to_all, .ref_count = 3, .tag = "root"};
    ck_assert_int_eq(hf_put_many(conn, items, 3, ids), 0);
    ck_assert_int_eq(hf_refs(conn, ids[2], &reply), 0);
    ck_assert_uint_eq(hf_item_ids(hf_reply_item(reply), refs, 3), 3);
    ck_assert_mem_eq(refs, ids, sizeof ids);
    hf_reply_free(reply);
    ck_assert_int_eq(hf_link(conn, ids[2], 2, 0, &previous), 0);
    ck_assert_int_eq(previous, ids[2]);
    ck_assert_int_eq(hf_link(conn, ids[1], 2, ids[0], &previous), 0);
    ck_assert_int_eq(previous, 0);
    ck_assert_int_eq(hf_get_many(conn, ids, 3, &reply), 0);
    ck_assert_mem_eq(hf_reply_item(reply).data, "\x93\x01\x02\x03", 4);
    hf_reply_free(reply);
}
END_TEST

START_TEST(an_error_names_the_bad_element)
{
    hf_id ids[3] = {put_text("a"), put_text("b"), put_text("c")};
    hf_reply *reply;
    ck_assert_int_eq(hf_release(conn, ids[1], 0, NULL), 0);
    ck_assert_int_eq(hf_get_many(conn, ids, 3, &reply), HF_ERR_GONE);
    ck_assert_int_eq(hf_last_error(conn)->index, 1);
    const struct hf_put_options options = {.refs = ids, .ref_count = 3};
    ck_assert_int_eq(hf_put(conn, hf_nil(), &options, NULL), HF_ERR_GONE);
    ck_assert_int_eq(hf_last_error(conn)->index, 1);
}
END_TEST

/* ---- References ---- */

START_TEST(counts_of_retain_and_release)
{
    hf_id ids[2] = {put_text("a"), put_text("b")};
    hf_reply *reply;
    int64_t count, counts[2];
    ck_assert_int_eq(hf_retain(conn, ids[0], 4, &count), 0);
    ck_assert_int_eq(count, 5);
    ck_assert_int_eq(hf_release(conn, ids[0], 6, &count), HF_ERR_NOTHELD);
    ck_assert_int_eq(hf_release(conn, ids[0], 4, &count), 0);
    ck_assert_int_eq(count, 1);
    ck_assert_int_eq(hf_retain_many(other, ids, 2, 0, counts), 0);
    ck_assert(counts[0] == 1 && counts[1] == 1);
    ck_assert_int_eq(hf_release_many(conn, ids, 2, 1, counts), 0);
    ck_assert(counts[0] == 0 && counts[1] == 0);
    ck_assert_int_eq(hf_get(conn, ids[0], &reply), 0);
    expect_bytes(reply, "a");
    ck_assert_int_eq(hf_release_many(other, ids, 2, 1, NULL), 0);
    ck_assert_int_eq(hf_get(conn, ids[0], &reply), HF_ERR_GONE);
}
END_TEST

START_TEST(a_ticket_hands_an_object_over)
{
    uint8_t ticket[HF_KEY_BYTES];
    hf_id id = put_text("a");
    hf_id claimed = 0;
    ck_assert_int_eq(hf_share(conn, id, 600000, 2, ticket), 0);
    ck_assert_int_eq(hf_release(conn, id, 1, NULL), 0);
    ck_assert_int_eq(hf_claim(other, ticket, &claimed), 0);
    ck_assert_int_eq(claimed, id);
    ck_assert_int_eq(hf_unshare(conn, ticket), 0);
    ck_assert_int_eq(hf_claim(other, ticket, &claimed), HF_ERR_NOTFOUND);
    ck_assert_int_eq(hf_release(other, id, 1, NULL), 0);
    ck_assert_int_eq(hf_share(conn, id, 0, 0, ticket), HF_ERR_NOTHELD);
}
END_TEST

/* ---- Names ---- */

START_TEST(names_bind_and_keep)
{
    static const char *const names[] = {"x", "x"};
    hf_id id = put_text("a");
    hf_id found[2] = {0};
    int64_t version;
    ck_assert_int_eq(hf_name(conn, "x", id, 0, &version), 0);
    ck_assert_int_eq(hf_name(conn, "x", id, 0, NULL), HF_ERR_CONFLICT);
    ck_assert_int_eq(hf_release(conn, id, 1, NULL), 0);
    ck_assert_int_eq(hf_lookup(other, "x", found), 0);
    ck_assert_int_eq(found[0], id);
    ck_assert_int_eq(hf_lookup_many(other, names, 2, found), 0);
    ck_assert_int_eq(found[1], id);
    ck_assert_int_eq(hf_lookup(other, "y", found), HF_ERR_NOTFOUND);
    ck_assert_int_eq(hf_lookup(other, NULL, found), HF_ERR_BADARG);
    ck_assert_int_eq(hf_unname(conn, "x", version + 1), HF_ERR_CONFLICT);
    ck_assert_int_eq(hf_unname(conn, "x", version), 0);
    ck_assert_int_eq(hf_release(other, id, 3, NULL), 0);
}
END_TEST

START_TEST(store_and_fetch)
{
    const struct hf_store_options once = {.tag = "t", .check_version = true, .if_version = 0};
    hf_reply *reply;
    int64_t first, second;
    hf_id id;
    ck_assert_int_eq(hf_store(conn, "k", hf_str("1", 1), &once, &id, &first), 0);
    ck_assert_int_eq(hf_store(conn, "k", hf_str("2", 1), &once, NULL, NULL), HF_ERR_CONFLICT);
    ck_assert_int_eq(hf_store(conn, "k", hf_str("3", 1), NULL, NULL, &second), 0);
    ck_assert_int_gt(second, first);
    ck_assert_int_eq(hf_fetch(other, "k", &reply), 0);
    expect_bytes(reply, "3");
    ck_assert_int_eq(hf_get(conn, id, &reply), HF_ERR_GONE);
    ck_assert_int_eq(hf_unname(conn, "k", HF_ANY_VERSION), 0);
    ck_assert_int_eq(hf_fetch(other, "k", &reply), HF_ERR_NOTFOUND);
}
END_TEST

START_TEST(all_names_and_objects_come_in_pages)
{
    enum { COUNT = 300 };
    uint64_t cursor = 0;
    size_t names = 0, ids = 0;
    hf_reply *reply;
    hf_batch_begin(conn);
    for (int i = 0; i < COUNT; i++) {
        char name[24];
        snprintf(name, sizeof name, "page-%d", i);
        hf_store(conn, name, hf_int(i), NULL, NULL, NULL);
    }
    ck_assert_int_eq(hf_batch_end(conn, NULL), 0);
    do {
        ck_assert_int_eq(hf_names(conn, cursor, "page-", 64, &reply), 0);
        ck_assert(hf_item_uint(hf_item_at(hf_reply_item(reply), 0), &cursor));
        names += hf_item_count(hf_item_at(hf_reply_item(reply), 1));
        hf_reply_free(reply);
    } while (cursor != 0);
    ck_assert_uint_ge(names, COUNT);
    do {
        const struct hf_scan_options options = {.limit = 64};
        ck_assert_int_eq(hf_scan(conn, cursor, &options, &reply), 0);
        ck_assert(hf_item_uint(hf_item_at(hf_reply_item(reply), 0), &cursor));
        ids += hf_item_count(hf_item_at(hf_reply_item(reply), 1));
        hf_reply_free(reply);
    } while (cursor != 0);
    ck_assert_uint_ge(ids, COUNT);
}
END_TEST

/* ---- Looking inside ---- */

START_TEST(inspect_and_holders)
{
    const struct hf_put_options options = {.tag = "t", .site = "s"};
    hf_reply *reply;
    hf_walk walk;
    hf_item row;
    size_t rows = 0;
    hf_id id;
    ck_assert_int_eq(hf_put(conn, hf_int(1), &options, &id), 0);
    ck_assert_int_eq(hf_retain(other, id, 2, NULL), 0);
    ck_assert_int_eq(hf_name(conn, "n", id, HF_ANY_VERSION, NULL), 0);
    ck_assert_int_eq(hf_inspect(conn, id, &reply), 0);
    ck_assert_uint_eq(number_at(hf_reply_item(reply), "id"), (uint64_t)id);
    ck_assert_uint_eq(number_at(hf_reply_item(reply), "count"), 4);
    ck_assert_uint_eq(number_at(hf_item_get(hf_reply_item(reply), "held_by"), "sessions"), 3);
    hf_reply_free(reply);
    ck_assert_int_eq(hf_holders(conn, id, 0, &reply), 0);
    walk = hf_walk_start(hf_reply_item(reply));
    while (hf_walk_next(&walk, NULL, &row))
        rows += hf_item_type(hf_item_get(row, "kind")) == HF_TYPE_STR;
    ck_assert_uint_eq(rows, 3);
    hf_reply_free(reply);
}
END_TEST

START_TEST(a_cycle_is_found_and_collected)
{
    const struct hf_gc_settings by_hand = {.enabled = HF_OFF};
    const struct hf_gc_options look = {.kind = "full", .dry_run = true, .explain = true};
    const struct hf_gc_options unknown = {.kind = "middling"};
    hf_reply *reply;
    hf_id pair[2] = {put_text("one"), put_text("two")};
    ck_assert_int_eq(hf_gc_config(conn, &by_hand, NULL), 0);
    ck_assert_int_eq(hf_link(conn, pair[0], 0, pair[1], NULL), 0);
    ck_assert_int_eq(hf_link(conn, pair[1], 0, pair[0], NULL), 0);
    ck_assert_int_eq(hf_release_many(conn, pair, 2, 1, NULL), 0);

    ck_assert_int_eq(hf_gc_collect(conn, &look, &reply), 0);
    hf_item cycles = hf_item_get(hf_reply_item(reply), "cycles");
    ck_assert_uint_eq(number_at(hf_reply_item(reply), "unreachable"), 2);
    ck_assert_uint_eq(number_at(hf_reply_item(reply), "collected"), 0);
    ck_assert_uint_eq(hf_item_count(cycles), 1);
    ck_assert_uint_eq(number_at(hf_item_at(cycles, 0), "objects"), 2);
    hf_reply_free(reply);

    ck_assert_int_eq(hf_gc_collect(conn, &unknown, NULL), HF_ERR_BADARG);
    ck_assert_int_eq(hf_gc_collect(conn, NULL, &reply), 0);
    ck_assert_uint_eq(number_at(hf_reply_item(reply), "collected"), 2);
    ck_assert_int_eq(hf_item_type(hf_item_get(hf_reply_item(reply), "cycles")), HF_TYPE_NONE);
    hf_reply_free(reply);
    ck_assert_int_eq(hf_inspect(conn, pair[0], &reply), HF_ERR_GONE);
}
END_TEST

START_TEST(the_collector_is_set)
{
    const struct hf_gc_settings off = {HF_OFF, 101, 102, 103, 104, 105, 106, 107}, on = {.enabled = HF_ON};
    const struct hf_gc_settings beyond = {.budget_us = 1};
    bool enabled = true;
    hf_reply *reply;
    ck_assert_int_eq(hf_gc_config(conn, &off, &reply), 0);
    hf_item_bool(hf_item_get(hf_reply_item(reply), "enabled"), &enabled);
    ck_assert(!enabled);
    hf_reply_free(reply);
    ck_assert_int_eq(hf_gc_config(conn, &beyond, NULL), HF_ERR_BADARG);
    ck_assert_int_eq(hf_gc_config(conn, &on, NULL), 0);
    ck_assert_int_eq(hf_gc_config(conn, NULL, &reply), 0);
    hf_item map = hf_reply_item(reply);
    hf_item_bool(hf_item_get(map, "enabled"), &enabled);
    ck_assert(enabled);
    ck_assert_uint_eq(number_at(map, "budget_us"), 101);
    ck_assert_uint_eq(number_at(map, "growth_percent"), 102);
    ck_assert_uint_eq(number_at(map, "objects_least"), 103);
    ck_assert_uint_eq(number_at(map, "bytes_least"), 104);
    ck_assert_uint_eq(number_at(map, "full_after_ms"), 105);
    ck_assert_uint_eq(number_at(map, "young_suspects"), 106);
    ck_assert_uint_eq(number_at(map, "young_after_ms"), 107);
    hf_reply_free(reply);
}
END_TEST

static bool is_file(hf_reply *reply, const char *name)
{
    const void *bytes;
    size_t size;
    bool found = hf_item_bytes(hf_item_get(hf_reply_item(reply), "file"), &bytes, &size);
    found = found && size == strlen(name) && memcmp(bytes, name, size) == 0;
    hf_reply_free(reply);
    return found;
}

START_TEST(a_pool_is_saved)
{
    struct live saving;
    hf_reply *reply;
    hf_conn *its, *witness;
    ck_assert_int_eq(hf_save(conn, NULL, &reply), HF_ERR_NOPERM);
    live_start_saves(&saving);
    live_open(&saving, &its, "its");
    live_open(&saving, &witness, "witness");
    ck_assert_int_eq(hf_save(its, "one", &reply), 0);
    ck_assert(is_file(reply, "one"));
    ck_assert_int_eq(hf_save(its, NULL, &reply), 0);
    ck_assert(is_file(reply, "default.save"));
    ck_assert_int_eq(hf_save(its, "../one", &reply), HF_ERR_BADARG);
    ck_assert_int_eq(hf_load(its, "one", NULL, &reply), HF_ERR_EXISTS);
    ck_assert_int_eq(hf_load(its, "none", "new", &reply), HF_ERR_NOTFOUND);
    ck_assert_int_eq(hf_load(its, "one", "new", &reply), 0);
    uint64_t objects;
    ck_assert(hf_item_uint(hf_item_get(hf_reply_item(reply), "objects"), &objects));
    hf_reply_free(reply);
    ck_assert_int_eq(hf_pool_drop(its, "new", false), 0);
    live_end(&saving, its, witness);
}
END_TEST

START_TEST(sessions_are_listed_and_killed)
{
    hf_reply *reply;
    int64_t dropped = 0;
    hf_id id = put_text("a");
    ck_assert_int_eq(hf_retain(other, id, 3, NULL), 0);
    ck_assert_int_eq(hf_sessions(conn, NULL, 0, &reply), 0);
    ck_assert_uint_eq(hf_item_count(hf_reply_item(reply)), 2);
    hf_reply_free(reply);
    ck_assert_int_eq(hf_kill(conn, hf_session(other)->sid, &dropped), 0);
    ck_assert_int_eq(dropped, 3);
    int code = hf_ping(other, NULL);
    ck_assert_msg(code == HF_ERR_UNKNOWN || code == HF_ERR_UNSENT, "%s", hf_error_word(code));
    ck_assert_msg(strstr(hf_last_error(other)->text, "EXPIRED") != NULL, "%s", hf_last_error(other)->text);
    ck_assert_ptr_null(hf_session(other));
    ck_assert_int_eq(hf_reconnect(other), HF_ERR_ARGUMENT);
    ck_assert_int_eq(hf_kill(conn, UINT32_MAX, NULL), HF_ERR_NOTFOUND);
}
END_TEST

START_TEST(pools_are_apart)
{
    const struct hf_hello_options options = {.pool = "second", .lease_ms = HF_NO_LEASE};
    hf_reply *reply;
    hf_conn *apart;
    hf_id id = put_text("a");
    ck_assert_int_eq(hf_pool_create(conn, "second", 32u << 20), 0);
    ck_assert_int_eq(hf_pool_create(conn, "second", 0), HF_ERR_EXISTS);
    ck_assert_int_eq(hf_connect(server.tcp_address, HF_NO_TIMEOUT, &apart), 0);
    ck_assert_int_eq(hf_hello(apart, &options), 0);
    ck_assert_str_eq(hf_session(apart)->pool, "second");
    ck_assert_int_eq(hf_get(apart, id, &reply), HF_ERR_GONE);
    ck_assert_int_eq(hf_pools(apart, &reply), 0);
    ck_assert_uint_eq(hf_item_count(hf_reply_item(reply)), 2);
    hf_reply_free(reply);
    ck_assert_int_eq(hf_pool_drop(conn, "second", false), HF_ERR_BUSY);
    ck_assert_int_eq(hf_pool_drop(conn, "second", true), 0);
    hf_close(apart);
}
END_TEST

START_TEST(the_daemon_about_itself)
{
    hf_reply *reply;
    int64_t time_ms = 0;
    ck_assert_int_eq(hf_ping(conn, &time_ms), 0);
    ck_assert_int_gt(time_ms, 1500000000000);
    ck_assert_int_eq(hf_methods(conn, &reply), 0);
    ck_assert_uint_gt(hf_item_count(hf_reply_item(reply)), 30);
    hf_reply_free(reply);
    ck_assert_int_eq(hf_stats(conn, "sessions", &reply), 0);
    ck_assert_uint_eq(number_at(hf_reply_item(reply), "open"), 2);
    hf_reply_free(reply);
    ck_assert_int_eq(hf_stats(conn, NULL, &reply), 0);
    ck_assert_int_eq(hf_item_type(hf_item_get(hf_reply_item(reply), "gc")), HF_TYPE_MAP);
    hf_reply_free(reply);
    ck_assert_int_eq(hf_call(conn, "nonsense", NULL, 0, &reply), HF_ERR_NOMETHOD);
    ck_assert_int_eq(hf_call(conn, "ping", NULL, 0, &reply), 0);
    hf_reply_free(reply);
}
END_TEST

/* ---- Batches ---- */

START_TEST(a_batch_of_many_kinds)
{
    enum { COUNT = 20000 };
    static hf_id ids[COUNT];
    static hf_reply *replies[COUNT];
    size_t failed;
    hf_batch_begin(conn);
    for (size_t i = 0; i < COUNT; i++)
        ck_assert_int_eq(hf_put(conn, hf_int((int64_t)i), NULL, &ids[i]), 0);
    ck_assert_int_eq(hf_batch_end(conn, &failed), 0);
    hf_batch_begin(conn);
    for (size_t i = 0; i < COUNT; i++)
        hf_release(conn, ids[i], i % 2 == 0 ? 1 : 2, NULL);
    ck_assert_int_eq(hf_batch_end(conn, &failed), HF_ERR_NOTHELD);
    ck_assert_uint_eq(failed, COUNT / 2);
    hf_batch_begin(conn);
    for (size_t i = 0; i < COUNT; i++)
        hf_get(conn, ids[i], &replies[i]);
    ck_assert_int_eq(hf_batch_end(conn, &failed), HF_ERR_GONE);
    ck_assert_uint_eq(failed, COUNT / 2);
    for (size_t i = 0; i < COUNT; i++) {
        int64_t number = 0;
        ck_assert_int_eq(hf_batch_error(conn, i)->code, i % 2 == 0 ? HF_ERR_GONE : 0);
        ck_assert(hf_item_int(hf_reply_item(replies[i]), &number) == (i % 2 != 0));
        ck_assert_int_eq(number, i % 2 != 0 ? (int64_t)i : 0);
        hf_reply_free(replies[i]);
    }
}
END_TEST

/* Far more in both directions than any socket holds: sender and receiver must not wait for each other. */
START_TEST(a_batch_of_large_values)
{
    enum { COUNT = 40, SIZE = 1 << 20 };
    hf_reply *replies[COUNT];
    hf_id ids[COUNT];
    char *large = malloc(SIZE);
    ck_assert_ptr_nonnull(large);
    memset(large, 'l', SIZE);
    hf_batch_begin(conn);
    for (int i = 0; i < COUNT; i++)
        hf_put(conn, hf_bin(large, SIZE), NULL, &ids[i]);
    ck_assert_int_eq(hf_batch_end(conn, NULL), 0);
    hf_batch_begin(conn);
    for (int i = 0; i < COUNT; i++) {
        hf_get(conn, ids[i], &replies[i]);
        hf_set(conn, ids[i], hf_bin(large, SIZE), HF_ANY_VERSION, NULL);
    }
    ck_assert_int_eq(hf_batch_end(conn, NULL), 0);
    for (int i = 0; i < COUNT; i++) {
        ck_assert_uint_eq(hf_reply_item(replies[i]).size, SIZE + 5);
        hf_reply_free(replies[i]);
    }
    free(large);
}
END_TEST

/* ---- Broken connections ---- */

START_TEST(a_session_survives_its_connection)
{
    hf_reply *reply;
    hf_id id = put_text("kept");
    uint64_t sid = hf_session(conn)->sid;
    /* As a router would: the stream ends in both directions without a word. */
    ck_assert_int_eq(shutdown(hf_fd(conn), SHUT_RDWR), 0);
    int64_t count;
    ck_assert_int_eq(hf_retain(conn, id, 1, &count), 0); /* it connects again by itself */
    ck_assert_int_eq(count, 2);
    ck_assert_int_eq(hf_release(conn, id, 1, NULL), 0);
    ck_assert_uint_eq(hf_session(conn)->sid, sid);
    ck_assert_uint_ge(hf_session(conn)->held, 1);
    ck_assert_int_eq(hf_get(conn, id, &reply), 0);
    expect_bytes(reply, "kept");
    ck_assert_int_eq(hf_release(conn, id, 1, NULL), 0);
}
END_TEST

START_TEST(a_newcomer_with_the_key_wins)
{
    hf_conn *newcomer;
    hf_id id = put_text("mine");
    const struct hf_hello_options options = {.session = hf_session(conn)->key, .lease_ms = 60000};
    ck_assert_int_eq(hf_connect(server.tcp_address, HF_NO_TIMEOUT, &newcomer), 0);
    ck_assert_int_eq(hf_hello(newcomer, &options), 0);
    ck_assert_uint_eq(hf_session(newcomer)->sid, hf_session(conn)->sid);
    ck_assert_int_eq(hf_release(newcomer, id, 1, NULL), 0);
    ck_assert_int_eq(hf_ping(conn, NULL), 0); /* it takes the session back */
    int code = hf_ping(newcomer, NULL);
    ck_assert_msg(code == HF_ERR_UNKNOWN || code == HF_ERR_UNSENT, "%s", hf_error_word(code));
    hf_close(newcomer);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client and daemon");
    TCase *values = suite_case(suite, "values", setup, teardown);
    tcase_add_test(values, values_of_every_type_come_back);
    tcase_add_test(values, a_value_of_the_largest_size_and_one_above);
    tcase_add_test(values, set_only_at_a_version);
    tcase_add_test(values, an_open_object_is_filled_and_sealed);
    tcase_add_test(values, a_graph_is_put_at_once_and_read_back);
    tcase_add_test(values, an_error_names_the_bad_element);
    TCase *references = suite_case(suite, "references", setup, teardown);
    tcase_add_test(references, counts_of_retain_and_release);
    tcase_add_test(references, a_ticket_hands_an_object_over);
    TCase *names = suite_case(suite, "names", setup, teardown);
    tcase_add_test(names, names_bind_and_keep);
    tcase_add_test(names, store_and_fetch);
    tcase_add_test(names, all_names_and_objects_come_in_pages);
    TCase *inside = suite_case(suite, "inside", setup, teardown);
    tcase_add_test(inside, inspect_and_holders);
    tcase_add_test(inside, a_cycle_is_found_and_collected);
    tcase_add_test(inside, the_collector_is_set);
    tcase_add_test(inside, a_pool_is_saved);
    tcase_add_test(inside, sessions_are_listed_and_killed);
    tcase_add_test(inside, pools_are_apart);
    tcase_add_test(inside, the_daemon_about_itself);
    TCase *batches = suite_case(suite, "batches", setup, teardown);
    tcase_add_test(batches, a_batch_of_many_kinds);
    tcase_add_test(batches, a_batch_of_large_values);
    TCase *broken = suite_case(suite, "broken", setup, teardown);
    tcase_add_test(broken, a_session_survives_its_connection);
    tcase_add_test(broken, a_newcomer_with_the_key_wins);
    return suite_run(suite);
}
