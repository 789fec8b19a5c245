/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/system/options.h"

#include "daemon/base/nearest.h"
#include "daemon/system/machine.h"
#include "daemon/system/option_table.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

bool option_is_list(enum option_id id)
{
    return id == OPTION_LISTEN || id == OPTION_STATS;
}

static bool is_off(enum option_id id, const char *text)
{
    return id == OPTION_STATS && strcmp(text, OPTIONS_OFF) == 0;
}

/* The addresses of an option that is a list. */
struct addresses {
    struct option_value *values;
    unsigned *count;
    unsigned most;
};

static struct addresses list_of(struct options *options, enum option_id id)
{
    return id == OPTION_LISTEN
               ? (struct addresses){options->listen, &options->listen_count, OPTIONS_LISTEN_MAX}
               : (struct addresses){options->stats, &options->stats_count, OPTIONS_STATS_MAX};
}

static const struct option_value *values_of(const struct options *options, enum option_id id,
                                            unsigned *ret_count)
{
    *ret_count = id == OPTION_LISTEN ? options->listen_count : options->stats_count;
    return id == OPTION_LISTEN ? options->listen : options->stats;
}

static void drop_list(struct options *options, enum option_id id)
{
    struct addresses list = list_of(options, id);
    while (*list.count > 0)
        free_value(&list.values[--*list.count]);
}

static int given_twice(const char *what, const struct option_value *first, char *error, size_t error_size)
{
    snprintf(error, error_size, "%s is given twice, first in line %u; take one away", what, first->line);
    return -1;
}

static int add_address(struct options *options, enum option_id id, const struct option_value *value,
                       char *error, size_t error_size)
{
    struct addresses list = list_of(options, id);
    if (*list.count > 0 && list.values[0].source != value->source)
        drop_list(options, id);
    for (unsigned i = 0; i < *list.count && value->source == SOURCE_FILE; i++) {
        if (strcmp(list.values[i].text, value->text) == 0)
            return given_twice(value->text, &list.values[i], error, error_size);
    }
    if (*list.count == list.most) {
        snprintf(error, error_size, "%s '%s' is one address too many; give at most %u", option_rows[id].name,
                 value->text, list.most);
        return -1;
    }
    list.values[(*list.count)++] = *value;
    return 0;
}

static int put_value(struct options *options, enum option_id id, const struct option_value *value,
                     char *error, size_t error_size)
{
    struct option_value *place = &options->values[id];
    if (option_is_list(id))
        return add_address(options, id, value, error, error_size);
    if (place->text != NULL && place->source == SOURCE_FILE && value->source == SOURCE_FILE)
        return given_twice(option_rows[id].name, place, error, error_size);
    free_value(place);
    *place = *value;
    return 0;
}

struct load {
    struct options *options;
    options_address_check *check;
    config_complaint *complain;
    void *data;
    const char *section; /* the one that the file is in; "": an unknown one, which was told; NULL: none yet */
    unsigned complaints;
};

