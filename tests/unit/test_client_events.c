/* SPDX-License-Identifier: BSD-3-Clause */
/* Events that a client has not taken yet: order, what comes twice, what there is no room for. */
#include "client/lib/events.h"
#include "proto/mp.h"
#include "tests/lib/suite.h"

#include <string.h>

static struct hf__events events;

static void setup(void)
{
    memset(&events, 0, sizeof events);
}

static void teardown(void)
{
    hf__events_done(&events);
    ck_assert(!hf__events_any(&events));
}

/* [seq, topic, {...}], a map of the given pairs as MessagePack. */
static bool add(uint64_t seq, const char *topic, const void *map, size_t size)
{
    uint8_t params[512], *end = hfp_put_array_head(params, 3);
    end = hfp_put_text(hfp_put_uint(end, seq), topic);
    memcpy(end, map, size);
    return hf__events_add(&events, (hf_item){params, (size_t)(end - params) + size});
}

static bool add_freed(uint64_t seq, uint64_t id)
{
    uint8_t map[64], *end = hfp_put_map_head(map, 2);
    end = hfp_put_uint(hfp_put_text(end, "id"), id);
    end = hfp_put_text(hfp_put_text(end, "reason"), "release");
    return add(seq, "freed", map, (size_t)(end - map));
}

static bool add_gc(uint64_t seq)
{
    return add(seq, "gc", "\x80", 1);
}

static bool add_gap(uint64_t seq, const char *of)
{
    uint8_t map[64], *end = hfp_put_map_head(map, 1);
    end = hfp_put_text(hfp_put_text(end, "of"), of);
    return add(seq, "gap", map, (size_t)(end - map));
}

static void expect(uint64_t seq, const char *topic, hf_id id)
{
    struct hf_event event;
    ck_assert(hf__events_take(&events, &event));
    ck_assert_str_eq(event.topic, topic);
    ck_assert_uint_eq(event.seq, seq);
    ck_assert_int_eq(event.id, id);
    ck_assert_int_eq(hf_item_type(event.map), HF_TYPE_MAP);
}

static void expect_gap(const char *of, uint64_t from, uint64_t to)
{
    struct hf_event event;
    const void *text;
    uint64_t number;
    size_t size;
    ck_assert(hf__events_take(&events, &event));
    ck_assert_str_eq(event.topic, "gap");
    ck_assert_uint_eq(event.seq, to);
    ck_assert(hf_item_bytes(hf_item_get(event.map, "of"), &text, &size));
    ck_assert(size == strlen(of) && memcmp(text, of, size) == 0);
    ck_assert(hf_item_uint(hf_item_get(event.map, "from"), &number) && number == from);
    ck_assert(hf_item_uint(hf_item_get(event.map, "to"), &number) && number == to);
}

static void expect_nothing(void)
{
    struct hf_event event;
    ck_assert(!hf__events_any(&events));
    ck_assert(!hf__events_take(&events, &event));
}

START_TEST(what_an_event_tells)
{
    struct hf_event event;
    ck_assert(add_freed(7, 1ull << 40));
    ck_assert(hf__events_take(&events, &event));
    ck_assert_uint_eq(event.seq, 7);
    ck_assert_str_eq(event.topic, "freed");
    ck_assert_str_eq(event.reason, "release");
    ck_assert_int_eq(event.id, 1ll << 40);
    ck_assert_uint_eq(hf_item_count(event.map), 2);
    ck_assert(add_gc(1));
    ck_assert(hf__events_take(&events, &event));
    ck_assert_ptr_null(event.reason);
    ck_assert_int_eq(event.id, 0);
    expect_nothing();
}
END_TEST

START_TEST(they_are_taken_in_their_order)
{
    for (uint64_t k = 1; k <= 100; k++) {
        ck_assert(add_freed(k, k));
        ck_assert(add_gc(k));
    }
    for (uint64_t k = 1; k <= 100; k++) {
        expect(k, "freed", (hf_id)k);
        expect(k, "gc", 0);
    }
    expect_nothing();
}
END_TEST

START_TEST(what_comes_twice_is_given_once)
{
    ck_assert(add_freed(1, 1));
    ck_assert(add_freed(2, 2));
    expect(1, "freed", 1);
    ck_assert(add_freed(1, 1)); /* sent again after a reconnection */
    ck_assert(add_freed(2, 2));
    ck_assert(add_freed(3, 3));
    ck_assert(add_gap(3, "session")); /* of the same numbers */
    ck_assert(add_gap(3, "ring"));    /* of others */
    ck_assert(add_gc(3));
    ck_assert(add_gc(4));
    expect(2, "freed", 2);
    expect(3, "freed", 3);
    expect(3, "gap", 0);
    expect(4, "gc", 0);
    expect_nothing();
}
END_TEST

