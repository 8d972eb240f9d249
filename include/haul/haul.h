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
 *   Threads    any thread may make any call at any time, on one context or several. What a call frees
 *              (a peer, a request, a message, a listener) must not be in use by another, haul_close()
 *              excepted: it waits for them. A callback runs in the thread that called haul_progress().
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
struct haul_msg;      /* a message taken off the queue */

/* How a message travels. */
enum haul_path {
	HAUL_PATH_AUTO = 0,   /* in options: the library chooses for each message */
	HAUL_PATH_EAGER = 1,  /* header and payload together in one frame */
	HAUL_PATH_PULL = 2,   /* described; the receiver copies it out of the sender's memory */
	HAUL_PATH_STREAM = 3, /* described; the sender writes it to the socket when asked */
	HAUL_PATH_PUSH = 4,   /* described; the sender copies it to the receiver's memory (option push) */
};

/* How what is said to a peer travels: frames, and with them the payload of eager messages. */
enum haul_transport {
	HAUL_TRANSPORT_AUTO = 0,   /* in options: the outbox within groups (haul/group.h), the socket elsewhere */
	HAUL_TRANSPORT_SOCKET = 1, /* written to the Unix socket */
	HAUL_TRANSPORT_OUTBOX = 2, /* left in the sender's own memory, where the receiver reads it */
};

/* ---- Context ------------------------------------------------------------------------------- */

/* Who may trace this process besides its ancestors, where the kernel has Yama with ptrace_scope 1. */
enum haul_ptracer {
	HAUL_PTRACER_NONE = -1,
	HAUL_PTRACER_PEER = 1, /* the peer: for a process that has one, since only one can be named */
	HAUL_PTRACER_ANCESTOR =
	    2,                /* the nearest ancestor in common with the peer, and so all its descendants:
	                            * for those that one launcher has started; not if that is init */
	HAUL_PTRACER_ANY = 3, /* every process of this user */
};

enum haul_log_level { HAUL_LOG_OFF = -1, HAUL_LOG_ERROR = 1, HAUL_LOG_INFO = 2, HAUL_LOG_DEBUG = 3 };

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
	                      * 65536; -1 none; default 16384, or 4096 where frames
	                      * go by an outbox */
	uint64_t max_msg;    /* longest message accepted, in bytes, default 2^63-1; longer ones are refused
	                      * unseen */
	uint64_t budget;     /* bytes of eager messages that one peer may have waiting here unreceived, at the
	                      * most: it starts with 128 KiB, and gets more as it uses them; each costs its
	                      * length + 64; default 1 MiB, at least 64 KiB */
	uint64_t budget_all; /* the same, summed over all peers, default 256 MiB; described messages count
	                      * too, 512 bytes each */
	uint32_t window;     /* described messages that one peer may have waiting here unreceived;
	                      * default 65536, which is also the most */
	uint32_t handshakes; /* unfinished handshakes of accepted connections at a time, default 128 */
	int handshake_ms;    /* an accepted connection must be verified within this time, default 5000 */
	int stall_ms;        /* a haul_recv() with timeout 0 that has found its message waits this long
	                      * for the next part of it, default 1000 */
	uint64_t
	    copy_budget;     /* bytes that sends with HAUL_COPY may have under way together, default 16 MiB */
	int progress_thread; /* 1: a thread of the library's own makes progress while nobody else does. It
	                      * sleeps in the kernel, never spins, and runs no callbacks. Default 0: none */

	/* 1: with a peer that has set it too, messages are written by the sender, with process_vm_writev(2), where
	 * only the sender may reach the other's memory; 0, the default: those go over the socket. A receive
	 * with a timeout or deadline is never written into. One without, once its message is being written, can't
	 * be ended by anything but the sender's answer or exit: not by haul_interrupt(), a deadline set later or
	 * a close, which gives -EBUSY. Makes no difference where path is STREAM. */
	int push;

	/* HAUL_TRANSPORT=auto|socket|outbox, a HAUL_TRANSPORT_* here. OUTBOX: with a peer that has set it
	 * too, where each may read and write the other's memory; else the socket. What is left in an outbox
	 * is there for as long as its process: a crash, an exec or _exit(2) loses what was not read yet,
	 * though the sends had completed; an exit(3) or a close does not. Default: AUTO. */
	int transport;

	/* HAUL_TWO_HANDED=on|off, 1 or -1 here. 1: with a peer that has set it too, the sender of a large message
	 * that waits for it to be received writes its end with process_vm_writev(2), while the receiver pulls its
	 * beginning. A receive with a timeout or deadline is never written into. One without can't be ended in the
	 * middle of such a write, as with the option push. Default: on within groups, off elsewhere. */
	int two_handed;

	/* HAUL_PULL_HELPER=on|off, 1 or -1 here. 1: a thread of the library's own pulls the end of a message of 2 MiB
	 * and more while the receiving thread pulls its beginning, where the sender does not help. It sleeps in
	 * between, and pays only where a CPU is free for it; a process bound to one CPU gets none. Default: off. */
	int pull_helper;

	/* HAUL_PTRACER=none|peer|ancestor|any, a HAUL_PTRACER_* here. Yama 1 lets nobody but ancestors read a
	 * process, so that siblings can't pull from each other, unless they allow it by prctl(PR_SET_PTRACER):
	 * before each handshake that is done as said here, and undone when the last peer it was done for is
	 * closed. It makes no difference without Yama. Default: none. */
	int allow_ptracer;

	/* Asked about a peer whose effective user differs from this process's, or is unmapped here; a
	 * non-zero answer admits it. Default NULL: refused. It must not call into the context. */
	int (*admit)(void *arg, pid_t pid, uid_t uid, gid_t gid);
	void *admit_arg;

	/* What is worth telling whoever runs the program: by what paths the messages of a peer come and go, and
	 * why, when it has come and when that changes; when it has gone. A line for each, never one for each
	 * message. log_level: HAUL_LOG=off|error|info|debug, a HAUL_LOG_* here; default: INFO with a function,
	 * off without. The function gets a line without its end, and must not call into the context; without
	 * one lines go to standard error, with what write(2) does there, be it to block or to raise SIGPIPE. */
	int log_level;
	void (*log)(void *arg, int level, const char *line);
	void *log_arg;
};

