/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/bench/machine.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

static void find_cpu(char *to, size_t size)
{
    char line[256];
    FILE *file = fopen("/proc/cpuinfo", "re");
    snprintf(to, size, "unknown");
    if (file == NULL)
        return;
    while (fgets(line, sizeof line, file) != NULL) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || colon == NULL)
            continue;
        line[strcspn(line, "\n")] = '\0';
        snprintf(to, size, "%s", colon + 1 + strspn(colon + 1, " "));
        break;
    }
    fclose(file);
}

void bench_machine_look(struct bench_machine *ret)
{
    struct utsname name;
    cpu_set_t set;
    *ret = (struct bench_machine){.cores = 1};
    if (uname(&name) == 0) {
        snprintf(ret->system, sizeof ret->system, "%.20s %.40s", name.sysname, name.release);
        snprintf(ret->architecture, sizeof ret->architecture, "%.31s", name.machine);
    }
    find_cpu(ret->cpu, sizeof ret->cpu);
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        ret->cores = (unsigned)CPU_COUNT(&set);
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    ret->memory = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : 0;
}