START_TEST(a_new_session_begins_anew)
{
    ck_assert(add_freed(5, 1));
    ck_assert(add_gc(5));
    hf__events_forget(&events, HF__SESSION);
    ck_assert(add_freed(1, 2));
    ck_assert(add_gc(1));
    hf__events_forget(&events, HF__RING);
    ck_assert(add_gc(1));
    expect(5, "freed", 1);
    expect(5, "gc", 0);
    expect(1, "freed", 2);
    expect(1, "gc", 0);
    expect_nothing();
}
END_TEST

START_TEST(what_there_is_no_room_for_is_a_gap)
{
    uint64_t kept = HF__EVENTS_MAX;
    for (uint64_t k = 1; k <= kept; k++)
        ck_assert(add_freed(k, k));
    for (uint64_t k = 1; k <= 10; k++) {
        ck_assert(add_freed(kept + k, k));
        ck_assert(add_gc(k));
    }
    expect(1, "freed", 1);
    ck_assert(add_freed(kept + 11, 1)); /* there would be room again, but a gap is owed before it */
    for (uint64_t k = 2; k <= kept; k++)
        expect(k, "freed", (hf_id)k);
    expect_gap("session", kept + 1, kept + 11);
    ck_assert(add_gc(11)); /* so is one of the ring */
    expect_gap("ring", 1, 11);
    ck_assert(add_freed(kept + 12, 5));
    expect(kept + 12, "freed", 5);
    expect_nothing();
}
END_TEST

START_TEST(large_ones_take_more_room)
{
    static uint8_t map[300];
    uint8_t *end = hfp_put_text(hfp_put_map_head(map, 1), "k");
    end = hfp_put_str_head(end, 200);
    end += 200;
    uint64_t k = 1;
    for (; events.count == k - 1; k++) {
        ck_assert_uint_lt(k, HF__EVENTS_MAX);
        ck_assert(add(k, "names", map, (size_t)(end - map)));
    }
    ck_assert_uint_lt(events.bytes, HF__EVENTS_BYTES + 1024);
    ck_assert_uint_gt(k, HF__EVENTS_BYTES / 512);
}
END_TEST

START_TEST(what_is_no_event)
{
    static const struct {
        const char *bytes;
        size_t size;
    } others[] = {{"\x93\x01\xa1x\xc0", 5}, {"\x92\x01\xa1x", 4},         {"\x93\xa1x\xa1x\x80", 6},
                  {"\x93\x01\x02\x80", 4},  {"\x94\x01\xa1x\x80\xc0", 6}, {"\x80", 1},
                  {"\x93\xff\xa1x\x80", 5}};
    for (size_t k = 0; k < sizeof others / sizeof others[0]; k++)
        ck_assert(
            !hf__events_add(&events, (hf_item){(const unsigned char *)others[k].bytes, others[k].size}));
    ck_assert(add(1, "", "\x80", 1)); /* a topic that this version does not know */
    expect(1, "", 0);
    expect_nothing();
}
END_TEST

START_TEST(subscriptions_are_remembered_with_their_place)
{
    events.place = 8; /* as the daemon told */
    ck_assert(hf__topics_add(&events, "gc", "", 0));
    ck_assert(hf__topics_add(&events, "names", "x", 7));
    ck_assert(hf__topics_add(&events, "gc", "end", 0));
    ck_assert_str_eq(events.topics->name, "gc");
    ck_assert_str_eq(events.topics->prefix, "end");
    ck_assert_str_eq(events.topics->next->name, "names");
    ck_assert_uint_eq(events.topics->next->rate, 7);
    ck_assert_str_eq(events.topics->next->prefix, "x");
    ck_assert_ptr_null(events.topics->next->next);
    ck_assert_uint_eq(hf__events_place(&events), 8);
    ck_assert(add_gc(10));
    ck_assert(add_gap(12, "ring"));
    ck_assert(add_gap(500, "session"));
    ck_assert_uint_eq(hf__events_place(&events), 13);
    hf__topics_remove(&events, "names");
    hf__topics_remove(&events, "nobody");
    ck_assert_uint_eq(events.place, 8);
    hf__topics_remove(&events, "gc");
    ck_assert_uint_eq(events.place, 0); /* the next subscription begins somewhere else */
    expect(10, "gc", 0);
    expect(12, "gap", 0);
    expect(500, "gap", 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client events");
    TCase *tcase = suite_case(suite, "events", setup, teardown);
    tcase_add_test(tcase, what_an_event_tells);
    tcase_add_test(tcase, they_are_taken_in_their_order);
    tcase_add_test(tcase, what_comes_twice_is_given_once);
    tcase_add_test(tcase, a_new_session_begins_anew);
    tcase_add_test(tcase, what_there_is_no_room_for_is_a_gap);
    tcase_add_test(tcase, large_ones_take_more_room);
    tcase_add_test(tcase, what_is_no_event);
    tcase_add_test(tcase, subscriptions_are_remembered_with_their_place);
    return suite_run(suite);
}
