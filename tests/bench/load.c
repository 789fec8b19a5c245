/* SPDX-License-Identifier: BSD-3-Clause */
/* The load generator of `make bench`: the same loop, the same batches and the same checks for every
 * server.
 *
 *   load fill --server S --address A [--item value|counter|named] [--objects N] [--value BYTES] [--ids FILE]
 *       makes the objects, writes their ids to FILE, prints "ready" and keeps its session until stdin ends
 *   load run --server S --address A [--work get|count|put] [--random] [--objects N] [--value BYTES] [--ids FILE]
 *            [--connections N] [--depth N] [--seconds S] [--warmup S] [--units N] [--pid PID]
 *       puts the load on and prints one line of JSON; one wrong reply fails the run
 *
 * S is redis, memcached, holdfast or echo; A is unix:PATH or tcp:HOST:PORT. */
#include "tests/bench/lib/clock.h"
#include "tests/bench/lib/engine.h"
#include "tests/bench/lib/net.h"
#include "tests/bench/lib/plan.h"
#include "tests/bench/lib/preload.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct options {
    const struct load_protocol *protocol;
    const char *ids_path;
    enum load_item item;
    struct load_spec spec;
    struct load_run run;
};

static int usage(void)
{
    fprintf(
        stderr,
        "usage: load fill|run --server redis|memcached|holdfast|echo --address unix:PATH|tcp:HOST:PORT\n"
        "  fill: [--item value|counter|named] [--objects N] [--value BYTES] [--ids FILE]\n"
        "  run:  [--work get|count|put] [--random] [--replay] [--objects N] [--value BYTES] [--ids FILE]\n"
        "        [--connections N] [--depth N] [--seconds S] [--warmup S] [--units N] [--pid PID]\n");
    return 2;
}

/* The place of `word` in the list, which ends with NULL; -1 when it is not there. */
static int place_of(const char *word, const char *const *list)
{
    for (int i = 0; list[i]; i++)
        if (strcmp(list[i], word) == 0)
            return i;
    return -1;
}

static bool set_work(struct options *options, const char *word)
{
    static const char *const words[] = {"get", "count", "put", NULL};
    int place = place_of(word, words);
    options->spec.work = (enum load_work)place;
    return place >= 0;
}

static bool set_item(struct options *options, const char *word)
{
    static const char *const words[] = {"value", "counter", "named", NULL};
    int place = place_of(word, words);
    options->item = (enum load_item)place;
    return place >= 0;
}

static bool set_option(struct options *options, int option, const char *text)
{
    uint32_t number = text ? (uint32_t)strtoul(text, NULL, 10) : 0;
    uint64_t ns = text ? (uint64_t)(strtod(text, NULL) * 1e9) : 0;
    switch (option) {
    case 's': options->protocol = load_protocol_find(text); return options->protocol != NULL;
    case 'a': options->run.address = text; return true;
    case 'w': return set_work(options, text);
    case 'k': return set_item(options, text);
    case 'r': options->spec.random = true; return true;
    case 'y': options->spec.replay = true; return true;
    case 'o': options->spec.objects = number; return number > 0;
    case 'v': options->spec.value_bytes = number; return number >= 8;
    case 'i': options->ids_path = text; return true;
    case 'c': options->run.connections = number; return number > 0;
    case 'd': options->spec.depth = number; return number > 0;
    case 't': options->run.measure_ns = ns; return ns > 0;
    case 'u': options->run.warmup_ns = ns; return true;
    case 'n': options->run.max_units = number; return number > 0;
    case 'p': options->run.server_pid = (int)number; return number > 0;
    default: return false;
    }
}

static bool parse(struct options *options, int argc, char **argv)
{
    static const struct option known[] = {
        {"server", required_argument, NULL, 's'},
        {"address", required_argument, NULL, 'a'},
        {"work", required_argument, NULL, 'w'},
        {"item", required_argument, NULL, 'k'},
        {"random", no_argument, NULL, 'r'},
        {"replay", no_argument, NULL, 'y'},
        {"objects", required_argument, NULL, 'o'},
        {"value", required_argument, NULL, 'v'},
        {"ids", required_argument, NULL, 'i'},
        {"depth", required_argument, NULL, 'd'},
        {"connections", required_argument, NULL, 'c'},
        {"seconds", required_argument, NULL, 't'},
        {"warmup", required_argument, NULL, 'u'},
        {"units", required_argument, NULL, 'n'},
        {"pid", required_argument, NULL, 'p'},
        {NULL, 0, NULL, 0},
    };
    int option;
    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1)
        if (!set_option(options, option, optarg))
            return false;
    return optind == argc - 1 && options->protocol && options->run.address;
}

