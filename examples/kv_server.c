/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A store of keys and values for many clients, in one thread: calls and replies in an event loop.
 *
 *     kv_server ADDRESS [PATIENCE_MS]
 *
 * A value is read from the client's memory straight to where it is kept, and a client's get is answered straight from there.
 * Nothing waits for a client: each step is a request with a deadline, and what follows it is a callback. So one that
 * has stopped in the middle of a call costs a deadline and holds up nobody.
 *
 *     haul_itake -> taken: read the key -> found: refuse, or reply, or read the value -> stored: reply -> replied
 */
#include <haul/haul.h>

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "kv.h"

enum { CHAINS = 1 << 12, PATIENCE_MS = 1000, LINGER_MS = 1000 };

/* Replaced or deleted, it stays as long as somebody reads it. */
struct value {
	unsigned users;
	size_t len;
	unsigned char bytes[];
};

struct entry {
	struct entry *next;
	struct value *value;
	size_t key_len;
	unsigned char key[KV_KEY_MOST];
};

struct server {
	struct haul *haul;
	struct haul_listener *listener;
	int patience_ms;
	struct entry *chains[CHAINS];
};

/* A call, from its taking to the end of the reply. */
struct job {
	struct server *server;
	struct haul_msg *call; /* NULL once it was replied to */
	enum kv_op op;
	uint64_t len;
	size_t key_len;
	unsigned char key[KV_KEY_MOST];
	struct value *value; /* what is put, or got */
};

static void must(long rc)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "kv_server: %s: %s\n", strerror((int)-rc), haul_reason());
	exit(1);
}

/* What follows a request. With a deadline, if it waits for a client. */
static void then(struct haul_req *r, int patience_ms, void (*call)(struct haul_req *, void *), void *arg)
{
	haul_req_deadline(r, patience_ms); /* or it is complete already */
	must(haul_req_notify(r, &(struct haul_notify){ .call = call, .arg = arg }));
}

/* ---- the store ---- */

static void value_drop(struct value *v)
{
	if (v != NULL && --v->users == 0)
		free(v);
}

/* Where the key's entry is linked, or would be. */
static struct entry **find(struct server *s, const struct job *j)
{
	uint32_t hash = 2166136261; /* FNV-1a */
	for (size_t i = 0; i < j->key_len; i++)
		hash = (hash ^ j->key[i]) * 16777619;
	struct entry **e = &s->chains[hash % CHAINS];
	while (*e != NULL && ((*e)->key_len != j->key_len || memcmp((*e)->key, j->key, j->key_len) != 0))
		e = &(*e)->next;
	return e;
}

static int put(struct server *s, struct job *j)
{
	struct entry **at = find(s, j), *e = *at;
	if (e == NULL) {
		if ((e = calloc(1, sizeof(*e))) == NULL)
			return -ENOMEM;
		memcpy(e->key, j->key, e->key_len = j->key_len);
		*at = e;
	}
	value_drop(e->value);
	e->value = j->value;
	j->value = NULL;
	return 0;
}

static void drop(struct entry **at)
{
	struct entry *e = *at;
	*at = e->next;
	value_drop(e->value);
	free(e);
}

/* ---- a call ---- */

static void job_end(struct job *j)
{
	value_drop(j->value);
	free(j);
}

static void refuse(struct job *j, int error)
{
	must(haul_msg_refuse(j->call, error));
	job_end(j);
}

static void replied(struct haul_req *r, void *arg)
{
	haul_req_finish(r, NULL); /* if the client did not want it any more, that is its affair */
	job_end(arg);
}

static void reply(struct job *j, const struct value *v)
{
	struct iovec iov = { .iov_base = v != NULL ? (void *)v->bytes : NULL,
		.iov_len = v != NULL ? v->len : 0 };
	struct haul_req *r;
	int rc = haul_reply(j->call, &iov, 1, &r);
	if (rc < 0)
		refuse(j, rc);
	else
		then(r, j->server->patience_ms, replied, j);
}

static void stored(struct haul_req *r, void *arg)
{
	struct job *j = arg;
	int rc = haul_req_finish(r, NULL);
	if (rc == 0)
		rc = put(j->server, j);
	if (rc < 0)
		refuse(j, rc);
	else
		reply(j, NULL);
}

static void read_value(struct job *j)
{
	struct haul_req *r;
	size_t len = j->len - j->key_len;
	if ((j->value = malloc(sizeof(*j->value) + len)) == NULL) {
		refuse(j, -ENOMEM);
		return;
	}
	j->value->users = 1;
	j->value->len = len;
	must(haul_msg_iread(j->call, j->key_len,
	    &(struct iovec){ .iov_base = j->value->bytes, .iov_len = len }, 1, &r));
	then(r, j->server->patience_ms, stored, j);
}

