/* SPDX-License-Identifier: BSD-3-Clause */
/* Replay windows of a pool: what is recorded with what was done, what is found again and what is not, over deaths. */
#include "daemon/pool/internal.h"
#include "tests/lib/pool_fixture.h"
#include "tests/lib/suite.h"

#include <fcntl.h>
#include <string.h>

#define VALID (REPLAY_SLOTS - 1)

static struct fixture fx;
static struct session *s;
static struct replay_answer answer;

static void setup(void)
{
    fixture_open(&fx);
    fx.replay = true;
    s = fixture_session(&fx, 3, FIXTURE_LEASE_MS, &fx.owner_a);
}

static void teardown(void)
{
    drain(&fx);
    verify_ok(&fx);
    fixture_close(&fx);
}

static uint64_t hash_of(uint32_t msgid)
{
    return msgid + 1000ull;
}

static void begin(uint32_t msgid)
{
    pool_replay_begin(fx.pool, s, msgid, hash_of(msgid));
}

static void end(void)
{
    ck_assert(!pool_replay_open(fx.pool)); /* it was recorded */
    pool_replay_end(fx.pool);
}

/* A request that puts something. */
static uint64_t put(uint32_t msgid)
{
    begin(msgid);
    uint64_t id = put_leaf(&fx, s);
    end();
    return id;
}

static bool found_from(struct replay_match *match, uint32_t msgid)
{
    return pool_replay_find(fx.pool, s, match, msgid, hash_of(msgid), &answer);
}

/* By a connection that just resumed. */
static bool found(uint32_t msgid)
{
    return found_from(&(struct replay_match){0}, msgid);
}

static uint64_t blocks_live(void)
{
    return fx.pool->heap.lists.live_bytes;
}

/* The process dies; its image is recovered and the session resumed. */
static void die(void)
{
    const struct heap *heap = &fx.pool->heap;
    uint8_t key[HF_KEY_SIZE];
    char error[200];
    struct pool_config config = {.name = "again",
                                 .max_bytes = 1u << 30,
                                 .now_ms = fx.now_ms,
                                 .lease_ms = fx.lease_ms,
                                 .fd_meta = fcntl(heap->meta.fd, F_DUPFD_CLOEXEC, 0),
                                 .fd_values = fcntl(heap->values.fd, F_DUPFD_CLOEXEC, 0)};
    pool_close(fx.pool);
    ck_assert_msg(pool_open(&fx.pool, &config, error, sizeof error) == 0, "%s", error);
    fixture_key(3, key);
    s = pool_session_by_key(fx.pool, key);
    ck_assert(s != NULL && session_replays(s));
    pool_session_attach(fx.pool, s, &fx.owner_a);
}

/* ---- what is found ---- */

START_TEST(nothing_is_in_a_fresh_window)
{
    ck_assert(session_replays(s));
    ck_assert(!session_replays(fx.a));
    ck_assert(!found(0));
}
END_TEST

START_TEST(what_was_done_is_found_with_its_result)
{
    uint64_t id = put(7);
    ck_assert(found(7));
    ck_assert_int_eq(answer.kind, REPLAY_UINT);
    ck_assert_uint_eq(answer.words[0], id);
}
END_TEST

START_TEST(msgid_and_hash_must_both_be_the_same)
{
    struct replay_match match = {0};
    (void)put(7);
    ck_assert(!pool_replay_find(fx.pool, s, &match, 7, hash_of(8), &answer));
    ck_assert(!pool_replay_find(fx.pool, s, &match, 8, hash_of(7), &answer));
    ck_assert(pool_replay_find(fx.pool, s, &match, 7, hash_of(7), &answer));
}
END_TEST

/* In the old order, without a gap. */
START_TEST(each_that_follows_must_be_the_next_one)
{
    struct replay_match match = {0}, other = {0};
    for (uint32_t k = 0; k < 5; k++)
        (void)put(k);
    for (uint32_t k = 2; k < 5; k++)
        ck_assert(found_from(&match, k));
    ck_assert(!found_from(&match, 5));
    ck_assert(found_from(&other, 1));
    ck_assert(!found_from(&other, 3));
    ck_assert(!found_from(&other, 1));
}
END_TEST

