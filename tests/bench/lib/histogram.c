/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/bench/lib/histogram.h"

#include <string.h>

/* Cells 0-31 are exact; after them each 32 cells cover one power of two. */
static unsigned cell_of(uint64_t ns)
{
    if (ns < LOAD_HISTOGRAM_STEPS)
        return (unsigned)ns;
    unsigned power = 63u - (unsigned)__builtin_clzll(ns); /* no C17 function finds the highest bit */
    return (power - 4) * LOAD_HISTOGRAM_STEPS + (unsigned)((ns >> (power - 5)) & (LOAD_HISTOGRAM_STEPS - 1));
}

static uint64_t highest_of(unsigned cell)
{
    if (cell < LOAD_HISTOGRAM_STEPS)
        return cell;
    unsigned shift = cell / LOAD_HISTOGRAM_STEPS - 1;
    uint64_t step = LOAD_HISTOGRAM_STEPS + cell % LOAD_HISTOGRAM_STEPS;
    return ((step + 1) << shift) - 1;
}

void load_histogram_clear(struct load_histogram *histogram)
{
    memset(histogram, 0, sizeof *histogram);
}

void load_histogram_add(struct load_histogram *histogram, uint64_t ns)
{
    histogram->count++;
    histogram->cells[cell_of(ns)]++;
    if (ns > histogram->max_ns)
        histogram->max_ns = ns;
}

uint64_t load_histogram_at(const struct load_histogram *histogram, double share)
{
    uint64_t wanted = (uint64_t)(share * (double)histogram->count), seen = 0;
    for (unsigned cell = 0; cell < sizeof histogram->cells / sizeof *histogram->cells; cell++) {
        seen += histogram->cells[cell];
        if (seen > wanted)
            return highest_of(cell) < histogram->max_ns ? highest_of(cell) : histogram->max_ns;
    }
    return histogram->max_ns;
}
