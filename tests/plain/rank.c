/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A rank for tests/test_run.sh, which speaks to haul run by hand.
 *
 *     rank connect RANK     connects to that rank of this job: prints "connected", or why not
 *     rank sockets          prints the names of this process's sockets that have one
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <err.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "wire/job.h"

static unsigned number(const char *text)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);
	if (end == text || *end != '\0' || n > INT32_MAX)
		errx(2, "'%s' is no number", text);
	return (unsigned)n;
}

static const char *variable(const char *name)
{
	const char *value = getenv(name);
	if (value == NULL)
		errx(2, "no %s", name);
	return value;
}

static void connect_to(unsigned rank)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int len = snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, JOB_ADDRESS,
	    variable("HAUL_JOB"), rank);
	socklen_t all = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(fd, (struct sockaddr *)&address, all) == 0)
		puts("connected");
	else
		perror("connect");
}

static void print_sockets(void)
{
	DIR *fds = opendir("/proc/self/fd");
	if (fds == NULL)
		err(2, "/proc/self/fd");
	for (struct dirent *e; (e = readdir(fds)) != NULL;) {
		struct sockaddr_un name = { .sun_family = AF_UNSPEC };
		socklen_t len = sizeof(name);
		if (e->d_name[0] == '.' ||
		    getsockname((int)number(e->d_name), (struct sockaddr *)&name, &len) != 0)
			continue;
		size_t before = offsetof(struct sockaddr_un, sun_path) + 1;
		if (name.sun_family == AF_UNIX && len > before)
			printf("%.*s\n", (int)(len - before), name.sun_path + 1);
	}
	closedir(fds);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	if (strcmp(what, "connect") == 0 && argc == 3)
		connect_to(number(argv[2]));
	else if (strcmp(what, "sockets") == 0)
		print_sockets();
	else
		errx(2, "what?");
	return 0;
}
