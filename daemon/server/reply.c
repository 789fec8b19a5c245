/* SPDX-License-Identifier: BSD-3-Clause */
/* The reply of a call: MessagePack into the worker's output. Errors are kept there until the handler is
 * done. */
#include "daemon/server/value.h"
#include "daemon/server/worker.h"
#include "proto/mp.h"

#include <string.h>

static uint8_t *room(struct call *call, size_t size)
{
    return output_room(&call->worker->out, size);
}

static void advance(struct call *call, const uint8_t *end)
{
    struct output *out = &call->worker->out;
    out->used = (size_t)(end - out->data);
}

void reply_nil(struct call *call)
{
    uint8_t *at = room(call, HFP_HEAD_MAX);
    if (at != NULL)
        advance(call, hfp_put_nil(at));
}

void reply_bool(struct call *call, bool value)
{
    uint8_t *at = room(call, HFP_HEAD_MAX);
    if (at != NULL)
        advance(call, hfp_put_bool(at, value));
}

void reply_uint(struct call *call, uint64_t value)
{
    uint8_t *at = room(call, HFP_HEAD_MAX);
    if (at != NULL)
        advance(call, hfp_put_uint(at, value));
}

void reply_int(struct call *call, int64_t value)
{
    uint8_t *at = room(call, HFP_HEAD_MAX);
    if (at != NULL)
        advance(call, hfp_put_int(at, value));
}

void reply_array(struct call *call, uint32_t count)
{
    uint8_t *at = room(call, HFP_HEAD_MAX);
    if (at != NULL)
        advance(call, hfp_put_array_head(at, count));
}

void reply_map(struct call *call, uint32_t pairs)
{
    uint8_t *at = room(call, HFP_HEAD_MAX);
    if (at != NULL)
        advance(call, hfp_put_map_head(at, pairs));
}

void reply_str(struct call *call, const void *data, size_t size)
{
    uint8_t *at = room(call, HFP_HEAD_MAX + size);
    if (at != NULL)
        advance(call, hfp_put_str(at, data, (uint32_t)size));
}

void reply_text(struct call *call, const char *text)
{
    reply_str(call, text, strlen(text));
}

void reply_bin(struct call *call, const void *data, size_t size)
{
    uint8_t *at = room(call, HFP_HEAD_MAX + size);
    if (at != NULL)
        advance(call, hfp_put_bin(at, data, (uint32_t)size));
}

void reply_raw(struct call *call, const void *data, size_t size)
{
    uint8_t *at = size == 0 ? NULL : room(call, size);
    if (at == NULL)
        return;
    memcpy(at, data, size);
    advance(call, at + size);
}

/* Payload bytes of an object's value, behind a header. */
static void reply_payload(struct call *call, uint64_t id, enum form form, const uint8_t *data, uint64_t size)
{
    struct output *out = &call->worker->out;
    /* A reply of a thousand values of some KiB each would else be copied for milliseconds. */
    bool many = out->used - out->mark > COPY_MANY_MAX;
    bool borrow = size >= (many ? BORROW_MANY_MIN : BORROW_MIN);
    if (size > HF_FRAME_MAX) {
        out->error = out->error != 0 ? out->error : -HF_E_TOOBIG;
        return;
    }
    uint8_t *at = room(call, VALUE_HEADER_MAX + (borrow ? 0 : size));
    if (at == NULL)
        return;
    at += value_header(form, size, at);
    if (!borrow && size != 0)
        memcpy(at, data, size);
    advance(call, at + (borrow ? 0 : size));
    if (borrow)
        output_borrow(out, call->conn->entry, id, data, size);
}

void reply_value(struct call *call, uint64_t id, const struct value_view *view)
{
    reply_payload(call, id, view->form, view->data, view->size);
}

void reply_value_part(struct call *call, uint64_t id, const struct value_view *view, uint64_t offset,
                      uint64_t size)
{
    reply_payload(call, id, value_bin_form(size), view->data + offset, size);
}

uint64_t reply_room(const struct call *call)
{
    const struct output *out = &call->worker->out;
    uint64_t size = out->used - out->mark + out->borrowed_bytes;
    return size < HF_FRAME_MAX ? HF_FRAME_MAX - size : 0;
}
