/* SPDX-License-Identifier: BSD-3-Clause */
/* daemon/heap/recover.h: what keeps an object alive over a start and what does not, what each step leaves behind, and
 * every kind of damage refused by name, with the image left as it was.
 *
 * The image of a living pool is damaged in place, looked at by pool_open() as a private copy, and put right. */
#include "daemon/heap/recover.h"
#include "daemon/pool/internal.h"
#include "tests/lib/pool_fixture.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static struct fixture fx;
static struct recover_result result;
static char error[200];

static void setup(void)
{
    fixture_open(&fx);
    error[0] = '\0';
}

static void teardown(void)
{
    fixture_close(&fx);
}

/* A heap on a private look at the image; closed by heap_close(). */
static int recover(struct heap *heap, struct mem *mem, bool keep_anonymous)
{
    const struct heap *live = &fx.pool->heap;
    struct recover_config config = {.keep_anonymous = keep_anonymous};
    const char *wrong;
    mem_init(mem, NULL, UINT64_MAX);
    ck_assert_int_eq(heap_map(heap, live->meta.fd, live->values.fd, true, NULL, mem, &wrong), 0);
    return heap_recover(heap, &config, &result, error, sizeof error);
}

/* How many objects live after a start; the image is only looked at. */
static uint64_t alive_after(bool keep_anonymous)
{
    struct heap heap;
    struct mem mem;
    ck_assert_msg(recover(&heap, &mem, keep_anonymous) == 0, "%s", error);
    uint64_t alive = heap.alive;
    ck_assert_uint_eq(heap.log->n, 0);
    ck_assert_uint_eq(heap.sb->starts, fx.pool->heap.sb->starts + 1);
    heap_close(&heap);
    ck_assert_uint_eq(mem.private_bytes, 0);
    return alive;
}

/* ---- roots ---- */

START_TEST(an_empty_image_is_recovered)
{
    ck_assert_uint_eq(alive_after(false), 0);
    ck_assert_uint_eq(result.freed + result.voided + result.undone, 0);
}
END_TEST

START_TEST(each_kind_of_reference_keeps_an_object)
{
    uint8_t key[HF_KEY_SIZE];
    uint64_t held = put_leaf(&fx, fx.a), further = put_leaf(&fx, fx.a), named = put_leaf(&fx, fx.a),
             shared = put_leaf(&fx, fx.a);
    (void)retain_one(&fx, fx.b, further);
    (void)release_one(&fx, fx.a, further);
    (void)bind_name(&fx, "kept", named);
    (void)release_one(&fx, fx.a, named);
    ck_assert_int_eq(pool_share(fx.pool, fx.a, shared, 1000, 1, key), 0);
    (void)release_one(&fx, fx.a, shared);
    uint64_t refs[] = {shared, put_leaf(&fx, fx.a)};
    uint64_t parent = put_refs(&fx, fx.a, refs, 2);
    (void)release_one(&fx, fx.a, refs[1]);
    ck_assert_uint_eq(alive_after(false), 6);
    ck_assert_uint_eq(result.freed, 0);
    (void)held;
    (void)parent;
}
END_TEST

START_TEST(what_is_dead_but_not_freed_does_not_come_back)
{
    uint64_t head = chain_of(&fx, fx.a, 5000);
    (void)release_one(&fx, fx.a, head); /* the chain dies later, in steps */
    uint64_t left = stats_of(&fx).backlog;
    ck_assert_uint_gt(left, 0);
    ck_assert_uint_eq(alive_after(false), 0);
    ck_assert_uint_gt(result.freed, 0);
    drain(&fx);
}
END_TEST

/* Counts alone would keep it: what two objects hold of each other is no reference from outside. */
START_TEST(a_cycle_that_nothing_leads_to_is_freed)
{
    uint64_t a = put_leaf(&fx, fx.a), previous, refs[] = {a};
    uint64_t b = put_refs(&fx, fx.a, refs, 1);
    ck_assert_int_eq(pool_link(fx.pool, a, 0, b, &previous), 0);
    (void)release_one(&fx, fx.a, a);
    ck_assert_uint_eq(alive_after(false), 2);
    (void)release_one(&fx, fx.a, b);
    ck_assert_uint_eq(stats_of(&fx).objects, 2);
    ck_assert_uint_eq(alive_after(false), 0);
    ck_assert_uint_eq(result.freed, 2);
}
END_TEST

