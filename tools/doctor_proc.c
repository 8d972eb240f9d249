/* SPDX-License-Identifier: BSD-3-Clause */
/* haul doctor: files of /proc and the like, as text. See doctor.h. */
#include "doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool doctor_proc_read(const char *path, char *text, size_t size)
{
	size_t len = 0;
	ssize_t n = -1;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		while ((n = read(fd, text + len, size - 1 - len)) > 0)
			len += (size_t)n;
		close(fd);
	}
	text[len] = '\0';
	/* One line is wanted as words, without its end. */
	if (len > 0 && text[len - 1] == '\n')
		text[len - 1] = '\0';
	return n == 0 || len > 0;
}

const char *doctor_proc_field(const char *text, const char *key)
{
	size_t len = strlen(key);
	for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, len) == 0 && line[len] == ':')
			return line + len + 1 + strspn(line + len + 1, " \t");
	}
	return NULL;
}

bool doctor_proc_numbers(const char *text, const char *key, int base, uint64_t *numbers, size_t count)
{
	const char *at = doctor_proc_field(text, key);
	for (size_t i = 0; i < count; i++) {
		char *end;
		if (at == NULL)
			return false;
		numbers[i] = strtoull(at, &end, base);
		if (end == at)
			return false;
		at = end;
	}
	return true;
}

void doctor_proc_ns(const char *who, const char *name, char *ns, size_t size)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%s/ns/%s", who, name);
	ssize_t n = readlink(path, ns, size - 1);
	ns[n > 0 ? n : 0] = '\0';
}
