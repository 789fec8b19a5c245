/* SPDX-License-Identifier: BSD-3-Clause */
/* The last requests that took longer than a threshold, of all workers: a ring of SLOWLOG_ROWS, made when the first one
 * comes. Slow requests are few, so it is under a lock, which is held while a row is copied. */
#ifndef SERVER_SLOWLOG_H
#define SERVER_SLOWLOG_H

#include "daemon/base/mem.h"
#include "daemon/server/brief.h"
#include "proto/limits.h"

#include <stdatomic.h>
#include <uv.h>

#define SLOWLOG_ROWS     256u
#define SLOWLOG_NAME_MAX 64u /* bytes kept of a session's name */

struct slow_row {
    uint64_t number; /* of the row, from 1 on */
    uint64_t at_ms;  /* when its reply was handed to the socket, ms since 1970 */
    uint64_t duration_us;
    uint64_t requests; /* that were answered together with it */
    uint64_t sid;      /* 0: its session had ended */
    uint64_t conn;
    uint32_t pid; /* 0: not told */
    enum hf_method method;
    uint8_t name_size;
    uint8_t name[SLOWLOG_NAME_MAX];
    char pool[HF_POOL_NAME_MAX + 1];
    char args[BRIEF_MAX]; /* empty: none, or not known */
};

struct slowlog {
    _Atomic uint64_t threshold_ns; /* 0: off */
    /* The longest duration that is neither slow nor beyond a histogram: what is at most that long needs no second look. */
    _Atomic uint64_t quick_ns;
    _Atomic uint64_t count; /* of all rows so far */
    struct mem *mem;
    uv_mutex_t lock;
    struct slow_row *rows; /* under the lock, as what follows; NULL: none was needed yet */
    uint64_t first, next;  /* numbers of the oldest row that is kept, and of the next one */
};

/* 0 or a uv error. `mem` is charged with the ring. */
int slowlog_open(struct slowlog *slowlog, struct mem *mem);
void slowlog_close(struct slowlog *slowlog);

/* From any thread. Threshold in us; 0: nothing is slow. */
void slowlog_set(struct slowlog *slowlog, uint64_t threshold_us);
uint64_t slowlog_threshold_us(const struct slowlog *slowlog); /* 0: off */

/* Keeps a row and numbers it; it is only counted when there is no memory for the ring. */
void slowlog_add(struct slowlog *slowlog, struct slow_row *row);
/* The newest rows first, at most `max` of them; `reset`: all rows are forgotten then. Returns how many. */
unsigned slowlog_read(struct slowlog *slowlog, struct slow_row *rows, unsigned max, bool reset);

#endif
