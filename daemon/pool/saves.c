/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/pool/saves.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define NEW_END   ".new"
#define DAY_MS    86400000u
#define STAMP     "00000000T000000Z"
#define KEPT_MOST 4096u /* periodic saves of one pool that are looked at */

__attribute__((format(printf, 4, 5))) /* lets the compiler check the arguments; C has no other way */
static enum saves_result
fail(enum saves_result result, char *error, size_t error_size, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(error, error_size, format, args);
    va_end(args);
    return result;
}

static enum saves_result fail_system(int err, const char *what, const char *doing, char *error,
                                     size_t error_size)
{
    bool full = err == ENOSPC || err == EDQUOT || err == EFBIG;
    return fail(full ? SAVES_FULL : SAVES_FAILED, error, error_size, "%s: cannot %s: %s", what, doing,
                strerror(err));
}

/* ---- names ---- */

bool saves_name_fits(const uint8_t *name, uint32_t size)
{
    if (size == 0 || size > HF_SAVE_FILE_MAX || !isalnum(name[0]))
        return false;
    for (uint32_t k = 0; k < size; k++)
        if (!isalnum(name[k]) && name[k] != '.' && name[k] != '_' && name[k] != '-')
            return false;
    return true;
}

void saves_name_of(const char *pool, char ret[HF_SAVE_FILE_MAX + 1])
{
    snprintf(ret, HF_SAVE_FILE_MAX + 1, "%.64s" SAVES_END, pool);
}

/* Of days since 1970, by the Gregorian calendar: years of 400 at a time, which begin in March (Howard Hinnant,
 * "chrono-compatible low-level date algorithms"). */
static void date_of(uint64_t days, unsigned *ret_year, unsigned *ret_month, unsigned *ret_day)
{
    uint64_t z = days + 719468, era = z / 146097, doe = z - era * 146097;
    uint64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    uint64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    *ret_day = (unsigned)(doy - (153 * mp + 2) / 5 + 1);
    *ret_month = (unsigned)(mp < 10 ? mp + 3 : mp - 9);
    *ret_year = (unsigned)(yoe + era * 400 + (*ret_month <= 2));
}

void saves_name_at(const char *pool, uint64_t now_ms, char ret[HF_SAVE_FILE_MAX + 1])
{
    unsigned year, month, day, second = (unsigned)(now_ms % DAY_MS / 1000);
    date_of(now_ms / DAY_MS, &year, &month, &day);
    snprintf(ret, HF_SAVE_FILE_MAX + 1, "%.64s.%04u%02u%02uT%02u%02u%02uZ" SAVES_END, pool, year % 10000,
             month, day, second / 3600, second / 60 % 60, second % 60);
}

/* Whether it is the name of a periodic save of that pool. */
static bool is_periodic(const char *file, const char *pool)
{
    size_t size = strlen(pool);
    if (strncmp(file, pool, size) != 0 || file[size] != '.' ||
        strlen(file) != size + 1 + strlen(STAMP SAVES_END) ||
        strcmp(file + size + 1 + strlen(STAMP), SAVES_END) != 0)
        return false;
    for (size_t k = 0; k < strlen(STAMP); k++) {
        char c = file[size + 1 + k];
        if (STAMP[k] == '0' ? !isdigit((unsigned char)c) : c != STAMP[k])
            return false;
    }
    return true;
}

static const char *name_new(const char *name, char ret[SAVES_PATH_MAX])
{
    snprintf(ret, SAVES_PATH_MAX, ".%.*s" NEW_END, (int)HF_SAVE_FILE_MAX, name);
    return ret;
}

/* ---- the folder ---- */

