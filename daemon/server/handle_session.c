/* SPDX-License-Identifier: BSD-3-Clause */
/* hello ping bye methods sessions kill: who speaks, and who else is there. */
#include "daemon/pool/replay.h"
#include "daemon/server/handlers.h"
#include "proto/version.h"

#include <string.h>

/* ---- hello ---- */

#define IGNORED_MAX 64u /* keys named in `ignored` */

struct hello {
    struct name_in name, pool, key;
    uint64_t pid, lease_ms;
    bool has_pool, resumes, replay;
    struct span ignored[IGNORED_MAX];
    unsigned ignored_count;
};

static int hello_options(struct call *call, struct hello *hello)
{
    const struct option_spec specs[] = {
        {"name", OPTION_NAME, &hello->name, NULL, 0, 0},
        {"pid", OPTION_UINT, &hello->pid, NULL, 0, UINT32_MAX},
        {"pool", OPTION_BYTES, &hello->pool, &hello->has_pool, 0, UINT32_MAX},
        {"session", OPTION_BYTES, &hello->key, &hello->resumes, 0, UINT32_MAX},
        {"lease_ms", OPTION_UINT, &hello->lease_ms, NULL, 0, HF_LEASE_MAX_MS},
        {"replay", OPTION_BOOL, &hello->replay, NULL, 0, 0},
    };
    int r = call_options_lenient(call, specs, COUNT_OF(specs), hello->ignored, IGNORED_MAX,
                                 &hello->ignored_count);

    if (r == 0 && hello->has_pool && !pool_name_fits(hello->pool.data, hello->pool.size))
        r = call_bad_pool_name(call, "option", "pool");
    return r;
}

/* A session's key leads to its pool, see call.h. */
static void put_number(uint8_t key[HF_KEY_SIZE], uint32_t number)
{
    key[0] = (uint8_t)number;
    key[1] = (uint8_t)(number >> 8);
    key[2] = (uint8_t)((key[2] & 0xf0) | (number >> 16));
}

static uint32_t number_of(const uint8_t *key)
{
    return key[0] | (uint32_t)key[1] << 8 | (uint32_t)(key[2] & 0x0f) << 16;
}

static int hello_open(struct call *call, const struct hello *hello)
{
    static const char first[] = POOL_DEFAULT;
    const uint8_t *name = hello->has_pool ? hello->pool.data : (const uint8_t *)first;
    uint32_t size = hello->has_pool ? hello->pool.size : (uint32_t)strlen(first);
    struct session_spec spec = {
        .name = hello->name.data,
        .name_size = hello->name.size,
        .pid = (uint32_t)hello->pid,
        .lease_ms = (uint32_t)hello->lease_ms,
        .replay = hello->replay && hello->lease_ms != 0, /* one that cannot be resumed needs no window */
    };
    struct place place;
    int r;

    if ((r = server_busy_named(call, name, size)))
        return r;
    if (!server_place(call->server, name, size, &place))
        return call_fail(call, HF_E_NOTFOUND, "there is no pool of that name; `pool_create` makes one",
                         "pool=%.*s", (int)size, (const char *)name);
    if (place.worker != call->worker)
        return conn_move(call, &place);
    if ((r = call_random(call, spec.key, sizeof(spec.key))))
        return r;
    put_number(spec.key, place.number);
    /* Between the look into the directory and here this worker has done nothing else: the pool is there. */
    return conn_session_open(call, worker_pool(call->worker, place.number), &spec);
}

/* The key finds its pool, whatever `pool` says; name, pid and lease stay those of the first hello. A key
 * of this size that nobody knows is one whose session has ended, or is of another epoch: EXPIRED. Another
 * size is no key: NOTFOUND. */
