/* SPDX-License-Identifier: BSD-3-Clause */
/* The installed packages of a Debian machine, read from dpkg's status file.
 *
 * A package depends on others by index. An alternative ("a | b") counts as the first of them that is installed,
 * a virtual package as one that provides it; what is not installed is left out. */
#ifndef HF_DEMO_DPKG_H
#define HF_DEMO_DPKG_H

#include <stddef.h>

struct package {
    char *name; /* unique: the second architecture of a package is called NAME:ARCH */
    char *version;
    size_t *depends;
    size_t depend_count;
    char *depends_text; /* the fields as they stand in the file, NULL if absent */
    char *provides_text;
};

struct packages {
    struct package *rows; /* sorted by name */
    size_t count;
    size_t depend_count; /* of all rows together */
};

/* Reads `path`. Returns 0, or -1 with errno set; `ret` is to be given to packages_free in any case. */
int packages_read(const char *path, struct packages *ret);
void packages_free(struct packages *packages);

/* Index of a package, or `count` if there is none of that name. */
size_t packages_find(const struct packages *packages, const char *name);

#endif
