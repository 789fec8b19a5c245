/* SPDX-License-Identifier: BSD-3-Clause */
/* Reading of replies. Items come from frames that the scanner has passed, but no function here relies on
 * it. */
#include <string.h>

#include "client/holdfast.h"
#include "client/lib/reply.h"
#include "proto/mp.h"

/* A missing item is a cursor at its end: every reader says no to it. */
static struct hfp_cursor cursor_of(hf_item item)
{
    static const uint8_t nothing[1];
    if (item.data == NULL)
        return (struct hfp_cursor){nothing, nothing};
    return (struct hfp_cursor){item.data, item.data + item.size};
}

enum hf_type hf_item_type(hf_item item)
{
    static const signed char types[] = {
        [HFP_NONE] = HF_TYPE_NONE, [HFP_NIL] = HF_TYPE_NIL,     [HFP_BOOL] = HF_TYPE_BOOL,
        [HFP_INT] = HF_TYPE_INT,   [HFP_FLOAT] = HF_TYPE_FLOAT, [HFP_STR] = HF_TYPE_STR,
        [HFP_BIN] = HF_TYPE_BIN,   [HFP_ARRAY] = HF_TYPE_ARRAY, [HFP_MAP] = HF_TYPE_MAP,
        [HFP_EXT] = HF_TYPE_EXT,
    };
    struct hfp_cursor cursor = cursor_of(item);
    return (enum hf_type)types[hfp_peek_type(&cursor)];
}

bool hf_item_int(hf_item item, int64_t *ret)
{
    struct hfp_cursor cursor = cursor_of(item);
    return hfp_read_int64(&cursor, ret);
}

bool hf_item_uint(hf_item item, uint64_t *ret)
{
    struct hfp_cursor cursor = cursor_of(item);
    return hfp_read_uint64(&cursor, ret);
}

bool hf_item_bool(hf_item item, bool *ret)
{
    struct hfp_cursor cursor = cursor_of(item);
    return hfp_read_bool(&cursor, ret);
}

bool hf_item_float(hf_item item, double *ret)
{
    struct hfp_cursor cursor = cursor_of(item);
    return hfp_read_f64(&cursor, ret);
}

bool hf_item_bytes(hf_item item, const void **ret_data, size_t *ret_size)
{
    struct hfp_cursor cursor = cursor_of(item);
    struct hfp_bytes bytes;
    int8_t type;
    if (!hfp_read_bytes(&cursor, &bytes) && !hfp_read_ext(&cursor, &type, &bytes))
        return false;
    *ret_data = bytes.at;
    *ret_size = bytes.size;
    return true;
}

bool hf_item_ext(hf_item item, int *ret_type)
{
    struct hfp_cursor cursor = cursor_of(item);
    struct hfp_bytes bytes;
    int8_t type;
    if (!hfp_read_ext(&cursor, &type, &bytes))
        return false;
    *ret_type = type;
    return true;
}

hf_walk hf_walk_start(hf_item item)
{
    hf_walk walk = {0};
    struct hfp_cursor cursor = cursor_of(item);
    uint32_t count;
    walk.map = hfp_peek_type(&cursor) == HFP_MAP;
    if (hfp_read_array(&cursor, &count) || hfp_read_map(&cursor, &count))
        walk.left = count;
    walk.at = cursor.at;
    walk.end = cursor.end;
    return walk;
}

static bool take_item(struct hfp_cursor *cursor, hf_item *ret)
{
    const uint8_t *at = cursor->at;
    if (!hfp_skip(cursor))
        return false;
    *ret = (hf_item){at, (size_t)(cursor->at - at)};
    return true;
}

bool hf_walk_next(hf_walk *walk, hf_item *ret_key, hf_item *ret_value)
{
    struct hfp_cursor cursor = {walk->at, walk->end};
    hf_item key = {0};
    hf_item value;
    if (walk->left == 0 || (walk->map && !take_item(&cursor, &key)) || !take_item(&cursor, &value)) {
        walk->left = 0;
        return false;
    }
    walk->left--;
    walk->at = cursor.at;
    if (ret_key != NULL)
        *ret_key = key;
    if (ret_value != NULL)
        *ret_value = value;
    return true;
}

size_t hf_item_count(hf_item item)
{
    return hf_walk_start(item).left;
}

hf_item hf_item_at(hf_item item, size_t index)
{
    hf_item element = {0};
    hf_walk walk = hf_walk_start(item);
    if (walk.map || index >= walk.left)
        return (hf_item){0};
    for (size_t i = 0; i <= index; i++) {
        if (!hf_walk_next(&walk, NULL, &element))
            return (hf_item){0};
    }
    return element;
}

hf_item hf_item_get(hf_item item, const char *key)
{
    hf_walk walk = hf_walk_start(item);
    size_t size = strlen(key);
    hf_item at, value;
    while (walk.map && hf_walk_next(&walk, &at, &value)) {
        const void *bytes;
        size_t bytes_size;
        if (hf_item_bytes(at, &bytes, &bytes_size) && bytes_size == size && memcmp(bytes, key, size) == 0)
            return value;
    }
    return (hf_item){0};
}

size_t hf_item_ids(hf_item item, hf_id *ids, size_t capacity)
{
    hf_walk walk = hf_walk_start(item);
    hf_item element;
    size_t count = 0;
    while (!walk.map && hf_walk_next(&walk, NULL, &element)) {
        int64_t id = 0;
        if (hf_item_type(element) != HF_TYPE_NIL && !hf_item_int(element, &id))
            continue;
        if (count < capacity)
            ids[count] = id;
        count++;
    }
    return count;
}
