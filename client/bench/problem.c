/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/bench/problem.h"

#include <stdarg.h>
#include <stdio.h>

bool bench_fail(struct bench_problem *problem, int code, const char *format, ...)
{
    va_list args;
    if (problem->code != 0)
        return false;
    problem->code = code;
    va_start(args, format);
    vsnprintf(problem->text, sizeof problem->text, format, args);
    va_end(args);
    return false;
}

bool bench_fail_call(struct bench_problem *problem, const hf_conn *conn, const char *what)
{
    const struct hf_error *error = hf_last_error(conn);
    return bench_fail(problem, error->code, "%s: %s: %s", what, error->word, error->text);
}

bool bench_fail_memory(struct bench_problem *problem)
{
    return bench_fail(problem, HF_ERR_MEMORY, "this process has no memory left for the load");
}