START_TEST(sessions_without_a_key_end)
{
    int owner;
    struct session *s = fixture_anonymous(&fx, &owner);
    uint64_t id = put_leaf(&fx, s);
    (void)retain_one(&fx, s, put_leaf(&fx, fx.a));
    (void)put_leaf(&fx, fx.a);
    ck_assert_uint_eq(alive_after(false), 2);
    ck_assert_uint_eq(result.freed, 1);
    ck_assert_uint_eq(result.voided, 1); /* the hold on what goes on; the other went with its object */
    ck_assert_uint_eq(alive_after(true), 3);
    ck_assert_uint_eq(result.voided, 0);
    (void)id;
}
END_TEST

START_TEST(a_session_that_is_ending_has_ended)
{
    for (unsigned k = 0; k < 100; k++)
        (void)retain_one(&fx, fx.b, put_leaf(&fx, fx.a));
    for (unsigned k = 0; k < 100; k++)
        (void)put_leaf(&fx, fx.b);
    pool_session_end(fx.pool, fx.b, REASON_KILL);
    for (unsigned steps = 0; steps < 150; steps++) {
        ck_assert_uint_eq(alive_after(false), 100);
        (void)pool_step(fx.pool, 1);
    }
    drain(&fx);
    ck_assert_uint_eq(alive_after(false), 100);
    ck_assert_uint_eq(result.voided + result.freed, 0);
}
END_TEST

/* ---- what the steps leave ---- */

START_TEST(an_operation_under_way_is_taken_back)
{
    uint64_t id = put_leaf(&fx, fx.a);
    struct heap *heap = &fx.pool->heap;
    struct hot *hot = &heap->hot[id_index(id)];
    uint64_t holder = hot->holder, w0 = hot->w0;
    image_store(heap, &hot->holder, holder + (7ull << 32));
    image_store(heap, &hot->w0, w0 | W0_SEALED);
    image_store(heap, &hot->holder, 0);
    ck_assert_uint_eq(alive_after(false), 1);
    ck_assert_uint_eq(result.undone, 3);
    struct heap copy;
    struct mem mem;
    ck_assert_int_eq(recover(&copy, &mem, false), 0);
    ck_assert_uint_eq(copy.hot[id_index(id)].holder, holder);
    ck_assert_uint_eq(copy.hot[id_index(id)].w0 & W0_SEALED, 0);
    heap_close(&copy);
    image_rollback(heap);
    ck_assert_uint_eq(hot->holder, holder);
}
END_TEST

/* Freed by recovery is freed for ever: its generation is spent, its index is not. */
START_TEST(indexes_come_back_under_other_ids)
{
    struct session *s = fixture_anonymous(&fx, &fx);
    uint64_t ids[50];
    for (unsigned k = 0; k < 50; k++)
        ids[k] = put_leaf(&fx, s);
    struct heap heap;
    struct mem mem;
    ck_assert_int_eq(recover(&heap, &mem, false), 0);
    ck_assert_uint_eq(result.freed, 50);
    uint32_t before = 0;
    for (unsigned k = 0; k < 50; k++) {
        ck_assert_ptr_null(heap_find(&heap, ids[k]));
        uint32_t index = index_take(&heap); /* the low ones first */
        ck_assert_uint_gt(index, before);
        before = index;
        ck_assert_uint_eq(w0_state(heap.hot[index].w0), W0_FREE);
        for (unsigned n = 0; n < 50; n++)
            ck_assert_uint_ne(heap_id(&heap, index), ids[n]);
    }
    ck_assert_uint_eq(before, 50);
    heap_close(&heap);
}
END_TEST