static int understand(struct load *load, enum option_id id, const char *text, char *error, size_t error_size)
{
    char why[CONFIG_ERROR_MAX];
    const struct option_row *row = &option_rows[id];
    const char *fault = config_value_fault(text);
    if (fault == NULL && !row->set(load->options, text))
        fault = row->fix;
    if (fault != NULL) {
        snprintf(error, error_size, "%s '%.*s'; %s", row->name, CONFIG_VALUE_MAX, text, fault);
        return -1;
    }
    if (!option_is_list(id) || is_off(id, text) || load->check(id, text, why, sizeof why) == 0)
        return 0;
    snprintf(error, error_size, "%s %s", row->name, why);
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
    if (understand(load, id, value.text, error, error_size) == 0) {
        if (option_rows[id].mean != NULL)
            option_rows[id].mean(load->options, value.meaning, sizeof value.meaning);
        if (put_value(load->options, id, &value, error, error_size) == 0)
            return 0;
    }
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

/* The sections are those of the options. */
static const char *section_at(const void *data, size_t i)
{
    (void)data;
    return option_rows[i].section;
}

static int on_section(void *data, const char *section, char *error, size_t error_size)
{
    struct load *load = data;
    for (unsigned id = 0; id < OPTIONS_COUNT; id++) {
        if (strcmp(option_rows[id].section, section) != 0)
            continue;
        load->section = option_rows[id].section;
        return 0;
    }
    load->section = "";
    size_t nearest = nearest_of(section, section_at, NULL, OPTIONS_COUNT);
    if (nearest < OPTIONS_COUNT)
        snprintf(error, error_size, "unknown section [%s]; did you mean [%s]?", section,
                 option_rows[nearest].section);
    else
        snprintf(error, error_size, "unknown section [%s]; `holdfastd --print-config` shows all there are",
                 section);
    return -1;
}

static int unknown_key(const char *key, char *error, size_t error_size)
{
    const struct option_row *nearest = option_nearest(key);
    if (nearest == NULL)
        snprintf(error, error_size, "unknown key '%s'; `holdfastd --print-config` shows all there are", key);
    else
        snprintf(error, error_size, "unknown key '%s'; did you mean '%s' (below [%s])?", key, nearest->name,
                 nearest->section);
    return -1;
}

/* Whether the option may stand where the file is. */
static int look_at_place(const struct load *load, const struct option_row *row, char *error,
                         size_t error_size)
{
    if (load->section == NULL)
        snprintf(error, error_size, "'%s' stands before any section; put [%s] above it", row->name,
                 row->section);
    else if (load->section[0] != '\0' && strcmp(load->section, row->section) != 0)
        snprintf(error, error_size, "'%s' does not belong below [%s]; put it below [%s]", row->name,
                 load->section, row->section);
    else
        return 0;
    return -1;
}

static int on_pair(void *data, unsigned line, const char *key, const char *value, char *error,
                   size_t error_size)
{
    struct load *load = data;
    for (unsigned id = 0; id < OPTIONS_COUNT; id++) {
        if (strcmp(option_rows[id].name, key) != 0)
            continue;
        if (look_at_place(load, &option_rows[id], error, error_size) != 0)
            return -1;
        return take(load, id, value, SOURCE_FILE, line, error, error_size);
    }
    return unknown_key(key, error, error_size);
}

static void on_complaint(void *data, const char *file, unsigned line, const char *text)
{
    struct load *load = data;
    load->complain(load->data, file, line, text);
}

/* ---- all of it ---- */

static void take_defaults(struct load *load)
{
    for (unsigned id = 0; id < OPTIONS_COUNT; id++) {
        if (option_rows[id].standard != NULL)
            take_or_complain(load, id, option_rows[id].standard, SOURCE_DEFAULT);
    }
}

/* The last to be taken: where it is of no use, as in an environment without a fitting folder, nobody is to mind. */
static void take_default_listen(struct load *load)
{
    char address[2 * CONFIG_VALUE_MAX];
    machine_default_address(address, sizeof address);
    if (load->options->listen_count == 0)
        take_or_complain(load, OPTION_LISTEN, address, SOURCE_DEFAULT);
}

static void take_command(struct load *load, const struct command *command)
{
    for (unsigned i = 0; i < command->given_count; i++)
        take_or_complain(load, command->given[i].id, command->given[i].text, SOURCE_COMMAND);
}

/* What is right by itself and of no use together. */
static void look_at_all(struct load *load)
{
    const struct options *options = load->options;
    const struct option_value *every = &options->values[OPTION_SAVE_EVERY];
    char text[CONFIG_ERROR_MAX];
    if (load->complaints > 0 || options->save_every_ms == 0 || options->save_dir != NULL)
        return;
    snprintf(text, sizeof text,
             "save-every '%s' saves nothing without a folder; give save-dir, too, or never here",
             every->text);
    load->complaints++;
    load->complain(load->data, every->source == SOURCE_FILE ? options->file : NULL, every->line, text);
}

unsigned options_load(struct options *ret, const struct command *command, options_address_check *check,
                      config_complaint *complain, void *data)
{
    struct load load = {.options = ret, .check = check, .complain = complain, .data = data};
    const struct config_reader reader = {
        .section = on_section, .pair = on_pair, .complain = on_complaint, .data = &load};
    *ret = (struct options){.file = command->file};
    take_defaults(&load);
    if (command->file != NULL)
        load.complaints += config_read(command->file, &reader);
    take_command(&load, command);
    take_default_listen(&load);
    look_at_all(&load);
    if (load.complaints > 0)
        options_free(ret);
    return load.complaints;
}

static bool listens_by_default(const struct options *options)
{
    return options->listen_count > 0 && options->listen[0].source == SOURCE_DEFAULT;
}

int options_make_folder(const struct options *options, char *error, size_t error_size)
{
    return listens_by_default(options) ? machine_make_default_folder(error, error_size) : 0;
}

void options_drop_default_listen(struct options *options)
{
    if (listens_by_default(options))
        drop_list(options, OPTION_LISTEN);
}

void options_free(struct options *options)
{
    drop_list(options, OPTION_LISTEN);
    drop_list(options, OPTION_STATS);
    for (unsigned id = 0; id < OPTIONS_COUNT; id++)
        free_value(&options->values[id]);
}

/* ---- showing ---- */

/* What is in a file's name would otherwise be able to end the comment. */
static void print_name(FILE *to, const char *name)
{
    for (; *name != '\0'; name++)
        putc((unsigned char)*name < 0x20 || *name == 0x7f ? '?' : *name, to);
}

static bool says_more(const struct option_value *value)
{
    return value->meaning[0] != '\0' && strcmp(value->meaning, value->text) != 0;
}

static void print_value(FILE *to, const struct options *options, enum option_id id,
                        const struct option_value *value)
{
    fputs("# ", to);
    switch (value->source) {
    case SOURCE_DEFAULT: fputs("default", to); break;
    case SOURCE_FILE:
        print_name(to, options->file);
        fprintf(to, ":%u", value->line);
        break;
    case SOURCE_COMMAND: fputs("command line", to); break;
    }
    if (says_more(value))
        fprintf(to, "; here and now: %s", value->meaning);
    fprintf(to, "\n%s = %s\n", option_rows[id].name, value->text);
}

static void print_list(FILE *to, const struct options *options, enum option_id id)
{
    unsigned count;
    const struct option_value *values = values_of(options, id, &count);
    for (unsigned i = 0; i < count; i++)
        print_value(to, options, id, &values[i]);
}

void options_print(FILE *to, const struct options *options)
{
    const char *section = "";
    for (unsigned id = 0; id < OPTIONS_COUNT; id++) {
        if (strcmp(section, option_rows[id].section) != 0)
            fprintf(to, "%s[%s]\n", id == 0 ? "" : "\n", option_rows[id].section);
        section = option_rows[id].section;
        if (option_is_list(id))
            print_list(to, options, id);
        else
            print_value(to, options, id, &options->values[id]);
    }
}

/* ---- comparing ---- */

static bool listens(const struct options *options, enum option_id id, const char *address)
{
    unsigned count;
    const struct option_value *values = values_of(options, id, &count);
    for (unsigned i = 0; i < count; i++) {
        if (!values[i].failed && strcmp(values[i].text, address) == 0)
            return true;
    }
    return false;
}

static const char *show(const struct option_value *value, char *ret, size_t size)
{
    if (says_more(value))
        snprintf(ret, size, "%s (%s)", value->text, value->meaning);
    else
        snprintf(ret, size, "%s", value->text);
    return ret;
}

static bool is_same(const struct option_value *a, const struct option_value *b)
{
    bool has_meaning = a->meaning[0] != '\0';
    return has_meaning ? strcmp(a->meaning, b->meaning) == 0 : strcmp(a->text, b->text) == 0;
}

static void compare_values(const struct options *old, const struct options *new, options_change *change,
                           void *data)
{
    char from[OPTIONS_SHOWN_MAX], to[OPTIONS_SHOWN_MAX];
    for (unsigned id = 0; id < OPTIONS_COUNT; id++) {
        const struct option_value *a = &old->values[id], *b = &new->values[id];
        if (!option_is_list(id) && !is_same(a, b))
            change(data, id, show(a, from, sizeof from), show(b, to, sizeof to));
    }
}

static void compare_lists(const struct options *old, const struct options *new, enum option_id id,
                          options_change *change, void *data)
{
    unsigned count;
    const struct option_value *values = values_of(old, id, &count);
    for (unsigned i = 0; i < count; i++) {
        if (!values[i].failed && !is_off(id, values[i].text) && !listens(new, id, values[i].text))
            change(data, id, values[i].text, NULL);
    }
    values = values_of(new, id, &count);
    for (unsigned i = 0; i < count; i++) {
        if (!is_off(id, values[i].text) && !listens(old, id, values[i].text))
            change(data, id, NULL, values[i].text);
    }
}

void options_compare(const struct options *old, const struct options *new, options_change *change, void *data)
{
    compare_lists(old, new, OPTION_LISTEN, change, data);
    compare_lists(old, new, OPTION_STATS, change, data);
    compare_values(old, new, change, data);
}

void options_keep(struct options *next, struct options *now, enum option_id id)
{
    struct option_value value = next->values[id];
    assert(!option_is_list(id));
    next->values[id] = now->values[id];
    now->values[id] = value;
    const struct option_value *kept = &next->values[id];
    option_rows[id].set(next,
                        kept->meaning[0] != '\0' ? kept->meaning : kept->text); /* right before, right now */
}

void options_listen_failed(struct options *options, enum option_id id, const char *address)
{
    struct addresses list = list_of(options, id);
    for (unsigned i = 0; i < *list.count; i++)
        list.values[i].failed |= strcmp(list.values[i].text, address) == 0;
}
