/* SPDX-License-Identifier: BSD-3-Clause */
/* daemon/heap/blocks.h: blocks, large and huge values in an area, against a plain map of what is taken.
 *
 * Whatever is handed out is inside the area, aligned, overlaps nothing and stays until it is freed; after each
 * round every arena keeps its invariants. Growth fails at every call in turn and then nothing has changed. */
#include "daemon/heap/heap.h"
#include "tests/lib/pool_fixture.h"
#include "tests/lib/random.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define AREA_BYTES (64ull << 20)
#define PIECES_MAX 4000u

struct piece {
    uint64_t at, bytes; /* as asked for */
};

static struct mem mem;
static struct grow_io grow;
static struct region region;
static struct blocks blocks;
static uint64_t work;
static struct piece pieces[PIECES_MAX];
static unsigned pieces_count;
static uint64_t taken[AREA_BYTES / 8 / 64]; /* one bit for 8 bytes */

/* The classes of values, as heap.c has them: 8 ... 128 in steps of 8, then four to a doubling. */
static unsigned value_classes(uint32_t *sizes)
{
    unsigned count = 0;
    for (uint32_t size = 8; size <= 128; size += 8)
        sizes[count++] = size;
    for (uint32_t step = 32; step <= 2048; step *= 2)
        for (uint32_t k = 5; k <= 8; k++)
            sizes[count++] = k * step;
    return count;
}

static void setup(void)
{
    uint32_t sizes[BLOCK_CLASSES_MAX];
    unsigned count = value_classes(sizes);
    mem_init(&mem, NULL, UINT64_MAX);
    grow_io_init(&grow);
    ck_assert_int_eq(region_map(&region, region_create("blocks"), AREA_BYTES, false, &grow.io, &mem), 0);
    ck_assert_int_eq(blocks_init(&blocks, &region, 0, AREA_BYTES, sizes, count), 0);
    work = 0;
    blocks.work = &work;
    pieces_count = 0;
    memset(taken, 0, sizeof taken);
}

static void teardown(void)
{
    blocks_done(&blocks);
    region_unmap(&region);
    close(region.fd);
    ck_assert_uint_eq(mem.private_bytes, 0);
}

/* ---- the model ---- */

static bool is_large(uint64_t bytes)
{
    return bytes > BLOCK_MAX;
}

/* What is really taken for a piece of so many bytes. */
static uint64_t room_of(uint64_t bytes)
{
    return is_large(bytes) ? (uint64_t)payload_pages(bytes) * PAGE_BYTES
                           : blocks.class[payload_class(bytes)].size;
}

static void mark(uint64_t at, uint64_t bytes, bool now)
{
    for (uint64_t k = at / 8, end = (at + bytes) / 8; k < end;) {
        uint64_t part = k % 64 == 0 && end - k >= 64 ? 64 : 1; /* bits */
        uint64_t mask = part == 64 ? UINT64_MAX : 1ull << (k % 64);
        if ((taken[k / 64] & mask) != (now ? 0 : mask))
            ck_abort_msg("%llu is taken twice or freed twice", (unsigned long long)(k * 8));
        taken[k / 64] ^= mask;
        k += part;
    }
}

static int take(uint64_t bytes, uint64_t *ret_at)
{
    return is_large(bytes) ? blocks_alloc_pages(&blocks, payload_pages(bytes), ret_at)
                           : blocks_alloc(&blocks, payload_class(bytes), ret_at);
}

static bool add(uint64_t bytes)
{
    uint64_t at;
    int err = take(bytes, &at);
    ck_assert(err == 0 || err == -ENOMEM);
    if (err != 0)
        return false;
    ck_assert_uint_le(at + room_of(bytes), AREA_BYTES);
    ck_assert_uint_eq(at % (is_large(bytes) ? PAGE_BYTES : bytes >= 4096 ? 64 : 8), 0);
    mark(at, room_of(bytes), true);
    if (blocks_is_huge(payload_pages(bytes)))
        ck_assert_int_eq(blocks_back(&blocks, at, bytes), 0);
    /* it is backed: this is no SIGBUS, and nobody else writes there */
    region.base[at] = (uint8_t)bytes;
    region.base[at + bytes - 1] = (uint8_t)bytes;
    pieces[pieces_count++] = (struct piece){at, bytes};
    return true;
}

