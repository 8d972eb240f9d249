/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Unix stream sockets: making, naming, and moving bytes and credentials. Nothing here waits, except
 * sock_lock_dir() as documented; no descriptor is ever set O_NONBLOCK for good, because its open file
 * description may be shared with a process that expects otherwise. Results: 0, a count or a descriptor,
 * or -errno (-EAGAIN: try later).
 */
#ifndef HAUL_OS_SOCK_H
#define HAUL_OS_SOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/un.h>

/* ---- making and naming ---- */

struct sock_address {
	struct sockaddr_un un;
	socklen_t len;
};

int sock_pair(int fds[2]);

/* 0 if fd is a connected AF_UNIX stream socket; -EBADF, -ENOTSOCK, -EPROTOTYPE, -ENOTCONN. */
int sock_check_connected(int fd);
/* 0 if fd is a listening AF_UNIX stream socket; -EBADF, -ENOTSOCK, -EPROTOTYPE, -EINVAL (not listening). */
int sock_check_listening(int fd);

/* A socket bound to the address, mode 0600, not listening yet: others still find nobody there. */
int sock_bind(const struct sock_address *a);
int sock_listen(int fd);

/* -EAGAIN: the listener's backlog is full, and there is nothing to poll for. */
int sock_connect(const struct sock_address *a);

/* Whether there is something to read, or a connection to accept. */
bool sock_is_readable(int fd);
/* The next connection, close-on-exec. */
int sock_accept(int fd);

/* Sets close-on-exec. */
void sock_keep_from_exec(int fd);
/* A second descriptor of whatever it is, close-on-exec. */
int sock_copy(int fd);
/* No more bytes in either direction; what the peer has not read yet it still can. */
void sock_shut(int fd);
/* The same for what we may send, or the peer, from now on only. */
void sock_shut_us(int fd);
void sock_shut_peer(int fd);
void sock_close(int fd);

/* What a socket file is, so that only our own is removed. */
struct sock_file {
	dev_t dev;
	ino_t ino;
};

/* Identity of a socket file: 0, -ENOENT, -ENOTSOCK for another kind of file, or what lstat(2) says. */
int sock_file_look(const char *path, struct sock_file *file);
int sock_file_remove(const char *path);

/* Takes the advisory lock of the directory that holds path, or returns -EAGAIN; the lock ends with the
 * descriptor returned. */
int sock_lock_dir(const char *path);

/* ---- conversation ---- */

/* The sender of bytes, as the kernel vouches for it. */
struct sock_creds {
	bool present; /* credentials came with the bytes */
	pid_t pid;    /* 0: no name in our pid namespace */
	uid_t uid;    /* the overflow uid if it has no name in our user namespace */
	gid_t gid;
	int pidfd; /* from SCM_PIDFD, -1 if there was none; the caller's to close */
};

/* Sets close-on-exec and asks the kernel to attach credentials and, where it can, a pidfd to what is
 * received; sock_stop_creds() ends that, because it keeps small messages from being read together. */
int sock_want_creds(int fd);
void sock_stop_creds(int fd);

/* Sends bytes with our credentials (effective ids) attached explicitly, or implicitly where these ids
 * have no name in the receiver's namespaces. */
ssize_t sock_send_creds(int fd, const void *buf, size_t len);
/* Receives bytes and their sender's credentials. Descriptors that came along are closed. */
ssize_t sock_recv_creds(int fd, void *buf, size_t len, struct sock_creds *creds);

ssize_t sock_send(int fd, const void *buf, size_t len);
ssize_t sock_sendv(int fd, struct iovec *iov, size_t count);
ssize_t sock_recv(int fd, void *buf, size_t len);
/* Waits for bytes as long as sock_set_patience() says (0: for ever), then -EAGAIN; or until a signal. */
ssize_t sock_recv_waiting(int fd, void *buf, size_t len);
void sock_set_patience(int fd, int ms);
ssize_t sock_recvv(int fd, struct iovec *iov, size_t count);

/* Descriptors that came along with bytes. */
enum { SOCK_RIGHTS_MOST = 253 }; /* that go at a time: SCM_MAX_FD */

struct sock_rights {
	bool cut; /* there were more, but they could not be received */
	size_t count;
	int fds[SOCK_RIGHTS_MOST]; /* close-on-exec */
};

/* Sends bytes, few enough to be taken whole or not at all, with these attached. */
ssize_t sock_send_rights(int fd, const void *buf, size_t len, const int *fds, size_t count);
/* Receives bytes, and what is attached to the last of them: then *rights is that, and what it was before is closed. */
ssize_t sock_recv_rights(int fd, struct iovec *iov, size_t count, struct sock_rights *rights);
/* A second descriptor for each, or for as many as there is room for. */
void sock_copy_rights(struct sock_rights *rights, const int *fds, size_t count);
void sock_close_rights(struct sock_rights *rights);

/* How long a message may be for one sendmsg(2) to take it whole or, if its memory can't be read, not at all:
 * it must fit into one of the kernel's buffers, which unix_stream_sendmsg() makes at least so long. */
size_t sock_whole(int fd);

/* Makes the send buffer as large as want bytes, or as the system allows; never smaller than it is. */
void sock_grow_send_buffer(int fd, int want);

#endif