START_TEST(an_index_at_its_last_generation_is_retired)
{
    uint64_t id = put_leaf(&fx, fx.a);
    struct hot *hot = &fx.pool->heap.hot[id_index(id)];
    uint64_t w0 = hot->w0, holder = hot->holder;
    hot->w0 = (w0 & ~W0_GEN) | (W0_GEN_LAST - 1);
    hot->holder = 0;
    struct heap heap;
    struct mem mem;
    ck_assert_int_eq(recover(&heap, &mem, false), 0);
    ck_assert_uint_eq(result.freed, 1);
    ck_assert_uint_eq(heap.retired, 1);
    ck_assert_uint_ne(index_take(&heap), id_index(id));
    heap_close(&heap);
    hot->w0 = w0;
    hot->holder = holder;
}
END_TEST

START_TEST(counts_and_blocks_are_made_anew)
{
    uint64_t leaf = put_leaf(&fx, fx.a), refs[300];
    for (unsigned k = 0; k < 300; k++)
        refs[k] = k % 3 == 0 ? 0 : leaf;
    (void)put_refs(&fx, fx.a, refs, 300);
    (void)put_filled(&fx, fx.a, 5000, 1);
    (void)put_filled(&fx, fx.a, 50000, 2);
    (void)put_filled(&fx, fx.a, 900000, 3);
    struct heap heap;
    struct mem mem;
    ck_assert_int_eq(recover(&heap, &mem, false), 0);
    const struct heap *live = &fx.pool->heap;
    ck_assert_uint_eq(heap.hot[id_index(leaf)].in, 200);
    ck_assert_uint_eq(heap.alive, live->alive);
    ck_assert_uint_eq(heap.value_bytes, live->value_bytes);
    ck_assert_uint_eq(heap.payloads.live_bytes, live->payloads.live_bytes);
    ck_assert_uint_eq(heap.lists.live_bytes, live->lists.live_bytes);
    for (uint32_t n = 0; n < heap.payloads.arenas_top; n++)
        ck_assert_ptr_null(blocks_check_arena(&heap.payloads, n));
    for (uint32_t n = 0; n < heap.cells.arenas_top; n++)
        ck_assert_ptr_null(blocks_check_arena(&heap.cells, n));
    heap_close(&heap);
}
END_TEST

START_TEST(memory_that_fails_is_told_as_such)
{
    struct heap heap;
    struct mem mem;
    unsigned refused = 0;
    for (unsigned k = 0; k < 100; k++)
        (void)put_filled(&fx, fx.a, 100 + k, 1);
    for (uint64_t n = 1; n < 200; n++) {
        const struct heap *live = &fx.pool->heap;
        struct recover_config config = {0};
        const char *wrong;
        mem_init(&mem, NULL, UINT64_MAX);
        ck_assert_int_eq(heap_map(&heap, live->meta.fd, live->values.fd, true, NULL, &mem, &wrong), 0);
        mem.fail_at = mem.calls + n;
        int err = heap_recover(&heap, &config, &result, error, sizeof error);
        bool failed = mem.calls >= mem.fail_at;
        heap_close(&heap);
        ck_assert_uint_eq(mem.private_bytes, 0);
        ck_assert_int_eq(err, failed ? -ENOMEM : 0);
        refused += err != 0;
        if (!failed)
            break;
    }
    ck_assert_uint_gt(refused, 10);
    ck_assert_uint_eq(alive_after(false), 100);
}
END_TEST

/* ---- damage ---- */

/* With the word changed the image is refused with this text; then it is put right. */
static void refuses(void *at, uint64_t word, const char *text)
{
    struct heap heap;
    struct mem mem;
    uint64_t sound;
    memcpy(&sound, at, sizeof sound);
    memcpy(at, &word, sizeof word);
    int err = recover(&heap, &mem, false);
    heap_close(&heap);
    ck_assert_uint_eq(mem.private_bytes, 0);
    memcpy(at, &sound, sizeof sound);
    ck_assert_msg(err == -EINVAL, "%s: answered %d", text, err);
    ck_assert_msg(strstr(error, text) != NULL, "\"%s\" does not say \"%s\"", error, text);
}

static uint32_t first_cell; /* of the type looked for */
static unsigned wanted_type;

static int find_cell(void *owner, uint32_t ref, unsigned type)
{
    (void)owner;
    if (type != wanted_type)
        return 0;
    first_cell = ref;
    return 1;
}

