/* SPDX-License-Identifier: BSD-3-Clause */
/* What a client knows of its pool: the objects it made or holds, its names, and what each request does to them.
 *
 * A thing is an object that the client knows. Of a *private* one nobody else knows the id or a name, so everything
 * about it is certain: its value, what keeps it alive, when it dies. A *loose* one is shared with others (it was given
 * away by a ticket, or came from one or from a shared name): certain is what this client holds of it, that it lives as
 * long as that is not nothing, and that its value never changes.
 *
 * Always: slots lead from later things to earlier ones, so there are no cycles; loose things have no slots.
 * A thing with id 0 was made by a request whose reply is not known. */
#ifndef HF_TESTS_SOAK_MODEL_H
#define HF_TESTS_SOAK_MODEL_H

#include "tests/soak/value.h"

#define MODEL_THINGS 24u
#define MODEL_SLOTS  4u
#define MODEL_NAMES  6u
#define MODEL_GRAVES 16u
#define OP_IDS       8u /* most ids or items in one request */
#define NO_THING     (-1)

enum op_kind {
    OP_PUT,      /* value, ids (refs) */
    OP_PUT_OPEN, /* value: size and what will be written */
    OP_PUT_MANY, /* count items: value, value + 1, ...; each refers to the one before it */
    OP_GET,      /* id */
    OP_GET_MANY, /* ids */
    OP_GET_PART, /* id, offset, n (bytes) */
    OP_SET,      /* id, value */
    OP_WRITE,    /* id, value (payload), part 0 or 1 */
    OP_SEAL,     /* id */
    OP_REFS,     /* id */
    OP_LINK,     /* id, slot, target (0: nil) */
    OP_RETAIN,   /* id, n */
    OP_RETAIN_MANY,
    OP_RELEASE,      /* id, n */
    OP_RELEASE_MANY, /* ids, n */
    OP_SHARE,        /* id; the ticket goes to the pool's exchange */
    OP_CLAIM,        /* ticket, id */
    OP_NAME,         /* name, id */
    OP_STORE,        /* name, value */
    OP_FETCH,        /* name */
    OP_LOOKUP,       /* name */
    OP_UNNAME,       /* name */
    OP_NAMES,        /* of this client */
    OP_SHARED_STORE, /* name of the pool's shared ones, value */
    OP_SHARED_FETCH,
    OP_SHARED_LOOKUP,
    OP_SHARED_UNNAME,
    OP_INSPECT, /* id */
    OP_HOLDERS, /* id */
    OP_SCAN,    /* what this session holds */
    OP_SESSIONS,
    OP_POOLS,
    OP_STATS,
    OP_VERIFY,
    OP_PING,
    OP_METHODS,
    OP_HELLO, /* of a new session */
    OP_KINDS
};

const char *op_name(enum op_kind kind);

struct op {
    enum op_kind kind;
    uint32_t msgid;
    uint64_t begin_at, end_at; /* its bytes in all that the connection sends */
    uint64_t id, target;
    uint64_t ids[OP_IDS];
    unsigned count;
    struct value value;
    unsigned name;
    uint32_t n, slot, offset, part;
    bool seal;
    uint8_t ticket[16];
    int64_t ticket_ends_ms; /* not before */
};

struct thing {
    bool used;
    bool loose;
    bool known; /* the value is */
    bool open, sealed;
    bool binary;    /* its value is a bin whatever the seed says: it was written */
    uint8_t filled; /* parts of an open one that were written, as bits */
    uint64_t id;
    struct value value;
    uint32_t order; /* in which things were made */
    uint32_t held;
    unsigned names;
    unsigned slots_count;
    int slots[MODEL_SLOTS]; /* places of things, or NO_THING */
};

struct model {
    struct thing things[MODEL_THINGS];
    int names[MODEL_NAMES]; /* what they are bound to */
    uint32_t next_order;
    uint64_t graves[MODEL_GRAVES];     /* ids of private things that have died */
    unsigned graves_count;             /* ever; the last MODEL_GRAVES are kept */
    unsigned made[OP_IDS], made_count; /* places of the things that the last model_apply() has made */
};

/* What must come back. */
struct expected {
    int code; /* HF_E_...; 0: success */
    uint64_t
        number; /* retain, release: the count; link: the previous target, 0: nil; lookup: the id, 0: not known */
    unsigned counts[OP_IDS];
};

void model_init(struct model *model);

/* Does to the model what the request does in the pool. Things made have id 0 until somebody gives them theirs. What
 * OP_CLAIM and OP_SHARED_LOOKUP do depends on others: model_adopt() once the reply is known. */
void model_apply(struct model *model, const struct op *op, struct expected *ret);

/* `held` holds more on a loose object: a claim or a look-up of a shared name has succeeded. `value` NULL: not known. False:
 * no place is left. */
bool model_adopt(struct model *model, uint64_t id, uint32_t held, const struct value *value);

/* The session has ended: what it held, and what it left open. */
void model_end_session(struct model *model);
/* The pool is gone. */
void model_forget(struct model *model);

struct thing *model_find(struct model *model, uint64_t id);
int model_place(const struct model *model, uint64_t id);
bool model_buried(const struct model *model, uint64_t id);
unsigned model_free_places(const struct model *model);
unsigned model_held_objects(const struct model *model);
uint64_t model_references(const struct model *model);
/* Slots of living things that point at it. */
unsigned model_pointed(const struct model *model, int place);

#endif
