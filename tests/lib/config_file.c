/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/lib/config_file.h"
#include "tests/lib/checks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void config_file_make(struct config_file *file)
{
    strcpy(file->folder, "/tmp/hf-config-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(file->folder));
    snprintf(file->path, sizeof file->path, "%s/c", file->folder);
}

void config_file_remove(struct config_file *file)
{
    unlink(file->path);
    rmdir(file->folder);
}

void config_file_write(const struct config_file *file, const char *text)
{
    FILE *to = fopen(file->path, "we");
    ck_assert_ptr_nonnull(to);
    ck_assert_int_ge(fputs(text, to), 0);
    ck_assert_int_eq(fclose(to), 0);
}
