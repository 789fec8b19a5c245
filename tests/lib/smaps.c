/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/lib/smaps.h"

#include <inttypes.h>
#include <stdlib.h>

struct mapping {
    uint64_t from, end;
    bool is_private;
};

struct range {
    uint64_t from, end;
};

/* What is mapped in a sanitizer's areas is the sanitizer's: it does not let the program map there. They are at fixed
 * addresses, to which neither a position independent program nor the kernel's choice of addresses comes near. */
struct sanitizer {
    uint64_t sign; /* a mapping begins there in a process that has it, and in no other */
    struct range areas[2];
};

/* x86-64. Both from compiler-rt, which GCC has as libsanitizer:
 * - tsan/rtl/tsan_platform.h, struct Mapping48AddressSpace: the shadow from 0100_0000_0000 to 2000_0000_0000 (GCC 12;
 *   in later versions from 1000_0000_0000 to 3000_0000_0000), the metainfo from 3000_0000_0000 (kMetaShadowBeg in all
 *   versions) to 4000_0000_0000 at most, the traces from 6000_0000_0000 to 6200_0000_0000 (later there is nothing);
 * - asan/asan_mapping.h, "Typical shadow mapping on Linux/x86_64 with SHADOW_OFFSET == 0x00007fff8000": LowShadow
 *   begins at 7fff_8000 (its mapping a page before that: asan/asan_shadow_setup.cpp), ShadowGap, which is always
 *   mapped, at 8fff_7000, HighShadow ends at 1000_7fff_8000. */
static const struct sanitizer sanitizers[] = {
    {0x300000000000, {{0x010000000000, 0x400000000000}, {0x600000000000, 0x620000000000}}},
    {0x00008fff7000, {{0x00007fff7000, 0x10007fff8000}, {0, 0}}},
};
#define SANITIZERS (sizeof sanitizers / sizeof *sanitizers)

struct sums {
    uint64_t all, within[SANITIZERS];
    const struct sanitizer *found;
};

static bool is_within(const struct mapping *mapping, const struct sanitizer *sanitizer)
{
    for (unsigned i = 0; i < 2; i++) {
        const struct range *area = &sanitizer->areas[i];
        if (mapping->from >= area->from && mapping->end <= area->end)
            return true;
    }
    return false;
}

/* Whether a mapping begins in this line. */
static bool begin(struct sums *sums, struct mapping *mapping, const char *line)
{
    struct mapping next;
    char rights[5] = "";
    if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s", &next.from, &next.end, rights) != 3)
        return false;
    next.is_private = rights[3] == 'p';
    *mapping = next;
    for (unsigned i = 0; i < SANITIZERS; i++) {
        if (next.from == sanitizers[i].sign)
            sums->found = &sanitizers[i];
    }
    return true;
}

/* Pages of shared mappings are not the process's, but those of their files. */
static void add(struct sums *sums, const struct mapping *mapping, const char *line)
{
    uint64_t kib;
    if (!mapping->is_private || (sscanf(line, "Anonymous: %" SCNu64 " kB", &kib) != 1 &&
                                 sscanf(line, "Swap: %" SCNu64 " kB", &kib) != 1))
        return;
    sums->all += kib * 1024;
    for (unsigned i = 0; i < SANITIZERS; i++)
        sums->within[i] += is_within(mapping, &sanitizers[i]) ? kib * 1024 : 0;
}

bool smaps_read(FILE *smaps, struct smaps *ret)
{
    struct sums sums = {0};
    struct mapping mapping = {0};
    char *line = NULL;
    size_t size = 0;
    while (getline(&line, &size, smaps) > 0) {
        if (!begin(&sums, &mapping, line))
            add(&sums, &mapping, line);
    }
    free(line);
    ret->sanitizer = sums.found == NULL ? 0 : sums.within[sums.found - sanitizers];
    ret->own = sums.all - ret->sanitizer;
    return mapping.end != 0;
}
