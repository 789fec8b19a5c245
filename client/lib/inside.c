/* SPDX-License-Identifier: BSD-3-Clause */
/* Calls that look inside the daemon or are about sessions and pools as a whole, and the call of any
 * method. */
#include <string.h>

#include "client/lib/pack.h"
#include "proto/mp.h"

static int end_plain_call(hf_conn *conn, const char *method, struct hf__sink sink)
{
    hf__call(conn, method, 0);
    return hf__call_end(conn, &sink);
}

/* An option that is true; left out else, as by hf__pack_option_text. */
static void pack_flag(msgpack_packer *packer, const char *key, bool set)
{
    if (set) {
        hf__pack_key(packer, key);
        msgpack_pack_true(packer);
    }
}

/* The number of elements of `params` if it is one array and nothing else. */
static bool read_params(const void *params, size_t size, uint32_t *ret_count, size_t *ret_head)
{
    const uint8_t *bytes = params;
    struct hfp_cursor head = {bytes, bytes + size};
    struct hfp_cursor whole = head;
    if (!hfp_read_array(&head, ret_count) || !hfp_skip(&whole) || whole.at != whole.end)
        return false;
    *ret_head = (size_t)(head.at - bytes);
    return true;
}

int hf_call(hf_conn *conn, const char *method, const void *params, size_t size, hf_reply **ret)
{
    uint32_t count = 0;
    size_t head = 0;
    struct hf__sink sink = hf__sink_reply(ret);
    bool ok = size == 0 || read_params(params, size, &count, &head);
    hf__call(conn, method, count);
    if (!ok || strlen(method) > UINT16_MAX)
        return hf__call_refuse(conn, HF_ERR_ARGUMENT, "params must be one MessagePack array");
    if (size != 0)
        hf__engine_pack_raw(&conn->engine, (const uint8_t *)params + head, size - head);
    return hf__call_end(conn, &sink);
}

int hf_inspect(hf_conn *conn, hf_id id, hf_reply **ret_map)
{
    hf__pack_id(hf__call(conn, "inspect", 1), id);
    struct hf__sink sink = hf__sink_reply(ret_map);
    return hf__call_end(conn, &sink);
}

int hf_holders(hf_conn *conn, hf_id id, uint64_t limit, hf_reply **ret_rows)
{
    msgpack_packer *packer = hf__call(conn, "holders", 1 + (limit != 0));
    hf__pack_id(packer, id);
    if (limit != 0)
        msgpack_pack_map(packer, 1);
    hf__pack_option_uint(packer, "limit", limit);
    struct hf__sink sink = hf__sink_reply(ret_rows);
    return hf__call_end(conn, &sink);
}

int hf_referrers(hf_conn *conn, hf_id id, uint64_t cursor, uint64_t limit, hf_reply **ret_page)
{
    msgpack_packer *packer = hf__call(conn, "referrers", 2 + (limit != 0));
    hf__pack_id(packer, id);
    msgpack_pack_uint64(packer, cursor);
    if (limit != 0)
        msgpack_pack_map(packer, 1);
    hf__pack_option_uint(packer, "limit", limit);
    struct hf__sink sink = hf__sink_reply(ret_page);
    return hf__call_end(conn, &sink);
}

int hf_why(hf_conn *conn, hf_id id, hf_reply **ret_map)
{
    hf__pack_id(hf__call(conn, "why", 1), id);
    struct hf__sink sink = hf__sink_reply(ret_map);
    return hf__call_end(conn, &sink);
}

int hf_scan(hf_conn *conn, uint64_t cursor, const struct hf_scan_options *options, hf_reply **ret_page)
{
    static const struct hf_scan_options none;
    if (options == NULL)
        options = &none;
    uint32_t count =
        (options->tag != NULL) + (options->min_size != 0) + (options->sid != 0) + (options->limit != 0);
    msgpack_packer *packer = hf__call(conn, "scan", 1 + (count != 0));
    msgpack_pack_uint64(packer, cursor);
    if (count != 0)
        msgpack_pack_map(packer, count);
    hf__pack_option_text(packer, "tag", options->tag);
    hf__pack_option_uint(packer, "min_size", options->min_size);
    hf__pack_option_uint(packer, "sid", options->sid);
    hf__pack_option_uint(packer, "limit", options->limit);
    struct hf__sink sink = hf__sink_reply(ret_page);
    return hf__call_end(conn, &sink);
}

int hf_sessions(hf_conn *conn, const char *pool, uint64_t limit, hf_reply **ret_rows)
{
    uint32_t count = (pool != NULL) + (limit != 0);
    msgpack_packer *packer = hf__call(conn, "sessions", count != 0);
    if (count != 0)
        msgpack_pack_map(packer, count);
    hf__pack_option_text(packer, "pool", pool);
    hf__pack_option_uint(packer, "limit", limit);
    struct hf__sink sink = hf__sink_reply(ret_rows);
    return hf__call_end(conn, &sink);
}

int hf_sessions_page(hf_conn *conn, const char *pool, uint64_t cursor, uint64_t limit, hf_reply **ret_page)
{
    msgpack_packer *packer = hf__call(conn, "sessions", 1);
    msgpack_pack_map(packer, 1 + (pool != NULL) + (limit != 0));
    hf__pack_option_text(packer, "pool", pool);
    hf__pack_option_uint(packer, "limit", limit);
    hf__pack_text(packer, "cursor");
    msgpack_pack_uint64(packer, cursor);
    struct hf__sink sink = hf__sink_reply(ret_page);
    return hf__call_end(conn, &sink);
}

