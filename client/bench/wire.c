/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/bench/wire.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/rpc.h"
#include "proto/scan.h"

#define HEAD_SIZE 8 /* of a reply without error: 94 01, ce and four bytes of message id, c0 */

/* ---- Requests ------------------------------------------------------------------------------------------ */

/* What stands in a request's params, in this order. */
enum param { PARAM_NONE, PARAM_ID, PARAM_NAME, PARAM_SLOT, PARAM_VALUE };

static const enum param params[BENCH_STEP_COUNT][3] = {
    [BENCH_STEP_GET] = {PARAM_ID},
    [BENCH_STEP_PUT] = {PARAM_VALUE},
    [BENCH_STEP_PUT_RELEASE] = {PARAM_ID},
    [BENCH_STEP_RETAIN_OWN] = {PARAM_ID},
    [BENCH_STEP_OWN_RELEASE] = {PARAM_ID},
    [BENCH_STEP_RETAIN_FOREIGN] = {PARAM_ID},
    [BENCH_STEP_FOREIGN_RELEASE] = {PARAM_ID},
    [BENCH_STEP_STORE] = {PARAM_NAME, PARAM_VALUE},
    [BENCH_STEP_FETCH] = {PARAM_NAME},
    [BENCH_STEP_LOOKUP] = {PARAM_NAME},
    [BENCH_STEP_LOOKUP_RELEASE] = {PARAM_ID},
    [BENCH_STEP_LINK] = {PARAM_ID, PARAM_SLOT, PARAM_ID},
    [BENCH_STEP_PING] = {PARAM_NONE},
};

/* Eight bytes to be patched; notes where. */
static uint8_t *leave_patch(struct bench_template *template, uint8_t *at)
{
    uint32_t place = (uint32_t)(at - template->bytes);
    if (template->patch_at == 0)
        template->patch_at = place;
    else
        template->second_at = place;
    return at + 8;
}

static void make_template(struct bench_wire *wire, enum bench_step step)
{
    struct bench_template *template = &wire->template[step];
    const char *method = bench_steps[step].method;
    unsigned count = 0;
    while (count < 3 && params[step][count] != PARAM_NONE)
        count++;
    uint8_t *at =
        hfp_put_request_head(template->bytes, bench_msgid(0), method, (uint32_t)strlen(method), count);
    for (unsigned i = 0; i < count; i++) {
        switch (params[step][i]) {
        case PARAM_ID:
            *at = 0xcf;
            at = leave_patch(template, at + 1);
            break;
        case PARAM_NAME:
            at = hfp_put_str_head(at, BENCH_NAME_SIZE);
            memcpy(at, wire->stem, BENCH_STEM_SIZE);
            at = leave_patch(template, at + BENCH_STEM_SIZE);
            break;
        case PARAM_SLOT: at = hfp_put_uint(at, 0); break;
        default: template->value = true; /* which is always the last */
        }
    }
    template->size = (uint32_t)(at - template->bytes);
    if (template->patch_at == 0)
        template->patch_at = BENCH_TEMPLATE_SIZE - 8;
}

bool bench_wire_init(struct bench_wire *wire, uint32_t tag, uint32_t value_max)
{
    *wire = (struct bench_wire){.value_max = value_max};
    snprintf(wire->stem, sizeof wire->stem, "bench-%08x-", (unsigned)tag);
    for (unsigned step = 0; step < BENCH_STEP_COUNT; step++)
        make_template(wire, (enum bench_step)step);
    wire->value = malloc((size_t)value_max + 1);
    if (wire->value != NULL)
        memset(wire->value, 'x', value_max);
    return wire->value != NULL;
}

void bench_wire_done(struct bench_wire *wire)
{
    free(wire->value);
    *wire = (struct bench_wire){0};
}

static void write_hex(uint32_t number, char to[8])
{
    for (int i = 7; i >= 0; i--, number >>= 4)
        to[i] = "0123456789abcdef"[number & 15];
}

void bench_wire_name(const struct bench_wire *wire, uint32_t object, char to[BENCH_NAME_SIZE + 1])
{
    memcpy(to, wire->stem, BENCH_STEM_SIZE);
    write_hex(object, to + BENCH_STEM_SIZE);
    to[BENCH_NAME_SIZE] = '\0';
}

uint64_t bench_patch_name(uint32_t object)
{
    char digits[8];
    uint64_t patch;
    write_hex(object, digits);
    memcpy(&patch, digits, sizeof patch);
    return patch;
}

/* ---- Replies ------------------------------------------------------------------------------------------- */

