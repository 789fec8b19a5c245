/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/pool/memfds.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINK_MAX_BYTES 300            /* of what /proc says that a descriptor is */
#define COPY_BYTES     (1024u * 1024) /* at once */
#define PATH_BYTES     1024

enum kind { META, VALUES, OTHER };
static const char *const ends[] = {".meta", ".values", ".other"};

__attribute__((format(printf, 4, 5))) /* lets the compiler check the arguments; C has no other way */
static enum images_result
fail(enum images_result result, char *error, size_t error_size, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(error, error_size, format, args);
    va_end(args);
    return result;
}

/* ---- which is which ---- */

static enum kind kind_of(const char *name, int fd)
{
    char path[64], is[LINK_MAX_BYTES], wanted[LINK_MAX_BYTES];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(path, is, sizeof is - 1);
    if (size < 0)
        return OTHER;
    is[size] = '\0';
    for (enum kind kind = META; kind < OTHER; kind++) {
        snprintf(wanted, sizeof wanted, "/memfd:%.*s%s (deleted)", (int)HF_POOL_NAME_MAX, name, ends[kind]);
        if (strcmp(is, wanted) == 0)
            return kind;
    }
    return OTHER;
}

static bool lock(int fd_meta)
{
    struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(fd_meta, F_SETLK, &all) == 0;
}

static int create(const char *name, enum kind kind)
{
    char whole[HF_POOL_NAME_MAX + 16];
    snprintf(whole, sizeof whole, "%.*s%s", (int)HF_POOL_NAME_MAX, name, ends[kind]);
    return memfd_create(whole, MFD_CLOEXEC);
}

enum images_result memfds_create(const char *name, int *ret_meta, int *ret_values, char *error,
                                 size_t error_size)
{
    *ret_meta = create(name, META);
    *ret_values = *ret_meta < 0 ? -1 : create(name, VALUES);
    if (*ret_values >= 0) {
        (void)lock(*ret_meta); /* nobody else has it yet */
        return IMAGES_FINE;
    }
    enum images_result result = errno == ENOMEM ? IMAGES_FULL : IMAGES_FAILED;
    (void)fail(result, error, error_size, "pool %s: no memory file for it: %s", name, strerror(errno));
    if (*ret_meta >= 0)
        close(*ret_meta);
    return result;
}

enum images_result memfds_match(const char *name, const int *fds, unsigned count, int *ret_meta,
                                int *ret_values, char *error, size_t error_size)
{
    char other[HF_POOL_NAME_MAX + 1];
    int found[OTHER] = {-1, -1};
    for (unsigned k = 0; k < count; k++) {
        enum kind kind = kind_of(name, fds[k]);
        if (kind == OTHER)
            return fail(IMAGES_DOUBTFUL, error, error_size,
                        "one of its %u descriptors is no memory of that pool", count);
        if (found[kind] >= 0)
            return fail(IMAGES_DOUBTFUL, error, error_size, "%s%s is there twice", name, ends[kind]);
        found[kind] = fds[k];
    }
    for (enum kind kind = META; kind < OTHER; kind++)
        if (found[kind] < 0)
            return fail(IMAGES_DOUBTFUL, error, error_size, "%s%s is missing", name, ends[kind]);
    if (image_is_of_other(found[META], name, other))
        return fail(IMAGES_DOUBTFUL, error, error_size, "it is the image of pool %s", other);
    if (!lock(found[META]))
        return fail(IMAGES_BUSY, error, error_size, "another process works in it; end that one first");
    *ret_meta = found[META];
    *ret_values = found[VALUES];
    return IMAGES_FINE;
}

/* ---- copying ---- */

static bool copy_part(int from, int to, off_t at, off_t end, uint8_t *buffer)
{
    while (at < end) {
        size_t size = end - at < (off_t)COPY_BYTES ? (size_t)(end - at) : COPY_BYTES;
        ssize_t got = pread(from, buffer, size, at);
        if (got <= 0 || pwrite(to, buffer, (size_t)got, at) != got)
            return false;
        at += got;
    }
    return true;
}

static bool copy(int from, int to)
{
    struct stat status;
    uint8_t *buffer = malloc(COPY_BYTES);
    bool ok = buffer != NULL && fstat(from, &status) == 0 && ftruncate(to, status.st_size) == 0;
    for (off_t hole = 0; ok;) {
        off_t data = lseek(from, hole, SEEK_DATA);
        if (data < 0) /* no more */
            break;
        hole = lseek(from, data, SEEK_HOLE);
        ok = hole > data && copy_part(from, to, data, hole, buffer);
    }
    free(buffer);
    return ok && fsync(to) == 0;
}

static int open_copy(const char *name, enum kind kind, unsigned n, const char *folder, char *path,
                     size_t size)
{
    char other[32];
    int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    if (mkdir(folder, 0700) != 0 && errno != EEXIST) {
        snprintf(path, size, "%s", folder);
        return -1;
    }
    snprintf(path, size, "%s/%.*s%s", folder, (int)HF_POOL_NAME_MAX, name, ends[kind]);
    int fd = kind == OTHER ? -1 : open(path, flags, 0600);
    if (fd >= 0 || (kind != OTHER && errno != EEXIST))
        return fd;
    snprintf(other, sizeof other, "%s-%u", ends[OTHER], n);
    snprintf(path, size, "%s/%.*s%s", folder, (int)HF_POOL_NAME_MAX, name, other);
    return open(path, flags, 0600);
}

enum images_result memfds_copy(const char *name, int fd, unsigned n, const char *folder, char *error,
                               size_t error_size)
{
    char path[PATH_BYTES];
    int to = open_copy(name, kind_of(name, fd), n, folder, path, sizeof path);
    if (to < 0)
        return fail(errno == ENOSPC || errno == EDQUOT ? IMAGES_FULL : IMAGES_FAILED, error, error_size,
                    "%s: %s; give a folder that can be made, without files of that name", path,
                    strerror(errno));
    errno = 0;
    bool copied = copy(fd, to);
    int why = errno;
    close(to);
    if (copied)
        return IMAGES_FINE;
    (void)unlink(path);
    return fail(why == ENOSPC || why == EDQUOT ? IMAGES_FULL : IMAGES_FAILED, error, error_size,
                "%s: cannot copy it there: %s", path, strerror(why == 0 ? EIO : why));
}
