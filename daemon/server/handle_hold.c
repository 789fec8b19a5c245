/* SPDX-License-Identifier: BSD-3-Clause */
/* retain release share claim unshare: what a session holds, and how it hands that on. */
#include "daemon/pool/replay.h"
#include "daemon/server/handlers.h"

#include <string.h>

int handle_retain(struct call *call)
{
    uint64_t *counts = call_scratch(call)->results;
    struct name_in site = {NULL, 0};
    const struct option_spec specs[] = {{"site", OPTION_NAME, &site, NULL, 0, 0}};
    struct ids ids;
    uint64_t n;
    int r;

    if ((r = call_ids(call, "id", &ids)) || (r = call_uint(call, "n", 1, HF_COUNT_MAX, 1, &n)) ||
        (r = call_options(call, specs, COUNT_OF(specs))))
        return r;
    pool_replay_shape(call->pool, ids.array ? REPLAY_ARRAY : REPLAY_PLAIN);
    if (ids.count)
        r = pool_retain(call->pool, call->session, ids.ids, ids.count, (uint32_t)n, site.data, site.size,
                        counts);
    if (r)
        return call_list_error(call, r, ids.array);
    reply_uints(call, counts, ids.count, ids.array);
    return 0;
}

int handle_release(struct call *call)
{
    uint64_t *counts = call_scratch(call)->results;
    struct ids ids;
    uint64_t n;
    int r;

    if ((r = call_ids(call, "id", &ids)) || (r = call_uint(call, "n", 1, HF_COUNT_MAX, 1, &n)) ||
        (r = call_options(call, NULL, 0)))
        return r;
    pool_replay_shape(call->pool, ids.array ? REPLAY_ARRAY : REPLAY_PLAIN);
    if (ids.count)
        r = pool_release(call->pool, call->session, ids.ids, ids.count, (uint32_t)n, counts);
    if (r)
        return call_list_error(call, r, ids.array);
    reply_uints(call, counts, ids.count, ids.array);
    return 0;
}

int handle_share(struct call *call)
{
    uint64_t id, ttl_ms = HF_TTL_TICKET_MS, uses = 1;
    const struct option_spec specs[] = {
        {"ttl_ms", OPTION_UINT, &ttl_ms, NULL, 1, HF_TTL_MAX_MS},
        {"uses", OPTION_UINT, &uses, NULL, 1, HF_USES_MAX},
    };
    uint8_t key[HF_KEY_SIZE];
    int r;

    if ((r = call_id(call, "id", &id)) || (r = call_options(call, specs, COUNT_OF(specs))))
        return r;
    r = pool_share(call->pool, call->session, id, ttl_ms, (uint32_t)uses, key);
    if (r)
        return call_pool_error(call, r);
    reply_bin(call, key, sizeof(key));
    return 0;
}

/* A ticket and nothing else. One of another length than tickets have is as unknown as any other. */
static int call_ticket(struct call *call, uint8_t ret[HF_KEY_SIZE])
{
    struct name_in bytes;
    int r;

    if ((r = call_bytes(call, "ticket", 0, UINT32_MAX, &bytes)) || (r = call_options(call, NULL, 0)))
        return r;
    if (bytes.size != HF_KEY_SIZE)
        return call_fail(call, HF_E_NOTFOUND, "a ticket has 16 bytes", "size=%u", bytes.size);
    memcpy(ret, bytes.data, HF_KEY_SIZE);
    return 0;
}

int handle_claim(struct call *call)
{
    uint8_t key[HF_KEY_SIZE];
    uint64_t id;
    int r = call_ticket(call, key);

    if (r)
        return r;
    r = pool_claim(call->pool, call->session, key, &id);
    if (r)
        return call_pool_error(call, r);
    reply_uint(call, id);
    return 0;
}

int handle_unshare(struct call *call)
{
    uint8_t key[HF_KEY_SIZE];
    int r = call_ticket(call, key);

    if (r)
        return r;
    r = pool_unshare(call->pool, key);
    if (r)
        return call_pool_error(call, r);
    reply_bool(call, true);
    return 0;
}