START_TEST(all_but_the_scratch_slot_are_valid)
{
    for (uint32_t k = 0; k < 3 * REPLAY_SLOTS; k++) {
        (void)put(k);
        ck_assert(found(k));
        ck_assert(k < VALID - 1 || found(k - (VALID - 1)));
        ck_assert(k < VALID || !found(k - VALID));
    }
    struct replay_match match = {0};
    for (uint32_t k = 3 * REPLAY_SLOTS - VALID; k < 3 * REPLAY_SLOTS; k++)
        ck_assert(found_from(&match, k));
}
END_TEST

/* What stands in the scratch slot was valid once, and may be half of another record. */
START_TEST(the_scratch_slot_is_never_an_answer)
{
    struct cell_window *window = cell_at(&fx.pool->heap, s->window);
    for (uint32_t k = 0; k < REPLAY_SLOTS; k++)
        (void)put(k);
    ck_assert_uint_eq(window_at(window, window->head)->msgid, 0);
    ck_assert(!found(0));
    window_at(window, window->head)->msgid = 500;
    window_at(window, window->head)->hash = hash_of(500);
    ck_assert(!found(500));
}
END_TEST

START_TEST(msgids_go_around)
{
    uint32_t first = UINT32_MAX - 3;
    struct replay_match match = {0};
    for (uint32_t k = 0; k < 8; k++)
        (void)put(first + k);
    for (uint32_t k = 0; k < 8; k++)
        ck_assert(found_from(&match, first + k));
}
END_TEST

/* ---- what is recorded ---- */

START_TEST(errors_are_recorded_once)
{
    uint64_t count, gone = put(1);
    (void)release_one(&fx, s, gone);
    begin(2);
    ck_assert_int_eq(pool_retain(fx.pool, s, &gone, 1, 1, NULL, 0, &count), -HF_E_GONE);
    ck_assert(pool_replay_open(fx.pool));
    pool_replay_note_error(fx.pool, HF_E_GONE);
    pool_replay_note_error(fx.pool, HF_E_OOM);
    end();
    ck_assert(found(2));
    ck_assert_int_eq(answer.kind, REPLAY_ERROR);
    ck_assert_uint_eq(answer.count, HF_E_GONE);
    ck_assert(!found(3));
}
END_TEST

START_TEST(what_is_not_a_request_is_not_recorded)
{
    (void)put(1);
    (void)put_leaf(&fx, s);
    (void)put_leaf(&fx, fx.a);
    struct replay_match match = {0};
    ck_assert(found_from(&match, 1));
    ck_assert_uint_eq(((const struct cell_window *)cell_at(&fx.pool->heap, s->window))->head, 1);
}
END_TEST

/* A ticket that ends, a guard that is delivered: these have commits of their own within a request. */
START_TEST(what_happens_besides_is_not_the_answer)
{
    uint8_t key[HF_KEY_SIZE];
    uint64_t id = put_leaf(&fx, fx.a), count;
    ck_assert_int_eq(pool_guard(fx.pool, fx.b, id), 0);
    ck_assert_int_eq(pool_retain(fx.pool, s, &id, 1, 1, NULL, 0, &count), 0);
    (void)release_one(&fx, fx.a, id);
    ck_assert_int_eq(pool_share(fx.pool, s, id, 10, 1, key), 0);
    pass_ms(&fx, 20);
    begin(1);
    (void)pool_step(fx.pool, 100); /* as a request does that makes room */
    ck_assert(pool_replay_open(fx.pool));
    ck_assert_int_eq(pool_release(fx.pool, s, &id, 1, 1, &count), 0);
    end();
    ck_assert(found(1));
    ck_assert_int_eq(answer.kind, REPLAY_UINTS);
    ck_assert_uint_eq(answer.words[0], 0);
    ck_assert(!is_gone(&fx, id)); /* the guard is a hold by now */
}
END_TEST

/* ---- long answers ---- */

static void put_many(uint32_t msgid, uint32_t count, uint64_t *ids)
{
    struct put_spec specs[HF_IDS_MAX] = {0};
    for (uint32_t k = 0; k < count; k++)
        specs[k].value = bytes_in("x", 1);
    begin(msgid);
    pool_replay_shape(fx.pool, REPLAY_ARRAY);
    ck_assert_int_eq(pool_put_many(fx.pool, s, specs, count, ids), 0);
    end();
}

