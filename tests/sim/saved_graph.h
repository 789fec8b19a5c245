/* SPDX-License-Identifier: BSD-3-Clause */
/* Saves while the collector works, for sim_gc.c: the file, loaded, has exactly what could be reached when the save began,
 * whatever was marked, swept, tried or reaped meanwhile. Without guards: what they keep is not the graph's. */
#ifndef HF_TESTS_SIM_SAVED_GRAPH_H
#define HF_TESTS_SIM_SAVED_GRAPH_H

#include "tests/sim/judge.h"

/* Between two operations or steps of a run that saves. */
void graph_saves_go_on(struct sim *sim);
/* Before the run's end: the save under way is finished. */
void graph_saves_end(struct sim *sim);

#endif
