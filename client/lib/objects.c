/* SPDX-License-Identifier: BSD-3-Clause */
/* Calls about objects, references and tickets. */
#include <stdint.h>

#include "client/lib/pack.h"

static const char VALUE_WRONG[] = "the value is not exactly one MessagePack value";
static const char COUNT_WRONG[] = "more than 2^32-1 elements";

/* Ends a call whose first param is an id and that has a result of one kind. */
static int end_id_call(hf_conn *conn, const char *method, hf_id id, struct hf__sink sink)
{
    hf__pack_id(hf__call(conn, method, 1), id);
    return hf__call_end(conn, &sink);
}

/* ---- put ----------------------------------------------------------------------------------------------- */

/* How many pairs the option map has, without `refs`. */
static uint32_t put_option_count(const struct hf_put_options *options)
{
    return (options->tag != NULL) + (options->site != NULL) + (options->size > 0) + options->seal;
}

static void pack_put_options(msgpack_packer *packer, const struct hf_put_options *options)
{
    hf__pack_option_text(packer, "tag", options->tag);
    hf__pack_option_text(packer, "site", options->site);
    if (options->size > 0)
        hf__pack_option_uint(packer, "size", (uint64_t)options->size);
    if (options->seal) {
        hf__pack_key(packer, "seal");
        msgpack_pack_true(packer);
    }
}

static const char *put_wrong(const hf_value *value, const struct hf_put_options *options)
{
    if (!hf__value_ok(value))
        return VALUE_WRONG;
    if (options->ref_count > UINT32_MAX || (options->ref_count != 0 && options->refs == NULL))
        return COUNT_WRONG;
    return options->size < 0 ? "a negative size" : NULL;
}

int hf_put(hf_conn *conn, hf_value value, const struct hf_put_options *options, hf_id *ret_id)
{
    static const struct hf_put_options none;
    if (options == NULL)
        options = &none;
    uint32_t count = put_option_count(options) + (options->ref_count != 0);
    msgpack_packer *packer = hf__call(conn, "put", 1 + (count != 0));
    const char *wrong = put_wrong(&value, options);
    if (wrong != NULL)
        return hf__call_refuse(conn, HF_ERR_ARGUMENT, wrong);
    hf__pack_value(conn, &value);
    if (count != 0)
        msgpack_pack_map(packer, count);
    if (options->ref_count != 0) {
        hf__pack_key(packer, "refs");
        hf__pack_ids(packer, options->refs, options->ref_count);
    }
    pack_put_options(packer, options);
    struct hf__sink sink = hf__sink_id(ret_id);
    return hf__call_end(conn, &sink);
}

/* [value, refs or nil, {options}] without what is not needed at its end. */
static void pack_put_item(hf_conn *conn, const struct hf_put_item *item)
{
    msgpack_packer *packer = &conn->engine.packer;
    uint32_t count = put_option_count(&item->options);
    size_t ref_count = item->options.ref_count;
    msgpack_pack_array(packer, count != 0 ? 3 : ref_count != 0 ? 2 : 1);
    hf__pack_value(conn, &item->value);
    if (ref_count != 0)
        hf__pack_ids(packer, item->options.refs, ref_count);
    else if (count != 0)
        msgpack_pack_nil(packer);
    if (count != 0)
        msgpack_pack_map(packer, count);
    pack_put_options(packer, &item->options);
}

int hf_put_many(hf_conn *conn, const struct hf_put_item *items, size_t count, hf_id *ret_ids)
{
    msgpack_packer *packer = hf__call(conn, "put_many", 1);
    if (count > UINT32_MAX)
        return hf__call_refuse(conn, HF_ERR_ARGUMENT, COUNT_WRONG);
    msgpack_pack_array(packer, count);
    for (size_t i = 0; i < count; i++) {
        const char *wrong = put_wrong(&items[i].value, &items[i].options);
        if (wrong != NULL)
            return hf__call_refuse(conn, HF_ERR_ARGUMENT, wrong);
        pack_put_item(conn, &items[i]);
    }
    struct hf__sink sink = hf__sink_ints(ret_ids, count);
    return hf__call_end(conn, &sink);
}

/* ---- values -------------------------------------------------------------------------------------------- */

int hf_get(hf_conn *conn, hf_id id, hf_reply **ret_value)
{
    return end_id_call(conn, "get", id, hf__sink_reply(ret_value));
}

int hf_get_part(hf_conn *conn, hf_id id, uint64_t offset, uint64_t size, hf_reply **ret_value)
{
    msgpack_packer *packer = hf__call(conn, "get", 2);
    hf__pack_id(packer, id);
    msgpack_pack_map(packer, 2);
    hf__pack_key(packer, "offset");
    msgpack_pack_uint64(packer, offset);
    hf__pack_key(packer, "len");
    msgpack_pack_uint64(packer, size);
    struct hf__sink sink = hf__sink_reply(ret_value);
    return hf__call_end(conn, &sink);
}

int hf_get_version(hf_conn *conn, hf_id id, hf_reply **ret_pair)
{
    msgpack_packer *packer = hf__call(conn, "get", 2);
    hf__pack_id(packer, id);
    msgpack_pack_map(packer, 1);
    hf__pack_key(packer, "version");
    msgpack_pack_true(packer);
    struct hf__sink sink = hf__sink_reply(ret_pair);
    return hf__call_end(conn, &sink);
}

