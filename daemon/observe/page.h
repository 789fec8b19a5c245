/* SPDX-License-Identifier: BSD-3-Clause */
/* The page at `/`: daemon/observe/page/index.html, made a C array when the daemon is built. */
#ifndef OBSERVE_PAGE_H
#define OBSERVE_PAGE_H

#include <stddef.h>

extern const unsigned char observe_page[];
extern const size_t observe_page_size;

/* What it may do: nothing but show itself, and ask this endpoint for figures. */
extern const char observe_page_policy[];

#endif
