/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/demo/actors.h"

#include "client/demo/graph.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Calls in one batch. */
#define BATCH 256

/* ---- Work --------------------------------------------------------------------------------------------- */

/* Ends the batch and begins the next one. */
static int batch_turn(hf_conn *conn, struct report *report)
{
    int error = hf_batch_end(conn, NULL);
    report->round_trips++;
    return error != 0 ? error : hf_batch_begin(conn);
}

static int put_packages(hf_conn *conn, const struct packages *packages, hf_id *ids, struct report *report)
{
    int error = hf_batch_begin(conn);
    for (size_t i = 0; i < packages->count && error == 0; i++) {
        const struct package *package = &packages->rows[i];
        const struct hf_put_options options = {.tag = package->name};
        const char *version = package->version == NULL ? "" : package->version;
        error = hf_put(conn, hf_str(version, strlen(version)), &options, &ids[i]);
        if (error == 0 && (i + 1) % BATCH == 0) {
            error = batch_turn(conn, report);
        }
    }
    int ended = hf_batch_end(conn, NULL);
    report->round_trips++;
    report->objects = packages->count;
    return error != 0 ? error : ended;
}

static int link_packages(hf_conn *conn, const struct packages *packages, const hf_id *ids,
                         struct report *report)
{
    int error = hf_batch_begin(conn);
    for (size_t i = 0; i < packages->count && error == 0; i++) {
        const struct package *package = &packages->rows[i];
        for (size_t slot = 0; slot < package->depend_count && error == 0; slot++) {
            error = hf_link(conn, ids[i], slot, ids[package->depends[slot]], NULL);
            if (error == 0 && ++report->references % BATCH == 0) {
                error = batch_turn(conn, report);
            }
        }
    }
    int ended = hf_batch_end(conn, NULL);
    report->round_trips++;
    return error != 0 ? error : ended;
}

static int name_packages(hf_conn *conn, const struct packages *packages, const hf_id *ids,
                         struct report *report)
{
    int error = hf_batch_begin(conn);
    for (size_t i = 0; i < packages->count && error == 0; i++) {
        error = hf_name(conn, packages->rows[i].name, ids[i], HF_ANY_VERSION, NULL);
        if (error == 0 && (i + 1) % BATCH == 0) {
            error = batch_turn(conn, report);
        }
    }
    int ended = hf_batch_end(conn, NULL);
    report->round_trips++;
    return error != 0 ? error : ended;
}

int actor_load(hf_conn *conn, const struct task *task, struct report *report)
{
    hf_id *ids = calloc(task->packages->count, sizeof *ids);
    if (ids == NULL) {
        return HF_ERR_MEMORY;
    }
    int error = put_packages(conn, task->packages, ids, report);
    if (error == 0) {
        error = link_packages(conn, task->packages, ids, report);
    }
    if (error == 0) {
        error = name_packages(conn, task->packages, ids, report);
    }
    free(ids);
    return error;
}

int actor_walk(hf_conn *conn, const struct task *task, struct report *report)
{
    struct graph graph = {0};
    hf_id start;
    size_t index;
    int error = hf_lookup(conn, task->names[0], &start);
    if (error == 0) {
        error = graph_add(&graph, start, &index);
    }
    if (error == 0) {
        error = graph_walk(&graph, conn);
    }
    for (size_t i = 0; i < graph.count; i++) {
        report->depth = graph.nodes[i].depth > report->depth ? graph.nodes[i].depth : report->depth;
    }
    report->objects = graph.count;
    report->round_trips = graph.round_trips + 1;
    graph_free(&graph);
    return error;
}

int actor_hold(hf_conn *conn, const struct task *task, struct report *report)
{
    hf_id ids[2] = {0};
    for (size_t i = 0; i < 2 && task->names[i] != NULL; i++) {
        int error = hf_lookup(conn, task->names[i], &ids[i]);
        if (error != 0) {
            return error;
        }
    }
    const struct hf_put_options options = {.refs = ids, .ref_count = 1, .tag = "result"};
    int error = hf_batch_begin(conn);
    for (size_t i = 0; i < task->result_count && error == 0; i++) {
        error = hf_put(conn, hf_int((int64_t)i), &options, NULL);
    }
    int ended = hf_batch_end(conn, NULL);
    report->objects = task->result_count;
    return error != 0 ? error : ended;
}

/* ---- Processes ---------------------------------------------------------------------------------------- */

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void report_failure(struct report *report, hf_conn *conn, int error)
{
    const struct hf_error *last = conn == NULL ? NULL : hf_last_error(conn);
    report->error = error;
    snprintf(report->what, sizeof report->what, "%s",
             last != NULL && last->code != 0 ? last->text : hf_error_text(error));
}

/* The life of an actor. Its session has no lease: a killed one is over as soon as its connection is. */
static void actor_live(const char *name, actor_work *work, const struct task *task, int report_fd,
                       int control)
{
    const struct hf_hello_options hello = {.name = name, .lease_ms = HF_NO_LEASE};
    struct report report = {0};
    hf_conn *conn;
    int error = hf_connect(task->address, 0, &conn);
    if (error == 0) {
        error = hf_hello(conn, &hello);
    }
    if (error == 0) {
        double start = now_ms();
        error = work(conn, task, &report);
        report.duration_ms = now_ms() - start;
    }
    if (error != 0) {
        report_failure(&report, conn, error);
    }
    char byte;
    if (write(report_fd, &report, sizeof report) == (ssize_t)sizeof report && error == 0) {
        while (read(control, &byte, 1) < 0 && errno == EINTR) {
        }
        hf_bye(conn, NULL);
    }
    hf_close(conn);
}

int actor_start(struct actor *actor, const char *name, actor_work *work, const struct task *task,
                struct report *report)
{
    int reports[2], control[2];
    if (pipe2(reports, O_CLOEXEC) != 0 || pipe2(control, O_CLOEXEC) != 0) {
        return -1;
    }
    fflush(NULL); /* else the child would print again what waits here */
    actor->pid = fork();
    if (actor->pid == 0) {
        close(reports[0]);
        close(control[1]);
        actor_live(name, work, task, reports[1], control[0]);
        _exit(0);
    }
    close(reports[1]);
    close(control[0]);
    actor->control = control[1];
    bool complete = actor->pid > 0 && read(reports[0], report, sizeof *report) == (ssize_t)sizeof *report;
    close(reports[0]);
    return complete ? 0 : -1;
}

static void actor_wait(struct actor *actor)
{
    while (waitpid(actor->pid, NULL, 0) < 0 && errno == EINTR) {
    }
}

void actor_dismiss(struct actor *actor)
{
    close(actor->control);
    actor_wait(actor);
}

void actor_kill(struct actor *actor)
{
    kill(actor->pid, SIGKILL);
    actor_wait(actor);
    close(actor->control);
}
