/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory that is not like other memory, as a table of kinds: what one can have that the kernel treats
 * differently from malloc()'s when it copies from it or to it. It lasts until the process ends.
 */
#ifndef HAUL_TESTS_LIB_MEMORY_H
#define HAUL_TESTS_LIB_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct memory_kind {
	const char *name;
	/* Makes len bytes of it that hold the pattern of seed (pattern.h). NULL, or why there is none here. */
	const char *(*make)(size_t len, uint64_t seed, unsigned char **at);
	bool blank;      /* nobody has written to it: it holds zeros, not the pattern */
	bool read_only;  /* nothing can be received into it */
	bool unpinnable; /* its owner can read it, by write(2) too, but no other process */
	size_t len;      /* how much of it is worth a test */
};

enum { MEMORY_KINDS = 9, MEMORY_PAGE = 4096 };
extern const struct memory_kind memory_kinds[MEMORY_KINDS];

/* Pages of hugetlbfs(5), which have to be asked for: memory_ask_huge() lets so many bytes of them be had until it is
 * called with 0, if root. */
const char *memory_make_huge(size_t len, uint64_t seed, unsigned char **at);
const char *memory_ask_huge(size_t len);

/* A file without a name that holds the pattern. The caller closes it. */
int memory_file(size_t len, uint64_t seed);

#endif
