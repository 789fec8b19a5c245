/* SPDX-License-Identifier: BSD-3-Clause */
/* holdfastd: wiring only. Options, log, server, signals, systemd; then the loop runs until a signal ends it. SIGHUP
 * takes over what of the options can change. */
#include "daemon/base/human.h"
#include "daemon/base/log.h"
#include "daemon/observe/observe.h"
#include "daemon/offline/inspect.h"
#include "daemon/offline/rescue.h"
#include "daemon/offline/verify.h"
#include "daemon/server/server.h"
#include "daemon/system/command.h"
#include "daemon/system/machine.h"
#include "daemon/system/options.h"
#include "daemon/system/reload.h"
#include "daemon/system/signals.h"
#include "daemon/system/systemd.h"
#include "daemon/transport/transport.h"
#include "proto/version.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_FAILED 1
#define EXIT_USAGE  2

#define PROGRESS_MS   5000u /* between two lines about a start that takes long */
#define STORE_WAIT_MS 5000u /* for systemd to say that it keeps what it was given */

_Static_assert(OPTIONS_LISTEN_MAX == SERVER_LISTEN_MAX && OPTIONS_WORKERS_MAX == SERVER_WORKERS_MAX,
               "the options promise what the server keeps");
_Static_assert(OPTIONS_STATS_MAX == OBSERVE_LISTEN_MAX && SYSTEMD_STATS_MAX == OBSERVE_LISTEN_MAX,
               "and the endpoint");

struct program {
    struct command command;
    struct options options;
    struct log log;
    struct server *server;
    struct observe observe;
    struct signals signals;
    struct systemd systemd;
    uv_timer_t progress;               /* of a start that takes long, for the log */
    int stats_fds[OBSERVE_LISTEN_MAX]; /* it was given for monitoring */
    unsigned stats_fds_count;
    bool activated; /* it was given sockets to listen at */
    bool loading;   /* pools are being recovered */
    bool stores;    /* somebody keeps the pools' memory */
    bool stopping;
    char refused[SYSTEMD_STATUS_MAX *
                 4];       /* why the start failed after it had begun to listen; "": it did not */
    bool misread;          /* the last reload was refused */
    bool stuck;            /* a worker, stuck_worker, has not answered */
    unsigned stuck_worker; /* its number */
    const char *folder;    /* where this program was called from, with its '/': `holdfast` is there too */
    int folder_size;
};

/* ---- what is wrong with the options ---- */

/* What was written into a file does not get to the terminal as more than a line of text. */
static void say_complaint(void *data, const char *file, unsigned line, const char *text)
{
    char where[16] = "", whole[CONFIG_ERROR_MAX + PATH_MAX + sizeof where];
    (void)data;
    if (line > 0)
        snprintf(where, sizeof where, ":%u", line);
    snprintf(whole, sizeof whole, "%s%s%s%s", file == NULL ? "--" : file, where, file == NULL ? "" : ": ",
             text);
    for (char *at = whole; *at != '\0'; at++)
        *at = (unsigned char)*at < 0x20 || *at == 0x7f ? '?' : *at;
    /* For the journal it is an error, see sd-daemon(3). */
    fprintf(stderr, "%sholdfastd: %s\n", systemd_journal() ? "<3>" : "", whole);
}

/* ---- signals ---- */

static void announce_address(struct program *program, const char *address)
{
    log_write(&program->log, LOG_LEVEL_INFO, "listening", "address=%s msg=\"listening on %s\"", address,
              address);
}

static unsigned listeners(const struct program *program)
{
    unsigned count = 0;
    while (server_address(program->server, count) != NULL)
        count++;
    return count;
}

/* For programs that start a daemon, as above; in words of its own, since this is no place for its clients. */
static void announce_stats(struct program *program, const char *address)
{
    log_write(&program->log, LOG_LEVEL_INFO, "stats", "address=%s msg=\"figures at %s\"", address, address);
}

static int add_stats(struct program *program, const char *address, char *error, size_t error_size)
{
    if (observe_listen(&program->observe, address, error, error_size) != 0)
        return -1;
    announce_stats(program, observe_address(&program->observe, program->observe.listeners_count - 1));
    return 0;
}

