/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/lib/pack.h"

#include <string.h>

#include "client/lib/reply.h"
#include "proto/mp.h"

/* ---- Params -------------------------------------------------------------------------------------------- */

bool hf__value_ok(const hf_value *value)
{
    bool empty = value->size == 0;
    switch (value->type) {
    case HF_TYPE_NIL:
    case HF_TYPE_INT: return true;
    case HF_TYPE_STR:
    case HF_TYPE_BIN: return value->size <= UINT32_MAX && (empty || value->data != NULL);
    case HF_TYPE_PACKED: break;
    default: return false;
    }
    if (empty || value->data == NULL)
        return false;
    const uint8_t *bytes = value->data;
    struct hfp_cursor cursor = {bytes, bytes + value->size};
    return hfp_skip(&cursor) && cursor.at == cursor.end;
}

void hf__pack_value(hf_conn *conn, const hf_value *value)
{
    msgpack_packer *packer = &conn->engine.packer;
    switch (value->type) {
    case HF_TYPE_INT: msgpack_pack_int64(packer, value->integer); break;
    case HF_TYPE_STR:
        msgpack_pack_str(packer, value->size);
        hf__engine_pack_raw(&conn->engine, value->data, value->size);
        break;
    case HF_TYPE_BIN:
        msgpack_pack_bin(packer, value->size);
        hf__engine_pack_raw(&conn->engine, value->data, value->size);
        break;
    case HF_TYPE_PACKED: hf__engine_pack_raw(&conn->engine, value->data, value->size); break;
    default: msgpack_pack_nil(packer); break;
    }
}

void hf__pack_text(msgpack_packer *packer, const char *text)
{
    if (text == NULL)
        msgpack_pack_nil(packer);
    else
        msgpack_pack_str_with_body(packer, text, strlen(text));
}

void hf__pack_id(msgpack_packer *packer, hf_id id)
{
    if (id == 0)
        msgpack_pack_nil(packer);
    else
        msgpack_pack_int64(packer, id);
}

void hf__pack_ids(msgpack_packer *packer, const hf_id *ids, size_t count)
{
    msgpack_pack_array(packer, count);
    for (size_t i = 0; i < count; i++)
        hf__pack_id(packer, ids[i]);
}

void hf__pack_key(msgpack_packer *packer, const char *key)
{
    hf__pack_text(packer, key);
}

void hf__pack_option_text(msgpack_packer *packer, const char *key, const char *text)
{
    if (text == NULL)
        return;
    hf__pack_key(packer, key);
    hf__pack_text(packer, text);
}

void hf__pack_option_uint(msgpack_packer *packer, const char *key, uint64_t number)
{
    if (number == 0)
        return;
    hf__pack_key(packer, key);
    msgpack_pack_uint64(packer, number);
}

void hf__pack_if_version(msgpack_packer *packer, int64_t if_version)
{
    msgpack_pack_map(packer, 1);
    hf__pack_key(packer, "if_version");
    msgpack_pack_int64(packer, if_version);
}

/* ---- Results ------------------------------------------------------------------------------------------- */

static int take_reply(const struct hf__sink *sink, hf_item result)
{
    hf_reply **ret = sink->ret[0];
    *ret = hf__reply_copy(result);
    return *ret == NULL ? HF_ERR_MEMORY : 0;
}

static int take_int(const struct hf__sink *sink, hf_item result)
{
    int64_t *ret = sink->ret[0];
    return hf_item_int(result, ret) ? 0 : HF_ERR_PROTOCOL;
}

static int take_id(const struct hf__sink *sink, hf_item result)
{
    hf_id *ret = sink->ret[0];
    if (hf_item_type(result) != HF_TYPE_NIL)
        return take_int(sink, result);
    *ret = 0;
    return 0;
}

static int take_ints(const struct hf__sink *sink, hf_item result)
{
    int64_t *ret = sink->ret[0];
    hf_walk walk = hf_walk_start(result);
    hf_item element;
    if (walk.map || walk.left != sink->count)
        return HF_ERR_PROTOCOL;
    for (size_t i = 0; i < sink->count; i++) {
        if (!hf_walk_next(&walk, NULL, &element) || !hf_item_int(element, &ret[i]))
            return HF_ERR_PROTOCOL;
    }
    return 0;
}

static int take_pair(const struct hf__sink *sink, hf_item result)
{
    int64_t pair[2];
    const struct hf__sink both = {.ret = {pair}, .count = 2};
    int code = take_ints(&both, result);
    for (size_t i = 0; code == 0 && i < 2; i++) {
        int64_t *ret = sink->ret[i];
        if (ret != NULL)
            *ret = pair[i];
    }
    return code;
}

static int take_key(const struct hf__sink *sink, hf_item result)
{
    const void *bytes;
    size_t size;
    if (!hf_item_bytes(result, &bytes, &size) || size != HF_KEY_BYTES)
        return HF_ERR_PROTOCOL;
    memcpy(sink->ret[0], bytes, HF_KEY_BYTES);
    return 0;
}

struct hf__sink hf__sink_none(void)
{
    return (struct hf__sink){0};
}

struct hf__sink hf__sink_reply(hf_reply **ret)
{
    if (ret == NULL)
        return hf__sink_none();
    *ret = NULL;
    return (struct hf__sink){.take = take_reply, .ret = {ret}};
}

struct hf__sink hf__sink_int(int64_t *ret)
{
    return ret == NULL ? hf__sink_none() : (struct hf__sink){.take = take_int, .ret = {ret}};
}

struct hf__sink hf__sink_id(hf_id *ret)
{
    return ret == NULL ? hf__sink_none() : (struct hf__sink){.take = take_id, .ret = {ret}};
}

struct hf__sink hf__sink_ints(int64_t *ret, size_t count)
{
    return ret == NULL ? hf__sink_none() : (struct hf__sink){.take = take_ints, .ret = {ret}, .count = count};
}

struct hf__sink hf__sink_pair(int64_t *first, int64_t *second)
{
    return (struct hf__sink){.take = take_pair, .ret = {first, second}};
}

struct hf__sink hf__sink_key(uint8_t *ret)
{
    return ret == NULL ? hf__sink_none() : (struct hf__sink){.take = take_key, .ret = {ret}};
}
