/* SPDX-License-Identifier: BSD-3-Clause */
/* daemon/heap/region.h: what may be touched and when, holes of copied images, private looks that leave the file alone,
 * and files that cannot grow or shrink. */
#include "daemon/heap/region.h"
#include "tests/lib/pool_fixture.h"
#include "tests/lib/random.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE  4096u
#define PIECE (64u * PAGE)
#define SIZE  (1ull << 30)

static struct mem mem;
static struct region region;
static int fd;

static void setup(void)
{
    mem_init(&mem, NULL, UINT64_MAX);
    fd = region_create("region");
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(region_map(&region, fd, SIZE, false, NULL, &mem), 0);
}

static void teardown(void)
{
    region_unmap(&region);
    close(fd);
}

static uint64_t blocks_of(int file)
{
    struct stat st;
    ck_assert_int_eq(fstat(file, &st), 0);
    return (uint64_t)st.st_blocks * 512;
}

static bool is_all(const struct region *r, uint64_t offset, uint64_t size, uint8_t byte)
{
    for (uint64_t k = 0; k < size; k++)
        if (r->base[offset + k] != byte)
            return false;
    return true;
}

/* Whether the page may be read: the kernel is asked, so that nobody has to die. */
static bool is_open(const struct region *r, uint64_t offset)
{
    return madvise(r->base + offset / PAGE * PAGE, PAGE, MADV_POPULATE_READ) == 0;
}

/* The rule that all of the heap lives by; this is how the other tests would see it broken. */
START_TEST(debug_builds_let_nobody_touch_what_is_not_backed)
{
    ck_assert_int_eq(HF_DEBUG, 1);
    ck_assert_int_eq(region_back(&region, PIECE, PIECE, false), 0);
    ck_assert(is_open(&region, PIECE));
    ck_assert(is_open(&region, 2 * PIECE - 1));
    ck_assert(!is_open(&region, PIECE - 1));
    ck_assert(!is_open(&region, 2 * PIECE));
    region_punch(&region, PIECE, PIECE, true);
    ck_assert(!is_open(&region, PIECE));
}
END_TEST

START_TEST(a_range_reads_as_zeros_whenever_it_is_backed_anew)
{
    for (unsigned k = 0; k < 3; k++) {
        ck_assert_int_eq(region_back(&region, 0, PIECE, false), 0);
        ck_assert(is_all(&region, 0, PIECE, 0));
        ck_assert_uint_eq(blocks_of(fd), PIECE);
        memset(region.base, 7, PIECE);
        region_punch(&region, 0, PIECE, true);
        ck_assert_uint_eq(blocks_of(fd), 0);
    }
}
END_TEST

START_TEST(what_is_backed_is_charged_if_so_asked)
{
    ck_assert_int_eq(region_back(&region, 0, PIECE, true), 0);
    ck_assert_uint_eq(mem.image_bytes, PIECE);
    mem_set_limit(&mem, PIECE + PAGE);
    ck_assert_int_eq(region_back(&region, PIECE, 2 * PAGE, true), -ENOMEM);
    ck_assert_int_eq(region.error, 0); /* the budget's refusal, not the file's */
    ck_assert_uint_eq(blocks_of(fd), PIECE);
    ck_assert_int_eq(region_back(&region, SIZE - PAGE, 2 * PAGE, false), -ENOMEM);
    region_uncharge(&region, PIECE);
}
END_TEST

/* ---- a file that refuses ---- */

START_TEST(a_file_that_cannot_grow_is_told_from_a_budget)
{
    struct rlimit old, low = {.rlim_cur = PIECE, .rlim_max = RLIM_INFINITY};
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &old), 0);
    low.rlim_max = old.rlim_max;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &low), 0);
    ck_assert_int_eq(region_back(&region, 0, PIECE, true), 0);
    ck_assert_int_eq(region_back(&region, PIECE, PIECE, true), -ENOMEM);
    ck_assert_int_eq(region.error, EFBIG);
    ck_assert_uint_eq(mem.image_bytes, PIECE);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &old), 0);
    ck_assert_int_eq(region_back(&region, PIECE, PIECE, true), 0);
    ck_assert_int_eq(region.error, 0);
    region_uncharge(&region, 2 * PIECE);
}
END_TEST

static int no_punch(const struct region_io *io, int file, uint64_t offset, uint64_t size)
{
    (void)io, (void)file, (void)offset, (void)size;
    return -ENOSPC;
}

/* The bytes must go all the same: the place is used again for what shall read as zeros. */
START_TEST(pages_that_cannot_be_given_back_are_cleared)
{
    struct region_io io = *region.io;
    io.punch = no_punch;
    region.io = &io;
    ck_assert_int_eq(region_back(&region, 0, 2 * PIECE, false), 0);
    memset(region.base, 9, 2 * PIECE);
    region_punch(&region, 0, PIECE, true);
    ck_assert_uint_eq(blocks_of(fd), 2 * PIECE);
    ck_assert_int_eq(region_back(&region, 0, PIECE, false), 0);
    ck_assert(is_all(&region, 0, PIECE, 0));
    ck_assert(is_all(&region, PIECE, PIECE, 9));
}
END_TEST