/*
 * Makes a context. options may be NULL for all defaults; options_size is sizeof(struct haul_options)
 * (0 with NULL) and lets old programs meet newer libraries. The caller owns *out until haul_close().
 * Never blocks. -EINVAL for an option or environment variable out of range, -E2BIG for options of a
 * newer library that are not zero, -ENOMEM, -EMFILE, -ENFILE; -EAGAIN: no thread for the option progress_thread.
 */
int haul_open(struct haul **out, const struct haul_options *options, size_t options_size);

/*
 * Ends every connection as haul_peer_close() does, sharing one linger, then frees the context and with it
 * every listener, peer, request and message. Callbacks that are due run; requests that have not completed
 * by the end are aborted, their callbacks run, their buffers are the caller's again. Calls of other threads
 * that are blocked end with an error (-ECANCELED, or what the end of their peer gives them; -EBADF where no
 * operation of their own was under way), and are waited for; new ones get -EBADF. Blocks at most linger_ms
 * (-1: until all is settled), and for a copy that another thread is in the middle of. Always frees, except
 * from a callback (-EDEADLK) and while a peer may still write into a receive (-EBUSY, see the option push:
 * close again later; until then the context is open, its peers are as after haul_peer_close() gave -EBUSY);
 * the result is 0, or -ETIMEDOUT or -EINTR if linger or an interrupt ended it, or -ESTALE in a forked child
 * (freed all the same).
 */
int haul_close(struct haul *h, int linger_ms);

/*
 * Does what can be done without blocking, a bounded amount of it: reads and writes sockets, receives,
 * pulls, runs callbacks that are due. Returns 1 if more is left to do right now, else 0, or a negative
 * errno. Needed only by programs that do not block in other calls of this library. -EDEADLK: from a
 * callback.
 */
int haul_progress(struct haul *h);

/*
 * A descriptor to wait for in an event loop: readable (level-triggered) when haul_progress() has something to
 * do, deadlines included. It stays the library's: wait for it, never read, write or close it.
 *
 *     for (;;) {
 *             haul_progress(h), as long as it returns 1; look at requests and queues, start new ones
 *             if (haul_arm(h) == 0)
 *                     sleep until haul_fd(h) is readable
 *     }
 */
int haul_fd(struct haul *h);

/*
 * Before sleeping on the descriptor: 0, you may sleep. -EAGAIN: something arrived or completed since the
 * last haul_progress(), in another thread or within a blocking call perhaps, or is about to; call
 * haul_progress() and look again. What comes after a 0 makes the descriptor readable, whoever takes it off
 * the socket. Messages that merely lie in the queue don't: drain, then arm, then sleep. One thread at a time
 * does this, the one that last called haul_progress(); others may block in calls of their own. Never blocks.
 */
int haul_arm(struct haul *h);

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

