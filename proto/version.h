/* SPDX-License-Identifier: BSD-3-Clause */
/* The version of this tree: told by `hello`, --version and the file name of the library. client/holdfast.h,
 * which is installed alone, says the same; a difference would not compile where both are included. */
#ifndef HF_PROTO_VERSION_H
#define HF_PROTO_VERSION_H

#define HF_VERSION "0.1.0"

#endif
