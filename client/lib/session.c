/* SPDX-License-Identifier: BSD-3-Clause */
/* Sessions: hello, bye, and the way back after a broken connection. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/lib/pack.h"
#include "client/lib/socket.h"

#define LOADING_PAUSE_MS  50  /* before hello is said again to a daemon that recovers */
#define GREETING_LEAST_MS 500 /* for the answers to a greeting, however little time is left */

/* ---- What hello answers -------------------------------------------------------------------------------- */

/* A terminated copy of a str; NULL if it is none or there is no memory. */
static char *copy_text(hf_item item)
{
    const void *bytes;
    size_t size;
    if (!hf_item_bytes(item, &bytes, &size))
        return NULL;
    char *text = malloc(size + 1);
    if (text == NULL)
        return NULL;
    memcpy(text, bytes, size);
    text[size] = '\0';
    return text;
}

static void free_strings(char **strings)
{
    for (size_t i = 0; i < 3; i++) {
        free(strings[i]);
        strings[i] = NULL;
    }
}

static uint64_t number_at(hf_item map, const char *key)
{
    uint64_t number = 0;
    hf_item_uint(hf_item_get(map, key), &number);
    return number;
}

static int take_session(const struct hf__sink *sink, hf_item result)
{
    hf_conn *conn = sink->ret[0];
    struct hf_session session = {0};
    const void *key;
    size_t key_size;
    if (!hf_item_bytes(hf_item_get(result, "session"), &key, &key_size) || key_size != HF_KEY_BYTES ||
        !hf_item_uint(hf_item_get(result, "sid"), &session.sid))
        return HF_ERR_PROTOCOL;
    char *strings[3] = {copy_text(hf_item_get(result, "pool")), copy_text(hf_item_get(result, "server")),
                        copy_text(hf_item_get(result, "version"))};
    if (strings[0] == NULL || strings[1] == NULL || strings[2] == NULL) {
        free_strings(strings);
        return HF_ERR_PROTOCOL;
    }
    hf_item limits = hf_item_get(result, "limits");
    memcpy(session.key, key, HF_KEY_BYTES);
    conn->window = (unsigned)number_at(limits, "replay");
    session.epoch = number_at(result, "epoch");
    session.held = number_at(result, "held");
    session.frame_max = number_at(limits, "frame");
    session.value_max = number_at(limits, "value");
    session.ids_max = number_at(limits, "ids");
    session.pool = strings[0];
    session.server = strings[1];
    session.version = strings[2];
    free_strings(conn->strings);
    memcpy(conn->strings, strings, sizeof strings);
    if (!conn->greeted || conn->session.sid != session.sid) {
        hf__events_forget(&conn->events, HF__SESSION); /* another session has numbers of its own */
        hf__events_forget(&conn->events, HF__RING);
        hf__topics_done(&conn->events);
    }
    conn->session = session;
    conn->greeted = true;
    /* A daemon with a larger limit may send larger replies. */
    if (session.frame_max > conn->engine.limits.frame_max && session.frame_max <= UINT32_MAX)
        conn->engine.limits.frame_max = (uint32_t)session.frame_max;
    return 0;
}

/* ---- hello --------------------------------------------------------------------------------------------- */

