/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/lib/reply.h"

#include <stdlib.h>
#include <string.h>

struct hf_reply {
    size_t size;
    unsigned char data[];
};

hf_reply *hf__reply_copy(hf_item item)
{
    hf_reply *reply = malloc(sizeof *reply + item.size);
    if (reply == NULL)
        return NULL;
    reply->size = item.size;
    memcpy(reply->data, item.data, item.size);
    return reply;
}

void hf_reply_free(hf_reply *reply)
{
    free(reply);
}

hf_item hf_reply_item(const hf_reply *reply)
{
    if (reply == NULL)
        return (hf_item){0};
    return (hf_item){reply->data, reply->size};
}
