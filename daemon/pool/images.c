/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/pool/images.h"

#include "daemon/heap/heap.h"
#include "daemon/pool/pool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define PROBE      ".probe"
#define LOCK_WORDS 128 /* bytes of what the lock tells */

static const char meta_end[] = ".meta", values_end[] = ".values", meta_new[] = ".meta.new",
                  values_new[] = ".values.new", meta_old[] = ".meta.old";

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

/* What the system said of a file in the folder. */
static enum images_result fail_file(const struct images *images, const char *file, const char *doing,
                                    char *error, size_t error_size)
{
    enum images_result result = errno == ENOSPC || errno == EDQUOT ? IMAGES_FULL : IMAGES_FAILED;
    return fail(result, error, error_size, "%s/%s: cannot %s: %s", images->path, file, doing,
                strerror(errno));
}

/* ---- names ---- */

/* NAME and its end; with a dot before it where the end is one of the three that nobody keeps. */
static const char *file_of(char file[IMAGES_FILE_MAX], const char *name, const char *end)
{
    bool hidden = end == meta_new || end == values_new || end == meta_old;
    snprintf(file, IMAGES_FILE_MAX, "%s%.*s%s", hidden ? "." : "", (int)HF_POOL_NAME_MAX, name, end);
    return file;
}

/* Whether `file` is `begin`, something, `end`; the length of that something then, else 0. */
static size_t middle(const char *file, const char *begin, const char *end)
{
    size_t all = strlen(file), before = strlen(begin), after = strlen(end);
    if (all <= before + after || strncmp(file, begin, before) != 0 || strcmp(file + all - after, end) != 0)
        return 0;
    return all - before - after;
}

/* ---- the list ---- */

static struct image *find(struct image_list *list, const char *name, size_t size)
{
    for (size_t k = 0; k < list->count; k++)
        if (strncmp(list->images[k].name, name, size) == 0 && list->images[k].name[size] == '\0')
            return &list->images[k];
    return NULL;
}

static struct image *find_or_add(struct image_list *list, const char *name, size_t size)
{
    struct image *image = find(list, name, size);
    if (image != NULL)
        return image;
    if (list->count == list->room) {
        size_t room = list->room == 0 ? 16 : list->room * 2;
        struct image *moved = realloc(list->images, room * sizeof *moved);
        if (moved == NULL)
            return NULL;
        list->images = moved;
        list->room = room;
    }
    image = &list->images[list->count++];
    *image = (struct image){.meta = false};
    memcpy(image->name, name, size);
    return image;
}

enum kind { META, VALUES, META_NEW, VALUES_NEW, META_OLD, KINDS };

static bool *flag_of(struct image *image, enum kind kind)
{
    bool *const flags[KINDS] = {&image->meta, &image->values, &image->meta_new, &image->values_new,
                                &image->meta_old};
    return flags[kind];
}

/* A name in the folder; false: no memory. */
static bool take_file(struct image_list *list, const char *file)
{
    static const char *const ends[KINDS] = {meta_end, values_end, meta_new, values_new, meta_old};
    for (enum kind kind = META; kind < KINDS; kind++) {
        const char *begin = kind < META_NEW ? "" : ".", *name = file + strlen(begin);
        size_t size = middle(file, begin, ends[kind]);
        if (size == 0)
            continue;
        if (!pool_name_fits((const uint8_t *)name, (uint32_t)size)) {
            if (kind < META_NEW && file[0] != '.')
                snprintf(list->odd, sizeof list->odd, "%s", file);
            continue;
        }
        struct image *image = find_or_add(list, name, size);
        if (image != NULL)
            *flag_of(image, kind) = true;
        return image != NULL;
    }
    return true;
}

static int in_order(const void *a, const void *b)
{
    const struct image *x = a, *y = b;
    bool first = strcmp(x->name, POOL_DEFAULT) == 0, second = strcmp(y->name, POOL_DEFAULT) == 0;
    return first != second ? second - first : strcmp(x->name, y->name);
}

