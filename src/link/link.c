/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The life of a link: from a socket to DOWN. The handshake that leads from one to the other is in
 * handshake.c, frames are in receive.c and transmit.c.
 */
#include "link/link.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bsd/stdlib.h>
#include <bsd/string.h>

#include "link/ptracer.h"
#include "link/rights.h"
#include "link/transmit.h"
#include "link/transport.h"
#include "os/proc.h"
#include "os/reason.h"
#include "os/sock.h"

/* The first windows: small, because most peers never need more; they grow by use. */
enum { FIRST_BYTES = 2 * (WIRE_EAGER_LONGEST + WIRE_EAGER_OVERHEAD), FIRST_DESCS = 256, LEAST_DESCS = 8 };

int link_shared_init(struct link_shared *s)
{
	words_init(&s->words);
	s->spare = NULL;
	s->spare_count = 0;
	s->scratch = malloc(LINK_SCRATCH);
	return s->scratch != NULL ? 0 : -ENOMEM;
}

void link_shared_fini(struct link_shared *s)
{
	transmit_drop_spares(s);
	free(s->scratch);
	words_fini(&s->words);
}

int link_init(struct link *l, struct link_shared *shared, int fd)
{
	memset(l, 0, sizeof(*l));
	l->shared = shared;
	l->pidfd = -1;
	int rc = sock_check_connected(fd);
	if (rc != 0)
		return reason(rc, "descriptor %d is not a connected AF_UNIX stream socket: %s", fd,
		    strerror(-rc));
	if ((rc = sock_want_creds(fd)) != 0)
		return reason(rc, "SO_PASSCRED: %s", strerror(-rc));
	if ((l->answer = words_take(&shared->words)) == NULL)
		return reason(-ENOMEM, "no memory for a handshake");
	l->fd = fd;
	l->tx.whole = sock_whole(fd);
	arc4random_buf(&l->challenge, sizeof(l->challenge));
	credit_in_init(&l->in_bytes, &shared->pool, 1, 0, FIRST_BYTES, shared->budget);
	credit_in_init(&l->in_descs, &shared->pool, LINK_DESC_COST, LEAST_DESCS, FIRST_DESCS, shared->window);

	struct wire_hello hello = {
		.version_min = WIRE_VERSION_MIN,
		.version_max = WIRE_VERSION_MAX,
		.features = (shared->push ? WIRE_FEATURE_PUSH : 0) |
		    (shared->outbox ? WIRE_FEATURE_OUTBOX : 0) |
		    (shared->two_handed ? WIRE_FEATURE_TWO_HANDED : 0),
		.challenge = l->challenge,
		.max_msg = shared->max_msg,
		.eager_max = WIRE_EAGER_LONGEST,
		.credit_bytes = credit_in_tell(&l->in_bytes),
		.credit_descs = credit_in_tell(&l->in_descs),
		.euid = geteuid(),
	};
	uint8_t bytes[WIRE_HELLO_SIZE];
	size_t len = wire_hello_encode(&hello, bytes, sizeof(bytes));
	ssize_t n = sock_send_creds(fd, bytes, len);
	if (n < 0 && n != -EAGAIN && n != -EPIPE) {
		rc = reason((int)n, "cannot say hello: %s", strerror((int)-n));
		goto err_credit;
	}
	/* A peer that is gone already may have left its last words; reading will tell. */
	if (n == -EPIPE)
		l->tx.dead = true;
	else if (n < (ssize_t)len)
		link_put_bytes(l, bytes + (n > 0 ? n : 0), len - (size_t)(n > 0 ? n : 0));
	return 0;

err_credit:
	credit_in_fini(&l->in_bytes, &shared->pool);
	credit_in_fini(&l->in_descs, &shared->pool);
	words_give(&shared->words, l->answer);
	return rc;
}

int link_init_self(struct link *l, struct link_shared *shared)
{
	memset(l, 0, sizeof(*l));
	if ((l->loop = loop_new()) == NULL)
		return reason(-ENOMEM, "no memory for messages to oneself");
	l->shared = shared;
	l->fd = l->pidfd = -1;
	l->pid = getpid();
	l->uid = geteuid();
	l->gid = getegid();
	l->known = true;
	l->tx.grown = true; /* nothing to be made larger */
	credit_in_init(&l->in_bytes, &shared->pool, 1, 0, FIRST_BYTES, shared->budget);
	credit_in_init(&l->in_descs, &shared->pool, LINK_DESC_COST, LEAST_DESCS, FIRST_DESCS, shared->window);
	l->theirs = (struct wire_hello){ .max_msg = shared->max_msg, .eager_max = WIRE_EAGER_LONGEST };
	credit_out_init(&l->out_bytes, credit_in_tell(&l->in_bytes), WIRE_CREDIT_MOST);
	credit_out_init(&l->out_descs, credit_in_tell(&l->in_descs), WIRE_WINDOW_MOST);
	if (shared->never_pull)
		link_demote(l, EOPNOTSUPP, "pulling is switched off by option");
	l->out = l->in;
	l->state = LINK_OPEN;
	return 0;
}

