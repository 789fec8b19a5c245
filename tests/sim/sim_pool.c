/* SPDX-License-Identifier: BSD-3-Clause */
/* Drives pools by seeds against a naive model.
 *
 * HF_SEED  the first seed; a failure prints the seed of its run, which replays it alone
 * HF_OPS   operations in all
 * HF_TEST_LONG=1  seven times as many, HF_TRACE=1  prints what is done */
#include "tests/lib/environment.h"
#include "tests/sim/driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPERATIONS      150000u
#define OPERATIONS_LONG 1000000u
#define RUN_LEAST       300u /* operations on one pool */
#define RUN_MOST        6000u

int main(void)
{
    uint64_t seed = number_of("HF_SEED", 1);
    uint64_t operations = number_of("HF_OPS", number_of("HF_TEST_LONG", 0) ? OPERATIONS_LONG : OPERATIONS);
    bool trace = number_of("HF_TRACE", 0) != 0;
    struct sim_totals totals = {0};
    uint64_t first = seed;
    for (; totals.operations < operations; seed++) {
        struct random random = {seed};
        sim_run(seed, random_between(&random, RUN_LEAST, RUN_MOST), trace, &totals);
    }
    printf("sim_pool: seeds %llu to %llu, %llu operations on %llu pools, %llu objects, %llu out of memory, "
           "%llu compared, %llu verified, %llu recovered, %llu values and lists moved, %llu saved, "
           "%llu saves failed, %llu answered again\n",
           (unsigned long long)first, (unsigned long long)seed - 1, (unsigned long long)totals.operations,
           (unsigned long long)totals.episodes, (unsigned long long)totals.objects,
           (unsigned long long)totals.ooms, (unsigned long long)totals.compared,
           (unsigned long long)totals.verified, (unsigned long long)totals.recovered,
           (unsigned long long)totals.moved, (unsigned long long)totals.saved,
           (unsigned long long)totals.saves_failed, (unsigned long long)totals.resent);
    return EXIT_SUCCESS;
}