static int add_listener(void *data, enum option_id id, const char *address, char *error, size_t error_size)
{
    struct program *program = data;
    if (id == OPTION_STATS)
        return add_stats(program, address, error, error_size);
    unsigned before = listeners(program);
    if (server_listen(program->server, address, error, error_size) != 0)
        return -1;
    if (listeners(program) > before)
        announce_address(program, server_address(program->server, before));
    return 0;
}

static void remove_listener(void *data, enum option_id id, const char *address)
{
    struct program *program = data;
    if (id == OPTION_STATS)
        observe_unlisten(&program->observe, address);
    else
        server_unlisten(program->server, address);
}

static void set_max_memory(void *data, uint64_t bytes)
{
    struct program *program = data;
    server_set_max_memory(program->server, bytes);
}

static void set_slowlog_us(void *data, uint64_t us)
{
    struct program *program = data;
    server_set_slowlog_us(program->server, us);
}

static void set_evacuate_percent(void *data, unsigned percent)
{
    struct program *program = data;
    server_set_evacuate_percent(program->server, percent);
}

static int set_save_dir(void *data, const char *folder, char *error, size_t error_size)
{
    struct program *program = data;
    return server_set_save_dir(program->server, folder, error, error_size);
}

static void set_save_every(void *data, uint64_t ms)
{
    struct program *program = data;
    server_set_save_every(program->server, ms);
}

static void set_save_keep(void *data, unsigned keep)
{
    struct program *program = data;
    server_set_save_keep(program->server, keep);
}

static int check_address(enum option_id id, const char *address, char *error, size_t error_size)
{
    return id == OPTION_STATS ? observe_check(address, error, error_size)
                              : transport_check(address, error, error_size);
}

static void reload(struct program *program)
{
    const struct reload reload = {
        .command = &program->command,
        .check = check_address,
        .activated = program->activated,
        .log = &program->log,
        .actions = {.listen = add_listener,
                    .unlisten = remove_listener,
                    .set_max_memory = set_max_memory,
                    .set_slowlog_us = set_slowlog_us,
                    .set_evacuate_percent = set_evacuate_percent,
                    .set_save_dir = set_save_dir,
                    .set_save_every = set_save_every,
                    .set_save_keep = set_save_keep,
                    .data = program},
    };
    systemd_reloading(&program->systemd);
    program->misread = !reload_options(&program->options, &reload);
    systemd_reloaded(&program->systemd);
}

static void stop(struct program *program, int number)
{
    if (program->stopping) {
        log_write(&program->log, LOG_LEVEL_WARN, "stopped", "msg=\"a second signal: replies are lost\"");
        _exit(EXIT_FAILED);
    }
    program->stopping = true;
    log_write(&program->log, LOG_LEVEL_INFO, "stopping",
              "signal=%s msg=\"replies are flushed for at most %d s\"",
              number == SIGTERM ? "SIGTERM" : "SIGINT", SERVER_DRAIN_MS / 1000);
    server_stop(program->server);
    systemd_stopping(&program->systemd);
}

static void on_signal(void *data, int number)
{
    struct program *program = data;
    if (number != SIGHUP)
        stop(program, number);
    else if (!program->stopping)
        reload(program);
}

/* ---- running ---- */

static bool alive(void *data)
{
    struct program *program = data;
    bool was_stuck = program->stuck;
    unsigned was = program->stuck_worker;
    program->stuck = !server_alive(program->server, &program->stuck_worker);
    if (was_stuck && (!program->stuck || program->stuck_worker != was))
        log_write(&program->log, LOG_LEVEL_INFO, "unstuck", "worker=%u msg=\"it answers again\"", was);
    if (program->stuck && (!was_stuck || program->stuck_worker != was))
        log_write(&program->log, LOG_LEVEL_WARN, "stuck",
                  "worker=%u msg=\"it has not finished a turn since the last look\"", program->stuck_worker);
    return !program->stuck;
}

static const char *plural(uint64_t count)
{
    return count == 1 ? "" : "s";
}

