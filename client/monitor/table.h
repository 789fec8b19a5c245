/* SPDX-License-Identifier: BSD-3-Clause */
/* The tables of a page: rows from what the daemon answers, filtered, sorted, aligned. */
#ifndef HF_MONITOR_TABLE_H
#define HF_MONITOR_TABLE_H

#include "client/monitor/page.h"

#define MONITOR_COLUMNS_MAX 10
#define MONITOR_CELL_SIZE   100

struct monitor_cell {
    char text[MONITOR_CELL_SIZE];
    double number; /* what it is sorted by, unless the column is one of texts */
};

struct monitor_row {
    hf_item item;    /* the daemon's row; missing in the table of methods */
    unsigned method; /* of the later sample, in the table of methods */
    struct monitor_cell cells[MONITOR_COLUMNS_MAX];
};

struct monitor_rows {
    struct monitor_row *rows; /* owned */
    size_t count;
};

/* The rows of the chosen table that pass the filter, sorted. False: no memory. monitor_rows_done in any case. */
bool monitor_rows_make(struct monitor_rows *rows, const struct monitor_scene *scene,
                       const struct monitor_choice *choice);
void monitor_rows_done(struct monitor_rows *rows);

/* Adds the head of the table and at most `most` rows from choice->first on to a page. */
void monitor_rows_show(struct monitor_page *page, const struct monitor_rows *rows,
                       const struct monitor_choice *choice, size_t most);

#endif
