/* SPDX-License-Identifier: BSD-3-Clause */
/* A line for each interval, as vmstat has it. */
#ifndef HF_MONITOR_STAT_H
#define HF_MONITOR_STAT_H

#include <jansson.h>
#include <stdio.h>

#include "client/monitor/sample.h"

/* The two lines above the columns. */
void monitor_stat_heading(FILE *out);

/* One line for people. */
void monitor_stat_line(FILE *out, const struct monitor_change *change);

/* What was counted in the interval (as differences, not as rates), and how things stand at its end. Owned by the caller;
 * NULL without memory. */
json_t *monitor_stat_object(const struct monitor_change *change);

/* The same as one line. */
bool monitor_stat_json(FILE *out, const struct monitor_change *change);

#endif