static void drop(unsigned n)
{
    struct piece piece = pieces[n];
    ck_assert_uint_eq(region.base[piece.at], (uint8_t)piece.bytes);
    ck_assert_uint_eq(region.base[piece.at + piece.bytes - 1], (uint8_t)piece.bytes);
    mark(piece.at, room_of(piece.bytes), false);
    pieces[n] = pieces[--pieces_count];
    if (is_large(piece.bytes)) {
        blocks_free_pages(&blocks, payload_pages(piece.bytes), piece.at);
    } else {
        ck_assert(blocks_is_allocated(&blocks, payload_class(piece.bytes), piece.at));
        blocks_free(&blocks, payload_class(piece.bytes), piece.at);
    }
}

static void drop_all(void)
{
    while (pieces_count > 0)
        drop(pieces_count - 1);
    while (blocks_step(&blocks)) {
    }
    ck_assert(!blocks_has_work(&blocks));
    ck_assert_uint_eq(blocks.live_bytes, 0);
}

/* Every block is in one size, every byte that is backed, too. */
static void check_sizes(void)
{
    struct size_sum sums[SIZES] = {0};
    uint64_t count[SIZES] = {0}, bytes = 0, used = 0;
    for (unsigned n = 0; n < pieces_count; n++)
        if (!is_large(pieces[n].bytes))
            count[payload_class(pieces[n].bytes)]++;
    blocks_sizes(&blocks, sums);
    for (unsigned k = 0; k < SIZES; k++) {
        ck_assert_uint_eq(sums[k].used, count[k]);
        ck_assert_uint_le(sums[k].used, sums[k].blocks);
        ck_assert_uint_le(sums[k].used_bytes, sums[k].bytes);
        bytes += sums[k].bytes;
        used += sums[k].used_bytes;
    }
    ck_assert_uint_eq(bytes, blocks.backed_bytes);
    ck_assert_uint_eq(used, blocks.live_bytes);
}

static void check_all(void)
{
    uint64_t live = 0;
    for (unsigned n = 0; n < pieces_count; n++)
        live += room_of(pieces[n].bytes);
    ck_assert_uint_eq(blocks.live_bytes, live);
    for (uint32_t n = 0; n < blocks.arenas_top; n++) {
        const char *wrong = blocks_check_arena(&blocks, n);
        ck_assert_msg(wrong == NULL, "arena %u: %s", n, wrong);
    }
    check_sizes();
}

static uint64_t any_size(struct random *random)
{
    switch (random_below(random, 12)) {
    case 0: return random_between(random, BLOCK_MAX + 1, 32 * PAGE_BYTES);       /* large */
    case 1: return random_between(random, 32 * PAGE_BYTES + 1, 5 * ARENA_BYTES); /* huge */
    case 2:
    case 3: return random_between(random, 1, BLOCK_MAX);
    case 4: return random_between(random, 1, 40) * PAGE_BYTES;
    default: return random_between(random, 1, 300);
    }
}

/* ---- classes ---- */

START_TEST(every_length_has_the_smallest_class_that_holds_it)
{
    for (uint64_t bytes = 1; bytes <= BLOCK_MAX; bytes++) {
        unsigned class = payload_class(bytes);
        ck_assert_uint_lt(class, blocks.classes);
        ck_assert_uint_ge(blocks.class[class].size, bytes);
        if (class > 0)
            ck_assert_uint_lt(blocks.class[class - 1].size, bytes);
    }
}
END_TEST