START_TEST(answers_of_any_length)
{
    static const uint32_t counts[] = {1, 2, 3, 4, 5, 8, 9, 100, 512, 513, 1023, HF_IDS_MAX};
    static uint64_t ids[HF_IDS_MAX];
    for (unsigned k = 0; k < sizeof counts / sizeof counts[0]; k++) {
        put_many(k, counts[k], ids);
        ck_assert(found(k));
        ck_assert_int_eq(answer.kind, REPLAY_UINTS);
        ck_assert_int_eq(answer.shape, REPLAY_ARRAY);
        ck_assert_uint_eq(answer.count, counts[k]);
        ck_assert_mem_eq(answer.words, ids, counts[k] * 8);
    }
    uint64_t live = blocks_live();
    ck_assert_uint_gt(live, 0);
    die();
    ck_assert_uint_eq(blocks_live(), live);
    ck_assert(found(11));
    ck_assert_mem_eq(answer.words, ids, sizeof ids);
}
END_TEST

START_TEST(pairs_of_a_long_lookup)
{
    static struct name_in names[HF_IDS_MAX];
    static uint64_t ids[HF_IDS_MAX], versions[HF_IDS_MAX];
    (void)bind_name(&fx, "n", put_leaf(&fx, fx.a));
    for (uint32_t k = 0; k < HF_IDS_MAX; k++)
        names[k] = name_of("n");
    begin(1);
    ck_assert_int_eq(pool_lookup(fx.pool, s, names, HF_IDS_MAX, ids, versions), 0);
    end();
    die();
    ck_assert(found(1));
    ck_assert_int_eq(answer.kind, REPLAY_PAIRS);
    ck_assert_uint_eq(answer.count, HF_IDS_MAX);
    for (uint32_t k = 0; k < HF_IDS_MAX; k++)
        ck_assert(answer.words[2 * k] == ids[k] && answer.words[2 * k + 1] == versions[k]);
}
END_TEST

START_TEST(blocks_go_back_when_their_answers_are_over)
{
    static uint64_t ids[HF_IDS_MAX];
    for (uint32_t k = 0; k < VALID; k++)
        put_many(k, 100, ids);
    uint64_t full = blocks_live();
    for (uint32_t k = VALID; k < 3 * REPLAY_SLOTS; k++)
        put_many(k, 100, ids);
    ck_assert_uint_eq(blocks_live(), full);
    for (uint32_t k = 0; k < VALID; k++)
        (void)put(k);
    ck_assert_uint_eq(blocks_live(), 0);
}
END_TEST

/* Nothing was done, so there is nothing to be answered at length. */
START_TEST(a_list_that_fails_needs_no_block)
{
    uint64_t ids[4] = {put(1), put(2), put(3), 12345}, counts[4];
    begin(4);
    ck_assert_int_eq(pool_retain(fx.pool, s, ids, 4, 1, NULL, 0, counts), -HF_E_GONE);
    pool_replay_note_error(fx.pool, HF_E_GONE);
    end();
    ck_assert_uint_eq(blocks_live(), 0);
    ck_assert(found(4));
    ck_assert_int_eq(answer.kind, REPLAY_ERROR);
}
END_TEST

/* Objects of which the session holds so many that the counts left are all different: that answer does not pack. */
#define UNEVEN 40u
static void hold_unevenly(uint64_t *ids)
{
    uint64_t count;
    for (uint32_t k = 0; k < UNEVEN; k++) {
        ids[k] = put(k);
        if (k > 0)
            ck_assert_int_eq(pool_retain(fx.pool, s, &ids[k], 1, k, NULL, 0, &count), 0);
    }
}

static void release_unevenly(uint32_t msgid, const uint64_t *ids)
{
    uint64_t counts[UNEVEN];
    begin(msgid);
    pool_replay_shape(fx.pool, REPLAY_ARRAY);
    ck_assert_int_eq(pool_release(fx.pool, s, ids, UNEVEN, 1, counts), 0);
    end();
    for (uint32_t k = 0; k < UNEVEN; k++)
        ck_assert_uint_eq(counts[k], k);
    ck_assert(found(msgid));
    ck_assert_int_eq(answer.kind, REPLAY_UINTS);
    ck_assert_mem_eq(answer.words, counts, sizeof counts);
}

/* The file can have no more. */
static void no_growth(void)
{
    fx.grow.fail_at = fx.grow.calls + 1;
    fx.grow.fail_count = 1000;
}

