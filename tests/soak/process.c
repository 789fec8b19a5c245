/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/soak/process.h"

#include "tests/lib/smaps.h"
#include "tests/soak/soak.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LINE_MAX_BYTES 1024
#define LINES_TOLD     60u
#define LISTEN_WAIT_MS 10u

/* ---- the log ---- */

/* Calls `see(line, data)` for each line; true as soon as one call has been. */
static bool each_line(const struct process *process, bool (*see)(const char *line, void *data), void *data)
{
    char line[LINE_MAX_BYTES];
    bool seen = false;
    FILE *log = fopen(process->log, "re");
    while (log != NULL && !seen && fgets(line, sizeof line, log) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        seen = see(line, data);
    }
    if (log != NULL)
        fclose(log);
    return seen;
}

static bool see_complaint(const char *line, void *data)
{
    static const char *const signs[] = {"Sanitizer", "runtime error:", "Assertion",  "event=drain_over",
                                        "Aborted",   "event=cut_off",  "level=error"};
    char *found = data;
    for (unsigned i = 0; i < sizeof signs / sizeof *signs; i++) {
        if (strstr(line, signs[i]) != NULL) {
            snprintf(found, LINE_MAX_BYTES, "%s", line);
            return true;
        }
    }
    return false;
}

bool process_complains(const struct process *process, char *ret, size_t ret_size)
{
    char line[LINE_MAX_BYTES];
    bool found = each_line(process, see_complaint, line);
    if (found)
        snprintf(ret, ret_size, "%s", line);
    return found;
}

struct tail {
    char lines[LINES_TOLD][LINE_MAX_BYTES];
    unsigned count;
};

static bool see_last(const char *line, void *data)
{
    struct tail *tail = data;
    snprintf(tail->lines[tail->count++ % LINES_TOLD], LINE_MAX_BYTES, "%s", line);
    return false;
}

void process_tell(const struct process *process)
{
    struct tail *tail = calloc(1, sizeof *tail);
    char complaint[LINE_MAX_BYTES];
    if (tail == NULL)
        return;
    if (process_complains(process, complaint, sizeof complaint))
        fprintf(stderr, "the daemon complained: %s\n", complaint);
    each_line(process, see_last, tail);
    unsigned first = tail->count > LINES_TOLD ? tail->count - LINES_TOLD : 0;
    fprintf(stderr, "the daemon's last lines:\n");
    for (unsigned i = first; i < tail->count; i++)
        fprintf(stderr, "  %s\n", tail->lines[i % LINES_TOLD]);
    free(tail);
}

/* ---- start and end ---- */

struct listening {
    char *unix_address, *tcp_address;
};

static void copy_address(const char *line, const char *sign, char *to)
{
    const char *at = strstr(line, sign);
    if (at == NULL)
        return;
    at = strchr(at, '=') + 1;
    snprintf(to, PROCESS_TEXT, "%.*s", (int)strcspn(at, " "), at);
}

static bool see_listening(const char *line, void *data)
{
    struct listening *listening = data;
    copy_address(line, "address=unix:", listening->unix_address);
    copy_address(line, "address=tcp:", listening->tcp_address);
    return *listening->unix_address != '\0' && *listening->tcp_address != '\0';
}

static _Noreturn void run(const struct process *process, const char *program, unsigned workers)
{
    char listen[PROCESS_TEXT], count[16];
    int log = open(process->log, O_WRONLY | O_CREAT | O_APPEND, 0600), null = open("/dev/null", O_RDWR);
    snprintf(listen, sizeof listen, "unix:%s/s", process->folder);
    snprintf(count, sizeof count, "%u", workers);
    /* what AddressSanitizer keeps of freed memory is memory, too: a small part, soon at its final size */
    setenv("ASAN_OPTIONS", "quarantine_size_mb=8", 0);
    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    execl(program, program, "--listen", listen, "--listen", "tcp:127.0.0.1:0", "--workers", count,
          "--max-memory", "3g", (char *)NULL);
    fprintf(stderr, "level=error msg=\"%s: %s\"\n", program, strerror(errno));
    _exit(127);
}

bool process_start(struct process *process, const char *program, unsigned workers, char *error,
                   size_t error_size)
{
    *process = (struct process){.folder = "/tmp/hf-soak-XXXXXX"};
    if (mkdtemp(process->folder) == NULL) {
        snprintf(error, error_size, "no temporary folder: %s", strerror(errno));
        return false;
    }
    snprintf(process->log, sizeof process->log, "%s/log", process->folder);
    process->pid = fork();
    if (process->pid == 0)
        run(process, program, workers);
    struct listening listening = {process->unix_address, process->tcp_address};
    while (!each_line(process, see_listening, &listening)) {
        int status;
        if (process->pid < 0 || waitpid(process->pid, &status, WNOHANG) != 0) {
            process->pid = 0;
            snprintf(error, error_size, "%s did not start", program);
            return false;
        }
        soak_pause_ms(LISTEN_WAIT_MS);
    }
    return true;
}

int process_end(struct process *process)
{
    int status;
    kill(process->pid, SIGTERM);
    while (waitpid(process->pid, &status, 0) < 0 && errno == EINTR)
        continue;
    process->pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void process_remove(struct process *process)
{
    char path[PROCESS_TEXT];
    if (process->pid > 0)
        kill(process->pid, SIGKILL);
    snprintf(path, sizeof path, "%s/s", process->folder);
    unlink(path);
    unlink(process->log);
    rmdir(process->folder);
}

/* ---- from outside ---- */

/* The number behind `key` in /proc/PID/status; 0: there is none. */
static uint64_t status_number(const struct process *process, const char *key)
{
    char path[64], line[LINE_MAX_BYTES];
    unsigned long long number = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)process->pid);
    FILE *status = fopen(path, "re");
    while (status != NULL && fgets(line, sizeof line, status) != NULL) {
        if (strncmp(line, key, strlen(key)) == 0)
            sscanf(line + strlen(key), "%llu", &number);
    }
    if (status != NULL)
        fclose(status);
    return number;
}

/* Bytes of blocks behind a descriptor, if it is a memory file. */
static uint64_t image_bytes(const char *path)
{
    char target[32];
    struct stat stat_of;
    ssize_t size = readlink(path, target, sizeof target - 1);
    if (size < 0)
        return 0;
    target[size] = '\0';
    if (strncmp(target, "/memfd:", 7) != 0 || stat(path, &stat_of) != 0)
        return 0;
    return (uint64_t)stat_of.st_blocks * 512;
}

static bool private_memory(const struct process *process, struct smaps *ret)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/smaps", (int)process->pid);
    FILE *file = fopen(path, "re");
    bool read = file != NULL && smaps_read(file, ret);
    if (file != NULL)
        fclose(file);
    return read;
}

bool process_look(const struct process *process, struct process_figures *ret)
{
    char path[PROCESS_TEXT];
    struct smaps smaps = {0};
    const struct dirent *entry;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)process->pid);
    DIR *folder = opendir(path);
    bool runs = folder != NULL && private_memory(process, &smaps);
    *ret = (struct process_figures){.own = smaps.own,
                                    .sanitizer = smaps.sanitizer,
                                    .threads = (unsigned)status_number(process, "Threads:")};
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "/proc/%d/fd/%.16s", (int)process->pid, entry->d_name);
        ret->own += image_bytes(path);
        ret->descriptors++;
    }
    if (folder != NULL)
        closedir(folder);
    return runs && ret->threads > 0;
}