/* ---- images that come from elsewhere ---- */

static void write_page(uint64_t page, uint8_t byte)
{
    uint8_t bytes[PAGE];
    memset(bytes, byte, sizeof bytes);
    ck_assert_int_eq(pwrite(fd, bytes, PAGE, (off_t)(page * PAGE)), PAGE);
}

/* A file of five pages and a half, of which only the second and the fourth have data. */
static uint64_t write_holes(void)
{
    uint64_t size = 5 * PAGE + 100;
    write_page(1, 1);
    write_page(3, 3);
    ck_assert_int_eq(ftruncate(fd, (off_t)size), 0);
    return size;
}

START_TEST(admitting_fills_holes_and_changes_no_byte)
{
    uint64_t size = write_holes();
    ck_assert_uint_eq(blocks_of(fd), 2 * PAGE);
    ck_assert_int_eq(region_admit(&region, 0, PIECE), 0);
    ck_assert_uint_eq(blocks_of(fd), 6 * PAGE);
    ck_assert_uint_eq(region_file_size(&region), size);
    ck_assert(is_all(&region, 0, PAGE, 0) && is_all(&region, PAGE, PAGE, 1));
    ck_assert(is_all(&region, 2 * PAGE, PAGE, 0) && is_all(&region, 3 * PAGE, PAGE, 3));
    ck_assert(is_all(&region, 4 * PAGE, 2 * PAGE, 0));
    ck_assert(!is_open(&region, 6 * PAGE)); /* beyond the file */
    ck_assert_int_eq(region_admit(&region, PIECE, PIECE), 0);
    ck_assert(!is_open(&region, PIECE));
    ck_assert_uint_eq(mem.image_bytes, 0);
}
END_TEST

/* Whatever was seen before, and in whichever order pages are asked for. */
START_TEST(a_hole_is_noticed_beside_what_had_none)
{
    static const unsigned order[] = {6, 5, 4, 7, 2, 3, 0, 1};
    for (uint64_t page = 0; page < 8; page++)
        if (page != 3 && page != 6)
            write_page(page, 1);
    for (size_t k = 0; k < sizeof order / sizeof order[0]; k++)
        ck_assert_int_eq(region_admit(&region, order[k] * PAGE, PAGE), 0);
    ck_assert_uint_eq(blocks_of(fd), 8 * PAGE);
    ck_assert_int_eq(region_back(&region, 0, 8 * PAGE, false), 0);
    region_punch(&region, 2 * PAGE, PAGE, true);
    ck_assert_uint_eq(blocks_of(fd), 7 * PAGE);
    ck_assert_int_eq(region_admit(&region, 2 * PAGE, PAGE), 0);
    ck_assert_uint_eq(blocks_of(fd), 8 * PAGE);
}
END_TEST

/* Pieces as large as the file is looked at in; those without a hole are not filled, in whichever order they come. */
START_TEST(only_pieces_with_holes_are_filled)
{
    static const unsigned order[] = {4, 0, 3, 1, 2, 5};
    struct grow_io grow;
    for (uint64_t page = 0; page <= 5 * REGION_SOLID / PAGE; page++)
        write_page(page, 1);
    ck_assert_int_eq(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, REGION_SOLID, PAGE), 0);
    ck_assert_int_eq(
        fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4 * REGION_SOLID - PAGE, 2 * PAGE), 0);
    grow_io_init(&grow);
    region.io = &grow.io;
    for (unsigned k = 0; k < sizeof order / sizeof order[0]; k++) {
        bool has_hole = order[k] == 1 || order[k] == 3 || order[k] == 4;
        uint64_t calls = grow.calls;
        ck_assert_int_eq(region_admit(&region, (uint64_t)order[k] * REGION_SOLID, REGION_SOLID), 0);
        ck_assert_uint_eq(grow.calls - calls, has_hole);
    }
    ck_assert_uint_eq(blocks_of(fd), 5 * REGION_SOLID + PAGE);
    ck_assert_int_eq(region_admit(&region, 0, 5 * REGION_SOLID), 0);
    region_punch(&region, 2 * REGION_SOLID, PAGE, false);
    ck_assert_int_eq(region_admit(&region, 0, 5 * REGION_SOLID), 0);
    ck_assert_uint_eq(blocks_of(fd), 5 * REGION_SOLID + PAGE);
    region_admitted(&region);
    ck_assert_uint_eq(mem.private_bytes, 0);
}
END_TEST

