/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/offline/path.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

static bool cut_end(char *text, const char *end)
{
    size_t all = strlen(text), size = strlen(end);
    if (all <= size || strcmp(text + all - size, end) != 0)
        return false;
    text[all - size] = '\0';
    return true;
}

void offline_part(const char *path, char folder[PATH_MAX], const char **ret_only)
{
    struct stat status;
    snprintf(folder, PATH_MAX, "%s", path);
    *ret_only = NULL;
    if (stat(path, &status) == 0 && S_ISDIR(status.st_mode))
        return;
    char *slash = strrchr(folder, '/');
    if (slash == NULL || slash[1] == '\0')
        return;
    if (!cut_end(slash, ".meta"))
        (void)cut_end(slash, ".values");
    *ret_only = slash + 1;
    *slash = '\0';
}

bool offline_is_saved(const char *path)
{
    struct stat status;
    size_t size = strlen(path);
    bool pair = (size > 5 && strcmp(path + size - 5, ".meta") == 0) ||
                (size > 7 && strcmp(path + size - 7, ".values") == 0);
    return !pair && stat(path, &status) == 0 && S_ISREG(status.st_mode);
}

uint64_t offline_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

int offline_failed(const char *what, const char *why)
{
    fprintf(stderr, "holdfastd: %s%s%s\n", what, why[0] != '\0' ? ": " : "", why);
    return OFFLINE_FAILED;
}
