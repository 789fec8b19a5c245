/* SPDX-License-Identifier: BSD-3-Clause */
/* Commands that ask for events, and print them, a line each: at once until there is an end, or in a shell, where
 * asking and printing are two commands. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/events.h"
#include "client/cli/params.h"
#include "client/cli/print.h"

struct watching {
    struct cli *cli;
    size_t ids_left; /* watched, whose event has not come; 0: it does not end by itself */
    uint64_t left;   /* events to be printed; UINT64_MAX: all */
};

/* What a command asks for. Returns an exit code; has reported. */
typedef int ask_fn(struct cli *cli, const struct cli_args *args);

/* ---- printing ---- */

/* A text as JSON writes it. */
static void print_text(const char *text)
{
    msgpack_sbuffer packed;
    msgpack_packer packer;
    msgpack_sbuffer_init(&packed);
    msgpack_packer_init(&packer, &packed, msgpack_sbuffer_write);
    if (msgpack_pack_str_with_body(&packer, text, strlen(text)) == 0)
        cli_print_json(stdout, (hf_item){(const unsigned char *)packed.data, packed.size});
    msgpack_sbuffer_destroy(&packed);
}

void cli_event_json(const struct hf_event *event)
{
    hf_item key, value;
    printf("{\"seq\":%" PRIu64 ",\"topic\":", event->seq);
    print_text(event->topic);
    for (hf_walk walk = hf_walk_start(event->map); hf_walk_next(&walk, &key, &value);) {
        putchar(',');
        cli_print_json(stdout, key);
        putchar(':');
        cli_print_json(stdout, value);
    }
    puts("}");
}

static void print_words(const struct hf_event *event)
{
    hf_item key, value;
    printf("%" PRIu64 " ", event->seq);
    cli_print_safe(stdout, event->topic, strlen(event->topic));
    for (hf_walk walk = hf_walk_start(event->map); hf_walk_next(&walk, &key, &value);) {
        putchar(' ');
        cli_print_value(stdout, key, true);
        putchar('=');
        cli_print_value(stdout, value, true);
    }
    putchar('\n');
}

/* True: that was the last one. */
static bool show(struct watching *w, const struct hf_event *event)
{
    if (w->cli->output == CLI_JSON)
        cli_event_json(event);
    else
        print_words(event);
    w->left -= w->left != UINT64_MAX;
    return w->left == 0 || (w->ids_left != 0 && event->id != 0 && --w->ids_left == 0);
}

static int flush_events(struct cli *cli)
{
    return fflush(stdout) == 0 ? CLI_OK : cli_error(cli, CLI_LOCAL, "stdout: %s", strerror(errno));
}

/* Prints what has come. CLI_OK and not done: more is to be waited for. */
static int show_all(struct watching *w, bool *ret_done)
{
    struct hf_event event;
    int code = 0;
    *ret_done = false;
    while (!*ret_done && (code = hf_next_event(w->cli->conn, 0, &event)) == 0)
        *ret_done = show(w, &event);
    int exit_code = flush_events(w->cli);
    return exit_code != CLI_OK || *ret_done || code == HF_ERR_TIMEOUT ? exit_code : cli_fail(w->cli, code);
}

static int read_count(struct cli *cli, const struct cli_args *args, uint64_t *ret)
{
    if (!cli_option_uint(cli, args, CLI_OPT_COUNT, ret))
        return CLI_USAGE;
    return *ret != 0 ? CLI_OK : cli_error(cli, CLI_USAGE, "--count needs a number of events, 1 or more");
}

/* ---- waiting ---- */

static int wait_events(struct watching *w, int signals)
{
    struct pollfd wait[2] = {{.fd = hf_fd(w->cli->conn), .events = POLLIN},
                             {.fd = signals, .events = POLLIN}};
    bool done = false;
    for (int exit_code;;) {
        if ((exit_code = show_all(w, &done)) != CLI_OK || done)
            return exit_code;
        if (poll(wait, 2, -1) < 0 && errno != EINTR)
            return cli_error(w->cli, CLI_LOCAL, "poll: %s", strerror(errno));
        if (wait[1].revents != 0)
            return CLI_OK;
    }
}

/* Asks, and prints what comes until it ends: by itself when the events of `ids` have come, unless that is 0. */
static int ask_and_wait(struct cli *cli, const struct cli_args *args, ask_fn *ask, size_t ids)
{
    struct watching w = {.cli = cli, .ids_left = ids, .left = UINT64_MAX};
    int signals, exit_code = read_count(cli, args, &w.left);
    if (exit_code == CLI_OK)
        exit_code = cli_signals(cli, &signals);
    if (exit_code != CLI_OK)
        return exit_code;
    exit_code = ask(cli, args);
    if (exit_code == CLI_OK) {
        cli_hint(cli, "waiting for events; Ctrl-C ends it");
        exit_code = wait_events(&w, signals);
    }
    close(signals);
    return exit_code;
}

