/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two contexts, each in a thread of its own, share nothing: they exchange messages on every path, and each
 * must arrive whole. No test framework, so that it can run under the thread sanitizer.
 */
#include <haul/haul.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MESSAGES = 300, STEP = 997, LONGEST = MESSAGES * STEP, PATIENCE_MS = 30000 };

struct side {
	int fd;
	int path;
	int64_t eager_max;
};

static void must(int rc, const char *what)
{
	if (rc == 0)
		return;
	fprintf(stderr, "%s: %s (%s)\n", what, strerror(-rc), haul_reason());
	exit(1);
}

static void exchange(struct haul *h, struct haul_peer *p, char *out, char *in, size_t len, int value)
{
	struct iovec from = { .iov_base = out, .iov_len = len }, to = { .iov_base = in, .iov_len = LONGEST };
	struct haul_req *s, *r;
	struct haul_status status;
	memset(out, value, len);
	must(haul_isend(p, 1, &from, 1, 0, &s), "isend");
	must(haul_irecv(h, NULL, &to, 1, &r), "irecv");
	must(haul_req_wait(r, PATIENCE_MS), "wait for the receive");
	must(haul_req_finish(r, &status), "receive");
	if (status.got != len || memcmp(in, out, len) != 0) {
		fprintf(stderr, "message %d came otherwise than it was sent\n", value);
		exit(1);
	}
	must(haul_req_wait(s, PATIENCE_MS), "wait for the send");
	must(haul_req_finish(s, NULL), "send");
}

static void *run(void *arg)
{
	const struct side *side = arg;
	struct haul_options o = { .path = side->path, .eager_max = side->eager_max };
	struct haul *h;
	struct haul_peer *p;
	char *out = malloc(LONGEST), *in = malloc(LONGEST);
	must(haul_open(&h, &o, sizeof(o)), "open");
	must(haul_adopt(h, side->fd, PATIENCE_MS, &p), "adopt");
	for (int i = 0; i < MESSAGES; i++)
		exchange(h, p, out, in, (size_t)i * STEP, i);
	must(haul_close(h, PATIENCE_MS), "close");
	free(out);
	free(in);
	return NULL;
}

int main(void)
{
	static const struct side paths[] = { { .path = HAUL_PATH_AUTO },
		{ .path = HAUL_PATH_PULL, .eager_max = -1 }, { .path = HAUL_PATH_STREAM, .eager_max = -1 } };
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		struct side sides[2] = { paths[i], paths[i] };
		pthread_t threads[2];
		int fds[2];
		must(haul_pair(fds), "pair");
		for (int s = 0; s < 2; s++) {
			sides[s].fd = fds[s];
			must(-pthread_create(&threads[s], NULL, run, &sides[s]), "thread");
		}
		for (int s = 0; s < 2; s++)
			pthread_join(threads[s], NULL);
	}
	return 0;
}