enum { HAUL_STATS_REFUSALS = 8 };

/* Counters since haul_open(), or of one peer since it came. Bytes are payload bytes. */
struct haul_stats {
	uint64_t sent_eager, sent_eager_bytes;
	uint64_t sent_pull, sent_pull_bytes; /* counted when the receiver has answered */
	uint64_t sent_stream, sent_stream_bytes;
	uint64_t sent_push, sent_push_bytes;
	uint64_t received_eager, received_eager_bytes;
	uint64_t received_pull, received_pull_bytes;
	uint64_t received_stream, received_stream_bytes;
	uint64_t received_push, received_push_bytes;
	uint64_t pull_calls;   /* process_vm_readv calls: for payload, and for lists of buffers too long for a
	                        * descriptor */
	uint64_t withdrawn;    /* pulls whose bytes were thrown away: the sender had taken its buffer back */
	uint64_t copied_bytes; /* payload bytes copied by or for this process, in the kernel or here; the sum
	                        * of both sides over the payload is the number of copies per byte */
	uint64_t spins;        /* waits that ended while spinning; 0 for a peer */
	uint64_t sleeps;       /* waits that went to sleep in the kernel; 0 for a peer */
	uint64_t pull_iovecs;  /* buffers of the senders' that pulls were told to read */
	uint64_t push_calls;   /* process_vm_writev calls for payload */
	uint64_t pull_retries; /* pulls that ended short and were resumed, by another pull or by stream */
	uint64_t unexpected, unexpected_bytes;           /* waiting in the queue now */
	uint64_t unexpected_most, unexpected_most_bytes; /* the most that ever did */
	struct {
		int error;      /* an errno, positive; 0: this entry and those behind it are not used */
		uint64_t count; /* messages refused by it, here or by a peer */
	} refusals[HAUL_STATS_REFUSALS]; /* errors beyond these many are added to the last entry's count */
	uint64_t polls;                  /* process_vm_readv calls for what peers have in their outboxes, */
	uint64_t empty_polls;            /* those that found nothing, */
	uint64_t polled_frames;          /* and the frames that the others brought, or bells */
	uint64_t bells_sent;             /* to peers that sleep, or waited for room in their outbox */
	uint64_t bells_received;         /* from them */
	uint64_t assisted,
	    assisted_bytes;    /* messages of which this side, as the sender, wrote a part; the bytes */
	uint64_t helped_bytes; /* pulled by the thread of the option pull_helper */
};

/* Fills the first stats_size bytes of *stats; fields unknown to the library are zeroed. */
int haul_stats(struct haul *h, struct haul_stats *stats, size_t stats_size);

/* ---- Peers --------------------------------------------------------------------------------- */

/*
 * Opens an address for peers: "/path" or "path/with/slash" (a socket file, mode 0600), "@name" (the
 * abstract namespace), "fd:N" (a listening socket this process holds; taken over on success), "systemd:NAME" (the first
 * of that name, not taken yet, of the sockets passed as by sd_listen_fds(3): LISTEN_FDS, LISTEN_FDNAMES, and LISTEN_PID, which
 * must be this process) or "systemd" (the only one passed). Taking one makes all of them close-on-exec, and changes the
 * environment, which no other thread may be using: taking the last unsets the three variables. -ENOENT: there is none, or none
 * left; -EINVAL: it can't be told which. A socket
 * file whose listener is gone is replaced; one that is live gives -EADDRINUSE; any other kind of file
 * is left alone, -ENOTSOCK. -ENAMETOOLONG, -EINVAL (empty or malformed), -EBUSY (another process kept
 * the directory locked for 1 s), and what bind(2) says. Blocks for at most that second.
 */
int haul_listen(struct haul *h, const char *address, struct haul_listener **out);

/* Stops listening, removes the socket file if it is still this listener's, drops peers not yet accepted. */
void haul_listener_close(struct haul_listener *l);

/*
 * Waits for the next peer that connected and passed verification. Failed handshakes are not reported. What
 * keeps connections from being taken is, each time it was tried: -EMFILE, -ENFILE, -ENOMEM, or what else
 * accept(2) says, -EINVAL if somebody has shut the socket down.
 */
int haul_accept(struct haul_listener *l, int timeout_ms, struct haul_peer **out);

/* haul_accept() as a request. The status of haul_req_finish() names the peer; haul_req_free() instead closes
 * it. -ECANCELED when the listener is closed. Accepts are served in the order they were started. */
int haul_iaccept(struct haul_listener *l, struct haul_req **out);

