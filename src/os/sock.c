/* SPDX-License-Identifier: BSD-3-Clause */
/* Unix stream sockets. See sock.h. */
#include "os/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bsd/string.h>

/* Since Linux 6.5; older headers lack them. The message type is SCM_PIDFD, unix(7). */
#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif
#ifndef SCM_PIDFD
#define SCM_PIDFD 0x04
#endif

/* ---- making and naming ---- */

int sock_pair(int fds[2])
{
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0 ? -errno : 0;
}

static int get_int(int fd, int option, int *value)
{
	socklen_t len = sizeof(*value);
	return getsockopt(fd, SOL_SOCKET, option, value, &len) != 0 ? -errno : 0;
}

static int check_unix_stream(int fd)
{
	int domain, type, rc;
	if ((rc = get_int(fd, SO_DOMAIN, &domain)) != 0 || (rc = get_int(fd, SO_TYPE, &type)) != 0)
		return rc;
	return domain == AF_UNIX && type == SOCK_STREAM ? 0 : -EPROTOTYPE;
}

int sock_check_connected(int fd)
{
	int rc = check_unix_stream(fd);
	if (rc != 0)
		return rc;
	struct sock_address a = { .len = sizeof(a.un) };
	return getpeername(fd, (struct sockaddr *)&a.un, &a.len) != 0 ? -errno : 0;
}

int sock_check_listening(int fd)
{
	int listening, rc = check_unix_stream(fd);
	if (rc != 0)
		return rc;
	if ((rc = get_int(fd, SO_ACCEPTCONN, &listening)) != 0)
		return rc;
	return listening ? 0 : -EINVAL;
}

int sock_bind(const struct sock_address *a)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); /* ours alone */
	if (fd < 0)
		return -errno;
	/* bind(2) gives the file the socket's own mode less the umask, so there is no moment at which the
	 * file is open to others. */
	if (fchmod(fd, S_IRUSR | S_IWUSR) != 0 || bind(fd, (const struct sockaddr *)&a->un, a->len) != 0) {
		int rc = -errno;
		close(fd);
		return rc;
	}
	return fd;
}

int sock_listen(int fd)
{
	return listen(fd, SOMAXCONN) != 0 ? -errno : 0;
}

/* The description is ours alone until it is connected, so O_NONBLOCK may be used to connect. */
int sock_connect(const struct sock_address *a)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&a->un, a->len) != 0 || fcntl(fd, F_SETFL, 0) != 0) {
		int rc = -errno;
		close(fd);
		return rc;
	}
	return fd;
}

void sock_set_patience(int fd, int ms)
{
	struct timeval t = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
}

bool sock_is_readable(int fd)
{
	struct pollfd look = { .fd = fd, .events = POLLIN };
	return poll(&look, 1, 0) > 0;
}

/* A listening socket that was inherited may be shared, so it isn't set O_NONBLOCK; but a connection that
 * another process takes between our look and our accept must not block us. accept(2) honours SO_RCVTIMEO,
 * which is put back to what a stranger expects, none. */
int sock_accept(int fd)
{
	if (!sock_is_readable(fd))
		return -EAGAIN;
	bool shared = (fcntl(fd, F_GETFL) & O_NONBLOCK) == 0;
	if (shared)
		sock_set_patience(fd, 1);
	int conn = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	int rc = conn < 0 ? -errno : conn;
	if (shared)
		sock_set_patience(fd, 0);
	return rc;
}

void sock_keep_from_exec(int fd)
{
	fcntl(fd, F_SETFD, FD_CLOEXEC);
}

int sock_copy(int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return copy < 0 ? -errno : copy;
}

void sock_shut(int fd)
{
	shutdown(fd, SHUT_RDWR);
}

void sock_shut_us(int fd)
{
	shutdown(fd, SHUT_WR);
}

void sock_shut_peer(int fd)
{
	shutdown(fd, SHUT_RD);
}

void sock_close(int fd)
{
	if (fd >= 0)
		close(fd);
}

int sock_file_look(const char *path, struct sock_file *file)
{
	struct stat st;
	if (lstat(path, &st) != 0)
		return -errno;
	*file = (struct sock_file){ .dev = st.st_dev, .ino = st.st_ino };
	return S_ISSOCK(st.st_mode) ? 0 : -ENOTSOCK;
}

int sock_file_remove(const char *path)
{
	return unlink(path) != 0 ? -errno : 0;
}

int sock_lock_dir(const char *path)
{
	char dir[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
	strlcpy(dir, path, sizeof(dir));
	char *slash = strrchr(dir, '/');
	if (slash == NULL)
		strlcpy(dir, ".", sizeof(dir));
	else
		slash[slash == dir ? 1 : 0] = '\0';
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		int rc = -errno;
		close(fd);
		return rc;
	}
	return fd;
}

/* ---- conversation ---- */

int sock_want_creds(int fd)
{
	int one = 1;
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)) != 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_PASSPIDFD, &one, sizeof(one)); /* a luxury of newer kernels */
	return 0;
}

void sock_stop_creds(int fd)
{
	int zero = 0;
	setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &zero, sizeof(zero));
	setsockopt(fd, SOL_SOCKET, SO_PASSPIDFD, &zero, sizeof(zero));
}

