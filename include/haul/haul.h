/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * haul: messages between processes on one Linux machine, without shared memory.
 *
 * A context (struct haul) holds connections to peers (struct haul_peer). A message is bytes plus a
 * 64-bit tag; it travels to one peer and is received by whoever asks for its tag. Large messages are
 * pulled straight out of the sender's memory with process_vm_readv(2); where the kernel refuses that,
 * the same message travels over the socket, with the same result.
 *
 * Conventions, which hold for every function unless it says otherwise:
 *
 *   Result     0 or a count on success, a negative errno on failure; haul_reason() then has words.
 *              Output arguments are written on success only; a status, wherever one is passed, is
 *              filled at every completion, good or bad.
 *   timeout_ms -1 waits for ever, 0 never waits (-EAGAIN), > 0 waits that long (-ETIMEDOUT). Below -1:
 *              -EINVAL. A blocking call that haul_interrupt() ends returns -EINTR.
 *   Threads    one thread at a time per context and everything that belongs to it; different contexts
 *              are independent. Only haul_interrupt() and haul_reason() may be called at any time.
 *   fork       after fork(2) the child's copy of a context answers -ESTALE; the child may only close
 *              it, which disturbs nobody. Open a context of its own instead.
 *   NULL       a NULL object is -EINVAL, except for the closing and freeing functions, where it is
 *              nothing to do.
 *   Trust      a peer that can be pulled from may read and write all memory of this process: haul is
 *              for processes of one trust domain. See docs/security.md.
 */
#ifndef HAUL_HAUL_H
#define HAUL_HAUL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* All that is declared from here on is exported; the library is built with everything else hidden. */
#pragma GCC visibility push(default)

/* The version this header belongs to: major * 10000 + minor * 100 + patch. */
#define HAUL_VERSION 100

/* The version of the library in use, in the form of HAUL_VERSION. */
int haul_version(void);

struct haul;          /* a context: connections, messages, requests */
struct haul_listener; /* an address at which peers may connect */
struct haul_peer;     /* the process at the other end of one connection */
struct haul_req;      /* an operation under way */
struct haul_msg;      /* a message taken off the queue (reserved, no function uses it yet) */

/* How a message travels. */
enum haul_path {
	HAUL_PATH_AUTO = 0,   /* in options: the library chooses for each message */
	HAUL_PATH_EAGER = 1,  /* header and payload together on the socket */
	HAUL_PATH_PULL = 2,   /* described; the receiver copies it out of the sender's memory */
	HAUL_PATH_STREAM = 3, /* described; the sender writes it to the socket when asked */
};

/* ---- Context ------------------------------------------------------------------------------- */

/*
 * Options of haul_open(). Zero the struct, then set what matters: a field left 0 takes the value of
 * its environment variable, or else the default named here. A field that is set wins over the
 * environment.
 */
struct haul_options {
	int path;            /* HAUL_PATH=auto|pull|stream. For what does not go eagerly: AUTO and PULL
	                      * pull where the kernel allows it, STREAM never does */
	int spin_us;         /* HAUL_SPIN_US. Longest busy wait before sleeping; -1 none; default:
	                      * adapts to what waits take, at most 50; none on a single CPU */
	int64_t eager_max;   /* HAUL_EAGER_MAX. Longest message in bytes that is sent eagerly, at most
	                      * 65536; -1 none; default 16384 */
	uint64_t max_msg;    /* longest message accepted, in bytes, default 2^63-1; longer ones are refused
	                      * unseen */
	uint64_t budget;     /* bytes of eager messages that one peer may have waiting here unreceived, at the
	                      * most: it starts with 128 KiB, and gets more as it uses them; each costs its
	                      * length + 64; default 1 MiB, at least 64 KiB */
	uint64_t budget_all; /* the same, summed over all peers, default 256 MiB; described messages count
	                      * too, 320 bytes each */
	uint32_t window;     /* described messages that one peer may have waiting here unreceived;
	                      * default 65536, which is also the most */
	uint32_t handshakes; /* unfinished handshakes of accepted connections at a time, default 128 */
	int handshake_ms;    /* an accepted connection must be verified within this time, default 5000 */
	int stall_ms;        /* a haul_recv() with timeout 0 that has found its message waits this long
	                      * for the next part of it, default 1000 */

