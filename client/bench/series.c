/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/bench/series.h"

#include <stdlib.h>

void bench_series_init(struct bench_series *series, unsigned threads)
{
    *series = (struct bench_series){.threads = threads};
    pthread_mutex_init(&series->lock, NULL);
}

void bench_series_done(struct bench_series *series)
{
    for (size_t i = 0; i < series->count; i++)
        free(series->seconds[i].latency);
    free(series->seconds);
    pthread_mutex_destroy(&series->lock);
    *series = (struct bench_series){0};
}

/* Makes all seconds up to `index`. */
static bool reserve(struct bench_series *series, size_t index)
{
    while (index >= series->capacity) {
        size_t capacity = series->capacity == 0 ? 64 : 2 * series->capacity;
        struct bench_second *seconds = realloc(series->seconds, capacity * sizeof *seconds);
        if (seconds == NULL)
            return false;
        series->seconds = seconds;
        series->capacity = capacity;
    }
    while (series->count <= index)
        series->seconds[series->count++] = (struct bench_second){0};
    return true;
}

static void complete(struct bench_second *second)
{
    if (second->latency == NULL)
        return;
    second->p50_ns = bench_histogram_at(second->latency, 0.5);
    second->p99_ns = bench_histogram_at(second->latency, 0.99);
    second->max_ns = second->latency->max;
    free(second->latency);
    second->latency = NULL;
}

static bool report(struct bench_series *series, size_t index, const struct bench_histogram *latency,
                   uint64_t errors)
{
    if (!reserve(series, index))
        return false;
    struct bench_second *second = &series->seconds[index];
    if (second->latency == NULL && (second->latency = calloc(1, sizeof *second->latency)) == NULL)
        return false;
    bench_histogram_merge(second->latency, latency);
    second->requests += latency->count + errors;
    second->errors += errors;
    if (++second->reports == series->threads)
        complete(second);
    return true;
}

bool bench_series_report(struct bench_series *series, size_t index, const struct bench_histogram *latency,
                         uint64_t errors)
{
    pthread_mutex_lock(&series->lock);
    bool done = report(series, index, latency, errors);
    pthread_mutex_unlock(&series->lock);
    return done;
}

bool bench_series_latest(struct bench_series *series, size_t *ret_index, struct bench_second *ret)
{
    pthread_mutex_lock(&series->lock);
    size_t index = series->count;
    while (index > 0 && series->seconds[index - 1].reports < series->threads)
        index--;
    if (index > 0) {
        *ret_index = index - 1;
        *ret = series->seconds[index - 1];
    }
    pthread_mutex_unlock(&series->lock);
    return index > 0;
}

void bench_series_finish(struct bench_series *series)
{
    pthread_mutex_lock(&series->lock);
    for (size_t i = 0; i < series->count; i++)
        complete(&series->seconds[i]);
    pthread_mutex_unlock(&series->lock);
}