static int send_hello(hf_conn *conn, const struct hf_hello_options *options, bool replay)
{
    bool resume = options->session != NULL;
    const char *pool = resume ? NULL : options->pool;
    uint32_t count = 1 + (options->name != NULL) + (pool != NULL) + (options->token != NULL) + resume +
                     (options->lease_ms != 0) + replay;
    msgpack_packer *packer = hf__call(conn, "hello", 1);
    msgpack_pack_map(packer, count);
    hf__pack_option_uint(packer, "pid", (uint64_t)getpid());
    hf__pack_option_text(packer, "name", options->name);
    hf__pack_option_text(packer, "pool", pool);
    hf__pack_option_text(packer, "token", options->token);
    if (resume) {
        hf__pack_key(packer, "session");
        msgpack_pack_bin_with_body(packer, options->session, HF_KEY_BYTES);
    }
    if (options->lease_ms != 0) {
        hf__pack_key(packer, "lease_ms");
        msgpack_pack_int64(packer, options->lease_ms == HF_NO_LEASE ? 0 : options->lease_ms);
    }
    if (replay) {
        hf__pack_key(packer, "replay");
        msgpack_pack_true(packer);
    }
    struct hf__sink sink = {.take = take_session, .ret = {conn}};
    int code = hf__call_end(conn, &sink);
    /* A daemon that takes no more connections says so, and closes: that is its answer to hello. */
    if ((code == HF_ERR_UNKNOWN || code == HF_ERR_UNSENT) && conn->reason_code != 0)
        code = hf__fail(conn, conn->reason_code, conn->reason);
    return code;
}

static bool copy_option(char **to, const char *from)
{
    char *copy = from != NULL ? strdup(from) : NULL;
    if (from != NULL && copy == NULL)
        return false;
    free(*to);
    *to = copy;
    return true;
}

/* The daemon is recovering its pools: `BUSY loading ...`. */
static bool is_loading(const hf_conn *conn)
{
    static const char loading[] = "loading";
    const struct hf_error *error = &conn->failure.error;
    return error->code == HF_ERR_BUSY && strncmp(error->text, loading, sizeof loading - 1) == 0;
}

/* Says hello until the daemon has recovered its pools, or the time is up. */
static int say_hello(hf_conn *conn, const struct hf_hello_options *options, bool replay)
{
    int64_t timeout_ms = conn->once_ms != 0 ? conn->once_ms : conn->timeout_ms;
    int64_t deadline_ms = timeout_ms < 0 ? HF__FOREVER : hf__now_ms() + timeout_ms;
    for (;;) {
        int code = send_hello(conn, options, replay);
        if (code == 0 || !is_loading(conn) || hf__now_ms() >= deadline_ms)
            return code;
        hf__pause(LOADING_PAUSE_MS);
        if (conn->fd < 0 && (code = hf__open(conn, deadline_ms)) != 0)
            return code;
        conn->once_ms = timeout_ms;
    }
}

int hf_hello(hf_conn *conn, const struct hf_hello_options *options)
{
    static const struct hf_hello_options none;
    int code = hf__alone(conn);
    if (code != 0)
        return code;
    if (options == NULL)
        options = &none;
    if (!copy_option(&conn->name, options->name) || !copy_option(&conn->token, options->token))
        return hf__fail(conn, HF_ERR_MEMORY, NULL);
    conn->lease_ms = options->lease_ms;
    /* who resumes a session by its key begins its numbers anew: the window of that session is not for it */
    bool replay = options->session == NULL && !options->no_replay && options->lease_ms != HF_NO_LEASE;
    code = say_hello(conn, options, replay);
    if (code != 0)
        return code;
    conn->replay = replay && conn->window != 0;
    hf__engine_window(&conn->engine, conn->replay ? conn->window : 0);
    return 0;
}

const struct hf_session *hf_session(const hf_conn *conn)
{
    return conn->greeted ? &conn->session : NULL;
}

/* ---- The end, and the way back ------------------------------------------------------------------------- */

void hf__session_done(hf_conn *conn)
{
    free_strings(conn->strings);
    free(conn->name);
    free(conn->token);
    conn->name = NULL;
    conn->token = NULL;
    conn->greeted = false;
    conn->replay = false;
}

int hf_bye(hf_conn *conn, int64_t *ret_dropped)
{
    int code = hf__alone(conn);
    if (code != 0)
        return code;
    hf__call(conn, "bye", 0);
    struct hf__sink sink = hf__sink_int(ret_dropped);
    code = hf__call_end(conn, &sink);
    if (code == HF_ERR_UNKNOWN && !conn->greeted)
        return hf__fail(conn, 0, NULL); /* the connection broke, and the session is found to have ended */
    if (code != 0)
        return code;
    hf__lose(conn, "it was ended by bye");
    hf__session_done(conn);
    return hf__fail(conn, 0, NULL);
}

