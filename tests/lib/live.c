/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/lib/live.h"

#include "tests/lib/suite.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Reads the log until both addresses are known. */
static void read_addresses(struct live *live, FILE *log)
{
    char line[1024];
    while (live->unix_address[0] == '\0' || live->tcp_address[0] == '\0') {
        ck_assert_msg(fgets(line, sizeof line, log) != NULL, "the daemon ended before it listened");
        const char *at = strstr(line, "listening on ");
        if (at == NULL)
            continue;
        at += strlen("listening on ");
        char *to = strncmp(at, "tcp:", 4) == 0 ? live->tcp_address : live->unix_address;
        snprintf(to, sizeof live->tcp_address, "%.*s", (int)strcspn(at, " \"\n"), at);
    }
}

static void run_daemon(const struct live *live, const int log[2])
{
    const char *program = getenv("HOLDFASTD") != NULL ? getenv("HOLDFASTD") : "build/holdfastd";
    char listen_at[80], heap[80], saves[80];
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails does not get as far as live_end() */
    snprintf(listen_at, sizeof listen_at, "unix:%s/s", live->folder);
    snprintf(heap, sizeof heap, "%s/heap", live->folder);
    snprintf(saves, sizeof saves, "%s/saves", live->folder);
    dup2(log[1], STDERR_FILENO);
    close(log[0]);
    close(log[1]);
    execl(program, program, "--listen", listen_at, "--listen", "tcp:127.0.0.1:0", "--log-level", "info",
          live->files ? "--heap" : (char *)NULL, heap, live->saves ? "--save-dir" : (char *)NULL, saves,
          (char *)NULL);
    _exit(127);
}

static void launch(struct live *live)
{
    int log[2];
    live->unix_address[0] = live->tcp_address[0] = '\0';
    ck_assert_int_eq(pipe(log), 0);
    live->pid = fork();
    ck_assert_int_ge(live->pid, 0);
    if (live->pid == 0)
        run_daemon(live, log);
    close(log[1]);
    FILE *from = fdopen(log[0], "r");
    read_addresses(live, from);
    /* Its few further lines fit into the pipe, which stays open: the daemon must not find it closed. */
    int keep = dup(log[0]);
    fclose(from);
    ck_assert_int_ge(keep, 0);
}

static void start(struct live *live, bool files, bool saves)
{
    memset(live, 0, sizeof *live);
    live->files = files;
    live->saves = saves;
    strcpy(live->folder, "/tmp/hf-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(live->folder));
    launch(live);
}

void live_start(struct live *live)
{
    start(live, false, false);
}

void live_start_files(struct live *live)
{
    start(live, true, false);
}

void live_start_saves(struct live *live)
{
    start(live, true, true);
}

void live_restart(struct live *live)
{
    int status;
    ck_assert_int_eq(kill(live->pid, SIGKILL), 0);
    ck_assert_int_eq(waitpid(live->pid, &status, 0), live->pid);
    launch(live);
}

void live_kill(const struct live *live)
{
    char path[80];
    int status;
    ck_assert_int_eq(kill(live->pid, SIGKILL), 0);
    ck_assert_int_eq(waitpid(live->pid, &status, 0), live->pid);
    snprintf(path, sizeof path, "%s/s", live->folder);
    unlink(path);
    rmdir(live->folder);
}

void live_open(const struct live *live, hf_conn **ret, const char *name)
{
    const struct hf_hello_options options = {.name = name, .lease_ms = 60000, .no_replay = live->no_replay};
    ck_assert_int_eq(hf_connect(live->unix_address, HF_NO_TIMEOUT, ret), 0);
    ck_assert_int_eq(hf_hello(*ret, &options), 0);
}

static void remove_folder(const struct live *live, const char *name)
{
    char path[400];
    snprintf(path, sizeof path, "%s/%s", live->folder, name);
    DIR *folder = opendir(path);
    ck_assert_ptr_nonnull(folder);
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;)
        unlinkat(dirfd(folder), entry->d_name, 0);
    closedir(folder);
    rmdir(path);
}

/* What the daemon left in its folder: flat ones. */
static void remove_files(const struct live *live)
{
    char path[400];
    snprintf(path, sizeof path, "%s/s", live->folder);
    unlink(path);
    remove_folder(live, "heap");
    if (live->saves)
        remove_folder(live, "saves");
}

static void stop(const struct live *live)
{
    int status;
    ck_assert_int_eq(kill(live->pid, SIGTERM), 0);
    ck_assert_int_eq(waitpid(live->pid, &status, 0), live->pid);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the daemon ended with status %d", status);
    if (live->files)
        remove_files(live);
    rmdir(live->folder);
}

void live_end(const struct live *live, hf_conn *conn, hf_conn *other)
{
    hf_reply *reply;
    bool ok = false;
    ck_assert_int_eq(hf_verify(conn, &reply), 0);
    ck_assert(hf_item_bool(hf_item_get(hf_reply_item(reply), "ok"), &ok) && ok);
    hf_reply_free(reply);
    if (hf_connected(other))
        ck_assert_int_eq(hf_bye(other, NULL), 0);
    ck_assert_int_eq(hf_bye(conn, NULL), 0);
    hf_close(other);
    hf_close(conn);
    stop(live);
}