	/* Asked about a peer whose effective user differs from this process's, or is unmapped here; a
	 * non-zero answer admits it. Default NULL: refused. It must not call into the context. */
	int (*admit)(void *arg, pid_t pid, uid_t uid, gid_t gid);
	void *admit_arg;
};

/*
 * Makes a context. options may be NULL for all defaults; options_size is sizeof(struct haul_options)
 * (0 with NULL) and lets old programs meet newer libraries. The caller owns *out until haul_close().
 * Never blocks. -EINVAL for an option or environment variable out of range, -E2BIG for options of a
 * newer library that are not zero, -ENOMEM, -EMFILE, -ENFILE.
 */
int haul_open(struct haul **out, const struct haul_options *options, size_t options_size);

/*
 * Ends every connection as haul_peer_close() does, sharing one linger, then frees the context and with
 * it every listener, peer and request. Requests that had not completed by then are aborted: their
 * buffers are the caller's again. Blocks at most linger_ms (-1: until all is settled). Always frees;
 * the result is 0, or -ETIMEDOUT or -EINTR if linger or an interrupt ended it, or -ESTALE in a forked child (freed all the same).
 */
int haul_close(struct haul *h, int linger_ms);

/*
 * Does what can be done without blocking, a bounded amount of it: reads and writes sockets, receives,
 * pulls. Returns 1 if more is left to do right now, else 0, or a negative errno. Needed only by programs
 * that do not block in other calls of this library.
 */
int haul_progress(struct haul *h);

/*
 * Makes the blocking call that is under way, or else the next one, return -EINTR. May be called from a
 * signal handler and from any thread. NULL does nothing.
 */
void haul_interrupt(struct haul *h);

/*
 * The words for this thread's last failed call: what was attempted, what stood in the way. Valid until
 * the thread's next call; never NULL.
 */
const char *haul_reason(void);

/* Counters since haul_open(). Bytes are payload bytes. */
struct haul_stats {
	uint64_t sent_eager, sent_eager_bytes;
	uint64_t sent_pull, sent_pull_bytes; /* counted when the receiver has answered */
	uint64_t sent_stream, sent_stream_bytes;
	uint64_t received_eager, received_eager_bytes;
	uint64_t received_pull, received_pull_bytes;
	uint64_t received_stream, received_stream_bytes;
	uint64_t pull_calls;   /* process_vm_readv calls: for payload, and for lists of buffers too long for a
	                        * descriptor */
	uint64_t withdrawn;    /* pulls whose bytes were thrown away: the sender had taken its buffer back */
	uint64_t copied_bytes; /* payload bytes copied by or for this process, in the kernel or here; the sum
	                        * of both sides over the payload is the number of copies per byte */
	uint64_t spins;        /* waits that ended while spinning */
	uint64_t sleeps;       /* waits that went to sleep in the kernel */
};

/* Fills the first stats_size bytes of *stats; fields unknown to the library are zeroed. */
int haul_stats(const struct haul *h, struct haul_stats *stats, size_t stats_size);

/* ---- Peers --------------------------------------------------------------------------------- */

/*
 * Opens an address for peers: "/path" or "path/with/slash" (a socket file, mode 0600), "@name" (the
 * abstract namespace), "fd:N" (a listening socket this process holds; taken over on success). A socket
 * file whose listener is gone is replaced; one that is live gives -EADDRINUSE; any other kind of file
 * is left alone, -ENOTSOCK. -ENAMETOOLONG, -EINVAL (empty or malformed), -EBUSY (another process kept
 * the directory locked for 1 s), and what bind(2) says. Blocks for at most that second.
 */
int haul_listen(struct haul *h, const char *address, struct haul_listener **out);

/* Stops listening, removes the socket file if it is still this listener's, drops peers not yet accepted. */
void haul_listener_close(struct haul_listener *l);

/*
 * Waits for the next peer that connected and passed verification. Failed handshakes are not reported.
 * -EMFILE or -ENFILE is reported once a connection could not be taken for want of descriptors.
 */
int haul_accept(struct haul_listener *l, int timeout_ms, struct haul_peer **out);

/*
 * Connects to an address of haul_listen() ("fd:N": any connected socket, as haul_adopt()) and verifies
 * the peer. -ENOENT or -ECONNREFUSED at once when nobody listens; a full backlog is retried until the
 * timeout. -EACCES: one side did not admit the other. -EPROTO: the peer does not speak this protocol,
 * -EPROTONOSUPPORT: no common version, -ECONNRESET: it hung up.
 */
