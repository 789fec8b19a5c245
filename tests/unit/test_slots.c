/* SPDX-License-Identifier: BSD-3-Clause */
/* The lists of slots of daemon/heap/slots.c: every shape, every step from one to the next, taken back, undone, out of
 * memory, and unmade in steps. A list is compared with a plain array after each change at a boundary. */
#include "daemon/heap/heap.h"
#include "tests/lib/pool_fixture.h"
#include "tests/lib/random.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define LONGEST 40000u

/* Where a shape ends or a block is full, and one more. */
static const uint32_t boundaries[] = {0,    1,    2,    3,    4,     8,     9,     16,    17,   32,   33,
                                      64,   65,   128,  129,  256,   257,   1024,  1025,  2048, 2049, 4095,
                                      4096, 4097, 8192, 8193, 12288, 12289, 32767, 32768, 32769};
#define BOUNDARIES (sizeof boundaries / sizeof boundaries[0])

static struct mem mem;
static struct grow_io grow;
static struct heap heap;
static uint32_t targets[LONGEST]; /* the model */

static void setup(void)
{
    mem_init(&mem, NULL, UINT64_MAX);
    grow_io_init(&grow);
    struct heap_config config = {.name = "slots",
                                 .max_bytes = 64u << 20,
                                 .epoch = 1,
                                 .serial_base = 1,
                                 .fd_meta = -1,
                                 .fd_values = -1,
                                 .io = &grow.io,
                                 .mem = &mem};
    ck_assert_int_eq(heap_create(&heap, &config), 0);
    for (uint32_t k = 0; k < LONGEST; k++)
        targets[k] = k * 2654435761u;
}

static void teardown(void)
{
    ck_assert_uint_eq(heap.lists.live_bytes, 0);
    ck_assert_uint_eq(heap.log->n, 0);
    for (uint32_t n = 0; n < heap.lists.arenas_top; n++)
        ck_assert_ptr_null(blocks_check_arena(&heap.lists, n));
    heap_close(&heap);
    ck_assert_uint_eq(mem.private_bytes, 0);
}

/* ---- lists ---- */

static int make(uint32_t count, uint32_t *ret_index)
{
    uint64_t ns;
    uint32_t index = index_take(&heap);
    ck_assert_uint_ne(index, 0);
    int err = slots_prepare(&heap, index, targets, count, &ns);
    if (err != 0) {
        index_give(&heap, index);
        return err;
    }
    image_prepare(&heap, &heap.hot[index].w0, w0_gen(heap.hot[index].w0) | W0_ALIVE | ns);
    *ret_index = index;
    return 0;
}

static bool is(uint32_t index, uint32_t count)
{
    if (slots_count(&heap, index) != count || slots_check(&heap, index, SLOTS_ALLOCATED) != NULL ||
        slots_check(&heap, index, SLOTS_BOUNDS) != NULL)
        return false;
    for (uint32_t slot = 0; slot < count; slot++)
        if (slots_edge(&heap, index, slot) != targets[slot])
            return false;
    return true;
}

static int store(uint32_t index, uint32_t slot, uint32_t target)
{
    struct slots_old old;
    int err = slots_store(&heap, index, slot, target, &old);
    if (err == 0) {
        image_commit(&heap);
        slots_old_free(&heap, &old);
    }
    return err;
}

/* Unmakes it, popping no more than `step` in one go. */
static void unmake(uint32_t index, uint32_t step)
{
    uint32_t count = slots_count(&heap, index);
    slots_unmake(&heap, index);
    while (count > 0)
        for (uint32_t k = 0; k < step && count > 0; k++) {
            uint32_t target = slots_pop(&heap, index);
            if (target != targets[--count])
                ck_abort_msg("slot %u gave %u", count, target);
        }
    slots_free(&heap, index);
    image_set(&heap, &heap.hot[index].w0, w0_gen(heap.hot[index].w0) + 1);
    index_give(&heap, index);
}

/* ---- tests ---- */

START_TEST(a_list_of_any_length_is_made)
{
    for (size_t k = 0; k < BOUNDARIES; k++) {
        uint32_t index, count = boundaries[k];
        ck_assert_int_eq(make(count, &index), 0);
        ck_assert_msg(is(index, count), "a list of %u", count);
        unsigned ns = w0_ns(heap.hot[index].w0);
        ck_assert_uint_eq(ns, count <= 2 ? count : count <= SEGMENT_SLOTS ? NS_BLOCK : NS_SEGMENTS);
        unmake(index, 7);
        ck_assert_uint_eq(heap.lists.live_bytes, 0);
    }
}
END_TEST