enum images_result images_list(const struct images *images, struct image_list *ret, char *error,
                               size_t error_size)
{
    *ret = (struct image_list){.count = 0};
    int fd = openat(images->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    if (folder == NULL) {
        if (fd >= 0)
            close(fd);
        return fail_file(images, "", "list it", error, error_size);
    }
    bool ok = true;
    for (const struct dirent *entry; ok && (entry = readdir(folder)) != NULL;)
        ok = take_file(ret, entry->d_name);
    closedir(folder);
    if (ok) {
        if (ret->count > 1)
            qsort(ret->images, ret->count, sizeof *ret->images, in_order);
        return IMAGES_FINE;
    }
    image_list_done(ret);
    errno = ENOMEM;
    return fail_file(images, "", "list it", error, error_size);
}

void image_list_done(struct image_list *list)
{
    free(list->images);
    *list = (struct image_list){.count = 0};
}

/* Values that hold nothing: their pool never came to be, or was dropped. */
static bool values_are_left(const struct image *image)
{
    return image->values && !image->meta && ((image->meta_new && !image->values_new) || image->meta_old);
}

enum image_state image_state(const struct image *image)
{
    if (image->meta)
        return image->values ? IMAGE_WHOLE : IMAGE_NO_VALUES;
    return image->values && !values_are_left(image) ? IMAGE_NO_META : IMAGE_LEFTOVER;
}

bool image_has_leftovers(const struct image *image)
{
    return image->meta_new || image->values_new || image->meta_old || values_are_left(image);
}

void image_explain(const struct images *images, const struct image *image, char *error, size_t error_size)
{
    bool no_meta = image_state(image) == IMAGE_NO_META;
    fail(IMAGES_DOUBTFUL, error, error_size,
         "%s/%s%s is missing, and nothing tells why; put it back, or move %s%s away", images->path,
         image->name, no_meta ? meta_end : values_end, image->name, no_meta ? values_end : meta_end);
}

/* ---- leftovers ---- */

struct clearing {
    const struct images *images;
    const char *name;
    void (*removed)(void *data, const char *file);
    void *data;
    char *error;
    size_t error_size;
};

static enum images_result clear(const struct clearing *c, const char *end)
{
    char file[IMAGES_FILE_MAX];
    file_of(file, c->name, end);
    if (unlinkat(c->images->folder, file, 0) != 0 && errno != ENOENT)
        return fail_file(c->images, file, "remove this leftover", c->error, c->error_size);
    if (c->removed != NULL)
        c->removed(c->data, file);
    return IMAGES_FINE;
}

/* In such an order that what is left explains itself after each step: values before what explains them, and the meta
 * that was being made before its values, whose absence means that they have got their name. */
enum images_result images_clear(const struct images *images, const struct image *image,
                                void (*removed)(void *data, const char *file), void *data, char *error,
                                size_t error_size)
{
    const struct clearing c = {images, image->name, removed, data, error, error_size};
    enum images_result result = IMAGES_FINE;
    if (values_are_left(image))
        result = clear(&c, values_end);
    if (result == IMAGES_FINE && image->meta_new)
        result = clear(&c, meta_new);
    if (result == IMAGES_FINE && image->values_new)
        result = clear(&c, values_new);
    if (result == IMAGES_FINE && image->meta_old)
        result = clear(&c, meta_old);
    return result;
}

/* ---- the folder ---- */

static int open_folder(const char *path, bool *ret_made)
{
    *ret_made = false;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 || errno != ENOENT)
        return fd;
    *ret_made = mkdir(path, 0700) == 0;
    return *ret_made || errno == EEXIST ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
}

static enum images_result begin(struct images *images, const char *path, int folder, bool own, char *error,
                                size_t error_size)
{
    *images = (struct images){.path = strdup(path), .folder = folder, .lock = -1, .own = own};
    if (folder >= 0 && images->path != NULL)
        return IMAGES_FINE;
    const char *why = strerror(folder < 0 ? errno : ENOMEM);
    images_close(images);
    return fail(IMAGES_FAILED, error, error_size, "%s: %s; give a folder that is there", path, why);
}

/* File systems that write each block to a new place: what was allocated ahead does not help there, and a store into a
 * file that is mapped is a SIGBUS once they are full (seen on btrfs, also with copying turned off for the file). */
static const char *copies_on_write(int folder)
{
    struct statfs fs;
    if (fstatfs(folder, &fs) != 0)
        return NULL;
    switch ((uint32_t)fs.f_type) {
    case BTRFS_SUPER_MAGIC: return "btrfs";
    case 0x2fc12fc1: return "zfs"; /* the last two have no name in linux/magic.h */
    case 0xca451a4e: return "bcachefs";
    default: return NULL;
    }
}

