/* SPDX-License-Identifier: BSD-3-Clause */
/* holdfastd: wiring only. Options, log, server, signals, systemd; then the loop runs until a signal ends it. SIGHUP
 * takes over what of the options can change. */
#include "daemon/base/human.h"
#include "daemon/base/log.h"
#include "daemon/server/server.h"
#include "daemon/system/command.h"
#include "daemon/system/machine.h"
#include "daemon/system/options.h"
#include "daemon/system/signals.h"
#include "daemon/system/systemd.h"
#include "daemon/transport/transport.h"
#include "proto/version.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define EXIT_FAILED 1
#define EXIT_USAGE  2

struct program {
    struct command command;
    struct options options;
    struct log log;
    struct server *server;
    struct signals signals;
    struct systemd systemd;
    bool activated; /* it was given sockets to listen at */
    bool stopping;
    const char *folder; /* where this program was called from, with its '/': `holdfast` is there too */
    int folder_size;
};

/* ---- what is wrong with the options ---- */

static void say_complaint(void *data, const char *file, unsigned line, const char *text)
{
    (void)data;
    if (file == NULL)
        fprintf(stderr, "holdfastd: --%s\n", text);
    else if (line == 0)
        fprintf(stderr, "holdfastd: %s: %s\n", file, text);
    else
        fprintf(stderr, "holdfastd: %s:%u: %s\n", file, line, text);
}

static void log_complaint(void *data, const char *file, unsigned line, const char *text)
{
    struct program *program = data;
    log_write(&program->log, LOG_LEVEL_ERROR, "config", "file=%s line=%u msg=\"%s\"",
              file == NULL ? "-" : file, line, text);
}

/* ---- signals ---- */

static void announce_address(struct program *program, const char *address)
{
    log_write(&program->log, LOG_LEVEL_INFO, "listening", "address=%s msg=\"listening on %s\"", address,
              address);
}

struct reloading {
    struct program *program;
    struct options *next;
};

static void change_listen(struct program *program, const char *old, const char *new)
{
    char error[TRANSPORT_ERROR_MAX];
    if (old != NULL) {
        server_unlisten(program->server, old);
        log_write(&program->log, LOG_LEVEL_INFO, "unlistened", "address=%s msg=\"its connections stay\"",
                  old);
    } else if (server_listen(program->server, new, error, sizeof error) == 0) {
        unsigned last = 0;
        while (server_address(program->server, last + 1) != NULL)
            last++;
        announce_address(program, server_address(program->server, last));
    } else {
        log_write(&program->log, LOG_LEVEL_ERROR, "not_listening", "msg=\"%s\"", error);
    }
}

static void on_change(void *data, enum option_id id, const char *old, const char *new)
{
    struct reloading *reload = data;
    struct program *program = reload->program;
    if (id == OPTION_LISTEN) {
        change_listen(program, old, new);
        return;
    }
    log_write(&program->log, option_is_live(id) ? LOG_LEVEL_INFO : LOG_LEVEL_WARN,
              option_is_live(id) ? "changed" : "not_changed", "option=%s from=%s to=%s%s", option_name(id),
              old, new, option_is_live(id) ? "" : " msg=\"this takes a restart\"");
    if (!option_is_live(id))
        options_keep(reload->next, &program->options, id);
    else if (id == OPTION_MAX_MEMORY)
        server_set_max_memory(program->server, reload->next->max_memory);
    else if (id == OPTION_LOG_LEVEL)
        log_set_level(&program->log, reload->next->log_level);
}

/* False: nothing is changed. */
static bool reload_options(struct program *program)
{
    struct options next;
    struct reloading reload = {.program = program, .next = &next};
    if (program->command.file == NULL) {
        log_write(&program->log, LOG_LEVEL_WARN, "reload",
                  "msg=\"there is no file to read again; start with --config\"");
        return false;
    }
    if (options_load(&next, &program->command, transport_check, log_complaint, program) > 0) {
        log_write(&program->log, LOG_LEVEL_ERROR, "reload",
                  "msg=\"nothing is changed; mend the file and try again\"");
        return false;
    }
    if (program->activated)
        options_drop_default_listen(&next);
    options_compare(&program->options, &next, on_change, &reload);
    options_free(&program->options);
    program->options = next;
    log_write(&program->log, LOG_LEVEL_INFO, "reloaded", "file=%s", program->command.file);
    return true;
}