/*
 * Connects to an address of haul_listen() ("fd:N": any connected socket, as haul_adopt()) and verifies
 * the peer. -ENOENT or -ECONNREFUSED at once when nobody listens; a full backlog is retried until the
 * timeout. -EACCES: one side did not admit the other. -EPROTO: the peer does not speak this protocol,
 * -EPROTONOSUPPORT: no common version, -ECONNRESET: it hung up.
 */
int haul_connect(struct haul *h, const char *address, int timeout_ms, struct haul_peer **out);

/* haul_connect() as a request, with the option handshake_ms as its limit. As haul_iadopt() otherwise. */
int haul_iconnect(struct haul *h, const char *address, struct haul_req **out);

/* Makes two connected sockets (AF_UNIX, stream, close-on-exec), to be made before fork(2) and adopted
 * by haul_adopt() after it, one in each process. Both descriptors are the caller's. */
int haul_pair(int fds[2]);

/*
 * Makes a peer of a connected AF_UNIX stream socket, on which nothing was yet sent or received, and
 * verifies the process at its other end, which must do the same. On success the descriptor belongs to
 * the library; on failure it stays the caller's, in an undefined state of conversation. Sets
 * close-on-exec, never O_NONBLOCK. Errors as haul_connect(), and -ENOTSOCK, -EPROTOTYPE (not AF_UNIX
 * stream), -ENOTCONN. A peer that dies before its first byte, while another process holds its end of the socket
 * open, is found out by the timeout only: until it has spoken nobody knows who it is.
 */
int haul_adopt(struct haul *h, int fd, int timeout_ms, struct haul_peer **out);

/*
 * haul_adopt() as a request: returns at once, completes when the handshake has ended. The status of
 * haul_req_finish() names the peer; if that is never called (haul_req_free()) the peer is closed. The
 * descriptor is the library's from the start of a successful haul_iadopt(), whatever comes of it.
 */
int haul_iadopt(struct haul *h, int fd, struct haul_req **out);

/*
 * This process as a peer of its own: messages to it go through the same queue and the same matching, without
 * a socket. The same handle each time; it lives as long as the context and can't be closed (-EINVAL). Once
 * asked for it counts as a peer for receives from anybody. NULL without memory; haul_reason() tells.
 */
struct haul_peer *haul_self(struct haul *h);

/*
 * Waits until the peer has finished with all messages sent to it before: received, refused or canceled.
 * -ECONNRESET, -EPIPE if that can no longer be.
 */
int haul_peer_flush(struct haul_peer *p, int timeout_ms);

/*
 * A request that completes when the connection has ended, after all others that end with it: 0 after the
 * goodbye of both sides, -ECONNRESET after a death, -EPROTO and the like after an error; -ECANCELED if
 * haul_peer_close() had to end it without the peer's. At once if it has ended already.
 */
int haul_peer_watch(struct haul_peer *p, struct haul_req **out);

/* haul_req_cancel() for all requests of this peer: sends to it, and receives that name it. Returns how many
 * were asked. Streams, collectives, gets and puts go on. */
int haul_peer_cancel(struct haul_peer *p);

/*
 * Ends a connection and frees the handle. For up to linger_ms (-1: no limit, 0: not at all) it lets
 * requests under way to this peer complete, then says goodbye and waits for the peer to have seen it;
 * whatever is left is aborted (-ECANCELED). Messages of this peer that were not received are dropped, and
 * their senders told. Requests stay to be finished by their owner, their status then names no peer.
 * Always frees, except while the peer may still write into a receive (-EBUSY, see the option push: close it
 * again later); 0, or -ETIMEDOUT or -EINTR if linger or an interrupt ended it.
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
	int alive;     /* 1 while messages can be exchanged, else 0 */
	int in_path;   /* how large messages come: HAUL_PATH_PULL, _STREAM, or _PUSH if both have opted in */
	int out_path;  /* how they go */
	int in_error;  /* why in_path is not PULL, as an errno */
	int out_error; /* the same for out_path, as the peer reported it, at first or later */
	char in_words[128]; /* the same as a sentence; "" where pulling works */
	char out_words[128];
	int in_transport; /* how frames come: a HAUL_TRANSPORT_* */
	int out_transport;
	int two_handed; /* 1 if large messages may be copied by both sides at once */
	pid_t worker;   /* the child that haul_spawn() started for it (haul/worker.h); 0: none */
};

/* Fills the first info_size bytes of *info. */
int haul_peer_info(struct haul_peer *p, struct haul_peer_info *info, size_t info_size);

