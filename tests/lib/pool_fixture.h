/* SPDX-License-Identifier: BSD-3-Clause */
/* A pool for tests: virtual clocks, a fixed seed, regions whose growth can be made to fail, and short ways to
 * put objects. Whatever goes wrong in the helpers themselves ends the test program (fixture_die). */
#ifndef HF_TESTS_LIB_POOL_FIXTURE_H
#define HF_TESTS_LIB_POOL_FIXTURE_H

#include "daemon/base/mem.h"
#include "daemon/heap/region.h"
#include "daemon/pool/pool.h"

/* Growth of regions that fails from the n-th call on, as often as told. */
struct grow_io {
    struct region_io io; /* first: the pool's functions find the rest from it */
    uint64_t calls;      /* pieces asked for so far */
    uint64_t fail_at;    /* the call of this number fails; 0: none */
    uint64_t fail_count; /* and so many in all from there on */
    uint64_t backed;     /* bytes asked for with success */
    uint64_t punches;    /* pieces given back so far */
    uint64_t punch_most; /* bytes of the largest of them */
    uint64_t punched;    /* bytes of all of them */
};

void grow_io_init(struct grow_io *grow);

struct fixture {
    struct pool *pool;
    struct session *a, *b; /* two sessions with keys, both attached */
    uint64_t now_ms, lease_ms;
    struct grow_io grow;
    bool replay;          /* sessions made from now on have a window */
    int owner_a, owner_b; /* stand for connections: only their addresses matter */
};

struct fixture_options {
    uint64_t max_bytes;   /* 0: 1 GiB */
    uint32_t serial_base; /* 0: 1 */
    uint64_t seed;        /* 0: 1 */
    bool granules;        /* the files are as on disk */
};

#define FIXTURE_LEASE_MS 10000u
#define FIXTURE_START_MS 1700000000000ull

void fixture_open(struct fixture *fx);
void fixture_open_with(struct fixture *fx, const struct fixture_options *options);
void fixture_close(struct fixture *fx);

_Noreturn void fixture_die(const char *format, ...)
    __attribute__((format(printf, 1, 2))); /* checks arguments */

/* ---- sessions ---- */

/* A session with a key made of `number` (a: 1, b: 2). */
struct session *fixture_session(struct fixture *fx, unsigned number, uint32_t lease_ms, void *owner);
void fixture_key(unsigned number, uint8_t ret_key[HF_KEY_SIZE]);
struct session *fixture_anonymous(struct fixture *fx, void *owner);

/* ---- objects; those that return an id or version end the program if the pool refuses ---- */

struct value_in bytes_in(const void *data, uint64_t size); /* with the shortest form of bin */
struct name_in name_of(const char *text);

int try_put(struct fixture *fx, struct session *s, const struct put_spec *spec, uint64_t *ret_id);
uint64_t put_bytes(struct fixture *fx, struct session *s, const void *data, uint64_t size);
uint64_t put_filled(struct fixture *fx, struct session *s, uint64_t size, uint8_t fill); /* staged if large */
uint64_t put_refs(struct fixture *fx, struct session *s, const uint64_t *refs, uint32_t count);
uint64_t put_open(struct fixture *fx, struct session *s, uint64_t size);
uint64_t put_leaf(struct fixture *fx, struct session *s);

/* A value of `size` bytes `fill` in a stage, ready for a put or (`replaces`) for a set. */
struct stage *staged(struct fixture *fx, uint64_t size, uint8_t fill, bool replaces);

/* n objects, each with a slot on the next; the first is held once by s, the others by nothing else. */
uint64_t chain_of(struct fixture *fx, struct session *s, uint64_t n);

/* The count of the session on the object after it. */
uint64_t retain_one(struct fixture *fx, struct session *s, uint64_t id);
uint64_t release_one(struct fixture *fx, struct session *s, uint64_t id);

uint64_t bind_name(struct fixture *fx, const char *name, uint64_t id);

/* ---- looking ---- */

/* All there is to know about it; ends the program if it is not alive. */
struct inspect_row inspect_of(struct fixture *fx, uint64_t id);
bool is_gone(struct fixture *fx, uint64_t id);
/* The value is `size` times `fill`. */
bool value_is(struct fixture *fx, uint64_t id, uint64_t size, uint8_t fill);
/* The whole list of slots is this. */
bool refs_are(struct fixture *fx, uint64_t id, const uint64_t *refs, uint32_t count);
struct pool_stats stats_of(struct fixture *fx);

/* ---- time and work ---- */

/* Both clocks advance by so much; the lease clock as the server does it, at most 1 s a turn. */
void pass_ms(struct fixture *fx, uint64_t ms);
/* Does all pending work, in steps of a few units, each of which must keep to them. */
void drain(struct fixture *fx);
/* Walks every invariant; ends the program with the findings if there are any. Returns the objects seen. */
uint64_t verify_ok(struct fixture *fx);

#endif
