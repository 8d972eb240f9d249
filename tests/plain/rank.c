/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A rank for tests/test_run.sh, which speaks to haul run by hand.
 *
 *     rank connect RANK     connects to that rank of this job: prints "connected", or why not
 *     rank sockets          prints the names of this process's sockets that have one
 *     rank hear COUNT       prints so many notes: "dead 3 139", "left 2 0"
 *     rank say KIND STATUS TEXT   sends a note
 *     rank nonsense         sends what is none
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
#include <unistd.h>

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

static int control(void)
{
	return (int)number(variable("HAUL_CONTROL"));
}

static void hear(unsigned count)
{
	for (; count > 0; count--) {
		struct job_note note;
		ssize_t n = recv(control(), &note, sizeof(note), MSG_TRUNC);
		if (n != sizeof(note) || note.len != 0)
			errx(1, "%zd bytes are no note of haul run's", n);
		const char *kind = note.kind == JOB_DEAD ? "dead" : note.kind == JOB_LEFT ? "left" : "?";
		printf("%s %u %d\n", kind, note.rank, note.status);
	}
}

/* A note that says it has so many bytes of text, and those it has. */
static void say(uint32_t kind, int status, uint32_t len, const char *text, size_t bytes)
{
	struct job_note note = { .kind = kind, .status = status, .len = len };
	struct iovec parts[] = { { &note, sizeof(note) }, { (void *)(uintptr_t)text, bytes } };
	struct msghdr m = { .msg_iov = parts, .msg_iovlen = 2 };
	if (sendmsg(control(), &m, MSG_NOSIGNAL) < 0)
		err(1, "sendmsg");
}

/* A descriptor that nobody wants comes with a note. */
static void say_with_descriptor(void)
{
	struct job_note note = { .kind = 99 };
	struct iovec part = { &note, sizeof(note) };
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} with = { .header = { .cmsg_len = CMSG_LEN(sizeof(int)),
		       .cmsg_level = SOL_SOCKET,
		       .cmsg_type = SCM_RIGHTS } };
	memcpy(CMSG_DATA(&with.header), &(int){ STDIN_FILENO }, sizeof(int));
	struct msghdr m = { .msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &with,
		.msg_controllen = sizeof(with) };
	if (sendmsg(control(), &m, MSG_NOSIGNAL) < 0)
		err(1, "sendmsg");
}

static void talk_nonsense(void)
{
	static const char much[2 * JOB_TEXT_MOST];
	say(JOB_ABORT, 9, 5, "four", 4);
	say(JOB_ABORT, 9, 3, "four", 4);
	say(JOB_ABORT, 9, UINT32_MAX, "", 0);
	say(JOB_ABORT, 9, sizeof(much), much, sizeof(much));
	say(JOB_ABORT, 9, JOB_TEXT_MOST + 1, much, JOB_TEXT_MOST + 1);
	say(JOB_ABORT, 9, JOB_TEXT_MOST, much, JOB_TEXT_MOST + 1);
	say(JOB_STATS, 9, UINT32_MAX, much, JOB_TEXT_MOST);
	say(JOB_DEAD, 9, 0, "", 0);
	say(0, 0, 0, "", 0);
	say(UINT32_MAX, -1, 4, "what", 4);
	say_with_descriptor();
	send(control(), much, 1, MSG_NOSIGNAL);
	send(control(), much, sizeof(struct job_note) - 1, MSG_NOSIGNAL);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	if (strcmp(what, "connect") == 0 && argc == 3)
		connect_to(number(argv[2]));
	else if (strcmp(what, "sockets") == 0)
		print_sockets();
	else if (strcmp(what, "hear") == 0 && argc == 3)
		hear(number(argv[2]));
	else if (strcmp(what, "say") == 0 && argc == 5)
		say(number(argv[2]), (int)number(argv[3]), (uint32_t)strlen(argv[4]), argv[4],
		    strlen(argv[4]));
	else if (strcmp(what, "nonsense") == 0)
		talk_nonsense();
	else
		errx(2, "what?");
	return 0;
}
