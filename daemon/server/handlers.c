/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/server/handlers.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

const handler_fn handlers[HF_METHOD_COUNT] = {
#define HANDLER(name, params, options, flags, since) [HF_METHOD_##name] = handle_##name,
    HF_METHODS(HANDLER)
#undef HANDLER
};

static const char index_word[] = " index=";

/* Takes `index=` and its number out of the details of the error noted. */
static void drop_index(struct call *call)
{
    char *end = memchr(call->error, ':', call->error_size);
    char *at =
        end ? memmem(call->error, (size_t)(end - call->error), index_word, sizeof(index_word) - 1) : NULL;
    char *behind;

    if (at == NULL)
        return;
    behind = at + sizeof(index_word) - 1;
    while (*behind >= '0' && *behind <= '9')
        behind++;
    memmove(at, behind, call->error_size - (size_t)(behind - call->error));
    call->error_size -= (uint32_t)(behind - at);
}

int call_at_index(struct call *call, int r, uint32_t index)
{
    char word[32];
    size_t size, code_end;

    if (r >= 0)
        return r;
    if (call->error_size == 0)
        return call_fail(call, -r, NULL, "index=%u", index);
    drop_index(call);
    size = (size_t)snprintf(word, sizeof(word), "%s%u", index_word, index);
    if (call->error_size + size > CALL_ERROR_MAX)
        return r;
    /* Behind the code's word, which a space or the colon ends. */
    for (code_end = 0; call->error[code_end] != ' ' && call->error[code_end] != ':'; code_end++)
        assert(code_end < call->error_size);
    memmove(call->error + code_end + size, call->error + code_end, call->error_size - code_end);
    memcpy(call->error + code_end, word, size);
    call->error_size += (uint32_t)size;
    return r;
}

int call_list_error(struct call *call, int r, bool array)
{
    r = call_pool_error(call, r);
    if (!array)
        drop_index(call);
    return r;
}

int call_bad_pool_name(struct call *call, const char *word, const char *key)
{
    return call_fail(call, HF_E_BADARG,
                     "a pool's name has 1 to 64 of a-z 0-9 . _ - and begins with a letter or digit", "%s=%s",
                     word, key);
}

void reply_pair_uint(struct call *call, const char *key, uint64_t value)
{
    reply_text(call, key);
    reply_uint(call, value);
}

void reply_pair_bool(struct call *call, const char *key, bool value)
{
    reply_text(call, key);
    reply_bool(call, value);
}

void reply_pair_text(struct call *call, const char *key, const char *value)
{
    reply_text(call, key);
    reply_text(call, value);
}

void reply_pair_str(struct call *call, const char *key, const uint8_t *data, uint32_t size)
{
    reply_text(call, key);
    if (size == 0)
        reply_nil(call);
    else
        reply_str(call, data, size);
}

void reply_pair_known(struct call *call, const char *key, uint64_t value)
{
    reply_text(call, key);
    reply_id_or_nil(call, value);
}

void reply_id_or_nil(struct call *call, uint64_t id)
{
    if (id == 0)
        reply_nil(call);
    else
        reply_uint(call, id);
}

void reply_uints(struct call *call, const uint64_t *values, uint32_t count, bool array)
{
    if (array)
        reply_array(call, count);
    for (uint32_t i = 0; i < count; i++)
        reply_uint(call, values[i]);
}

void reply_versioned(struct call *call, const uint64_t *values, const uint64_t *versions, uint32_t count,
                     bool array)
{
    if (array)
        reply_array(call, count);
    for (uint32_t i = 0; i < count; i++) {
        reply_array(call, 2);
        reply_uint(call, values[i]);
        reply_uint(call, versions[i]);
    }
}
