/* SPDX-License-Identifier: BSD-3-Clause */
/* The objects that a load is about: those of one pool, made before it starts and gone when it is over.
 *
 * They are held by one session, that of `conn`, which puts no load on: for all connections they are foreign. Objects
 * that a connection is to hold itself are made by bench_space_fill_own through that connection. Named objects are held by
 * nobody, so in a pool that is not the run's own the names are taken back at the end. */
#ifndef HF_BENCH_SPACE_H
#define HF_BENCH_SPACE_H

#include <stdbool.h>
#include <stdint.h>

#include "client/bench/console.h"
#include "client/bench/options.h"
#include "client/bench/sequence.h"
#include "client/bench/wire.h"

struct bench_space {
    char pool[80];
    bool made;     /* the pool is the run's own and exists */
    hf_conn *conn; /* NULL: not open */
    uint32_t objects;
    uint32_t stored; /* names made */
    hf_id *ids;      /* of each object, where the mix needs them; else NULL */
    uint32_t *sizes; /* of each object's value; NULL: all have the fixed size */
    struct bench_sequence sequence;
};

/* What filling has done so far, of all that it is to do. */
struct bench_progress {
    struct bench_console *console;
    uint64_t done, total;
};

/* Opens a session in `pool`. `*ret_conn` may be there in case of an error too: hf_close it in any case. */
bool bench_session_open(const struct bench_options *options, const char *pool, hf_conn **ret_conn,
                        struct bench_problem *problem);

/* Objects and names that bench_space_fill will make. */
uint64_t bench_space_work(const struct bench_options *options);

/* Opens the session and makes the objects; `space->pool` names the pool, which exists. False with a problem, also when
 * the console says that a signal came. */
bool bench_space_fill(struct bench_space *space, const struct bench_options *options,
                      const struct bench_wire *wire, struct bench_random *random,
                      struct bench_progress *progress, struct bench_problem *problem);

/* How many objects each connection holds itself, if the mix needs that. */
uint32_t bench_space_own_count(const struct bench_options *options);

/* Makes the objects that a connection holds itself, and writes their ids. */
bool bench_space_fill_own(hf_conn *conn, const struct bench_options *options, const struct bench_wire *wire,
                          struct bench_random *random, struct bench_progress *progress, hf_id *ret_ids,
                          struct bench_problem *problem);

/* Takes the names back, if the pool is to live on, and ends the session; frees everything but the pool itself. False
 * with a problem if that did not work. */
bool bench_space_done(struct bench_space *space, const struct bench_wire *wire,
                      struct bench_progress *progress, struct bench_problem *problem);

#endif
