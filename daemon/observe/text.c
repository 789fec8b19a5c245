/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/observe/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_FIRST (16u * 1024)

void text_init(struct text *text, struct mem *mem, size_t most)
{
    *text = (struct text){.mem = mem, .most = most};
}

void text_done(struct text *text)
{
    mem_uncharge(text->mem, text->cap);
    free(text->data);
    text->data = NULL;
    text->cap = text->used = 0;
}

/* Room for `size` bytes more. */
static bool reserve(struct text *text, size_t size)
{
    size_t cap = text->cap == 0 ? TEXT_FIRST : text->cap;
    if (text->failed || size <= text->cap - text->used)
        return !text->failed;
    while (cap - text->used < size)
        cap *= 2;
    text->failed = text->used + size > text->most || !mem_charge(text->mem, cap - text->cap);
    if (text->failed)
        return false;
    char *data = realloc(text->data, cap);
    if (data == NULL) {
        mem_uncharge(text->mem, cap - text->cap);
        text->failed = true;
        return false;
    }
    text->data = data;
    text->cap = cap;
    return true;
}

void text_put(struct text *text, const void *data, size_t size)
{
    if (!reserve(text, size))
        return;
    memcpy(text->data + text->used, data, size);
    text->used += size;
}

void text_printf(struct text *text, const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    int size = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (size < 0 || (size_t)size >= sizeof line)
        text->failed = true;
    else
        text_put(text, line, (size_t)size);
}