/* haul_stats() of what went to and came from one peer. */
int haul_peer_stats(struct haul_peer *p, struct haul_stats *stats, size_t stats_size);

/* ---- Messages ------------------------------------------------------------------------------ */

/*
 * Which messages a receive wants: from this peer (NULL: any), and with a tag that equals .tag in every
 * bit that is 0 in .ignore. A NULL match wants anything.
 */
struct haul_match {
	struct haul_peer *from;
	uint64_t tag, ignore;
};

/* In flags. */
enum {
	HAUL_STATUS_UNKNOWN = 1, /* a timed-out send that may nevertheless have been received */
	HAUL_STATUS_CALL = 2,    /* of a message that came: its sender waits for haul_reply() */
	HAUL_STATUS_FDS = 4,     /* of haul_msg_status(): descriptors go with the message, see haul_msg_fds() */
};

/* What became of an operation. */
struct haul_status {
	struct haul_peer *peer; /* the other side; NULL once that peer was closed */
	uint64_t tag;
	uint64_t len;         /* the message's length in bytes */
	uint64_t got;         /* bytes of it that are in the receive buffer */
	struct haul_msg *msg; /* taken by haul_itake(), replied to haul_icall(), or asked about; else NULL */
	int error;            /* 0 or a negative errno */
	unsigned flags;       /* HAUL_STATUS_* */
	int rank;             /* of a message within a group (haul/group.h): the other side's; else 0 */
	uint32_t unused;
	uint64_t reserved[3];
};

/* Flags of a send. */
enum {
	HAUL_SYNC = 1, /* it completes only when the message was received; its result tells how */
	HAUL_COPY =
	    2, /* the bytes are copied first (a bad pointer is to that what it is to memcpy(3)): the buffer
	                * is the caller's again on return, and without HAUL_SYNC the send is complete. The
	                * copies under way are bounded by the option copy_budget: a blocking send waits for
	                * room, haul_isend() answers -EAGAIN, and more than all of it is -EMSGSIZE */
};

/*
 * Sends len bytes with a tag. Returns 0 when the buffer may be reused, which for a long message means
 * that the peer has copied it (or that it never will). A standard send says no more than that; a
 * synchronous one (HAUL_SYNC) completes when the message was received: -EMSGSIZE if the receiver's buffer
 * was shorter, -ECONNREFUSED or another error if the receiver refused it.
 *
 * After -ETIMEDOUT, -EINTR and -ECANCELED the buffer is the caller's again and nothing that is written to
 * it from then on reaches anybody; the message was not received, or (request: HAUL_STATUS_UNKNOWN) that
 * cannot be known because the peer does not answer. With timeout_ms 0 the message goes only if it can be
 * handed to the kernel at once, so it must be short enough for HAUL_PATH_EAGER, and not synchronous; else
 * -EAGAIN, nothing sent.
 *
 * -ECONNRESET: the peer died. -EPIPE: it was heard to say goodbye. (A standard send of a short message that was handed
 * over before that was known has succeeded: the peer may have received it.) -EMSGSIZE: longer than the peer accepts.
 * -EFAULT: the buffer cannot be read (where the kernel finds that out; up to 4 KiB are copied by the library, and a bad
 * pointer is then what it is to memcpy(3)). Messages to one peer arrive in the order sent.
 */
int haul_send(struct haul_peer *p, uint64_t tag, const void *buf, size_t len, int timeout_ms);

/* haul_send() of the bytes of count iovecs, one after the other. The array is copied at once. flags:
 * HAUL_SYNC and HAUL_COPY, or 0. count 0 sends an empty message. -EINVAL: the lengths overflow ssize_t, or
 * count is above 2^24. */
int haul_sendv(struct haul_peer *p, uint64_t tag, const struct iovec *iov, size_t count, unsigned flags,
    int timeout_ms);

/*
 * haul_sendv() as a request. The memory the iovecs name is the library's until it completes. A message too
 * long to be sent eagerly is described to the peer at once, and where the peer can pull, needs this process
 * no more. Short ones, and those below 256 KiB that follow others still under way to the same peer, gather to
 * leave together: at the latest with the next call that makes progress or waits, in whichever thread.
 */
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
 * for and there is neither a peer nor a listener left. -ECANCELED: the sender took the message back when
 * this receive had already been given it; the buffer's contents are undefined. -EFAULT: buf cannot be
 * written (a short message, one sent eagerly, is copied by the library, and a bad pointer is then what it
 * is to memcpy(3)).
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

