/* SPDX-License-Identifier: BSD-3-Clause */
/* When requests are due in an open loop: number n = 0, 1, 2, ... at start + n / rate, in whole nanoseconds, without
 * drift. A generator of several threads deals them out in turn: thread t has the numbers t, t + threads, ... ("places"
 * 0, 1, ... of that thread). Times are those of one monotonic clock. */
#ifndef HF_BENCH_SCHEDULE_H
#define HF_BENCH_SCHEDULE_H

#include <stdint.h>

#define BENCH_SECOND   UINT64_C(1000000000)
#define BENCH_RATE_MAX BENCH_SECOND

struct bench_schedule {
    uint64_t start_ns;
    uint64_t rate; /* requests a second of all threads, 1 ... BENCH_RATE_MAX */
    uint32_t thread, threads;
};

/* When the request at `place` of this thread is due. */
static inline uint64_t bench_schedule_due(const struct bench_schedule *schedule, uint64_t place)
{
    uint64_t number = place * schedule->threads + schedule->thread;
    return schedule->start_ns + number / schedule->rate * BENCH_SECOND +
           number % schedule->rate * BENCH_SECOND / schedule->rate;
}

/* How many requests of this thread are due before `end_ns`: those at the places below the result. */
static inline uint64_t bench_schedule_before(const struct bench_schedule *schedule, uint64_t end_ns)
{
    if (end_ns <= schedule->start_ns)
        return 0;
    uint64_t span = end_ns - schedule->start_ns;
    /* floor(n / rate) < span is the same as n < span * rate, in seconds, since span is whole. */
    uint64_t rest = span % BENCH_SECOND * schedule->rate;
    uint64_t numbers =
        span / BENCH_SECOND * schedule->rate + rest / BENCH_SECOND + (rest % BENCH_SECOND != 0);
    if (numbers <= schedule->thread)
        return 0;
    return (numbers - schedule->thread - 1) / schedule->threads + 1;
}

#endif