/* "recovering pool default: 43 % of 10.0 M objects" */
static void describe_loading(const struct program *program, char *text, size_t size)
{
    struct server_loading loading;
    char objects[HUMAN_MAX];
    server_loading(program->server, &loading);
    human_count(objects, sizeof objects, loading.objects);
    if (loading.of == 1 && loading.name != NULL)
        snprintf(text, size, "recovering pool %s: %u %% of %s object%s", loading.name, loading.done / 10,
                 objects, plural(loading.objects));
    else
        snprintf(text, size, "recovering %u of %u pools: %u %% of %s object%s", loading.pools, loading.of,
                 loading.done / 10, objects, plural(loading.objects));
}

/* "serving 3 pools, 12 sessions, 1.20 M objects, 310 MiB of 14.0 GiB" */
static void describe_serving(const struct program *program, const struct server_summary *summary, char *text,
                             size_t size)
{
    char objects[HUMAN_MAX], used[HUMAN_MAX], limit[HUMAN_MAX];
    snprintf(text, size, "serving %llu pool%s, %llu session%s, %s object%s, %s of %s%s",
             (unsigned long long)summary->pools, plural(summary->pools),
             (unsigned long long)summary->sessions, plural(summary->sessions),
             human_count(objects, sizeof objects, summary->objects), plural(summary->objects),
             human_bytes(used, sizeof used, summary->memory_used),
             human_bytes(limit, sizeof limit, summary->memory_limit),
             program->misread ? "; the last reload changed nothing, see the log" : "");
}

static void describe_stopping(const struct server_summary *summary, char *text, size_t size)
{
    if (summary->waiting == 0)
        snprintf(text, size, "stopping: the last calls are being answered");
    else
        snprintf(text, size, "stopping: %llu client%s to get %s last replies, for at most %d s in all",
                 (unsigned long long)summary->waiting, summary->waiting == 1 ? " has" : "s have",
                 summary->waiting == 1 ? "its" : "their", SERVER_DRAIN_MS / 1000);
}

/* For `systemctl status`. */
static void describe(void *data, char *text, size_t size)
{
    const struct program *program = data;
    struct server_summary summary;
    server_summary(program->server, &summary);
    if (program->stopping)
        describe_stopping(&summary, text, size);
    else if (program->stuck)
        snprintf(text, size, "worker %u has not answered", program->stuck_worker);
    else if (program->loading)
        describe_loading(program, text, size);
    else
        describe_serving(program, &summary, text, size);
}

static void on_stopped(void *data)
{
    struct program *program = data;
    signals_stop(&program->signals);
    observe_stop(&program->observe);
    systemd_stop(&program->systemd, "stopping: the pools are being closed");
    uv_close((uv_handle_t *)&program->progress, NULL);
}

/* Where it listens. Programs that start a daemon wait for these lines. */
static void announce_addresses(struct program *program)
{
    const char *address;
    for (unsigned i = 0; (address = server_address(program->server, i)) != NULL; i++)
        announce_address(program, address);
}

/* And what to try next. */
static void announce_ready(struct program *program)
{
    log_write(&program->log, LOG_LEVEL_INFO, "ready",
              "version=%s max_memory=%llu msg=\"try: %.*sholdfast -s %s ping\"", HF_VERSION,
              (unsigned long long)program->options.max_memory, program->folder_size, program->folder,
              server_address(program->server, 0));
}

static int fail(struct program *program, const char *error)
{
    log_write(&program->log, LOG_LEVEL_ERROR, "not_started", "msg=\"%s\"", error);
    systemd_starting("not started", error);
    return EXIT_FAILED;
}

/* ---- a start that goes on while the loop runs ---- */

static uint64_t progress_of(void *data)
{
    const struct program *program = data;
    struct server_loading loading;
    server_loading(program->server, &loading);
    return loading.done;
}

static void log_progress(uv_timer_t *timer)
{
    struct program *program = timer->data;
    char text[SYSTEMD_STATUS_MAX];
    describe_loading(program, text, sizeof text);
    log_write(&program->log, LOG_LEVEL_INFO, "recovering", "msg=\"%s\"", text);
}

static void on_loaded(void *data, const char *error)
{
    struct program *program = data;
    program->loading = false;
    uv_timer_stop(&program->progress);
    if (error != NULL) {
        snprintf(program->refused, sizeof program->refused, "%s", error);
        return;
    }
    announce_ready(program);
    systemd_ready(&program->systemd);
}

static void start_loading(struct program *program)
{
    server_on_loaded(program->server, on_loaded, program);
    uv_timer_start(&program->progress, log_progress, PROGRESS_MS, PROGRESS_MS);
}

