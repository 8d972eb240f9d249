/* SPDX-License-Identifier: BSD-3-Clause */
/* Kinds of memory. See memory.h. */
#include "memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "must.h"
#include "pattern.h"

/* Which older headers lack. */
#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif

enum { HUGE_PAGE = 2 << 20 };

static size_t whole(size_t len, size_t page)
{
	return (len + page - 1) / page * page;
}

static unsigned char *map(size_t len, int protection, int flags, int fd)
{
	unsigned char *at = mmap(NULL, len, protection, flags, fd, 0);
	must(at != MAP_FAILED);
	return at;
}

int memory_file(size_t len, uint64_t seed)
{
	char name[] = "/tmp/haul-test-XXXXXX";
	int fd = mkostemp(name, O_CLOEXEC);
	must(fd >= 0);
	unlink(name);
	must_be(ftruncate(fd, (off_t)len), 0);
	unsigned char *at = map(len, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
	pattern_fill(at, len, seed, 0);
	munmap(at, len);
	return fd;
}

/* ---- pages by size ---- */

/* Whether the kernel gave any to this process. */
static bool has_huge_pages(void)
{
	FILE *f = fopen("/proc/self/smaps_rollup", "r");
	char line[256];
	long kib = 0;
	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		sscanf(line, "AnonHugePages: %ld", &kib);
	if (f != NULL)
		fclose(f);
	return kib > 0;
}

static const char *make_transparently_huge(size_t len, uint64_t seed, unsigned char **at)
{
	size_t room = whole(len, HUGE_PAGE);
	unsigned char *all = map(room + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	*at = all + (HUGE_PAGE - (uintptr_t)all % HUGE_PAGE) % HUGE_PAGE;
	if (madvise(*at, room, MADV_HUGEPAGE) != 0)
		return "no transparent huge pages here";
	pattern_fill(*at, len, seed, 0);
	return has_huge_pages() ? NULL : "the kernel gave no huge page";
}

const char *memory_make_huge(size_t len, uint64_t seed, unsigned char **at)
{
	*at = mmap(NULL, whole(len, HUGE_PAGE), PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	if (*at == MAP_FAILED)
		return "no huge pages to be had";
	pattern_fill(*at, len, seed, 0);
	return NULL;
}

/* By what may be had beyond those that lie ready: those would be lost to the machine if the test died. */
const char *memory_ask_huge(size_t len)
{
	static long before = -1;
	FILE *f = fopen("/proc/sys/vm/nr_overcommit_hugepages", "r+");
	if (f == NULL)
		return "huge pages can be asked for by root only";
	if (before < 0)
		must_be(fscanf(f, "%ld", &before), 1);
	rewind(f);
	fprintf(f, "%ld\n", before + (long)(whole(len, HUGE_PAGE) / HUGE_PAGE));
	return fclose(f) == 0 ? NULL : "no huge pages can be asked for";
}

/* ---- what lies behind them ---- */

static const char *make_anonymous_shared(size_t len, uint64_t seed, unsigned char **at)
{
	*at = map(len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1);
	pattern_fill(*at, len, seed, 0);
	return NULL;
}

static const char *make_memfd(size_t len, uint64_t seed, unsigned char **at)
{
	int fd = memfd_create("haul-test", MFD_CLOEXEC);
	if (fd < 0)
		return "no memfd here";
	must_be(ftruncate(fd, (off_t)len), 0);
	*at = map(len, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
	pattern_fill(*at, len, seed, 0);
	close(fd);
	return NULL;
}

static const char *make_file(size_t len, uint64_t seed, unsigned char **at)
{
	int fd = memory_file(len, seed);
	*at = map(len, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
	close(fd);
	return NULL;
}

/* Of a file's pages, each second has been written to and is this process's own. */
static const char *make_half_copied_file(size_t len, uint64_t seed, unsigned char **at)
{
	int fd = memory_file(len, seed);
	*at = map(len, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd);
	close(fd);
	for (size_t i = 0; i < len; i += 2 * MEMORY_PAGE)
		pattern_fill(*at + i, 1, seed, i);
	return NULL;
}

static const char *make_read_only_file(size_t len, uint64_t seed, unsigned char **at)
{
	int fd = memory_file(len, seed);
	*at = map(len, PROT_READ, MAP_PRIVATE, fd);
	close(fd);
	return NULL;
}

static const char *make_untouched(size_t len, uint64_t seed, unsigned char **at)
{
	(void)seed;
	*at = map(len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	return NULL;
}

/* The kernel itself has no mapping of it: memfd_secret(2). */
static const char *make_secret(size_t len, uint64_t seed, unsigned char **at)
{
	int fd = (int)syscall(SYS_memfd_secret, 0);
	if (fd < 0)
		return "no secret memory here";
	must_be(ftruncate(fd, (off_t)len), 0);
	*at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (*at == MAP_FAILED)
		return "not so much secret memory here"; /* RLIMIT_MEMLOCK */
	pattern_fill(*at, len, seed, 0);
	return NULL;
}

/* ---- what lies beyond ---- */

/* Its last byte is the last before a page that nobody may touch. */
static const char *make_guarded(size_t len, uint64_t seed, unsigned char **at)
{
	size_t room = whole(len, MEMORY_PAGE);
	unsigned char *all = map(room + MEMORY_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	must_be(mprotect(all + room, MEMORY_PAGE, PROT_NONE), 0);
	*at = all + room - len;
	pattern_fill(*at, len, seed, 0);
	return NULL;
}

enum { LEN = (8 << 20) + 3 };

const struct memory_kind memory_kinds[MEMORY_KINDS] = {
	{ "transparent huge pages", make_transparently_huge, .len = 64 << 20 },
	{ "anonymous shared memory", make_anonymous_shared, .len = LEN },
	{ "a memfd", make_memfd, .len = LEN },
	{ "a file, shared", make_file, .len = LEN },
	{ "a file, partly copied", make_half_copied_file, .len = LEN },
	{ "a file, read only", make_read_only_file, .read_only = true, .len = LEN },
	{ "memory never touched", make_untouched, .blank = true, .len = LEN },
	{ "secret memory", make_secret, .unpinnable = true, .len = 2 << 20 },
	{ "memory before a guard page", make_guarded, .len = LEN },
};