int haul_connect(struct haul *h, const char *address, int timeout_ms, struct haul_peer **out);

/* Makes two connected sockets (AF_UNIX, stream, close-on-exec), to be made before fork(2) and adopted
 * by haul_adopt() after it, one in each process. Both descriptors are the caller's. */
int haul_pair(int fds[2]);

/*
 * Makes a peer of a connected AF_UNIX stream socket, on which nothing was yet sent or received, and
 * verifies the process at its other end, which must do the same. On success the descriptor belongs to
 * the library; on failure it stays the caller's, in an undefined state of conversation. Sets
 * close-on-exec, never O_NONBLOCK. Errors as haul_connect(), and -ENOTSOCK, -EPROTOTYPE (not AF_UNIX
 * stream), -ENOTCONN.
 */
int haul_adopt(struct haul *h, int fd, int timeout_ms, struct haul_peer **out);

/*
 * haul_adopt() as a request: returns at once, completes when the handshake has ended. The status of
 * haul_req_finish() names the peer; if that is never called (haul_req_free()) the peer is closed. The
 * descriptor is the library's from the start of a successful haul_iadopt(), whatever comes of it.
 */
int haul_iadopt(struct haul *h, int fd, struct haul_req **out);

/*
 * Waits until the peer has finished with all messages sent to it before: received, refused or canceled.
 * -ECONNRESET, -EPIPE if that can no longer be.
 */
int haul_peer_flush(struct haul_peer *p, int timeout_ms);

/*
 * Ends a connection and frees the handle. For up to linger_ms (-1: no limit, 0: not at all) it lets
 * requests under way to this peer complete, then says goodbye and waits for the peer to have seen it;
 * whatever is left is aborted (-ECANCELED). Messages of this peer that were not received are dropped, and
 * their senders told. Requests stay to be finished by their owner, their status then names no peer.
 * Always frees; 0, or -ETIMEDOUT or -EINTR if linger or an interrupt ended it.
 */
int haul_peer_close(struct haul_peer *p, int linger_ms);

/* A pointer of the caller's own, kept with the peer. NULL at first. */
void haul_peer_set_user(struct haul_peer *p, void *user);
void *haul_peer_user(const struct haul_peer *p);

/* What is known of a peer. Errnos are positive, 0 where the kernel allows pulling. */
struct haul_peer_info {
	pid_t pid; /* as the kernel names it in this process's pid namespace, 0 if it has no name there */
	uid_t uid;
	gid_t gid;
	int alive;          /* 1 while messages can be exchanged, else 0 */
	int in_path;        /* how large messages come: HAUL_PATH_PULL or HAUL_PATH_STREAM */
	int out_path;       /* how they go */
	int in_error;       /* why in_path is not PULL, as an errno */
	int out_error;      /* the same for out_path, as the peer reported it */
	char in_words[128]; /* the same as a sentence; "" where pulling works */
	char out_words[128];
};

/* Fills the first info_size bytes of *info. */
int haul_peer_info(const struct haul_peer *p, struct haul_peer_info *info, size_t info_size);

/* ---- Messages ------------------------------------------------------------------------------ */

/*
 * Which messages a receive wants: from this peer (NULL: any), and with a tag that equals .tag in every
 * bit that is 0 in .ignore. A NULL match wants anything.
 */
struct haul_match {
	struct haul_peer *from;
	uint64_t tag, ignore;
};

enum { HAUL_STATUS_UNKNOWN = 1 }; /* in flags: a timed-out send that may nevertheless have been received */

/* What became of an operation. */
struct haul_status {
	struct haul_peer *peer; /* the other side; NULL once that peer was closed */
	uint64_t tag;
	uint64_t len;         /* the message's length in bytes */
	uint64_t got;         /* bytes of it that are in the receive buffer */
	struct haul_msg *msg; /* reserved, NULL */
	int error;            /* 0 or a negative errno */
	unsigned flags;       /* HAUL_STATUS_* */
	uint64_t reserved[4];
};

enum { HAUL_SYNC = 1 }; /* a send completes only when the message was received; its result tells how */

