/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Regions that are exposed, used by several threads of another context, and withdrawn in between, on every path: what is
 * got is right, or the region was gone. No test framework, so that it can run under the thread sanitizer.
 */
#include <haul/rma.h>

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { USERS = 3, ROUNDS = 100, LEN = 100000, TURNS = 20, PATIENCE_MS = 30000 };

/* The region of the round, as its users know it; under lock. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct haul_handle handle;
static int round_now;           /* 0: none yet; -1: no more */
static int turns, users_done;   /* of the round */
static struct haul_peer *owner; /* as the users see it */

static void must(bool well, const char *what)
{
	if (well)
		return;
	fprintf(stderr, "%s (%s)\n", what, haul_reason());
	exit(1);
}

static void check(const unsigned char *buf, size_t len, int value)
{
	for (size_t i = 0; i < len; i++)
		must(buf[i] == value, "a wrong byte was got");
}

/* Until it is gone. */
static void use(const struct haul_handle *hd, int value, unsigned char *buf, unsigned seed)
{
	for (ssize_t n = 0; n >= 0; seed = seed * 1103515245 + 12345) {
		size_t at = seed / 7 % LEN, len = seed / 3 % (LEN - at);
		struct iovec iov = { buf, len };
		struct haul_req *r;
		if (seed / 5 % 4 == 0) {
			memset(buf, value, len);
			n = haul_put(owner, hd, at, &iov, 1, PATIENCE_MS);
		} else if (seed / 5 % 4 == 1) {
			must(haul_iget(owner, hd, at, &iov, 1, &r) == 0, "iget");
			must(haul_req_wait(r, PATIENCE_MS) == 0, "wait");
			n = haul_req_finish(r, NULL);
		} else {
			n = haul_get(owner, hd, at, &iov, 1, PATIENCE_MS);
		}
		must(n >= 0 || n == -ESTALE, "a get or put failed");
		if (n >= 0)
			check(buf, len, value);
		pthread_mutex_lock(&lock);
		turns++;
		pthread_cond_broadcast(&changed);
		pthread_mutex_unlock(&lock);
	}
}

static void *user(void *arg)
{
	unsigned seed = *(const unsigned *)arg;
	unsigned char *buf = malloc(LEN);
	for (int seen = 0;;) {
		pthread_mutex_lock(&lock);
		while (round_now == seen)
			pthread_cond_wait(&changed, &lock);
		struct haul_handle hd = handle;
		seen = round_now;
		pthread_mutex_unlock(&lock);
		if (seen < 0)
			break;
		use(&hd, seen, buf, seed + (unsigned)seen);
		pthread_mutex_lock(&lock);
		users_done++;
		pthread_cond_broadcast(&changed);
		pthread_mutex_unlock(&lock);
	}
	free(buf);
	return NULL;
}

/* Some turns, then it is taken back, whatever the users are at. */
static void one_round(struct haul *h, unsigned char *region, int value)
{
	struct iovec iov = { region, LEN };
	struct haul_region *r;
	memset(region, value, LEN);
	must(haul_region_expose(h, &iov, 1, HAUL_READ | HAUL_WRITE, &r) == 0, "expose");
	pthread_mutex_lock(&lock);
	haul_region_handle(r, &handle);
	turns = users_done = 0;
	round_now = value;
	pthread_cond_broadcast(&changed);
	while (turns < TURNS)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
	must(haul_region_withdraw(r, PATIENCE_MS) == 0, "withdraw");
	memset(region, 0xff, LEN);
	pthread_mutex_lock(&lock);
	while (users_done < USERS)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
	for (size_t i = 0; i < LEN; i++)
		must(region[i] == 0xff, "a put came late");
}

static void connect_both(struct haul *a, struct haul *b)
{
	int fds[2];
	struct haul_req *r;
	must(haul_pair(fds) == 0, "pair");
	must(haul_iadopt(b, fds[1], &r) == 0, "iadopt");
	must(haul_adopt(a, fds[0], PATIENCE_MS, &owner) == 0, "adopt");
	must(haul_req_wait(r, PATIENCE_MS) == 0 && haul_req_finish(r, NULL) == 0, "adopted");
}

static void run(const struct haul_options *options)
{
	struct haul_options theirs = *options;
	pthread_t threads[USERS];
	unsigned seeds[USERS];
	struct haul *a, *b;
	unsigned char *region = malloc(LEN);
	theirs.progress_thread = 1;
	must(haul_open(&a, options, sizeof(*options)) == 0, "open");
	must(haul_open(&b, &theirs, sizeof(theirs)) == 0, "open");
	connect_both(a, b);
	round_now = 0;
	for (unsigned i = 0; i < USERS; i++) {
		seeds[i] = i * 7919;
		must(pthread_create(&threads[i], NULL, user, &seeds[i]) == 0, "thread");
	}
	for (int i = 1; i <= ROUNDS; i++)
		one_round(b, region, i);
	pthread_mutex_lock(&lock);
	round_now = -1;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
	for (unsigned i = 0; i < USERS; i++)
		pthread_join(threads[i], NULL);
	haul_close(a, 0);
	haul_close(b, 0);
	free(region);
}

int main(void)
{
	static const struct haul_options paths[] = { { .path = HAUL_PATH_AUTO },
		{ .path = HAUL_PATH_PULL, .eager_max = -1 }, { .path = HAUL_PATH_STREAM },
		{ .path = HAUL_PATH_STREAM, .eager_max = -1 }, { .transport = HAUL_TRANSPORT_OUTBOX } };
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		run(&paths[i]);
	return 0;
}
