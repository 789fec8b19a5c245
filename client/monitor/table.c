/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/monitor/table.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "client/cli/print.h"
#include "client/monitor/text.h"

#define NAME_WIDTH_MAX 32

enum kind { TEXT, NUMBER, COUNT, SIZE, TIME, RATE, US };

struct column {
    const char *name, *heading;
    const char *key; /* in the daemon's rows; NULL: made here */
    enum kind kind;
};

static const struct column session_columns[] = {
    {"bytes", "BYTES", "bytes", SIZE}, {"held", "HELD", "held", COUNT}, {"sid", "SID", "sid", NUMBER},
    {"name", "NAME", "name", TEXT},    {"pid", "PID", "pid", NUMBER},   {"pool", "POOL", "pool", TEXT},
    {"state", "STATE", "state", TEXT}, {"age", "AGE", "age_ms", TIME},  {0},
};
static const struct column pool_columns[] = {
    {"used", "USED", "used", SIZE},
    {"limit", "LIMIT", "limit", SIZE},
    {"name", "NAME", "name", TEXT},
    {"objects", "OBJECTS", "objects", COUNT},
    {"bytes", "VALUES", "bytes", SIZE},
    {"names", "NAMES", "names", COUNT},
    {"sessions", "SESSIONS", "sessions", COUNT},
    {"grace", "GRACE", "grace", COUNT},
    {0},
};
static const struct column method_columns[] = {
    {"rate", "CALLS/S", NULL, RATE}, {"name", "NAME", NULL, TEXT}, {"total", "TOTAL", NULL, COUNT},
    {"p50", "50% US", NULL, US},     {"p99", "99% US", NULL, US},  {0},
};

static const struct table {
    const char *name;
    const struct column *columns;
} tables[MONITOR_TABLE_COUNT] = {
    [MONITOR_TABLE_SESSIONS] = {"sessions", session_columns},
    [MONITOR_TABLE_POOLS] = {"pools", pool_columns},
    [MONITOR_TABLE_METHODS] = {"methods", method_columns},
};

const char *monitor_table_name(enum monitor_table table)
{
    return tables[table].name;
}

static unsigned column_count(enum monitor_table table)
{
    unsigned count = 0;
    while (tables[table].columns[count].name != NULL)
        count++;
    return count;
}

const char *monitor_table_column(enum monitor_table table, unsigned column)
{
    return column < column_count(table) ? tables[table].columns[column].name : NULL;
}

struct monitor_choice monitor_choice_first(void)
{
    return (struct monitor_choice){.table = MONITOR_TABLE_SESSIONS};
}

bool monitor_choice_sort(struct monitor_choice *choice, const char *column)
{
    for (unsigned i = 0; i < column_count(choice->table); i++) {
        if (strcmp(tables[choice->table].columns[i].name, column) == 0) {
            choice->sort = i;
            return true;
        }
    }
    return false;
}

/* ---- cells ---- */

static void set_number(struct monitor_cell *cell, enum kind kind, double number)
{
    char text[MONITOR_NUMBER_SIZE];
    cell->number = number;
    switch (kind) {
    case SIZE: snprintf(cell->text, sizeof cell->text, "%s", monitor_bytes(number, text)); break;
    case COUNT:
    case RATE: snprintf(cell->text, sizeof cell->text, "%s", monitor_count(number, text)); break;
    case US:
        snprintf(cell->text, sizeof cell->text, "%s", number < 0 ? "-" : monitor_us(number, text));
        break;
    case TIME: snprintf(cell->text, sizeof cell->text, "%s", cli_format_time((uint64_t)number, text)); break;
    default: snprintf(cell->text, sizeof cell->text, "%.0f", number); break;
    }
}

static void set_text(struct monitor_cell *cell, const char *bytes, size_t size)
{
    monitor_fit(cell->text, sizeof cell->text, bytes, size, NAME_WIDTH_MAX, false);
    size_t end = strlen(cell->text);
    while (end != 0 && cell->text[end - 1] == ' ')
        cell->text[--end] = '\0';
}

static void set_cell(struct monitor_cell *cell, const struct column *column, hf_item item)
{
    const void *bytes;
    size_t size;
    uint64_t number;
    if (column->kind != TEXT && hf_item_uint(item, &number))
        set_number(cell, column->kind, (double)number);
    else if (column->kind == TEXT && hf_item_bytes(item, &bytes, &size))
        set_text(cell, bytes, size);
    else
        *cell = (struct monitor_cell){.text = "-", .number = -1};
}

static void fill_from_map(struct monitor_row *row, const struct column *columns, hf_item map)
{
    row->item = map;
    for (unsigned i = 0; columns[i].name != NULL; i++)
        set_cell(&row->cells[i], &columns[i], hf_item_get(map, columns[i].key));
}

static void fill_method(struct monitor_row *row, const struct monitor_change *change, unsigned method)
{
    const struct monitor_method *at = &change->at->methods[method];
    row->method = method;
    set_number(&row->cells[0], RATE, monitor_per_second(change, monitor_method_calls(change, method)));
    set_text(&row->cells[1], at->name, strlen(at->name));
    set_number(&row->cells[2], COUNT, (double)at->total);
    uint64_t counts[MONITOR_BUCKETS];
    monitor_durations(change, method, counts);
    set_number(&row->cells[3], US, monitor_percentile(counts, 0.5));
    set_number(&row->cells[4], US, monitor_percentile(counts, 0.99));
}

/* ---- filter and order ---- */