/* ---- what is handed over ---- */

static int keep(void *data, const char *pool, int fd_meta, int fd_values)
{
    (void)data;
    return systemd_keep(pool, fd_meta, fd_values);
}

static int forget(void *data, const char *pool)
{
    (void)data;
    return systemd_forget(pool);
}

/* Only newer versions of systemd say how much they keep. */
static void tell_store(struct program *program, unsigned kept, unsigned others)
{
    unsigned max = 0;
    program->stores = program->options.heap_dir == NULL && systemd_stores(&max);
    if (kept > 0)
        log_write(&program->log, LOG_LEVEL_INFO, "kept",
                  "descriptors=%u msg=\"systemd has kept the memory of pools\"", kept);
    if (others > 0)
        log_write(&program->log, LOG_LEVEL_WARN, "kept_unknown",
                  "descriptors=%u msg=\"systemd keeps files that are no pools'; they are left alone\"",
                  others);
    if (program->stores && max > 0 && kept + 2 > max)
        log_write(&program->log, LOG_LEVEL_WARN, "store_full",
                  "max=%u msg=\"systemd keeps no further pool; raise FileDescriptorStoreMax=, by 2 a pool\"",
                  max);
}

/* What came back from systemd's fd store. The names stay the store's. 0, or -1 with a text. */
static int take_kept(struct program *program, struct systemd_store *store, struct server_config *config,
                     struct server_kept **ret, char *error, size_t error_size)
{
    unsigned count = 0;
    *ret = calloc(store->count + 1, sizeof **ret);
    if (*ret == NULL) {
        snprintf(error, error_size, "no memory");
        return -1;
    }
    for (unsigned k = 0; k < store->count; k++) {
        struct systemd_kept *kept = &store->kept[k];
        if (kept->pool == NULL)
            continue;
        (*ret)[count++] = (struct server_kept){.pool = kept->pool, .fd = kept->fd};
        kept->fd = -1;
    }
    tell_store(program, count, store->count - count);
    config->kept = *ret;
    config->kept_count = count;
    if (program->stores)
        config->keeper = (struct server_keeper){.keep = keep, .forget = forget};
    return 0;
}

/* What it listens at: the sockets that were handed over, and the addresses of the options. 0, or -1 with a text. */
static int places(struct program *program, struct server_config *config, int *fds, const char **listen,
                  struct systemd_store *store, char *error, size_t error_size)
{
    struct options *options = &program->options;
    int count = systemd_sockets(fds, OPTIONS_LISTEN_MAX, store, error, error_size);
    if (count < 0)
        return -1;
    program->stats_fds_count = store->stats_count;
    memcpy(program->stats_fds, store->stats, sizeof program->stats_fds);
    store->stats_count = 0;
    program->activated = count > 0;
    if (program->activated)
        options_drop_default_listen(options);
    if (options_make_folder(options, error, error_size) != 0)
        return -1;
    for (unsigned i = 0; i < options->listen_count; i++)
        listen[i] = options->listen[i].text;
    config->listen = listen;
    config->listen_count = options->listen_count;
    config->listen_fds = fds;
    config->listen_fds_count = (unsigned)count;
    return 0;
}

/* An address that cannot be opened is told, and no reason not to serve; the next reload tries it again. */
static void open_stats(struct program *program)
{
    char error[TRANSPORT_ERROR_MAX];
    struct options *options = &program->options;
    for (unsigned i = 0; i < program->stats_fds_count; i++) {
        if (observe_adopt(&program->observe, program->stats_fds[i], error, sizeof error) == 0)
            announce_stats(program, observe_address(&program->observe, program->observe.listeners_count - 1));
        else
            log_write(&program->log, LOG_LEVEL_ERROR, "not_listening", "msg=\"%s\"", error);
    }
    for (unsigned i = 0; i < options->stats_count; i++) {
        const char *address = options->stats[i].text;
        if (strcmp(address, OPTIONS_OFF) == 0 || add_stats(program, address, error, sizeof error) == 0)
            continue;
        options_listen_failed(options, OPTION_STATS, address);
        log_write(&program->log, LOG_LEVEL_ERROR, "not_listening",
                  "address=%s msg=\"%s; mend it and reload\"", address, error);
    }
}

