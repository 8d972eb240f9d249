/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * examples/pool.c by pipes, to be measured beside it: the same files, workers and results, with pipes as large as they
 * may be and no care for a worker that dies.
 *
 *     pool_pipes [--workers N] DIR FILE...
 */
#include <err.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../examples/pool_files.h"

enum { WORKERS_MOST = 64, ROOM = 1 << 20 };

struct head {
	uint64_t job, len;
};

struct worker {
	int in, out; /* ours */
};

static void put(int fd, const void *at, size_t len)
{
	for (ssize_t n; len > 0; at = (const char *)at + n, len -= (size_t)n)
		if ((n = write(fd, at, len)) < 0)
			err(1, "write");
}

/* False at the end of file. */
static bool get(int fd, void *at, size_t len)
{
	for (ssize_t n; len > 0; at = (char *)at + n, len -= (size_t)n)
		if ((n = read(fd, at, len)) <= 0)
			return false;
	return true;
}

static void put_bytes(int fd, uint64_t job, struct bytes b)
{
	struct head h = { job, b.len };
	put(fd, &h, sizeof(h));
	put(fd, b.at, b.len);
}

static int work(void)
{
	struct head h;
	void *room = NULL;
	while (get(STDIN_FILENO, &h, sizeof(h))) {
		room = need(room, h.len);
		if (!get(STDIN_FILENO, room, h.len))
			return 1;
		put_bytes(STDOUT_FILENO, h.job, compress_bytes((struct bytes){ room, h.len }));
	}
	return 0;
}

static void hire(struct worker *w)
{
	int to[2], from[2];
	if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0)
		err(1, "pipe");
	fcntl(to[1], F_SETPIPE_SZ, ROOM);
	fcntl(from[1], F_SETPIPE_SZ, ROOM);
	if (fork() == 0) {
		dup2(to[0], STDIN_FILENO);
		dup2(from[1], STDOUT_FILENO);
		execl("/proc/self/exe", "pool_pipes", "--work", (char *)NULL);
		_exit(127);
	}
	close(to[0]);
	close(from[1]);
	*w = (struct worker){ .in = from[0], .out = to[1] };
}

int main(int argc, char **argv)
{
	struct worker workers[WORKERS_MOST];
	struct pollfd polls[WORKERS_MOST];
	size_t worker_count = 4, next = 0, done = 0;
	if (argc == 2 && strcmp(argv[1], "--work") == 0)
		return work();
	if (argc > 3 && strcmp(argv[1], "--workers") == 0) {
		worker_count = (size_t)atoi(argv[2]);
		argv += 2;
		argc -= 2;
	}
	if (argc < 3 || worker_count < 1 || worker_count > WORKERS_MOST)
		errx(64, "usage: pool_pipes [--workers N] DIR FILE...");
	const char *dir = argv[1];
	char **files = argv + 2;
	size_t count = (size_t)argc - 2;
	for (size_t i = 0; i < worker_count; i++) {
		hire(&workers[i]);
		polls[i] = (struct pollfd){ .fd = workers[i].in, .events = POLLIN };
	}
	double begin = now();
	void *room = NULL;
	for (size_t i = 0; i < worker_count && next < count; i++, next++) {
		struct bytes file = map_file(files[next]);
		put_bytes(workers[i].out, next, file);
		unmap_file(file);
	}
	while (done < count) {
		if (poll(polls, worker_count, -1) < 0)
			err(1, "poll");
		for (size_t i = 0; i < worker_count; i++) {
			struct head h;
			if (polls[i].revents == 0)
				continue;
			if (!get(workers[i].in, &h, sizeof(h)))
				errx(1, "a worker has died");
			room = need(room, h.len);
			if (!get(workers[i].in, room, h.len))
				errx(1, "a worker has died");
			save_result(dir, h.job, files[h.job], (struct bytes){ room, h.len });
			done++;
			if (next < count) {
				struct bytes file = map_file(files[next]);
				put_bytes(workers[i].out, next++, file);
				unmap_file(file);
			}
		}
	}
	printf("pool_pipes: %zu files by %zu workers, %.3f s\n", count, worker_count, now() - begin);
	free(room);
	for (size_t i = 0; i < worker_count; i++)
		close(workers[i].out);
	while (wait(NULL) > 0)
		;
	return 0;
}
