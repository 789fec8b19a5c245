/* SPDX-License-Identifier: BSD-3-Clause */
/* daemon/base/u32vec.h: pushes, pops and trims across chunks, memory that fails, against a plain array. */
#include "daemon/base/u32vec.h"
#include "tests/lib/random.h"
#include "tests/lib/suite.h"

#define MOST 20000u

static struct mem mem;
static struct u32vec vec;
static uint32_t model[MOST];

static void setup(void)
{
    mem_init(&mem, NULL, UINT64_MAX);
    vec = (struct u32vec){0};
}

static void teardown(void)
{
    u32vec_done(&vec, &mem);
    ck_assert_uint_eq(mem.private_bytes, 0);
    ck_assert_uint_eq(vec.count, 0);
}

static void push(uint32_t value)
{
    ck_assert(u32vec_prepare(&vec, &mem, 1));
    model[vec.count] = value;
    uint32_t place = u32vec_push(&vec, value);
    ck_assert_uint_eq(place, vec.count - 1);
}

static void check_all(void)
{
    for (uint32_t k = 0; k < vec.count; k++)
        ck_assert_uint_eq(*u32vec_at(&vec, k), model[k]);
}

START_TEST(nothing_is_kept_of_an_empty_one)
{
    ck_assert(u32vec_prepare(&vec, &mem, 0));
    ck_assert_uint_eq(mem.private_bytes, 0);
    push(5);
    ck_assert_uint_eq(u32vec_pop(&vec), 5);
    ck_assert_uint_le(mem.private_bytes, 128); /* many sessions hold little */
}
END_TEST

START_TEST(values_stay_through_every_growth)
{
    for (uint32_t k = 0; k < MOST; k++)
        push(k * 2654435761u);
    check_all();
    for (uint32_t k = MOST; k-- > 0;)
        ck_assert_uint_eq(u32vec_pop(&vec), k * 2654435761u);
}
END_TEST

/* The address of a place in a later chunk never changes: that is what chunks are for. */
START_TEST(only_the_first_chunk_moves)
{
    for (uint32_t k = 0; k < 2 * U32VEC_CHUNK; k++)
        push(k);
    const uint32_t *first = u32vec_at(&vec, 0), *second = u32vec_at(&vec, U32VEC_CHUNK);
    while (vec.count < MOST)
        push(vec.count);
    ck_assert_ptr_eq(u32vec_at(&vec, 0), first);
    ck_assert_ptr_eq(u32vec_at(&vec, U32VEC_CHUNK), second);
}
END_TEST

START_TEST(room_for_many_at_once)
{
    ck_assert(u32vec_prepare(&vec, &mem, 5000));
    uint64_t calls = mem.calls;
    for (uint32_t k = 0; k < 5000; k++) {
        model[k] = k;
        u32vec_push(&vec, k);
    }
    ck_assert_uint_eq(mem.calls, calls);
    check_all();
}
END_TEST

START_TEST(trimming_gives_chunks_back_and_does_not_flap)
{
    for (uint32_t k = 0; k < 10 * U32VEC_CHUNK; k++)
        push(k);
    uint64_t most = mem.private_bytes;
    while (vec.count > 100) {
        (void)u32vec_pop(&vec);
        u32vec_trim(&vec, &mem);
        ck_assert_uint_lt(vec.room - vec.count, 2 * U32VEC_CHUNK);
    }
    check_all();
    ck_assert_uint_lt(mem.private_bytes, most / 4);
    /* on the edge of a chunk nothing is asked for again and again */
    while (vec.count < 5 * U32VEC_CHUNK)
        push(vec.count);
    uint64_t calls = mem.calls;
    for (unsigned k = 0; k < 1000; k++) {
        push(k);
        (void)u32vec_pop(&vec);
        u32vec_trim(&vec, &mem);
    }
    ck_assert_uint_le(mem.calls, calls + 1);
}
END_TEST

/* A growth that fails changes nothing, whichever of its calls it is. */
START_TEST(memory_that_fails_loses_nothing)
{
    for (uint64_t fail_at = 1; fail_at < 40; fail_at++) {
        u32vec_done(&vec, &mem);
        mem.fail_at = mem.calls + fail_at;
        unsigned refused = 0;
        while (vec.count < 6000) {
            if (!u32vec_prepare(&vec, &mem, 1)) {
                refused++;
                check_all();
                continue; /* that call failed; the next will not */
            }
            model[vec.count] = vec.count * 7;
            u32vec_push(&vec, vec.count * 7);
        }
        check_all();
        ck_assert_uint_le(refused, 1);
        if (fail_at < 10)
            ck_assert_uint_eq(refused, 1);
        mem.fail_at = 0;
    }
}
END_TEST

START_TEST(it_agrees_with_an_array)
{
    struct random random = {.state = 41};
    for (unsigned k = 0; k < 3000; k++) {
        uint32_t many = (uint32_t)random_below(&random, 3000);
        if (random_once_in(&random, 2)) {
            while (many-- > 0 && vec.count < MOST)
                push((uint32_t)random_next(&random));
        } else {
            for (; many > 0 && vec.count > 0; many--) {
                ck_assert_uint_eq(*u32vec_at(&vec, vec.count - 1), model[vec.count - 1]);
                (void)u32vec_pop(&vec);
            }
            u32vec_trim(&vec, &mem);
        }
        if (k % 100 == 0)
            check_all();
    }
    check_all();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("u32vec");
    TCase *tc = suite_case(suite, "u32vec", setup, teardown);
    tcase_add_test(tc, nothing_is_kept_of_an_empty_one);
    tcase_add_test(tc, values_stay_through_every_growth);
    tcase_add_test(tc, only_the_first_chunk_moves);
    tcase_add_test(tc, room_for_many_at_once);
    tcase_add_test(tc, trimming_gives_chunks_back_and_does_not_flap);
    tcase_add_test(tc, memory_that_fails_loses_nothing);
    tcase_add_test(tc, it_agrees_with_an_array);
    return suite_run(suite);
}
