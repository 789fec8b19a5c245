/* SPDX-License-Identifier: BSD-3-Clause */
/* The requests that took long, as a table. */
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "client/cli/params.h"
#include "client/cli/print.h"

/* "12:03:44.127" of the machine that asks; empty if the row has no time. */
static void clock_text(hf_item row, char to[32])
{
    uint64_t ms;
    struct tm local;
    to[0] = '\0';
    if (!hf_item_uint(hf_item_get(row, "at_ms"), &ms))
        return;
    time_t seconds = (time_t)(ms / 1000);
    if (localtime_r(&seconds, &local) == NULL)
        return;
    size_t size = strftime(to, 16, "%H:%M:%S", &local);
    snprintf(to + size, 8, ".%03u", (unsigned)(ms % 1000));
}

static void took_text(hf_item row, char to[32])
{
    uint64_t us = 0;
    hf_item_uint(hf_item_get(row, "duration_us"), &us);
    if (us < 10000)
        snprintf(to, 32, "%" PRIu64 " us", us);
    else if (us < 10000000)
        snprintf(to, 32, "%" PRIu64 " ms", us / 1000);
    else
        snprintf(to, 32, "%" PRIu64 " s", us / 1000000);
}

/* A cell of at least `width` characters, and two blanks. */
static void print_cell(hf_item row, const char *key, int width)
{
    const void *bytes;
    size_t size;
    uint64_t number;
    hf_item item = hf_item_get(row, key);
    if (hf_item_bytes(item, &bytes, &size)) {
        cli_print_safe(stdout, bytes, size);
        printf("%*s  ", size < (size_t)width ? width - (int)size : 0, "");
    } else if (hf_item_uint(item, &number)) {
        printf("%*" PRIu64 "  ", width, number);
    } else {
        printf("%*s  ", width, "-");
    }
}

static void print_row(hf_item row)
{
    char text[32];
    const void *bytes;
    size_t size;
    clock_text(row, text);
    printf("%-12s  ", text);
    took_text(row, text);
    printf("%8s  ", text);
    print_cell(row, "requests", 5);
    print_cell(row, "method", 10);
    print_cell(row, "pool", 10);
    print_cell(row, "sid", 10);
    print_cell(row, "name", 14);
    print_cell(row, "pid", 7);
    if (hf_item_bytes(hf_item_get(row, "args"), &bytes, &size))
        cli_print_safe(stdout, bytes, size);
    else
        putchar('-');
    putchar('\n');
}

static void print_log(struct cli *cli, hf_item log)
{
    uint64_t threshold_us = 0, count = 0;
    hf_item row, rows = hf_item_get(log, "rows");
    hf_item_uint(hf_item_get(log, "threshold_us"), &threshold_us);
    hf_item_uint(hf_item_get(log, "count"), &count);
    if (threshold_us == 0) {
        puts("none are kept: the daemon runs with --slowlog-us 0");
        return;
    }
    printf("%" PRIu64 " requests took %" PRIu64 " us or longer since the start\n", count, threshold_us);
    if (hf_item_count(rows) == 0)
        return;
    printf("%s%-12s  %8s  %5s  %-10s  %-10s  %10s  %-14s  %7s  %s%s\n", cli->colour ? "\033[1m" : "", "AT",
           "TOOK", "ALIKE", "METHOD", "POOL", "SID", "NAME", "PID", "ARGUMENTS",
           cli->colour ? "\033[0m" : "");
    for (hf_walk walk = hf_walk_start(rows); hf_walk_next(&walk, NULL, &row);)
        print_row(row);
}

int cli_slowlog(struct cli *cli, const struct cli_args *args)
{
    struct cli_params params;
    hf_reply *reply = NULL;
    bool limit = cli_given(args, CLI_OPT_LIMIT), reset = cli_given(args, CLI_OPT_RESET);
    cli_params_init(&params, cli, 1);
    msgpack_pack_map(&params.packer, (size_t)limit + reset);
    cli_pack_uint(&params, args, CLI_OPT_LIMIT, "limit");
    if (reset) {
        cli_pack_text(&params, "reset");
        msgpack_pack_true(&params.packer);
    }
    int exit_code = cli_params_call(&params, "slowlog", &reply);
    if (exit_code == CLI_OK && cli->output == CLI_HUMAN)
        print_log(cli, hf_reply_item(reply));
    else if (exit_code == CLI_OK)
        cli_show(cli, hf_reply_item(reply));
    hf_reply_free(reply);
    return exit_code;
}
