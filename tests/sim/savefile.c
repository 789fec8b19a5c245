/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/sim/savefile.h"

#include "daemon/heap/load.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define BUFFERS_MOST 5u

static int empty_file(void)
{
    int fd = memfd_create("saved", MFD_CLOEXEC);
    if (fd < 0)
        abort();
    return fd;
}

bool savefile_begin(struct savefile *file, struct pool *pool, struct random *random, uint64_t now_ms,
                    bool starved)
{
    struct mem *mem = pool_mem(pool);
    *file = (struct savefile){.pool = pool, .random = random, .fd = empty_file()};
    file->lazy = random_once_in(random, 2) ? 1 : (unsigned)random_between(random, 2, 20);
    full_io_open(&file->io, file->fd, random);
    const struct save_config config = {.fd = file->fd,
                                       .fd_past = file->io.fd_past,
                                       .memory = random_between(random, 1, BUFFERS_MOST) * SAVE_BUFFER,
                                       .now_ms = now_ms,
                                       .io = &file->io.io};
    mem->fail_at = starved ? mem->calls + random_between(random, 1, 3) : 0;
    int rc = save_begin(&pool->heap, &config, &pool->save);
    mem->fail_at = 0;
    if (rc == 0)
        return true;
    full_io_close(&file->io);
    close(file->fd);
    return false;
}

enum savefile_state savefile_go_on(struct savefile *file)
{
    struct save *save = file->pool->save;
    if (!random_once_in(file->random, file->lazy))
        return SAVEFILE_ON;
    if (random_once_in(file->random, 2))
        (void)pool_save_step(file->pool);
    if (file->chain == NULL)
        file->chain = save_take(save);
    if (file->chain != NULL && random_once_in(file->random, 3)) {
        save_given_back(save, file->chain, save_write(file->chain, NULL, NULL));
        file->chain = NULL;
    }
    int err = save_error(save);
    if (file->chain != NULL || (err == 0 && !save_is_done(save)))
        return SAVEFILE_ON;
    if (err == 0)
        return SAVEFILE_WHOLE;
    return err == -ENOSPC && file->io.fail_at != 0 ? SAVEFILE_FAILED : SAVEFILE_WRONG;
}

void savefile_end(struct savefile *file)
{
    if (file->chain != NULL)
        save_given_back(file->pool->save, file->chain, 0);
    pool_save_end(file->pool);
    full_io_close(&file->io);
    close(file->fd);
}

const char *savefile_load(struct savefile *file, int *ret_meta, int *ret_values)
{
    struct saved_header header;
    struct load_scan scan = {.records = 0};
    *ret_meta = empty_file();
    *ret_values = empty_file();
    bool fine = load_header(file->fd, &header, file->error, sizeof file->error) == LOAD_FINE &&
                load_pieces(file->fd, &header, *ret_meta, *ret_values, false, &scan, file->error,
                            sizeof file->error) == LOAD_FINE;
    return fine ? NULL : file->error;
}
