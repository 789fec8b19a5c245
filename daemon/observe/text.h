/* SPDX-License-Identifier: BSD-3-Clause */
/* A text that grows, within a limit and a budget of memory. A failure is kept: what is appended then is lost, and the
 * text is of no use. */
#ifndef OBSERVE_TEXT_H
#define OBSERVE_TEXT_H

#include "daemon/base/mem.h"

struct text {
    struct mem *mem; /* charged; shared by threads, so not by mem_alloc() */
    char *data;
    size_t used, cap, most;
    bool failed;
};

void text_init(struct text *text, struct mem *mem, size_t most);
void text_done(struct text *text);
void text_put(struct text *text, const void *data, size_t size);
void text_printf(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