/* On average over lengths, uniform and log-uniform from 16 bytes to 16 KiB. */
START_TEST(inner_waste_is_at_most_an_eighth)
{
    double used = 0, room = 0, log_used = 0, log_room = 0;
    for (uint64_t bytes = 16; bytes <= BLOCK_MAX; bytes++) {
        double size = blocks.class[payload_class(bytes)].size;
        used += (double)bytes;
        room += size;
        /* each length is met in proportion to 1/length */
        log_used += 1;
        log_room += size / (double)bytes;
        ck_assert_msg(size <= (double)bytes * 1.25 + 8, "%u bytes for %u", (unsigned)size, (unsigned)bytes);
    }
    double uniform = 1 - used / room, by_log = 1 - log_used / log_room;
    printf("inner waste: %.1f %% uniform, %.1f %% log-uniform\n", uniform * 100, by_log * 100);
    ck_assert(uniform <= 0.125);
    ck_assert(by_log <= 0.125);
}
END_TEST

START_TEST(runs_leave_little_behind_their_last_block)
{
    for (unsigned k = 0; k < blocks.classes; k++) {
        const struct block_class *class = &blocks.class[k];
        uint64_t run = (uint64_t) class->pages * PAGE_BYTES;
        ck_assert_uint_le((uint64_t) class->count * class->size, run);
        ck_assert_uint_le((run - (uint64_t) class->count * class->size) * 16, run);
        ck_assert_uint_le(class->count, RUN_BITMAP * 64);
        /* the division by multiplication is exact for every offset of a run */
        for (uint32_t block = 0; block < class->count; block++) {
            uint64_t first = (uint64_t)block * class->size, last = first + class->size - 1;
            ck_assert_uint_eq((first * class->magic) >> 32, block);
            ck_assert_uint_eq((last * class->magic) >> 32, block);
        }
    }
}
END_TEST

START_TEST(payloads_of_a_page_are_aligned)
{
    for (uint64_t bytes = PAGE_BYTES; bytes <= 40 * PAGE_BYTES; bytes += 1021)
        for (unsigned k = 0; k < 3; k++)
            ck_assert(add(bytes)); /* which asserts 64 bytes, and pages for those above 16 KiB */
    check_all();
    drop_all();
}
END_TEST

/* ---- taking and giving ---- */

START_TEST(it_agrees_with_a_map)
{
    struct random random = {.state = 1000 + (uint64_t)_i};
    unsigned refused = 0;
    for (unsigned k = 0; k < 30000; k++) {
        /* rises, falls, rises again: arenas come, go, and come again */
        bool more = random_below(&random, 100) < (k / 5000 % 2 == 0 ? 70u : 30u);
        if (more && pieces_count < PIECES_MAX)
            refused += !add(any_size(&random));
        else if (pieces_count > 0)
            drop((unsigned)random_below(&random, pieces_count));
        if (random_once_in(&random, 20))
            (void)blocks_step(&blocks);
        if (random_once_in(&random, 200))
            (void)blocks_prepare(&blocks, random_once_in(&random, 2));
        if (k % 1000 == 0)
            check_all();
    }
    check_all();
    drop_all();
    check_all();
    (void)refused;
}
END_TEST

#define HOLE 2048u

/* One hole in each run, then all of them again: no run with a free block is lost, whichever list it was in. */
START_TEST(what_is_set_aside_is_found_again)
{
    unsigned a_run = blocks.class[payload_class(HOLE)].count, holes = PIECES_MAX / a_run;
    for (unsigned k = 0; k < holes * a_run; k++)
        ck_assert(add(HOLE));
    uint32_t runs = blocks.run_count[payload_class(HOLE)];
    for (unsigned k = 0; k < holes; k++) {
        if (k == holes / 2 || k == holes * 3 / 4)
            blocks_set_aside(&blocks,
                             ARENA_BYTES); /* what becomes free from now on is not aside: nobody saves */
        drop(k * (a_run - 1));             /* the last one takes its place */
    }
    ck_assert_uint_ne(blocks.aside[payload_class(HOLE)].first, RUN_NONE);
    ck_assert_uint_ne(blocks.partial[payload_class(HOLE)].first, RUN_NONE);
    if (_i == 0)
        blocks_set_back(&blocks);
    for (unsigned k = 0; k < holes; k++)
        ck_assert(add(HOLE));
    ck_assert_uint_eq(blocks.run_count[payload_class(HOLE)], runs);
    check_all();
    drop_all();
}
END_TEST

