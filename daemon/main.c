/* SPDX-License-Identifier: BSD-3-Clause */
/* holdfastd: wiring only. Options, log, server, signals; then the loop runs until a signal ends it. */
#include "daemon/base/log.h"
#include "daemon/server/server.h"
#include "daemon/system/machine.h"
#include "daemon/system/options.h"
#include "daemon/system/signals.h"
#include "daemon/transport/transport.h"
#include "proto/version.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define EXIT_FAILED 1
#define EXIT_USAGE  2

struct program {
    struct options options;
    struct log log;
    struct server *server;
    struct signals signals;
    bool stopping;
    const char *folder; /* where this program was called from, with its '/': `holdfast` is there too */
    int folder_size;
};

static void on_signal(void *data, int number)
{
    struct program *program = data;
    if (number == SIGHUP) {
        log_write(&program->log, LOG_LEVEL_INFO, "hangup", "msg=\"nothing to reload in this version\"");
        return;
    }
    if (program->stopping) {
        log_write(&program->log, LOG_LEVEL_WARN, "stopped", "msg=\"a second signal: replies are lost\"");
        _exit(EXIT_FAILED);
    }
    program->stopping = true;
    log_write(&program->log, LOG_LEVEL_INFO, "stopping",
              "signal=%s msg=\"replies are flushed for at most %d s\"",
              number == SIGTERM ? "SIGTERM" : "SIGINT", SERVER_DRAIN_MS / 1000);
    server_stop(program->server);
}

static void on_stopped(void *data)
{
    struct program *program = data;
    signals_stop(&program->signals);
}

/* Where it listens, and what to try next. Programs that start a daemon wait for these lines. */
static void announce(struct program *program)
{
    const char *address;
    for (unsigned i = 0; (address = server_address(program->server, i)) != NULL; i++)
        log_write(&program->log, LOG_LEVEL_INFO, "listening", "address=%s msg=\"listening on %s\"", address,
                  address);
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

static int run(struct program *program)
{
    char error[TRANSPORT_ERROR_MAX], address[TRANSPORT_ADDRESS_MAX];
    if (program->options.listen_count == 0) {
        if (machine_default_address(address, sizeof address, error, sizeof error) != 0)
            return fail(program, error);
        program->options.listen[program->options.listen_count++] = address;
    }
    const struct server_config config = {
        .listen = program->options.listen,
        .listen_count = program->options.listen_count,
        .max_memory = program->options.max_memory,
        .workers = program->options.workers,
        .log = &program->log,
    };
    if (server_open(&program->server, &config, error, sizeof error) != 0)
        return fail(program, error);
    signals_start(&program->signals, server_loop(program->server), on_signal, program);
    server_on_stopped(program->server, on_stopped, program);
    announce(program);
    server_run(program->server);
    server_close(program->server);
    log_write(&program->log, LOG_LEVEL_INFO, "stopped", "msg=\"bye\"");
    return 0;
}

/* A bad address is a bad option: it is refused before anything is opened. */
static bool addresses_fit(const struct options *options)
{
    char error[TRANSPORT_ERROR_MAX];
    for (unsigned i = 0; i < options->listen_count; i++) {
        if (transport_check(options->listen[i], error, sizeof error) == 0)
            continue;
        fprintf(stderr, "holdfastd: --listen %s\n", error);
        return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    const char *slash = strrchr(argv[0], '/');
    struct program program = {.folder = argv[0],
                              .folder_size = slash == NULL ? 0 : (int)(slash + 1 - argv[0])};
    switch (options_parse(&program.options, argc, argv)) {
    case OPTIONS_DONE: return 0;
    case OPTIONS_WRONG: return EXIT_USAGE;
    case OPTIONS_RUN: break;
    }
    if (!addresses_fit(&program.options))
        return EXIT_USAGE;
    log_init(&program.log, STDERR_FILENO, program.options.log_level);
    signals_ignore_pipe();
    machine_raise_descriptors();
    return run(&program);
}
