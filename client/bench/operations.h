/* SPDX-License-Identifier: BSD-3-Clause */
/* What a load is made of.
 *
 * An *operation* is what a mix names and weighs. It is one request, or two of which the second, a release, follows the
 * reply to the first. A *step* is one kind of request of one operation; figures are kept for each step. */
#ifndef HF_BENCH_OPERATIONS_H
#define HF_BENCH_OPERATIONS_H

#include <stdbool.h>
#include <stdint.h>

/* What an operation needs before the load starts, as a set. */
#define BENCH_NEEDS_NOTHING 0u
#define BENCH_NEEDS_IDS     1u /* objects held by a session that puts no load on */
#define BENCH_NEEDS_SLOTS   2u /* each of them with one slot */
#define BENCH_NEEDS_OWN     4u /* objects held by the connection's own session */
#define BENCH_NEEDS_NAMES   8u /* named objects, held by nobody */

/* X(SYMBOL, "name", what it needs, first step, "what it does"). */
#define BENCH_OPERATIONS(X)                                                                                  \
    X(GET, "get", BENCH_NEEDS_IDS, GET, "read the value of an object")                                       \
    X(PUT, "put", BENCH_NEEDS_NOTHING, PUT, "put a new object, then release it, so that it dies")            \
    X(RETAIN_OWN, "retain-own", BENCH_NEEDS_OWN, RETAIN_OWN,                                                 \
      "retain and release an object that the session holds already")                                         \
    X(RETAIN_FOREIGN, "retain-foreign", BENCH_NEEDS_IDS, RETAIN_FOREIGN,                                     \
      "retain and release an object that another session holds")                                             \
    X(STORE, "store", BENCH_NEEDS_NAMES, STORE, "replace the value of a name")                               \
    X(FETCH, "fetch", BENCH_NEEDS_NAMES, FETCH, "read the value of a name")                                  \
    X(LOOKUP, "lookup", BENCH_NEEDS_NAMES, LOOKUP, "retain the object of a name, then release it")           \
    X(LINK, "link", BENCH_NEEDS_IDS | BENCH_NEEDS_SLOTS, LINK, "let the slot of an object refer to another") \
    X(PING, "ping", BENCH_NEEDS_NOTHING, PING, "nothing but the way there and back")

/* X(SYMBOL, operation, "method", what its result is, the step that follows or NONE). */
#define BENCH_STEPS(X)                                                                                       \
    X(GET, GET, "get", VALUE, NONE)                                                                          \
    X(PUT, PUT, "put", ID, PUT_RELEASE)                                                                      \
    X(PUT_RELEASE, PUT, "release", ZERO, NONE)                                                               \
    X(RETAIN_OWN, RETAIN_OWN, "retain", HELD, OWN_RELEASE)                                                   \
    X(OWN_RELEASE, RETAIN_OWN, "release", HELD, NONE)                                                        \
    X(RETAIN_FOREIGN, RETAIN_FOREIGN, "retain", HELD, FOREIGN_RELEASE)                                       \
    X(FOREIGN_RELEASE, RETAIN_FOREIGN, "release", COUNT, NONE)                                               \
    X(STORE, STORE, "store", ID_VERSION, NONE)                                                               \
    X(FETCH, FETCH, "fetch", VALUE, NONE)                                                                    \
    X(LOOKUP, LOOKUP, "lookup", ID, LOOKUP_RELEASE)                                                          \
    X(LOOKUP_RELEASE, LOOKUP, "release", COUNT, NONE)                                                        \
    X(LINK, LINK, "link", ID_OR_NIL, NONE)                                                                   \
    X(PING, PING, "ping", COUNT, NONE)

enum bench_operation {
#define BENCH_OPERATION_ENUM(symbol, name, needs, first, help) BENCH_OP_##symbol,
    BENCH_OPERATIONS(BENCH_OPERATION_ENUM)
#undef BENCH_OPERATION_ENUM
        BENCH_OPERATION_COUNT
};

enum bench_step {
#define BENCH_STEP_ENUM(symbol, operation, method, result, next) BENCH_STEP_##symbol,
    BENCH_STEPS(BENCH_STEP_ENUM)
#undef BENCH_STEP_ENUM
        BENCH_STEP_COUNT,
    BENCH_STEP_NONE = BENCH_STEP_COUNT
};

/* What a reply must hold to be right. */
enum bench_result_kind {
    BENCH_RESULT_VALUE,      /* a bin of the object's size, with its number in front */
    BENCH_RESULT_ID,         /* an id */
    BENCH_RESULT_ID_VERSION, /* an array of an id and a version */
    BENCH_RESULT_ID_OR_NIL,
    BENCH_RESULT_ZERO,  /* the integer 0: the last reference is gone */
    BENCH_RESULT_HELD,  /* an integer from 1 */
    BENCH_RESULT_COUNT, /* an integer from 0 */
};

struct bench_operation_info {
    const char *name;
    const char *help;
    unsigned needs;
    enum bench_step first;
};

struct bench_step_info {
    const char *method;
    enum bench_operation operation;
    enum bench_result_kind result;
    enum bench_step next;
};

extern const struct bench_operation_info bench_operations[BENCH_OPERATION_COUNT];
extern const struct bench_step_info bench_steps[BENCH_STEP_COUNT];

/* ---- Mixes ---- */

#define BENCH_WEIGHT_MAX 1000000u

struct bench_mix {
    uint32_t weight[BENCH_OPERATION_COUNT]; /* not all 0 */
};

/* A mix that has a name. */
struct bench_named_mix {
    const char *name;
    const char *text; /* as for bench_mix_parse */
    const char *help;
};

/* Ends with a NULL name. */
extern const struct bench_named_mix bench_named_mixes[];

/* Reads "get=80,put=15,link=5", a single operation ("get"), or the name of a mix. NULL, or what is wrong, written to
 * `problem`. */
const char *bench_mix_parse(const char *text, struct bench_mix *ret, char problem[200]);

/* All that the operations of a mix need. */
unsigned bench_mix_needs(const struct bench_mix *mix);

#endif