static int hello_resume(struct call *call, const struct hello *hello)
{
    struct session *session = NULL;
    struct pool *pool = NULL;
    struct place place;
    int r;

    if (hello->key.size != HF_KEY_SIZE)
        return call_fail(call, HF_E_NOTFOUND, "a session's key has 16 bytes", "option=session");
    if ((r = server_busy(call, number_of(hello->key.data))))
        return r;
    if (server_place_numbered(call->server, number_of(hello->key.data), &place)) {
        if (place.worker != call->worker)
            return conn_move(call, &place);
        pool = worker_pool(call->worker, place.number);
    }
    if (pool)
        session = pool_session_by_key(pool, hello->key.data);
    if (session == NULL)
        return call_fail(call, HF_E_EXPIRED,
                         "the session has ended and what it held is released; say hello without a key",
                         "option=session");
    if (hello->replay && !session_replays(session))
        return call_fail(
            call, HF_E_BADARG,
            "the session was opened without `replay`: what was sent before may be done twice; resume it "
            "without, too",
            "option=replay");
    return conn_session_resume(call, pool, session, hello->replay);
}

static void reply_limits(struct call *call)
{
    static const struct {
        const char *name;
        uint64_t value;
    } limits[] = {
        {"frame", HF_FRAME_MAX},      {"value", HF_VALUE_MAX},       {"object", HF_OBJECT_MAX},
        {"depth", HF_DEPTH_MAX},      {"slots", HF_SLOTS_MAX},       {"refs", HF_REFS_MAX},
        {"ids", HF_IDS_MAX},          {"name", HF_NAME_MAX},         {"queue", HF_QUEUE_SOFT},
        {"replay", HF_REPLAY_WINDOW}, {"count", HF_COUNT_MAX},       {"ttl_ms", HF_TTL_MAX_MS},
        {"uses", HF_USES_MAX},        {"lease_ms", HF_LEASE_MAX_MS}, {"watches", HF_WATCHES_MAX},
    };

    reply_map(call, COUNT_OF(limits));
    for (unsigned i = 0; i < COUNT_OF(limits); i++)
        reply_pair_uint(call, limits[i].name, limits[i].value);
}

/* Keys that can be nobody's (too long, no UTF-8) are counted but not echoed. */
static void reply_ignored(struct call *call, const struct hello *hello)
{
    reply_array(call, hello->ignored_count);
    for (unsigned i = 0; i < hello->ignored_count; i++) {
        struct name_in key;

        if (span_name(hello->ignored[i], &key))
            reply_text(call, "?");
        else
            reply_str(call, key.data, key.size);
    }
}

static void reply_hello(struct call *call, const struct hello *hello)
{
    reply_map(call, 10);
    reply_pair_uint(call, "proto", 1);
    reply_text(call, "session");
    reply_bin(call, session_key(call->session), HF_KEY_SIZE);
    reply_pair_uint(call, "sid", session_sid(call->session));
    reply_pair_text(call, "pool", pool_name(call->pool));
    reply_pair_uint(call, "epoch", pool_epoch(call->pool));
    reply_pair_uint(call, "held", session_held(call->session));
    reply_pair_text(call, "server", server_name(call->server));
    reply_pair_text(call, "version", HF_VERSION);
    reply_text(call, "limits");
    reply_limits(call);
    reply_text(call, "ignored");
    reply_ignored(call, hello);
}

int handle_hello(struct call *call)
{
    struct hello hello = {.lease_ms = HF_LEASE_MS};
    int r;

    if ((r = conn_hello_allowed(call)) || (r = hello_options(call, &hello)))
        return r;
    r = hello.resumes ? hello_resume(call, &hello) : hello_open(call, &hello);
    if (r == 0)
        reply_hello(call, &hello);
    return r;
}

/* ---- ping, bye, methods ---- */

int handle_ping(struct call *call)
{
    int r = call_options(call, NULL, 0);

    if (r == 0)
        reply_uint(call, call_now_ms(call));
    return r;
}

int handle_bye(struct call *call)
{
    int r = call_options(call, NULL, 0);

    if (r)
        return r;
    reply_uint(call, session_references(call->session));
    conn_session_bye(call, REASON_SESSION_END);
    return 0;
}

