/* SPDX-License-Identifier: BSD-3-Clause */
/* A configuration file in a folder of its own, for tests of what reads one. */
#ifndef HF_TESTS_LIB_CONFIG_FILE_H
#define HF_TESTS_LIB_CONFIG_FILE_H

#include <stddef.h>

struct config_file {
    char folder[32], path[40];
};

void config_file_make(struct config_file *file);
void config_file_remove(struct config_file *file);
/* Replaces what is in it. */
void config_file_write(const struct config_file *file, const char *text);

#endif