START_TEST(memory_comes_back)
{
    struct random random = {.state = 77};
    for (unsigned k = 0; k < 2000; k++)
        ck_assert(add(random_between(&random, 1, 20000)));
    uint64_t most = blocks.backed_bytes;
    ck_assert_uint_ge(most, blocks.live_bytes);
    ck_assert_uint_ge(mem.image_bytes, blocks.backed_bytes);
    drop_all();
    /* the last run of a class stays, a whole arena for each of the eight largest, and two spare arenas */
    ck_assert_uint_le(blocks.backed_bytes, 24 * ARENA_BYTES);
    ck_assert_uint_gt(grow.punches, 0);
    ck_assert_uint_le(mem.image_bytes, blocks.backed_bytes);
    for (unsigned k = 0; k < 2000; k++)
        ck_assert(add(random_between(&random, 1, 20000)));
    drop_all();
}
END_TEST

START_TEST(one_that_comes_and_goes_does_not_flap)
{
    static const uint64_t sizes[] = {8, 100, 600, 5000, 20000, 100000};
    for (size_t n = 0; n < sizeof sizes / sizeof sizes[0]; n++) {
        ck_assert(add(sizes[n]));
        drop(0);
        uint64_t calls = grow.calls, punches = grow.punches;
        for (unsigned k = 0; k < 1000; k++) {
            ck_assert(add(sizes[n]));
            drop(0);
            while (blocks_step(&blocks)) {
            }
        }
        ck_assert_uint_eq(grow.calls, calls);
        ck_assert_uint_eq(grow.punches, punches);
    }
}
END_TEST

START_TEST(the_lowest_place_is_taken_first)
{
    for (unsigned k = 0; k < 500; k++)
        ck_assert(add(64));
    uint64_t at = pieces[100].at;
    drop(400);
    drop(300);
    drop(100);
    ck_assert(add(64));
    ck_assert_uint_eq(pieces[pieces_count - 1].at, at);
    drop_all();
}
END_TEST

START_TEST(a_full_area_refuses_and_goes_on)
{
    unsigned count = 0;
    while (pieces_count < PIECES_MAX && add(200000))
        count++;
    ck_assert_uint_ge(count, AREA_BYTES / ARENA_BYTES - 1);
    ck_assert(!add(200000));
    check_all();
    drop(count / 2);
    while (blocks_step(&blocks)) {
    }
    ck_assert(add(200000));
    check_all();
    drop_all();
}
END_TEST

/* A value of several arenas fits into a gap of as many that others have left. */
START_TEST(huge_values_use_gaps_again)
{
    for (unsigned k = 0; k < 20; k++)
        ck_assert(add(3 * ARENA_BYTES));
    uint32_t top = blocks.arenas_top;
    drop(5);
    while (blocks_step(&blocks)) {
    }
    ck_assert(add(3 * ARENA_BYTES - 5 * PAGE_BYTES));
    ck_assert_uint_eq(blocks.arenas_top, top);
    check_all();
    drop_all();
}
END_TEST