int hf_kill(hf_conn *conn, uint64_t sid, int64_t *ret_dropped)
{
    msgpack_pack_uint64(hf__call(conn, "kill", 1), sid);
    struct hf__sink sink = hf__sink_int(ret_dropped);
    return hf__call_end(conn, &sink);
}

int hf_pools(hf_conn *conn, hf_reply **ret_rows)
{
    return end_plain_call(conn, "pools", hf__sink_reply(ret_rows));
}

int hf_pool_create(hf_conn *conn, const char *pool, uint64_t max_bytes)
{
    msgpack_packer *packer = hf__call(conn, "pool_create", 1 + (max_bytes != 0));
    hf__pack_text(packer, pool);
    if (max_bytes != 0)
        msgpack_pack_map(packer, 1);
    hf__pack_option_uint(packer, "max_bytes", max_bytes);
    struct hf__sink sink = hf__sink_none();
    return hf__call_end(conn, &sink);
}

int hf_pool_drop(hf_conn *conn, const char *pool, bool force)
{
    msgpack_packer *packer = hf__call(conn, "pool_drop", 1 + force);
    hf__pack_text(packer, pool);
    if (force)
        msgpack_pack_map(packer, 1);
    pack_flag(packer, "force", force);
    struct hf__sink sink = hf__sink_none();
    return hf__call_end(conn, &sink);
}

int hf_stats(hf_conn *conn, const char *section, hf_reply **ret_map)
{
    msgpack_packer *packer = hf__call(conn, "stats", section != NULL);
    if (section != NULL)
        hf__pack_text(packer, section);
    struct hf__sink sink = hf__sink_reply(ret_map);
    return hf__call_end(conn, &sink);
}

int hf_gc_collect(hf_conn *conn, const struct hf_gc_options *options, hf_reply **ret_map)
{
    static const struct hf_gc_options none;
    if (options == NULL)
        options = &none;
    uint32_t count = (options->kind != NULL) + options->dry_run + options->explain;
    msgpack_packer *packer = hf__call(conn, "gc_collect", count != 0);
    if (count != 0)
        msgpack_pack_map(packer, count);
    hf__pack_option_text(packer, "kind", options->kind);
    pack_flag(packer, "dry_run", options->dry_run);
    pack_flag(packer, "explain", options->explain);
    struct hf__sink sink = hf__sink_reply(ret_map);
    return hf__call_end(conn, &sink);
}

int hf_gc_config(hf_conn *conn, const struct hf_gc_settings *changes, hf_reply **ret_map)
{
    static const struct hf_gc_settings none;
    if (changes == NULL)
        changes = &none;
    const struct {
        const char *key;
        uint64_t number;
    } numbers[] = {
        {"budget_us", changes->budget_us},           {"growth_percent", changes->growth_percent},
        {"objects_least", changes->objects_least},   {"bytes_least", changes->bytes_least},
        {"full_after_ms", changes->full_after_ms},   {"young_suspects", changes->young_suspects},
        {"young_after_ms", changes->young_after_ms},
    };
    uint32_t count = changes->enabled != HF_UNCHANGED;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        count += numbers[i].number != 0;
    msgpack_packer *packer = hf__call(conn, "gc_config", count != 0);
    if (count != 0)
        msgpack_pack_map(packer, count);
    if (changes->enabled != HF_UNCHANGED) {
        hf__pack_key(packer, "enabled");
        if (changes->enabled == HF_ON)
            msgpack_pack_true(packer);
        else
            msgpack_pack_false(packer);
    }
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        hf__pack_option_uint(packer, numbers[i].key, numbers[i].number);
    struct hf__sink sink = hf__sink_reply(ret_map);
    return hf__call_end(conn, &sink);
}

int hf_save(hf_conn *conn, const char *file, hf_reply **ret_map)
{
    msgpack_packer *packer = hf__call(conn, "save", file != NULL);
    if (file != NULL)
        hf__pack_text(packer, file);
    struct hf__sink sink = hf__sink_reply(ret_map);
    return hf__call_end(conn, &sink);
}

int hf_load(hf_conn *conn, const char *file, const char *pool, hf_reply **ret_map)
{
    msgpack_packer *packer = hf__call(conn, "load", pool != NULL ? 2 : 1);
    hf__pack_text(packer, file);
    if (pool != NULL) {
        msgpack_pack_map(packer, 1);
        hf__pack_key(packer, "pool");
        hf__pack_text(packer, pool);
    }
    struct hf__sink sink = hf__sink_reply(ret_map);
    return hf__call_end(conn, &sink);
}

int hf_verify(hf_conn *conn, hf_reply **ret_map)
{
    return end_plain_call(conn, "verify", hf__sink_reply(ret_map));
}

int hf_methods(hf_conn *conn, hf_reply **ret_rows)
{
    return end_plain_call(conn, "methods", hf__sink_reply(ret_rows));
}

int hf_ping(hf_conn *conn, int64_t *ret_time_ms)
{
    return end_plain_call(conn, "ping", hf__sink_int(ret_time_ms));
}