/* What files here cannot do, or NULL; a full file system can. */
static const char *lacks(int fd)
{
    if (fallocate(fd, 0, 0, PAGE_BYTES) != 0 && errno != ENOSPC && errno != EDQUOT)
        return "allocate ahead (fallocate)";
    if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE_BYTES) != 0 && errno != ENOSPC)
        return "give back parts of a file (FALLOC_FL_PUNCH_HOLE)";
    void *page = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED)
        return "map files for writing (MAP_SHARED)";
    munmap(page, PAGE_BYTES);
    return NULL;
}

#define CHOOSE "choose a folder on tmpfs, ext4 or xfs"

/* Whether the file system can carry images. */
static enum images_result probe(const struct images *images, char *error, size_t error_size)
{
    const char *copies = copies_on_write(images->folder);
    if (copies != NULL)
        return fail(IMAGES_FAILED, error, error_size,
                    "%s is on %s, which copies on write and could not be relied on when it is full; " CHOOSE,
                    images->path, copies);
    int fd = openat(images->folder, PROBE, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 && (errno == ENOSPC || errno == EDQUOT))
        return IMAGES_FINE; /* what is there already was made here */
    if (fd < 0)
        return fail_file(images, PROBE, "make a file there", error, error_size);
    (void)unlinkat(images->folder, PROBE, 0);
    const char *what = lacks(fd), *why = strerror(errno);
    close(fd);
    if (what == NULL)
        return IMAGES_FINE;
    return fail(IMAGES_FAILED, error, error_size, "%s: its file system cannot %s: %s; " CHOOSE, images->path,
                what, why);
}

/* ---- the lock: flock says who has the folder, the text in the file only tells people ---- */

/* "holdfastd (pid 123)" */
static void read_owner(int fd, char *ret, size_t size)
{
    char words[LOCK_WORDS] = "", program[64];
    long pid;
    ssize_t n = pread(fd, words, sizeof words - 1, 0);
    if (n > 0 && sscanf(words, "%63s %ld", program, &pid) == 2)
        snprintf(ret, size, "%s (pid %ld)", program, pid);
    else
        snprintf(ret, size, "another process");
}

/* In place, since a full file system has no second page for it; then there may be no text at all. */
static void write_owner(int fd, const char *program)
{
    char words[LOCK_WORDS];
    int size = snprintf(words, sizeof words, "%.63s %ld\n", program, (long)getpid());
    if (pwrite(fd, words, (size_t)size, 0) == size && ftruncate(fd, size) != 0)
        return; /* an old end behind the new line, which nobody reads */
}