ssize_t sock_send_creds(int fd, const void *buf, size_t len)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(struct ucred))];
	} control = { 0 };
	struct ucred us = { .pid = getpid(), .uid = geteuid(), .gid = getegid() };
	struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_CREDENTIALS;
	c->cmsg_len = CMSG_LEN(sizeof(us));
	memcpy(CMSG_DATA(c), &us, sizeof(us));
	ssize_t n = sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0 && errno == EINVAL) /* an id that is not mapped: let the kernel fill them in */
		return sock_send(fd, buf, len);
	return n < 0 ? -errno : n;
}

/* Those of one SCM_RIGHTS are kept in rights, up to what it has room for, or closed. */
static void take_rights(const struct cmsghdr *c, struct sock_rights *rights)
{
	for (size_t at = CMSG_LEN(0); at + sizeof(int) <= c->cmsg_len; at += sizeof(int)) {
		int fd;
		memcpy(&fd, (const char *)c + at, sizeof(fd));
		if (rights != NULL && rights->count < SOCK_RIGHTS_MOST)
			rights->fds[rights->count++] = fd;
		else
			close(fd);
	}
}

/* Takes what we asked for out of the control data and closes descriptors nobody asked for. */
static void take_control(struct msghdr *msg, struct sock_creds *creds, struct sock_rights *rights)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_CREDENTIALS && c->cmsg_len >= CMSG_LEN(sizeof(struct ucred))) {
			struct ucred them;
			memcpy(&them, CMSG_DATA(c), sizeof(them));
			creds->present = true;
			creds->pid = them.pid;
			creds->uid = them.uid;
			creds->gid = them.gid;
		} else if (c->cmsg_type == SCM_PIDFD && c->cmsg_len >= CMSG_LEN(sizeof(int))) {
			sock_close(creds->pidfd);
			memcpy(&creds->pidfd, CMSG_DATA(c), sizeof(int));
		} else if (c->cmsg_type == SCM_RIGHTS) {
			take_rights(c, rights);
		}
	}
}

ssize_t sock_recv_creds(int fd, void *buf, size_t len, struct sock_creds *creds)
{
	/* Room for our two and a few stray descriptors; what does not fit the kernel closes itself. */
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int)) +
		    CMSG_SPACE(8 * sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = buf, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control) };
	*creds = (struct sock_creds){ .pidfd = -1 };
	ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return -errno;
	take_control(&msg, creds, NULL);
	return n;
}

ssize_t sock_send_rights(int fd, const void *buf, size_t len, const int *fds, size_t count)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(SOCK_RIGHTS_MOST * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = CMSG_SPACE(count * sizeof(int)) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(count * sizeof(int));
	memcpy(CMSG_DATA(c), fds, count * sizeof(int));
	ssize_t n = sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	return n < 0 ? -errno : n;
}

/* A read ends behind the bytes to which descriptors are attached: unix_stream_read_generic(). */
ssize_t sock_recv_rights(int fd, struct iovec *iov, size_t count, struct sock_rights *rights)
{
	/* Credentials may still come of a time when they were asked for. */
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int)) +
		    CMSG_SPACE(SOCK_RIGHTS_MOST * sizeof(int))];
	} control;
	struct msghdr msg = { .msg_iov = iov,
		.msg_iovlen = count,
		.msg_control = &control,
		.msg_controllen = sizeof(control) };
	struct sock_creds creds = { .pidfd = -1 };
	struct sock_rights now = { .count = 0 };
	ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return -errno;
	take_control(&msg, &creds, &now);
	sock_close(creds.pidfd);
	now.cut = (msg.msg_flags & MSG_CTRUNC) != 0;
	if (now.count > 0 || now.cut) {
		sock_close_rights(rights);
		*rights = now;
	}
	return n;
}

void sock_copy_rights(struct sock_rights *rights, const int *fds, size_t count)
{
	sock_close_rights(rights);
	for (; rights->count < count && !rights->cut; fds++) {
		int fd = sock_copy(*fds);
		if (fd < 0)
			rights->cut = true;
		else
			rights->fds[rights->count++] = fd;
	}
}

void sock_close_rights(struct sock_rights *rights)
{
	while (rights->count > 0)
		close(rights->fds[--rights->count]);
	rights->cut = false;
}

ssize_t sock_send(int fd, const void *buf, size_t len)
{
	ssize_t n = send(fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	return n < 0 ? -errno : n;
}

ssize_t sock_sendv(int fd, struct iovec *iov, size_t count)
{
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = count };
	ssize_t n = sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	return n < 0 ? -errno : n;
}

ssize_t sock_recv(int fd, void *buf, size_t len)
{
	ssize_t n = recv(fd, buf, len, MSG_DONTWAIT);
	return n < 0 ? -errno : n;
}

ssize_t sock_recv_waiting(int fd, void *buf, size_t len)
{
	ssize_t n = recv(fd, buf, len, 0);
	return n >= 0 ? n : errno == EINTR ? -EAGAIN : -errno;
}

ssize_t sock_recvv(int fd, struct iovec *iov, size_t count)
{
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = count };
	ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT);
	return n < 0 ? -errno : n;
}

size_t sock_whole(int fd)
{
	enum { WHOLE = 32768, OVERHEAD = 64 };
	int room;
	if (get_int(fd, SO_SNDBUF, &room) != 0 || room / 2 <= OVERHEAD)
		return 0;
	return room / 2 - OVERHEAD < WHOLE ? (size_t)(room / 2 - OVERHEAD) : WHOLE;
}

void sock_grow_send_buffer(int fd, int want)
{
	int now;
	/* The kernel reports and grants twice what is asked, for its own overhead: socket(7). */
	if (get_int(fd, SO_SNDBUF, &now) == 0 && now / 2 < want)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &want, sizeof(want));
}
