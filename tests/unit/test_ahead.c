/* SPDX-License-Identifier: BSD-3-Clause */
/* daemon/heap/ahead.h: when a piece is wanted, what is charged for it, and that nobody can tell from the bytes. */
#include "daemon/heap/ahead.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define ARENA (256u << 10)
#define SIZE  (1ull << 30)
#define AT    (4ull * AHEAD_PIECE) /* the area begins behind others */
#define FULL  ((uint64_t)AHEAD_LEAST_HOT)

static struct mem mem;
static struct region region;
static struct ahead ahead;
static struct ahead_job job;
static int fd;

static void setup(void)
{
    mem_init(&mem, NULL, 1ull << 30);
    fd = region_create("ahead");
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(region_map(&region, fd, SIZE, false, NULL, &mem), 0);
    ahead_init(&ahead, &region, AT, SIZE - AT, FULL);
}

static void teardown(void)
{
    region_unmap(&region);
    close(fd);
}

/* The area grows by arenas until `bytes` of it are backed. */
static void grow_to(uint64_t bytes)
{
    while (ahead.top < bytes)
        ck_assert_int_eq(ahead_back(&ahead, AT + ahead.top, ARENA), 0);
}

static bool is_zero(uint64_t offset, uint64_t size)
{
    for (uint64_t k = 0; k < size; k++)
        if (region.base[offset + k] != 0)
            return false;
    return true;
}

START_TEST(small_areas_want_nothing)
{
    for (uint64_t bytes = 0; bytes < FULL; bytes += ARENA) {
        grow_to(bytes);
        ck_assert(!ahead_begin(&ahead, &job));
    }
    ck_assert_uint_eq(mem.image_bytes, FULL - ARENA);
}
END_TEST

START_TEST(a_piece_is_wanted_when_little_is_left)
{
    grow_to(FULL);
    ck_assert(ahead_begin(&ahead, &job));
    ck_assert_uint_eq(job.offset, AT + FULL);
    ck_assert_ptr_eq(job.address, region.base + AT + FULL);
    ck_assert(!ahead_begin(&ahead, &job)); /* one at a time */
    ahead_end(&ahead, -ENOMEM);
    grow_to(FULL + ARENA); /* seven eighths are left, more than 512 KiB, and than 1/32 of 4 MiB */
    ck_assert(!ahead_begin(&ahead, &job));
    grow_to(FULL + AHEAD_PIECE - ARENA);
    ck_assert(ahead_begin(&ahead, &job));
    ck_assert_uint_eq(job.offset, AT + FULL + AHEAD_PIECE);
    ahead_end(&ahead, 0);
}
END_TEST

START_TEST(it_is_charged_once)
{
    grow_to(FULL);
    ck_assert(ahead_begin(&ahead, &job));
    ck_assert_uint_eq(mem.image_bytes, FULL + AHEAD_PIECE);
    grow_to(FULL + ARENA); /* while the other thread is at it */
    ck_assert_uint_eq(mem.image_bytes, FULL + AHEAD_PIECE);
    ahead_end(&ahead, 0);
    grow_to(FULL + AHEAD_PIECE);
    ck_assert_uint_eq(mem.image_bytes, FULL + AHEAD_PIECE);
    grow_to(FULL + AHEAD_PIECE + ARENA);
    ck_assert_uint_eq(mem.image_bytes, FULL + AHEAD_PIECE + ARENA);
}
END_TEST

START_TEST(what_cannot_be_had_is_not_charged_nor_tried_again)
{
    grow_to(FULL);
    ck_assert(ahead_begin(&ahead, &job));
    grow_to(FULL + ARENA);
    ahead_end(&ahead, -ENOMEM);
    ck_assert_uint_eq(mem.image_bytes, FULL + ARENA);
    ck_assert(!ahead_begin(&ahead, &job));
    grow_to(FULL + AHEAD_PIECE);
    ck_assert_uint_eq(mem.image_bytes, FULL + AHEAD_PIECE);
    ck_assert(ahead_begin(&ahead, &job)); /* the next one is another try */
    ahead_end(&ahead, -ENOMEM);
}
END_TEST

START_TEST(huge_values_that_pass_it_have_paid_already)
{
    grow_to(FULL);
    ck_assert(ahead_begin(&ahead, &job));
    ahead_end(&ahead, 0);
    uint64_t huge = AHEAD_PIECE - ARENA;
    ck_assert(region_charge(&region, huge));
    ahead_pass(&ahead, AT + FULL, huge);
    ck_assert_uint_eq(mem.image_bytes, FULL + AHEAD_PIECE);
    grow_to(FULL + AHEAD_PIECE);
    ck_assert_uint_eq(mem.image_bytes, FULL + AHEAD_PIECE);
    ck_assert(region_charge(&region, 4 * AHEAD_PIECE));
    ahead_pass(&ahead, AT + FULL + AHEAD_PIECE, 4ull * AHEAD_PIECE);
    ck_assert_uint_eq(mem.image_bytes, FULL + 5ull * AHEAD_PIECE);
}
END_TEST