int handle_methods(struct call *call)
{
    int r = call_options(call, NULL, 0);

    if (r)
        return r;
    reply_array(call, HF_METHOD_COUNT - 1);
    for (enum hf_method method = HF_METHOD_NONE + 1; method < HF_METHOD_COUNT; method++) {
        const struct hf_method_info *info = hfp_method_info(method);

        reply_map(call, 4);
        reply_pair_text(call, "name", info->name);
        reply_pair_text(call, "params", info->params);
        reply_pair_text(call, "options", info->options);
        reply_pair_text(call, "since", info->since);
    }
    return 0;
}

/* ---- sessions, kill ---- */

static void reply_session(struct call *call, const struct pool *pool, const struct session_row *row)
{
    reply_map(call, 11);
    reply_pair_uint(call, "sid", row->sid);
    reply_pair_text(call, "pool", pool_name(pool));
    reply_pair_str(call, "name", row->name, row->name_size);
    reply_pair_known(call, "pid", row->pid);
    reply_pair_text(call, "state", row->grace ? "grace" : "open");
    reply_pair_bool(call, "anonymous", row->anonymous);
    reply_pair_uint(call, "held", row->held);
    reply_pair_uint(call, "bytes", row->held_bytes);
    reply_pair_uint(call, "lease_ms", row->lease_ms);
    reply_pair_uint(call, "lease_left_ms", row->idle_left_ms);
    reply_pair_uint(call, "age_ms", row->since_ms);
}

struct sessions_args {
    uint32_t limit, number;
    bool all;   /* pools; else the one of `number` */
    bool ended; /* those that have ended */
    bool paged;
    uint32_t cursor; /* of this page, then of the next one */
};

static void reply_ended_row(struct call *call, const struct pool *pool, const struct ended_row *ended)
{
    static const char *const words[ENDED_COUNT] = {"bye", "closed", "lease", "kill", "renumber"};
    const struct session_row *row = &ended->row;

    reply_map(call, 13);
    reply_pair_uint(call, "sid", row->sid);
    reply_pair_text(call, "pool", pool_name(pool));
    reply_pair_str(call, "name", row->name, row->name_size);
    reply_pair_known(call, "pid", row->pid);
    reply_pair_text(call, "state", "ended");
    reply_pair_bool(call, "anonymous", row->anonymous);
    reply_pair_uint(call, "held", row->held);
    reply_pair_uint(call, "bytes", row->held_bytes);
    reply_pair_uint(call, "references", ended->references);
    reply_pair_uint(call, "lease_ms", row->lease_ms);
    reply_pair_uint(call, "age_ms", row->since_ms);
    reply_pair_uint(call, "ended_ms", ended->ended_ms);
    reply_pair_text(call, "reason", words[ended->how]);
}

static void reply_ended(struct call *call, struct question *question, const struct pool *pool)
{
    const struct sessions_args *args = (const void *)question->args;
    struct ended_row *rows = call_scratch(call)->rows.ended;
    uint32_t left = args->limit - question->rows;
    unsigned count = pool_ended(pool, rows, left < POOL_ENDED_MAX ? left : POOL_ENDED_MAX);

    for (unsigned i = 0; i < count; i++)
        reply_ended_row(call, pool, &rows[i]);
    question->rows += count;
}

static void reply_sessions(struct call *call, struct question *question, struct pool *pool)
{
    struct sessions_args *args = (void *)question->args;
    struct session_row *rows = call_scratch(call)->rows.sessions;

    if (args->ended) {
        reply_ended(call, question, pool);
        return;
    }
    unsigned count = args->paged ? pool_sessions_page(pool, &args->cursor, rows, args->limit)
                                 : pool_sessions(pool, 0, rows, args->limit - question->rows);

    for (unsigned i = 0; i < count; i++)
        reply_session(call, pool, &rows[i]);
    question->rows += count;
}

static int no_pool(struct call *call)
{
    return call_fail(call, HF_E_NOTFOUND, "there is no pool of that name; see `pools`", "%s", "");
}

