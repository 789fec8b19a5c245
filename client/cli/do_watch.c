/* SPDX-License-Identifier: BSD-3-Clause */
/* The command that waits for events and prints them, a line each. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/params.h"
#include "client/cli/print.h"

#define TOPICS_MAX 16

struct watching {
    struct cli *cli;
    hf_id *ids;
    size_t ids_left; /* whose event has not come */
    const char *topics[TOPICS_MAX];
    size_t topics_count;
    uint64_t left; /* events to be printed; UINT64_MAX: all */
};

/* ---- what is asked for ---- */

/* Splits the value of --topic, in place. */
static int read_topics(struct watching *w, char *text)
{
    for (char *rest = text, *topic; (topic = strsep(&rest, ",")) != NULL;) {
        if (w->topics_count == TOPICS_MAX || topic[0] == '\0')
            return cli_error(w->cli, CLI_USAGE, "--topic needs names of topics, such as gc");
        w->topics[w->topics_count++] = topic;
    }
    return CLI_OK;
}

static int read_ids(struct watching *w, const struct cli_args *args)
{
    w->ids = calloc(args->count + 1, sizeof *w->ids);
    if (w->ids == NULL)
        return cli_error(w->cli, CLI_LOCAL, "no memory");
    for (unsigned k = 0; k < args->count; k++)
        if (!cli_positional_id(w->cli, args, k, &w->ids[k]))
            return CLI_USAGE;
    w->ids_left = args->count;
    return CLI_OK;
}

static int ask_ids(struct watching *w, bool guard)
{
    int code = 0;
    if (!guard)
        return w->ids_left == 0 ? 0 : hf_watch_many(w->cli->conn, w->ids, w->ids_left);
    for (size_t k = 0; code == 0 && k < w->ids_left; k++)
        code = hf_guard(w->cli->conn, w->ids[k]);
    return code;
}

static int ask(struct watching *w, const struct cli_args *args)
{
    struct hf_subscribe_options options = {.prefix = args->value[CLI_OPT_PREFIX]};
    if (!cli_option_uint(w->cli, args, CLI_OPT_FROM_SEQ, &options.from_seq))
        return CLI_USAGE;
    int code = ask_ids(w, cli_given(args, CLI_OPT_GUARD));
    if (code == 0 && w->topics_count != 0)
        code = hf_subscribe(w->cli->conn, w->topics, w->topics_count, &options, NULL);
    return code == 0 ? CLI_OK : cli_fail(w->cli, code);
}

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

/* One map of seq, topic and what the event tells. */
static void print_json(const struct hf_event *event)
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
        print_json(event);
    else
        print_words(event);
    if (event->id != 0 && w->ids_left != 0)
        w->ids_left--;
    w->left -= w->left != UINT64_MAX;
    return w->left == 0 || (w->ids_left == 0 && w->topics_count == 0);
}

/* ---- waiting ---- */

/* Prints what has come. CLI_OK: and more is to be waited for. */
static int show_all(struct watching *w, bool *ret_done)
{
    struct hf_event event;
    int code;
    *ret_done = false;
    while (!*ret_done && (code = hf_next_event(w->cli->conn, 0, &event)) == 0)
        *ret_done = show(w, &event);
    if (fflush(stdout) != 0)
        return cli_error(w->cli, CLI_LOCAL, "stdout: %s", strerror(errno));
    return *ret_done || code == HF_ERR_TIMEOUT ? CLI_OK : cli_fail(w->cli, code);
}

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

static int run(struct watching *w, const struct cli_args *args, char *topics)
{
    int signals, exit_code = topics != NULL ? read_topics(w, topics) : CLI_OK;
    if (exit_code == CLI_OK)
        exit_code = read_ids(w, args);
    if (exit_code != CLI_OK)
        return exit_code;
    if (w->ids_left == 0 && w->topics_count == 0)
        return cli_error(w->cli, CLI_USAGE, "watch what? Give ids, or --topic; see `holdfast help watch`");
    exit_code = cli_signals(w->cli, &signals);
    if (exit_code != CLI_OK)
        return exit_code;
    exit_code = ask(w, args);
    if (exit_code == CLI_OK) {
        cli_hint(w->cli, "watching; Ctrl-C ends it");
        exit_code = wait_events(w, signals);
    }
    close(signals);
    return exit_code;
}

int cli_watch(struct cli *cli, const struct cli_args *args)
{
    struct watching w = {.cli = cli, .left = UINT64_MAX};
    const char *given = args->value[CLI_OPT_TOPIC];
    char *topics = given != NULL ? strdup(given) : NULL;
    if (!cli_option_uint(cli, args, CLI_OPT_COUNT, &w.left)) {
        free(topics);
        return CLI_USAGE;
    }
    int exit_code =
        given != NULL && topics == NULL ? cli_error(cli, CLI_LOCAL, "no memory") : run(&w, args, topics);
    free(w.ids);
    free(topics);
    return exit_code;
}