START_TEST(arenas_below_the_top_pay_as_ever)
{
    grow_to(FULL);
    ck_assert(ahead_begin(&ahead, &job));
    ahead_end(&ahead, 0);
    grow_to(FULL + 2 * ARENA);
    region_punch(&region, AT + FULL, ARENA, true);
    region_uncharge(&region, ARENA);
    uint64_t before = mem.image_bytes;
    ck_assert_int_eq(ahead_back(&ahead, AT + FULL, ARENA), 0);
    ck_assert_uint_eq(mem.image_bytes, before + ARENA);
}
END_TEST

START_TEST(what_is_not_needed_is_given_back)
{
    grow_to(FULL);
    ck_assert(ahead_begin(&ahead, &job));
    ck_assert(!ahead_give(&ahead)); /* another thread has it */
    ck_assert(!ahead_is_ready(&ahead));
    (void)ahead_make(&job);
    ahead_end(&ahead, 0);
    grow_to(FULL + ARENA);
    ck_assert(ahead_give(&ahead));
    ck_assert(!ahead_give(&ahead));
    ck_assert_uint_eq(mem.image_bytes, FULL + ARENA);
    ck_assert(region_has_data(&region, AT + FULL, ARENA));
    ck_assert(!region_has_data(&region, AT + FULL + ARENA, AHEAD_PIECE - ARENA));
}
END_TEST

/* Whether or not this kernel has huge pages to give. */
START_TEST(nobody_can_tell_from_the_bytes)
{
    grow_to(FULL);
    ck_assert(ahead_begin(&ahead, &job));
    grow_to(FULL + ARENA);
    memset(region.base + AT + FULL, 0x5a, ARENA);
    int result = ahead_make(&job);
    ahead_end(&ahead, result);
    ck_assert(result == 0 || result == -EINVAL || result == -ENOMEM || result == -EAGAIN || result == -EBUSY);
    grow_to(FULL + AHEAD_PIECE);
    for (uint64_t k = 0; k < ARENA; k++)
        ck_assert_uint_eq(region.base[AT + FULL + k], 0x5a);
    ck_assert(is_zero(AT + FULL + ARENA, AHEAD_PIECE - ARENA));
    ck_assert_uint_ge(region_file_size(&region), AT + FULL + AHEAD_PIECE);
}
END_TEST

START_TEST(a_budget_that_is_nearly_spent_is_left_alone)
{
    grow_to(FULL);
    mem_set_limit(&mem, mem.used + AHEAD_RESERVE);
    ck_assert(!ahead_begin(&ahead, &job));
    mem_set_limit(&mem, mem.used + AHEAD_RESERVE + 1);
    ck_assert(ahead_begin(&ahead, &job));
    ahead_end(&ahead, 0);
}
END_TEST

START_TEST(files_on_disk_and_private_looks_have_none)
{
    grow_to(FULL);
    region.granules = true;
    ck_assert(!ahead_begin(&ahead, &job));
    region.granules = false;
    region.is_private = true;
    ck_assert(!ahead_begin(&ahead, &job));
    region.is_private = false;
    ck_assert(ahead_begin(&ahead, &job));
    ahead_end(&ahead, 0);
}
END_TEST

START_TEST(a_failed_file_is_told_and_nothing_is_lost)
{
    const struct ahead_job bad = {.address = region.base, .offset = 0, .fd = -1};
    ck_assert_int_eq(ahead_make(&bad), -EBADF);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ahead");
    TCase *tc = suite_case(suite, "ahead", setup, teardown);
    tcase_add_test(tc, small_areas_want_nothing);
    tcase_add_test(tc, a_piece_is_wanted_when_little_is_left);
    tcase_add_test(tc, it_is_charged_once);
    tcase_add_test(tc, what_cannot_be_had_is_not_charged_nor_tried_again);
    tcase_add_test(tc, huge_values_that_pass_it_have_paid_already);
    tcase_add_test(tc, arenas_below_the_top_pay_as_ever);
    tcase_add_test(tc, what_is_not_needed_is_given_back);
    tcase_add_test(tc, nobody_can_tell_from_the_bytes);
    tcase_add_test(tc, a_budget_that_is_nearly_spent_is_left_alone);
    tcase_add_test(tc, files_on_disk_and_private_looks_have_none);
    tcase_add_test(tc, a_failed_file_is_told_and_nothing_is_lost);
    return suite_run(suite);
}
