/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * haul/stream.h: byte streams between two processes, in the place of pipes.
 *
 * A stream is a pair of pipes with one peer, one each way, and has a name, a number: both sides open the same
 * name, in any order, and are connected. A peer can have many. Bytes come out as they went in, without marks between
 * writes; after the writer's goodbye the reader has an end of file.
 *
 *     haul_pair(ends); fork; haul_adopt(...)           as for messages
 *     haul_stream_open(peer, 0, NULL, 0, &s)           in both processes
 *     haul_stream_write(s, buf, len, -1)               haul_stream_read(s, buf, len, -1)
 *     haul_stream_close(s)                             ... returns 0: the end
 *
 * What it is not: a file descriptor. read(2), dup2(2), splice(2) and programs that know nothing of haul can't
 * use one; haul_stream_file() is for those that know stdio, haul_fd() for those that poll.
 *
 * Two ways to write, each side's own choice for what it writes:
 *   buffered  as a pipe: a write returns once its bytes are copied to a buffer of the library's, in this process,
 *             out of which the reader pulls them. The default.
 *   direct    a write returns once the reader has pulled the bytes out of the caller's own memory (up to
 *             16 KiB: once the kernel has them). One copy, no buffer; writer and reader meet.
 *
 * The conventions of haul/haul.h hold. A forked child can do nothing with its copy of a stream.
 */
#ifndef HAUL_STREAM_H
#define HAUL_STREAM_H

#include <stdio.h>

#include <haul/haul.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

struct haul_stream; /* one end of a stream */

/* Writes of up to so many bytes are not mixed with those of other threads. */
#define HAUL_STREAM_ATOMIC 4096

/* Zero it, then set what matters. */
struct haul_stream_options {
	int direct; /* 1: writes are direct; 0: buffered */
	size_t
	    buffer; /* bytes that written but unread bytes may take, rounded up to a power of two, 16 KiB to 1 GiB;
	                * default 1 MiB; less where the peer accepts no message so long (max_msg). The memory is
	                * only taken as it is first used */
};

/*
 * Opens this side's end of the stream of that name, below 2^24, with a peer. Never blocks, and needs no answer: what the
 * other side writes before waits there. options may be NULL; options_size is sizeof(struct
 * haul_stream_options). Each side can open a name once in the life of a connection: -EEXIST from then on. The end is
 * the caller's until haul_stream_close(). With a peer that is gone: what it has left can be read. -EINVAL: with oneself
 * (haul_self()), a name or an option out of range.
 */
int haul_stream_open(struct haul_peer *p, uint32_t name, const struct haul_stream_options *options,
    size_t options_size, struct haul_stream **out);

/*
 * Reads up to len bytes: at least one, and as many as there are. 0: the end, the writer has closed or shut down its end
 * and all was read; or len is 0. -EAGAIN (timeout 0): nothing is there now; haul_fd() tells when something is.
 * -ECONNRESET: the writer died, or its connection ended, before it had closed its end. -EPIPE: it said goodbye and left
 * bytes behind (a haul_close() that did not linger), or a direct write of it was cut off. -EFAULT: buf can't be written (a
 * few KiB are copied by the library: a bad pointer of the caller's is then what it is to memcpy(3)).
 *
 * One thread reads at a time; others wait for their turn.
 */
ssize_t haul_stream_read(struct haul_stream *s, void *buf, size_t len, int timeout_ms);
ssize_t haul_stream_readv(struct haul_stream *s, const struct iovec *iov, size_t count, int timeout_ms);

/*
 * Writes len bytes, and returns how many were: all, unless a timeout, an interrupt or an error came after some of them had
 * been (of an error the next write tells), and timeout 0 wrote what there was room for (-EAGAIN: none; up to
 * HAUL_STREAM_ATOMIC bytes go whole or not at all).
 * -EPIPE, without a signal: the reader has closed its end, or this end was shut down. -ECONNRESET: it died. -EMSGSIZE,
 * nothing written: of a direct write, the peer accepts no message so long (max_msg); of another, none of 8 KiB.
 *
 * A direct write is whole or an error: after -ETIMEDOUT and -EINTR the reader may have got some of it, and the
 * stream can't be written to any more (-EIO). With timeout 0 it goes only if it is short (16 KiB, see the option
 * eager_max).
 *
 * What was written is with this process until the reader has pulled it. An exit(3) lets it go on for up to a second;
 * up to 16 KiB are left with the kernel and need the writer no more. A crash, an exec or _exit(2) loses what was not read:
 * then the reader gets an error, never an end of file.
 */
ssize_t haul_stream_write(struct haul_stream *s, const void *buf, size_t len, int timeout_ms);
ssize_t haul_stream_writev(struct haul_stream *s, const struct iovec *iov, size_t count, int timeout_ms);

/* Nothing more will be written: the reader has the end of file when it has read all. Reading goes on. Never blocks. */
int haul_stream_shutdown(struct haul_stream *s);

/* What a read or write would find without waiting. */
enum {
	HAUL_STREAM_READABLE = 1, /* a read returns at once: with bytes, the end, or an error */
	HAUL_STREAM_WRITABLE = 2, /* a write of HAUL_STREAM_ATOMIC bytes does, or an error */
};

/* HAUL_STREAM_* bits, or an error. What is not so now makes haul_fd() readable when it becomes so: ask, then
 * haul_arm(), then sleep. Never blocks. */
int haul_stream_ready(struct haul_stream *s);

/*
 * Closes and frees this end. What was written still goes to the reader, as with a pipe: the library keeps it until
 * it is read, haul_peer_close() and haul_close() linger for it. What was not read is dropped, and the other side's
 * writes get -EPIPE. Never blocks. haul_close() closes, and frees, those that are left.
 */
int haul_stream_close(struct haul_stream *s);

/*
 * A stdio stream over this end, as by fdopen(3): mode "r", "w" or "r+", with a buffer of 64 KiB. Reads and writes wait
 * without limit; errors are in errno. fclose(3) closes the end; on failure (NULL, errno) it stays the caller's. An exit(3)
 * writes what is in the buffer; a haul_close() does not: fclose(3) first.
 */
FILE *haul_stream_file(struct haul_stream *s, const char *mode);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
