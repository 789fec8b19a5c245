/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/soak/wire.h"

#include "client/lib/socket.h"
#include "proto/limits.h"
#include "proto/rpc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RECEIVE_SIZE (64u * 1024)
#define OPEN_MS      60000 /* a connection that is not made by then never will be */

void wire_init(struct wire *wire)
{
    *wire = (struct wire){.fd = -1};
}

bool wire_open(struct wire *wire, const struct hf__address *address)
{
    wire_free(wire);
    wire->fd = hf__socket_open(address, hf__now_ms() + OPEN_MS, &wire->why);
    wire->send_max = wire->receive_max = UINT64_MAX;
    return wire->fd >= 0;
}

/* ---- requests ---- */

/* Room for at most `size` bytes at the end. */
static uint8_t *room(struct wire *wire, size_t size)
{
    if (!hf__buffer_reserve(&wire->out, size)) {
        fprintf(stderr, "soak: no memory for a request\n");
        abort();
    }
    return wire->out.data + wire->out.end;
}

static void took(struct wire *wire, const uint8_t *end)
{
    size_t size = (size_t)(end - (wire->out.data + wire->out.end));
    wire->out.end += size;
    wire->packed += size;
}

void wire_request(struct wire *wire, uint32_t msgid, const char *method, uint32_t params)
{
    uint32_t size = (uint32_t)strlen(method);
    took(wire, hfp_put_request_head(room(wire, HFP_CALL_HEAD_MAX + size), msgid, method, size, params));
}

void wire_nil(struct wire *wire)
{
    took(wire, hfp_put_nil(room(wire, 1)));
}

void wire_uint(struct wire *wire, uint64_t number)
{
    took(wire, hfp_put_uint(room(wire, HFP_HEAD_MAX), number));
}

void wire_int(struct wire *wire, int64_t number)
{
    took(wire, hfp_put_int(room(wire, HFP_HEAD_MAX), number));
}

void wire_bool(struct wire *wire, bool flag)
{
    took(wire, hfp_put_bool(room(wire, 1), flag));
}

void wire_text(struct wire *wire, const char *text)
{
    took(wire, hfp_put_text(room(wire, HFP_HEAD_MAX + strlen(text)), text));
}

void wire_bin(struct wire *wire, const void *bytes, uint32_t size)
{
    took(wire, hfp_put_bin(room(wire, HFP_HEAD_MAX + (size_t)size), bytes, size));
}

void wire_array(struct wire *wire, uint32_t count)
{
    took(wire, hfp_put_array_head(room(wire, HFP_HEAD_MAX), count));
}

void wire_map(struct wire *wire, uint32_t pairs)
{
    took(wire, hfp_put_map_head(room(wire, HFP_HEAD_MAX), pairs));
}

void wire_value(struct wire *wire, struct value value)
{
    size_t size = value_encoded_size(value);
    uint8_t *at = room(wire, size);
    value_encode(value, at);
    took(wire, at + size);
}

void wire_payload(struct wire *wire, struct value value, uint32_t offset, uint32_t count)
{
    uint8_t *at = hfp_put_bin_head(room(wire, HFP_HEAD_MAX + (size_t)count), count);
    value_payload(value, offset, at, count);
    took(wire, at + count);
}

/* ---- moving ---- */

static void end(struct wire *wire, const char *why)
{
    wire->ended = true;
    wire->why = why;
}

static uint64_t sendable(const struct wire *wire)
{
    uint64_t until = wire->packed < wire->send_max ? wire->packed : wire->send_max;
    return until > wire->sent ? until - wire->sent : 0;
}

static bool send_some(struct wire *wire)
{
    bool moved = false;
    uint64_t left;
    while (!wire->ended && (left = sendable(wire)) != 0) {
        const char *why = NULL;
        long size = hf__socket_send(wire->fd, wire->out.data + wire->out.start, (size_t)left, &why);
        if (size == 0)
            break;
        moved = true;
        if (size < 0) {
            /* What the daemon had said before is still to be read; that finds the end, too. */
            wire->send_max = wire->sent;
            break;
        }
        hf__buffer_take(&wire->out, (size_t)size);
        wire->sent += (uint64_t)size;
    }
    return moved;
}