START_TEST(no_room_for_the_answer_is_found_before_anything_is_done)
{
    uint64_t ids[UNEVEN], counts[UNEVEN];
    hold_unevenly(ids);
    begin(UNEVEN);
    no_growth();
    ck_assert_int_eq(pool_release(fx.pool, s, ids, UNEVEN, 1, counts), -HF_E_OOM);
    fx.grow.fail_at = 0;
    pool_replay_note_error(fx.pool, HF_E_OOM);
    end();
    for (uint32_t k = 0; k < UNEVEN; k++)
        ck_assert_uint_eq(retain_one(&fx, s, ids[k]), k + 2);
    for (uint32_t k = 0; k < UNEVEN; k++)
        (void)release_one(&fx, s, ids[k]);
    release_unevenly(UNEVEN + 1, ids);
}
END_TEST

/* What a release is answered mostly is the same few numbers again and again: this needs no block. */
START_TEST(a_release_in_a_full_pool_is_recorded_in_runs)
{
    static uint64_t ids[HF_IDS_MAX], counts[HF_IDS_MAX];
    put_many(1, HF_IDS_MAX, ids);
    for (uint32_t k = 100; k < 200; k++)
        (void)retain_one(&fx, s, ids[k]);
    uint64_t live = blocks_live();
    begin(2);
    pool_replay_shape(fx.pool, REPLAY_ARRAY);
    no_growth();
    ck_assert_int_eq(pool_release(fx.pool, s, ids, HF_IDS_MAX, 1, counts), 0);
    fx.grow.fail_at = 0;
    end();
    ck_assert_uint_eq(blocks_live(), live);
    die();
    ck_assert(found(2));
    ck_assert_int_eq(answer.kind, REPLAY_RUNS);
    ck_assert_int_eq(answer.shape, REPLAY_ARRAY);
    ck_assert_uint_eq(answer.count, HF_IDS_MAX);
    struct replay_runs runs = {0};
    uint32_t k = 0;
    while (replay_next_run(&answer, &runs))
        for (uint64_t n = 0; n < runs.length; n++)
            ck_assert_uint_eq(runs.number, counts[k++]);
    ck_assert_uint_eq(k, HF_IDS_MAX);
    ck_assert(is_gone(&fx, ids[99]) && !is_gone(&fx, ids[100]));
}
END_TEST

/* Until not one object more fits. */
static void fill_up(void)
{
    const struct put_spec spec = {.value = bytes_in("0123456789", 10)};
    uint64_t id;
    mem_set_limit(pool_mem(fx.pool), pool_mem(fx.pool)->used);
    while (pool_put(fx.pool, fx.a, &spec, &id) == 0)
        continue;
    ck_assert_int_eq(pool_fault(fx.pool)->code, HF_E_OOM);
}

START_TEST(a_release_in_a_full_pool_is_recorded_whatever_it_is_answered)
{
    uint64_t ids[UNEVEN];
    hold_unevenly(ids);
    fill_up();
    uint64_t limit = mem_limit(pool_mem(fx.pool));
    ck_assert_uint_eq(mem_left(pool_mem(fx.pool)), 0);
    release_unevenly(UNEVEN + 1, ids);
    ck_assert_uint_gt(pool_mem(fx.pool)->used, limit);
    ck_assert_uint_le(pool_mem(fx.pool)->used, limit + ANSWERS_OVER);
    fill_up();
    mem_set_limit(pool_mem(fx.pool), 1u << 30);
    ck_assert(found(UNEVEN + 1));
}
END_TEST

START_TEST(a_release_that_fails_records_its_error_in_a_full_pool)
{
    uint64_t ids[3] = {put(0), put(1), put_leaf(&fx, fx.a)}, counts[3];
    begin(3);
    no_growth();
    ck_assert_int_eq(pool_release(fx.pool, s, ids, 3, 1, counts), -HF_E_NOTHELD);
    ck_assert_int_eq(pool_fault(fx.pool)->index, 2);
    fx.grow.fail_at = 0;
    pool_replay_note_error(fx.pool, HF_E_NOTHELD);
    end();
    ck_assert(found(3) && answer.kind == REPLAY_ERROR);
    ck_assert(!is_gone(&fx, ids[0]));
}
END_TEST

