/* SPDX-License-Identifier: BSD-3-Clause */
/* The folder in which a daemon keeps its pools as files, two for each:
 *
 *     lock               locked by the daemon as long as it lives; tells who that is
 *     NAME.meta          \  the image of pool NAME (heap/format.h); the pool exists
 *     NAME.values        /  exactly when NAME.meta does
 *     .NAME.meta.new     a pool that is being made
 *     .NAME.values.new
 *     .NAME.meta.old     a pool that was dropped, and whose files are being removed
 *
 * No pool's name begins with a dot, so none of these can be another pool's.
 *
 * A process may be killed between any two steps, and what it leaves tells how far it was:
 *
 *     to make:  make both .new, and the image in them | rename the values | rename meta: it exists
 *     to drop:  rename meta to .old: it is dropped    | unlink the values | unlink .old
 *
 * So values without meta are a leftover that holds nothing if they stand beside a .meta.new whose .values.new is gone, or
 * beside a .meta.old; all files with a dot are leftovers in any case. Whatever else is not a pair might be somebody's
 * data: it is refused, and kept.
 *
 * What is known here is files; what is in them is recovery's business. Nothing here logs. After images_open() any thread
 * may call, as long as two do not deal with the same name at once. Loss of power is outside of all this. */
#ifndef POOL_IMAGES_H
#define POOL_IMAGES_H

#include "proto/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IMAGES_LOCK      "lock"
#define IMAGES_FILE_MAX  (HF_POOL_NAME_MAX + 16) /* bytes of a file's name, with its end */
#define IMAGES_ERROR_MAX 400                     /* all texts fit, unless a path is very long */

enum images_result {
    IMAGES_FINE = 0,
    IMAGES_FAILED = -1,   /* the system refused; nothing was changed */
    IMAGES_BUSY = -2,     /* another process has it */
    IMAGES_DOUBTFUL = -3, /* files that do not fit together; they are kept */
    IMAGES_FULL = -4      /* as FAILED: the file system has no room */
};

struct images {
    char *path;
    int folder, lock; /* descriptors; lock -1: there is none */
    bool own;         /* to work in; else to look at */
};

/* Opens a folder to work in it. Makes it (mode 0700) if only its last part is missing, tries whether its file system can
 * carry images, and locks it for the process `program`; `*ret_made` tells whether it is new. On failure `error` says
 * what is wrong and what to do, and there is nothing to close. */
enum images_result images_open(struct images *images, const char *path, const char *program, bool *ret_made,
                               char *error, size_t error_size);
/* Opens a folder to look at it: changes nothing, and keeps daemons out until it is closed. */
enum images_result images_look(struct images *images, const char *path, char *error, size_t error_size);
void images_close(struct images *images);

enum image_state {
    IMAGE_WHOLE,     /* both files are there */
    IMAGE_LEFTOVER,  /* nothing but what can be removed */
    IMAGE_NO_META,   /* values alone, and nothing that explains it */
    IMAGE_NO_VALUES, /* meta alone */
};

/* The files that belong to one name. */
struct image {
    char name[HF_POOL_NAME_MAX + 1];
    bool meta, values, meta_new, values_new, meta_old;
};

struct image_list {
    struct image *images; /* `default` first, then by name */
    size_t count, room;
    char odd[256]; /* a file that is named like an image's, but for no pool there can be; "": none */
};

enum image_state image_state(const struct image *image);
/* Whether there are files of it to be removed. */
bool image_has_leftovers(const struct image *image);
/* What to do about one that is not whole, for a person. */
void image_explain(const struct images *images, const struct image *image, char *error, size_t error_size);

/* The images in the folder. FINE, FAILED. */
enum images_result images_list(const struct images *images, struct image_list *ret, char *error,
                               size_t error_size);
void image_list_done(struct image_list *list);

/* Removes the leftovers of one name; telling each file, if `removed` is not NULL. FINE, FAILED. */
enum images_result images_clear(const struct images *images, const struct image *image,
                                void (*removed)(void *data, const char *file), void *data, char *error,
                                size_t error_size);

/* Opens the two files of an image, for writing if the folder is open to be worked in, and locks them. The caller closes
 * them. BUSY; DOUBTFUL: no plain files, another user's, or the image of a pool of another name. */
enum images_result images_files(const struct images *images, const char *name, int *ret_meta, int *ret_values,
                                char *error, size_t error_size);

/* What the superblock of an image says, wherever that is; one that is not sound says nothing, and is recovery's to refuse.
 * Whether the image is of a pool of another name, and of which; and, without being sure of it, its pool's number
 * (UINT32_MAX: not known) and how many objects there may be. */
bool image_is_of_other(int fd_meta, const char *name, char ret_name[HF_POOL_NAME_MAX + 1]);
void image_peek(int fd_meta, uint32_t *ret_number, uint64_t *ret_objects);

/* Makes two empty files (mode 0600) for a new image; the caller closes them. When the image is in them images_publish()
 * gives them their names, from which moment on the pool exists; images_discard() removes them instead. */
enum images_result images_create(const struct images *images, const char *name, int *ret_meta,
                                 int *ret_values, char *error, size_t error_size);
enum images_result images_publish(const struct images *images, const char *name, char *error,
                                  size_t error_size);
void images_discard(const struct images *images, const char *name);

/* Removes the files of a pool; who has them open may go on with them. FAILED: it still exists. `*ret_left`: it does not,
 * but some file of it could not be removed and is left for the next start. */
enum images_result images_remove(const struct images *images, const char *name, bool *ret_left, char *error,
                                 size_t error_size);

#endif
