/* SPDX-License-Identifier: BSD-3-Clause */
/* Time on the wall and time on a CPU, all in nanoseconds. */
#ifndef HF_TESTS_BENCH_LIB_CLOCK_H
#define HF_TESTS_BENCH_LIB_CLOCK_H

#include <stdint.h>

/* The monotonic clock. */
uint64_t load_now_ns(void);

/* Time that the calling thread has spent on a CPU. */
uint64_t load_own_cpu_ns(void);

/* Time that all threads of process `pid` have spent on a CPU, from /proc/PID/task/TID/schedstat; 0 if
 * there is no such process or the kernel keeps no such figures. A running thread's figure is up to one
 * tick old. */
uint64_t load_process_cpu_ns(int pid);

#endif