static int resume(hf_conn *conn)
{
    uint8_t key[HF_KEY_BYTES];
    memcpy(key, conn->session.key, sizeof key);
    const struct hf_hello_options options = {
        .name = conn->name, .token = conn->token, .session = key, .lease_ms = conn->lease_ms};
    int code = say_hello(conn, &options, false);
    if (code == 0) {
        hf__engine_established(&conn->engine);
        hf__engine_window(&conn->engine, conn->replay ? conn->window : 0);
        return hf__ask_again(conn);
    }
    struct hf__failure failure = conn->failure;
    if (code == HF_ERR_EXPIRED || code == HF_ERR_NOTFOUND)
        hf__session_done(conn);
    hf__lose(conn, "the session could not be resumed");
    /* The strings of an error are in the struct itself, which has stayed where it is. */
    conn->failure = failure;
    return code;
}

static int greet_again(hf_conn *conn, int64_t deadline_ms)
{
    uint8_t key[HF_KEY_BYTES];
    memcpy(key, conn->session.key, sizeof key);
    const struct hf_hello_options options = {.name = conn->name, .token = conn->token, .session = key};
    int code = hf__open(conn, deadline_ms);
    if (code != 0)
        return code;
    int64_t left_ms = deadline_ms == HF__FOREVER ? HF_NO_TIMEOUT : deadline_ms - hf__now_ms();
    conn->timeout_ms = left_ms >= 0 && left_ms < GREETING_LEAST_MS ? GREETING_LEAST_MS : left_ms;
    conn->once_ms = 0;
    code = send_hello(conn, &options, true);
    return code != 0 ? code : hf__ask_again(conn);
}

/* An engine of its own makes the greeting, which goes before all that is open; and numbers and batch of the connection
 * are left alone. */
int hf__resume(hf_conn *conn, int64_t deadline_ms)
{
    const hf_conn before = *conn;
    struct hf__engine greeter;
    hf__engine_init(&conn->engine);
    conn->engine.limits = before.engine.limits;
    conn->batch = (struct hf__batch){0};
    conn->request = conn->waiting = 0; /* as in the engine */
    conn->broken = false;
    conn->resuming = true;
    int code = greet_again(conn, deadline_ms);
    if (code != 0 && code != HF_ERR_CONNECT)
        snprintf(conn->reason, sizeof conn->reason, "%s: %.500s", conn->failure.error.word,
                 conn->failure.error.text);
    conn->reason_code = 0;
    if (code != 0)
        hf__lose(conn, NULL);
    greeter = conn->engine;
    conn->engine = before.engine;
    conn->engine.limits = greeter.limits;
    conn->batch = before.batch;
    conn->waiting = before.waiting;
    conn->request = before.request;
    conn->failure = before.failure;
    conn->timeout_ms = before.timeout_ms;
    conn->once_ms = before.once_ms;
    conn->resuming = false;
    conn->broken = code != 0;
    if (code == 0)
        hf__engine_again(&conn->engine, &greeter);
    hf__engine_done(&greeter);
    return code;
}

int hf_reconnect(hf_conn *conn)
{
    int code = hf__alone(conn);
    if (code != 0)
        return code;
    if (!conn->greeted)
        return hf__fail(conn, HF_ERR_ARGUMENT, "there is no session to resume");
    hf__lose(conn, "dropped to connect again");
    int64_t timeout_ms = conn->once_ms != 0 ? conn->once_ms : conn->timeout_ms;
    code = hf__open(conn, timeout_ms < 0 ? HF__FOREVER : hf__now_ms() + timeout_ms);
    return code != 0 ? code : resume(conn);
}
