/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a fragment of a program in the documentation may take for granted: the headers, and the usual names.
 * tests/test_examples.sh includes this, and compiles the fragment as the body of a function behind it. Nothing here
 * is defined: a fragment is never linked. Whoever needs another usual name adds it; what only one fragment
 * uses, that declares for itself.
 */
#ifndef TESTS_LIB_FRAGMENT_H
#define TESTS_LIB_FRAGMENT_H

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <haul/group.h>
#include <haul/haul.h>
#include <haul/rma.h>
#include <haul/stream.h>
#include <haul/worker.h>

/* Objects of the library. */
extern struct haul *h;
extern struct haul_options options;
extern struct haul_listener *listener;
extern struct haul_peer *peer, *other;
extern struct haul_peer_info info;
extern struct haul_stats stats;
extern struct haul_req *req, *reqs[];
extern struct haul_msg *msg, *reply;
extern struct haul_match match;
extern struct haul_status status;
extern struct haul_notify notify;
extern struct haul_op ops[];
extern struct haul_stream *stream, *s;
extern struct haul_group *group, *half;
extern struct haul_group_match group_match;
extern struct haul_region *region;
extern struct haul_handle handle;
extern struct haul_spawn spawn;

/* Data. */
extern char buf[4096], other_buf[4096];
extern const char *text, *address;
extern double *from, *into;
extern size_t len, offset, count, lens[], offsets[];
extern struct iovec iov[];
extern uint64_t tag;

/* Numbers, processes, descriptors. */
extern int rank, size, root, timeout_ms, fd, fds[], ends[2], set;
extern size_t i, k, n;
extern long rc;
extern ssize_t got;
extern pid_t child;
extern FILE *file;

/* Ends the program with words if a call has failed; gives its result otherwise. */
long must(long rc);
void work(void);
void use(const void *bytes, size_t count);

#endif
