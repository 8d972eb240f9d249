/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The example kv_server, as it was built: what many clients put into it they get out of it, each byte, and one that stops
 * in the middle of its calls holds up none of them.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/child.h"
#include "lib/duo.h"
#include "lib/pairing.h"
#include "lib/paths.h"
#include "lib/pattern.h"
#include "lib/seed.h"
#include "lib/talk.h"

#include "../examples/kv.h"

TestSuite(kv, .timeout = 60);

enum { CLIENTS = 12, ROUNDS = 60, KEYS = 5, VALUE_MOST = 300000, BIG = 3 << 20 };

#define PROGRAM "examples/kv_server"
#define SHARED "what all of them put"

/* ---- the server ---- */

struct server {
	int fd; /* where it listens */
	char address[64];
	const char *patience_ms;
	struct child child;
};

static int run_server(void *arg)
{
	const struct server *s = arg;
	char name[16];
	snprintf(name, sizeof(name), "fd:%d", s->fd);
	execl(PROGRAM, PROGRAM, name, s->patience_ms, (char *)NULL);
	return 1;
}

/* At an address that the kernel finds. */
static void server_start(struct server *s, const char *patience_ms)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	socklen_t len = sizeof(at.sun_family);
	if (access(PROGRAM, X_OK) != 0)
		cr_skip_test(PROGRAM " was not built, or is elsewhere");
	*s = (struct server){ .fd = socket(AF_UNIX, SOCK_STREAM, 0), .patience_ms = patience_ms };
	must(bind(s->fd, (struct sockaddr *)&at, len) == 0 && listen(s->fd, CLIENTS) == 0);
	len = sizeof(at);
	must_be(getsockname(s->fd, (struct sockaddr *)&at, &len), 0);
	snprintf(s->address, sizeof(s->address), "@%.*s",
	    (int)(len - offsetof(struct sockaddr_un, sun_path) - 1), at.sun_path + 1);
	child_start(&s->child, PATIENCE_MS, run_server, s);
	close(s->fd);
}

static void server_end(struct server *s)
{
	child_signal(&s->child, SIGTERM);
	child_expect(&s->child, 0);
}

/* ---- a client ---- */

struct client {
	const struct server *server;
	const struct path *path;
	int number;
	struct haul *haul;
	struct haul_peer *peer;
};

static void client_start(struct client *c)
{
	struct haul_options o = path_options(c->path);
	must_be(haul_open(&c->haul, &o, sizeof(o)), 0);
	must_be(haul_connect(c->haul, c->server->address, PATIENCE_MS, &c->peer), 0);
}

static int start_put(struct client *c, const char *key, const void *value, size_t len, struct haul_req **r)
{
	struct iovec iov[] = { { (void *)key, strlen(key) }, { (void *)value, len } };
	return haul_icall(c->peer, KV_TAG(KV_PUT, strlen(key)), iov, 2, r);
}

static int call(struct client *c, enum kv_op op, const char *key, struct haul_msg **reply)
{
	struct iovec iov = { (void *)key, strlen(key) };
	return haul_call(c->peer, KV_TAG(op, strlen(key)), &iov, 1, PATIENCE_MS, reply);
}

/* Replies that have no body. */
static int put(struct client *c, const char *key, const void *value, size_t len)
{
	struct haul_req *r;
	struct haul_status status;
	must_be(start_put(c, key, value, len, &r), 0);
	int rc = end_of(r, &status);
	return rc != 0 ? rc : haul_msg_done(status.msg);
}

static int delete_key(struct client *c, const char *key)
{
	struct haul_msg *reply;
	int rc = call(c, KV_DELETE, key, &reply);
	return rc != 0 ? rc : haul_msg_done(reply);
}

/* The value's length; *value is the caller's. */
static ssize_t get(struct client *c, const char *key, unsigned char **value)
{
	struct haul_msg *reply;
	struct haul_status status;
	int rc = call(c, KV_GET, key, &reply);
	if (rc != 0)
		return rc;
	must_be(haul_msg_status(reply, &status), 0);
	*value = room_for(status.len + 1);
	must_be(haul_msg_read(reply, 0, &(struct iovec){ *value, status.len }, 1, PATIENCE_MS), status.len);
	must_be(haul_msg_done(reply), 0);
	return (ssize_t)status.len;
}

/* What is under a key: nothing, if it has no seed. */
struct known {
	uint64_t seed;
	size_t len;
};

static void must_have(struct client *c, const char *key, const struct known *k)
{
	unsigned char *value;
	ssize_t len = get(c, key, &value);
	must_be(len, k->seed != 0 ? (long long)k->len : -ENOENT);
	if (len < 0)
		return;
	must_hold(value, (size_t)len, k->seed, 0);
	free(value);
}

/* All of them put and get it, so it is of one of them. Its last byte says whose. */
static void share(struct client *c, size_t len)
{
	unsigned char *value = room_for(len + 1);
	pattern_fill(value, len, (uint64_t)c->number, 0);
	value[len] = (unsigned char)c->number;
	must_be(put(c, SHARED, value, len + 1), 0);
	free(value);
	ssize_t n = get(c, SHARED, &value);
	must(n > 0);
	must(value[n - 1] < CLIENTS);
	must_hold(value, (size_t)n - 1, value[n - 1], 0);
	free(value);
}