START_TEST(huge_values_are_backed_piece_by_piece)
{
    uint64_t at, hole;
    ck_assert_int_eq(blocks_alloc_pages(&blocks, 4 * ARENA_PAGES + 3, &at), 0);
    uint64_t bytes = (4 * ARENA_PAGES + 3) * (uint64_t)PAGE_BYTES, calls = grow.calls,
             charged = mem.image_bytes;
    ck_assert_uint_ge(charged, bytes); /* all is paid for at once */
    ck_assert(!blocks_backed(&blocks, at, bytes, &hole));
    ck_assert_uint_eq(hole, at);
    ck_assert_int_eq(blocks_back(&blocks, at + ARENA_BYTES + 5, 10), 0);
    ck_assert_uint_eq(grow.calls, calls + 1);
    ck_assert(blocks_backed(&blocks, at + ARENA_BYTES, ARENA_BYTES, &hole));
    ck_assert(!blocks_backed(&blocks, at, bytes, &hole));
    ck_assert_int_eq(blocks_back(&blocks, at, ARENA_BYTES), 0);
    ck_assert(!blocks_backed(&blocks, at, bytes, &hole));
    ck_assert_uint_eq(hole, at + 2 * ARENA_BYTES);
    grow.fail_at = grow.calls + 2;
    grow.fail_count = 1;
    ck_assert_int_eq(blocks_back(&blocks, at, bytes), -ENOMEM);
    ck_assert(!blocks_backed(&blocks, at, bytes, &hole));
    ck_assert_uint_eq(hole, at + 3 * ARENA_BYTES);
    ck_assert_int_eq(blocks_back(&blocks, at, bytes), 0);
    ck_assert(blocks_backed(&blocks, at, bytes, &hole));
    ck_assert_uint_eq(mem.image_bytes, charged);
    blocks_free_pages(&blocks, 4 * ARENA_PAGES + 3, at);
    ck_assert(blocks_has_work(&blocks));
    drop_all();
    ck_assert_uint_eq(blocks.backed_bytes, 0);
    ck_assert_uint_eq(mem.image_bytes, 0);
}
END_TEST

/* ---- in pieces ---- */

START_TEST(an_arena_is_made_ready_in_pieces)
{
    for (unsigned k = 1; k <= ARENA_BYTES / PIECE_BYTES; k++) {
        ck_assert(blocks_lacks_run(&blocks, 3) && blocks_lacks_pages(&blocks, 5));
        ck_assert_int_eq(blocks_prepare(&blocks, true), k * PIECE_BYTES < ARENA_BYTES ? -EAGAIN : 0);
        ck_assert_uint_eq(grow.calls, k);
        ck_assert_uint_eq(grow.backed, k * PIECE_BYTES);
        ck_assert_uint_eq(mem.image_bytes, ARENA_BYTES); /* what is begun can be paid for */
        check_all();
    }
    ck_assert(!blocks_lacks_run(&blocks, 3) && !blocks_lacks_pages(&blocks, 5));
    ck_assert(add(20000));
    ck_assert(blocks_lacks_run(&blocks, 3) && !blocks_lacks_pages(&blocks, 5));
    ck_assert_uint_eq(grow.backed, ARENA_BYTES);
    drop_all();
}
END_TEST

START_TEST(who_needs_an_arena_takes_the_one_that_is_made_ready)
{
    ck_assert_int_eq(blocks_prepare(&blocks, false), -EAGAIN);
    ck_assert(add(100));
    ck_assert_uint_eq(grow.calls, 2);
    ck_assert_uint_eq(grow.backed, ARENA_BYTES);
    ck_assert_uint_eq(blocks.backed_bytes, ARENA_BYTES);
    ck_assert_uint_eq(mem.image_bytes, ARENA_BYTES);
    ck_assert_uint_eq(blocks.arenas_top, 1);
    check_all();
    drop_all();
}
END_TEST

START_TEST(a_piece_that_cannot_be_had_can_be_had_later)
{
    mem.limit = ARENA_BYTES / 2;
    ck_assert_int_eq(blocks_prepare(&blocks, true), -ENOMEM);
    ck_assert_uint_eq(mem.image_bytes, 0);
    mem.limit = UINT64_MAX;
    grow.fail_at = 2;
    grow.fail_count = 3;
    ck_assert_int_eq(blocks_prepare(&blocks, true), -EAGAIN);
    ck_assert_int_eq(blocks_prepare(&blocks, true), -ENOMEM);
    ck_assert(!add(100)); /* neither the rest of this arena, nor another one */
    ck_assert_uint_eq(mem.image_bytes, ARENA_BYTES);
    check_all();
    ck_assert_int_eq(blocks_prepare(&blocks, true), -EAGAIN);
    ck_assert_int_eq(blocks_prepare(&blocks, true), -EAGAIN);
    ck_assert_int_eq(blocks_prepare(&blocks, true), 0);
    ck_assert(add(100));
    ck_assert_uint_eq(grow.backed, ARENA_BYTES);
    check_all();
    drop_all();
}
END_TEST

