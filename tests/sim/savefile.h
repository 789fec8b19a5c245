/* SPDX-License-Identifier: BSD-3-Clause */
/* A save of a simulated pool, between its operations: few buffers or many, steps and writes as random numbers have it, a
 * file that has no room from some write on. What is in the file is for the caller to judge. */
#ifndef HF_TESTS_SIM_SAVEFILE_H
#define HF_TESTS_SIM_SAVEFILE_H

#include "daemon/pool/internal.h"
#include "tests/lib/full_io.h"

struct savefile {
    struct pool *pool;
    struct random *random;
    struct full_io io;
    struct save_buffer *chain; /* out, and not yet written */
    int fd;
    unsigned lazy; /* one in so many calls does something */
    char error[200];
};

enum savefile_state { SAVEFILE_ON, SAVEFILE_WHOLE, SAVEFILE_FAILED, SAVEFILE_WRONG };

/* The instant. False: there was no memory, as it may be if `starved`, which lets some of its allocations fail. */
bool savefile_begin(struct savefile *file, struct pool *pool, struct random *random, uint64_t now_ms,
                    bool starved);
/* WRONG: it failed, and had no reason to. */
enum savefile_state savefile_go_on(struct savefile *file);
/* At any time: ends the save, and closes the file. */
void savefile_end(struct savefile *file);
/* Loads the whole file as it is, into two new files: what was wrong, else NULL. */
const char *savefile_load(struct savefile *file, int *ret_meta, int *ret_values);

#endif