static bool contains(const char *text, const char *part)
{
    size_t size = strlen(part);
    for (; *text != '\0'; text++) {
        if (strncasecmp(text, part, size) == 0)
            return true;
    }
    return size == 0;
}

static bool passes(const struct monitor_row *row, unsigned columns, const char *filter)
{
    for (unsigned i = 0; i < columns; i++) {
        if (contains(row->cells[i].text, filter))
            return true;
    }
    return false;
}

struct order {
    unsigned column;
    bool text, reverse;
};

static int compare(const void *a_, const void *b_, void *order_)
{
    const struct order *order = order_;
    const struct monitor_cell *a = &((const struct monitor_row *)a_)->cells[order->column];
    const struct monitor_cell *b = &((const struct monitor_row *)b_)->cells[order->column];
    int falling = a->number > b->number ? -1 : a->number < b->number;
    int result = order->text ? strcmp(a->text, b->text) : falling;
    return order->reverse ? -result : result;
}

/* ---- rows ---- */

static size_t sessions_there(const struct monitor_look *look)
{
    size_t count = 0;
    for (unsigned i = 0; i < look->sessions_count; i++)
        count += hf_item_count(look->sessions[i].rows);
    return count;
}

static size_t rows_there(const struct monitor_scene *scene, enum monitor_table table)
{
    switch (table) {
    case MONITOR_TABLE_SESSIONS: return sessions_there(scene->look);
    case MONITOR_TABLE_POOLS: return hf_item_count(hf_reply_item(scene->look->pools));
    default: return scene->change->at->method_count;
    }
}

static void keep(struct monitor_rows *rows, const struct monitor_choice *choice)
{
    rows->count += passes(&rows->rows[rows->count], column_count(choice->table), choice->filter);
}

static void fill_from_array(struct monitor_rows *rows, const struct monitor_choice *choice, hf_item array)
{
    hf_walk walk = hf_walk_start(array);
    hf_item row;
    while (hf_walk_next(&walk, NULL, &row)) {
        fill_from_map(&rows->rows[rows->count], tables[choice->table].columns, row);
        keep(rows, choice);
    }
}

static void fill(struct monitor_rows *rows, const struct monitor_scene *scene,
                 const struct monitor_choice *choice)
{
    if (choice->table == MONITOR_TABLE_METHODS) {
        for (unsigned i = 0; i < scene->change->at->method_count; i++) {
            fill_method(&rows->rows[rows->count], scene->change, i);
            keep(rows, choice);
        }
        return;
    }
    if (choice->table == MONITOR_TABLE_POOLS)
        fill_from_array(rows, choice, hf_reply_item(scene->look->pools));
    for (unsigned i = 0; choice->table == MONITOR_TABLE_SESSIONS && i < scene->look->sessions_count; i++)
        fill_from_array(rows, choice, scene->look->sessions[i].rows);
}

bool monitor_rows_make(struct monitor_rows *rows, const struct monitor_scene *scene,
                       const struct monitor_choice *choice)
{
    *rows = (struct monitor_rows){0};
    if (scene->change == NULL)
        return true;
    rows->rows = calloc(rows_there(scene, choice->table) + 1, sizeof *rows->rows);
    if (rows->rows == NULL)
        return false;
    fill(rows, scene, choice);
    struct order order = {.column = choice->sort,
                          .text = tables[choice->table].columns[choice->sort].kind == TEXT,
                          .reverse = choice->reverse};
    qsort_r(rows->rows, rows->count, sizeof *rows->rows, compare, &order);
    return true;
}

void monitor_rows_done(struct monitor_rows *rows)
{
    free(rows->rows);
    *rows = (struct monitor_rows){0};
}

/* ---- showing ---- */

static void measure(const struct monitor_rows *rows, const struct monitor_choice *choice,
                    unsigned widths[MONITOR_COLUMNS_MAX])
{
    const struct column *columns = tables[choice->table].columns;
    for (unsigned i = 0; columns[i].name != NULL; i++) {
        widths[i] = (unsigned)strlen(columns[i].heading);
        for (size_t k = 0; k < rows->count; k++) {
            unsigned own = monitor_width(rows->rows[k].cells[i].text);
            widths[i] = own > widths[i] ? own : widths[i];
        }
    }
}

static void add_row(struct monitor_page *page, enum monitor_style style, const struct column *columns,
                    const unsigned *widths, const struct monitor_row *row)
{
    char line[MONITOR_COLUMNS_MAX * (MONITOR_CELL_SIZE + 2)] = "";
    size_t used = 0;
    for (unsigned i = 0; columns[i].name != NULL; i++) {
        const char *text = row != NULL ? row->cells[i].text : columns[i].heading;
        monitor_fit(line + used, sizeof line - used, text, strlen(text), widths[i], columns[i].kind != TEXT);
        used += strlen(line + used);
        if (columns[i + 1].name != NULL)
            used += (size_t)snprintf(line + used, sizeof line - used, "  ");
    }
    monitor_page_add(page, style, "%s", line);
}

void monitor_rows_show(struct monitor_page *page, const struct monitor_rows *rows,
                       const struct monitor_choice *choice, size_t most)
{
    unsigned widths[MONITOR_COLUMNS_MAX];
    const struct column *columns = tables[choice->table].columns;
    size_t first = choice->first < rows->count ? choice->first : rows->count;
    size_t count = rows->count - first < most ? rows->count - first : most;
    measure(rows, choice, widths);
    add_row(page, MONITOR_TABLE_HEAD, columns, widths, NULL);
    for (size_t i = 0; i < count; i++)
        add_row(page, MONITOR_PLAIN, columns, widths, &rows->rows[first + i]);
}
