/* SPDX-License-Identifier: BSD-3-Clause */
/* The page that `top` shows, as lines of text: for a screen, which cuts them, and for --once, which prints them. */
#ifndef HF_MONITOR_PAGE_H
#define HF_MONITOR_PAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "client/monitor/sample.h"
#include "client/monitor/source.h"

enum monitor_style { MONITOR_PLAIN, MONITOR_TITLE, MONITOR_TABLE_HEAD, MONITOR_WARNING };

struct monitor_line {
    char *text; /* owned */
    enum monitor_style style;
};

struct monitor_page {
    struct monitor_line *lines;
    size_t count, capacity;
    bool failed; /* there was no memory for all of it */
};

void monitor_page_done(struct monitor_page *page);
void monitor_page_add(struct monitor_page *page, enum monitor_style style, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- the tables ---- */

enum monitor_table {
    MONITOR_TABLE_SESSIONS,
    MONITOR_TABLE_POOLS,
    MONITOR_TABLE_METHODS,
    MONITOR_TABLE_COUNT
};

/* The name of a table; of its column `column` as it is sorted by; NULL above the last. */
const char *monitor_table_name(enum monitor_table table);
const char *monitor_table_column(enum monitor_table table, unsigned column);

#define MONITOR_FILTER_SIZE 48

struct monitor_choice {
    enum monitor_table table;
    unsigned sort; /* a column; numbers fall, texts rise */
    bool reverse;  /* the other way round */
    char filter
        [MONITOR_FILTER_SIZE]; /* rows with a cell that has this in it, in upper or lower case; "": all */
    size_t first;              /* rows that are scrolled away above */
};

/* How `top` begins: sessions, by the bytes they hold. */
struct monitor_choice monitor_choice_first(void);

/* Chooses the table, or its column to sort by, by name. False: there is none. */
bool monitor_choice_sort(struct monitor_choice *choice, const char *column);

#define MONITOR_HISTORY 60

/* Requests a second of the last intervals, the latest last. */
struct monitor_history {
    unsigned count;
    double requests[MONITOR_HISTORY];
};

void monitor_history_add(struct monitor_history *history, const struct monitor_change *change);

/* What a page shows. */
struct monitor_scene {
    const struct monitor_change *change; /* NULL: nothing has been seen yet */
    const struct monitor_look *look;     /* where its rows come from; NULL with `change` */
    const struct monitor_history *history;
    const char *address;
    const char *problem; /* why there is nothing newer; NULL: all is well */
    bool unicode;        /* bars of eighths can be shown */
};

/* Makes the page. `rows`: at most so many of the table; `*ret_rows` is how many there are that pass the filter. */
void monitor_page_make(struct monitor_page *page, const struct monitor_scene *scene,
                       const struct monitor_choice *choice, size_t rows, size_t *ret_rows);

/* The same as one line of JSON. */
bool monitor_page_json(FILE *out, const struct monitor_scene *scene, const struct monitor_choice *choice);

#endif
