/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where the bytes of a link go and come from: its socket, its outboxes, or, for a link to ourselves, its loop. For
 * each direction one of them carries all frames, from READY on; the change from an outbox to the socket is seamless,
 * since both carry the same stream of bytes and its positions are counted.
 *
 * While our frames go into the outbox, the socket is for what can't wait there, a few small frames aside from the
 * stream:
 *
 *     BELL              to a reader that sleeps, perhaps with a copy of the parcel; or to a writer that waits for room
 *     DEMOTE(position)  we can't read the peer's outbox any more
 *     RESUME(position)  ours is closed: what the peer has not read of it follows, and then everything
 *     RIGHTS            descriptors, which nothing else can carry (rights.c)
 *
 * Once RESUME is said all of them are frames like others. Internal to link.
 */
#ifndef HAUL_LINK_TRANSPORT_H
#define HAUL_LINK_TRANSPORT_H

#include "link/link.h"

/* Bytes of the stream, out: how many were taken, -EAGAIN, -EFAULT if the memory is not `ours` but bad, -EPIPE and the
 * like if the peer no longer reads. */
ssize_t transport_put(struct link *l, struct iovec *iov, size_t count, bool ours);
/* And in, of a link that is open: 0 at the end, -EAGAIN, -EFAULT if the memory is the `users` and bad. */
ssize_t transport_get(struct link *l, struct iovec *iov, size_t count, bool users);

/* The handshake: offers our outbox, before READY; takes the peer's; READY has come. */
void transport_offer(struct link *l);
bool transport_accept(struct link *l, const struct wire_frame *f);
void transport_begin(struct link *l);
/* All that was to be said before the first byte in our outbox is with the kernel. */
void transport_flushed(struct link *l);
void transport_fini(struct link *l);

/* A frame aside that came in the stream, or `beside` it. False: a violation, and the link has failed. */
bool transport_aside(struct link *l, const struct wire_frame *f, bool beside);
/* Reads the socket while the peer's stream is in its outbox; `waiting` as link_doze(). A count, 0 at the end, or as a
 * read. */
ssize_t transport_hear(struct link *l, bool waiting);
/* What is owed aside from the stream. */
void transport_tell(struct link *l);

/* For a frame that the socket must carry, by a call of its own: whether all before it is with the kernel; its bytes;
 * and that the kernel has taken so many of them. */
bool transport_make_way(struct link *l);
size_t transport_encode(struct link *l, struct wire_frame *f, uint8_t *buf, size_t size);
void transport_went(struct link *l, const uint8_t *bytes, size_t len, size_t taken);

#endif
