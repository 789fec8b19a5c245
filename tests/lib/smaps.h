/* SPDX-License-Identifier: BSD-3-Clause */
/* /proc/PID/smaps: how much private memory a process has, and how much of it is its sanitizer's.
 *
 * A sanitizer keeps a shadow of all memory that the program ever used. ThreadSanitizer's is several times as large; it
 * is given back when a mapping ends, but not when the program gives back pages within one (MADV_DONTNEED, a hole in a
 * memory file). So a daemon seems to grow that has the same amount of memory all the time, but now here, now there.
 *
 * What the sanitizers' allocators hold for the program is the program's: its blocks, and what the sanitizer has around
 * and behind them (guards, freed blocks that it does not use again soon). So is what a sanitizer keeps outside of its
 * areas: a few MiB, which level out. */
#ifndef HF_TESTS_LIB_SMAPS_H
#define HF_TESTS_LIB_SMAPS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct smaps {
    uint64_t own, sanitizer; /* bytes of private pages, in memory or swapped out */
};

/* False, and zeros: there is no memory to read a line, or nothing is mapped. */
bool smaps_read(FILE *smaps, struct smaps *ret);

#endif