/*
 * A send and a receive at once, each as by its own function: two processes that do this with each other do
 * not wait for each other in a circle, whatever the lengths. Returns the length received; if either fails, its
 * error, the receive's first. The timeout bounds both; where it ends with an error, one of the two may have
 * been done all the same. status is that of the receive.
 */
ssize_t haul_sendrecv(struct haul_peer *p, uint64_t tag, const void *buf, size_t len,
    const struct haul_match *match, void *into, size_t into_len, int timeout_ms, struct haul_status *status);

/* Waits until a message that match wants is there, and describes it without receiving it. status must not
 * be NULL; its got is 0. Errors as haul_recv(). */
int haul_probe(struct haul *h, const struct haul_match *match, int timeout_ms, struct haul_status *status);

/* ---- Requests ------------------------------------------------------------------------------ */

/*
 * A request is started by a function named haul_i* (or haul_peer_watch()), completes once, and is freed once:
 * by haul_req_finish() or haul_req_free(). Until it completes the library owns the memory it names. It is
 * completed by the library, within any call on its context by any thread; never by a signal or by itself.
 */

/* Makes progress; 0 if the request is complete, -EINPROGRESS if not. Never the operation's own result. */
int haul_req_test(struct haul_req *r);

/* Waits until the request is complete: 0. A timeout ends the wait, not the request. */
int haul_req_wait(struct haul_req *r, int timeout_ms);

/*
 * The same for count requests of one context (of several: -EINVAL). NULL entries are passed over; if all
 * are NULL, _any and _some give -ENOENT, and _all gives 0. Nothing is finished or freed.
 *
 *   _any   until one is complete: its index, the lowest if there are several
 *   _some  the same, but returns how many are complete, at least 1, and their indices in done[count], rising
 *   _all   until all are: 0
 */
int haul_wait_any(struct haul_req *const *reqs, size_t count, int timeout_ms);
int haul_wait_some(struct haul_req *const *reqs, size_t count, size_t *done, int timeout_ms);
int haul_wait_all(struct haul_req *const *reqs, size_t count, int timeout_ms);

/* The result of a complete request, as the blocking function would have returned it (a receive: 0 or an
 * error; lengths are in the status), and frees it. -EINPROGRESS, and nothing freed, if it is not complete.
 * status may be NULL. */
int haul_req_finish(struct haul_req *r, struct haul_status *status);

/*
 * Lets go of a request; its notification is dropped. A send or receive goes on unseen and is freed when it
 * completes: its memory stays the library's until then, which the caller can no longer observe. A take, a read,
 * an accept and a watch that have not completed end (a read with a copy under way, in another thread or by the peer,
 * with that: until then its memory is the library's); one that has gives the message back to its place in the
 * queue, or closes the peer.
 */
void haul_req_free(struct haul_req *r);

/*
 * Asks for the end of a request; never blocks, and the answer is its completion: -ECANCELED, or its usual
 * result because it was too late for that. A receive can be canceled until it has been given a message, a
 * send until the peer has given the message to a receive (or, sent eagerly, until it has left): so neither
 * can harm an operation of the other side's. 0 if the request was asked, -EALREADY if it is complete.
 * A peer that is stopped does not answer: then haul_req_deadline() helps.
 */
int haul_req_cancel(struct haul_req *r);

/*
 * From now on the request has so long to complete; then it is aborted, whatever its stage, and completes as
 * -ETIMEDOUT: a send takes its buffer back from under the peer's pull (see haul_send()), a receive gives the
 * message back to its place. Replaces an earlier deadline; -1 takes it away, 0 is now. The time is seen to
 * by calls that make progress. 0, or -EALREADY if it is complete.
 */
int haul_req_deadline(struct haul_req *r, int timeout_ms);

/* How a completion is told, besides by asking. */
struct haul_notify {
	/* Called by haul_progress() and haul_close() only, with no lock held, once: a blocking call leaves it
	 * due, and haul_fd() readable. It may start, test, cancel, finish and free requests, this one too, and
	 * close listeners and, with linger 0, peers. Calls that would wait, haul_progress() and haul_close()
	 * give -EDEADLK. r is NULL for a batch. */
	void (*call)(struct haul_req *r, void *arg);
	void *arg;
	/* Or a signal, queued to this process by sigqueue(3) with this value, right at the completion. If the
	 * queue is full it is tried again by calls that make progress. 0: none. */
	int signal;
	void *value;
};

/*
 * Has the completion of a request told: by a call, a signal, or both. At once due if it is complete already.
 * Replaces what was said before; NULL takes it away. -EINVAL: no such signal.
 */
int haul_req_notify(struct haul_req *r, const struct haul_notify *notify);