START_TEST(holes_that_cannot_be_filled_are_no_room)
{
    struct grow_io grow;
    (void)write_holes();
    grow_io_init(&grow);
    grow.fail_at = grow.fail_count = 1;
    region.io = &grow.io;
    ck_assert_int_eq(region_admit(&region, 0, PIECE), -ENOMEM);
    ck_assert_int_eq(region.error, ENOSPC);
    ck_assert_int_eq(region_admit(&region, PAGE, PAGE), 0); /* has none */
    ck_assert_uint_eq(grow.calls, 1);
}
END_TEST

START_TEST(a_private_look_leaves_the_file_alone)
{
    struct region look;
    uint64_t size = write_holes();
    ck_assert_int_eq(region_map(&look, fd, SIZE, true, NULL, &mem), 0);
    ck_assert_int_eq(region_admit(&look, 0, PIECE), 0);
    ck_assert(is_all(&look, 0, PAGE, 0) && is_all(&look, PAGE, PAGE, 1) && is_all(&look, 3 * PAGE, PAGE, 3));
    ck_assert_int_eq(region_back(&look, 6 * PAGE, PIECE, false), 0); /* grows beyond the file */
    memset(look.base, 5, 6 * PAGE + PIECE);
    region_punch(&look, 0, PAGE, true);
    ck_assert_int_eq(region_back(&look, 0, PAGE, false), 0);
    ck_assert(is_all(&look, 0, PAGE, 0) && is_all(&look, PAGE, 5 * PAGE, 5));
    region_unmap(&look);
    ck_assert_uint_eq(blocks_of(fd), 2 * PAGE);
    ck_assert_uint_eq(region_file_size(&region), size);
    ck_assert_int_eq(region_admit(&region, 0, 6 * PAGE), 0);
    ck_assert(is_all(&region, 0, PAGE, 0) && is_all(&region, PAGE, PAGE, 1) &&
              is_all(&region, 3 * PAGE, PAGE, 3));
}
END_TEST

START_TEST(extents_are_told)
{
    (void)write_holes();
    ck_assert(!region_has_data(&region, 0, PAGE));
    ck_assert(region_has_data(&region, 0, PAGE + 1));
    ck_assert(!region_has_data(&region, 4 * PAGE, SIZE - 4 * PAGE));
    ck_assert_uint_eq(region_data_end(&region, 0, SIZE), 4 * PAGE);
    ck_assert_uint_eq(region_data_end(&region, 0, 3 * PAGE), 2 * PAGE);
    ck_assert_uint_eq(region_data_end(&region, 4 * PAGE, SIZE), 4 * PAGE);
}
END_TEST

/* ---- granules, as on disk ---- */

static struct grow_io grow;

static void setup_granules(void)
{
    mem_init(&mem, NULL, UINT64_MAX);
    grow_io_init(&grow);
    grow.io.granules = true;
    fd = region_create("region");
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(region_map(&region, fd, SIZE, false, &grow.io, &mem), 0);
}

static void teardown_granules(void)
{
    teardown();
    ck_assert_uint_eq(mem.private_bytes, 0);
}

START_TEST(a_granule_is_whole_until_nothing_in_it_is_used)
{
    ck_assert_int_eq(region_back(&region, PIECE, PIECE, false), 0);
    ck_assert_int_eq(region_back(&region, 3 * PIECE, PAGE, false), 0);
    ck_assert_uint_eq(blocks_of(fd), REGION_GRANULE);
    memset(region.base + PIECE, 1, PIECE);
    region_punch(&region, PIECE, PIECE, true);
    ck_assert_uint_eq(blocks_of(fd), REGION_GRANULE);
    ck_assert_int_eq(region_back(&region, PIECE, PIECE, false), 0);
    ck_assert(is_all(&region, PIECE, PIECE, 0));
    region_punch(&region, PIECE, PIECE, true);
    region_punch(&region, 3 * PIECE, PAGE, true);
    ck_assert_uint_eq(blocks_of(fd), 0);
    ck_assert_uint_eq(region_file_size(&region), 3 * PIECE + PAGE);
}
END_TEST

/* Any order of backing and giving back: what is used keeps its bytes, what is backed anew is zeros, and no granule is
 * ever half there. */
