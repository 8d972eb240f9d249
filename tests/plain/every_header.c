/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A user's program: a parent and its child, who call something of each public header, check what comes of it, and
 * say so. It is C11 as well as C++11, and needs nothing but an installed libhaul: tests/test_install.sh builds it
 * in both languages, debian/tests/installed against the packages. No test by itself.
 */
#include <haul/group.h>
#include <haul/haul.h>
#include <haul/rma.h>
#include <haul/stream.h>
#include <haul/worker.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(what) check((what) != 0, #what, __LINE__)

static void check(int good, const char *what, int line)
{
	if (good)
		return;
	fprintf(stderr, "every_header: line %d: not so: %s (%s)\n", line, what, haul_reason());
	exit(1);
}

/* haul/haul.h and haul/stream.h: a handle comes as a message, the bytes that it stands for go back by a stream. */
static int child(struct haul *h, struct haul_peer *parent)
{
	static unsigned char seen[1 << 20];
	struct haul_handle handle;
	struct iovec iov = { seen, sizeof(seen) };
	struct haul_stream *stream;

	CHECK(haul_recv(h, NULL, &handle, sizeof(handle), 5000, NULL) == (ssize_t)sizeof(handle));
	CHECK(haul_get(parent, &handle, 0, &iov, 1, 5000) == (ssize_t)sizeof(seen));
	CHECK(haul_stream_open(parent, 1, NULL, 0, &stream) == 0);
	CHECK(haul_stream_write(stream, seen, sizeof(seen), 5000) == (ssize_t)sizeof(seen));
	CHECK(haul_stream_close(stream) == 0);
	CHECK(haul_close(h, 5000) == 0);
	return 0;
}

/* haul/rma.h: the child gets this, and sends it back by the stream. */
static void lend(struct haul *h, struct haul_peer *peer)
{
	static unsigned char bytes[1 << 20], back[1 << 20];
	struct iovec iov = { bytes, sizeof(bytes) };
	struct haul_region *region;
	struct haul_handle handle;
	struct haul_stream *stream;
	size_t got = 0;
	ssize_t n;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)(i ^ i >> 8);
	CHECK(haul_region_expose(h, &iov, 1, HAUL_READ, &region) == 0);
	haul_region_handle(region, &handle);
	CHECK(haul_send(peer, 7, &handle, sizeof(handle), 5000) == 0);
	CHECK(haul_stream_open(peer, 1, NULL, 0, &stream) == 0);
	while ((n = haul_stream_read(stream, back + got, sizeof(back) - got, 5000)) > 0)
		got += (size_t)n;
	CHECK(n == 0 && got == sizeof(bytes) && memcmp(bytes, back, got) == 0);
	CHECK(haul_stream_close(stream) == 0);
	CHECK(haul_region_withdraw(region, 5000) == 0);
}

/* haul/group.h: a group of one, which has its own sum. */
static void sum(struct haul *h)
{
	char address[64];
	const char *addresses[1] = { address };
	struct haul_group_options options;
	struct haul_operator op;
	struct haul_group *group;
	int32_t from = 42, into = 0;

	snprintf(address, sizeof(address), "@every_header.%d", (int)getpid());
	memset(&options, 0, sizeof(options));
	options.size = 1;
	options.addresses = addresses;
	memset(&op, 0, sizeof(op));
	op.operation = HAUL_SUM;
	op.type = HAUL_INT32;
	CHECK(haul_group_init(h, &options, sizeof(options), &group) == 0);
	CHECK(haul_allreduce(group, &op, &from, &into, 1, 5000) == 0 && into == 42);
	CHECK(haul_group_free(group, 0) == 0);
}

int main(void)
{
	struct haul *h;
	struct haul_peer *peer;
	int ends[2], status;

	CHECK(haul_version() == HAUL_VERSION);
	CHECK(haul_pair(ends) == 0);
	pid_t pid = fork();
	CHECK(pid >= 0);
	close(ends[pid == 0]);
	CHECK(haul_open(&h, NULL, 0) == 0);
	CHECK(haul_adopt(h, ends[pid != 0], 5000, &peer) == 0);
	if (pid == 0)
		return child(h, peer);

	lend(h, peer);
	CHECK(haul_peer_reap(peer, 5000, &status) == 0 && WIFEXITED(status) &&
	    WEXITSTATUS(status) == 0); /* haul/worker.h */
	CHECK(haul_peer_close(peer, 0) == 0);
	sum(h);
	CHECK(haul_close(h, 0) == 0);
	printf("haul %d, used by %s %ld\n", haul_version(),
#ifdef __cplusplus
	    "C++", __cplusplus
#else
	    "C", __STDC_VERSION__
#endif
	);
	return 0;
}
