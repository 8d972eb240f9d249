/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What both sides of haul cat do with each other at any time: wait, fail, and say so. The first failure is the one
 * that counts; what follows from it, such as the other side's going, is not worth a word.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "cat.h"

#include <err.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

static const char *other(const struct cat *c)
{
	return c->options.listen ? "sender" : "receiver";
}

bool cat_failed(const struct cat *c)
{
	return c->own.status != 0;
}

void cat_fail(struct cat *c, int status, const char *format, ...)
{
	if (cat_failed(c))
		return;
	va_list args;
	va_start(args, format);
	vsnprintf(c->own.why, sizeof(c->own.why), format, args);
	va_end(args);
	c->own.status = (uint32_t)status;
	cat_meter_end(&c->meter);
	if (!c->by_sigpipe)
		warnx("%s", c->own.why);
}

void cat_fail_as_told(struct cat *c, const struct cat_end *end)
{
	char why[CAT_WHY_SIZE];
	size_t len = strnlen(end->why, sizeof(why) - 1);
	for (size_t i = 0; i < len; i++) /* it may go to a terminal */
		why[i] = end->why[i] >= ' ' && end->why[i] <= '~' ? end->why[i] : '?';
	why[len] = '\0';
	bool sensible = end->status > 0 && end->status < 126;
	cat_fail(c, sensible ? (int)end->status : EX_PROTOCOL, "the %s: %s", other(c), why);
	c->told = true;
}

void cat_fail_by_peer(struct cat *c, int error)
{
	uintmax_t bytes = c->own.bytes;
	if (error == -ECONNRESET)
		cat_fail(c, CAT_PEER_DIED, "the %s died, after %ju bytes", other(c), bytes);
	else if (error == -EPIPE || error == -ECANCELED)
		cat_fail(c, CAT_PEER_DIED, "the %s left, after %ju bytes", other(c), bytes);
	else if (error == -ETIMEDOUT)
		cat_fail(c, CAT_TIMED_OUT, "the %s has done nothing for %d s, after %ju bytes", other(c),
		    c->options.timeout_ms / 1000, bytes);
	else if (error == -EMSGSIZE || error == -EPROTO)
		cat_fail(c, EX_PROTOCOL, "the %s says what no haul cat of this version does", other(c));
	else
		cat_fail(c, EX_OSERR, "%s", haul_reason());
}

void cat_tell(struct cat *c)
{
	if (c->told || c->peer == NULL)
		return;
	c->told = true;
	struct iovec iov = { .iov_base = &c->own, .iov_len = sizeof(c->own) };
	struct haul_req *req;
	if (haul_isend(c->peer, CAT_END, &iov, 1, HAUL_COPY, &req) == 0)
		haul_req_free(req);
}

int cat_wait(struct cat *c, struct haul_req *const *reqs, size_t count)
{
	int64_t since = cat_now_ms();
	int timeout_ms = c->options.timeout_ms;
	for (;;) {
		int64_t left = timeout_ms < 0 ? INT64_MAX : since + timeout_ms - cat_now_ms();
		int slice = left <= 0                   ? 0
		    : c->meter.on && left > CAT_TICK_MS ? CAT_TICK_MS
		    : timeout_ms < 0                    ? -1
		                                        : (int)left;
		int rc = haul_wait_any(reqs, count, slice);
		if (rc >= 0)
			return rc;
		if (rc != -ETIMEDOUT && rc != -EAGAIN && rc != -EINTR) {
			cat_fail_by_peer(c, rc);
			return rc;
		}
		if (left <= 0) {
			cat_fail_by_peer(c, -ETIMEDOUT);
			return -ETIMEDOUT;
		}
		cat_meter_tick(&c->meter);
	}
}
