/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/lib/buffer.h"

#include <stdlib.h>
#include <string.h>

#define CAPACITY_MIN 4096
#define CAPACITY_KEPT                                                                                        \
    (1024 * 1024) /* an empty queue above it is freed: one large value must not stay for ever */

void hf__buffer_done(struct hf__buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct hf__buffer){0};
}

bool hf__buffer_reserve(struct hf__buffer *buffer, size_t room)
{
    size_t size = hf__buffer_size(buffer);
    if (buffer->capacity - buffer->end >= room)
        return true;
    if (room > SIZE_MAX / 4 || size > SIZE_MAX / 4)
        return false;
    /* Moving down is cheap enough only while it frees at least half: each byte then moves O(1) times. */
    if (buffer->start >= buffer->capacity / 2 && buffer->capacity - size >= room) {
        memmove(buffer->data, buffer->data + buffer->start, size);
        buffer->start = 0;
        buffer->end = size;
        return true;
    }
    size_t capacity = buffer->capacity < CAPACITY_MIN ? CAPACITY_MIN : buffer->capacity;
    while (capacity < size + room)
        capacity *= 2;
    uint8_t *data = malloc(capacity);
    if (data == NULL)
        return false;
    if (size != 0)
        memcpy(data, buffer->data + buffer->start, size);
    free(buffer->data);
    *buffer = (struct hf__buffer){.data = data, .end = size, .capacity = capacity};
    return true;
}

bool hf__buffer_append(struct hf__buffer *buffer, const void *bytes, size_t size)
{
    if (size == 0)
        return true;
    if (!hf__buffer_reserve(buffer, size))
        return false;
    memcpy(buffer->data + buffer->end, bytes, size);
    buffer->end += size;
    return true;
}

void hf__buffer_take(struct hf__buffer *buffer, size_t size)
{
    buffer->start += size;
    if (buffer->start != buffer->end)
        return;
    if (buffer->capacity > CAPACITY_KEPT)
        hf__buffer_done(buffer);
    buffer->start = 0;
    buffer->end = 0;
}