static void reload(struct program *program)
{
    systemd_reloading(&program->systemd);
    reload_options(program);
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
    systemd_stopping(&program->systemd, "sending the last replies");
    server_stop(program->server);
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
    return server_alive(program->server);
}

/* "3 pools, 12 sessions, 1.2 M objects; 310 MiB of 14 GiB" */
static void describe(void *data, char *text, size_t size)
{
    const struct program *program = data;
    struct server_summary summary;
    char objects[16], used[16], limit[16];
    server_summary(program->server, &summary);
    snprintf(text, size, "%llu pools, %llu sessions, %s objects; %s of %s", (unsigned long long)summary.pools,
             (unsigned long long)summary.sessions, human_count(objects, sizeof objects, summary.objects),
             human_bytes(used, sizeof used, summary.memory_used),
             human_bytes(limit, sizeof limit, summary.memory_limit));
}

static void on_stopped(void *data)
{
    struct program *program = data;
    signals_stop(&program->signals);
    systemd_stop(&program->systemd);
}

/* Where it listens, and what to try next. Programs that start a daemon wait for these lines. */
static void announce(struct program *program)
{
    const char *address;
    for (unsigned i = 0; (address = server_address(program->server, i)) != NULL; i++)
        announce_address(program, address);
    log_write(&program->log, LOG_LEVEL_INFO, "ready",
              "version=%s max_memory=%llu msg=\"try: %.*sholdfast -s %s ping\"", HF_VERSION,
              (unsigned long long)program->options.max_memory, program->folder_size, program->folder,
              server_address(program->server, 0));
}

static int fail(struct program *program, const char *error)
{
    log_write(&program->log, LOG_LEVEL_ERROR, "not_started", "msg=\"%s\"", error);
    return EXIT_FAILED;
}

/* What it listens at: the sockets that were handed over, and the addresses of the options. 0, or -1 with a text. */
static int places(struct program *program, struct server_config *config, int *fds, const char **listen,
                  char *error, size_t error_size)
{
    struct options *options = &program->options;
    int count = systemd_sockets(fds, OPTIONS_LISTEN_MAX, error, error_size);
    if (count < 0)
        return -1;
    program->activated = count > 0;
    if (program->activated)
        options_drop_default_listen(options);
    for (unsigned i = 0; i < options->listen_count; i++) {
        listen[i] = options->listen[i].text;
        if (options->listen[i].source == SOURCE_DEFAULT &&
            machine_make_default_folder(error, error_size) != 0)
            return -1;
    }
    config->listen = listen;
    config->listen_count = options->listen_count;
    config->listen_fds = fds;
    config->listen_fds_count = (unsigned)count;
    return 0;
}

static int run(struct program *program)
{
    char error[TRANSPORT_ERROR_MAX];
    const char *listen[OPTIONS_LISTEN_MAX];
    int fds[OPTIONS_LISTEN_MAX];
    struct server_config config = {
        .max_memory = program->options.max_memory,
        .workers = program->options.workers,
        .log = &program->log,
    };
    if (places(program, &config, fds, listen, error, sizeof error) != 0 ||
        server_open(&program->server, &config, error, sizeof error) != 0)
        return fail(program, error);
    signals_start(&program->signals, server_loop(program->server), on_signal, program);
    server_on_stopped(program->server, on_stopped, program);
    announce(program);
    systemd_start(&program->systemd, server_loop(program->server),
                  &(struct systemd_source){.alive = alive, .describe = describe, .data = program});
    server_run(program->server);
    server_close(program->server);
    log_write(&program->log, LOG_LEVEL_INFO, "stopped", "msg=\"bye\"");
    return 0;
}

/* --check-config, --print-config. */
static int show(const struct program *program)
{
    if (program->command.print)
        options_print(&program->options);
    else
        printf("%s: fine\n", program->command.file == NULL ? "the command line" : program->command.file);
    return 0;
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
    if (options_load(&program.options, &program.command, transport_check, say_complaint, NULL) > 0)
        return EXIT_USAGE;
    log_init(&program.log, STDERR_FILENO, program.options.log_level);
    if (systemd_journal())
        log_to_journal(&program.log);
    signals_ignore_pipe();
    machine_raise_descriptors();
    int code = program.command.check || program.command.print ? show(&program) : run(&program);
    options_free(&program.options);
    return code;
}