START_TEST(memory_is_given_back_in_pieces)
{
    const uint64_t bytes = 2 * ARENA_BYTES + PIECE_BYTES + PAGE_BYTES;
    ck_assert(add(bytes));
    drop(0);
    for (uint64_t left = bytes; left > 0;) {
        uint64_t punched = grow.punched, charged = mem.image_bytes;
        ck_assert(blocks_step(&blocks));
        left -= grow.punched - punched;
        ck_assert_uint_le(grow.punched - punched, PIECE_BYTES);
        ck_assert_uint_eq(charged - mem.image_bytes, grow.punched - punched);
        ck_assert_uint_eq(blocks.backed_bytes, left);
        check_all();
    }
    ck_assert(!blocks_step(&blocks));
    ck_assert_uint_eq(grow.punches, 2 * ARENA_BYTES / PIECE_BYTES + 2);
    ck_assert_uint_eq(blocks.free.count, 3);
}
END_TEST

/* Most of what is kept of an arena are the bitmaps of its runs. A pool that once held a huge value, or many small ones,
 * does not keep them for ever. */
START_TEST(only_arenas_of_runs_have_bitmaps)
{
    enum { ARENAS = 10, BYTES = 1024 };
    ck_assert(add(20 * ARENA_BYTES));
    ck_assert(add(100000));
    ck_assert_uint_eq(blocks.bitmaps.charged, 0);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned k = 0; k < ARENAS * (ARENA_BYTES / BYTES); k++)
            ck_assert(add(BYTES));
        ck_assert_uint_eq(blocks.bitmaps.charged, ARENAS * MEM_PAGE);
        check_all();
        drop_all();
        ck_assert_uint_ge(blocks.bitmaps.charged, MEM_PAGE);     /* of the last run, which stays, ... */
        ck_assert_uint_le(blocks.bitmaps.charged, 3 * MEM_PAGE); /* ... and perhaps of the two spare arenas */
    }
}
END_TEST

/* ---- no memory ---- */

/* The n-th growth of the file, or the n-th private one, fails: that call refuses, and nothing else is different. */
START_TEST(growth_that_fails_changes_nothing)
{
    static const uint64_t sizes[] = {1,     8,     130,    600,    5000,   16384,
                                     16385, 60000, 131072, 131073, 300000, 2000000};
    for (unsigned private = 0; private < 2; private ++) {
        for (uint64_t n = 1; n <= 40; n++) {
            unsigned refused = 0;
            setup();
            if (private)
                mem.fail_at = mem.calls + n;
            grow.fail_at = private ? 0 : n;
            grow.fail_count = 1;
            for (unsigned k = 0; k < 60; k++) {
                uint64_t bytes = sizes[k % (sizeof sizes / sizeof sizes[0])], at;
                uint64_t live = blocks.live_bytes, image = mem.image_bytes, backed = blocks.backed_bytes;
                if (take(bytes, &at) == 0) {
                    mark(at, room_of(bytes), true);
                    pieces[pieces_count++] = (struct piece){at, bytes};
                    if (!blocks_is_huge(payload_pages(bytes))) {
                        region.base[at] = region.base[at + bytes - 1] = (uint8_t)bytes;
                    } else {
                        while (blocks_back(&blocks, at, bytes) !=
                               0) /* its failure is the last of this round */
                            refused++;
                        region.base[at] = region.base[at + bytes - 1] = (uint8_t)bytes;
                    }
                } else {
                    refused++;
                    ck_assert_uint_eq(blocks.live_bytes, live);
                    ck_assert_uint_eq(mem.image_bytes, image);
                    ck_assert_uint_eq(blocks.backed_bytes, backed);
                }
            }
            ck_assert_uint_le(refused, 1);
            if (n <= 5)
                ck_assert_uint_eq(refused, 1);
            check_all();
            drop_all();
            teardown();
        }
    }
    setup();
}
END_TEST

