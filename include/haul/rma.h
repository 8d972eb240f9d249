/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * haul/rma.h: another process's memory, by its leave. A process exposes a region of its memory and gets a handle of it,
 * a few words that any message can carry. Who has the handle, and a connection to that process, gets and puts bytes
 * at an offset of the region, as by preadv(2) and pwritev(2) of a file. The conventions of haul.h hold here too
 * (results, timeouts, threads, fork, requests).
 *
 *   Get        pulled straight out of the owner's memory, by one process_vm_readv(2) per 16 MiB, in the thread that
 *              calls; the owner does nothing for it, and may be busy, stopped, or blocked elsewhere. Where pulling is
 *              refused, from the start or in the middle, the owner is asked, and answers by a message: then it moves
 *              only while the owner is in the library, or has a progress thread.
 *   Put        always a message that the owner takes and moves to its place, within its own calls: nobody writes into
 *              the owner's memory without it. The owner pulls the bytes where it may; with the options push or
 *              two_handed on both sides it has the putter, whom it tells where, write them or a part of them, as it
 *              would those of a receive; else they come over the socket.
 *   Withdrawal the owner takes a region back at any time. A get that is under way then brings what was there before,
 *              or ends as -ESTALE, its buffer undefined.
 *   Atomicity  none. A get of bytes that the owner writes meanwhile, or somebody puts, may bring any mixture of old and
 *              new ones; so may two puts leave one.
 *   Order      none between operations under way together, nor between them and messages. One that has completed,
 *              or that haul_rma_flush() has waited for, was done before what is begun after it.
 *
 * Errors that gets and puts have in common, besides those of haul.h:
 *
 *   -ESTALE    there is no such region (any more): it was withdrawn, its context closed, the process that had it
 *              executed another program; or the handle is of another process than the peer
 *   -EINVAL    no handle at all; or one that is not, in every bit, what haul_region_handle() gave out
 *   -ERANGE    the bytes asked for are not all within the region; none was moved
 *   -EACCES    the region was not exposed for that
 *   -EFAULT    the region's memory, or the caller's own, can't be accessed there (a few KiB that travel with a message
 *              are copied by the library: a bad pointer of the caller's is then what it is to memcpy(3))
 *   -EMSGSIZE  it has to travel as a message, and is longer than the peer (or for a get this side) accepts, see the
 *              option max_msg
 *   -ECONNREFUSED  the owner would not, for another reason
 *   -ECONNRESET, -EPIPE  the peer died, or said goodbye
 *   -EPROTO    the owner answers what can't be
 *   -EAGAIN    with timeout 0: it can't be done by one pull
 *
 * A handle is no secret, and no right: see docs/security.md.
 */
#ifndef HAUL_RMA_H
#define HAUL_RMA_H

#include <haul/haul.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/* ---- Regions: the owner's side ------------------------------------------------------------- */

struct haul_region; /* memory of this process, as others may use it */

/* A region, as others name it. Plain bytes, for the library alone to look into: to be copied, stored and sent as they
 * are, within one machine. */
struct haul_handle {
	uint64_t words[8];
};

/* What others may do with it. */
enum {
	HAUL_READ = 1,  /* get */
	HAUL_WRITE = 2, /* put */
};

enum { HAUL_REGION_IOVECS = 1024 }; /* the most that make up a region */

/*
 * Exposes the bytes of count iovecs, one after the other, to every peer of the context that has the handle.
 * rights: HAUL_READ, HAUL_WRITE or both. The array is copied; the memory stays the caller's, who may go on using
 * it, but must keep it mapped until it is withdrawn (if not: -EFAULT to others, nothing worse). Whether it can be
 * accessed is not looked at before somebody does. Never blocks. The region is the caller's until
 * haul_region_withdraw(); what is not withdrawn by haul_close() is then. -EINVAL: no rights or unknown ones, more
 * than HAUL_REGION_IOVECS, lengths that overflow. -ENOMEM.
 */
int haul_region_expose(struct haul *h, const struct iovec *iov, size_t count, unsigned rights,
    struct haul_region **out);

/* Its handle, the same every time. Does nothing if either is NULL. */
void haul_region_handle(const struct haul_region *region, struct haul_handle *handle);

/*
 * Takes it back, at once: from the moment this is called, whatever it returns, nothing that anybody reads there is
 * delivered, however stopped or slow the reader is, and no put begins (bad arguments aside). 0: nobody writes
 * there any more either; the memory is the caller's alone, and the region is freed. Else a put is in the middle of
 * a write that nothing can call off, by another thread of this process, or by the peer (options push and
 * two_handed, see there): -EAGAIN (timeout 0), -ETIMEDOUT, -EINTR. Then nothing is freed: to be called again.
 * NULL: 0. In a forked child: -ESTALE, and freed. Not to be called by two threads at a time.
 */
