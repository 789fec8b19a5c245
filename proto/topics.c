/* SPDX-License-Identifier: BSD-3-Clause */
#include "proto/topics.h"

#include <string.h>

static const struct hf_topic_info topic_infos[HF_TOPIC_COUNT] = {
    {"", "", "", HF_T_NO_KEY, HF_T_OWN}, /* HF_TOPIC_NONE */
#define LINE(name, fields, key, kind, since) {#name, fields, since, key, kind},
    HF_TOPICS(LINE)
#undef LINE
};

const struct hf_topic_info *hfp_topic_info(enum hf_topic topic)
{
    return &topic_infos[(unsigned)topic < HF_TOPIC_COUNT ? topic : HF_TOPIC_NONE];
}

enum hf_topic hfp_topic_find(const void *name, size_t size)
{
    for (unsigned topic = HF_TOPIC_NONE + 1; topic < HF_TOPIC_COUNT; topic++) {
        if (strlen(topic_infos[topic].name) == size && memcmp(topic_infos[topic].name, name, size) == 0)
            return (enum hf_topic)topic;
    }
    return HF_TOPIC_NONE;
}
