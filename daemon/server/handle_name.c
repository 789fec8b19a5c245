/* SPDX-License-Identifier: BSD-3-Clause */
/* name lookup unname names store fetch: names, and values kept under them. */
#include "daemon/pool/replay.h"
#include "daemon/server/handlers.h"

int handle_name(struct call *call)
{
    uint64_t id, version, if_version = POOL_ANY_VERSION;
    const struct option_spec specs[] = {{"if_version", OPTION_UINT, &if_version, NULL, 0, VERSION_MAX}};
    struct name_in name;
    int r;

    if ((r = call_name(call, "name", &name)) || (r = call_id(call, "id", &id)) ||
        (r = call_options(call, specs, COUNT_OF(specs))))
        return r;
    r = pool_name_bind(call->pool, name, id, if_version, &version);
    if (r)
        return call_pool_error(call, r);
    reply_uint(call, version);
    return 0;
}

int handle_lookup(struct call *call)
{
    struct scratch *scratch = call_scratch(call);
    bool version = false;
    const struct option_spec specs[] = {{"version", OPTION_BOOL, &version, NULL, 0, 0}};
    struct names names;
    int r;

    if ((r = call_names(call, "name", &names)) || (r = call_options(call, specs, COUNT_OF(specs))))
        return r;
    pool_replay_shape(call->pool, names.array ? REPLAY_ARRAY : REPLAY_PLAIN);
    if (names.count)
        r = pool_lookup(call->pool, call->session, names.names, names.count, scratch->results,
                        version ? scratch->versions : NULL);
    if (r)
        return call_list_error(call, r, names.array);
    if (version)
        reply_versioned(call, scratch->results, scratch->versions, names.count, names.array);
    else
        reply_uints(call, scratch->results, names.count, names.array);
    return 0;
}

int handle_unname(struct call *call)
{
    uint64_t if_version = POOL_ANY_VERSION;
    const struct option_spec specs[] = {{"if_version", OPTION_UINT, &if_version, NULL, 0, VERSION_MAX}};
    struct names names;
    int r;

    if ((r = call_names(call, "name", &names)) || (r = call_options(call, specs, COUNT_OF(specs))))
        return r;
    pool_replay_shape(call->pool, names.array ? REPLAY_ARRAY : REPLAY_PLAIN);
    if (names.count)
        r = pool_unname(call->pool, names.names, names.count, if_version);
    if (r)
        return call_list_error(call, r, names.array);
    if (names.array)
        reply_array(call, names.count);
    for (uint32_t i = 0; i < names.count; i++)
        reply_bool(call, true);
    return 0;
}

int handle_names(struct call *call)
{
    struct name_row *rows = call_scratch(call)->rows.names;
    uint64_t cursor, next, limit = HF_IDS_MAX;
    struct name_in prefix = {NULL, 0};
    const struct option_spec specs[] = {
        {"prefix", OPTION_BYTES, &prefix, NULL, 0, HF_NAME_MAX},
        {"limit", OPTION_UINT, &limit, NULL, 1, HF_IDS_MAX},
    };
    unsigned count;
    int r;

    if ((r = call_uint(call, "cursor", 0, HF_ID_MAX, 0, &cursor)) ||
        (r = call_options(call, specs, COUNT_OF(specs))))
        return r;
    count = pool_names(call->pool, cursor, prefix, rows, (unsigned)limit, &next);
    reply_array(call, 2);
    reply_uint(call, next);
    reply_array(call, count);
    for (unsigned i = 0; i < count; i++) {
        reply_array(call, 2);
        reply_str(call, rows[i].name, rows[i].name_size);
        reply_uint(call, rows[i].id);
    }
    return 0;
}

int handle_store(struct call *call)
{
    uint64_t id, version, if_version = POOL_ANY_VERSION;
    struct name_in name, tag = {NULL, 0};
    const struct option_spec specs[] = {
        {"if_version", OPTION_UINT, &if_version, NULL, 0, VERSION_MAX},
        {"tag", OPTION_NAME, &tag, NULL, 0, 0},
    };
    struct value_in value;
    int r;

    if ((r = call_name(call, "name", &name)) || (r = call_value(call, "value", &value)) ||
        (r = call_options(call, specs, COUNT_OF(specs))))
        return r;
    r = pool_store(call->pool, name, &value, if_version, tag.data, tag.size, &id, &version);
    if (r)
        return call_pool_error(call, r);
    reply_versioned(call, &id, &version, 1, false);
    return 0;
}

static int reply_fetched(struct call *call, struct name_in name, bool with_version)
{
    struct value_view view;
    uint64_t id, version;
    int r = pool_fetch(call->pool, name, &view, &id, &version);

    if (r)
        return call_list_error(call, r, false);
    if (with_version)
        reply_array(call, 2);
    reply_value(call, id, &view);
    if (with_version)
        reply_uint(call, version);
    return 0;
}

int handle_fetch(struct call *call)
{
    bool version = false;
    const struct option_spec specs[] = {{"version", OPTION_BOOL, &version, NULL, 0, 0}};
    struct names names;
    int r;

    if ((r = call_names(call, "name", &names)) || (r = call_options(call, specs, COUNT_OF(specs))))
        return r;
    if (!names.array)
        return reply_fetched(call, names.names[0], version);
    reply_array(call, names.count);
    for (uint32_t i = 0; r == 0 && i < names.count; i++)
        r = call_at_index(call, reply_fetched(call, names.names[i], version), i);
    return r;
}
