/* SPDX-License-Identifier: BSD-3-Clause */
/* A piece of memory made ready ahead of need: the next 2 MiB of an area that grows at its end, as one huge page.
 *
 * In a heap of many objects every access is to another page, and half of its time is the search for the page. Shared memory
 * has huge pages only where the administrator says so, or on demand: MADV_COLLAPSE (Linux 6.1) makes one of a range whatever
 * /sys says. That takes 2 to 3 ms, far more than a turn may last, so the layer above has another thread do it, before
 * anybody has touched the range. What is promised does not depend on it: the range is a hole of the file before, and pages of
 * zeros after; who needs it while the other thread is at it backs it piece by piece as ever. Measured with 8 M objects
 * (bench_requests 8000000): get 54 and 35 ns, the end of a session 96 and 68 ns an object.
 *
 * An area has at most one such piece. It is charged when it is begun; what was not needed of it is uncharged when it fails
 * or is given back. Files on disk have none: their page cache has large folios of its own. */
#ifndef HEAP_AHEAD_H
#define HEAP_AHEAD_H

#include "daemon/heap/region.h"

/* Bytes of an area from which on it is worth 2 MiB that may not be needed. The hot entries, which every request looks at, have
 * pieces early; a small pool would hardly feel those of the others, but see them in its memory. */
#define AHEAD_LEAST     (16u << 20)
#define AHEAD_LEAST_HOT (4u << 20)
#define AHEAD_PIECE     REGION_GRANULE
#define AHEAD_LEFT      32u /* begun when no more than 1/32 of the area is left in the piece before, */
#define AHEAD_NEAR      (512u << 10)       /* or so much: making it takes as long in a small area */
#define AHEAD_RESERVE   (8u * AHEAD_PIECE) /* budget that must be left beside it */

struct ahead {
    struct region *region;
    uint64_t area, end; /* of the region: where the area begins and ends */
    uint64_t least;     /* bytes of it from which on it has pieces */
    uint64_t top;       /* bytes of the area that are backed or passed, from its start, as told last */
    uint64_t at;        /* of the region: where the piece begins; 0: none */
    uint64_t prepaid;   /* bytes of it that are charged and not backed */
    uint64_t failed;    /* where the last one was that could not be had */
    bool grown;         /* since ahead_begin() was last asked */
    bool running;       /* the other thread has it */
};

/* For the other thread: all it needs, and nothing that anybody changes. */
struct ahead_job {
    void *address;
    uint64_t offset;
    int fd;
};

/* An area of `bytes` at `at` of the region, both multiples of AHEAD_PIECE or nothing is ever made; `least` of them are
 * backed in the ordinary way. */
void ahead_init(struct ahead *ahead, struct region *region, uint64_t at, uint64_t bytes, uint64_t least);
/* Whether the next piece should be made ready now. Then it is charged, and ahead_end() must follow. */
bool ahead_begin(struct ahead *ahead, struct ahead_job *ret);
/* On any thread: 0, or -errno if it could not be had. */
int ahead_make(const struct ahead_job *job);
void ahead_end(struct ahead *ahead, int result);
/* region_back() with a charge for a part of the area, most likely out of the piece. `offset` as in the region. */
int ahead_back(struct ahead *ahead, uint64_t offset, uint64_t size);
/* [offset, offset+size) was charged in another way and will be backed without ahead_back(). */
void ahead_pass(struct ahead *ahead, uint64_t offset, uint64_t size);
/* Whether there is a piece that nobody is at work on. */
static inline bool ahead_is_ready(const struct ahead *ahead)
{
    return ahead->at != 0 && !ahead->running;
}

/* Gives back what is ready and has not been needed. False: nothing to give. */
bool ahead_give(struct ahead *ahead);

#endif