static void *cell_of(unsigned type, char *ret_text)
{
    wanted_type = type;
    ck_assert_int_eq(cells_each(&fx.pool->heap, find_cell, NULL), 1);
    sprintf(ret_text, "cell %u:", first_cell);
    return cell_at(&fx.pool->heap, first_cell);
}

START_TEST(a_damaged_entry_is_refused)
{
    uint64_t refs[5] = {0}, leaf = put_leaf(&fx, fx.a);
    refs[2] = leaf;
    /* two of a class: the run is the first one's before the second is looked at */
    uint64_t same = put_filled(&fx, fx.a, 100, 1), small = put_filled(&fx, fx.a, 100, 1);
    uint64_t large = put_filled(&fx, fx.a, 50000, 1), list = put_refs(&fx, fx.a, refs, 5);
    struct heap *heap = &fx.pool->heap;
    char text[40];
    sprintf(text, "object %u:", id_index(small));
    struct hot *hot = &heap->hot[id_index(small)];
    refuses(&hot->w0, hot->w0 | W0_STATE, text);
    refuses(&hot->w0, hot->w0 | W0_FORM, text);
    refuses(&hot->w0, hot->w0 | W0_INLINE, text);
    refuses(&hot->w0, hot->w0 | 7ull << W0_NS_SHIFT, text);
    refuses(&hot->w0, hot->w0 | W0_GEN, text);
    refuses(&hot->value, hot->value + 1, text);
    refuses(&hot->value, hot->value | 0xffffffff, text);
    refuses(&hot->value, hot->value + (100ull << 32), text);
    refuses(&hot->value, heap->hot[id_index(same)].value, text); /* the other's block */
    refuses(&hot->holder, hot->holder + 1, text);
    refuses(&hot->holder, hot->holder | 0xfffffff0, text);
    sprintf(text, "object %u:", id_index(large));
    hot = &heap->hot[id_index(large)];
    refuses(&hot->value, hot->value | 0xffffffff, text);
    refuses(&hot->value, hot->value + (300000ull << 32), text);
    sprintf(text, "object %u:", id_index(list));
    struct warm *warm = &heap->warm[id_index(list)];
    refuses(&warm->slots, warm->slots | 0xfffffff0, text);
    refuses(&warm->slots, (warm->slots & 0xffffffff) | 2ull << 32, text);
    refuses(&warm->slots, (warm->slots & 0xffffffff) | 5000ull << 32, text);
    sprintf(text, "object %u, slot 2", id_index(list));
    uint32_t *slots =
        (void *)(heap->meta.base + heap->sb->blocks_at + (uint64_t)(uint32_t)warm->slots * BLOCK_UNIT);
    refuses(&slots[2], heap->sb->index_top, text);
    sprintf(text, "object %u: is referred to", id_index(leaf));
    refuses(&heap->hot[id_index(leaf)].w0, W0_FREE, text);
    refuses(&heap->hot[0].w0, W0_ALIVE, "object 0:"); /* nil: no id may find it */
    ck_assert_uint_eq(alive_after(false), 5);
}
END_TEST

/* Also those two that recovery's own words for entries look like; what nobody reaches may have any. */
START_TEST(slots_that_name_nothing_are_refused_where_they_are_reached)
{
    uint64_t leaf = put_leaf(&fx, fx.a), refs[] = {leaf, leaf}, pair = put_refs(&fx, fx.a, refs, 2), previous;
    uint64_t one = put_refs(&fx, fx.a, refs, 1);
    struct heap *heap = &fx.pool->heap;
    struct warm *warm = &heap->warm[id_index(pair)];
    char text[40];
    sprintf(text, "object %u, slot 0: points to", id_index(pair));
    refuses(&warm->slots, UINT64_MAX, text);
    refuses(&warm->slots, UINT64_MAX - 1, text);
    refuses(&warm->slots, SLOT_LINKED, text);
    refuses(&warm->slots, heap->sb->index_top, text);
    sprintf(text, "object %u, slot 1: points to", id_index(pair));
    refuses(&warm->slots, (uint64_t)heap->sb->index_top << 32 | id_index(leaf), text);
    sprintf(text, "object %u, slot 0: points to", id_index(one));
    refuses(&heap->warm[id_index(one)].slots, UINT64_MAX, text);
    ck_assert_int_eq(pool_link(fx.pool, pair, 0, pair, &previous), 0);
    (void)release_one(&fx, fx.a, pair);
    uint64_t slots = warm->slots;
    for (uint64_t odd = UINT64_MAX; odd >= UINT64_MAX - 2; odd--) {
        warm->slots = odd;
        ck_assert_uint_eq(alive_after(false), 2);
        ck_assert_uint_eq(result.freed, 1);
    }
    warm->slots = slots;
}
END_TEST

