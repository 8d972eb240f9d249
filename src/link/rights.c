/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Descriptors: asking for those of a message, sending them, and finding what came with which frame.
 *
 *     us                                them
 *     FETCH(id)              -->
 *                            <--        RIGHTS(id, count), and descriptors attached to its bytes
 *
 * As long as no FETCH awaits its RIGHTS the socket is read by calls that have no room for descriptors, and the kernel
 * closes any that are there. In between the read that brings some ends with the bytes that they are attached to: so
 * they belong to the frame that these bytes are of, the last of the read, and wait in rx.rights until that is shown.
 * If they came with another frame they wait there for nothing, one set at a time, until others come or the link ends.
 *
 * What can fail: no memory to ask, tried again a little later; the kernel takes no such message now, the same; or
 * never (ETOOMANYREFS), which its sender is told.
 */
#include "link/rights.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "link/transport.h"
#include "os/sock.h"

_Static_assert((int)WIRE_RIGHTS_MOST == (int)SOCK_RIGHTS_MOST, "what is sent can be received");

/* ---- in ---- */

enum link_sent link_fetch(struct link *l, uint64_t id)
{
	struct wire_frame f = { .type = WIRE_FETCH, .id = id };
	if (l->rx.rights == NULL && (l->rx.rights = calloc(1, sizeof(*l->rx.rights))) == NULL) {
		l->tx.lacking = true;
		return LINK_NOT_NOW;
	}
	enum link_sent sent = link_send(l, &f, NULL);
	if (sent == LINK_TAKEN)
		l->rx.fetches++;
	return sent;
}

void link_fetched(struct link *l)
{
	l->rx.fetches--;
}

size_t link_take_rights(struct link *l, int fds[WIRE_RIGHTS_MOST], bool *cut)
{
	struct sock_rights *r = l->rx.rights;
	if (r == NULL)
		return 0;
	size_t count = r->count;
	memcpy(fds, r->fds, count * sizeof(*fds));
	*cut = r->cut;
	r->count = 0;
	r->cut = false;
	return count;
}

ssize_t rights_recv(struct link *l, struct iovec *iov, size_t count)
{
	if (l->rx.fetches > 0)
		return sock_recv_rights(l->fd, iov, count, l->rx.rights);
	return count == 1 ? sock_recv(l->fd, iov[0].iov_base, iov[0].iov_len) : sock_recvv(l->fd, iov, count);
}

bool rights_heard(struct link *l, const struct wire_frame *f)
{
	if (l->rx.rights_due)
		return false;
	l->rx.rights_id = f->rights.id;
	l->rx.rights_count = f->rights.count;
	l->rx.rights_error = f->rights.error;
	l->rx.rights_due = true;
	return true;
}

bool rights_next(struct link *l, struct wire_frame *f)
{
	if (!l->rx.rights_due)
		return false;
	*f = (struct wire_frame){
		.type = WIRE_RIGHTS,
		.rights = { .id = l->rx.rights_id, .count = l->rx.rights_count, .error = l->rx.rights_error }
	};
	l->rx.rights_due = false;
	return true;
}

void rights_drop(struct link *l)
{
	if (l->rx.rights != NULL)
		sock_close_rights(l->rx.rights);
}

void rights_fini(struct link *l)
{
	rights_drop(l);
	free(l->rx.rights);
}

/* ---- out ---- */

/* To ourselves: what is fetched is here already. */
static enum link_sent hand_over(struct link *l, struct wire_frame *f, const int *fds, size_t count)
{
	if (l->rx.rights == NULL || l->rx.rights->count > 0) {
		l->tx.refused = true; /* until those that were sent before are read */
		return LINK_NOT_NOW;
	}
	enum link_sent sent = link_send(l, f, NULL);
	if (sent == LINK_TAKEN)
		sock_copy_rights(l->rx.rights, fds, count);
	return sent;
}

static bool may_pass(ssize_t error)
{
	return error == -EAGAIN || error == -ENOBUFS || error == -ENOMEM || error == -EINTR;
}

enum link_sent link_send_rights(struct link *l, uint64_t id, const int *fds, size_t count)
{
	struct wire_frame f = { .type = WIRE_RIGHTS, .rights = { .id = id, .count = (uint32_t)count } };
	uint8_t bytes[WIRE_HEADER_SIZE + WIRE_RIGHTS_SIZE];
	if (l->tx.dead)
		return LINK_TAKEN;
	if (l->loop != NULL)
		return hand_over(l, &f, fds, count);
	if (!transport_make_way(l))
		return l->tx.dead ? LINK_TAKEN : LINK_NOT_NOW;
	size_t len = transport_encode(l, &f, bytes, sizeof(bytes));
	ssize_t n = sock_send_rights(l->fd, bytes, len, fds, count);
	if (n > 0) {
		transport_went(l, bytes, len, (size_t)n);
		return LINK_TAKEN;
	}
	if (may_pass(n)) { /* there may be room, and EPOLLOUT for ever */
		l->tx.lacking = true;
		return LINK_NOT_NOW;
	}
	if (n == -EPIPE || n == -ECONNRESET) {
		l->tx.dead = true; /* it no longer hears us; reading will tell more */
		return LINK_TAKEN;
	}
	f.rights.count = 0;
	f.rights.error = (uint32_t)-n;
	return link_send(l, &f, NULL);
}