static void found(struct haul_req *r, void *arg)
{
	struct job *j = arg;
	int rc = haul_req_finish(r, NULL);
	struct entry **at = find(j->server, j);
	if (rc < 0) {
		refuse(j, rc);
	} else if (j->op == KV_PUT) {
		read_value(j);
	} else if (*at == NULL) {
		refuse(j, -ENOENT);
	} else if (j->op == KV_GET) {
		j->value = (*at)->value;
		j->value->users++;
		reply(j, j->value);
	} else {
		drop(at);
		reply(j, NULL);
	}
}

static void read_key(struct job *j, const struct haul_status *status)
{
	struct haul_req *r;
	bool fits =
	    j->key_len <= KV_KEY_MOST && j->key_len <= j->len && j->op >= KV_PUT && j->op <= KV_DELETE;
	if (!fits || (status->flags & HAUL_STATUS_CALL) == 0) {
		refuse(j, -EINVAL);
		return;
	}
	must(haul_msg_iread(j->call, 0, &(struct iovec){ .iov_base = j->key, .iov_len = j->key_len }, 1, &r));
	then(r, j->server->patience_ms, found, j);
}

static void take_next(struct server *s);

static void taken(struct haul_req *r, void *arg)
{
	struct server *s = arg;
	struct haul_status status;
	if (haul_req_finish(r, &status) < 0)
		return; /* we end */
	struct job *j = malloc(sizeof(*j));
	if (j == NULL) {
		haul_msg_refuse(status.msg, -ENOMEM);
	} else {
		*j = (struct job){ .server = s,
			.call = status.msg,
			.op = KV_TAG_OP(status.tag),
			.len = status.len,
			.key_len = KV_TAG_KEY_LEN(status.tag) };
		read_key(j, &status);
	}
	take_next(s);
}

static void take_next(struct server *s)
{
	struct haul_req *r;
	must(haul_itake(s->haul, NULL, &r));
	then(r, -1, taken, s);
}

/* ---- clients ---- */

static void gone(struct haul_req *r, void *peer)
{
	haul_req_finish(r, NULL);
	haul_peer_close(peer, 0); /* its calls end by themselves */
}

static void accept_next(struct server *s);

static void accepted(struct haul_req *r, void *arg)
{
	struct haul_status status;
	struct haul_req *watch;
	int rc = haul_req_finish(r, &status);
	if (rc == -ECANCELED)
		return; /* we end */
	must(rc);
	must(haul_peer_watch(status.peer, &watch));
	then(watch, -1, gone, status.peer);
	accept_next(arg);
}

static void accept_next(struct server *s)
{
	struct haul_req *r;
	must(haul_iaccept(s->listener, &r));
	then(r, -1, accepted, s);
}

/* ---- the loop ---- */

/* Until it is told to end. */
static void serve(struct server *s)
{
	sigset_t end;
	sigemptyset(&end);
	sigaddset(&end, SIGTERM);
	sigaddset(&end, SIGINT);
	sigprocmask(SIG_BLOCK, &end, NULL);
	int set = epoll_create1(EPOLL_CLOEXEC), signals = signalfd(-1, &end, SFD_CLOEXEC);
	struct epoll_event event = { .events = EPOLLIN, .data.fd = signals };
	int rc = epoll_ctl(set, EPOLL_CTL_ADD, signals, &event);
	event.data.fd = haul_fd(s->haul);
	if (rc < 0 || epoll_ctl(set, EPOLL_CTL_ADD, event.data.fd, &event) < 0) {
		perror("kv_server: epoll");
		exit(1);
	}
	do {
		int busy = haul_progress(s->haul); /* drain: all of the above runs in here */
		must(busy);
		if (busy == 0)
			busy = haul_arm(s->haul) == -EAGAIN; /* arm: -EAGAIN if something came meanwhile */
		event.data.fd = -1;
		epoll_wait(set, &event, 1, busy ? 0 : -1); /* sleep */
	} while (event.data.fd != signals);
	close(signals);
	close(set);
}

int main(int argc, char **argv)
{
	static struct server s;
	const struct haul_options options = { .max_msg = KV_KEY_MOST + KV_VALUE_MOST };
	if (argc < 2 || argc > 3) {
		fprintf(stderr, "usage: kv_server ADDRESS [PATIENCE_MS]\n");
		return 2;
	}
	s.patience_ms = argc > 2 ? atoi(argv[2]) : PATIENCE_MS;
	must(haul_open(&s.haul, &options, sizeof(options)));
	must(haul_listen(s.haul, argv[1], &s.listener));
	accept_next(&s);
	take_next(&s);
	serve(&s);
	return haul_close(s.haul, LINGER_MS) < 0;
}
