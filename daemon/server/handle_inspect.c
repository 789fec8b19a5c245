/* SPDX-License-Identifier: BSD-3-Clause */
/* inspect holders referrers why scan verify: what is there, who keeps it alive, whether all of it is right. */
#include "daemon/server/handlers.h"
#include "daemon/server/value.h"

#include <stdlib.h>

/* ---- inspect ---- */

static const char *state_word(const struct inspect_row *row)
{
    return row->open ? "open" : row->sealed ? "sealed" : "mutable";
}

int handle_inspect(struct call *call)
{
    struct inspect_row row;
    uint64_t id;
    int r;

    if ((r = call_id(call, "id", &id)) || (r = call_options(call, NULL, 0)))
        return r;
    r = pool_inspect(call->pool, id, &row);
    if (r)
        return call_pool_error(call, r);
    reply_map(call, 11);
    reply_pair_uint(call, "id", row.id);
    reply_pair_uint(call, "size", row.size);
    reply_pair_text(call, "type", value_type(row.form, row.first_byte));
    reply_pair_str(call, "tag", row.tag, row.tag_size);
    reply_pair_str(call, "site", row.site, row.site_size);
    reply_pair_text(call, "state", state_word(&row));
    reply_pair_uint(call, "version", row.version);
    reply_pair_uint(call, "slots", row.slots);
    reply_pair_uint(call, "age_ms", row.age_ms);
    reply_pair_uint(call, "count", row.held_sessions + row.held_slots + row.held_names + row.held_tickets);
    reply_text(call, "held_by");
    reply_map(call, 4);
    reply_pair_uint(call, "sessions", row.held_sessions);
    reply_pair_uint(call, "slots", row.held_slots);
    reply_pair_uint(call, "names", row.held_names);
    reply_pair_uint(call, "tickets", row.held_tickets);
    return 0;
}

/* ---- holders ---- */

static void reply_holder(struct call *call, const struct holder_row *row)
{
    switch (row->kind) {
    case HOLDER_SESSION:
        reply_map(call, 7);
        reply_pair_text(call, "kind", "session");
        reply_pair_uint(call, "sid", row->sid);
        reply_pair_str(call, "name", row->name, row->name_size);
        reply_pair_known(call, "pid", row->pid);
        reply_pair_uint(call, "count", row->count);
        reply_pair_uint(call, "since_ms", row->since_ms);
        reply_pair_str(call, "site", row->site, row->site_size);
        break;
    case HOLDER_NAME:
        reply_map(call, 2);
        reply_pair_text(call, "kind", "name");
        reply_pair_str(call, "name", row->name, row->name_size);
        break;
    case HOLDER_TICKET:
        reply_map(call, 3);
        reply_pair_text(call, "kind", "ticket");
        reply_pair_uint(call, "number", row->number);
        reply_pair_uint(call, "ttl_ms", row->ttl_ms);
        break;
    }
}

int handle_holders(struct call *call)
{
    struct holder_row *rows = call_scratch(call)->rows.holders;
    uint64_t id, limit = HF_IDS_MAX;
    const struct option_spec specs[] = {{"limit", OPTION_UINT, &limit, NULL, 1, HF_IDS_MAX}};
    unsigned count;
    int r;

    if ((r = call_id(call, "id", &id)) || (r = call_options(call, specs, COUNT_OF(specs))))
        return r;
    r = pool_holders(call->pool, id, rows, (unsigned)limit, &count);
    if (r)
        return call_pool_error(call, r);
    reply_array(call, count);
    for (unsigned i = 0; i < count; i++)
        reply_holder(call, &rows[i]);
    return 0;
}

/* ---- referrers, why: searches in steps, one a turn ---- */

#define SEARCH_UNITS 4096u /* objects and slots looked at: about 20 us in order of memory, 80 us out of it */

static void state_free(struct call *call, void *state)
{
    (void)call;
    free(state);
}

static int referrers_resume(struct call *call, void *state)
{
    struct referrers *search = state;
    int r = pool_referrers_step(call->pool, search, SEARCH_UNITS);

    if (r == 0)
        return CALL_AGAIN;
    if (r < 0)
        return call_pool_error(call, r);
    reply_array(call, 2);
    reply_uint(call, search->cursor);
    reply_uints(call, search->ids, search->count, true);
    return 0;
}

int handle_referrers(struct call *call)
{
    uint64_t id, cursor, limit = HF_IDS_MAX;
    const struct option_spec specs[] = {{"limit", OPTION_UINT, &limit, NULL, 1, HF_IDS_MAX}};
    struct referrers *search;
    struct inspect_row row;
    int r;

    if ((r = call_id(call, "id", &id)) || (r = call_uint(call, "cursor", 0, HF_INDEX_MAX, 0, &cursor)) ||
        (r = call_options(call, specs, COUNT_OF(specs))))
        return r;
    r = pool_inspect(call->pool, id, &row);
    if (r)
        return call_pool_error(call, r);
    search = calloc(1, sizeof(*search));
    if (search == NULL)
        return -HF_E_OOM;
    search->id = id;
    search->at = (uint32_t)cursor;
    search->max = (unsigned)limit;
    return call_later(call, referrers_resume, search, state_free);
}

