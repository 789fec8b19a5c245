/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/e2e/saver.h"

#include "daemon/pool/pool.h"
#include "daemon/pool/saves.h"
#include "tests/lib/suite.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void *save_on(void *data)
{
    static const uint8_t no_params[] = {0x90};
    struct saver *saver = data;
    while (!atomic_load(&saver->stop) && saver->wrong[0] == '\0') {
        hf_reply *reply = NULL;
        int code = hf_call(saver->conn, "save", no_params, sizeof no_params, &reply);
        if (code == 0)
            atomic_fetch_add(&saver->answered, 1);
        else
            snprintf(saver->wrong, sizeof saver->wrong, "save: %s %s", hf_last_error(saver->conn)->word,
                     hf_last_error(saver->conn)->text);
        hf_reply_free(reply);
    }
    return NULL;
}

void saver_start(struct saver *saver, const struct live *live)
{
    const struct hf_hello_options options = {.name = "saver", .lease_ms = 3600000};
    *saver = (struct saver){.live = live};
    ck_assert_int_eq(hf_connect(live->unix_address, 120000, &saver->conn), 0);
    ck_assert_int_eq(hf_hello(saver->conn, &options), 0);
    ck_assert_int_eq(pthread_create(&saver->thread, NULL, save_on, saver), 0);
}

/* -1: there is none. */
static int open_saved(const struct saver *saver)
{
    char path[120], error[SAVES_ERROR_MAX];
    int fd = -1;
    snprintf(path, sizeof path, "%s/saves/default.save", saver->live->folder);
    if (access(path, F_OK) == 0)
        ck_assert_msg(saves_open(path, &fd, error, sizeof error) == SAVES_FINE, "%s", error);
    return fd;
}

void saver_look(struct saver *saver)
{
    struct saved_header header;
    char error[200];
    bool must_be = atomic_load(&saver->answered) > 0 || saver->found > 0;
    int fd = open_saved(saver);
    ck_assert_msg(fd >= 0 || !must_be, "a save was answered, and there is no file");
    if (fd < 0)
        return;
    ck_assert_msg(pool_saved_header(fd, &header, error, sizeof error) == 0 &&
                      pool_saved_check(fd, &header, error, sizeof error) == 0,
                  "a file with its name is broken: %s", error);
    ck_assert_uint_ge(header.superblock.next_version, saver->versions);
    saver->versions = header.superblock.next_version;
    saver->found++;
    close(fd);
}

void saver_end(struct saver *saver)
{
    atomic_store(&saver->stop, true);
    pthread_join(saver->thread, NULL);
    ck_assert_msg(saver->wrong[0] == '\0', "%s", saver->wrong);
    ck_assert_uint_gt(atomic_load(&saver->answered), 0);
    hf_close(saver->conn);
    saver_look(saver);
}

static void nothing_else(const struct saver *saver)
{
    char path[120];
    snprintf(path, sizeof path, "%s/saves", saver->live->folder);
    DIR *folder = opendir(path);
    ck_assert_ptr_nonnull(folder);
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;)
        ck_assert_msg(strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
                          strcmp(entry->d_name, "default.save") == 0,
                      "%s is left", entry->d_name);
    closedir(folder);
}

void saver_check(struct saver *saver)
{
    const struct pool_config config = {.name = "default",
                                       .max_bytes = 1u << 30,
                                       .epoch = 1,
                                       .serial_base = 1,
                                       .first_sid = 1,
                                       .now_ms = 1,
                                       .fd_meta = -1,
                                       .fd_values = -1};
    struct verify_result result;
    struct pool *pool;
    char error[200];
    int fd = open_saved(saver);
    nothing_else(saver);
    ck_assert_msg(pool_load(&pool, &config, fd, error, sizeof error) == 0, "%s", error);
    ck_assert_int_eq(pool_verify_begin(pool), 0);
    while (!pool_verify_step(pool, 100000, &result))
        continue;
    ck_assert_msg(result.findings_count == 0, "%s", result.findings[0].text);
    pool_close(pool);
    close(fd);
}
