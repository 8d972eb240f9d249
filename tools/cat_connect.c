/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How the two sides of haul cat come together. The listener takes the first that comes and was verified, and stops
 * listening: whoever else comes finds nobody, or is hung up on. A signal that ends it before that leaves no socket
 * file behind.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "cat.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

enum { AGAIN_MS = 50 };

/* ---- signals, while listening ---- */

static struct haul *listening;
static volatile sig_atomic_t caught;

static void catch (int signal)
{
	caught = signal;
	haul_interrupt(listening);
}

static const int ending[] = { SIGINT, SIGTERM, SIGHUP };
enum { ENDING = sizeof(ending) / sizeof(ending[0]) };

static void catch_signals(struct sigaction before[ENDING])
{
	struct sigaction action = { .sa_handler = catch };
	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < ENDING; i++) {
		sigaction(ending[i], NULL, &before[i]);
		if (before[i].sa_handler != SIG_IGN)
			sigaction(ending[i], &action, NULL);
	}
}

static void restore_signals(const struct sigaction before[ENDING])
{
	for (size_t i = 0; i < ENDING; i++)
		sigaction(ending[i], &before[i], NULL);
}

/* ---- coming together ---- */

static int exit_status_of(int error)
{
	switch (error) {
	case -EINVAL:
	case -ENAMETOOLONG:
		return EX_USAGE;
	case -ETIMEDOUT:
		return CAT_TIMED_OUT;
	case -EACCES:
	case -EPERM:
		return EX_NOPERM;
	case -EPROTO:
	case -EPROTONOSUPPORT:
		return EX_PROTOCOL;
	case -ECONNRESET:
	case -EPIPE:
		return CAT_PEER_DIED;
	default:
		return EX_UNAVAILABLE;
	}
}

static bool failed(struct cat *c, int error)
{
	if (error == -ETIMEDOUT)
		cat_fail(c, CAT_TIMED_OUT, "%s: nobody %s within %d s", c->options.address,
		    c->options.listen ? "came" : "answered", c->options.timeout_ms / 1000);
	else
		cat_fail(c, exit_status_of(error), "%s: %s", c->options.address, haul_reason());
	return false;
}

static bool receive_one(struct cat *c)
{
	struct haul_listener *listener = NULL;
	struct sigaction before[ENDING];
	listening = c->h;
	catch_signals(before);
	int rc = haul_listen(c->h, c->options.address, &listener);
	if (rc == 0)
		rc = haul_accept(listener, c->options.timeout_ms, &c->peer);
	if (rc != 0 && caught == 0)
		failed(c, rc);
	haul_listener_close(listener);
	restore_signals(before);
	if (caught != 0)
		raise(caught);
	return rc == 0;
}

static int connect_once(struct cat *c, int64_t until)
{
	int64_t left = until == INT64_MAX ? -1 : until - cat_now_ms();
	if (until != INT64_MAX && left <= 0)
		return -ETIMEDOUT;
	return haul_connect(c->h, c->options.address, (int)left, &c->peer);
}

static bool find_one(struct cat *c)
{
	int timeout_ms = c->options.timeout_ms;
	int64_t until = timeout_ms < 0 ? INT64_MAX : cat_now_ms() + timeout_ms;
	int rc = connect_once(c, until);
	while (c->options.wait && (rc == -ENOENT || rc == -ECONNREFUSED)) {
		nanosleep(&(struct timespec){ .tv_nsec = AGAIN_MS * 1000000L }, NULL);
		rc = connect_once(c, until);
	}
	return rc == 0 || failed(c, rc);
}

bool cat_meet(struct cat *c)
{
	return c->options.listen ? receive_one(c) : find_one(c);
}

/* ---- the first words ---- */

bool cat_greet(struct cat *c, uint64_t size, struct cat_hello *theirs)
{
	struct cat_hello own = { .version = CAT_VERSION,
		.flags = c->options.sum ? CAT_WANTS_SUM : 0,
		.size = size };
	memcpy(own.magic, CAT_MAGIC, sizeof(own.magic));
	struct haul_match match = { .from = c->peer, .ignore = UINT64_MAX };
	struct haul_status status;
	struct iovec iov = { .iov_base = &own, .iov_len = sizeof(own) };
	/* A copy, so that neither side waits for the other to listen. */
	haul_sendv(c->peer, CAT_HELLO, &iov, 1, HAUL_COPY, c->options.timeout_ms); /* or the answer tells */
	ssize_t n = haul_recv(c->h, &match, theirs, sizeof(*theirs), c->options.timeout_ms, &status);
	if (n < 0) {
		cat_fail_by_peer(c, (int)n);
		return false;
	}
	if (status.tag != CAT_HELLO || (size_t)n < offsetof(struct cat_hello, flags) ||
	    memcmp(theirs->magic, CAT_MAGIC, sizeof(theirs->magic)) != 0) {
		cat_fail(c, EX_PROTOCOL, "%s: that is no haul cat", c->options.address);
		return false;
	}
	if (theirs->version != CAT_VERSION || (size_t)n != sizeof(*theirs)) {
		cat_fail(c, EX_PROTOCOL, "%s: that is a haul cat of another version", c->options.address);
		return false;
	}
	return true;
}