START_TEST(runs_of_numbers)
{
    static const uint64_t sets[][9] = {
        {0, 0, 0}, {1, 2, 3, 4, 5, 6, 7, 8}, {127, 128, 127, 128}, {HF_COUNT_MAX, HF_COUNT_MAX, 0, 1}};
    static const uint32_t counts[] = {3, 8, 4, 4};
    uint64_t words[2], number, k;
    for (unsigned set = 0; set < sizeof counts / sizeof *counts; set++) {
        uint32_t at = 0;
        ck_assert(runs_pack(sets[set], counts[set], words));
        for (k = 0; k < counts[set];)
            for (uint64_t length = runs_next(words, &at, &number); length > 0; length--)
                ck_assert_uint_eq(number, sets[set][k++]);
        ck_assert_uint_eq(k, counts[set]);
    }
    ck_assert(!runs_pack((const uint64_t[]){1, 2, 3, 4, 5, 6, 7, 8, 9}, 9, words));
    ck_assert(!runs_pack((const uint64_t[]){HF_COUNT_MAX, 0, HF_COUNT_MAX, 1, HF_COUNT_MAX}, 5, words));
}
END_TEST

/* ---- over a death ---- */

START_TEST(the_window_survives_a_death)
{
    for (uint32_t k = 0; k < 100; k++)
        (void)put(k);
    die();
    struct replay_match match = {0};
    for (uint32_t k = 100 - VALID; k < 100; k++)
        ck_assert(found_from(&match, k));
    ck_assert(!found_from(&match, 100));
    (void)put(100);
    ck_assert(found(100));
}
END_TEST

/* The process died in the commit: effect and record go together. */
START_TEST(half_an_operation_is_neither_done_nor_recorded)
{
    struct heap *heap = &fx.pool->heap;
    uint64_t objects = stats_of(&fx).objects;
    begin(1);
    uint64_t id = put_leaf(&fx, s);
    end();
    /* as if the commit had not come: what it stored is in the log still */
    heap->log->n = 2;
    die();
    ck_assert(!found(1));
    ck_assert(is_gone(&fx, id));
    ck_assert_uint_eq(stats_of(&fx).objects, objects);
}
END_TEST

START_TEST(a_window_ends_with_its_session)
{
    static uint64_t ids[HF_IDS_MAX];
    put_many(1, 500, ids);
    ck_assert_uint_gt(blocks_live(), 0);
    pool_session_end(fx.pool, s, REASON_KILL);
    drain(&fx);
    ck_assert_uint_eq(blocks_live(), 0);
    s = fixture_session(&fx, 4, FIXTURE_LEASE_MS, &fx.owner_a);
    ck_assert(!found(1));
    put_many(1, 500, ids);
    pool_session_end(fx.pool, s, REASON_KILL); /* and dies in the middle of its end */
    s = fixture_session(&fx, 3, FIXTURE_LEASE_MS, &fx.owner_a);
    die();
    ck_assert_uint_eq(blocks_live(), 0);
}
END_TEST

static void damage(void (*change)(struct cell_window *window), const char *word)
{
    struct heap *heap = &fx.pool->heap;
    struct cell_window *window = cell_at(heap, s->window), kept = *window;
    struct pool *look;
    char error[200] = "";
    struct pool_config config = {.name = "look",
                                 .max_bytes = 1u << 30,
                                 .now_ms = fx.now_ms,
                                 .fd_meta = heap->meta.fd,
                                 .fd_values = heap->values.fd,
                                 .look_only = true};
    change(window);
    ck_assert_int_ne(pool_open(&look, &config, error, sizeof error), 0);
    ck_assert_msg(strstr(error, word) != NULL, "%s", error);
    *window = kept;
}

static void no_kind(struct cell_window *window)
{
    window->record[1].kind = REPLAY_KINDS;
}

static void no_session(struct cell_window *window)
{
    window->session++;
}

static void no_code(struct cell_window *window)
{
    window->record[0].kind = REPLAY_ERROR;
    window->record[0].count = 0;
}

static void no_block(struct cell_window *window)
{
    window->record[1].word[0] = 8;
}

static void beyond(struct cell_window *window)
{
    window->record[1].word[0] = UINT64_MAX - 7;
}

static void too_long(struct cell_window *window)
{
    window->record[1].count = UINT16_MAX;
}

static void no_runs(struct cell_window *window)
{
    window->record[1].kind = REPLAY_RUNS;
    window->record[1].word[0] = 5; /* of five, and there are ten */
    window->record[1].word[1] = 0;
}

static void runs_too_long(struct cell_window *window)
{
    window->record[1].kind = REPLAY_RUNS;
    window->record[1].word[0] = 11;
}

