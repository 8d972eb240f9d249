/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Byte streams between two contexts of one process, used by several threads of each: two write to one stream, two read
 * from another, while others close and open more. No test framework, so that it can run under the thread sanitizer.
 */
#include <haul/stream.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 3000, BLOCKS = 400, MORE = 40, PATIENCE_MS = 60000 };

/* The two directions of stream 0 are buffered and direct. */
struct side {
	int fd, path, direct;
	struct haul *h;
	struct haul_peer *p;
	struct haul_stream *s;
	uint64_t sum[2], got[2]; /* of what either thread has read */
};

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "%s: %s\n", what, haul_reason());
	exit(1);
}

static uint64_t sum_of(const unsigned char *bytes, size_t len)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < len; i++)
		sum += bytes[i];
	return sum;
}

static void *write_blocks(void *arg)
{
	struct side *side = arg;
	unsigned char block[BLOCK];
	for (int i = 0; i < BLOCKS; i++) {
		memset(block, i, sizeof(block));
		must(haul_stream_write(side->s, block, BLOCK, PATIENCE_MS) == BLOCK, "write");
	}
	return NULL;
}

struct reader {
	struct side *side;
	int which;
};

static void *read_blocks(void *arg)
{
	struct reader *r = arg;
	unsigned char block[BLOCK];
	ssize_t n;
	while ((n = haul_stream_read(r->side->s, block, sizeof(block), PATIENCE_MS)) > 0) {
		r->side->sum[r->which] += sum_of(block, (size_t)n);
		r->side->got[r->which] += (uint64_t)n;
	}
	must(n == 0, "read");
	return NULL;
}

static void *come_and_go(void *arg)
{
	struct side *side = arg;
	for (uint32_t i = 1; i <= MORE; i++) {
		struct haul_stream *s;
		char byte = (char)i, back = 0;
		must(haul_stream_open(side->p, i, NULL, 0, &s) == 0, "open");
		must(haul_stream_write(s, &byte, 1, PATIENCE_MS) == 1, "write a byte");
		must(haul_stream_read(s, &back, 1, PATIENCE_MS) == 1 && back == byte, "read a byte");
		must(haul_stream_close(s) == 0, "close");
	}
	return NULL;
}

static void *run(void *arg)
{
	struct side *side = arg;
	struct haul_options o = { .path = side->path };
	struct haul_stream_options so = { .direct = side->direct };
	struct reader readers[2] = { { side, 0 }, { side, 1 } };
	pthread_t threads[5];
	must(haul_open(&side->h, &o, sizeof(o)) == 0, "haul_open");
	must(haul_adopt(side->h, side->fd, PATIENCE_MS, &side->p) == 0, "haul_adopt");
	must(haul_stream_open(side->p, 0, &so, sizeof(so), &side->s) == 0, "haul_stream_open");
	for (int i = 0; i < 2; i++) {
		must(pthread_create(&threads[i], NULL, write_blocks, side) == 0, "thread");
		must(pthread_create(&threads[2 + i], NULL, read_blocks, &readers[i]) == 0, "thread");
	}
	must(pthread_create(&threads[4], NULL, come_and_go, side) == 0, "thread");
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	must(haul_stream_shutdown(side->s) == 0, "shutdown");
	for (int i = 2; i < 5; i++)
		pthread_join(threads[i], NULL);
	must(haul_stream_close(side->s) == 0, "close");
	must(haul_close(side->h, PATIENCE_MS) == 0, "haul_close");
	return NULL;
}

static void both_ways(int path)
{
	int fd[2];
	pthread_t thread;
	uint64_t all = 0;
	must(haul_pair(fd) == 0, "haul_pair");
	struct side a = { .fd = fd[0], .path = path }, b = { .fd = fd[1], .path = path, .direct = 1 };
	must(pthread_create(&thread, NULL, run, &b) == 0, "thread");
	run(&a);
	pthread_join(thread, NULL);
	for (int i = 0; i < BLOCKS; i++)
		all += 2u * BLOCK * (unsigned char)i;
	must(a.got[0] + a.got[1] == 2 * BLOCK * BLOCKS && a.sum[0] + a.sum[1] == all, "what came");
	must(b.got[0] + b.got[1] == 2 * BLOCK * BLOCKS && b.sum[0] + b.sum[1] == all, "what came back");
}

int main(void)
{
	both_ways(HAUL_PATH_AUTO);
	both_ways(HAUL_PATH_STREAM);
	return 0;
}