START_TEST(inline_slots_need_no_block)
{
    uint32_t index[3];
    for (uint32_t count = 0; count <= 2; count++)
        ck_assert_int_eq(make(count, &index[count]), 0);
    ck_assert_uint_eq(heap.lists.live_bytes, 0);
    ck_assert_int_eq(store(index[2], 0, 99), 0);
    ck_assert_uint_eq(slots_edge(&heap, index[2], 0), 99);
    ck_assert_uint_eq(slots_edge(&heap, index[2], 1), targets[1]);
    ck_assert_int_eq(store(index[2], 0, targets[0]), 0);
    for (uint32_t count = 0; count <= 2; count++)
        unmake(index[count], 1);
}
END_TEST

START_TEST(appending_goes_through_every_shape)
{
    uint32_t index;
    size_t next = 0;
    ck_assert_int_eq(make(0, &index), 0);
    for (uint32_t count = 0; count <= 32769; count++) {
        if (next < BOUNDARIES && boundaries[next] == count) {
            ck_assert_msg(is(index, count), "a list of %u", count);
            next++;
        }
        ck_assert_int_eq(store(index, count, targets[count]), 0);
    }
    ck_assert_uint_eq(next, BOUNDARIES);
    unmake(index, 1000);
}
END_TEST

/* A list that was appended to takes no more room than one that was made so. */
START_TEST(growth_leaves_nothing_behind)
{
    for (size_t k = 0; k < BOUNDARIES; k++) {
        uint32_t made, grown;
        uint64_t room;
        ck_assert_int_eq(make(boundaries[k], &made), 0);
        room = heap.lists.live_bytes;
        unmake(made, 100000);
        ck_assert_int_eq(make(0, &grown), 0);
        for (uint32_t count = 0; count < boundaries[k]; count++)
            ck_assert_int_eq(store(grown, count, targets[count]), 0);
        ck_assert_uint_eq(heap.lists.live_bytes, room);
        unmake(grown, 100000);
    }
}
END_TEST

START_TEST(any_slot_may_be_replaced)
{
    struct random random = {.state = 8};
    for (size_t k = 1; k < BOUNDARIES; k++) {
        uint32_t index, count = boundaries[k];
        ck_assert_int_eq(make(count, &index), 0);
        for (unsigned n = 0; n < 50; n++) {
            uint32_t slot = n == 0 ? 0 : n == 1 ? count - 1 : (uint32_t)random_below(&random, count);
            targets[slot] = (uint32_t)random_next(&random);
            ck_assert_int_eq(store(index, slot, targets[slot]), 0);
        }
        ck_assert(is(index, count));
        unmake(index, 500);
    }
}
END_TEST

/* What the undo log takes back is the list before, whatever shape it was on its way to. */
START_TEST(a_store_that_is_undone_changes_nothing)
{
    for (size_t k = 0; k < BOUNDARIES; k++) {
        uint32_t index, count = boundaries[k];
        struct slots_old old;
        ck_assert_int_eq(make(count, &index), 0);
        uint64_t live = heap.lists.live_bytes;
        ck_assert_int_eq(slots_store(&heap, index, count, 4711, &old), 0);
        ck_assert_uint_eq(slots_count(&heap, index), count + 1);
        ck_assert_uint_eq(slots_edge(&heap, index, count), 4711);
        if (count > 0)
            ck_assert_uint_eq(slots_edge(&heap, index, count - 1), targets[count - 1]);
        image_rollback(&heap);
        ck_assert_msg(is(index, count), "a list of %u", count);
        if (count > 0) {
            ck_assert_int_eq(slots_store(&heap, index, count / 2, 4711, &old), 0);
            image_rollback(&heap);
            ck_assert(is(index, count));
        }
        unmake(index, 64);
        /* the new blocks are recovery's to find: nobody names them any more */
        ck_assert_uint_le(heap.lists.live_bytes, 2 * live + 2 * BLOCK_MAX + 64);
        heap_close(&heap);
        setup();
    }
}
END_TEST

/* Each growth of the file, and each of private memory, fails in turn. */
START_TEST(no_memory_leaves_the_list_as_it_was)
{
    unsigned refused = 0;
    for (size_t k = 0; k < BOUNDARIES; k++) {
        for (unsigned call = 1; call <= 6; call++) {
            bool private = call > 3;
            uint32_t index, count = boundaries[k];
            if (private)
                mem.fail_at = mem.calls + call - 3;
            grow.fail_at = private ? 0 : grow.calls + call;
            grow.fail_count = 1;
            uint64_t live = heap.lists.live_bytes;
            int err = make(count, &index);
            if (err != 0) {
                refused++;
                ck_assert_int_eq(err, -ENOMEM);
                ck_assert_uint_eq(heap.lists.live_bytes, live);
                ck_assert_int_eq(make(count, &index), 0);
            }
            live = heap.lists.live_bytes;
            if (store(index, count, targets[count]) != 0) {
                refused++;
                ck_assert_uint_eq(heap.lists.live_bytes, live);
                ck_assert_uint_eq(heap.log->n, 0);
                ck_assert(is(index, count));
                ck_assert_int_eq(store(index, count, targets[count]), 0);
            }
            mem.fail_at = 0;
            ck_assert_msg(is(index, count + 1), "a list of %u", count + 1);
            unmake(index, 100000);
            heap_close(&heap);
            setup(); /* so that there is something to grow again */
        }
    }
    ck_assert_uint_gt(refused, 40);
}
END_TEST

