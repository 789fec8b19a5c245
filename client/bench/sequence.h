/* SPDX-License-Identifier: BSD-3-Clause */
/* The operations of a load, drawn before it starts: what is left to do for a request is to read the next 16 bytes. A
 * draw is the first request of its operation; the patch of BENCH_STEP_RETAIN_OWN is missing, since each connection has
 * ids of its own, and `object` of BENCH_STEP_LINK is the one to refer to.
 *
 * A sequence belongs to one space (space.h). Connections read it from different places on, each in order and over again
 * from its end, so what a connection does is settled by the seed, however fast others are. */
#ifndef HF_BENCH_SEQUENCE_H
#define HF_BENCH_SEQUENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "client/bench/keys.h"
#include "client/bench/operations.h"
#include "client/bench/sizes.h"
#include "client/bench/wire.h"

#define BENCH_SEQUENCE_LEAST (1u << 16)
#define BENCH_SEQUENCE_MOST  (1u << 24) /* draws of all sequences together: 256 MiB */

struct bench_sequence {
    struct bench_draw *draws;
    uint32_t count;
};

/* What it is drawn from. */
struct bench_source {
    const struct bench_mix *mix;
    const struct bench_sizes *sizes;
    const struct bench_keys *keys; /* over all objects of the space */
    const struct bench_keys *own;  /* over those that each connection holds itself; NULL: none */
    const int64_t *ids;            /* of each object, where the mix needs ids */
    const uint32_t *object_sizes;  /* of each object's value; NULL: all have the fixed size */
};

/* How many draws suit `objects` objects, when there are `sequences` sequences: with four times as many as objects, 98 %
 * of the objects come up under a uniform draw. */
uint32_t bench_sequence_length(uint32_t objects, uint32_t sequences);

/* Draws `count` operations. False without memory; bench_sequence_done in any case. */
bool bench_sequence_make(struct bench_sequence *sequence, const struct bench_source *source, uint32_t count,
                         struct bench_random *random);
void bench_sequence_done(struct bench_sequence *sequence);

#endif
