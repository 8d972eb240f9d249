/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Buffers in memory that is not like other memory: it can't be pinned, or not be read or written at all. The
 * message arrives all the same, or both sides hear why not, and the connection keeps its path.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/pairing.h"
#include "lib/paths.h"
#include "lib/pattern.h"
#include "lib/talk.h"

TestSuite(memory, .timeout = 60);

enum { LEN = (1 << 20) + 3, PAGE = 4096 };

static void check_allowed(int path, int error, const char *words)
{
	must_be(path, HAUL_PATH_PULL);
	must_be(error, 0);
	must(words[0] == '\0');
}

/* ---- one buffer of the sender ---- */

/* A page that this process can read or write(2) out, but that nobody can pin; NULL if there is none here. */
static void *unpinnable_page(void)
{
	FILE *f = fopen("/proc/self/maps", "r");
	char line[4096], *page = NULL;
	int null[2];
	must(f != NULL);
	while (page == NULL && fgets(line, sizeof(line), f) != NULL)
		if (strstr(line, "[vvar]") != NULL)
			page = (char *)strtoull(line, NULL, 16);
	fclose(f);
	must(pipe(null) == 0);
	if (page != NULL && write(null[1], page, PAGE) != PAGE)
		page = NULL;
	close(null[0]);
	close(null[1]);
	return page;
}

enum { NO_SUCH_PAGE = 5 };

static void send_unpinnable(struct haul *h, struct haul_peer *p, const void *arg)
{
	unsigned char *buf = malloc(2 * LEN);
	void *page = unpinnable_page();
	(void)arg;
	must(buf != NULL);
	if (page == NULL) {
		must_be(haul_send(p, NO_SUCH_PAGE, NULL, 0, PATIENCE_MS), 0);
	} else {
		struct iovec iov[3] = { { buf, LEN }, { page, PAGE }, { buf + LEN, LEN } };
		struct haul_stats s;
		pattern_fill(buf, 2 * LEN, 1, 0);
		must_be(haul_sendv(p, 1, iov, 3, HAUL_SYNC, PATIENCE_MS), 0);
		must_be(haul_stats(h, &s, sizeof(s)), 0);
		must_be(s.copied_bytes, PAGE + LEN);
		send_pattern(p, LEN, 2);
		must_be(haul_stats(h, &s, sizeof(s)), 0);
		must_be(s.sent_stream, 1);
		must_be(s.sent_pull, 1);
	}
	free(buf);
}

Test(memory, memory_that_cannot_be_pinned_is_streamed_and_the_peer_keeps_its_path)
{
	struct haul_peer_info info;
	struct haul_status status;
	struct haul_stats stats;
	struct pairing p;
	unsigned char *buf = malloc(2 * LEN + PAGE);
	pairing_start(&p, NULL, NULL, send_unpinnable, NULL);
	must_be(haul_probe(p.haul, NULL, PATIENCE_MS, &status), 0);
	if (status.tag == NO_SUCH_PAGE) {
		must_be(haul_recv(p.haul, NULL, NULL, 0, PATIENCE_MS, NULL), 0);
		pairing_end(&p);
		cr_skip_test("no page here is readable and yet can't be pinned");
	}
	must_be(haul_recv(p.haul, NULL, buf, 2 * LEN + PAGE, PATIENCE_MS, NULL), 2 * LEN + PAGE);
	must_hold(buf, LEN, 1, 0);
	must_hold(buf + LEN + PAGE, LEN, 1, LEN);
	must_be(haul_stats(p.haul, &stats, sizeof(stats)), 0);
	must_be(stats.copied_bytes, 2 * LEN + PAGE); /* those before the page by pull, and only by that */
	receive_pattern(p.haul, LEN, 2);
	must_be(haul_peer_info(p.peer, &info, sizeof(info)), 0);
	check_allowed(info.in_path, info.in_error, info.in_words);
	free(buf);
	pairing_end(&p);
}

/* Pages of a file, of which the last has gone. */
static unsigned char *truncated_mapping(size_t pages)
{
	char name[] = "/tmp/haul-test-XXXXXX";
	int fd = mkstemp(name);
	must(fd >= 0);
	unlink(name);
	must(ftruncate(fd, (off_t)(pages * PAGE)) == 0);
	unsigned char *at = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	must(at != MAP_FAILED);
	pattern_fill(at, (pages - 1) * PAGE, 1, 0);
	must(ftruncate(fd, (off_t)((pages - 1) * PAGE)) == 0);
	close(fd);
	return at;
}

/* As many as the path takes; that what is sent eagerly can't be read is then found out in mid-message. */
static size_t truncated_pages(const struct path *path)
{
	return path_most(path, 300 * PAGE) / PAGE;
}

