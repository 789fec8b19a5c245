/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/base/human.h"

#include <stdio.h>

static const char *scaled(char *to, size_t size, uint64_t value, unsigned step, const char *const *units)
{
    double scaled = (double)value;
    unsigned unit = 0;
    if (value < step) {
        snprintf(to, size, "%u%s", (unsigned)value, units[0]);
        return to;
    }
    /* What would be rounded up to the next unit is shown in it: no "1000 k". */
    while (scaled >= (double)step - 0.5) {
        scaled /= step;
        unit++;
    }
    int digits = scaled < 9.995 ? 2 : scaled < 99.95 ? 1 : 0;
    snprintf(to, size, "%.*f%s", digits, scaled, units[unit]);
    return to;
}

const char *human_count(char *to, size_t size, uint64_t count)
{
    static const char *const units[] = {"", " k", " M", " G", " T", " P", " E"};
    return scaled(to, size, count, 1000, units);
}

const char *human_bytes(char *to, size_t size, uint64_t bytes)
{
    static const char *const units[] = {" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB"};
    return scaled(to, size, bytes, 1024, units);
}
