/* SPDX-License-Identifier: BSD-3-Clause */
/* save: the caller's pool to a file, while it serves; load: such a file to a new pool; what `stats` tells of saves. */
#include "daemon/server/handlers.h"
#include "daemon/server/saving.h"

#include <string.h>

int handle_save(struct call *call)
{
    struct name_in file = {NULL, 0};
    struct span span;
    bool given = call_span(call, &span) && !span_nil(span);
    int r;

    if (given && (span_bytes(span, &file) || file.size == 0))
        return call_badarg(call, "file", -1, "the name of a file in the folder for saves, or nil");
    if ((r = call_options(call, NULL, 0)))
        return r;
    return call_save(call, file);
}

int handle_load(struct call *call)
{
    struct name_in file = {NULL, 0}, pool = {NULL, 0};
    const struct option_spec specs[] = {{"pool", OPTION_BYTES, &pool, NULL, 0, UINT32_MAX}};
    int r;

    if ((r = call_bytes(call, "file", 0, UINT32_MAX, &file)) ||
        (r = call_options(call, specs, COUNT_OF(specs))))
        return r;
    if (pool.data && !pool_name_fits(pool.data, pool.size))
        return call_bad_pool_name(call, "option", "pool");
    return call_load(call, file, pool);
}

void reply_saved(struct call *call, const struct save_figures *figures)
{
    reply_map(call, 8);
    reply_pair_text(call, "file", figures->file);
    reply_pair_uint(call, "at_ms", figures->at_ms);
    reply_pair_uint(call, "bytes", figures->bytes);
    reply_pair_uint(call, "took_ms", figures->took_ms);
    reply_pair_uint(call, "epoch", pool_epoch(call->pool));
    reply_pair_uint(call, "pieces", figures->pieces);
    reply_pair_uint(call, "urgent", figures->urgent);
    reply_pair_uint(call, "direct", figures->direct);
}

void reply_save_stats(struct call *call)
{
    struct save_figures figures;

    call_save_figures(call, &figures);
    reply_map(call, 12);
    reply_pair_bool(call, "running", figures.running);
    reply_pair_uint(call, "percent", figures.percent);
    reply_pair_uint(call, "done", figures.done);
    reply_pair_uint(call, "failed", figures.failed);
    reply_pair_known(call, "at_ms", figures.at_ms);
    reply_pair_str(call, "file", (const uint8_t *)figures.file, (uint32_t)strlen(figures.file));
    reply_pair_uint(call, "bytes", figures.bytes);
    reply_pair_uint(call, "took_ms", figures.took_ms);
    reply_pair_uint(call, "urgent", figures.urgent);
    reply_pair_uint(call, "direct", figures.direct);
    reply_pair_str(call, "error", (const uint8_t *)figures.error, (uint32_t)strlen(figures.error));
    reply_pair_known(call, "error_at_ms", figures.error_at_ms);
}