/*
 * Sends len bytes with a tag. Returns 0 when the buffer may be reused, which for a long message means
 * that the peer has copied it (or that it never will). A standard send says no more than that; a
 * synchronous one (HAUL_SYNC) completes when the message was received: -EMSGSIZE if the receiver's buffer
 * was shorter, -ECONNREFUSED or another error if the receiver refused it.
 *
 * After -ETIMEDOUT, -EINTR and -ECANCELED the buffer is the caller's again and nothing that is written to
 * it from then on reaches anybody; the message was not received, or (request: HAUL_STATUS_UNKNOWN) that
 * cannot be known because the peer does not answer. With timeout_ms 0 the message goes only if it can be
 * handed to the kernel at once, so it must be short enough for HAUL_PATH_EAGER; else -EAGAIN, nothing sent.
 *
 * -ECONNRESET: the peer died. -EPIPE: it said goodbye. -EMSGSIZE: longer than the peer accepts. -EFAULT:
 * the buffer cannot be read (where the kernel finds that out; up to 2 KiB are copied by the library, and a bad
 * pointer is then what it is to memcpy(3)). Messages to one peer arrive in the order sent.
 */
int haul_send(struct haul_peer *p, uint64_t tag, const void *buf, size_t len, int timeout_ms);

/* haul_send() of the bytes of count iovecs, one after the other. The array is copied at once. flags: 0 or
 * HAUL_SYNC. count 0 sends an empty message. -EINVAL: the lengths overflow ssize_t, or count is above 2^24. */
int haul_sendv(struct haul_peer *p, uint64_t tag, const struct iovec *iov, size_t count, unsigned flags,
    int timeout_ms);

/* haul_sendv() as a request. The memory the iovecs name is the library's until it completes. */
int haul_isend(struct haul_peer *p, uint64_t tag, const struct iovec *iov, size_t count, unsigned flags,
    struct haul_req **out);

/*
 * Receives the first message that match wants, in order of arrival, into buf, and returns its length. A
 * message longer than len gives -EMSGSIZE: the first len bytes are delivered, the rest is dropped, the
 * true length is in the status. status may be NULL.
 *
 * A receive that ends early (timeout, interrupt) gives a message that it had begun to take back to its
 * place in the queue. timeout_ms 0 bounds only the search for a message (-EAGAIN), not its transfer.
 *
 * -ECONNRESET: match.from died and nothing of it is left. -EPIPE: it said goodbye; or any peer was asked
 * for and there is neither a peer nor a listener left. -ECANCELED: the sender took the message back
 * when this receive had already been given it; the buffer's contents are undefined. -EFAULT: buf cannot be written (a short message, one sent
 * eagerly, is copied by the library, and a bad pointer is then what it is to memcpy(3)).
 */
ssize_t haul_recv(struct haul *h, const struct haul_match *match, void *buf, size_t len, int timeout_ms,
    struct haul_status *status);

/* haul_recv() into count iovecs, filled one after the other. The array is copied at once. */
ssize_t haul_recvv(struct haul *h, const struct haul_match *match, const struct iovec *iov, size_t count,
    int timeout_ms, struct haul_status *status);

/* haul_recvv() as a request. The memory the iovecs name is the library's until it completes. Requests
 * that want the same message get messages in the order they were posted. */
int haul_irecv(struct haul *h, const struct haul_match *match, const struct iovec *iov, size_t count,
    struct haul_req **out);

/* Waits until a message that match wants is there, and describes it without receiving it. status must not
 * be NULL; its got is 0. Errors as haul_recv(). */
int haul_probe(struct haul *h, const struct haul_match *match, int timeout_ms, struct haul_status *status);

/* ---- Requests ------------------------------------------------------------------------------ */

/*
 * A request is started by a function named haul_i*, completes once, and is freed once: by
 * haul_req_finish() or haul_req_free(). Until it completes the library owns the memory it names.
 */

/* Makes progress; 0 if the request is complete, -EINPROGRESS if not. Never the operation's own result. */
int haul_req_test(struct haul_req *r);

/* Waits until the request is complete: 0. A timeout ends the wait, not the request. */
int haul_req_wait(struct haul_req *r, int timeout_ms);

/* The result of a complete request, as the blocking function would have returned it (a receive: 0 or an
 * error; lengths are in the status), and frees it. -EINPROGRESS, and nothing freed, if it is not complete.
 * status may be NULL. */
int haul_req_finish(struct haul_req *r, struct haul_status *status);

/* Lets go of a request: it goes on unseen and is freed when it completes. Its memory stays the library's
 * until then, which the caller can no longer observe. */
void haul_req_free(struct haul_req *r);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
