/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/system/machine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#define CGROUP_ROOT "/sys/fs/cgroup"

/* ---- memory ---- */

/* The number in a file; UINT64_MAX if there is none ("max", no such file). */
static uint64_t read_number(const char *path)
{
    unsigned long long number = UINT64_MAX;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return UINT64_MAX;
    if (fscanf(file, "%llu", &number) != 1)
        number = UINT64_MAX;
    fclose(file);
    return number;
}

/* The path of this process's cgroup below the root, "" if that is not known. */
static void own_cgroup(char *ret, size_t size)
{
    char line[512];
    ret[0] = '\0';
    FILE *file = fopen("/proc/self/cgroup", "re");
    if (file == NULL)
        return;
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "0::/", 4) != 0)
            continue;
        line[strcspn(line, "\n")] = '\0';
        snprintf(ret, size, "%s", line + 3);
    }
    fclose(file);
}

/* The smallest limit from the process's cgroup up to the root. */
static uint64_t cgroup_limit(void)
{
    char group[512], path[1024];
    uint64_t limit = UINT64_MAX;
    own_cgroup(group, sizeof group);
    for (;;) {
        snprintf(path, sizeof path, CGROUP_ROOT "%s/memory.max", group);
        uint64_t here = read_number(path);
        limit = here < limit ? here : limit;
        char *slash = strrchr(group, '/');
        if (slash == NULL)
            return limit;
        *slash = '\0';
    }
}

uint64_t machine_memory(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    uint64_t memory = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : 1ull << 30;
    uint64_t limit = cgroup_limit();
    return limit < memory ? limit : memory;
}

/* ---- cores ---- */

unsigned machine_cores(void)
{
    return uv_available_parallelism(); /* sched_getaffinity(2) */
}

/* ---- descriptors ---- */

uint64_t machine_raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 0;
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : before;
}

/* ---- the default address ---- */

static const char *runtime_folder(void)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    return runtime == NULL || runtime[0] != '/' ? "/run" : runtime;
}

void machine_default_address(char *ret, size_t size)
{
    snprintf(ret, size, "unix:%s/holdfast/holdfast.sock", runtime_folder());
}

int machine_make_default_folder(char *error, size_t error_size)
{
    char folder[512];
    snprintf(folder, sizeof folder, "%s/holdfast", runtime_folder());
    if (mkdir(folder, 0750) == 0 || errno == EEXIST)
        return 0;
    snprintf(error, error_size,
             "cannot make %s: %s; make it, or choose another place with --listen unix:PATH", folder,
             strerror(errno));
    return -1;
}