/* So many bytes, of which the last lies in a page that nobody may touch. */
static unsigned char *one_byte_too_long(size_t len)
{
	size_t good = (len - 1 + PAGE - 1) / PAGE * PAGE;
	unsigned char *at =
	    mmap(NULL, good + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(at != MAP_FAILED);
	must(mprotect(at + good, PAGE, PROT_NONE) == 0);
	return at + good + 1 - len;
}

enum { BAD_ONES = 2 };

static void send_unreadable(struct haul *h, struct haul_peer *p, const void *arg)
{
	const struct path *path = arg;
	size_t pages = truncated_pages(path), len = pages * PAGE;
	struct iovec bad[BAD_ONES] = { { truncated_mapping(pages), len }, { one_byte_too_long(len), len } };
	for (int i = 0; i < BAD_ONES; i++) {
		for (unsigned sync = 0; sync <= HAUL_SYNC; sync++) {
			must_be(haul_sendv(p, 1, &bad[i], 1, sync, PATIENCE_MS), -EFAULT);
			send_token(p);
		}
	}
	await_token(h, p);
	send_pattern(p, path_most(path, LEN), 2);
}

/* Eagerly it isn't even begun. Else both hear of it. */
EveryPath(memory, memory_that_its_owner_cannot_read_fails_on_both_sides)
{
	struct haul_options o = path_options(path);
	struct haul_peer_info info;
	struct haul_status status;
	struct pairing p;
	unsigned char *buf = malloc(300 * PAGE);
	pairing_start(&p, &o, &o, send_unreadable, path);
	for (int i = 0; i < 2 * BAD_ONES; i++) { /* each once synchronously */
		if (path->longest == SIZE_MAX) {
			must_be(haul_recv(p.haul, NULL, buf, 300 * PAGE, PATIENCE_MS, &status), -EFAULT);
			must_be(status.error, -EFAULT);
			must_be(status.tag, 1);
		}
		must_be(haul_recv(p.haul, NULL, buf, 300 * PAGE, PATIENCE_MS, &status), 0);
		must_be(status.tag, TAG_TOKEN);
	}
	send_token(p.peer);
	receive_pattern(p.haul, path_most(path, LEN), 2);
	must_be(haul_peer_info(p.peer, &info, sizeof(info)), 0);
	must_be(info.alive, 1);
	if (o.path != HAUL_PATH_STREAM)
		check_allowed(info.in_path, info.in_error, info.in_words);
	free(buf);
	pairing_end(&p);
}

/* ---- one buffer of the receiver ---- */

enum { HOLE_PAGES = 300 };

/* Its middle can't be written. */
static unsigned char *hole_in(size_t pages)
{
	unsigned char *at =
	    mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(at != MAP_FAILED);
	must(mprotect(at + pages / 2 * PAGE, PAGE, PROT_NONE) == 0);
	return at;
}

static void receive_into_hole(struct haul *h, struct haul_peer *p, const void *arg)
{
	(void)arg;
	size_t len = HOLE_PAGES * PAGE;
	struct haul_status status;
	struct haul_peer_info info;
	unsigned char *at = hole_in(HOLE_PAGES);
	for (int i = 0; i < 2; i++) {
		must_be(haul_recv(h, NULL, at, len, PATIENCE_MS, &status), -EFAULT);
		must_be(status.error, -EFAULT);
		must_be(status.tag, 1);
		must_be(status.len, len);
		receive_pattern(h, len, 2);
	}
	/* The very first byte is bad. */
	must_be(haul_recv(h, NULL, at + len / 2, PAGE, PATIENCE_MS, &status), -EFAULT);
	receive_pattern(h, len, 2);
	must_be(haul_peer_info(p, &info, sizeof(info)), 0);
	must_be(info.alive, 1);
	munmap(at, len);
}

EveryPath(memory, a_buffer_that_cannot_be_written_harms_only_its_receive)
{
	struct haul_options o = path_options(path);
	struct pairing p;
	size_t len = HOLE_PAGES * PAGE;
	struct iovec iov;
	unsigned char *buf;
	if (len > path->longest)
		return; /* the library copies, and a bad pointer is to it what it is to memcpy(3) */
	buf = malloc(len);
	iov = (struct iovec){ buf, len };
	pattern_fill(buf, len, 1, 0);
	pairing_start(&p, &o, &o, receive_into_hole, NULL);
	for (int i = 0; i < 3; i++) {
		must_be(haul_sendv(p.peer, 1, &iov, 1, HAUL_SYNC, PATIENCE_MS), -EFAULT);
		send_pattern(p.peer, len, 2);
	}
	free(buf);
	pairing_end(&p);
}