static void change(struct client *c, const char *key, struct known *k)
{
	size_t len = random_below(VALUE_MOST) >> random_below(18);
	switch (random_below(4)) {
	case 0:
		must_be(delete_key(c, key), k->seed != 0 ? 0 : -ENOENT);
		*k = (struct known){ 0 };
		break;
	case 1:
		share(c, len);
		break;
	default: {
		struct known new = { .seed = random_below(UINT32_MAX) + 1, .len = len };
		unsigned char *value = filled(new.len, new.seed);
		must_be(put(c, key, value, new.len), 0);
		*k = new;
		free(value);
	}
	}
}

static int run_client(void *arg)
{
	struct client *c = arg;
	struct known known[KEYS] = { { 0 } };
	must_in_child();
	client_start(c);
	for (int i = 0; i < ROUNDS; i++) {
		char key[32];
		size_t k = random_below(KEYS);
		snprintf(key, sizeof(key), "%d.%zu", c->number, k);
		change(c, key, &known[k]);
		must_have(c, key, &known[k]);
	}
	must_be(haul_close(c->haul, PATIENCE_MS), 0);
	return 0;
}

/* Each has a way of its own to send, or all have this one. */
static void run_clients(const struct server *s, const struct path *path)
{
	struct client clients[CLIENTS];
	struct child children[CLIENTS];
	for (int i = 0; i < CLIENTS; i++) {
		clients[i] = (struct client){ .server = s, .path = path, .number = i };
		child_start(&children[i], PATIENCE_MS, run_client, &clients[i]);
	}
	for (int i = 0; i < CLIENTS; i++)
		child_expect(&children[i], 0);
}

EveryPath(kv, gives_each_of_many_clients_what_it_has_put)
{
	struct server s;
	seed_random();
	server_start(&s, "20000");
	run_clients(&s, path);
	server_end(&s);
}

Test(kv, refuses_what_makes_no_sense)
{
	static const struct path by_default = { .name = "auto", .longest = SIZE_MAX };
	struct server s;
	struct haul_msg *reply;
	server_start(&s, "20000");
	struct client c = { .server = &s, .path = &by_default };
	client_start(&c);
	const uint64_t tags[] = { 0, KV_TAG(KV_DELETE + 1, 1), KV_TAG(KV_GET, 2),
		KV_TAG(KV_PUT, KV_KEY_MOST + 1), UINT64_MAX };
	for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++)
		must_be(haul_call(c.peer, tags[i], &(struct iovec){ "x", 1 }, 1, PATIENCE_MS, &reply),
		    -ECONNREFUSED);
	must_be(put(&c, "", "nothing", 7), 0); /* a key like others */
	must_be(delete_key(&c, ""), 0);
	must_be(haul_send(c.peer, KV_TAG(KV_PUT, 1), "k", 1, PATIENCE_MS), 0);
	must_be(delete_key(&c, "k"), -ENOENT);
	must_be(haul_close(c.haul, PATIENCE_MS), 0);
	server_end(&s);
}

/* ---- one that stalls ---- */

/* Stops with a value half put and another one half got, and finds out later what has become of them. */
static int run_stalled(void *arg)
{
	struct client *c = arg;
	unsigned char *value = filled(BIG, 1), *in = room_for(BIG);
	struct haul_msg *got;
	struct haul_req *r;
	struct haul_status status;
	must_in_child();
	client_start(c);
	must_be(put(c, "there", value, BIG), 0);
	must_be(call(c, KV_GET, "there", &got), 0);
	must_be(start_put(c, "half", value, BIG, &r), 0);
	raise(SIGSTOP);
	ssize_t n = haul_msg_read(got, 0, &(struct iovec){ in, BIG }, 1, PATIENCE_MS);
	must(n == BIG || n == -ECANCELED);
	if (n == BIG)
		must_hold(in, BIG, 1, 0);
	must_be(haul_msg_done(got), 0);
	int rc = end_of(r, &status);
	must(rc == 0 || rc == -ECONNREFUSED);
	if (rc == 0)
		must_be(haul_msg_done(status.msg), 0);
	must_have(c, "half", &(struct known){ .seed = rc == 0, .len = BIG });
	must_have(c, "there", &(struct known){ .seed = 1, .len = BIG });
	must_be(haul_close(c->haul, PATIENCE_MS), 0);
	free(value);
	free(in);
	return 0;
}

EveryPath(kv, is_not_held_up_by_a_client_that_is_stopped)
{
	struct server s;
	struct child stalled;
	seed_random();
	server_start(&s, "2000");
	struct client c = { .server = &s, .path = path };
	child_start(&stalled, PATIENCE_MS, run_stalled, &c);
	child_await_stop(&stalled);
	run_clients(&s, path);
	duo_continue(&stalled);
	child_expect(&stalled, 0);
	server_end(&s);
}

/* And killed, its deadlines still to come. */
EveryPath(kv, forgets_a_client_that_is_killed)
{
	struct server s;
	struct child stalled;
	seed_random();
	server_start(&s, "20000");
	struct client c = { .server = &s, .path = path };
	child_start(&stalled, PATIENCE_MS, run_stalled, &c);
	child_await_stop(&stalled);
	child_signal(&stalled, SIGKILL);
	run_clients(&s, path);
	child_expect_killed(&stalled, SIGKILL);
	server_end(&s);
}
