/* SPDX-License-Identifier: BSD-3-Clause */
/* A raw connection that can be broken anywhere: in the middle of a request, of a reply, by an end, by a reset.
 *
 * Always: positions count bytes since the connection was opened; `packed` of them were made, `sent` <= `packed` of them
 * the system has taken. Nothing blocks but wire_open() and wire_move(). A wire without a connection has fd -1. */
#ifndef HF_TESTS_SOAK_WIRE_H
#define HF_TESTS_SOAK_WIRE_H

#include "client/holdfast.h"
#include "client/lib/address.h"
#include "client/lib/buffer.h"
#include "proto/scan.h"
#include "tests/soak/value.h"

struct wire {
    int fd;
    struct hf__buffer out, in;
    uint64_t packed, sent, received;
    uint64_t send_max;    /* no byte from this one on is sent */
    uint64_t receive_max; /* no byte from this one on is received */
    struct hfp_scan scan;
    size_t reply_size; /* bytes of the reply that was returned last, still in `in` */
    bool ended;        /* the daemon has closed it, or it broke */
    const char *why;   /* that, in words; static */
};

/* A response; points into the wire's input, up to the next call of wire_next() or wire_move(). */
struct reply {
    uint32_t msgid;
    int code; /* HF_E_..., 0: none */
    const char *error;
    size_t error_size;
    hf_item result;
};

void wire_init(struct wire *wire);
/* False: nobody listens (`why`). */
bool wire_open(struct wire *wire, const struct hf__address *address);

/* ---- requests ---- */

/* `[0, msgid, method, [` of `params` params, which follow by the functions below. */
void wire_request(struct wire *wire, uint32_t msgid, const char *method, uint32_t params);
void wire_nil(struct wire *wire);
void wire_uint(struct wire *wire, uint64_t number);
void wire_int(struct wire *wire, int64_t number);
void wire_bool(struct wire *wire, bool flag);
void wire_text(struct wire *wire, const char *text);
void wire_bin(struct wire *wire, const void *bytes, uint32_t size);
void wire_array(struct wire *wire, uint32_t count);
void wire_map(struct wire *wire, uint32_t pairs);
void wire_value(struct wire *wire, struct value value);
/* A part of its payload, as bin; `offset` is a multiple of 8. */
void wire_payload(struct wire *wire, struct value value, uint32_t offset, uint32_t count);

/* ---- moving ---- */

/* Sends and receives what can be moved; if that is nothing, waits for it at most `wait_ms`. True: something moved, or
 * the connection has ended. */
bool wire_move(struct wire *wire, int wait_ms);

/* The next reply. 1: it is in `ret`; 0: there is none yet; -1: those are not the bytes of a daemon (`why`). */
int wire_next(struct wire *wire, struct reply *ret);

/* ---- the end ---- */

/* All are without effect on a wire that has no connection. */
void wire_close(struct wire *wire);
void wire_reset(struct wire *wire);
/* We send no more. */
void wire_half_close(struct wire *wire);
void wire_free(struct wire *wire);

#endif