START_TEST(a_damaged_cell_is_refused)
{
    uint8_t key[HF_KEY_SIZE];
    uint64_t id = put_leaf(&fx, fx.a), labelled;
    struct heap *heap = &fx.pool->heap;
    char text[40];
    (void)retain_one(&fx, fx.b, id);
    (void)bind_name(&fx, "twelve bytes", id);
    ck_assert_int_eq(pool_share(fx.pool, fx.a, id, 1000, 3, key), 0);
    struct put_spec spec = {.value = bytes_in("x", 1), .tag = (const uint8_t *)"tag", .tag_size = 3};
    ck_assert_int_eq(try_put(&fx, fx.a, &spec, &labelled), 0);
    struct cell_hold *hold = cell_of(CELL_HOLD, text);
    refuses(hold, (uint64_t)hold->session << 32, text);
    refuses(hold, (uint64_t)hold->session << 32 | heap->sb->index_top, text);
    refuses(hold, 1ull << 32 | id_index(id), text);
    refuses(&hold->count, 0, text);
    struct cell_ticket *ticket = cell_of(CELL_TICKET, text);
    refuses(ticket, id_index(id), text); /* no uses */
    refuses(ticket, 3ull << 32 | 0xffffffff, text);
    struct cell_name *name = cell_of(cell_name_type(12), text);
    uint64_t head;
    memcpy(&head, name, 8);
    refuses(name, (head & ~0xffffffffull) | heap->sb->index_top, text);
    struct cell_session *session = cell_of(CELL_SESSION, text);
    uint64_t state;
    memcpy(&state, session, 8);
    refuses(session, (state & ~0xffffffffull) | 77, text);
    struct cell_label *label = cell_of(CELL_LABEL, text);
    struct cell_label longer = *label;
    uint64_t word;
    longer.tag_size = longer.site_size = 200;
    memcpy(&word, &longer, sizeof word);
    refuses(label, word, text);
    refuses(heap->meta.base + heap->sb->types_at, 0xffff, "run ");
    ck_assert_uint_eq(alive_after(false), 2);
}
END_TEST

START_TEST(a_damaged_log_is_refused)
{
    (void)put_leaf(&fx, fx.a);
    struct heap *heap = &fx.pool->heap;
    struct undo_record *record = &heap->log->record[0];
    uint64_t outside[] = {0,
                          8,
                          PAGE_BYTES,
                          heap->sb->types_at,
                          heap->sb->hot_at + 4,
                          heap->sb->hot_at + heap->sb->index_top * sizeof(struct hot),
                          heap->meta.size - 8,
                          heap->meta.size,
                          UINT64_MAX - 7};
    refuses(&heap->log->n, UNDO_MAX + 1, "undo log");
    refuses(&heap->log->n, UINT64_MAX, "undo log");
    for (size_t k = 0; k < sizeof outside / sizeof outside[0]; k++) {
        record->offset = outside[k];
        refuses(&heap->log->n, 1, "undo record 0");
    }
}
END_TEST

START_TEST(a_damaged_superblock_is_refused)
{
    struct superblock *sb = fx.pool->heap.sb;
    struct heap heap;
    struct mem mem;
    mem_init(&mem, NULL, UINT64_MAX);
    for (size_t at = 0; at < offsetof(struct superblock, starts); at += 8) {
        uint64_t *word = (uint64_t *)(void *)sb + at / 8, sound = *word;
        const char *wrong = NULL;
        *word ^= 1ull << (at % 64);
        int err = heap_map(&heap, fx.pool->heap.meta.fd, fx.pool->heap.values.fd, true, NULL, &mem, &wrong);
        *word = sound;
        ck_assert_int_eq(err, -EINVAL);
        ck_assert_ptr_nonnull(wrong);
        ck_assert_uint_eq(mem.private_bytes, 0);
    }
    refuses(&sb->index_top, fx.pool->heap.index_ready + 100, "index_top");
    ck_assert_uint_eq(alive_after(false), 0);
}
END_TEST

