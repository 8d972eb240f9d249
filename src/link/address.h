/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Addresses: "/path", "@abstract", "fd:3", "systemd", "systemd:name". From words to a listening or connected socket, with what a
 * socket file needs so that two starters, a crash and a stranger's file all end well.
 */
#ifndef HAUL_LINK_ADDRESS_H
#define HAUL_LINK_ADDRESS_H

#include <stdbool.h>

#include "os/sock.h"

struct address {
	enum { ADDRESS_PATH, ADDRESS_ABSTRACT, ADDRESS_FD, ADDRESS_SYSTEMD } kind;
	struct sock_address sock; /* of SYSTEMD: the name in sun_path, or "" */
	int fd;
};

/* A socket that listens, and the file it made. */
struct listening {
	int fd;
	bool has_file;
	struct sockaddr_un where;
	struct sock_file file;
};

/* 0, -EINVAL, -ENAMETOOLONG, with a reason. */
int address_parse(const char *text, struct address *a);

/* Whether a socket at that address was there before, and is the caller's until it is taken over. */
bool address_is_given(const struct address *a);

/* 0 or -errno with a reason. Waits up to 1 s for the directory's lock. */
int address_listen(const struct address *a, struct listening *out);
/* It is ours for good. 0, or -errno with a reason, and it is not. */
int address_take_over(const struct address *a, const struct listening *l);
/* Closes, and removes the socket file if it is still this one. */
void listening_fini(struct listening *l);

/* One attempt: a descriptor; -EAGAIN when the backlog is full; -errno with a reason. */
int address_connect(const struct address *a);

#endif
