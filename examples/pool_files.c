/* SPDX-License-Identifier: BSD-3-Clause */
/* The work of a pool. See pool_files.h. */
#include "pool_files.h"

#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

void *need(void *old, size_t len)
{
	void *p = realloc(old, len > 0 ? len : 1);
	if (p == NULL)
		errx(1, "no memory for %zu bytes", len);
	return p;
}

double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct bytes map_file(const char *path)
{
	struct bytes file = { NULL, 0 };
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) != 0)
		err(1, "%s", path);
	file.len = (size_t)st.st_size;
	if (file.len > 0 && (file.at = mmap(NULL, file.len, PROT_READ, MAP_PRIVATE, fd, 0)) == MAP_FAILED)
		err(1, "%s", path);
	close(fd);
	return file;
}

void unmap_file(struct bytes file)
{
	if (file.len > 0)
		munmap(file.at, file.len);
}

struct bytes compress_bytes(struct bytes in)
{
	enum { GZIP = 16 + MAX_WBITS, MEMORY = 8 };
	static struct bytes room;
	z_stream z = { .next_in = in.at, .avail_in = (uInt)in.len };
	if (in.len > UINT32_MAX || deflateInit2(&z, 6, Z_DEFLATED, GZIP, MEMORY, Z_DEFAULT_STRATEGY) != Z_OK)
		errx(1, "zlib can't compress %zu bytes", in.len);
	size_t most = deflateBound(&z, in.len);
	if (room.at == NULL || room.len < most)
		room = (struct bytes){ need(room.at, most), most };
	z.next_out = room.at;
	z.avail_out = (uInt)room.len;
	if (deflate(&z, Z_FINISH) != Z_STREAM_END)
		errx(1, "zlib: %s", z.msg != NULL ? z.msg : "not all of it was compressed");
	deflateEnd(&z);
	return (struct bytes){ room.at, z.total_out };
}

void save_result(const char *dir, size_t number, const char *path, struct bytes result)
{
	char name[4096];
	const char *slash = strrchr(path, '/');
	snprintf(name, sizeof(name), "%s/%zu-%s.gz", dir, number, slash != NULL ? slash + 1 : path);
	FILE *f = fopen(name, "we");
	if (f == NULL || fwrite(result.at, 1, result.len, f) != result.len || fclose(f) != 0)
		err(1, "%s", name);
}
