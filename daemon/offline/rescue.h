/* SPDX-License-Identifier: BSD-3-Clause */
/* holdfastd --rescue: writes all that can be read of one pool, be it damaged, to a file. Only reads the pool.
 *
 * The file is a stream of MessagePack maps:
 *
 *     {rescue: 1, pool, epoch}                                        the first
 *     {object: id, value, slots: [id or nil, ...], version, tag, site, open, sealed}
 *     {name: str, object: id}
 *     {end: true, objects, names, lost, texts: [str, ...]}            the last: what could not be read, the first 100 */
#ifndef OFFLINE_RESCUE_H
#define OFFLINE_RESCUE_H

/* `path`: FOLDER/NAME, one of a pool's two files, a folder with one pool in it, or the file of a save. `output`: a file that
 * is not there yet. Tells on stderr what is missing, and progress if that is a terminal. Returns an exit code (path.h):
 * FINE, DAMAGED: some of it could not be read. */
int offline_rescue(const char *path, const char *output);

#endif
