/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/lib/smaps.h: texts as the kernel writes them, of a process of each flavour, and this process itself. */
#include "tests/lib/smaps.h"
#include "tests/lib/suite.h"

#include <string.h>
#include <sys/mman.h>

struct row {
    const char *begin; /* addresses and rights */
    unsigned anonymous, swap;
    const char *name;
};

#define ROWS_MAX 16

/* Position independent programs and what the kernel maps have such addresses in every flavour. */
static const struct row program[] = {
    {"558a8adbf000-558a8adc0000 rw-p", 4, 0, "/opt/holdfastd"},
    {"7fc4b4c00000-7fc4b4d80000 rw-s", 0, 700, "/memfd:default.values (deleted)"},
    {"7fc4b6000000-7fc4b8000000 rw-p", 1000, 50, ""},
    {"7ffe3a5e6000-7ffe3a607000 rw-p", 12, 0, "[stack]"},
};
#define PROGRAM_KIB (4 + 1000 + 50 + 12)

static void nothing(void)
{
}

/* With lines that begin like those that are looked for, and one that begins with a hexadecimal digit. */
static void print_row(FILE *text, const struct row *row)
{
    fprintf(text, "%s 00000000 00:00 0                          %s\n", row->begin, row->name);
    fprintf(text, "Size:               1024 kB\nRss:                 999 kB\nPrivate_Dirty:       999 kB\n");
    fprintf(text, "Anonymous:      %8u kB\nAnonHugePages:       999 kB\nFilePmdMapped:       999 kB\n",
            row->anonymous);
    fprintf(text, "Swap:           %8u kB\nSwapPss:             999 kB\nTHPeligible:           0\n",
            row->swap);
    fprintf(text, "VmFlags: rd wr mr mw me ac \n");
}

static void check(const struct row *rows, uint64_t own_kib, uint64_t sanitizer_kib)
{
    struct smaps smaps;
    FILE *text = tmpfile();
    ck_assert_ptr_nonnull(text);
    for (unsigned i = 0; i < ROWS_MAX && rows[i].begin != NULL; i++)
        print_row(text, &rows[i]);
    for (unsigned i = 0; i < sizeof program / sizeof *program; i++)
        print_row(text, &program[i]);
    rewind(text);
    ck_assert(smaps_read(text, &smaps));
    fclose(text);
    ck_assert_uint_eq(smaps.own, (own_kib + PROGRAM_KIB) * 1024);
    ck_assert_uint_eq(smaps.sanitizer, sanitizer_kib * 1024);
}

START_TEST(without_sanitizer)
{
    static const struct row none[ROWS_MAX];
    static const struct row heap[ROWS_MAX] = {{"558a8b000000-558a8b021000 rw-p", 30, 1, "[heap]"}};
    check(none, 0, 0);
    check(heap, 31, 0);
}
END_TEST

/* The addresses of a sanitizer are its own only if it is there. */
START_TEST(such_addresses_without_sanitizer)
{
    static const struct row rows[ROWS_MAX] = {
        {"10000000000-10000100000 rw-p", 100, 0, ""},
        {"600000000000-600000100000 rw-p", 20, 3, ""},
    };
    check(rows, 123, 0);
}
END_TEST

START_TEST(thread_sanitizer)
{
    static const struct row rows[ROWS_MAX] = {
        {"8000000000-10000000000 ---p", 0, 0, ""},
        {"10000000000-62a2b350000 rw-p", 300, 0, ""},
        {"f210bdb8000-1f0000001000 rw-p", 4000, 9, ""},
        {"200000000000-300000000000 ---p", 0, 0, ""},
        {"300000000000-33c182862000 rw-p", 60, 0, ""},
        {"33e41e500000-340000000000 rw-p", 7, 0, ""},
        {"600000000000-600000100000 rw-p", 80, 0, ""},
        {"7b0400000000-7b0400010000 rw-p", 500, 0, ""}, /* what the program allocated */
    };
    check(rows, 500, 300 + 4009 + 60 + 7 + 80);
}
END_TEST

START_TEST(later_thread_sanitizer)
{
    static const struct row rows[ROWS_MAX] = {
        {"100000000000-1a0000000000 rw-p", 300, 0, ""},
        {"2f0000000000-300000000000 rw-p", 4000, 0, ""},
        {"300000000000-380000000000 rw-p", 60, 0, ""},
        {"720000000000-720000100000 rw-p", 500, 0, ""},
    };
    check(rows, 500, 300 + 4000 + 60);
}
END_TEST

/* What the program allocated is where the other sanitizer has its traces. */
START_TEST(address_sanitizer)
{
    static const struct row rows[ROWS_MAX] = {
        {"7fff7000-7fff8000 rw-p", 4, 0, ""},           {"7fff8000-8fff7000 rw-p", 40, 0, ""},
        {"8fff7000-2008fff7000 ---p", 0, 0, ""},        {"2008fff7000-10007fff8000 rw-p", 600, 5, ""},
        {"602000000000-602000100000 rw-p", 500, 0, ""},
    };
    check(rows, 500, 44 + 605);
}
END_TEST

START_TEST(nothing_is_mapped)
{
    struct smaps smaps = {1, 1};
    FILE *file = fopen("/dev/null", "re");
    ck_assert_ptr_nonnull(file);
    ck_assert(!smaps_read(file, &smaps));
    ck_assert_uint_eq(smaps.own, 0);
    ck_assert_uint_eq(smaps.sanitizer, 0);
    fclose(file);
}
END_TEST

static struct smaps of_this_process(void)
{
    struct smaps smaps;
    FILE *file = fopen("/proc/self/smaps", "re");
    ck_assert_ptr_nonnull(file);
    ck_assert(smaps_read(file, &smaps));
    fclose(file);
    return smaps;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED true
#elif defined(__has_feature)
#define IS_SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define IS_SANITIZED false
#endif

/* The run time that this process is linked to has its areas where they are looked for. */
START_TEST(sanitizer_of_this_process)
{
    struct smaps smaps = of_this_process();
    ck_assert_uint_gt(smaps.own, 0);
    ck_assert_int_eq(smaps.sanitizer > 0, IS_SANITIZED);
}
END_TEST

/* Whatever this process is built with: a shadow of the pages is not among them. */
START_TEST(pages_of_this_process)
{
    size_t bytes = 16u << 20;
    uint64_t before = of_this_process().own;
    uint8_t *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert(pages != MAP_FAILED);
    memset(pages, 1, bytes);
    uint64_t with = of_this_process().own;
    munmap(pages, bytes);
    uint64_t after = of_this_process().own;
    ck_assert_uint_ge(with, before + bytes);
    ck_assert_uint_lt(with, before + bytes + bytes / 2);
    ck_assert_uint_lt(after, before + bytes / 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("smaps");
    TCase *tcase = suite_case(suite, "smaps", nothing, nothing);
    tcase_add_test(tcase, without_sanitizer);
    tcase_add_test(tcase, such_addresses_without_sanitizer);
    tcase_add_test(tcase, thread_sanitizer);
    tcase_add_test(tcase, later_thread_sanitizer);
    tcase_add_test(tcase, address_sanitizer);
    tcase_add_test(tcase, nothing_is_mapped);
    tcase_add_test(tcase, sanitizer_of_this_process);
    tcase_add_test(tcase, pages_of_this_process);
    return suite_run(suite);
}
