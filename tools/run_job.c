/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The name of a job, and the sockets that are bound to names made of it. Each rank is handed one that listens, made
 * before any of them starts (wire/job.h). One more, which nobody can connect to, keeps the job's name for as long
 * as haul run lives: ranks' names are free again when those end.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "run.h"

#include <bsd/stdlib.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void name_at_random(char *name)
{
	uint8_t bytes[16];
	arc4random_buf(bytes, sizeof(bytes));
	for (size_t i = 0; i < sizeof(bytes); i++)
		snprintf(name + 2 * i, 3, "%02x", bytes[i]);
}

/* The descriptor, or a negative errno. */
static int bound(struct sockaddr_un *address, size_t len)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	address->sun_family = AF_UNIX;
	/* An abstract name begins with a 0, and ends where the address does: unix(7). */
	socklen_t all = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + len);
	if (bind(fd, (struct sockaddr *)address, all) == 0)
		return fd;
	int error = errno;
	close(fd);
	return -error;
}

static int listening(const char *job, unsigned rank)
{
	struct sockaddr_un address = { 0 };
	int len = snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, JOB_ADDRESS, job, rank);
	int fd = bound(&address, (size_t)len);
	if (fd >= 0 && listen(fd, SOMAXCONN) != 0) {
		int error = errno;
		close(fd);
		return -error;
	}
	return fd;
}

/* No rank has it, whatever the names of jobs: those end in a number. */
static int holding(const char *job)
{
	struct sockaddr_un address = { 0 };
	int len = snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "haul-%s-job", job);
	return bound(&address, (size_t)len);
}

int run_job_start(struct run_job *job, const char *name, unsigned size)
{
	*job = (struct run_job){ .hold = -1, .size = size };
	if (name != NULL)
		snprintf(job->name, sizeof(job->name), "%s", name);
	else
		name_at_random(job->name);
	if ((job->listening = malloc(size * sizeof(*job->listening))) == NULL)
		return ENOMEM;
	for (unsigned i = 0; i < size; i++)
		job->listening[i] = -1;
	int fd = job->hold = holding(job->name);
	for (unsigned i = 0; i < size && fd >= 0; i++)
		fd = job->listening[i] = listening(job->name, i);
	if (fd >= 0)
		return 0;
	run_job_end(job);
	return -fd;
}

void run_job_given(struct run_job *job, unsigned rank)
{
	if (job->listening[rank] >= 0)
		close(job->listening[rank]);
	job->listening[rank] = -1;
}

void run_job_end(struct run_job *job)
{
	for (unsigned i = 0; i < job->size; i++)
		run_job_given(job, i);
	if (job->hold >= 0)
		close(job->hold);
	free(job->listening);
}
