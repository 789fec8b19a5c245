/* SPDX-License-Identifier: BSD-3-Clause */
/* The topic `ops` as lines: what clients do, as it happens. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/cli/events.h"
#include "client/cli/params.h"
#include "client/cli/print.h"

struct trace {
    struct cli *cli;
    const char *filter; /* NULL: all */
    uint64_t left;      /* lines to be printed; UINT64_MAX: all */
};

/* ---- lines ---- */

static void print_clock(FILE *out)
{
    struct timespec now;
    struct tm local;
    char text[16] = "";
    clock_gettime(CLOCK_REALTIME, &now);
    if (localtime_r(&now.tv_sec, &local) != NULL)
        strftime(text, sizeof text, "%H:%M:%S", &local);
    fprintf(out, "%s.%03u  ", text, (unsigned)(now.tv_nsec / 1000000));
}

/* The text of a key, or `missing`. */
static void print_text(FILE *out, hf_item map, const char *key, const char *missing)
{
    const void *bytes;
    size_t size;
    if (hf_item_bytes(hf_item_get(map, key), &bytes, &size))
        cli_print_safe(out, bytes, size);
    else
        fputs(missing, out);
}

static uint64_t number_of(hf_item map, const char *key)
{
    uint64_t number = 0;
    hf_item_uint(hf_item_get(map, key), &number);
    return number;
}

static void print_op(FILE *out, hf_item map)
{
    uint64_t passed = number_of(map, "passed"), pid = number_of(map, "pid");
    print_clock(out);
    print_text(out, map, "name", "session");
    fprintf(out, "#%" PRIu64, number_of(map, "sid"));
    if (pid != 0)
        fprintf(out, "[%" PRIu64 "]", pid);
    fputs("  ", out);
    print_text(out, map, "method", "?");
    putc(' ', out);
    print_text(out, map, "args", "");
    fprintf(out, "  %" PRIu64 " B", number_of(map, "bytes"));
    if (hf_item_type(hf_item_get(map, "duration_us")) == HF_TYPE_INT)
        fprintf(out, "  %" PRIu64 " us", number_of(map, "duration_us"));
    if (passed > 1)
        fprintf(out, "  (1 of %" PRIu64 ")", passed);
}

/* The line without its end; NULL without memory. Owned by the caller. */
static char *line_of(const struct hf_event *event)
{
    char *line = NULL;
    size_t size;
    FILE *out = open_memstream(&line, &size);
    if (out == NULL)
        return NULL;
    if (strcmp(event->topic, "ops") == 0)
        print_op(out, event->map);
    else
        fprintf(out, "events were lost: there were too many");
    fclose(out);
    return line;
}

/* True: that was the last one. */
static bool show(struct trace *trace, const struct hf_event *event)
{
    char *line = line_of(event);
    bool wanted = line != NULL && (trace->filter == NULL || strcasestr(line, trace->filter) != NULL);
    if (wanted && trace->cli->output == CLI_JSON)
        cli_event_json(event);
    else if (wanted)
        puts(line);
    free(line);
    trace->left -= wanted && trace->left != UINT64_MAX;
    return trace->left == 0;
}

/* ---- waiting ---- */

/* Prints what has come. CLI_OK and not done: more is to be waited for. */
static int show_all(struct trace *trace, bool *ret_done)
{
    struct hf_event event;
    int code = 0;
    *ret_done = false;
    while (!*ret_done && (code = hf_next_event(trace->cli->conn, 0, &event)) == 0)
        *ret_done = show(trace, &event);
    if (fflush(stdout) != 0)
        return cli_error(trace->cli, CLI_LOCAL, "stdout: %s", strerror(errno));
    return *ret_done || code == HF_ERR_TIMEOUT ? CLI_OK : cli_fail(trace->cli, code);
}

static int wait_events(struct trace *trace, int signals)
{
    struct pollfd wait[2] = {{.fd = hf_fd(trace->cli->conn), .events = POLLIN},
                             {.fd = signals, .events = POLLIN}};
    bool done = false;
    for (int exit_code;;) {
        if ((exit_code = show_all(trace, &done)) != CLI_OK || done)
            return exit_code;
        if (poll(wait, 2, -1) < 0 && errno != EINTR)
            return cli_error(trace->cli, CLI_LOCAL, "poll: %s", strerror(errno));
        if (wait[1].revents != 0)
            return CLI_OK;
    }
}

int cli_trace(struct cli *cli, const struct cli_args *args)
{
    static const char *const topics[] = {"ops"};
    struct hf_subscribe_options options = {.prefix = args->count != 0 ? args->positional[0] : NULL};
    struct trace trace = {.cli = cli, .filter = args->value[CLI_OPT_FILTER], .left = UINT64_MAX};
    int signals;
    if (!cli_option_uint(cli, args, CLI_OPT_RATE, &options.rate) ||
        !cli_option_uint(cli, args, CLI_OPT_COUNT, &trace.left))
        return CLI_USAGE;
    if (trace.left == 0)
        return cli_error(cli, CLI_USAGE, "--count needs a number, 1 or more");
    int exit_code = cli_signals(cli, &signals);
    if (exit_code != CLI_OK)
        return exit_code;
    int code = hf_subscribe(cli->conn, topics, 1, &options, NULL);
    exit_code = code != 0 ? cli_fail(cli, code) : CLI_OK;
    if (exit_code == CLI_OK) {
        cli_hint(cli, "waiting for requests; Ctrl-C ends it");
        exit_code = wait_events(&trace, signals);
    }
    close(signals);
    return exit_code;
}
