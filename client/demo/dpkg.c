/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/demo/dpkg.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One paragraph of the file while it is read: the fields of interest, NULL if absent. */
struct paragraph {
    char *package, *status, *version, *architecture, *provides, *depends;
};

static char **field_of(struct paragraph *paragraph, const char *key, size_t size)
{
    const struct {
        const char *key;
        char **place;
    } fields[] = {
        {"Package", &paragraph->package},           {"Status", &paragraph->status},
        {"Version", &paragraph->version},           {"Provides", &paragraph->provides},
        {"Architecture", &paragraph->architecture}, {"Depends", &paragraph->depends},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (strlen(fields[i].key) == size && memcmp(fields[i].key, key, size) == 0) {
            return fields[i].place;
        }
    }
    return NULL;
}

static void paragraph_clear(struct paragraph *paragraph)
{
    free(paragraph->package);
    free(paragraph->status);
    free(paragraph->version);
    free(paragraph->architecture);
    free(paragraph->provides);
    free(paragraph->depends);
    *paragraph = (struct paragraph){0};
}

static int paragraph_line(struct paragraph *paragraph, const char *line)
{
    const char *colon = strchr(line, ':');
    if (line[0] == ' ' || colon == NULL) {
        return 0; /* a continuation: only descriptions and lists of files have those */
    }
    char **field = field_of(paragraph, line, (size_t)(colon - line));
    if (field == NULL || *field != NULL) {
        return 0;
    }
    *field = strdup(colon + 1 + strspn(colon + 1, " "));
    return *field == NULL ? -1 : 0;
}

static bool is_installed(const struct paragraph *paragraph)
{
    const char *state = paragraph->status == NULL ? NULL : strrchr(paragraph->status, ' ');
    return state != NULL && strcmp(state, " installed") == 0 && paragraph->package != NULL;
}

/* Appends the paragraph as a package and takes its strings. */
static int packages_add(struct packages *packages, struct paragraph *paragraph)
{
    if ((packages->count & (packages->count - 1)) == 0) {
        size_t capacity = packages->count == 0 ? 1 : packages->count * 2;
        struct package *rows = realloc(packages->rows, capacity * sizeof *rows);
        if (rows == NULL) {
            return -1;
        }
        packages->rows = rows;
    }
    bool second = false; /* dpkg writes the architectures of one package one after the other */
    if (packages->count > 0) {
        second = strcmp(packages->rows[packages->count - 1].name, paragraph->package) == 0;
    }
    if (second && paragraph->architecture != NULL) {
        char *name;
        if (asprintf(&name, "%s:%s", paragraph->package, paragraph->architecture) < 0) {
            return -1;
        }
        free(paragraph->package);
        paragraph->package = name;
    }
    packages->rows[packages->count++] = (struct package){
        .name = paragraph->package,
        .version = paragraph->version,
        .depends_text = paragraph->depends,
        .provides_text = paragraph->provides,
    };
    paragraph->package = paragraph->version = paragraph->depends = paragraph->provides = NULL;
    return 0;
}

static int packages_parse(FILE *file, struct packages *packages)
{
    struct paragraph paragraph = {0};
    char *line = NULL;
    size_t capacity = 0;
    int failed = 0;
    while (failed == 0) {
        ssize_t size = getline(&line, &capacity, file);
        if (size > 0 && line[size - 1] == '\n') {
            line[--size] = '\0';
        }
        if (size > 0) {
            failed = paragraph_line(&paragraph, line);
            continue;
        }
        if (is_installed(&paragraph)) {
            failed = packages_add(packages, &paragraph);
        }
        paragraph_clear(&paragraph);
        if (size < 0) {
            break;
        }
    }
    paragraph_clear(&paragraph);
    free(line);
    return failed;
}

/* ---- From names to packages --------------------------------------------------------------------------- */

/* A name that a dependency can mean: a package's own, or one that it provides. */
struct alias {
    char *name;
    size_t package;
};

struct aliases {
    struct alias *rows;
    size_t count;
};

static int alias_compare(const void *left, const void *right)
{
    const struct alias *a = left, *b = right;
    int order = strcmp(a->name, b->name);
    return order != 0 ? order : (a->package > b->package) - (a->package < b->package);
}

static int package_compare(const void *left, const void *right)
{
    return strcmp(((const struct package *)left)->name, ((const struct package *)right)->name);
}