START_TEST(a_spent_budget_refuses)
{
    struct random random = {.state = 9};
    mem.limit = 4u << 20;
    unsigned refused = 0;
    for (unsigned k = 0; k < 20000; k++) {
        if (random_below(&random, 100) < 60 && pieces_count < PIECES_MAX) {
            uint64_t bytes = random_between(&random, 1, random_once_in(&random, 10) ? 100000 : 2000);
            refused += !add(bytes);
        } else if (pieces_count > 0) {
            drop((unsigned)random_below(&random, pieces_count));
        }
        ck_assert_uint_le(atomic_load_explicit(&mem.used, memory_order_relaxed), mem.limit); /* one thread */
        if (random_once_in(&random, 10))
            (void)blocks_step(&blocks);
    }
    ck_assert_uint_gt(refused, 0);
    check_all();
    drop_all();
}
END_TEST

/* ---- recovery ---- */

/* All pieces claimed in a fresh struct over the same file: afterwards it goes on as the old one would have. */
static void claim_all(struct random *random)
{
    struct blocks fresh;
    uint32_t sizes[BLOCK_CLASSES_MAX];
    unsigned count = value_classes(sizes);
    uint64_t live = blocks.live_bytes;
    ck_assert_int_eq(blocks_init(&fresh, &region, 0, AREA_BYTES, sizes, count), 0);
    fresh.work = &work;
    ck_assert(blocks_claim_begin(&fresh, blocks.arenas_top));
    for (unsigned n = 0; n < pieces_count; n++) {
        struct piece piece = pieces[n];
        bool large = is_large(piece.bytes);
        unsigned class = large ? 0 : payload_class(piece.bytes);
        uint32_t pages = payload_pages(piece.bytes);
        if (large) {
            ck_assert(!blocks_claim_pages(&fresh, pages, piece.at + 8, true));
            ck_assert(!blocks_claim_pages(&fresh, pages, (uint64_t)blocks.arenas_top * ARENA_BYTES, true));
            ck_assert(blocks_claim_pages(&fresh, pages, piece.at, true));
        } else {
            ck_assert(!blocks_claim(&fresh, class, piece.at + 4));
            ck_assert(!blocks_claim(&fresh, class, (uint64_t)blocks.arenas_top * ARENA_BYTES));
            ck_assert(blocks_claim(&fresh, class, piece.at));
            ck_assert(!blocks_claim(&fresh, class, piece.at));
            ck_assert(!blocks_claim(&fresh, class == 0 ? 40 : class - 1, piece.at));
        }
    }
    ck_assert(blocks_claimed(&fresh));
    ck_assert_uint_eq(fresh.live_bytes, live);
    region_uncharge(&region, blocks.backed_bytes);
    blocks_done(&blocks);
    blocks = fresh;
    (void)random;
}

START_TEST(claims_make_the_same_again)
{
    struct random random = {.state = 55};
    for (unsigned k = 0; k < 3000; k++) {
        if (random_below(&random, 100) < 65 && pieces_count < 1500)
            (void)add(any_size(&random));
        else if (pieces_count > 0)
            drop((unsigned)random_below(&random, pieces_count));
    }
    while (blocks_step(&blocks)) {
    }
    claim_all(&random);
    check_all();
    while (blocks_step(&blocks)) {
    }
    for (unsigned k = 0; k < 3000; k++) {
        if (random_below(&random, 100) < 40 && pieces_count < PIECES_MAX)
            (void)add(any_size(&random));
        else if (pieces_count > 0)
            drop((unsigned)random_below(&random, pieces_count));
    }
    check_all();
    drop_all();
}
END_TEST

