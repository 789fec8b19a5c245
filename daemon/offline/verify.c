/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/offline/verify.h"

#include "daemon/offline/path.h"
#include "daemon/pool/images.h"
#include "daemon/pool/pool.h"

#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define STEP_UNITS    65536u /* of the walk, between two looks at the progress */
#define FINDINGS_MAX  (sizeof((struct verify_result *)NULL)->findings / sizeof(struct finding))
#define COLUMNS       7
#define COLUMN_BYTES  (HF_POOL_NAME_MAX + 1)
#define ROWS_AT_FIRST 16u

/* What was found out about one pool. */
struct row {
    char name[HF_POOL_NAME_MAX + 1];
    bool opened; /* the figures are known */
    uint64_t epoch;
    struct pool_stats stats;
    struct verify_result result; /* its findings, or the one that kept it from being opened */
    char refusal[IMAGES_ERROR_MAX];
};

struct report {
    struct row *rows;
    size_t count, room;
    bool terminal;
};

static unsigned findings_of(const struct row *row)
{
    return row->opened ? row->result.findings_count : 1;
}

static const char *finding_of(const struct row *row, unsigned n)
{
    return row->opened ? row->result.findings[n].text : row->refusal;
}

static int failed(const char *what, const char *why)
{
    fprintf(stderr, "holdfastd: %s%s%s\n", what, why[0] != '\0' ? ": " : "", why);
    return VERIFY_FAILED;
}

/* ---- progress ---- */

static void tell_progress(const struct report *report, const char *name, unsigned percent)
{
    if (report->terminal)
        fprintf(stderr, "\r\033[Kverifying %s: %u %%", name, percent);
}

static void end_progress(const struct report *report)
{
    if (report->terminal)
        fputs("\r\033[K", stderr);
}

/* ---- one pool: half of the time it is opened, half of it walked ---- */

struct opening {
    const struct report *report;
    const char *name;
    unsigned told;
};

static bool tell_opening(void *data, unsigned done)
{
    struct opening *opening = data;
    unsigned percent = done / 20;
    if (percent != opening->told)
        tell_progress(opening->report, opening->name, percent);
    opening->told = percent;
    return true;
}

static void walk(const struct report *report, struct pool *pool, struct row *row)
{
    unsigned told = 0;
    while (!pool_verify_step(pool, STEP_UNITS, &row->result)) {
        unsigned percent = 50 + pool_verify_percent(pool) / 2;
        if (percent != told)
            tell_progress(report, row->name, percent);
        told = percent;
    }
}

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* A private look at the pair of files. 0: the row says all; else the exit code. */
static int look(const struct report *report, int fd_meta, int fd_values, struct row *row)
{
    struct opening opening = {.report = report, .name = row->name};
    struct pool_config config = {.name = row->name,
                                 .max_bytes = UINT64_MAX / 4,
                                 .now_ms = now_ms(),
                                 .fd_meta = fd_meta,
                                 .fd_values = fd_values,
                                 .look_only = true,
                                 .progress = tell_opening,
                                 .progress_data = &opening};
    struct pool *pool;
    tell_progress(report, row->name, 0);
    int code = pool_open(&pool, &config, row->refusal, sizeof row->refusal);
    if (code != 0) {
        end_progress(report);
        return code == -HF_E_INTERNAL ? 0 : failed(row->name, row->refusal);
    }
    row->opened = true;
    row->epoch = pool_epoch(pool);
    do { /* what ends with a start is not counted */
        (void)pool_step(pool, STEP_UNITS);
        pool_stats(pool, &row->stats);
    } while (row->stats.backlog != 0 || row->stats.sessions_dying != 0);
    code = pool_verify_begin(pool);
    if (code == 0)
        walk(report, pool, row);
    pool_close(pool);
    end_progress(report);
    return code == 0 ? 0 : failed(row->name, "not enough memory to verify it");
}

static int check(const struct report *report, const struct images *images, const struct image *image,
                 struct row *row)
{
    int fd_meta, fd_values;
    if (image_state(image) != IMAGE_WHOLE) {
        image_explain(images, image, row->refusal, sizeof row->refusal);
        return 0;
    }
    enum images_result result =
        images_files(images, image->name, &fd_meta, &fd_values, row->refusal, sizeof row->refusal);
    if (result != IMAGES_FINE)
        return result == IMAGES_DOUBTFUL ? 0 : failed(row->refusal, "");
    int code = look(report, fd_meta, fd_values, row);
    close(fd_meta);
    close(fd_values);
    return code;
}

/* ---- all of them ---- */

static struct row *add_row(struct report *report, const char *name)
{
    if (report->count == report->room) {
        size_t room = report->room == 0 ? ROWS_AT_FIRST : report->room * 2;
        struct row *moved = realloc(report->rows, room * sizeof *moved);
        if (moved == NULL)
            return NULL;
        report->rows = moved;
        report->room = room;
    }
    struct row *row = &report->rows[report->count++];
    *row = (struct row){.opened = false};
    snprintf(row->name, sizeof row->name, "%s", name);
    return row;
}

