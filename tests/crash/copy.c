/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/crash/copy.h"

#include "daemon/heap/recover.h"
#include "tests/crash/digest.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define PIECE (1u << 20)

int copy_file(int fd)
{
    int copy = memfd_create("copy", MFD_CLOEXEC);
    off_t end = lseek(fd, 0, SEEK_END), data = 0;
    char *buffer = malloc(PIECE);
    if (copy < 0 || buffer == NULL || ftruncate(copy, end) != 0)
        fixture_die("cannot copy an image");
    while ((data = lseek(fd, data, SEEK_DATA)) >= 0) {
        off_t hole = lseek(fd, data, SEEK_HOLE);
        while (data < hole) {
            size_t part = hole - data < (off_t)PIECE ? (size_t)(hole - data) : PIECE;
            if (pread(fd, buffer, part, data) != (ssize_t)part ||
                pwrite(copy, buffer, part, data) != (ssize_t)part)
                fixture_die("cannot copy an image");
            data += (off_t)part;
        }
    }
    free(buffer);
    return copy;
}

int copy_open(struct pool **ret, int fd_meta, int fd_values, uint64_t now_ms, bool look_only, char *error,
              size_t error_size)
{
    struct pool_config config = {.name = "copy",
                                 .max_bytes = 256u << 20,
                                 .epoch = 1,
                                 .serial_base = 1,
                                 .now_ms = now_ms,
                                 .fd_meta = fd_meta,
                                 .fd_values = fd_values,
                                 .look_only = look_only};
    return pool_open(ret, &config, error, error_size);
}

const char *copy_sound(struct pool *copy)
{
    static struct verify_result result; /* the finding is handed back */
    pool_mem(copy)->limit = UINT64_MAX;
    if (pool_verify_begin(copy) != 0)
        return "verify cannot begin";
    while (!pool_verify_step(copy, 100000, &result)) {
    }
    return result.findings_count > 0 ? result.findings[0].text : NULL;
}

/* Every id told was of a generation that a free entry has passed. */
const char *copy_generations(const struct pool *copy, const struct workload *w)
{
    const struct heap *heap = &copy->heap;
    for (uint32_t index = 1; index < heap->sb->index_top && index < WORKLOAD_TRACKED; index++) {
        uint64_t w0 = heap->hot[index].w0;
        if (w0_state(w0) == W0_FREE && w0_gen(w0) + 1 <= w->told[index])
            return "an id could be given out twice";
    }
    for (uint32_t index = (uint32_t)heap->sb->index_top; index < WORKLOAD_TRACKED; index++)
        if (w->told[index] != 0)
            return "an index that was told is not in the table";
    return NULL;
}

struct marks {
    const struct heap *heap;
    const struct workload *w; /* may be NULL */
    const char *wrong;
};

static int check_marks(void *owner, uint32_t ref, unsigned type)
{
    struct marks *marks = owner;
    const struct superblock *sb = marks->heap->sb;
    const void *cell = cell_at(marks->heap, ref);
    if (cell_is_name(type) && cell_name_version(cell) >= sb->next_version)
        marks->wrong = "the version of a name could be given out twice";
    if (type == CELL_TICKET && ((const struct cell_ticket *)cell)->number >= sb->next_ticket)
        marks->wrong = "the number of a ticket could be given out twice";
    if (type != CELL_ANON && type != CELL_SESSION)
        return marks->wrong != NULL;
    const struct cell_anon *session = cell;
    if (session->sid >= sb->next_sid)
        marks->wrong = "a sid could be given out twice";
    if (type == CELL_ANON || session->state != SESSION_OPEN)
        marks->wrong = "a session that does not go on is still there";
    for (unsigned k = 0; marks->w != NULL && k < marks->w->ended_count && k < WORKLOAD_ENDED; k++)
        if (marks->w->ended[k] == session->sid)
            marks->wrong = "a session that was ended is there again";
    return marks->wrong != NULL;
}

/* What was given out lies below the marks of the superblock, sessions that ended are gone, no operation is under
 * way. */
static const char *copy_marks(const struct pool *copy, const struct workload *w)
{
    struct marks marks = {.heap = &copy->heap, .w = w};
    const struct superblock *sb = copy->heap.sb;
    if (copy->heap.log->n != 0)
        return "the log is not empty after recovery";
    for (uint32_t index = 1; index < sb->index_top && marks.wrong == NULL; index++) {
        const struct hot *hot = &copy->heap.hot[index];
        if (w0_state(hot->w0) == W0_ALIVE && value_version(&copy->heap, hot) >= sb->next_version)
            marks.wrong = "the version of an object could be given out twice";
    }
    if (marks.wrong == NULL)
        (void)cells_each(&copy->heap, check_marks, &marks);
    return marks.wrong;
}

const char *copy_look(int fd_meta, int fd_values, uint64_t now_ms, const struct workload *w,
                      uint64_t *ret_digest)
{
    static char error[200]; /* handed back */
    struct pool *copy;
    if (copy_open(&copy, fd_meta, fd_values, now_ms, true, error, sizeof error) != 0)
        return error;
    const char *wrong = copy_sound(copy);
    if (wrong == NULL)
        wrong = copy_marks(copy, w);
    if (wrong == NULL && w != NULL)
        wrong = copy_generations(copy, w);
    uint64_t objects;
    if (wrong == NULL)
        *ret_digest = digest_count(copy, &objects);
    if (wrong == NULL && objects != copy->heap.alive)
        wrong = "an object is alive that nothing leads to";
    pool_close(copy);
    return wrong;
}
