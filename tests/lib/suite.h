/* SPDX-License-Identifier: BSD-3-Clause */
/* What every libcheck program here has in common: test cases without a time limit (a slow machine is no
 * failure), and the exit code. */
#ifndef HF_TESTS_LIB_SUITE_H
#define HF_TESTS_LIB_SUITE_H

#include "tests/lib/checks.h"

#include <stdlib.h>

static inline TCase *suite_case(Suite *suite, const char *name, SFun setup, SFun teardown)
{
    TCase *tcase = tcase_create(name);
    tcase_set_timeout(tcase, 0);
    tcase_add_checked_fixture(tcase, setup, teardown);
    suite_add_tcase(suite, tcase);
    return tcase;
}

static inline int suite_run(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