/* `only`: the name of one pool, or NULL. */
static int check_all(struct report *report, const struct images *images, const char *path, const char *only)
{
    struct image_list list;
    char error[IMAGES_ERROR_MAX];
    int code = 0;
    if (images_list(images, &list, error, sizeof error) != IMAGES_FINE)
        return failed(error, "");
    for (size_t k = 0; k < list.count && code == 0; k++) {
        const struct image *image = &list.images[k];
        if (only != NULL && strcmp(only, image->name) != 0)
            continue;
        if (image_has_leftovers(image) && image_state(image) != IMAGE_NO_META)
            fprintf(stderr,
                    "holdfastd: note: pool %s: files that an interrupted making or dropping has left; the "
                    "next start removes them\n",
                    image->name);
        if (image_state(image) == IMAGE_LEFTOVER)
            continue;
        struct row *row = add_row(report, image->name);
        code = row == NULL ? failed(images->path, "no memory") : check(report, images, image, row);
    }
    image_list_done(&list);
    if (code == 0 && only != NULL && report->count == 0)
        return failed(path, "there is no such folder, nor a pool of that name");
    return code;
}

/* ---- printing ---- */

/* Line 0 is the head. */
static void fill_cells(const struct report *report, size_t line, char cells[COLUMNS][COLUMN_BYTES])
{
    static const char *const head[COLUMNS] = {"POOL",     "EPOCH", "OBJECTS", "NAMES",
                                              "SESSIONS", "OK",    "FINDINGS"};
    if (line == 0) {
        for (unsigned c = 0; c < COLUMNS; c++)
            snprintf(cells[c], COLUMN_BYTES, "%s", head[c]);
        return;
    }
    const struct row *row = &report->rows[line - 1];
    const uint64_t figures[] = {row->epoch, row->stats.objects, row->stats.names, row->stats.sessions_grace};
    snprintf(cells[0], COLUMN_BYTES, "%s", row->name);
    for (unsigned k = 0; k < 4; k++) {
        snprintf(cells[1 + k], COLUMN_BYTES, "%" PRIu64, figures[k]);
        if (!row->opened)
            memcpy(cells[1 + k], "-", 2);
    }
    snprintf(cells[5], COLUMN_BYTES, "%s", findings_of(row) == 0 ? "yes" : "no");
    snprintf(cells[6], COLUMN_BYTES, "%u", findings_of(row));
}

/* The name to the left, the rest to the right. */
static void print_rows(const struct report *report)
{
    char cells[COLUMNS][COLUMN_BYTES];
    int widths[COLUMNS] = {0};
    for (size_t line = 0; line <= report->count; line++) {
        fill_cells(report, line, cells);
        for (unsigned c = 0; c < COLUMNS; c++)
            widths[c] = (int)strlen(cells[c]) > widths[c] ? (int)strlen(cells[c]) : widths[c];
    }
    for (size_t line = 0; line <= report->count; line++) {
        fill_cells(report, line, cells);
        for (unsigned c = 0; c < COLUMNS; c++)
            printf("%s%*s", c == 0 ? "" : "  ", c == 0 ? -widths[c] : widths[c], cells[c]);
        putchar('\n');
    }
}

static void print_table(const struct report *report)
{
    print_rows(report);
    for (size_t k = 0; k < report->count; k++) {
        const struct row *row = &report->rows[k];
        unsigned count = findings_of(row), told = count < FINDINGS_MAX ? count : FINDINGS_MAX;
        for (unsigned n = 0; n < told; n++)
            printf("%s: %s\n", row->name, finding_of(row, n));
        if (told < count)
            printf("%s: and %u more\n", row->name, count - told);
    }
}

static json_t *figure(const struct row *row, uint64_t number)
{
    return row->opened ? json_integer((json_int_t)number) : json_null();
}

static json_t *row_as_json(const struct row *row)
{
    json_t *findings = json_array();
    unsigned count = findings_of(row), told = count < FINDINGS_MAX ? count : FINDINGS_MAX;
    for (unsigned n = 0; n < told; n++)
        json_array_append_new(findings, json_string(finding_of(row, n)));
    return json_pack("{s:s, s:o, s:o, s:o, s:o, s:b, s:o}", "pool", row->name, "epoch",
                     figure(row, row->epoch), "objects", figure(row, row->stats.objects), "names",
                     figure(row, row->stats.names), "sessions", figure(row, row->stats.sessions_grace), "ok",
                     count == 0, "findings", findings);
}

/* false: no memory for it. */
static bool print_json(const struct report *report)
{
    json_t *rows = json_array();
    bool ok = rows != NULL;
    for (size_t k = 0; k < report->count && ok; k++)
        ok = json_array_append_new(rows, row_as_json(&report->rows[k])) == 0;
    ok = ok && json_dumpf(rows, stdout, JSON_COMPACT) == 0;
    json_decref(rows);
    if (ok)
        putchar('\n');
    return ok;
}

static int print(const struct report *report, bool json)
{
    int code = VERIFY_SOUND;
    if (json && !print_json(report))
        return failed("no memory, or nowhere to write to", "");
    if (!json)
        print_table(report);
    for (size_t k = 0; k < report->count; k++)
        code = findings_of(&report->rows[k]) != 0 ? VERIFY_DAMAGED : code;
    return fflush(stdout) == 0 ? code : failed("the result cannot be written", "");
}

/* ---- all of it ---- */

int offline_verify(const char *path, bool json)
{
    char folder[PATH_MAX], error[IMAGES_ERROR_MAX];
    const char *only;
    struct images images;
    struct report report = {.terminal = isatty(STDERR_FILENO) != 0};
    offline_part(path, folder, &only);
    if (images_look(&images, folder[0] == '\0' ? "/" : folder, error, sizeof error) != IMAGES_FINE)
        return failed(error, "");
    int code = check_all(&report, &images, path, only);
    if (code == 0)
        code = print(&report, json);
    images_close(&images);
    free(report.rows);
    return code;
}
