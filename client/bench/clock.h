/* SPDX-License-Identifier: BSD-3-Clause */
/* Time on the wall and time on a CPU, in nanoseconds. */
#ifndef HF_BENCH_CLOCK_H
#define HF_BENCH_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* The monotonic clock. */
static inline uint64_t bench_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* What the calling thread has spent so far. */
struct bench_thread_time {
    uint64_t cpu_ns;    /* on a CPU */
    uint64_t waited_ns; /* ready to run, but without a CPU; 0 where the kernel does not count it */
};

struct bench_thread_time bench_thread_time(void);

#define BENCH_THREADS_SEEN 128u

/* What the threads of a process have spent on a CPU so far; threads beyond BENCH_THREADS_SEEN are left out. */
struct bench_process_time {
    unsigned count; /* 0: there is no such process, or the kernel does not count */
    struct {
        int tid;
        uint64_t cpu_ns;
    } thread[BENCH_THREADS_SEEN];
};

/* Reads /proc/PID/task/TID/schedstat. What a running thread has spent since the kernel's last tick is missing. */
void bench_process_time(int pid, struct bench_process_time *ret);

/* What was spent from `before` to `after`: by all threads together, and by the one that spent most. A thread that
 * began in between counts whole, one that ended is left out. */
void bench_process_spent(const struct bench_process_time *before, const struct bench_process_time *after,
                         uint64_t *ret_all, uint64_t *ret_most);

/* Is `pid` a process of this machine that runs a program of that name? */
bool bench_process_is(int pid, const char *name);

#endif