/* Cuts the next name out of a list such as "libc6 (>= 2.34), awk | mawk:any"; NULL at the end. `*ret_mark` is
 * the character that ended the entry: ',' '|' or 0. */
static char *next_name(char **list, char *ret_mark)
{
    char *at = *list + strspn(*list, " ");
    if (*at == '\0') {
        return NULL;
    }
    char *end = at + strcspn(at, ",|");
    *ret_mark = *end;
    *list = end + (*end != '\0');
    at[strcspn(at, " :(,|")] = '\0';
    return at;
}

static int aliases_add(struct aliases *aliases, char *name, size_t package)
{
    if ((aliases->count & (aliases->count - 1)) == 0) {
        size_t capacity = aliases->count == 0 ? 1 : aliases->count * 2;
        struct alias *rows = realloc(aliases->rows, capacity * sizeof *rows);
        if (rows == NULL) {
            return -1;
        }
        aliases->rows = rows;
    }
    aliases->rows[aliases->count++] = (struct alias){name, package};
    return 0;
}

static int aliases_collect(const struct packages *packages, struct aliases *aliases)
{
    for (size_t i = 0; i < packages->count; i++) {
        char *list = packages->rows[i].provides_text, *name, mark;
        while (list != NULL && (name = next_name(&list, &mark)) != NULL) {
            if (packages_find(packages, name) == packages->count && aliases_add(aliases, name, i) != 0) {
                return -1;
            }
        }
    }
    if (aliases->count > 0) {
        qsort(aliases->rows, aliases->count, sizeof *aliases->rows, alias_compare);
    }
    return 0;
}

static size_t aliases_find(const struct aliases *aliases, const char *name)
{
    size_t low = 0, high = aliases->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(aliases->rows[middle].name, name) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* The package that `name` means, or `count`. */
static size_t resolve(const struct packages *packages, const struct aliases *aliases, const char *name)
{
    size_t found = packages_find(packages, name);
    if (found < packages->count) {
        return found;
    }
    size_t place = aliases_find(aliases, name);
    if (place < aliases->count && strcmp(aliases->rows[place].name, name) == 0) {
        return aliases->rows[place].package;
    }
    return packages->count;
}

static int package_link(struct packages *packages, const struct aliases *aliases, struct package *package)
{
    char *list = package->depends_text, *name, mark = ',';
    if (list == NULL) {
        return 0;
    }
    size_t commas = 1;
    for (const char *at = list; *at != '\0'; at++) {
        commas += *at == ',';
    }
    package->depends = calloc(commas, sizeof *package->depends);
    if (package->depends == NULL) {
        return -1;
    }
    bool met = false; /* an alternative of this entry has been found */
    while ((name = next_name(&list, &mark)) != NULL) {
        size_t target = resolve(packages, aliases, name);
        if (!met && target < packages->count) {
            package->depends[package->depend_count++] = target;
            met = true;
        }
        if (mark != '|') {
            met = false;
        }
    }
    packages->depend_count += package->depend_count;
    return 0;
}

static int packages_link(struct packages *packages)
{
    struct aliases aliases = {0};
    int failed = aliases_collect(packages, &aliases);
    for (size_t i = 0; i < packages->count && failed == 0; i++) {
        failed = package_link(packages, &aliases, &packages->rows[i]);
    }
    free(aliases.rows);
    return failed;
}

/* ---- Interface ---------------------------------------------------------------------------------------- */

int packages_read(const char *path, struct packages *ret)
{
    *ret = (struct packages){0};
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return -1;
    }
    int failed = packages_parse(file, ret);
    fclose(file);
    if (failed != 0 || ret->count == 0) {
        errno = failed != 0 ? ENOMEM : ENODATA;
        return -1;
    }
    qsort(ret->rows, ret->count, sizeof *ret->rows, package_compare);
    return packages_link(ret);
}

void packages_free(struct packages *packages)
{
    for (size_t i = 0; i < packages->count; i++) {
        struct package *package = &packages->rows[i];
        free(package->name);
        free(package->version);
        free(package->depends);
        free(package->depends_text);
        free(package->provides_text);
    }
    free(packages->rows);
    *packages = (struct packages){0};
}

size_t packages_find(const struct packages *packages, const char *name)
{
    const struct package key = {.name = (char *)(uintptr_t)name};
    const struct package *found =
        packages->count == 0 ? NULL
                             : bsearch(&key, packages->rows, packages->count, sizeof key, package_compare);
    return found == NULL ? packages->count : (size_t)(found - packages->rows);
}
