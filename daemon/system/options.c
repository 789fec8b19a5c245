/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/system/options.h"

#include "daemon/system/machine.h"
#include "daemon/system/option_table.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NEAR    3u /* letters that a mistyped key may be off */
#define KEY_MAX 32u

const char *option_name(enum option_id id)
{
    return option_rows[id].name;
}

bool option_is_live(enum option_id id)
{
    return option_rows[id].live;
}

/* ---- one value ---- */

static void free_value(struct option_value *value)
{
    free(value->text);
    *value = (struct option_value){.text = NULL};
}

static void drop_listen(struct options *options)
{
    while (options->listen_count > 0)
        free_value(&options->listen[--options->listen_count]);
}

static int add_listen(struct options *options, const struct option_value *value, char *error,
                      size_t error_size)
{
    /* Those of the command line take the place of the file's, those of either the place of the default. */
    if (options->listen_count > 0 && options->listen[0].source != value->source)
        drop_listen(options);
    if (options->listen_count == OPTIONS_LISTEN_MAX) {
        snprintf(error, error_size, "listen '%s' is one address too many; give at most %d", value->text,
                 OPTIONS_LISTEN_MAX);
        return -1;
    }
    options->listen[options->listen_count++] = *value;
    return 0;
}

static int put_value(struct options *options, enum option_id id, const struct option_value *value,
                     char *error, size_t error_size)
{
    struct option_value *place = &options->values[id];
    if (id == OPTION_LISTEN)
        return add_listen(options, value, error, error_size);
    if (place->text != NULL && place->source == SOURCE_FILE && value->source == SOURCE_FILE) {
        snprintf(error, error_size, "%s is given twice, first in line %u; take one away",
                 option_rows[id].name, place->line);
        return -1;
    }
    free_value(place);
    *place = *value;
    return 0;
}

struct load {
    struct options *options;
    options_address_check *check;
    config_complaint *complain;
    void *data;
    unsigned complaints;
};

static int understand(struct load *load, enum option_id id, const char *text, char *error, size_t error_size)
{
    char why[CONFIG_ERROR_MAX];
    if (!option_rows[id].set(load->options, text)) {
        snprintf(error, error_size, "%s '%s'; %s", option_rows[id].name, text, option_rows[id].fix);
        return -1;
    }
    if (id != OPTION_LISTEN || load->check(text, why, sizeof why) == 0)
        return 0;
    snprintf(error, error_size, "listen %s", why);
    return -1;
}

/* Takes a value from wherever it is said. 0, or -1 with a text in `error`. */
static int take(struct load *load, enum option_id id, const char *text, enum option_source source,
                unsigned line, char *error, size_t error_size)
{
    struct option_value value = {.text = strdup(text), .source = source, .line = line};
    if (value.text == NULL) {
        snprintf(error, error_size, "no memory");
        return -1;
    }
    if (understand(load, id, value.text, error, error_size) == 0 &&
        put_value(load->options, id, &value, error, error_size) == 0)
        return 0;
    free(value.text);
    return -1;
}

static void take_or_complain(struct load *load, enum option_id id, const char *text,
                             enum option_source source)
{
    char error[CONFIG_ERROR_MAX];
    if (take(load, id, text, source, 0, error, sizeof error) == 0)
        return;
    load->complaints++;
    load->complain(load->data, NULL, 0, error);
}

/* ---- the file's side ---- */

/* Letters to be changed, added or taken away to make one word of the other (Levenshtein 1966). */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[KEY_MAX + 1];
    size_t width = strlen(b);
    if (strlen(a) > KEY_MAX || width > KEY_MAX)
        return KEY_MAX;
    for (unsigned k = 0; k <= width; k++)
        row[k] = k;
    for (unsigned i = 0; a[i] != '\0'; i++) {
        unsigned diagonal = row[0];
        row[0] = i + 1;
        for (unsigned k = 1; k <= width; k++) {
            unsigned change = diagonal + (a[i] != b[k - 1]);
            diagonal = row[k];
            unsigned other = (row[k] < row[k - 1] ? row[k] : row[k - 1]) + 1;
            row[k] = change < other ? change : other;
        }
    }
    return row[width];
}

static const struct option_row *nearest_to(const char *key, unsigned *ret_off)
{
    const struct option_row *nearest = NULL;
    *ret_off = NEAR + 1;
    for (unsigned id = 0; id < OPTIONS_COUNT; id++) {
        unsigned off = distance(key, option_rows[id].name);
        if (off >= *ret_off)
            continue;
        *ret_off = off;
        nearest = &option_rows[id];
    }
    return nearest;
}

static int unknown_key(const char *section, const char *key, char *error, size_t error_size)
{
    unsigned off;
    const struct option_row *nearest = nearest_to(key, &off);
    if (section[0] == '\0')
        snprintf(error, error_size, "'%s' stands before any section; begin with a line such as [daemon]",
                 key);
    else if (nearest == NULL)
        snprintf(error, error_size,
                 "unknown key '%s' below [%s]; `holdfastd --print-config` shows all there are", key, section);
    else if (off == 0)
        snprintf(error, error_size, "'%s' does not belong below [%s]; put it below [%s]", key, section,
                 nearest->section);
    else
        snprintf(error, error_size, "unknown key '%s' below [%s]; did you mean '%s' (below [%s])?", key,
                 section, nearest->name, nearest->section);
    return -1;
}