static int visit_sessions(struct call *call, struct question *question)
{
    const struct sessions_args *args = (const void *)question->args;
    struct pool *pool;

    if (!args->all) {
        pool = worker_pool(call->worker, args->number);
        if (pool == NULL)
            return no_pool(call);
        reply_sessions(call, question, pool);
        return 0;
    }
    for (pool = worker_pool_next(call->worker, NULL); pool && question->rows < args->limit;
         pool = worker_pool_next(call->worker, pool))
        reply_sessions(call, question, pool);
    return 0;
}

static int reply_page(struct call *call, struct question *question)
{
    const struct sessions_args *args = (const void *)question->args;

    reply_array(call, 2);
    reply_uint(call, args->cursor);
    return call_rows(call, question);
}

int handle_sessions(struct call *call)
{
    struct name_in name;
    uint64_t limit = HF_IDS_MAX, cursor = 0;
    bool named = false, ended = false, paged = false;
    const struct option_spec specs[] = {
        {"pool", OPTION_BYTES, &name, &named, 0, UINT32_MAX},
        {"limit", OPTION_UINT, &limit, NULL, 1, HF_IDS_MAX},
        {"ended", OPTION_BOOL, &ended, NULL, 0, 0},
        {"cursor", OPTION_UINT, &cursor, &paged, 0, UINT32_MAX},
    };
    struct sessions_args args;
    struct place place = {0};
    int r = call_options(call, specs, COUNT_OF(specs));

    if (r)
        return r;
    if (!named)
        name =
            (struct name_in){(const uint8_t *)pool_name(call->pool), (uint32_t)strlen(pool_name(call->pool))};
    args = (struct sessions_args){.limit = (uint32_t)limit,
                                  .all = name.size == 1 && name.data[0] == '*',
                                  .ended = ended,
                                  .paged = paged,
                                  .cursor = (uint32_t)cursor};
    if (paged && (args.all || ended))
        return call_badarg(call, "cursor", -1, "only sessions of one pool that have not ended come in pages");
    if (!args.all && !pool_name_fits(name.data, name.size))
        return call_bad_pool_name(call, "option", "pool");
    if (!args.all && (r = server_busy_named(call, name.data, name.size)))
        return r;
    if (!args.all && !server_place(call->server, name.data, name.size, &place))
        return no_pool(call);
    args.number = place.number;
    return call_ask(call, &(struct ask){visit_sessions, paged ? reply_page : call_rows, &args, sizeof(args)},
                    place.worker);
}

static int no_session(struct call *call, uint64_t sid)
{
    return call_fail(call, HF_E_NOTFOUND, "there is no such session; see `sessions`", "sid=%llu",
                     (unsigned long long)sid);
}

static int visit_kill(struct call *call, struct question *question)
{
    const uint64_t *sid = (const void *)question->args;
    struct pool *pool = worker_pool(call->worker, (uint32_t)(*sid >> POOL_SID_BITS));
    struct session *session = pool ? pool_session_by_sid(pool, *sid) : NULL;

    if (session == NULL)
        return no_session(call, *sid);
    reply_uint(call, session_references(session));
    conn_session_kill(call, pool, session, REASON_KILL);
    return 0;
}

/* Of any pool, as `sessions` lists them. The caller's own session may be the one: the reply still comes, then the
 * connection closes. */
int handle_kill(struct call *call)
{
    struct place place;
    uint64_t sid;
    int r;

    if ((r = call_uint(call, "sid", 1, HF_ID_MAX, CALL_REQUIRED, &sid)) || (r = call_options(call, NULL, 0)))
        return r;
    if ((r = server_busy(call, sid >> POOL_SID_BITS)))
        return r;
    if (!server_place_numbered(call->server, sid >> POOL_SID_BITS, &place))
        return no_session(call, sid);
    return call_ask(call, &(struct ask){visit_kill, call_row, &sid, sizeof(sid)}, place.worker);
}