/* ---- progress ---- */

#define MANY 140000u /* entries: some words about each pass */

struct listener {
    unsigned calls, end_at; /* end_at: the call that is answered with no; 0: none */
    unsigned last;
};

static bool listen(void *owner, unsigned done)
{
    struct listener *listener = owner;
    ck_assert_uint_ge(done, listener->last);
    ck_assert_uint_le(done, RECOVER_HEAP_SHARE);
    listener->last = done;
    return ++listener->calls != listener->end_at;
}

static int recover_listened(struct listener *listener, uint64_t *ret_log)
{
    const struct recover_config config = {.progress = listen, .owner = listener};
    const struct heap *live = &fx.pool->heap;
    struct heap heap;
    struct mem mem;
    const char *wrong;
    mem_init(&mem, NULL, UINT64_MAX);
    ck_assert_int_eq(heap_map(&heap, live->meta.fd, live->values.fd, true, NULL, &mem, &wrong), 0);
    int err = heap_recover(&heap, &config, &result, error, sizeof error);
    *ret_log = heap.log->n;
    heap_close(&heap);
    ck_assert_uint_eq(mem.private_bytes, 0);
    return err;
}

START_TEST(progress_rises_and_each_word_can_be_the_last)
{
    struct listener all = {.end_at = 0};
    struct heap *heap = &fx.pool->heap;
    uint64_t log;
    for (unsigned k = 0; k < MANY; k++)
        (void)put_leaf(&fx, fx.a);
    image_store(heap, &heap->hot[1].holder, 0); /* an operation under way */
    ck_assert_int_eq(recover_listened(&all, &log), 0);
    ck_assert_uint_ge(all.last, RECOVER_HEAP_SHARE * 9 / 10);
    ck_assert_uint_ge(all.calls, 5 * (MANY / 65536));
    unsigned ended = 0;
    for (unsigned k = 1; k <= all.calls; k++) {
        struct listener one = {.end_at = k};
        int err = recover_listened(&one, &log);
        ck_assert_uint_eq(log, err == 0 ? 0 : 1); /* as it was, or done: settling is not ended halfway */
        ck_assert(err == 0 || (err == -ECANCELED && one.calls == k));
        ended += err != 0;
    }
    ck_assert_uint_ge(ended, 4 * (MANY / 65536));
    image_rollback(heap);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("recover");
    TCase *tc = suite_case(suite, "recover", setup, teardown);
    tcase_add_test(tc, an_empty_image_is_recovered);
    tcase_add_test(tc, each_kind_of_reference_keeps_an_object);
    tcase_add_test(tc, what_is_dead_but_not_freed_does_not_come_back);
    tcase_add_test(tc, a_cycle_that_nothing_leads_to_is_freed);
    tcase_add_test(tc, sessions_without_a_key_end);
    tcase_add_test(tc, a_session_that_is_ending_has_ended);
    tcase_add_test(tc, an_operation_under_way_is_taken_back);
    tcase_add_test(tc, indexes_come_back_under_other_ids);
    tcase_add_test(tc, an_index_at_its_last_generation_is_retired);
    tcase_add_test(tc, counts_and_blocks_are_made_anew);
    tcase_add_test(tc, memory_that_fails_is_told_as_such);
    tcase_add_test(tc, a_damaged_entry_is_refused);
    tcase_add_test(tc, slots_that_name_nothing_are_refused_where_they_are_reached);
    tcase_add_test(tc, a_damaged_cell_is_refused);
    tcase_add_test(tc, a_damaged_log_is_refused);
    tcase_add_test(tc, a_damaged_superblock_is_refused);
    tcase_add_test(tc, progress_rises_and_each_word_can_be_the_last);
    return suite_run(suite);
}