static int save_ids(const char *path, const uint64_t *ids, uint32_t count)
{
    FILE *file = fopen(path, "wb");
    if (!file)
        return -1;
    size_t written = fwrite(ids, sizeof *ids, count, file);
    return fclose(file) == 0 && written == count ? 0 : -1;
}

/* Returns the ids, for free(), or NULL. */
static uint64_t *read_ids(const char *path, uint32_t count)
{
    FILE *file = fopen(path, "rb");
    uint64_t *ids = malloc(count * sizeof *ids);
    if (file && ids && fread(ids, sizeof *ids, count, file) != count) {
        free(ids);
        ids = NULL;
    }
    if (file)
        fclose(file);
    else {
        free(ids);
        ids = NULL;
    }
    return ids;
}

static int make_objects(const struct options *options, int fd, uint64_t *ids)
{
    char bad_reply[120];
    if (load_preload(options->protocol, fd, options->item, options->spec.objects, options->spec.value_bytes,
                     ids, bad_reply) < 0) {
        fprintf(stderr, "load: fill %s: %s %s\n", options->protocol->name, strerror(errno), bad_reply);
        return 1;
    }
    if (options->ids_path && save_ids(options->ids_path, ids, options->spec.objects) < 0) {
        fprintf(stderr, "load: %s: %s\n", options->ids_path, strerror(errno));
        return 1;
    }
    return 0;
}

static int fill(const struct options *options)
{
    char ignored[256];
    uint64_t *ids = calloc(options->spec.objects, sizeof *ids);
    int fd = load_connect(options->run.address);
    if (fd < 0 || !ids || !options->protocol->write_item) {
        fprintf(stderr, "load: cannot fill %s: %s\n", options->run.address, strerror(errno));
        free(ids);
        return 1;
    }
    int status = make_objects(options, fd, ids);
    free(ids);
    if (status == 0) {
        puts("ready");
        fflush(stdout);
        while (read(STDIN_FILENO, ignored, sizeof ignored) > 0)
            ;
    }
    close(fd);
    return status;
}

static void print_result(const struct load_plan *plan, const struct load_result *result)
{
    double seconds = (double)result->wall_ns / 1e9;
    double requests = (double)result->units * plan->requests_per_unit;
    printf("{\"requests\": %.0f, \"seconds\": %.6f, \"rate\": %.1f, \"cpu_ns\": %.2f, \"server_busy\": %.4f, "
           "\"own_busy\": %.4f, \"own_cpu_ns\": %.2f, \"p50_us\": %.2f, \"p99_us\": %.2f, \"p999_us\": %.2f, "
           "\"max_us\": %.2f}\n",
           requests, seconds, requests / seconds, requests > 0 ? (double)result->server_cpu_ns / requests : 0,
           (double)result->server_cpu_ns / (double)result->wall_ns,
           (double)result->own_cpu_ns / (double)result->wall_ns,
           requests > 0 ? (double)result->own_cpu_ns / requests : 0,
           (double)load_histogram_at(&result->latency, 0.5) / 1e3,
           (double)load_histogram_at(&result->latency, 0.99) / 1e3,
           (double)load_histogram_at(&result->latency, 0.999) / 1e3, (double)result->latency.max_ns / 1e3);
}

static int run(struct options *options)
{
    struct load_plan plan;
    struct load_result *result = malloc(sizeof *result);
    uint64_t *ids = options->ids_path ? read_ids(options->ids_path, options->spec.objects) : NULL;
    int status = 1;
    options->spec.ids = ids;
    if (!result || (options->ids_path && !ids)) {
        fprintf(stderr, "load: cannot read the ids: %s\n", strerror(errno));
    } else if (load_plan_make(&plan, options->protocol, &options->spec) < 0) {
        fprintf(stderr, "load: %s cannot do this work, --ids is missing, or memory is short\n",
                options->protocol->name);
    } else {
        status = load_engine_run(&plan, &options->run, result) < 0;
        if (status == 0)
            print_result(&plan, result);
        else
            fprintf(stderr, "load: %s: %s\n", options->protocol->name, result->failure);
        load_plan_drop(&plan);
    }
    free(ids);
    free(result);
    return status;
}

int main(int argc, char **argv)
{
    struct options options = {
        .item = LOAD_VALUE,
        .spec = {.work = LOAD_GET, .objects = 1000000, .value_bytes = 64, .depth = 1},
        .run = {.connections = 50, .warmup_ns = 200000000, .measure_ns = 1000000000},
    };
    if (!parse(&options, argc, argv))
        return usage();
    if (strcmp(argv[optind], "fill") == 0)
        return fill(&options);
    if (strcmp(argv[optind], "run") == 0)
        return run(&options);
    return usage();
}