/* Bytes of the head of a bin if `size` bytes are declared there, else 0; `count` are present. */
static size_t bin_head(const uint8_t *at, size_t count, uint32_t size)
{
    if (size <= UINT8_MAX)
        return count >= 2 && at[0] == 0xc4 && at[1] == size ? 2 : 0;
    if (size <= UINT16_MAX)
        return count >= 3 && at[0] == 0xc5 && hfp_load16(at + 1) == size ? 3 : 0;
    return count >= 5 && at[0] == 0xc6 && hfp_load32(at + 1) == size ? 5 : 0;
}

/* The value behind the head of a reply. False: it is not there, or wrong. */
static bool check_value(const struct bench_draw *request, const uint8_t *at, size_t count,
                        struct bench_reply *ret)
{
    uint32_t size = request->size;
    size_t head = HEAD_SIZE + bin_head(at + HEAD_SIZE, count - HEAD_SIZE, size);
    size_t present = count - head < size ? count - head : size;
    if (head == HEAD_SIZE)
        return false;
    if (size >= BENCH_STAMP_SIZE &&
        (present < BENCH_STAMP_SIZE || memcmp(at + head, &request->object, BENCH_STAMP_SIZE) != 0))
        return false;
    ret->size = head + present;
    ret->left = size - (uint32_t)present;
    return true;
}

/* An integer of at least `least`, and at most `most`. */
static bool read_between(struct hfp_cursor *cursor, uint64_t least, uint64_t most, uint64_t *ret)
{
    return hfp_read_uint64(cursor, ret) && *ret >= least && *ret <= most;
}

static bool read_result(enum bench_result_kind kind, struct hfp_cursor *cursor, struct bench_reply *ret)
{
    uint32_t elements;
    uint64_t number;
    switch (kind) {
    case BENCH_RESULT_ID: return read_between(cursor, 1, HFP_INT_EXACT - 1, &ret->id);
    case BENCH_RESULT_ID_VERSION:
        return hfp_read_array(cursor, &elements) && elements == 2 &&
               read_between(cursor, 1, HFP_INT_EXACT - 1, &ret->id) &&
               read_between(cursor, 1, HFP_INT_EXACT - 1, &number);
    case BENCH_RESULT_ID_OR_NIL:
        return hfp_read_nil(cursor) || read_between(cursor, 1, HFP_INT_EXACT - 1, &ret->id);
    case BENCH_RESULT_ZERO: return read_between(cursor, 0, 0, &number);
    case BENCH_RESULT_HELD: return read_between(cursor, 1, HFP_INT_EXACT - 1, &number);
    case BENCH_RESULT_COUNT: return read_between(cursor, 0, HFP_INT_EXACT - 1, &number);
    default: return false;
    }
}

/* A reply that is not simply right: unfinished, an error, or wrong. */
static enum bench_verdict check_closely(uint32_t msgid, const uint8_t *at, size_t count,
                                        struct bench_reply *ret)
{
    const struct hfp_scan_limits limits = {.frame_max = UINT32_MAX, .depth_max = HFP_DEPTH_STACK};
    struct hfp_scan scan = {0};
    struct hfp_frame frame;
    enum hfp_result result = hfp_scan(&scan, &limits, at, count, &frame);
    if (result == HFP_MORE)
        return count < BENCH_REPLY_MAX ? BENCH_MORE : BENCH_WRONG;
    if (result != HFP_FRAME || frame.kind != HFP_RESPONSE || frame.param_count != 2)
        return BENCH_WRONG;
    struct hfp_cursor cursor = {.at = at + frame.param[0].at, .end = at + frame.size};
    struct hfp_bytes text;
    if (!hfp_read_bytes(&cursor, &text) || text.size == 0)
        return BENCH_WRONG;
    ret->error = (const char *)text.at;
    ret->error_size = text.size;
    ret->size = frame.size;
    return frame.msgid == msgid ? BENCH_ERROR : BENCH_WRONG;
}

enum bench_verdict bench_check(const struct bench_draw *request, uint32_t msgid, const uint8_t *at,
                               size_t count, struct bench_reply *ret)
{
    ret->left = 0;
    ret->error = NULL;
    /* Every reply to a message id of five bytes is longer than this head. */
    if (count <= HEAD_SIZE)
        return count >= 2 && (at[0] != 0x94 || at[1] != 0x01) ? BENCH_WRONG : BENCH_MORE;
    uint64_t head = UINT64_C(0x9401ce0000000000) | (uint64_t)msgid << 8 | 0xc0;
    if (hfp_load64(at) == head) {
        enum bench_result_kind kind = bench_steps[request->step].result;
        if (kind == BENCH_RESULT_VALUE) {
            if (check_value(request, at, count, ret))
                return BENCH_RIGHT;
        } else {
            struct hfp_cursor cursor = {.at = at + HEAD_SIZE, .end = at + count};
            if (read_result(kind, &cursor, ret)) {
                ret->size = (size_t)(cursor.at - at);
                return BENCH_RIGHT;
            }
        }
    }
    return check_closely(msgid, at, count, ret);
}