/* ---- Batches ------------------------------------------------------------------------------- */

enum haul_op_kind { HAUL_OP_NONE = 0, HAUL_OP_SEND = 1, HAUL_OP_RECV = 2 };

/* One operation of a batch. */
struct haul_op {
	int kind;                /* HAUL_OP_*; NONE is passed over */
	unsigned flags;          /* SEND: as haul_isend() */
	struct haul_peer *peer;  /* SEND: to whom */
	uint64_t tag;            /* SEND */
	struct haul_match match; /* RECV */
	const struct iovec *iov; /* the memory */
	size_t count;
	struct haul_req *req; /* out: the request, the caller's to finish; NULL if it was not started, or
	                            * the batch was waited for */
	struct haul_status
	    status; /* out: error if it was not started; all of it if the batch was waited for */
};

/*
 * Starts many sends and receives, as lio_listio(3) does. What can't be started keeps nothing else from it.
 *
 * With timeout_ms 0 it returns at once: each operation has its request, and notify, if not NULL, tells once
 * all that were started are complete. Otherwise it waits for all, finishes them and fills in every status
 * (notify must be NULL); operations not complete at the timeout are aborted as by haul_req_deadline().
 *
 * 0, or -EIO if some could not be started or (waited for) did not end well: their status says why. -EINTR:
 * the rest was aborted. -EINVAL: a kind or notification that makes no sense, nothing was started.
 */
int haul_submit(struct haul *h, struct haul_op *ops, size_t count, int timeout_ms,
    const struct haul_notify *notify);

/* ---- Taken messages ------------------------------------------------------------------------ */

/*
 * Takes the first message that match wants off the queue, without its payload: that is then read in parts,
 * or not at all. Takes and receives share one order of waiting. Errors as haul_recv(). The handle is the
 * caller's until haul_msg_done() or haul_msg_refuse(), or of a call haul_reply(), one of which every taken message
 * must get.
 */
int haul_take(struct haul *h, const struct haul_match *match, int timeout_ms, struct haul_msg **out);

/* haul_take() as a request; the status of haul_req_finish() has the message. */
int haul_itake(struct haul *h, const struct haul_match *match, struct haul_req **out);

/* Describes it: peer (NULL once that was closed), tag, len; got is 0; error is what has become of it: 0, or
 * -ECANCELED (the sender took it back, or the peer was closed), -ECONNRESET (the sender died, with the bytes
 * still its own) and the like. */
int haul_msg_status(const struct haul_msg *m, struct haul_status *status);

/*
 * Reads its bytes from offset on into count iovecs, as many as there is room for; returns how many that were,
 * 0 at the end or beyond. Each call copies just that range afresh. Any order, any number of times, by
 * several threads (one after the other). A timeout leaves the message as it was, the buffers undefined.
 * A message that came eagerly can be read whatever becomes of its sender. -ECANCELED, -ECONNRESET: see
 * haul_msg_status(). -EFAULT: a buffer of this side's can't be written.
 */
ssize_t haul_msg_read(struct haul_msg *m, uint64_t offset, const struct iovec *iov, size_t count,
    int timeout_ms);

/* haul_msg_read() as a request; got in the status says how many. -EBUSY from haul_msg_done() until it is
 * complete. */
int haul_msg_iread(struct haul_msg *m, uint64_t offset, const struct iovec *iov, size_t count,
    struct haul_req **out);

/* Ends it well: a synchronous sender hears 0, whatever was read; a call ends as -ENOMSG. Frees the handle. -EBUSY,
 * nothing freed: a read is under way. NULL: 0. */
int haul_msg_done(struct haul_msg *m);

/* The same, but a synchronous sender hears error, -4095 to -1; one that means something else there comes out as
 * -ECONNREFUSED: EINPROGRESS, EAGAIN, EINTR, ETIMEDOUT, ECANCELED, ESTALE, EBADF, EINVAL, ECONNRESET, ENOMEM. No byte is
 * copied for it. NULL: -EINVAL. */
int haul_msg_refuse(struct haul_msg *m, int error);

/* ---- Calls --------------------------------------------------------------------------------- */

