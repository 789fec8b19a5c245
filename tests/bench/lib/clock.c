/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/bench/lib/clock.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t load_now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

uint64_t load_own_cpu_ns(void)
{
    return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

static uint64_t task_cpu_ns(int pid, const char *tid)
{
    char path[300];
    uint64_t ns = 0;
    snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", pid, tid);
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    if (fscanf(file, "%" SCNu64, &ns) != 1)
        ns = 0;
    fclose(file);
    return ns;
}

uint64_t load_process_cpu_ns(int pid)
{
    char path[64];
    uint64_t sum = 0;
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *tasks = opendir(path);
    if (!tasks)
        return 0;
    for (struct dirent *entry = readdir(tasks); entry; entry = readdir(tasks))
        if (entry->d_name[0] != '.')
            sum += task_cpu_ns(pid, entry->d_name);
    closedir(tasks);
    return sum;
}