/* Ends a call whose first param is an array of ids, and its second, if not 0, a number. */
static int end_ids_call(hf_conn *conn, const char *method, const hf_id *ids, size_t count, uint64_t n,
                        struct hf__sink sink)
{
    msgpack_packer *packer = hf__call(conn, method, 1 + (n != 0));
    if (count > UINT32_MAX)
        return hf__call_refuse(conn, HF_ERR_ARGUMENT, COUNT_WRONG);
    hf__pack_ids(packer, ids, count);
    if (n != 0)
        msgpack_pack_uint64(packer, n);
    return hf__call_end(conn, &sink);
}

int hf_get_many(hf_conn *conn, const hf_id *ids, size_t count, hf_reply **ret_values)
{
    return end_ids_call(conn, "get", ids, count, 0, hf__sink_reply(ret_values));
}

int hf_set(hf_conn *conn, hf_id id, hf_value value, int64_t if_version, int64_t *ret_version)
{
    bool conditional = if_version != HF_ANY_VERSION;
    msgpack_packer *packer = hf__call(conn, "set", 2 + conditional);
    if (!hf__value_ok(&value))
        return hf__call_refuse(conn, HF_ERR_ARGUMENT, VALUE_WRONG);
    hf__pack_id(packer, id);
    hf__pack_value(conn, &value);
    if (conditional)
        hf__pack_if_version(packer, if_version);
    struct hf__sink sink = hf__sink_int(ret_version);
    return hf__call_end(conn, &sink);
}

int hf_write(hf_conn *conn, hf_id id, uint64_t offset, const void *data, size_t size)
{
    msgpack_packer *packer = hf__call(conn, "write", 3);
    hf_value bytes = hf_bin(data, size);
    if (!hf__value_ok(&bytes))
        return hf__call_refuse(conn, HF_ERR_ARGUMENT, VALUE_WRONG);
    hf__pack_id(packer, id);
    msgpack_pack_uint64(packer, offset);
    hf__pack_value(conn, &bytes);
    struct hf__sink sink = hf__sink_none();
    return hf__call_end(conn, &sink);
}

int hf_seal(hf_conn *conn, hf_id id)
{
    return end_id_call(conn, "seal", id, hf__sink_none());
}

int hf_refs(hf_conn *conn, hf_id id, hf_reply **ret_ids)
{
    return end_id_call(conn, "refs", id, hf__sink_reply(ret_ids));
}

int hf_link(hf_conn *conn, hf_id id, uint64_t slot, hf_id target, hf_id *ret_previous)
{
    msgpack_packer *packer = hf__call(conn, "link", 3);
    hf__pack_id(packer, id);
    msgpack_pack_uint64(packer, slot);
    hf__pack_id(packer, target);
    struct hf__sink sink = hf__sink_id(ret_previous);
    return hf__call_end(conn, &sink);
}

/* ---- references ---------------------------------------------------------------------------------------- */

static int end_count_call(hf_conn *conn, const char *method, hf_id id, uint64_t n, int64_t *ret_count)
{
    msgpack_packer *packer = hf__call(conn, method, 1 + (n != 0));
    hf__pack_id(packer, id);
    if (n != 0)
        msgpack_pack_uint64(packer, n);
    struct hf__sink sink = hf__sink_int(ret_count);
    return hf__call_end(conn, &sink);
}

int hf_retain(hf_conn *conn, hf_id id, uint64_t n, int64_t *ret_count)
{
    return end_count_call(conn, "retain", id, n, ret_count);
}

int hf_release(hf_conn *conn, hf_id id, uint64_t n, int64_t *ret_count)
{
    return end_count_call(conn, "release", id, n, ret_count);
}

int hf_retain_many(hf_conn *conn, const hf_id *ids, size_t count, uint64_t n, int64_t *ret_counts)
{
    return end_ids_call(conn, "retain", ids, count, n, hf__sink_ints(ret_counts, count));
}

int hf_release_many(hf_conn *conn, const hf_id *ids, size_t count, uint64_t n, int64_t *ret_counts)
{
    return end_ids_call(conn, "release", ids, count, n, hf__sink_ints(ret_counts, count));
}

/* ---- tickets ------------------------------------------------------------------------------------------- */

int hf_share(hf_conn *conn, hf_id id, uint64_t ttl_ms, uint64_t uses, uint8_t *ret_ticket)
{
    uint32_t count = (ttl_ms != 0) + (uses != 0);
    msgpack_packer *packer = hf__call(conn, "share", 1 + (count != 0));
    hf__pack_id(packer, id);
    if (count != 0)
        msgpack_pack_map(packer, count);
    hf__pack_option_uint(packer, "ttl_ms", ttl_ms);
    hf__pack_option_uint(packer, "uses", uses);
    struct hf__sink sink = hf__sink_key(ret_ticket);
    return hf__call_end(conn, &sink);
}

static int end_ticket_call(hf_conn *conn, const char *method, const uint8_t *ticket, struct hf__sink sink)
{
    msgpack_packer *packer = hf__call(conn, method, 1);
    msgpack_pack_bin_with_body(packer, ticket, HF_KEY_BYTES);
    return hf__call_end(conn, &sink);
}

int hf_claim(hf_conn *conn, const uint8_t *ticket, hf_id *ret_id)
{
    return end_ticket_call(conn, "claim", ticket, hf__sink_id(ret_id));
}

int hf_unshare(hf_conn *conn, const uint8_t *ticket)
{
    return end_ticket_call(conn, "unshare", ticket, hf__sink_none());
}
