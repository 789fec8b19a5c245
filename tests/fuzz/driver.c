/* SPDX-License-Identifier: BSD-3-Clause */
/* Runs a fuzzer without libFuzzer: each seed, then a fixed number of their mutations; or the files named by its
 * arguments, each one an input. HF_SEED chooses other mutations, HF_TEST_LONG=1 eight times as many. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tests/lib/random.h"

enum { INPUT_MAX = 512, ROUNDS = 50000, ROUNDS_LONG = 8 * ROUNDS };

static size_t mutate(struct random *r, uint8_t *bytes, size_t size)
{
    size_t at = (size_t)random_below(r, size + 1);
    switch (random_below(r, 5)) {
    case 0: /* another byte, or one more at the end */
    case 1:
        if (at == size && size < INPUT_MAX)
            size++;
        if (at < size)
            bytes[at] = (uint8_t)random_next(r);
        return size;
    case 2: /* the end is missing */ return at;
    case 3: /* a byte is missing */
        if (at == size)
            return size;
        memmove(bytes + at, bytes + at + 1, size - at - 1);
        return size - 1;
    default: /* some bytes stand there twice */
        if (2 * size - at > INPUT_MAX)
            return size;
        memmove(bytes + size, bytes + at, size - at);
        return 2 * size - at;
    }
}

static void run(const uint8_t *bytes, size_t size)
{
    /* Exactly its size, for ASan. */
    uint8_t *input = malloc(size + (size == 0));
    if (input == NULL)
        abort();
    memcpy(input, bytes, size);
    LLVMFuzzerTestOneInput(input, size);
    free(input);
}

static void run_mutations(uint64_t seed, unsigned long rounds)
{
    struct random r = {.state = seed};
    size_t count;
    const struct fuzz_seed *seeds = fuzz_seeds(&count);
    for (size_t i = 0; i < count; i++)
        run(seeds[i].bytes, seeds[i].size);
    for (unsigned long i = 0; i < rounds; i++) {
        uint8_t bytes[INPUT_MAX];
        const struct fuzz_seed *from = &seeds[random_below(&r, count)];
        size_t size = from->size < INPUT_MAX ? from->size : INPUT_MAX;
        memcpy(bytes, from->bytes, size);
        for (uint64_t n = random_between(&r, 1, 6); n > 0; n--)
            size = mutate(&r, bytes, size);
        run(bytes, size);
    }
}

static int run_file(const char *path)
{
    static uint8_t bytes[1 << 20];
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        return EXIT_FAILURE;
    }
    size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    run(bytes, size);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    int result = EXIT_SUCCESS;
    for (int i = 1; i < argc; i++)
        result |= run_file(argv[i]);
    if (argc > 1)
        return result;
    const char *seed = getenv("HF_SEED");
    const char *wide = getenv("HF_TEST_LONG");
    unsigned long rounds = wide != NULL && strcmp(wide, "1") == 0 ? ROUNDS_LONG : ROUNDS;
    uint64_t number = seed != NULL ? strtoull(seed, NULL, 0) : 1;
    printf("seed %llu, %lu mutations\n", (unsigned long long)number, rounds);
    fflush(stdout);
    run_mutations(number, rounds);
    return EXIT_SUCCESS;
}
