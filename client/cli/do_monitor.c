/* SPDX-License-Identifier: BSD-3-Clause */
/* `stat` and `top`: a daemon looked at again and again. */
#include <errno.h>
#include <locale.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/bench/clock.h"
#include "client/bench/options.h"
#include "client/cli/cli.h"
#include "client/cli/params.h"
#include "client/monitor/page.h"
#include "client/monitor/screen.h"
#include "client/monitor/stat.h"

#define SECOND_NS         UINT64_C(1000000000)
#define INTERVAL_LEAST_NS UINT64_C(10000000)
#define HEADING_EVERY     20 /* lines, where the terminal does not say how many it has */
#define SCREEN_TIMEOUT_MS 2000
#define ADDRESS_SIZE      512

/* One run of either command. */
struct monitor {
    struct cli *cli;
    struct monitor_source source;
    enum monitor_wanted wanted;
    uint64_t interval_ns;
    uint64_t left; /* intervals; UINT64_MAX: all */
    int signals;
    struct monitor_look looks[2];
    char address[ADDRESS_SIZE];
};

static int read_options(struct monitor *m, const struct cli_args *args)
{
    const char *interval = args->value[CLI_OPT_INTERVAL];
    m->interval_ns = SECOND_NS;
    m->left = UINT64_MAX;
    if (cli_given(args, CLI_OPT_INTERVAL) &&
        (!bench_parse_time(interval, &m->interval_ns) || m->interval_ns < INTERVAL_LEAST_NS))
        return cli_error(m->cli, CLI_USAGE, "--interval needs a time of 10ms or more, such as 1, 500ms, 1m");
    if (!cli_option_uint(m->cli, args, CLI_OPT_COUNT, &m->left))
        return CLI_USAGE;
    return m->left != 0 ? CLI_OK : cli_error(m->cli, CLI_USAGE, "--count needs a number, 1 or more");
}

static int begin(struct monitor *m, struct cli *cli, const struct cli_args *args, const char *name)
{
    *m = (struct monitor){.cli = cli, .signals = -1};
    m->source = (struct monitor_source){
        .address = cli->address, .pool = cli->pool, .name = name, .timeout_ms = cli->timeout_ms};
    if (cli->address != NULL)
        snprintf(m->address, sizeof m->address, "%s", cli->address);
    else if (hf_default_address(m->address, sizeof m->address) != 0)
        m->address[0] = '\0';
    int exit_code = read_options(m, args);
    return exit_code == CLI_OK ? cli_signals(cli, &m->signals) : exit_code;
}

static void end(struct monitor *m)
{
    monitor_look_done(&m->looks[0]);
    monitor_look_done(&m->looks[1]);
    monitor_source_close(&m->source);
    if (m->signals >= 0)
        close(m->signals);
}

static int fail(struct monitor *m)
{
    cli_error(m->cli, 0, "%s: %s", m->address, m->source.problem);
    return cli_exit_of(m->source.code);
}

/* True: a signal came. */
static bool wait_until(struct monitor *m, uint64_t at_ns)
{
    struct pollfd wait = {.fd = m->signals, .events = POLLIN};
    for (uint64_t now_ns; (now_ns = bench_now_ns()) < at_ns;) {
        int ready = poll(&wait, 1, (int)((at_ns - now_ns + 999999) / 1000000));
        if (ready > 0 || (ready < 0 && errno != EINTR))
            return true;
    }
    return false;
}

/* Looks once more; what the look before saw is kept beside it. */
static bool look_again(struct monitor *m)
{
    struct monitor_look fresh;
    if (!monitor_source_look(&m->source, m->wanted, &fresh)) {
        monitor_look_done(&fresh);
        return false;
    }
    monitor_look_done(&m->looks[1]);
    m->looks[1] = m->looks[0];
    m->looks[0] = fresh;
    return true;
}

typedef int show_fn(struct monitor *m, const struct monitor_change *change, void *context);

/* Shows each interval. A daemon that goes away is waited for; one that is not there at all is an error. */
static int watch(struct monitor *m, show_fn *show, void *context)
{
    int exit_code = CLI_OK;
    bool lost = false;
    if (!look_again(m))
        return fail(m);
    for (uint64_t next_ns = bench_now_ns() + m->interval_ns; exit_code == CLI_OK && m->left != 0;
         next_ns += m->interval_ns) {
        struct monitor_change change;
        if (wait_until(m, next_ns))
            break;
        if (!look_again(m)) {
            if (!lost)
                cli_error(m->cli, 0, "%s: %s; waiting for it", m->address, m->source.problem);
            lost = true;
            continue;
        }
        monitor_change_make(&change, &m->looks[1].sample, &m->looks[0].sample);
        exit_code = show(m, &change, context);
        if (fflush(stdout) != 0)
            exit_code = cli_error(m->cli, CLI_LOCAL, "stdout: %s", strerror(errno));
        lost = false;
        m->left -= m->left != UINT64_MAX;
        if (next_ns + m->interval_ns < bench_now_ns())
            next_ns = bench_now_ns(); /* what was missed is not made up for */
    }
    return exit_code;
}