START_TEST(granules_in_any_order)
{
    enum { PIECES = 40, EACH = REGION_GRANULE / PIECE };
    struct random random = {.state = 1};
    uint8_t has[PIECES] = {0};
    for (unsigned turn = 1; turn < 3000; turn++) {
        unsigned n = (unsigned)random_below(&random, PIECES), granules = 0;
        if (has[n] != 0 || turn % 500 > 400) {
            if (has[n] == 0)
                continue;
            ck_assert(is_all(&region, n * PIECE, PAGE, has[n]) &&
                      is_all(&region, (n + 1) * PIECE - PAGE, PAGE, has[n]));
            region_punch(&region, n * PIECE, PIECE, true);
            has[n] = 0;
        } else {
            ck_assert_int_eq(region_back(&region, n * PIECE, PIECE, true), 0);
            ck_assert(is_all(&region, n * PIECE, PIECE, 0));
            has[n] = (uint8_t)(turn % 255 + 1);
            memset(region.base + n * PIECE, has[n], PIECE);
            region_uncharge(&region, PIECE);
        }
        for (unsigned g = 0; g < PIECES / EACH; g++)
            granules += memcmp(has + g * EACH, (uint8_t[EACH]){0}, EACH) != 0;
        ck_assert_uint_eq(blocks_of(fd), (uint64_t)granules * REGION_GRANULE);
    }
    ck_assert_uint_gt(grow.punches, 10);
}
END_TEST

START_TEST(admitting_fills_the_granule_and_the_file_grows_into_it_later)
{
    uint64_t size = write_holes();
    ck_assert_int_eq(region_admit(&region, PAGE, PAGE), 0);
    ck_assert_uint_eq(blocks_of(fd), REGION_GRANULE);
    ck_assert_uint_eq(region_file_size(&region), size);
    ck_assert(is_all(&region, PAGE, PAGE, 1));
    ck_assert_int_eq(region_back(&region, PIECE, PIECE, false), 0);
    ck_assert_uint_ge(region_file_size(&region), 2 * PIECE);
    memset(region.base + PIECE, 2, PIECE);
    region_punch(&region, PIECE, PIECE, true);
    ck_assert(is_all(&region, PAGE, PAGE, 1));
    region_punch(&region, PAGE, PAGE, true);
    ck_assert_uint_eq(blocks_of(fd), 0);
}
END_TEST

/* What an earlier process has left in a place that this one has never used. */
START_TEST(unknown_pages_go_without_their_neighbours)
{
    write_page(1, 1);
    write_page(PIECE / PAGE, 2);
    region_punch(&region, 0, PIECE, false);
    ck_assert_uint_eq(blocks_of(fd), PAGE);
    ck_assert_int_eq(region_admit(&region, PIECE, PAGE), 0);
    ck_assert(is_all(&region, PIECE, PAGE, 2));
    write_page(1, 1);
    region_punch(&region, 0, PIECE, false);
    ck_assert_uint_eq(blocks_of(fd), REGION_GRANULE);
    ck_assert_int_eq(region_back(&region, 0, PIECE, false), 0);
    ck_assert(is_all(&region, 0, PIECE, 0) && is_all(&region, PIECE, PAGE, 2));
}
END_TEST

START_TEST(a_granule_that_cannot_be_backed_leaves_all_as_it_was)
{
    ck_assert_int_eq(region_back(&region, 0, PIECE, true), 0);
    grow.fail_at = grow.calls + 1;
    grow.fail_count = 1;
    ck_assert_int_eq(region_back(&region, REGION_GRANULE - PIECE, 2 * PIECE, true), -ENOMEM);
    ck_assert_int_eq(region.error, ENOSPC);
    ck_assert_uint_eq(mem.image_bytes, PIECE);
    region_punch(&region, 0, PIECE, true);
    region_uncharge(&region, PIECE);
    ck_assert_uint_eq(blocks_of(fd), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("region");
    TCase *tc = suite_case(suite, "region", setup, teardown);
    tcase_add_test(tc, debug_builds_let_nobody_touch_what_is_not_backed);
    tcase_add_test(tc, a_range_reads_as_zeros_whenever_it_is_backed_anew);
    tcase_add_test(tc, what_is_backed_is_charged_if_so_asked);
    tcase_add_test(tc, a_file_that_cannot_grow_is_told_from_a_budget);
    tcase_add_test(tc, pages_that_cannot_be_given_back_are_cleared);
    tcase_add_test(tc, admitting_fills_holes_and_changes_no_byte);
    tcase_add_test(tc, a_hole_is_noticed_beside_what_had_none);
    tcase_add_test(tc, only_pieces_with_holes_are_filled);
    tcase_add_test(tc, holes_that_cannot_be_filled_are_no_room);
    tcase_add_test(tc, a_private_look_leaves_the_file_alone);
    tcase_add_test(tc, extents_are_told);
    tc = suite_case(suite, "granules", setup_granules, teardown_granules);
    tcase_add_test(tc, a_granule_is_whole_until_nothing_in_it_is_used);
    tcase_add_test(tc, granules_in_any_order);
    tcase_add_test(tc, admitting_fills_the_granule_and_the_file_grows_into_it_later);
    tcase_add_test(tc, unknown_pages_go_without_their_neighbours);
    tcase_add_test(tc, a_granule_that_cannot_be_backed_leaves_all_as_it_was);
    return suite_run(suite);
}