static int open_folder(const char *path)
{
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Locked: somebody is writing it. */
static bool is_leftover(int folder, const char *file)
{
    int fd = openat(folder, file, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    bool left = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0;
    if (fd >= 0)
        close(fd);
    return left;
}

static bool is_new(const char *file)
{
    size_t size = strlen(file), end = strlen(NEW_END);
    return file[0] == '.' && size > end + 1 && strcmp(file + size - end, NEW_END) == 0 &&
           saves_name_fits((const uint8_t *)file + 1, (uint32_t)(size - end - 1));
}

/* Calls `visit` for each file of it. 0 or errno. */
static int each_file(const char *path, void (*visit)(void *data, int folder, const char *file), void *data)
{
    int fd = open_folder(path);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    if (folder == NULL) {
        int err = errno;
        if (fd >= 0)
            close(fd);
        return err;
    }
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;)
        visit(data, fd, entry->d_name);
    closedir(folder);
    return 0;
}

struct clearing {
    void (*removed)(void *data, const char *file);
    void *data;
};

static void clear_file(void *data, int folder, const char *file)
{
    const struct clearing *clearing = data;
    if (is_new(file) && is_leftover(folder, file) && unlinkat(folder, file, 0) == 0)
        clearing->removed(clearing->data, file);
}

enum saves_result saves_prepare(const char *path, void (*removed)(void *data, const char *file), void *data,
                                char *error, size_t error_size)
{
    struct clearing clearing = {removed, data};
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return fail_system(errno, path, "make this folder (--save-dir)", error, error_size);
    int err = each_file(path, clear_file, &clearing);
    if (err == 0 && access(path, W_OK | X_OK) != 0)
        err = errno;
    return err == 0 ? SAVES_FINE
                    : fail_system(err, path, "work in this folder (--save-dir)", error, error_size);
}

/* ---- a file ---- */

/* There O_DIRECT is allowed and means nothing. */
static bool is_in_memory(int fd)
{
    struct statfs status;
    return fstatfs(fd, &status) == 0 && status.f_type == TMPFS_MAGIC;
}

enum saves_result saves_create(const char *path, const char *name, struct saves_file *ret, char *error,
                               size_t error_size)
{
    char file[SAVES_PATH_MAX];
    *ret = (struct saves_file){.folder = open_folder(path), .fd = -1, .fd_past = -1};
    snprintf(ret->name, sizeof ret->name, "%s", name);
    if (ret->folder < 0)
        return fail_system(errno, path, "open the folder for saves", error, error_size);
    name_new(name, file);
    if (is_leftover(ret->folder, file))
        (void)unlinkat(ret->folder, file, 0);
    ret->fd = openat(ret->folder, file, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    int err = errno;
    if (ret->fd >= 0 && flock(ret->fd, LOCK_EX | LOCK_NB) == 0) {
        if (!is_in_memory(ret->fd))
            ret->fd_past = openat(ret->folder, file, O_WRONLY | O_DIRECT | O_NOFOLLOW | O_CLOEXEC);
        return SAVES_FINE;
    }
    bool busy = ret->fd < 0 && err == EEXIST;
    saves_discard(ret);
    if (busy)
        return fail(SAVES_BUSY, error, error_size, "%s/%s is being written by another save; try again later",
                    path, name);
    return fail_system(err, path, "make a file there", error, error_size);
}

static void done(struct saves_file *file)
{
    if (file->fd >= 0)
        close(file->fd);
    if (file->fd_past >= 0)
        close(file->fd_past);
    if (file->folder >= 0)
        close(file->folder);
    file->fd = file->fd_past = file->folder = -1;
}

void saves_discard(struct saves_file *file)
{
    char name[SAVES_PATH_MAX];
    if (file->fd >= 0)
        (void)unlinkat(file->folder, name_new(file->name, name), 0);
    done(file);
}

enum saves_result saves_explain(const struct saves_file *file, int err, char *error, size_t error_size)
{
    return fail_system(err, file->name, "write the save", error, error_size);
}

enum saves_result saves_publish(struct saves_file *file, char *error, size_t error_size)
{
    char name[SAVES_PATH_MAX];
    if (fsync(file->fd) != 0 ||
        renameat(file->folder, name_new(file->name, name), file->folder, file->name) != 0) {
        int err = errno;
        saves_discard(file);
        return saves_explain(file, err, error, error_size);
    }
    int err = fsync(file->folder) == 0 ? 0 : errno;
    done(file);
    return err == 0 ? SAVES_FINE : saves_explain(file, err, error, error_size);
}

/* ---- keeping some ---- */

struct kept {
    const char *pool;
    char (*names)[HF_SAVE_FILE_MAX + 1];
    unsigned count;
};

static void note_periodic(void *data, int folder, const char *file)
{
    struct kept *kept = data;
    (void)folder;
    if (is_periodic(file, kept->pool) && kept->count < KEPT_MOST)
        snprintf(kept->names[kept->count++], HF_SAVE_FILE_MAX + 1, "%s", file);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

unsigned saves_prune(const char *path, const char *pool, unsigned keep)
{
    struct kept kept = {.pool = pool, .names = malloc(sizeof *kept.names * KEPT_MOST)};
    unsigned removed = 0;
    if (kept.names != NULL && each_file(path, note_periodic, &kept) == 0) {
        int folder = open_folder(path);
        qsort(kept.names, kept.count, sizeof *kept.names, by_name);
        for (unsigned k = 0; folder >= 0 && k + keep < kept.count; k++)
            removed += unlinkat(folder, kept.names[k], 0) == 0;
        if (folder >= 0)
            close(folder);
    }
    free(kept.names);
    return removed;
}

enum saves_result saves_open(const char *path, int *ret_fd, char *error, size_t error_size)
{
    struct stat status;
    *ret_fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* a fifo would be waited for */
    if (*ret_fd < 0) {
        bool missing = errno == ENOENT;
        enum saves_result result = fail_system(errno, path, "open it", error, error_size);
        return missing ? SAVES_MISSING : result;
    }
    if (fstat(*ret_fd, &status) == 0 && S_ISREG(status.st_mode))
        return SAVES_FINE;
    close(*ret_fd);
    return fail(SAVES_FAILED, error, error_size, "%s is no plain file", path);
}