static int on_pair(void *data, unsigned line, const char *section, const char *key, const char *value,
                   char *error, size_t error_size)
{
    struct load *load = data;
    for (unsigned id = 0; id < OPTIONS_COUNT; id++) {
        if (strcmp(option_rows[id].name, key) == 0 && strcmp(option_rows[id].section, section) == 0)
            return take(load, id, value, SOURCE_FILE, line, error, error_size);
    }
    return unknown_key(section, key, error, error_size);
}

static void on_complaint(void *data, const char *file, unsigned line, const char *text)
{
    struct load *load = data;
    load->complain(load->data, file, line, text);
}

/* ---- all of it ---- */

/* An address that is too long is none; then it takes a --listen. */
static void take_defaults(struct load *load)
{
    char workers[16], address[256];
    unsigned cores = machine_cores();
    snprintf(workers, sizeof workers, "%u", cores < OPTIONS_WORKERS_MAX ? cores : OPTIONS_WORKERS_MAX);
    for (unsigned id = 0; id < OPTIONS_COUNT; id++) {
        const char *text = option_rows[id].standard;
        if (id == OPTION_WORKERS)
            text = workers;
        else if (id == OPTION_LISTEN && machine_default_address(address, sizeof address))
            text = address;
        if (text != NULL)
            take_or_complain(load, id, text, SOURCE_DEFAULT);
    }
}

static void take_command(struct load *load, const struct command *command)
{
    for (unsigned i = 0; i < command->given_count; i++)
        take_or_complain(load, command->given[i].id, command->given[i].text, SOURCE_COMMAND);
}

unsigned options_load(struct options *ret, const struct command *command, options_address_check *check,
                      config_complaint *complain, void *data)
{
    struct load load = {.options = ret, .check = check, .complain = complain, .data = data};
    *ret = (struct options){.file = command->file};
    take_defaults(&load);
    if (command->file != NULL)
        load.complaints += config_read(command->file, on_pair, on_complaint, &load);
    take_command(&load, command);
    if (load.complaints > 0)
        options_free(ret);
    return load.complaints;
}

void options_drop_default_listen(struct options *options)
{
    if (options->listen_count > 0 && options->listen[0].source == SOURCE_DEFAULT)
        drop_listen(options);
}

void options_free(struct options *options)
{
    drop_listen(options);
    for (unsigned id = 0; id < OPTIONS_COUNT; id++)
        free_value(&options->values[id]);
}

/* ---- showing and comparing ---- */

static void print_value(const struct options *options, enum option_id id, const struct option_value *value)
{
    switch (value->source) {
    case SOURCE_DEFAULT: puts("# default"); break;
    case SOURCE_FILE: printf("# %s:%u\n", options->file, value->line); break;
    case SOURCE_COMMAND: puts("# command line"); break;
    }
    printf("%s = %s\n", option_rows[id].name, value->text);
}

static void print_listen(const struct options *options)
{
    for (unsigned i = 0; i < options->listen_count; i++)
        print_value(options, OPTION_LISTEN, &options->listen[i]);
}

void options_print(const struct options *options)
{
    const char *section = "";
    for (unsigned id = 0; id < OPTIONS_COUNT; id++) {
        if (strcmp(section, option_rows[id].section) != 0)
            printf("%s[%s]\n", id == 0 ? "" : "\n", option_rows[id].section);
        section = option_rows[id].section;
        if (id == OPTION_LISTEN)
            print_listen(options);
        else
            print_value(options, id, &options->values[id]);
    }
}

static bool listens(const struct options *options, const char *address)
{
    for (unsigned i = 0; i < options->listen_count; i++) {
        if (strcmp(options->listen[i].text, address) == 0)
            return true;
    }
    return false;
}

void options_compare(const struct options *old, const struct options *new, options_change *change, void *data)
{
    for (unsigned i = 0; i < old->listen_count; i++) {
        if (!listens(new, old->listen[i].text))
            change(data, OPTION_LISTEN, old->listen[i].text, NULL);
    }
    for (unsigned i = 0; i < new->listen_count; i++) {
        if (!listens(old, new->listen[i].text))
            change(data, OPTION_LISTEN, NULL, new->listen[i].text);
    }
    for (unsigned id = OPTION_LISTEN + 1; id < OPTIONS_COUNT; id++) {
        if (strcmp(old->values[id].text, new->values[id].text) != 0)
            change(data, id, old->values[id].text, new->values[id].text);
    }
}

void options_keep(struct options *next, struct options *now, enum option_id id)
{
    struct option_value value = next->values[id];
    assert(id != OPTION_LISTEN);
    next->values[id] = now->values[id];
    now->values[id] = value;
    option_rows[id].set(next, next->values[id].text); /* it was right before */
}