/* The same, but a shell only asks. */
static int run(struct cli *cli, const struct cli_args *args, ask_fn *ask, size_t ids)
{
    if (!cli->shell)
        return ask_and_wait(cli, args, ask, ids);
    if (cli_given(args, CLI_OPT_COUNT))
        return cli_error(cli, CLI_USAGE, "in a shell the events are printed by `events --count N`");
    int exit_code = ask(cli, args);
    return exit_code == CLI_OK ? cli_done(cli, 0) : exit_code;
}

/* ---- objects ---- */

typedef int ids_fn(hf_conn *conn, const hf_id *ids, size_t count);

static int with_ids(struct cli *cli, const struct cli_args *args, ids_fn *call)
{
    hf_id *ids = calloc(args->count + 1, sizeof *ids);
    if (ids == NULL)
        return cli_error(cli, CLI_LOCAL, "no memory");
    bool ok = true;
    for (unsigned k = 0; ok && k < args->count; k++)
        ok = cli_positional_id(cli, args, k, &ids[k]);
    int code = ok ? call(cli->conn, ids, args->count) : 0;
    free(ids);
    return !ok ? CLI_USAGE : code != 0 ? cli_fail(cli, code) : CLI_OK;
}

/* The protocol guards one at a time: those before one that fails stay guarded. */
static int guard_each(hf_conn *conn, const hf_id *ids, size_t count)
{
    int code = 0;
    for (size_t k = 0; code == 0 && k < count; k++)
        code = hf_guard(conn, ids[k]);
    return code;
}

static int unguard_each(hf_conn *conn, const hf_id *ids, size_t count)
{
    int code = 0;
    for (size_t k = 0; code == 0 && k < count; k++)
        code = hf_unguard(conn, ids[k]);
    return code;
}

static int ask_watch(struct cli *cli, const struct cli_args *args)
{
    return with_ids(cli, args, hf_watch_many);
}

static int ask_guard(struct cli *cli, const struct cli_args *args)
{
    return with_ids(cli, args, guard_each);
}

int cli_watch(struct cli *cli, const struct cli_args *args)
{
    return run(cli, args, ask_watch, args->count);
}

int cli_guard(struct cli *cli, const struct cli_args *args)
{
    return run(cli, args, ask_guard, 0);
}

static int undo(struct cli *cli, const struct cli_args *args, ids_fn *call)
{
    int exit_code = with_ids(cli, args, call);
    return exit_code == CLI_OK ? cli_done(cli, 0) : exit_code;
}

int cli_unwatch(struct cli *cli, const struct cli_args *args)
{
    return undo(cli, args, hf_unwatch_many);
}

int cli_unguard(struct cli *cli, const struct cli_args *args)
{
    return undo(cli, args, unguard_each);
}

/* ---- topics ---- */

static int ask_topics(struct cli *cli, const struct cli_args *args)
{
    struct hf_subscribe_options options = {.prefix = args->value[CLI_OPT_PREFIX]};
    if (!cli_option_uint(cli, args, CLI_OPT_FROM_SEQ, &options.from_seq) ||
        !cli_option_uint(cli, args, CLI_OPT_RATE, &options.rate))
        return CLI_USAGE;
    int code = hf_subscribe(cli->conn, (const char *const *)args->positional, args->count, &options, NULL);
    return code != 0 ? cli_fail(cli, code) : CLI_OK;
}

int cli_subscribe(struct cli *cli, const struct cli_args *args)
{
    return run(cli, args, ask_topics, 0);
}

int cli_unsubscribe(struct cli *cli, const struct cli_args *args)
{
    return cli_done(cli, hf_unsubscribe(cli->conn, (const char *const *)args->positional, args->count));
}

/* ---- in a shell ---- */

/* Without --count what has come; else so many, as long as each comes in time. */
int cli_events(struct cli *cli, const struct cli_args *args)
{
    struct watching w = {.cli = cli, .left = UINT64_MAX};
    struct hf_event event;
    bool done = false;
    int code = 0, exit_code = read_count(cli, args, &w.left);
    if (exit_code != CLI_OK)
        return exit_code;
    if (!cli->shell)
        return cli_error(
            cli, CLI_USAGE,
            "events: only in a shell, after watch, guard or subscribe, which print them themselves "
            "elsewhere");
    if (!cli_given(args, CLI_OPT_COUNT))
        return show_all(&w, &done);
    while (!done && (code = hf_next_event(cli->conn, cli->timeout_ms, &event)) == 0)
        done = show(&w, &event);
    exit_code = flush_events(cli);
    return exit_code != CLI_OK || done ? exit_code : cli_fail(cli, code);
}
