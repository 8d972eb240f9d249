/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Addresses. See address.h.
 *
 * A socket file outlives its process. So, finding one: is anybody listening? If connecting is refused, the
 * file is stale and is replaced. Between bind and listen a file looks stale though it is not; so all of it
 * happens under an advisory lock of the directory, which needs no file of its own and goes with its
 * holder. Two starters: the second finds the first listening, -EADDRINUSE.
 */
#include "link/address.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#include <bsd/stdlib.h>
#include <bsd/string.h>

#include "os/activated.h"
#include "os/clock.h"
#include "os/reason.h"

enum { LOCK_MS = 1000, LOCK_RETRY_MS = 5 };

static int parse_systemd(const char *text, struct address *a)
{
	const char *name = text[strlen("systemd")] == ':' ? text + strlen("systemd:") : NULL;
	a->kind = ADDRESS_SYSTEMD;
	if (name != NULL && (*name == '\0' || strchr(name, ':') != NULL))
		return reason(-EINVAL, "address %s: a name is not empty, and has no colon", text);
	if (name != NULL &&
	    strlcpy(a->sock.un.sun_path, name, sizeof(a->sock.un.sun_path)) >= sizeof(a->sock.un.sun_path))
		return reason(-ENAMETOOLONG, "address %s: the name is too long", text);
	return 0;
}

int address_parse(const char *text, struct address *a)
{
	memset(a, 0, sizeof(*a));
	if (text == NULL || *text == '\0')
		return reason(-EINVAL, "an empty address");
	if (strncmp(text, "fd:", 3) == 0) {
		const char *wrong;
		a->kind = ADDRESS_FD;
		a->fd = (int)strtonum(text + 3, 0, 1 << 30, &wrong);
		return wrong != NULL ? reason(-EINVAL, "address %s: the descriptor is %s", text, wrong) : 0;
	}
	if (strcmp(text, "systemd") == 0 || strncmp(text, "systemd:", 8) == 0)
		return parse_systemd(text, a);
	struct sockaddr_un *un = &a->sock.un;
	size_t len = strlen(text);
	bool abstract = *text == '@';
	un->sun_family = AF_UNIX;
	a->kind = abstract ? ADDRESS_ABSTRACT : ADDRESS_PATH;
	if (!abstract && strchr(text, '/') == NULL)
		return reason(-EINVAL, "address %s: neither a path with a /, nor @name, fd:N or systemd",
		    text);
	if (abstract && len == 1)
		return reason(-EINVAL, "address @: an empty name");
	/* A path needs its NUL within sun_path; an abstract name begins with one instead and has none. */
	if (len + !abstract > sizeof(un->sun_path))
		return reason(-ENAMETOOLONG, "address of %zu bytes: a socket's may have %zu", len,
		    sizeof(un->sun_path) - !abstract);
	memcpy(un->sun_path, text, len);
	if (abstract)
		un->sun_path[0] = '\0';
	a->sock.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + !abstract);
	return 0;
}

static int lock_dir(const char *path)
{
	uint64_t deadline = clock_after_ms(LOCK_MS);
	for (;;) {
		int lock = sock_lock_dir(path);
		if (lock != -EAGAIN)
			return lock < 0 ? reason(lock, "the directory of %s: %s", path, strerror(-lock))
			                : lock;
		if (clock_now() >= deadline)
			return reason(-EBUSY, "the directory of %s stayed locked by another process", path);
		struct timespec pause = { .tv_nsec = LOCK_RETRY_MS * 1000000 };
		nanosleep(&pause, NULL);
	}
}

/* The name is taken. By whom? 0 if by nobody who still lives, and it is free now. */
static int replace_stale(const struct address *a)
{
	const char *path = a->sock.un.sun_path;
	struct sock_file file;
	int rc = sock_file_look(path, &file);
	if (rc == -ENOENT)
		return 0;
	if (rc != 0)
		return reason(rc, "%s: %s", path,
		    rc == -ENOTSOCK ? "is not a socket, and is left alone" : strerror(-rc));
	int fd = sock_connect(&a->sock);
	if (fd >= 0)
		sock_close(fd);
	if (fd >= 0 || fd == -EAGAIN)
		return reason(-EADDRINUSE, "%s: somebody listens there", path);
	if (fd != -ECONNREFUSED && fd != -ENOENT)
		return reason(fd, "%s: %s", path, strerror(-fd));
	rc = sock_file_remove(path);
	return rc == 0 || rc == -ENOENT ? 0
	                                : reason(rc, "cannot remove the stale %s: %s", path, strerror(-rc));
}