/* ---- stat ---- */

static int show_line(struct monitor *m, const struct monitor_change *change, void *lines_)
{
    uint64_t *lines = lines_;
    if (m->cli->output == CLI_JSON)
        return monitor_stat_json(stdout, change) ? CLI_OK : cli_error(m->cli, CLI_LOCAL, "no memory");
    if ((*lines)++ % HEADING_EVERY == 0)
        monitor_stat_heading(stdout);
    monitor_stat_line(stdout, change);
    return CLI_OK;
}

int cli_stat(struct cli *cli, const struct cli_args *args)
{
    struct monitor m;
    uint64_t lines = 0;
    int exit_code = begin(&m, cli, args, "holdfast stat");
    if (exit_code == CLI_OK)
        exit_code = watch(&m, show_line, &lines);
    end(&m);
    return exit_code;
}

/* ---- top ---- */

static int show_page(struct monitor *m, const struct monitor_change *change, void *choice)
{
    struct monitor_page page = {0};
    struct monitor_scene scene = {.change = change, .look = &m->looks[0], .address = m->address};
    size_t rows;
    bool good;
    if (m->cli->output == CLI_JSON)
        return monitor_page_json(stdout, &scene, choice) ? CLI_OK : cli_error(m->cli, CLI_LOCAL, "no memory");
    monitor_page_make(&page, &scene, choice, SIZE_MAX, &rows);
    for (size_t i = 0; i < page.count; i++)
        puts(page.lines[i].text);
    good = !page.failed;
    monitor_page_done(&page);
    return good ? CLI_OK : cli_error(m->cli, CLI_LOCAL, "no memory");
}

static int read_choice(struct cli *cli, const struct cli_args *args, struct monitor_choice *choice)
{
    const char *sort = args->value[CLI_OPT_SORT], *filter = args->value[CLI_OPT_FILTER];
    *choice = monitor_choice_first();
    if (cli_given(args, CLI_OPT_FILTER)) {
        if (strlen(filter) >= sizeof choice->filter)
            return cli_error(cli, CLI_USAGE, "--filter takes a text of at most %zu bytes",
                             sizeof choice->filter - 1);
        memcpy(choice->filter, filter, strlen(filter) + 1);
    }
    if (!cli_given(args, CLI_OPT_SORT) || monitor_choice_sort(choice, sort))
        return CLI_OK;
    cli_error(cli, 0, "--sort takes a column of the sessions:");
    for (unsigned i = 0; monitor_table_column(choice->table, i) != NULL; i++)
        fprintf(stderr, "  %s\n", monitor_table_column(choice->table, i));
    return CLI_USAGE;
}

static int run_screen(struct monitor *m, const struct monitor_choice *choice)
{
    struct monitor_screen_options options = {.address = m->address,
                                             .choice = *choice,
                                             .interval_ns = m->interval_ns,
                                             .all_pools = m->wanted == MONITOR_SESSIONS_OF_ALL,
                                             .signals = m->signals};
    if (!m->cli->terminal || isatty(STDIN_FILENO) == 0)
        return cli_error(m->cli, CLI_USAGE,
                         "top takes a terminal; --once prints one page, --json goes on for programs");
    if (m->source.timeout_ms < 0 || m->source.timeout_ms > SCREEN_TIMEOUT_MS)
        m->source.timeout_ms = SCREEN_TIMEOUT_MS; /* keys wait as long */
    const char *problem = monitor_screen_run(&m->source, &options);
    return problem == NULL ? CLI_OK : cli_error(m->cli, CLI_LOCAL, "top: %s", problem);
}

int cli_top(struct cli *cli, const struct cli_args *args)
{
    struct monitor_choice choice;
    struct monitor m;
    setlocale(LC_CTYPE, "");
    int exit_code = begin(&m, cli, args, "holdfast top");
    m.wanted = cli_given(args, CLI_OPT_ALL) ? MONITOR_SESSIONS_OF_ALL : MONITOR_SESSIONS;
    if (cli_given(args, CLI_OPT_ONCE))
        m.left = 1;
    if (exit_code == CLI_OK)
        exit_code = read_choice(cli, args, &choice);
    if (exit_code == CLI_OK) {
        bool once = cli_given(args, CLI_OPT_ONCE) || cli->output == CLI_JSON;
        exit_code = once ? watch(&m, show_page, &choice) : run_screen(&m, &choice);
    }
    end(&m);
    return exit_code;
}