bool link_has_come_back(const struct link *l)
{
	return l->loop != NULL && loop_has(l->loop);
}

void link_counts_add(struct link_counts *sum, const struct link_counts *c)
{
	sum->polls += c->polls;
	sum->empty_polls += c->empty_polls;
	sum->polled_frames += c->polled_frames;
	sum->bells_sent += c->bells_sent;
	sum->bells_received += c->bells_received;
}

void link_fini(struct link *l)
{
	loop_free(l->loop);
	credit_in_fini(&l->in_bytes, &l->shared->pool);
	credit_in_fini(&l->in_descs, &l->shared->pool);
	words_give(&l->shared->words, l->answer);
	link_counts_add(&l->shared->counts, &l->counts);
	ptracer_revoke(l);
	transmit_fini(l);
	transport_fini(l);
	rights_fini(l);
	free(l->rx.stash);
	sock_close(l->pidfd);
	sock_close(l->fd);
}

void link_hang_up(struct link *l)
{
	link_leave_outbox(l);
	link_flush(l);
	link_send_abandon(l);
	if (l->loop == NULL)
		sock_shut(l->fd);
}

void link_fall_silent(struct link *l)
{
	link_leave_outbox(l);
	link_flush(l);
	link_send_abandon(l);
	sock_shut_us(l->fd);
}

int link_drain(struct link *l)
{
	enum { READS = 16 }; /* who never stops speaking must not keep us */
	ssize_t n = 1;
	for (int i = 0; i < READS && n > 0; i++)
		n = sock_recv(l->fd, l->shared->scratch, LINK_SCRATCH);
	if (n > 0 || n == -EINTR)
		return -EAGAIN;
	return n == -ECONNRESET ? 0 : (int)n; /* it closed with bytes of ours unread */
}

void link_close_ears(struct link *l)
{
	if (l->loop == NULL)
		sock_shut_peer(l->fd);
}

void link_move(struct link *l, enum link_state to)
{
	static const bool allowed[LINK_DOWN + 1][LINK_DOWN + 1] = {
		[LINK_HELLO] = { [LINK_GRANTED] = true, [LINK_DOWN] = true },
		[LINK_GRANTED] = { [LINK_VERDICT] = true, [LINK_DOWN] = true },
		[LINK_VERDICT] = { [LINK_READY] = true, [LINK_DOWN] = true },
		[LINK_READY] = { [LINK_OPEN] = true, [LINK_DOWN] = true },
		[LINK_OPEN] = { [LINK_DOWN] = true },
	};
	assert(allowed[l->state][to]);
	l->state = to;
}

int link_fail(struct link *l, int error, const char *format, ...)
{
	if (l->state == LINK_DOWN)
		return l->error;
	va_list args;
	va_start(args, format);
	vsnprintf(l->words, sizeof(l->words), format, args);
	va_end(args);
	l->error = error;
	link_move(l, LINK_DOWN);
	return error;
}

int link_reject(struct link *l, int error, const char *words)
{
	struct wire_frame f = { .type = WIRE_REJECT, .reject.error = (uint32_t)-error };
	link_put(l, &f);
	link_flush(l);
	return link_fail(l, error, "%s", words);
}

void link_demote(struct link *l, int error, const char *words)
{
	if (l->in.error != 0)
		return;
	l->in.error = error;
	strlcpy(l->in.words, words, sizeof(l->in.words));
	l->owes_verdict = l->state == LINK_OPEN;
}

bool link_may_eager(const struct link *l, size_t len)
{
	return len <= l->theirs.eager_max &&
	    credit_out_has(&l->out_bytes, (uint32_t)len + WIRE_EAGER_OVERHEAD);
}

bool link_may_desc(const struct link *l)
{
	return credit_out_has(&l->out_descs, 1);
}

bool link_may_push(const struct link *l)
{
	return l->shared->push && (l->theirs.features & WIRE_FEATURE_PUSH) != 0;
}

bool link_has_two_hands(const struct link *l)
{
	return l->shared->two_handed && (l->theirs.features & WIRE_FEATURE_TWO_HANDED) != 0;
}

bool link_may_assist(const struct link *l)
{
	return link_has_two_hands(l) && l->in.error == 0 && l->out.error == 0;
}

void link_release_eager(struct link *l, size_t len)
{
	credit_in_release(&l->in_bytes, (uint32_t)len + WIRE_EAGER_OVERHEAD);
}

void link_release_desc(struct link *l)
{
	credit_in_release(&l->in_descs, 1);
}

bool link_owes_credit(const struct link *l)
{
	return credit_in_due(&l->in_bytes) || credit_in_due(&l->in_descs);
}

void link_tell(struct link *l)
{
	transport_tell(l);
	if (l->owes_verdict) {
		struct wire_frame verdict;
		handshake_verdict(l, &verdict);
		l->owes_verdict = link_send(l, &verdict, NULL) != LINK_TAKEN;
	}
	if (!link_owes_credit(l))
		return;
	struct wire_frame f = { .type = WIRE_CREDIT };
	link_send(l, &f, NULL); /* if not now, then with whatever goes next */
}
