/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/heap/ahead.h"

#include "daemon/base/bits.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1; Debian 12's headers of the C library do not have it yet */
#endif

#define PAGE 4096u

void ahead_init(struct ahead *ahead, struct region *region, uint64_t at, uint64_t bytes, uint64_t least)
{
    *ahead = (struct ahead){.region = region, .area = at, .end = at + bytes, .least = least};
}

/* Where the next piece would begin; 0: none is wanted. */
static uint64_t next_piece(const struct ahead *ahead)
{
    const struct region *region = ahead->region;
    uint64_t top = ahead->area + ahead->top, next = bits_round_up(top, AHEAD_PIECE);
    if (region->granules || region->is_private || ahead->top < ahead->least || ahead->at != 0)
        return 0;
    uint64_t left = ahead->top / AHEAD_LEFT > AHEAD_NEAR ? ahead->top / AHEAD_LEFT : AHEAD_NEAR;
    bool near = next - top <= left;
    bool fits = next + AHEAD_PIECE <= ahead->end && (uintptr_t)region->base % AHEAD_PIECE == 0;
    return near && fits && next != ahead->failed && mem_left(region->mem) > AHEAD_RESERVE ? next : 0;
}

bool ahead_begin(struct ahead *ahead, struct ahead_job *ret)
{
    ahead->grown = false;
    uint64_t at = next_piece(ahead);
    if (at == 0 || !region_charge(ahead->region, AHEAD_PIECE))
        return false;
    ahead->at = at;
    ahead->prepaid = AHEAD_PIECE;
    ahead->running = true;
    *ret = (struct ahead_job){.address = ahead->region->base + at, .offset = at, .fd = ahead->region->fd};
    return true;
}

/* The file must reach to the end of the range and have a page in it. It is lengthened by fallocate(), which never makes
 * it shorter: the pool's own thread lengthens it too. */
int ahead_make(const struct ahead_job *job)
{
    if (fallocate(job->fd, 0, (off_t)(job->offset + AHEAD_PIECE - PAGE), PAGE) != 0)
        return -errno;
    return madvise(job->address, AHEAD_PIECE, MADV_COLLAPSE) == 0 ? 0 : -errno;
}

/* Forgets the piece, and the charge of what is left of it. */
static void drop(struct ahead *ahead)
{
    region_uncharge(ahead->region, ahead->prepaid);
    ahead->prepaid = 0;
    ahead->at = 0;
}

void ahead_end(struct ahead *ahead, int result)
{
    ahead->running = false;
    if (result != 0)
        ahead->failed = ahead->at;
    if (result != 0 || ahead->prepaid == 0)
        drop(ahead);
}

/* Bytes of a range that lie in the piece. */
static uint64_t in_piece(const struct ahead *ahead, uint64_t offset, uint64_t size)
{
    uint64_t from = offset > ahead->at ? offset : ahead->at;
    uint64_t to = offset + size < ahead->at + AHEAD_PIECE ? offset + size : ahead->at + AHEAD_PIECE;
    return ahead->at != 0 && from < to ? to - from : 0;
}

static void reach(struct ahead *ahead, uint64_t end)
{
    if (end - ahead->area <= ahead->top)
        return;
    ahead->top = end - ahead->area;
    ahead->grown = true;
}

static void spend(struct ahead *ahead, uint64_t bytes)
{
    ahead->prepaid -= bytes;
    if (ahead->prepaid == 0 && !ahead->running)
        ahead->at = 0;
}

int ahead_back(struct ahead *ahead, uint64_t offset, uint64_t size)
{
    bool paid = offset + size > ahead->area + ahead->top && in_piece(ahead, offset, size) == size;
    int err = region_back(ahead->region, offset, size, !paid);
    if (err != 0)
        return err;
    reach(ahead, offset + size);
    if (paid)
        spend(ahead, size);
    return 0;
}

void ahead_pass(struct ahead *ahead, uint64_t offset, uint64_t size)
{
    uint64_t top = ahead->area + ahead->top, end = offset + size;
    if (end <= top)
        return;
    uint64_t from = offset > top ? offset : top, bytes = in_piece(ahead, from, end - from);
    region_uncharge(ahead->region, bytes);
    reach(ahead, end);
    spend(ahead, bytes);
}

bool ahead_give(struct ahead *ahead)
{
    if (!ahead_is_ready(ahead))
        return false;
    uint64_t from = ahead->at + AHEAD_PIECE - ahead->prepaid;
    region_punch(ahead->region, from, ahead->prepaid, false);
    drop(ahead);
    return true;
}
