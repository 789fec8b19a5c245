/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests that are encoded once and patched, and the check of their replies.
 *
 * A request is copied from a template of its step; its message id is written into it, and its *patch*: the eight bytes
 * that tell one object from another, an id in network order or the last eight characters of a name. Requests that carry
 * a value end with it. Message ids always take five bytes, so every request of a step has the same form.
 *
 * Values are bin. A value of four bytes and more begins with the number of its object, so that a check sees a wrong
 * one. */
#ifndef HF_BENCH_WIRE_H
#define HF_BENCH_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "client/bench/operations.h"
#include "client/bench/sizes.h"
#include "proto/mp.h"

#define BENCH_TEMPLATE_SIZE 48u /* room of a request without its value; all of it is copied */
#define BENCH_NAME_SIZE     23u /* "bench-0123abcd-00000042" */
#define BENCH_STEM_SIZE     (BENCH_NAME_SIZE - 8)
#define BENCH_REQUEST_MAX                                                                                    \
    (BENCH_TEMPLATE_SIZE + HFP_HEAD_MAX) /* bytes of a request beside those of its value */
#define BENCH_STAMP_SIZE 4u

/* A reply that is not a value, or the part of one in front of the value's bytes, is shorter; errors have 512 bytes of
 * text at most. */
#define BENCH_REPLY_MAX 640u

/* A request. */
struct bench_draw {
    uint64_t patch;
    uint32_t object;    /* whose number its value has, sent or expected */
    uint32_t size : 28; /* of that value */
    uint32_t step : 4;
};

_Static_assert(sizeof(struct bench_draw) == 16, "a cache line holds four");
_Static_assert(BENCH_STEP_COUNT <= 16 && BENCH_VALUE_MAX < 1u << 28, "steps and sizes fit");

struct bench_template {
    uint8_t bytes[BENCH_TEMPLATE_SIZE];
    uint32_t size;
    uint32_t patch_at;  /* behind `size` if the step has no patch: what is written there does not count */
    uint32_t second_at; /* of a second id; 0: there is none */
    bool value;
};

struct bench_wire {
    char stem[BENCH_STEM_SIZE + 1]; /* of all names */
    struct bench_template template[BENCH_STEP_COUNT];
    uint8_t *value; /* `value_max` bytes that values are made of */
    uint32_t value_max;
};

/* `tag` tells the names of this run from those of others. False without memory; bench_wire_done in any case. */
bool bench_wire_init(struct bench_wire *wire, uint32_t tag, uint32_t value_max);
void bench_wire_done(struct bench_wire *wire);

/* The name of an object: BENCH_NAME_SIZE characters and a zero. */
void bench_wire_name(const struct bench_wire *wire, uint32_t object, char to[BENCH_NAME_SIZE + 1]);

/* The patch of a name, and of an id. */
uint64_t bench_patch_name(uint32_t object);
static inline uint64_t bench_patch_id(uint64_t id)
{
    return htobe64(id);
}

/* Message ids: count on from any number. */
static inline uint32_t bench_msgid(uint32_t count)
{
    return 0x40000000u | (count & 0x3fffffffu);
}

/* Writes a request of `step` without its value, and returns the place behind it; BENCH_TEMPLATE_SIZE bytes at `at` are
 * overwritten. `second` is a patch too, used where the template has a place for it. */
static inline uint8_t *bench_encode(const struct bench_wire *wire, enum bench_step step, uint8_t *at,
                                    uint32_t msgid, uint64_t patch, uint64_t second)
{
    const struct bench_template *template = &wire->template[step];
    memcpy(at, template->bytes, BENCH_TEMPLATE_SIZE);
    hfp_store32(at + 2, 0xce, msgid);
    memcpy(at + template->patch_at, &patch, sizeof patch);
    if (template->second_at != 0)
        memcpy(at + template->second_at, &second, sizeof second);
    return at + template->size;
}

/* Writes the value of an object, `size` bytes and HFP_HEAD_MAX at most. */
static inline uint8_t *bench_encode_value(const struct bench_wire *wire, uint8_t *at, uint32_t object,
                                          uint32_t size)
{
    at = hfp_put_bin(at, wire->value, size);
    if (size >= BENCH_STAMP_SIZE)
        memcpy(at - size, &object, BENCH_STAMP_SIZE);
    return at;
}

/* ---- Replies ---- */

enum bench_verdict {
    BENCH_MORE,  /* not all of the reply is there; of a value its head at least is missing */
    BENCH_RIGHT, /* `size` bytes are used; `left` more bytes of the value are to come */
    BENCH_ERROR, /* `size` bytes are used: the daemon answered with an error */
    BENCH_WRONG  /* not the reply to this request */
};

struct bench_reply {
    size_t size;
    uint32_t left;
    uint64_t id;       /* BENCH_RESULT_ID: the id in it */
    const char *error; /* BENCH_ERROR: the text, within the reply; also after BENCH_WRONG if there is one */
    size_t error_size;
};

/* Looks at the `count` bytes at `at`, where the reply to a request of that message id begins. Never reads behind them. */
enum bench_verdict bench_check(const struct bench_draw *request, uint32_t msgid, const uint8_t *at,
                               size_t count, struct bench_reply *ret);

#endif
