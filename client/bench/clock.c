/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/bench/clock.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The first two numbers of a schedstat file: time on a CPU, time ready to run without one. */
static bool read_schedstat(const char *path, uint64_t *ret_cpu, uint64_t *ret_waited)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    bool read = fscanf(file, "%" SCNu64 " %" SCNu64, ret_cpu, ret_waited) == 2;
    fclose(file);
    return read;
}

struct bench_thread_time bench_thread_time(void)
{
    struct bench_thread_time time = {0};
    struct timespec cpu;
    uint64_t ignored;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu);
    time.cpu_ns = (uint64_t)cpu.tv_sec * 1000000000u + (uint64_t)cpu.tv_nsec;
    if (!read_schedstat("/proc/thread-self/schedstat", &ignored, &time.waited_ns))
        time.waited_ns = 0;
    return time;
}

void bench_process_time(int pid, struct bench_process_time *ret)
{
    char path[sizeof "/proc//task//schedstat" + 12 + 256];
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *tasks = opendir(path);
    ret->count = 0;
    if (tasks == NULL)
        return;
    for (const struct dirent *entry = readdir(tasks); entry != NULL && ret->count < BENCH_THREADS_SEEN;
         entry = readdir(tasks)) {
        uint64_t waited;
        snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", pid, entry->d_name);
        if (entry->d_name[0] == '.' || !read_schedstat(path, &ret->thread[ret->count].cpu_ns, &waited))
            continue;
        ret->thread[ret->count++].tid = atoi(entry->d_name);
    }
    closedir(tasks);
}

void bench_process_spent(const struct bench_process_time *before, const struct bench_process_time *after,
                         uint64_t *ret_all, uint64_t *ret_most)
{
    *ret_all = *ret_most = 0;
    for (unsigned i = 0; i < after->count; i++) {
        uint64_t spent = after->thread[i].cpu_ns;
        for (unsigned j = 0; j < before->count; j++) {
            if (before->thread[j].tid == after->thread[i].tid)
                spent -= before->thread[j].cpu_ns;
        }
        *ret_all += spent;
        if (spent > *ret_most)
            *ret_most = spent;
    }
}

bool bench_process_is(int pid, const char *name)
{
    char path[40], found[32] = "";
    snprintf(path, sizeof path, "/proc/%d/comm", pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    if (fgets(found, sizeof found, file) == NULL)
        found[0] = '\0';
    fclose(file);
    found[strcspn(found, "\n")] = '\0';
    return strcmp(found, name) == 0;
}