int haul_region_withdraw(struct haul_region *region, int timeout_ms);

/* ---- Get and put --------------------------------------------------------------------------- */

/*
 * Reads as many bytes as the iovecs hold, from offset on in the region of that peer (which may be haul_self()).
 * Returns how many that were, which is all of them; 0 iovecs or bytes only ask whether the region is still there.
 * The pid is that of the verified connection, whatever the handle says. A timeout, an interrupt or a cancel leaves
 * the buffers undefined; a pull of up to 16 MiB is one copy, during which neither is looked at.
 */
ssize_t haul_get(struct haul_peer *p, const struct haul_handle *handle, uint64_t offset,
    const struct iovec *iov, size_t count, int timeout_ms);

/*
 * Writes them there, and returns when that is done: haul_get() by anybody, and the owner itself, see them. After
 * an error that part of the region is undefined (nothing else is touched), unless it is -ERANGE, -EACCES or
 * -EINVAL: then nothing was written. After -ETIMEDOUT, -EINTR and -ECANCELED the buffers are the caller's, and
 * nothing that is written to them from then on reaches anybody. The owner's program is not told; send it a
 * message.
 */
ssize_t haul_put(struct haul_peer *p, const struct haul_handle *handle, uint64_t offset,
    const struct iovec *iov, size_t count, int timeout_ms);

/*
 * The same as requests, which end by progress of this side: a get is pulled in haul_progress() or a call that
 * waits. The handle is copied. The status has the peer, len, got and error. haul_req_cancel() and
 * haul_req_deadline() end either, at any stage (but for a copy that is under way, and the options push and
 * two_handed). One that is let go of by haul_req_free() goes on; haul_rma_flush() waits for it.
 */
int haul_iget(struct haul_peer *p, const struct haul_handle *handle, uint64_t offset, const struct iovec *iov,
    size_t count, struct haul_req **out);
int haul_iput(struct haul_peer *p, const struct haul_handle *handle, uint64_t offset, const struct iovec *iov,
    size_t count, struct haul_req **out);

/* Waits until every get and put that was begun with that peer before this call has completed, well or not: that its
 * request tells. -EAGAIN, -ETIMEDOUT, -EINTR: some have not. */
int haul_rma_flush(struct haul_peer *p, int timeout_ms);

/* ---- A verified peer's memory -------------------------------------------------------------- */

/*
 * For debuggers, profilers and the like: any memory of the peer's process, at its own addresses, as far as the
 * kernel allows that; the peer does nothing for it and need not have exposed anything. Each read ends, in the same
 * system call, with a word by which the process at the other end of the connection is known: so bytes of another
 * program (exec) or process (a reused pid) are never taken for the peer's.
 *
 * haul_peer_read() copies the bytes of the remote ranges, one after the other, into the local ones, up to the
 * shorter sum, by as few process_vm_readv(2) as will do. Returns how many came: fewer than asked for if the rest
 * can't be read, to the very byte (a call again from there says why), or if haul_interrupt() or haul_close() has
 * ended it after 16 MiB or more; the buffers behind them are undefined.
 *
 *   -EFAULT    the first byte can't be: of the peer's memory, or of the caller's own; haul_reason() says which
 *   -ESTALE    the peer's process has executed another program, or closed its end
 *   -EPERM, -EACCES, -ENOSYS, -EOPNOTSUPP, -ESRCH ...  its memory can't be read, see in_error of haul_peer_info();
 *              there is no other way than by pull
 *   -ECONNRESET, -EPIPE  it has exited, or said goodbye
 *   -ENOMEM    the kernel lacks memory
 *   -EINVAL    more than 2^24 ranges, lengths that overflow, memory that is NULL
 *   -ENOTCONN  the handshake is still under way
 */
ssize_t haul_peer_read(struct haul_peer *p, const struct iovec *local, size_t local_count,
    const struct iovec *remote, size_t remote_count);

/*
 * Copies the string at that address of the peer's, with its NUL, into buf, and returns its length without it.
 * Reads no page beyond the one that the NUL is in, so a string may end just before one that can't be read. A
 * string of several pages takes a system call each, and may change in between. -EMSGSIZE: no NUL within the first
 * size bytes. -EFAULT: none before a byte that can't be read. Else as haul_peer_read().
 */
ssize_t haul_peer_read_string(struct haul_peer *p, uint64_t address, char *buf, size_t size);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
