/* SPDX-License-Identifier: BSD-3-Clause */
/* What a pool of workers does, whatever connects them: files are read, compressed, written. Whatever fails ends the
 * program. */
#ifndef EXAMPLES_POOL_FILES_H
#define EXAMPLES_POOL_FILES_H

#include <stddef.h>

struct bytes {
	void *at;
	size_t len;
};

/* A file, mapped; unmap_file() ends that. */
struct bytes map_file(const char *path);
void unmap_file(struct bytes file);

/* The same as gzip(1) would have it, in a buffer that is the next call's. */
struct bytes compress_bytes(struct bytes in);

/* Writes result number `number` to DIR/NUMBER-NAME.gz, NAME being the last part of path. */
void save_result(const char *dir, size_t number, const char *path, struct bytes result);

/* malloc() and realloc() that do not fail. */
void *need(void *old, size_t len);

/* Seconds on a clock that never goes back. */
double now(void);

#endif
