/* SPDX-License-Identifier: BSD-3-Clause */
/* Counting descriptors by /proc/self/fd. See fds.h. */
#include "fds.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Walks over the open descriptors, leaving out the one it walks with. */
static int walk(bool print)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	cr_assert(dir != NULL, "/proc/self/fd: %s", strerror(errno));
	for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
		if (entry->d_name[0] == '.' || atoi(entry->d_name) == dirfd(dir))
			continue;
		n++;
		if (print) {
			char what[256];
			ssize_t len = readlinkat(dirfd(dir), entry->d_name, what, sizeof(what));
			fprintf(stderr, "fd %s: %.*s\n", entry->d_name, len < 0 ? 0 : (int)len, what);
		}
	}
	closedir(dir);
	return n;
}

int fds_count(void)
{
	return walk(false);
}

void fds_print(void)
{
	walk(true);
}

void fds_expect(int count)
{
	int now = fds_count();
	if (now != count)
		fds_print();
	cr_assert(now == count, "%d descriptors are open; expected: %d", now, count);
}