static void why_free(struct call *call, void *why)
{
    (void)call;
    pool_why_free(why);
}

static int why_resume(struct call *call, void *why)
{
    struct why_result result;
    int r = pool_why_step(why, SEARCH_UNITS, &result);

    if (r == 0)
        return CALL_AGAIN;
    if (r < 0)
        return call_pool_error(call, r);
    reply_map(call, result.is_held ? 3 : 1);
    reply_text(call, "holder");
    if (!result.is_held) {
        reply_nil(call);
        return 0;
    }
    reply_holder(call, &result.holder);
    reply_text(call, "path");
    reply_uints(call, result.ids, result.count, true);
    reply_pair_uint(call, "length", result.length);
    return 0;
}

int handle_why(struct call *call)
{
    struct inspect_row row;
    struct why *why;
    uint64_t id;
    int r;

    if ((r = call_id(call, "id", &id)) || (r = call_options(call, NULL, 0)))
        return r;
    r = pool_inspect(call->pool, id, &row);
    if (r)
        return call_pool_error(call, r);
    why = pool_why_new(call->pool, id);
    if (why == NULL)
        return -HF_E_OOM;
    return call_later(call, why_resume, why, why_free);
}

/* ---- scan ---- */

int handle_scan(struct call *call)
{
    uint64_t *ids = call_scratch(call)->results;
    uint64_t cursor, next, limit = HF_IDS_MAX;
    struct scan_filter filter = {.sid = 0};
    struct name_in tag = {NULL, 0};
    const struct option_spec specs[] = {
        {"tag", OPTION_NAME, &tag, &filter.has_tag, 0, 0},
        {"min_size", OPTION_UINT, &filter.min_size, NULL, 0, HF_ID_MAX},
        {"sid", OPTION_UINT, &filter.sid, NULL, 1, HF_ID_MAX},
        {"limit", OPTION_UINT, &limit, NULL, 1, HF_IDS_MAX},
    };
    unsigned count;
    int r;

    if ((r = call_uint(call, "cursor", 0, HF_ID_MAX, 0, &cursor)) ||
        (r = call_options(call, specs, COUNT_OF(specs))))
        return r;
    filter.tag = tag.data;
    filter.tag_size = tag.size;
    r = pool_scan(call->pool, cursor, &filter, ids, (unsigned)limit, &count, &next);
    if (r)
        return call_pool_error(call, r);
    reply_array(call, 2);
    reply_uint(call, next);
    reply_uints(call, ids, count, true);
    return 0;
}

/* ---- verify: a walk in steps, one a turn ---- */

/* A unit is about 50 ns (one entry looked at), so that a step stays near the budget of a turn. */
#define VERIFY_UNITS 2048u

struct verify_state {
    struct pool *pool;
    bool running;
    struct verify_result result;
};

static void verify_free(struct call *call, void *state_of_call)
{
    struct verify_state *state = state_of_call;

    (void)call;
    if (state->running)
        pool_verify_abort(state->pool);
    free(state);
}

static void reply_verified(struct call *call, const struct verify_result *result)
{
    unsigned told = result->findings_count < COUNT_OF(result->findings) ? result->findings_count
                                                                        : COUNT_OF(result->findings);

    reply_map(call, 3);
    reply_pair_uint(call, "objects", result->objects);
    reply_pair_bool(call, "ok", result->findings_count == 0);
    reply_text(call, "findings");
    reply_array(call, told);
    for (unsigned i = 0; i < told; i++)
        reply_text(call, result->findings[i].text);
}

static int verify_resume(struct call *call, void *state_of_call)
{
    struct verify_state *state = state_of_call;

    if (!pool_verify_step(state->pool, VERIFY_UNITS, &state->result))
        return CALL_AGAIN;
    state->running = false;
    reply_verified(call, &state->result);
    return 0;
}

int handle_verify(struct call *call)
{
    struct verify_state *state;
    int r = call_options(call, NULL, 0);

    if (r)
        return r;
    r = pool_verify_begin(call->pool);
    if (r)
        return call_pool_error(call, r);
    state = calloc(1, sizeof(*state));
    if (state == NULL) {
        pool_verify_abort(call->pool);
        return -HF_E_OOM;
    }
    state->pool = call->pool;
    state->running = true;
    return call_later(call, verify_resume, state, verify_free);
}