START_TEST(claims_that_overlap_are_refused)
{
    ck_assert(blocks_claim_begin(&blocks, 8));
    ck_assert(!blocks_claim(&blocks, payload_class(64), 128)); /* the file ends before */
    ck_assert_int_eq(region_back(&region, 0, 8 * ARENA_BYTES, false), 0);
    ck_assert(blocks_claim_begin(&blocks, 8));
    ck_assert(blocks_claim(&blocks, payload_class(64), 128));
    ck_assert(!blocks_claim(&blocks, payload_class(72), 0)); /* the run has a class */
    ck_assert(!blocks_claim(&blocks, payload_class(64), 100));
    ck_assert(!blocks_claim_pages(&blocks, 5, 0, true)); /* small and large do not share an arena */
    ck_assert(blocks_claim_pages(&blocks, 5, ARENA_BYTES, true));
    ck_assert(!blocks_claim_pages(&blocks, 5, ARENA_BYTES + 4 * PAGE_BYTES, true));
    ck_assert(blocks_claim_pages(&blocks, 5, ARENA_BYTES + 5 * PAGE_BYTES, true));
    ck_assert(!blocks_claim_pages(&blocks, 5, 2 * ARENA_BYTES - 4 * PAGE_BYTES, true)); /* across two */
    ck_assert(blocks_claim_pages(&blocks, 2 * ARENA_PAGES, 3 * ARENA_BYTES, true));
    ck_assert(!blocks_claim_pages(&blocks, 2 * ARENA_PAGES, 4 * ARENA_BYTES, true));
    ck_assert(!blocks_claim_pages(&blocks, 2 * ARENA_PAGES, 2 * ARENA_BYTES, true));
    ck_assert(!blocks_claim_pages(&blocks, 2 * ARENA_PAGES, 5 * ARENA_BYTES + PAGE_BYTES, true));
    ck_assert(!blocks_claim_pages(&blocks, 4 * ARENA_PAGES, 5 * ARENA_BYTES, true)); /* beyond the last */
    ck_assert(!blocks_claim(&blocks, payload_class(64), 3 * ARENA_BYTES));
    ck_assert(!blocks_claim(&blocks, 999, 0));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("blocks");
    TCase *tc = suite_case(suite, "blocks", setup, teardown);
    tcase_add_test(tc, every_length_has_the_smallest_class_that_holds_it);
    tcase_add_test(tc, inner_waste_is_at_most_an_eighth);
    tcase_add_test(tc, runs_leave_little_behind_their_last_block);
    tcase_add_test(tc, payloads_of_a_page_are_aligned);
    tcase_add_loop_test(tc, it_agrees_with_a_map, 0, 4);
    tcase_add_loop_test(tc, what_is_set_aside_is_found_again, 0, 2);
    tcase_add_test(tc, memory_comes_back);
    tcase_add_test(tc, one_that_comes_and_goes_does_not_flap);
    tcase_add_test(tc, the_lowest_place_is_taken_first);
    tcase_add_test(tc, a_full_area_refuses_and_goes_on);
    tcase_add_test(tc, huge_values_use_gaps_again);
    tcase_add_test(tc, huge_values_are_backed_piece_by_piece);
    tcase_add_test(tc, an_arena_is_made_ready_in_pieces);
    tcase_add_test(tc, who_needs_an_arena_takes_the_one_that_is_made_ready);
    tcase_add_test(tc, a_piece_that_cannot_be_had_can_be_had_later);
    tcase_add_test(tc, memory_is_given_back_in_pieces);
    tcase_add_test(tc, only_arenas_of_runs_have_bitmaps);
    tcase_add_test(tc, growth_that_fails_changes_nothing);
    tcase_add_test(tc, a_spent_budget_refuses);
    tcase_add_test(tc, claims_make_the_same_again);
    tcase_add_test(tc, claims_that_overlap_are_refused);
    return suite_run(suite);
}
