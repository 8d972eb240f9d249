/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reading any memory of a peer's process: haul_peer_read(), haul_peer_read_string(). Each call of process_vm_readv ends with
 * the word that the peer has stored in the handshake as the answer to our challenge (link/identity.c), and which it
 * keeps as long as the connection: what is read while it isn't there is not the peer's.
 *
 * Who has to be woken: nobody; the kernel copies or refuses. The copy is made outside the lock, a piece at a time, and
 * between two other work gets its turn.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "msg/context.h"
#include "msg/send.h"
#include "msg/stats.h"
#include "os/reason.h"
#include "rma/reach.h"
#include "rma/rma.h"

enum { PAGE = 4096 }; /* the smallest there is: what lies in one can be read, or not, together */

/* Why it can't be read at all. */
static int check(struct haul_peer *p)
{
	struct link *l = peer_link(p);
	int rc = send_check(p);
	if (rc != 0)
		return rc;
	if (!p->up)
		return reason(-ENOTCONN, "the peer is still to be verified");
	return l->in.error != 0 ? reason(-l->in.error, "%s", l->in.words) : 0;
}

static int refusal(struct haul_peer *p, const struct vm_result *r)
{
	switch (r->outcome) {
	case VM_MOVED:
		return 0;
	case VM_BAD_LOCAL:
		return reason(-EFAULT, "the buffer can't be written");
	case VM_BAD_REMOTE:
		return reason(-EFAULT, "the peer's memory can't be read there");
	case VM_NO_MEMORY:
		return reason(-ENOMEM, "the kernel is short of memory");
	case VM_DENIED:
	case VM_NO_PROCESS:
		break;
	}
	if (peer_refused(p, r))
		return reason(-r->error, "%s", peer_link(p)->in.words);
	return reason(p->error != 0 ? p->error : -ECONNRESET, "the peer has exited");
}

/* Up to RMA_PIECE bytes. *moved: how many came that are the peer's. 0 if that is all. A process of its own needs no proof. */
static int read_piece(struct haul_peer *p, struct iov_cursor *local, struct iov_cursor *remote, uint64_t len,
    uint64_t *moved)
{
	struct link *l = peer_link(p);
	struct vm_word word = { .addr = l->identity };
	struct vm_result r = reach_read(p, local, remote, len, p->self ? NULL : &word);
	bool there = r.outcome != VM_DENIED && r.outcome != VM_NO_PROCESS && r.outcome != VM_NO_MEMORY;
	bool known = p->self || (word.read && word.value == l->challenge);
	*moved = known ? r.moved : 0;
	stats_copied(p, *moved);
	if (!known && (there || word.read))
		return reason(-ESTALE, "the process is not, or no more, the peer");
	return refusal(p, &r);
}

/* Between two pieces. An interrupt is left for the next call to take, since this one has something to tell. */
static bool goes_on(struct haul *h)
{
	struct engine *e = &h->engine;
	return !e->quitting && !h->closing && !atomic_load(&e->interrupted) && engine_progress(e) >= 0;
}

/* The bytes that came; or, if that is none, -errno. */
static ssize_t read_all(struct haul_peer *p, struct iov_cursor *local, struct iov_cursor *remote,
    uint64_t len)
{
	uint64_t done = 0, moved;
	int rc = check(p);
	p->copying++; /* it stays, whatever the other work is */
	while (rc == 0 && done < len) {
		rc = read_piece(p, local, remote, len - done < RMA_PIECE ? len - done : RMA_PIECE, &moved);
		done += moved;
		if (rc == 0 && done < len && !goes_on(p->haul))
			break;
	}
	p->copying--;
	peer_copied(p);
	return done > 0 ? (ssize_t)done : rc;
}

ssize_t haul_peer_read(struct haul_peer *p, const struct iovec *local, size_t local_count,
    const struct iovec *remote, size_t remote_count)
{
	struct iov_cursor to, from;
	uint64_t room, len;
	int rc = peer_enter(p);
	if (rc != 0)
		return rc;
	struct haul *h = p->haul;
	if (local_count > WIRE_RANGES_MOST || remote_count > WIRE_RANGES_MOST ||
	    !iov_total(local, local_count, &room) || !iov_total(remote, remote_count, &len))
		return context_leave(h, reason(-EINVAL, "ranges that are too many, NULL, or overflow"));
	len = len < room ? len : room;
	iov_cursor_init(&to, local, local_count, len);
	iov_cursor_init(&from, remote, remote_count, len);
	ssize_t n = read_all(p, &to, &from, len);
	context_leave(h, n < 0 ? (int)n : 0);
	return n;
}

/* The part of the string in one page; *end: where its NUL is, if it is there. */
static int read_part(struct haul_peer *p, uint64_t address, char *buf, size_t len, size_t *end)
{
	struct iovec here = { .iov_base = buf, .iov_len = len };
	struct iovec there = { .iov_base = (void *)(uintptr_t)address, .iov_len = len };
	struct iov_cursor to, from;
	uint64_t moved;
	iov_cursor_init(&to, &here, 1, len);
	iov_cursor_init(&from, &there, 1, len);
	int rc = read_piece(p, &to, &from, len, &moved);
	const char *nul = memchr(buf, '\0', moved);
	*end = nul != NULL ? (size_t)(nul - buf) : moved;
	return nul != NULL ? 0 : rc != 0 ? rc : -EAGAIN;
}

static ssize_t read_string(struct haul_peer *p, uint64_t address, char *buf, size_t size)
{
	size_t len = 0, part = 0;
	int rc = check(p);
	if (rc != 0)
		return rc;
	do {
		size_t room = PAGE - (address + len) % PAGE, left = size - len;
		rc = read_part(p, address + len, buf + len, left < room ? left : room, &part);
		len += part;
	} while (rc == -EAGAIN && len < size);
	peer_copied(p);
	if (rc == -EAGAIN)
		return reason(-EMSGSIZE, "no end of the string within %zu bytes", size);
	return rc != 0 ? rc : (ssize_t)len;
}

ssize_t haul_peer_read_string(struct haul_peer *p, uint64_t address, char *buf, size_t size)
{
	int rc = peer_enter(p);
	if (rc != 0)
		return rc;
	struct haul *h = p->haul;
	if (buf == NULL || size == 0 || size > SSIZE_MAX || address == 0)
		return context_leave(h, reason(-EINVAL, "no buffer, or no address"));
	ssize_t n = read_string(p, address, buf, size);
	context_leave(h, n < 0 ? (int)n : 0);
	return n;
}