/*
 * Sends a message and waits for the reply to it, which comes as a taken message, of whatever length: *reply is the
 * caller's, to be read and then given to haul_msg_done(); its tag is the call's. To the peer the call is a message like
 * others, with the flag HAUL_STATUS_CALL: to reply it takes it (haul_take(), haul_itake()). Until the call has completed
 * the memory the iovecs name is the library's.
 *
 * -ENOMSG: the peer finished with the message and sent no reply: by haul_msg_done(), or because it received it as any
 * message. -EMSGSIZE: the same, and its buffer was shorter. -ECONNREFUSED or another error: it refused it, or its reply
 * failed. Otherwise as haul_send(); after -ETIMEDOUT and -EINTR, too: no later reply reaches anybody.
 * timeout_ms 0: -EAGAIN, nothing sent. While the connection is being closed a reply that is not short (HAUL_PATH_EAGER)
 * can't be read any more: -ECANCELED.
 */
int haul_call(struct haul_peer *p, uint64_t tag, const struct iovec *iov, size_t count, int timeout_ms,
    struct haul_msg **reply);

/*
 * haul_call() as a request: msg in the status of haul_req_finish() is the reply; its len and got are the call's own.
 * haul_req_cancel() asks for its end also while the peer has it, who then hears -ECANCELED. After haul_req_free() the
 * call goes on, and its reply is dropped.
 */
int haul_icall(struct haul_peer *p, uint64_t tag, const struct iovec *iov, size_t count,
    struct haul_req **out);

/*
 * Replies to a call that was taken, sending the bytes of count iovecs, and frees the handle. It is a send as by
 * haul_isend(): the memory is the library's until the request completes, which for a long reply means that the peer is
 * done with it, or does not want it. Calls may be replied to in any order, and at any time. A short reply leaves at
 * once, but where more calls of the same peer wait for theirs.
 *
 * If it can't be started nothing is sent and the handle stays the caller's: -EINVAL: m is no call; -EBUSY: a read of it
 * is under way; -ECANCELED, -ECONNRESET, -EPIPE: the peer has given the call up, died, said goodbye (haul_msg_status()
 * tells without trying); -EMSGSIZE: longer than the peer accepts. The request ends as -ECANCELED if the call is given up
 * before the reply has left, or nobody wants a long reply any more. If it ends with an error before the reply has left,
 * that is to the peer as if the call was refused with it.
 */
int haul_reply(struct haul_msg *m, const struct iovec *iov, size_t count, struct haul_req **out);
/* ---- Descriptors --------------------------------------------------------------------------- */

enum { HAUL_FDS_MOST = 253 }; /* descriptors that may go with one message: what the kernel takes at a time */

/*
 * haul_send() with HAUL_SYNC of a message with which count descriptors go, 1 to HAUL_FDS_MOST. They stay with their
 * sender until the receiver asks for them (haul_msg_fds()); a receiver that does not gets the bytes, and the
 * descriptors go nowhere. Otherwise it is a message as others, in their order and with their matching, and len may be
 * 0. Copies are made at once: the descriptors are the caller's on return, and may be closed.
 *
 * 0: the message was received, and with it the descriptors, if they were asked for. Never 0 with timeout_ms 0: -EAGAIN.
 * -EINVAL: too few or too many; -EBADF, -EMFILE: of the copies. Others as haul_send().
 */
int haul_send_fds(struct haul_peer *p, uint64_t tag, const void *buf, size_t len, const int *fds,
    size_t count, int timeout_ms);

/* haul_send_fds() as a request. The bytes are the library's until it completes, the descriptors are not. */
int haul_isend_fds(struct haul_peer *p, uint64_t tag, const struct iovec *iov, size_t count, const int *fds,
    size_t fd_count, struct haul_req **out);

/*
 * Gets the descriptors that go with a taken message, in the order given, close-on-exec, and the caller's: returns how
 * many, 0 if the message has none. Each call gets new ones. To be called before haul_msg_done(), which tells the
 * sender that all is well.
 *
 * -EAGAIN (timeout_ms 0), -ETIMEDOUT: they have been asked for, and are held by the message when they come, which makes
 * haul_fd() readable: call again. -EMSGSIZE: there are more than room; none is lost. -EMFILE: there was no room for all of
 * them in this process, or a security module refused some; those that had come were closed. -ECONNREFUSED: the kernel
 * does not let the sender pass them. After these two the message is as before, and the call may be made again.
 * -ECANCELED, -ECONNRESET: see haul_msg_status(). haul_msg_done() gives -EBUSY while another thread is in this call.
 *
 * What a peer can make this process hold are the descriptors of messages that this was called for, and HAUL_FDS_MOST more
 * for a moment. Those that it sends without having been asked are closed, by the kernel or the library; nothing
 * else follows. Another number than it announces ends the connection: -EPROTO.
 */
ssize_t haul_msg_fds(struct haul_msg *m, int *fds, size_t room, int timeout_ms);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
