/* SPDX-License-Identifier: BSD-3-Clause */
/* A byte queue in one piece of memory: written at its end, taken from its start.
 *
 * Always: start <= end <= capacity, and the queue is data[start, end). A zeroed struct is an empty queue.
 * Whoever embeds it owns it and calls hf__buffer_done. */
#ifndef HF_CLIENT_BUFFER_H
#define HF_CLIENT_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hf__buffer {
    uint8_t *data;
    size_t start, end, capacity;
};

static inline size_t hf__buffer_size(const struct hf__buffer *buffer)
{
    return buffer->end - buffer->start;
}

void hf__buffer_done(struct hf__buffer *buffer);

/* Makes room for `room` bytes behind the end; may move the content. False without memory: nothing has
 * changed. */
bool hf__buffer_reserve(struct hf__buffer *buffer, size_t room);

/* Copies `size` bytes to the end. False without memory: nothing has changed. */
bool hf__buffer_append(struct hf__buffer *buffer, const void *bytes, size_t size);

/* Takes `size` bytes from the start. An empty queue gives a large piece of memory back. */
void hf__buffer_take(struct hf__buffer *buffer, size_t size);

#endif