static enum images_result lock_to_work(struct images *images, const char *program, char *error,
                                       size_t error_size)
{
    char owner[LOCK_WORDS];
    images->lock = openat(images->folder, IMAGES_LOCK, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (images->lock < 0)
        return fail_file(images, IMAGES_LOCK, "open it", error, error_size);
    if (flock(images->lock, LOCK_EX | LOCK_NB) == 0) {
        write_owner(images->lock, program);
        return IMAGES_FINE;
    }
    if (errno != EWOULDBLOCK)
        return fail_file(images, IMAGES_LOCK, "lock it", error, error_size);
    if (flock(images->lock, LOCK_SH | LOCK_NB) == 0)
        return fail(IMAGES_BUSY, error, error_size, "%s is being verified; start again when that is done",
                    images->path);
    read_owner(images->lock, owner, sizeof owner);
    return fail(IMAGES_BUSY, error, error_size,
                "%s is in use by %s; end that one, or choose another folder (--heap)", images->path, owner);
}

static enum images_result lock_to_look(struct images *images, char *error, size_t error_size)
{
    char owner[LOCK_WORDS];
    images->lock = openat(images->folder, IMAGES_LOCK, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (images->lock < 0 && errno == ENOENT)
        return IMAGES_FINE; /* no daemon has ever worked here: a copy */
    if (images->lock < 0)
        return fail_file(images, IMAGES_LOCK, "open it", error, error_size);
    if (flock(images->lock, LOCK_SH | LOCK_NB) == 0)
        return IMAGES_FINE;
    if (errno != EWOULDBLOCK)
        return fail_file(images, IMAGES_LOCK, "lock it", error, error_size);
    read_owner(images->lock, owner, sizeof owner);
    return fail(IMAGES_BUSY, error, error_size,
                "%s is in use by %s; ask that one (holdfast --pool NAME verify), or end it first",
                images->path, owner);
}

enum images_result images_open(struct images *images, const char *path, const char *program, bool *ret_made,
                               char *error, size_t error_size)
{
    int folder = open_folder(path, ret_made);
    enum images_result result = begin(images, path, folder, true, error, error_size);
    if (result != IMAGES_FINE)
        return result;
    result = lock_to_work(images, program, error, error_size);
    if (result == IMAGES_FINE)
        result = probe(images, error, error_size);
    if (result != IMAGES_FINE)
        images_close(images);
    return result;
}

enum images_result images_look(struct images *images, const char *path, char *error, size_t error_size)
{
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum images_result result = begin(images, path, folder, false, error, error_size);
    if (result != IMAGES_FINE)
        return result;
    result = lock_to_look(images, error, error_size);
    if (result != IMAGES_FINE)
        images_close(images);
    return result;
}

void images_close(struct images *images)
{
    free(images->path);
    if (images->lock >= 0)
        close(images->lock);
    if (images->folder >= 0)
        close(images->folder);
    *images = (struct images){.folder = -1, .lock = -1};
}

/* ---- the files of a pool ---- */

static enum images_result check_file(const struct images *images, const char *file, int fd, char *error,
                                     size_t error_size)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return fail_file(images, file, "look at it", error, error_size);
    if (!S_ISREG(status.st_mode))
        return fail(IMAGES_DOUBTFUL, error, error_size, "%s/%s is no plain file; move it away", images->path,
                    file);
    if (images->own && status.st_uid != geteuid())
        return fail(IMAGES_DOUBTFUL, error, error_size,
                    "%s/%s belongs to user %u; start the daemon as that user, or move the file away",
                    images->path, file, (unsigned)status.st_uid);
    return IMAGES_FINE;
}

static enum images_result open_file(const struct images *images, const char *name, const char *end, int *ret,
                                    char *error, size_t error_size)
{
    char file[IMAGES_FILE_MAX];
    /* a fifo would be waited for; what is no plain file is refused below */
    int flags = (images->own ? O_RDWR : O_RDONLY) | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    *ret = openat(images->folder, file_of(file, name, end), flags);
    if (*ret < 0)
        return fail_file(images, file, "open it", error, error_size);
    enum images_result result = check_file(images, file, *ret, error, error_size);
    if (result != IMAGES_FINE)
        close(*ret);
    return result;
}

/* Somebody may have taken the lock of the folder away from under another daemon (by removing the file). */
static enum images_result lock_file(const struct images *images, const char *name, int fd, char *error,
                                    size_t error_size)
{
    if (flock(fd, (images->own ? LOCK_EX : LOCK_SH) | LOCK_NB) == 0)
        return IMAGES_FINE;
    return fail(IMAGES_BUSY, error, error_size, "%s/%s%s is in use by another process; end that one first",
                images->path, name, meta_end);
}

static bool read_superblock(int fd, struct superblock *ret)
{
    return pread(fd, ret, sizeof *ret, 0) == (ssize_t)sizeof *ret && ret->magic == IMAGE_MAGIC &&
           ret->checksum == superblock_checksum(ret);
}

bool image_is_of_other(int fd_meta, const char *name, char ret_name[HF_POOL_NAME_MAX + 1])
{
    struct superblock sb;
    if (!read_superblock(fd_meta, &sb) || strncmp(sb.name, name, sizeof sb.name) == 0)
        return false;
    snprintf(ret_name, HF_POOL_NAME_MAX + 1, "%.*s", (int)HF_POOL_NAME_MAX, sb.name);
    return true;
}

void image_peek(int fd_meta, uint32_t *ret_number, uint64_t *ret_objects)
{
    struct superblock sb;
    bool sound = read_superblock(fd_meta, &sb);
    *ret_number = sound ? (uint32_t)(sb.next_sid >> POOL_SID_BITS) : UINT32_MAX;
    *ret_objects = sound && sb.index_top > 0 && sb.index_top <= sb.index_end ? sb.index_top - 1 : 0;
}

static enum images_result check_name(const struct images *images, const char *name, int fd, char *error,
                                     size_t error_size)
{
    char other[HF_POOL_NAME_MAX + 1];
    if (!image_is_of_other(fd, name, other))
        return IMAGES_FINE;
    return fail(IMAGES_DOUBTFUL, error, error_size,
                "%s/%s%s is the image of pool %s; give both its files that name, or move them away",
                images->path, name, meta_end, other);
}

enum images_result images_files(const struct images *images, const char *name, int *ret_meta, int *ret_values,
                                char *error, size_t error_size)
{
    enum images_result result = open_file(images, name, meta_end, ret_meta, error, error_size);
    if (result != IMAGES_FINE)
        return result;
    result = open_file(images, name, values_end, ret_values, error, error_size);
    if (result == IMAGES_FINE) {
        result = lock_file(images, name, *ret_meta, error, error_size);
        if (result == IMAGES_FINE)
            result = check_name(images, name, *ret_meta, error, error_size);
        if (result != IMAGES_FINE)
            close(*ret_values);
    }
    if (result != IMAGES_FINE)
        close(*ret_meta);
    return result;
}

/* ---- making ---- */

static enum images_result make_file(const struct images *images, const char *name, const char *end, int *ret,
                                    char *error, size_t error_size)
{
    char file[IMAGES_FILE_MAX];
    *ret = openat(images->folder, file_of(file, name, end),
                  O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (*ret < 0)
        return fail_file(images, file, "make it", error, error_size);
    return IMAGES_FINE;
}

static bool is_there(const struct images *images, const char *name, const char *end)
{
    char file[IMAGES_FILE_MAX];
    return faccessat(images->folder, file_of(file, name, end), F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* The values first: meta without them would say that they have got their name already. */
enum images_result images_create(const struct images *images, const char *name, int *ret_meta,
                                 int *ret_values, char *error, size_t error_size)
{
    if (is_there(images, name, meta_end) || is_there(images, name, values_end))
        return fail(IMAGES_DOUBTFUL, error, error_size,
                    "there is a file of that name in the heap's folder already; move %s.* away from there",
                    name);
    images_discard(images, name); /* what an attempt that failed could not remove */
    enum images_result result = make_file(images, name, values_new, ret_values, error, error_size);
    if (result != IMAGES_FINE)
        return result;
    result = make_file(images, name, meta_new, ret_meta, error, error_size);
    if (result == IMAGES_FINE) {
        result = lock_file(images, name, *ret_meta, error, error_size);
        if (result == IMAGES_FINE)
            return IMAGES_FINE;
        close(*ret_meta);
    }
    close(*ret_values);
    images_discard(images, name);
    return result;
}

void images_discard(const struct images *images, const char *name)
{
    char file[IMAGES_FILE_MAX];
    if (unlinkat(images->folder, file_of(file, name, meta_new), 0) == 0 || errno == ENOENT)
        (void)unlinkat(images->folder, file_of(file, name, values_new), 0);
}

/* From one end to another; never over a file that is there. */
static int move(const struct images *images, const char *name, const char *from, const char *to)
{
    char old[IMAGES_FILE_MAX], new[IMAGES_FILE_MAX];
    file_of(old, name, from);
    file_of(new, name, to);
    if (renameat2(images->folder, old, images->folder, new, RENAME_NOREPLACE) == 0)
        return 0;
    if ((errno != EINVAL && errno != ENOSYS) || is_there(images, name, to))
        return -1;
    return renameat(images->folder, old, images->folder, new);
}

enum images_result images_publish(const struct images *images, const char *name, char *error,
                                  size_t error_size)
{
    char file[IMAGES_FILE_MAX];
    if (move(images, name, values_new, values_end) != 0)
        return fail_file(images, file_of(file, name, values_end), "give the new file this name", error,
                         error_size);
    if (move(images, name, meta_new, meta_end) == 0)
        return IMAGES_FINE;
    enum images_result result =
        fail_file(images, file_of(file, name, meta_end), "give the new file this name", error, error_size);
    (void)unlinkat(images->folder, file_of(file, name, values_end), 0);
    return result;
}

/* ---- dropping ---- */

enum images_result images_remove(const struct images *images, const char *name, bool *ret_left, char *error,
                                 size_t error_size)
{
    char meta[IMAGES_FILE_MAX], old[IMAGES_FILE_MAX], values[IMAGES_FILE_MAX];
    file_of(meta, name, meta_end);
    file_of(old, name, meta_old);
    file_of(values, name, values_end);
    if (renameat(images->folder, meta, images->folder, old) != 0)
        return fail_file(images, meta, "remove it", error, error_size);
    *ret_left = (unlinkat(images->folder, values, 0) != 0 && errno != ENOENT) ||
                unlinkat(images->folder, old, 0) != 0;
    return IMAGES_FINE;
}