START_TEST(many_lists_grow_side_by_side)
{
    enum { LISTS = 60 };
    struct random random = {.state = 31};
    uint32_t index[LISTS], count[LISTS] = {0};
    for (unsigned n = 0; n < LISTS; n++)
        ck_assert_int_eq(make(0, &index[n]), 0);
    for (unsigned k = 0; k < 60000; k++) {
        unsigned n = (unsigned)random_below(&random, LISTS);
        if (count[n] > 0 && random_once_in(&random, 3000)) {
            ck_assert(is(index[n], count[n]));
            unmake(index[n], (uint32_t)random_between(&random, 1, 500));
            count[n] = random_once_in(&random, 4) ? (uint32_t)random_below(&random, 9000) : 0;
            ck_assert_int_eq(make(count[n], &index[n]), 0);
        }
        ck_assert_int_eq(store(index[n], count[n], targets[count[n]]), 0);
        count[n]++;
    }
    for (unsigned n = 0; n < LISTS; n++) {
        ck_assert(is(index[n], count[n]));
        unmake(index[n], 333);
    }
}
END_TEST

/* ---- what the walker sees ---- */

START_TEST(wrong_shapes_are_seen)
{
    uint32_t index;
    ck_assert_int_eq(make(100, &index), 0);
    uint64_t *slots = &heap.warm[index].slots, sound = *slots;
    for (unsigned mode = SLOTS_BOUNDS; mode <= SLOTS_ALLOCATED; mode++) {
        if (mode == SLOTS_ADMIT || mode == SLOTS_CLAIM)
            continue;
        *slots = (sound & 0xffffffff) | 2ull << 32;
        ck_assert_ptr_nonnull(slots_check(&heap, index, mode));
        *slots = (sound & 0xffffffff) | (SEGMENT_SLOTS + 1ull) << 32;
        ck_assert_ptr_nonnull(slots_check(&heap, index, mode));
        *slots = (sound & ~0xffffffffull) | 0xfffffff0;
        ck_assert_ptr_nonnull(slots_check(&heap, index, mode));
    }
    *slots = sound + 1; /* in the middle of a block */
    ck_assert_ptr_nonnull(slots_check(&heap, index, SLOTS_ALLOCATED));
    *slots = (sound & 0xffffffff) | 300ull << 32; /* another class */
    ck_assert_ptr_nonnull(slots_check(&heap, index, SLOTS_ALLOCATED));
    *slots = sound;
    ck_assert_ptr_null(slots_check(&heap, index, SLOTS_ALLOCATED));
    unmake(index, 10);
}
END_TEST

START_TEST(a_wrong_segment_is_seen)
{
    uint32_t index;
    ck_assert_int_eq(make(10000, &index), 0);
    uint32_t *directory = (void *)(heap.meta.base + heap.sb->blocks_at +
                                   (uint64_t)(uint32_t)heap.warm[index].slots * BLOCK_UNIT);
    uint32_t sound = directory[2];
    directory[2] = 0xfffffff0;
    ck_assert_ptr_nonnull(slots_check(&heap, index, SLOTS_BOUNDS));
    directory[2] = sound + 8;
    ck_assert_ptr_nonnull(slots_check(&heap, index, SLOTS_ALLOCATED));
    directory[2] = sound;
    ck_assert_ptr_null(slots_check(&heap, index, SLOTS_ALLOCATED));
    unmake(index, 4096);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("slots");
    TCase *tc = suite_case(suite, "slots", setup, teardown);
    tcase_add_test(tc, a_list_of_any_length_is_made);
    tcase_add_test(tc, inline_slots_need_no_block);
    tcase_add_test(tc, appending_goes_through_every_shape);
    tcase_add_test(tc, growth_leaves_nothing_behind);
    tcase_add_test(tc, any_slot_may_be_replaced);
    tcase_add_test(tc, a_store_that_is_undone_changes_nothing);
    tcase_add_test(tc, no_memory_leaves_the_list_as_it_was);
    tcase_add_test(tc, many_lists_grow_side_by_side);
    tcase_add_test(tc, wrong_shapes_are_seen);
    tcase_add_test(tc, a_wrong_segment_is_seen);
    return suite_run(suite);
}