static int bind_and_listen(const struct address *a, struct listening *out)
{
	int fd = sock_bind(&a->sock);
	if (fd < 0)
		return fd;
	int rc = sock_listen(fd);
	if (rc == 0 && a->kind == ADDRESS_PATH) {
		out->where = a->sock.un;
		rc = sock_file_look(out->where.sun_path, &out->file);
		out->has_file = rc == 0;
	}
	if (rc != 0) {
		if (a->kind == ADDRESS_PATH)
			sock_file_remove(a->sock.un.sun_path); /* we have just made it, under the lock */
		sock_close(fd);
		return rc;
	}
	out->fd = fd;
	return 0;
}

static int listen_path(const struct address *a, struct listening *out)
{
	const char *path = a->sock.un.sun_path;
	int lock = lock_dir(path);
	if (lock < 0)
		return lock;
	int rc = bind_and_listen(a, out);
	if (rc == -EADDRINUSE) {
		rc = replace_stale(a);
		if (rc != 0)
			goto out;
		rc = bind_and_listen(a, out);
	}
	if (rc != 0)
		reason(rc, "%s: %s", path, strerror(-rc));
out:
	sock_close(lock);
	return rc;
}

static int listen_given(int fd, struct listening *out)
{
	int rc = sock_check_listening(fd);
	if (rc != 0)
		return reason(rc, "descriptor %d is not a listening AF_UNIX stream socket", fd);
	sock_keep_from_exec(fd);
	out->fd = fd;
	return 0;
}

int address_listen(const struct address *a, struct listening *out)
{
	int rc;
	memset(out, 0, sizeof(*out));
	switch (a->kind) {
	case ADDRESS_PATH:
		return listen_path(a, out);
	case ADDRESS_ABSTRACT:
		rc = bind_and_listen(a, out);
		return rc != 0 ? reason(rc, "@%s: %s", a->sock.un.sun_path + 1, strerror(-rc)) : 0;
	case ADDRESS_FD:
		return listen_given(a->fd, out);
	case ADDRESS_SYSTEMD:
		rc = activated_find(a->sock.un.sun_path[0] != '\0' ? a->sock.un.sun_path : NULL);
		return rc < 0 ? rc : listen_given(rc, out);
	}
	return -EINVAL;
}

bool address_is_given(const struct address *a)
{
	return a->kind == ADDRESS_FD || a->kind == ADDRESS_SYSTEMD;
}

int address_take_over(const struct address *a, const struct listening *l)
{
	return a->kind == ADDRESS_SYSTEMD ? activated_take(l->fd) : 0;
}

void listening_fini(struct listening *l)
{
	struct sock_file now;
	const char *path = l->where.sun_path;
	/* Under the lock, as a starter might be replacing it; but for want of the lock nothing is left open. */
	int lock = l->has_file ? sock_lock_dir(path) : -1;
	if (l->has_file && sock_file_look(path, &now) == 0 && now.dev == l->file.dev &&
	    now.ino == l->file.ino)
		sock_file_remove(path);
	sock_close(l->fd);
	sock_close(lock);
}

int address_connect(const struct address *a)
{
	if (a->kind == ADDRESS_FD)
		return a->fd;
	if (a->kind == ADDRESS_SYSTEMD)
		return reason(-EINVAL, "sockets of systemd are to be listened at");
	int fd = sock_connect(&a->sock);
	if (fd < 0 && fd != -EAGAIN)
		reason(fd, "%s%s: %s", a->kind == ADDRESS_ABSTRACT ? "@" : "",
		    a->sock.un.sun_path + (a->kind == ADDRESS_ABSTRACT), strerror(-fd));
	return fd;
}
