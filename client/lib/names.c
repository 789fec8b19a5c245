/* SPDX-License-Identifier: BSD-3-Clause */
/* Calls about names. */
#include "client/lib/pack.h"

int hf_name(hf_conn *conn, const char *name, hf_id id, int64_t if_version, int64_t *ret_version)
{
    bool conditional = if_version != HF_ANY_VERSION;
    msgpack_packer *packer = hf__call(conn, "name", 2 + conditional);
    hf__pack_text(packer, name);
    hf__pack_id(packer, id);
    if (conditional)
        hf__pack_if_version(packer, if_version);
    struct hf__sink sink = hf__sink_int(ret_version);
    return hf__call_end(conn, &sink);
}

int hf_lookup(hf_conn *conn, const char *name, hf_id *ret_id)
{
    hf__pack_text(hf__call(conn, "lookup", 1), name);
    struct hf__sink sink = hf__sink_id(ret_id);
    return hf__call_end(conn, &sink);
}

int hf_lookup_many(hf_conn *conn, const char *const *names, size_t count, hf_id *ret_ids)
{
    msgpack_packer *packer = hf__call(conn, "lookup", 1);
    if (count > UINT32_MAX)
        return hf__call_refuse(conn, HF_ERR_ARGUMENT, "more than 2^32-1 elements");
    msgpack_pack_array(packer, count);
    for (size_t i = 0; i < count; i++)
        hf__pack_text(packer, names[i]);
    struct hf__sink sink = hf__sink_ints(ret_ids, count);
    return hf__call_end(conn, &sink);
}

int hf_unname(hf_conn *conn, const char *name, int64_t if_version)
{
    bool conditional = if_version != HF_ANY_VERSION;
    msgpack_packer *packer = hf__call(conn, "unname", 1 + conditional);
    hf__pack_text(packer, name);
    if (conditional)
        hf__pack_if_version(packer, if_version);
    struct hf__sink sink = hf__sink_none();
    return hf__call_end(conn, &sink);
}

int hf_names(hf_conn *conn, uint64_t cursor, const char *prefix, uint64_t limit, hf_reply **ret_page)
{
    uint32_t count = (prefix != NULL) + (limit != 0);
    msgpack_packer *packer = hf__call(conn, "names", 1 + (count != 0));
    msgpack_pack_uint64(packer, cursor);
    if (count != 0)
        msgpack_pack_map(packer, count);
    hf__pack_option_text(packer, "prefix", prefix);
    hf__pack_option_uint(packer, "limit", limit);
    struct hf__sink sink = hf__sink_reply(ret_page);
    return hf__call_end(conn, &sink);
}

int hf_store(hf_conn *conn, const char *name, hf_value value, const struct hf_store_options *options,
             hf_id *ret_id, int64_t *ret_version)
{
    static const struct hf_store_options none;
    if (options == NULL)
        options = &none;
    uint32_t count = (options->tag != NULL) + options->check_version;
    msgpack_packer *packer = hf__call(conn, "store", 2 + (count != 0));
    if (!hf__value_ok(&value))
        return hf__call_refuse(conn, HF_ERR_ARGUMENT, "the value is not exactly one MessagePack value");
    hf__pack_text(packer, name);
    hf__pack_value(conn, &value);
    if (count != 0)
        msgpack_pack_map(packer, count);
    hf__pack_option_text(packer, "tag", options->tag);
    if (options->check_version) {
        hf__pack_key(packer, "if_version");
        msgpack_pack_int64(packer, options->if_version);
    }
    struct hf__sink sink = hf__sink_pair(ret_id, ret_version);
    return hf__call_end(conn, &sink);
}

int hf_fetch(hf_conn *conn, const char *name, hf_reply **ret_value)
{
    hf__pack_text(hf__call(conn, "fetch", 1), name);
    struct hf__sink sink = hf__sink_reply(ret_value);
    return hf__call_end(conn, &sink);
}