static void runs_without_end(struct cell_window *window)
{
    window->record[1].kind = REPLAY_RUNS;
    window->record[1].word[0] = window->record[1].word[1] = UINT64_MAX;
}

static void too_many(struct cell_window *window)
{
    window->head = UINT64_MAX;
}

START_TEST(damaged_windows_are_refused)
{
    uint64_t ids[10];
    (void)put(0);
    put_many(1, 10, ids);
    damage(no_kind, "of no kind");
    damage(no_session, "no session");
    damage(no_code, "no code");
    damage(no_block, "not its own");
    damage(beyond, "not its own");
    damage(too_long, "too long");
    damage(no_runs, "too long");
    damage(runs_too_long, "too long");
    damage(runs_without_end, "too long");
    damage(too_many, "of no kind");
}
END_TEST

static void set_format(uint32_t format, uint32_t checked)
{
    struct superblock *sb = fx.pool->heap.sb;
    sb->format = checked;
    sb->checksum = superblock_checksum(sb);
    sb->format = format;
}

/* An image of the format before windows; and one whose daemon died while it became one of this. */
START_TEST(older_images_become_current)
{
    for (uint32_t format = IMAGE_FORMAT_FIRST; format <= IMAGE_FORMAT; format++) {
        uint64_t id = put(format);
        set_format(format, IMAGE_FORMAT_FIRST);
        die();
        const struct superblock *sb = fx.pool->heap.sb;
        ck_assert_uint_eq(sb->format, IMAGE_FORMAT);
        ck_assert_uint_eq(sb->checksum, superblock_checksum(sb));
        ck_assert(!is_gone(&fx, id) && found(format));
    }
}
END_TEST

static void newer(struct cell_window *window)
{
    (void)window;
    set_format(IMAGE_FORMAT + 1, IMAGE_FORMAT + 1);
}

START_TEST(newer_images_are_refused)
{
    damage(newer, "newer format");
    set_format(IMAGE_FORMAT + 1, IMAGE_FORMAT_FIRST);
    damage(too_many, "newer format");
    set_format(IMAGE_FORMAT, IMAGE_FORMAT);
}
END_TEST

static Suite *suite_make(void)
{
    Suite *suite = suite_create("pool replay");
    TCase *finding = suite_case(suite, "finding", setup, teardown);
    tcase_add_test(finding, nothing_is_in_a_fresh_window);
    tcase_add_test(finding, what_was_done_is_found_with_its_result);
    tcase_add_test(finding, msgid_and_hash_must_both_be_the_same);
    tcase_add_test(finding, each_that_follows_must_be_the_next_one);
    tcase_add_test(finding, all_but_the_scratch_slot_are_valid);
    tcase_add_test(finding, the_scratch_slot_is_never_an_answer);
    tcase_add_test(finding, msgids_go_around);
    TCase *recording = suite_case(suite, "recording", setup, teardown);
    tcase_add_test(recording, errors_are_recorded_once);
    tcase_add_test(recording, what_is_not_a_request_is_not_recorded);
    tcase_add_test(recording, what_happens_besides_is_not_the_answer);
    TCase *length = suite_case(suite, "long answers", setup, teardown);
    tcase_add_test(length, answers_of_any_length);
    tcase_add_test(length, pairs_of_a_long_lookup);
    tcase_add_test(length, blocks_go_back_when_their_answers_are_over);
    tcase_add_test(length, a_list_that_fails_needs_no_block);
    tcase_add_test(length, runs_of_numbers);
    tcase_add_test(length, a_release_in_a_full_pool_is_recorded_in_runs);
    tcase_add_test(length, a_release_in_a_full_pool_is_recorded_whatever_it_is_answered);
    tcase_add_test(length, a_release_that_fails_records_its_error_in_a_full_pool);
    tcase_add_test(length, no_room_for_the_answer_is_found_before_anything_is_done);
    TCase *death = suite_case(suite, "death", setup, teardown);
    tcase_add_test(death, the_window_survives_a_death);
    tcase_add_test(death, half_an_operation_is_neither_done_nor_recorded);
    tcase_add_test(death, a_window_ends_with_its_session);
    tcase_add_test(death, damaged_windows_are_refused);
    tcase_add_test(death, older_images_become_current);
    tcase_add_test(death, newer_images_are_refused);
    return suite;
}

int main(void)
{
    return suite_run(suite_make());
}
