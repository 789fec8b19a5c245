/* SPDX-License-Identifier: BSD-3-Clause */
/* Public error codes: their words and sentences, and the way from a word on the wire to a code. */
#include "client/lib/errors.h"

#include <string.h>

#include "client/holdfast.h"
#include "proto/rpc.h"
#include "proto/version.h" /* the same version as in holdfast.h, or this does not compile */

struct entry {
    int code;
    const char *word;
    const char *text;
};

/* A code of the wire without a public number does not compile here. */
static const struct entry entries[] = {
    {0, "OK", ""},
#define ENTRY(code, text) {HF_ERR_##code, #code, text},
    HF_ERRORS(ENTRY)
#undef ENTRY
        {HF_ERR_OTHER, "OTHER", "an error that this version of the library does not know"},
    {HF_ERR_CONNECT, "CONNECT", "cannot connect; is holdfastd running?"},
    {HF_ERR_ADDRESS, "ADDRESS", "the address cannot be read; expected unix:PATH or tcp:HOST:PORT"},
    {HF_ERR_NOREPLY, "NOREPLY", "no answer in the time given; the request may still be done"},
    {HF_ERR_UNKNOWN, "UNKNOWN", "the connection broke before the answer: it may have been done or not"},
    {HF_ERR_UNSENT, "UNSENT", "there is no connection: it has not been done"},
    {HF_ERR_PROTOCOL, "PROTOCOL", "the answer is not what this version of the library expects"},
    {HF_ERR_MEMORY, "MEMORY", "no memory in this process"},
    {HF_ERR_ARGUMENT, "ARGUMENT", "the arguments do not fit the call"},
};

#define ENTRY_COUNT (sizeof entries / sizeof entries[0])

static const struct entry *find(int code)
{
    for (size_t i = 0; i < ENTRY_COUNT; i++) {
        if (entries[i].code == code)
            return &entries[i];
    }
    return NULL;
}

const char *hf_error_text(int code)
{
    const struct entry *entry = find(code);
    return entry != NULL ? entry->text : "no code of this library";
}

const char *hf_error_word(int code)
{
    const struct entry *entry = find(code);
    return entry != NULL ? entry->word : "OTHER";
}

int hf__error_code(const char *word, size_t size)
{
    if (hfp_err_find(word, size) == 0)
        return HF_ERR_OTHER;
    for (size_t i = 0; i < ENTRY_COUNT; i++) {
        if (strlen(entries[i].word) == size && memcmp(entries[i].word, word, size) == 0)
            return entries[i].code;
    }
    return HF_ERR_OTHER;
}
