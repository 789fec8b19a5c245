/* SPDX-License-Identifier: BSD-3-Clause */
/* Ready-made requests and the check of their replies, one implementation a protocol.
 *
 * A *unit* is what a connection sends without a gap: one request, or two that belong together. All units
 * of a plan have the same number of bytes, and so have their replies, so a batch is a slice of one array
 * and replies are counted by length. The array lies in the order of sending, which for random objects is
 * shuffled once: the generator itself then reads memory in sequence and does not miss the cache.
 *
 * Every value starts with its object's number (4 bytes, as the machine has it), so a check sees a wrong
 * value. */
#ifndef HF_TESTS_BENCH_LIB_PLAN_H
#define HF_TESTS_BENCH_LIB_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum load_work {
    LOAD_GET,   /* read one value */
    LOAD_COUNT, /* Holdfast: retain and release, a unit of two requests; others: add 0 to a counter */
    LOAD_PUT    /* Holdfast: put, and release what the batch before put; others: set and delete one key */
};

/* What preloading makes of an object. */
enum load_item {
    LOAD_VALUE,   /* Holdfast: put, held by the loader's session; others: key k:NNNNNNNNNN */
    LOAD_COUNTER, /* others: key c:NNNNNNNNNN with a number of ten digits */
    LOAD_NAMED    /* Holdfast: store under the name k:NNNNNNNNNN, held by nobody */
};

struct load_spec {
    enum load_work work;
    bool random;          /* every object once, shuffled; else one object only */
    uint32_t objects;     /* preloaded objects, numbered from 0 */
    uint32_t value_bytes; /* at least 8 */
    uint32_t depth;       /* units of a batch */
    bool replay;          /* Holdfast: each connection has a session with a replay window */
    const uint64_t *ids;  /* Holdfast: id of each object; owned by the caller, alive as long as the plan */
};

struct load_protocol;

struct load_plan {
    struct load_spec spec;
    const struct load_protocol *protocol;
    unsigned char *requests; /* units * unit_bytes */
    uint32_t *objects;       /* the object that each unit is about */
    uint32_t units;          /* a multiple of spec.depth */
    size_t unit_bytes;
    size_t reply_bytes; /* the reply to a unit */
    unsigned requests_per_unit;
    /* A reply too short to fill a unit would be waited for in vain; when it is an error it differs here. */
    size_t probe_offset;
    unsigned char probe_byte;
    unsigned char head[24]; /* what stands before the value in a reply to LOAD_GET, from its type on */
    size_t head_bytes;
};

/* A batch on its way. `requests` may be changed by the check (ids of the next batch) when the plan says
 * `own`. */
struct load_batch {
    unsigned char *requests;
    const uint32_t *objects;
};

struct load_protocol {
    const char *name;

    /* Lengths, probe and head, from plan->spec. Returns false for work that the protocol does not have. */
    bool (*shape)(struct load_plan *plan);

    /* Writes unit number `sequence`, about `object`, to `out` (plan->unit_bytes). */
    void (*write_unit)(const struct load_plan *plan, unsigned char *out, uint32_t sequence, uint32_t object);

    /* Are these the right replies to units first ... first + count - 1 of the batch? */
    bool (*check)(const struct load_plan *plan, const struct load_batch *batch, const unsigned char *replies,
                  uint32_t first, uint32_t count);

    /* Brings shorter replies to plan->reply_bytes: of `bytes` received into `room`, the units before `first` are that long
     * already. The bytes then; NULL when all replies have one length. */
    size_t (*even)(const struct load_plan *plan, unsigned char *replies, uint32_t first, size_t bytes,
                   size_t room);

    /* Readies a connection's own batch over its still blocking socket; NULL when nothing is to be done. */
    bool (*prime)(const struct load_plan *plan, int fd, unsigned char *requests);

    /* Writes the request that makes `object`; returns its bytes, at most 128 + value_bytes. */
    size_t (*write_item)(enum load_item item, unsigned char *out, uint32_t object, uint32_t value_bytes);

    /* Reads one reply to write_item: its bytes, 0 if it is not complete, -1 if it is not a success. *id
     * gets the id, where the protocol has ids. */
    long (*read_item)(const unsigned char *reply, size_t bytes, uint64_t *id);
};

/* The protocol called `name` (redis, memcached, holdfast, echo), or NULL. */
const struct load_protocol *load_protocol_find(const char *name);

/* Builds the plan. Returns 0, or -1: no memory, or work that the protocol does not have. */
int load_plan_make(struct load_plan *plan, const struct load_protocol *protocol,
                   const struct load_spec *spec);

void load_plan_drop(struct load_plan *plan);

/* Does each connection send a batch of its own (LOAD_PUT) in place of slices of plan->requests? */
bool load_plan_own(const struct load_plan *plan);

/* A new batch for connection number `connection`, depth * unit_bytes, for free(); NULL: no memory. */
unsigned char *load_plan_own_batch(const struct load_plan *plan, uint32_t connection);

/* Pieces of requests; each returns the end of what it wrote. */
unsigned char *load_write(unsigned char *out, const void *bytes, size_t count);
unsigned char *load_write_text(unsigned char *out, const char *text);
unsigned char *load_write_key(unsigned char *out, char kind, uint32_t object); /* 12 bytes, "k:0000000042" */
unsigned char *load_write_value(unsigned char *out, uint32_t object, uint32_t value_bytes);

extern const struct load_protocol load_redis, load_memcached, load_holdfast, load_echo;

#endif
