/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/observe/page.h"

/* The Makefile makes this object anew when the page has changed. */
__asm__(".pushsection .rodata\n"
        ".globl observe_page\n"
        ".hidden observe_page\n"
        "observe_page:\n"
        ".incbin \"daemon/observe/page/index.html\"\n"
        ".globl observe_page_end\n"
        ".hidden observe_page_end\n"
        "observe_page_end:\n"
        ".byte 0\n"
        ".balign 8\n"
        ".globl observe_page_size\n"
        ".hidden observe_page_size\n"
        "observe_page_size:\n"
        ".quad observe_page_end - observe_page\n"
        ".popsection\n");

const char observe_page_policy[] = "default-src 'none'; style-src 'unsafe-inline'; connect-src 'self'; "
                                   "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