static void drop_reply(struct wire *wire)
{
    if (wire->reply_size != 0)
        hf__buffer_take(&wire->in, wire->reply_size);
    wire->reply_size = 0;
}

static bool receive_some(struct wire *wire)
{
    bool moved = false;
    while (!wire->ended && wire->received < wire->receive_max) {
        const char *why = NULL;
        uint64_t most = wire->receive_max - wire->received;
        if (!hf__buffer_reserve(&wire->in, RECEIVE_SIZE))
            abort();
        long size = hf__socket_receive(wire->fd, wire->in.data + wire->in.end,
                                       most < RECEIVE_SIZE ? (size_t)most : RECEIVE_SIZE, &why);
        if (size == 0)
            break;
        moved = true;
        if (size < 0) {
            end(wire, why);
            break;
        }
        wire->in.end += (size_t)size;
        wire->received += (uint64_t)size;
    }
    return moved;
}

bool wire_move(struct wire *wire, int wait_ms)
{
    if (wire->ended)
        return true;
    drop_reply(wire);
    bool moved = send_some(wire);
    moved |= receive_some(wire);
    if (moved || wait_ms == 0)
        return moved;
    if (wire->received >= wire->receive_max && sendable(wire) == 0)
        return false;
    if (!hf__socket_wait(wire->fd, sendable(wire) != 0, hf__now_ms() + wait_ms))
        return false;
    return send_some(wire) | receive_some(wire);
}

static int bad(struct wire *wire, const char *why)
{
    wire->why = why;
    return -1;
}

static int read_response(struct wire *wire, const struct hfp_frame *frame, struct reply *ret)
{
    const uint8_t *bytes = wire->in.data + wire->in.start;
    const struct hfp_span *error = &frame->param[0], *result = &frame->param[1];
    struct hfp_cursor cursor = {bytes + error->at, bytes + error->at + error->size};
    struct hfp_bytes text;
    struct hfp_error parsed;
    *ret = (struct reply){.msgid = frame->msgid, .result = {bytes + result->at, result->size}};
    if (hfp_read_nil(&cursor))
        return 1;
    if (!hfp_read_bytes(&cursor, &text) || *ret->result.data != 0xc0)
        return bad(wire, "an error that is no text, or has a result beside it");
    hfp_error_parse((const char *)text.at, text.size, &parsed);
    if (parsed.code == 0)
        return bad(wire, "an error without a code");
    ret->code = parsed.code;
    ret->error = (const char *)text.at;
    ret->error_size = text.size;
    return 1;
}

int wire_next(struct wire *wire, struct reply *ret)
{
    static const struct hfp_scan_limits limits = {.frame_max = HF_FRAME_MAX, .depth_max = HFP_DEPTH_STACK};
    struct hfp_frame frame;
    drop_reply(wire);
    size_t size = hf__buffer_size(&wire->in);
    if (size == 0)
        return 0;
    switch (hfp_scan(&wire->scan, &limits, wire->in.data + wire->in.start, size, &frame)) {
    case HFP_MORE: return 0;
    case HFP_FRAME: break;
    case HFP_TOOBIG:
    case HFP_BAD: return bad(wire, wire->scan.reason);
    }
    wire->reply_size = frame.size;
    if (frame.kind != HFP_RESPONSE)
        return bad(wire, "a message that is no response");
    return read_response(wire, &frame, ret);
}

/* ---- the end ---- */

void wire_close(struct wire *wire)
{
    if (wire->fd >= 0)
        close(wire->fd);
    wire->fd = -1;
}

void wire_reset(struct wire *wire)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    if (wire->fd >= 0)
        setsockopt(wire->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    wire_close(wire);
}

void wire_half_close(struct wire *wire)
{
    if (wire->fd >= 0)
        shutdown(wire->fd, SHUT_WR);
}

void wire_free(struct wire *wire)
{
    wire_close(wire);
    hf__buffer_done(&wire->out);
    hf__buffer_done(&wire->in);
    wire_init(wire);
}