static int open_server(struct program *program, char *error, size_t error_size)
{
    const char *listen[OPTIONS_LISTEN_MAX];
    int fds[OPTIONS_LISTEN_MAX];
    struct systemd_store store = {.count = 0};
    struct server_kept *kept = NULL;
    struct server_config config = {
        .max_memory = program->options.max_memory,
        .slowlog_us = program->options.slowlog_us,
        .evacuate_percent = program->options.evacuate_percent,
        .workers = program->options.workers,
        .heap_dir = program->options.heap_dir,
        .save_dir = program->options.save_dir,
        .save_every_ms = program->options.save_every_ms,
        .save_keep = program->options.save_keep,
        .load = program->options.load,
        .set_aside = program->options.set_aside,
        .log = &program->log,
    };
    if (config.heap_dir != NULL)
        systemd_starting("opening the pools", config.heap_dir);
    int r = places(program, &config, fds, listen, &store, error, error_size);
    if (r == 0)
        r = take_kept(program, &store, &config, &kept, error, error_size);
    if (r == 0)
        r = server_open(&program->server, &config, error, error_size);
    systemd_store_done(&store);
    free(kept);
    return r;
}

static int run(struct program *program)
{
    char error[TRANSPORT_ERROR_MAX + SYSTEMD_STATUS_MAX];
    struct server_loading loading;
    if (open_server(program, error, sizeof error) != 0)
        return fail(program, error);
    if (program->stores && !systemd_wait(STORE_WAIT_MS))
        log_write(&program->log, LOG_LEVEL_WARN, "store_slow",
                  "msg=\"systemd has not yet said that it keeps the memory of pools\"");
    server_loading(program->server, &loading);
    program->loading = loading.of > 0;
    signals_start(&program->signals, server_loop(program->server), on_signal, program);
    server_on_stopped(program->server, on_stopped, program);
    observe_init(&program->observe, program->server, server_loop(program->server), &program->log);
    open_stats(program);
    uv_timer_init(server_loop(program->server), &program->progress);
    program->progress.data = program;
    announce_addresses(program);
    if (loading.of > 0)
        start_loading(program);
    else
        announce_ready(program);
    systemd_start(&program->systemd, server_loop(program->server),
                  &(struct systemd_source){.alive = alive,
                                           .describe = describe,
                                           .progress = loading.of > 0 ? progress_of : NULL,
                                           .data = program});
    server_run(program->server);
    server_close(program->server);
    if (program->refused[0] != '\0')
        return fail(program, program->refused);
    log_write(&program->log, LOG_LEVEL_INFO, "stopped", "msg=\"bye\"");
    return 0;
}

/* --check-config, --print-config. */
static int show(const struct program *program)
{
    if (program->command.print)
        options_print(stdout, &program->options);
    else
        printf("%s: fine\n", program->command.file == NULL ? "the command line" : program->command.file);
    if (fflush(stdout) == 0 && !ferror(stdout))
        return 0;
    perror("holdfastd: stdout");
    return EXIT_FAILED;
}

int main(int argc, char **argv)
{
    const char *slash = strrchr(argv[0], '/');
    struct program program = {.folder = argv[0],
                              .folder_size = slash == NULL ? 0 : (int)(slash + 1 - argv[0])};
    switch (command_parse(&program.command, argc, argv)) {
    case COMMAND_DONE: return 0;
    case COMMAND_WRONG: return EXIT_USAGE;
    case COMMAND_RUN: break;
    }
    if (program.command.verify != NULL)
        return offline_verify(program.command.verify, program.command.json);
    if (program.command.inspect != NULL)
        return offline_inspect(program.command.inspect, program.command.json);
    if (program.command.rescue != NULL)
        return offline_rescue(program.command.rescue, program.command.output);
    if (options_load(&program.options, &program.command, check_address, say_complaint, NULL) > 0)
        return EXIT_USAGE;
    log_init(&program.log, STDERR_FILENO, program.options.log_level);
    if (systemd_journal())
        log_to_journal(&program.log);
    signals_ignore();
    machine_raise_descriptors();
    int code = program.command.check || program.command.print ? show(&program) : run(&program);
    options_free(&program.options);
    return code;
}
