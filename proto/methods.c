/* SPDX-License-Identifier: BSD-3-Clause */
#include "proto/methods.h"

#include <stdbool.h>

static const struct hf_method_info method_infos[HF_METHOD_COUNT] = {{"", "", "", "", 0}, /* HF_METHOD_NONE */
#define LINE(name, params, options, flags, since) {#name, params, options, since, flags},
                                                                    HF_METHODS(LINE)
#undef LINE
};

static const char *const methods_later[] = {
#define LINE(name) #name,
    HF_METHODS_LATER(LINE)
#undef LINE
};

static const struct {
    enum hf_method method;
    const char *key;
} options_later[] = {
#define LINE(name, key) {HF_METHOD_##name, key},
    HF_OPTIONS_LATER(LINE)
#undef LINE
};

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static bool is_text(const void *bytes, size_t size, const char *text)
{
    return strlen(text) == size && memcmp(bytes, text, size) == 0;
}

const struct hf_method_info *hfp_method_info(enum hf_method method)
{
    return &method_infos[(unsigned)method < HF_METHOD_COUNT ? method : HF_METHOD_NONE];
}

_Bool hfp_option_is_later(enum hf_method method, const void *key, size_t size)
{
    for (size_t i = 0; i < COUNT_OF(options_later); i++) {
        if (options_later[i].method == method && is_text(key, size, options_later[i].key))
            return true;
    }
    return false;
}

_Bool hfp_method_is_later(const void *name, size_t size)
{
    for (size_t i = 0; i < COUNT_OF(methods_later); i++) {
        if (is_text(name, size, methods_later[i]))
            return true;
    }
    return false;
}
