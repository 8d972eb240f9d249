/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests: begun once, completed once, freed once; and what interrupts a wait: the same on every path. */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/pairing.h"
#include "lib/paths.h"
#include "lib/pattern.h"

TestSuite(request, .timeout = 60);

enum { TAG_DATA = 7, TAG_TOKEN = 1000, LONG_LEN = 1000003 };

static void send_token(struct haul_peer *p)
{
	must_be(haul_send(p, TAG_TOKEN, NULL, 0, PATIENCE_MS), 0);
}

static void await_token(struct haul *h, struct haul_peer *p)
{
	struct haul_match match = { .from = p, .tag = TAG_TOKEN };
	must_be(haul_recv(h, &match, NULL, 0, PATIENCE_MS, NULL), 0);
}

static unsigned char *filled(size_t len, uint64_t seed)
{
	unsigned char *buf = malloc(len);
	must(buf != NULL);
	pattern_fill(buf, len, seed, 0);
	return buf;
}

/* ---- a request's life ---- */

static void send_one_when_told(struct haul *h, struct haul_peer *p, const void *arg)
{
	size_t len = path_most(arg, LONG_LEN);
	unsigned char *buf = filled(len, 1);
	await_token(h, p);
	must_be(haul_send(p, TAG_DATA, buf, len, PATIENCE_MS), 0);
	free(buf);
}

EveryPath(request, a_receive_is_in_progress_until_its_message_comes)
{
	struct haul_options o = path_options(path);
	struct haul_req *r;
	struct haul_status status;
	struct pairing p;
	size_t len = path_most(path, LONG_LEN);
	unsigned char *buf = malloc(len);
	struct iovec iov = { buf, len };
	pairing_start(&p, &o, &o, send_one_when_told, path);
	must_be(haul_irecv(p.haul, NULL, &iov, 1, &r), 0);
	memset(&iov, 0xff, sizeof(iov)); /* the array was copied */
	must_be(haul_req_test(r), -EINPROGRESS);
	must_be(haul_req_finish(r, &status), -EINPROGRESS);
	must_be(haul_req_wait(r, 0), -EAGAIN);
	must_be(haul_req_wait(r, 20), -ETIMEDOUT);
	must_be(haul_req_test(r), -EINPROGRESS);
	send_token(p.peer);
	must_be(haul_req_wait(r, PATIENCE_MS), 0);
	must_be(haul_req_wait(r, 0), 0);
	must_be(haul_req_test(r), 0);
	must_be(haul_req_finish(r, &status), 0);
	must_be(status.tag, TAG_DATA);
	must_be(status.got, len);
	must_hold(buf, len, 1, 0);
	free(buf);
	pairing_end(&p);
}

EveryPath(request, testing_alone_gets_a_request_done)
{
	struct haul_options o = path_options(path);
	struct haul_req *r;
	struct pairing p;
	size_t len = path_most(path, LONG_LEN);
	unsigned char *buf = malloc(len);
	struct iovec iov = { buf, len };
	pairing_start(&p, &o, &o, send_one_when_told, path);
	must_be(haul_irecv(p.haul, NULL, &iov, 1, &r), 0);
	send_token(p.peer);
	while (haul_req_test(r) == -EINPROGRESS)
		continue;
	must_be(haul_req_finish(r, NULL), 0);
	must_hold(buf, len, 1, 0);
	free(buf);
	pairing_end(&p);
}

EveryPath(request, progress_alone_gets_a_request_done)
{
	struct haul_options o = path_options(path);
	struct haul_req *r;
	struct pairing p;
	size_t len = path_most(path, LONG_LEN);
	unsigned char *buf = malloc(len);
	struct iovec iov = { buf, len };
	pairing_start(&p, &o, &o, send_one_when_told, path);
	must_be(haul_irecv(p.haul, NULL, &iov, 1, &r), 0);
	send_token(p.peer);
	while (haul_req_finish(r, NULL) == -EINPROGRESS)
		must(haul_progress(p.haul) >= 0);
	must_hold(buf, len, 1, 0);
	free(buf);
	pairing_end(&p);
}

static void receive_too_little(struct haul *h, struct haul_peer *p, const void *arg)
{
	unsigned char buf[100];
	(void)arg;
	(void)p;
	must_be(haul_recv(h, NULL, buf, sizeof(buf), PATIENCE_MS, NULL), -EMSGSIZE);
	must_be(haul_recv(h, NULL, buf, sizeof(buf), PATIENCE_MS, NULL), -EMSGSIZE);
}

EveryPath(request, testing_and_waiting_never_give_the_result)
{
	struct haul_options o = path_options(path);
	struct haul_req *a, *b;
	struct haul_status status;
	struct pairing p;
	size_t len = path_most(path, 100000);
	unsigned char *buf = filled(len, 1);
	struct iovec iov = { buf, len };
	pairing_start(&p, &o, &o, receive_too_little, NULL);
	must_be(haul_isend(p.peer, 1, &iov, 1, HAUL_SYNC, &a), 0);
	must_be(haul_isend(p.peer, 1, &iov, 1, HAUL_SYNC, &b), 0);
	must_be(haul_req_wait(b, PATIENCE_MS), 0);
	must_be(haul_req_test(a), 0);
	must_be(haul_req_finish(a, &status), -EMSGSIZE);
	must_be(status.error, -EMSGSIZE);
	must_be(status.len, len);
	must_be(status.got, 100);
	must_be(haul_req_finish(b, NULL), -EMSGSIZE);
	free(buf);
	pairing_end(&p);
}

static void receive_ten(struct haul *h, struct haul_peer *p, const void *arg)
{
	size_t len = path_most(arg, LONG_LEN);
	unsigned char *buf = malloc(len);
	for (size_t i = 0; i < 10; i++) {
		must_be(haul_recv(h, NULL, buf, len, PATIENCE_MS, NULL), len);
		must_hold(buf, len, i, 0);
	}
	await_token(h, p); /* a goodbye would end the flush */
	free(buf);
}

EveryPath(request, sends_let_go_of_go_on)
{
	struct haul_options o = path_options(path);
	struct haul_req *r;
	struct pairing p;
	size_t len = path_most(path, LONG_LEN);
	unsigned char *bufs[10];
	pairing_start(&p, &o, &o, receive_ten, path);
	for (size_t i = 0; i < 10; i++) {
		bufs[i] = filled(len, i);
		struct iovec iov = { bufs[i], len };
		must_be(haul_isend(p.peer, i, &iov, 1, i % 2 == 0 ? HAUL_SYNC : 0, &r), 0);
		haul_req_free(r);
	}
	must_be(haul_peer_flush(p.peer, PATIENCE_MS), 0);
	send_token(p.peer);
	for (size_t i = 0; i < 10; i++)
		free(bufs[i]);
	pairing_end(&p);
}

static void send_two(struct haul *h, struct haul_peer *p, const void *arg)
{
	size_t len = path_most(arg, LONG_LEN);
	unsigned char *buf = filled(len, 1);
	(void)h;
	must_be(haul_send(p, TAG_DATA, buf, len, PATIENCE_MS), 0);
	send_token(p);
	free(buf);
}

EveryPath(request, a_receive_let_go_of_takes_its_message)
{
	struct haul_options o = path_options(path);
	struct haul_req *r;
	struct pairing p;
	size_t len = path_most(path, LONG_LEN);
	unsigned char *buf = malloc(len);
	struct iovec iov = { buf, len };
	pairing_start(&p, &o, &o, send_two, path);
	must_be(haul_irecv(p.haul, NULL, &iov, 1, &r), 0);
	haul_req_free(r);
	await_token(p.haul, p.peer);
	while (pattern_check(buf, len, 1, 0) < len) /* all that can be observed of it */
		must(haul_progress(p.haul) >= 0);
	pairing_end(&p);
	free(buf);
}

EveryPath(request, closing_a_context_ends_what_was_under_way)
{
	struct haul_options o = path_options(path);
	struct haul_req *r;
	struct twins t;
	unsigned char *out = filled(1000, 1), in[1000];
	struct iovec from = { out, 1000 }, to = { in, 1000 };
	twins_start(&t, &o);
	for (int i = 0; i < 3; i++) {
		must_be(haul_isend(t.to_b, 1, &from, 1, HAUL_SYNC, &r), 0);
		must_be(haul_irecv(t.a, &(struct haul_match){ .tag = 5 }, &to, 1, &r), 0);
	}
	twins_settle(&t);
	twins_end(&t);
	free(out);
}

/* ---- interruptions ---- */

static struct haul *to_interrupt;

static void interrupt_it(int signal)
{
	(void)signal;
	haul_interrupt(to_interrupt);
}

static void signal_parent_when_told(struct haul *h, struct haul_peer *p, const void *arg)
{
	(void)arg;
	await_token(h, p);
	must(kill(getppid(), SIGUSR1) == 0);
	send_one_when_told(h, p, arg);
}

/* Nothing waits between the token and the receive: the signal may come before that has begun, and ends it. */
EveryPath(request, a_signal_handler_interrupts_a_wait)
{
	struct haul_options o = path_options(path);
	struct sigaction action = { .sa_handler = interrupt_it, .sa_flags = SA_RESTART };
	struct haul_req *token;
	struct haul_status status;
	struct pairing p;
	size_t len = path_most(path, LONG_LEN);
	unsigned char *buf = malloc(len);
	pairing_start(&p, &o, &o, signal_parent_when_told, path);
	to_interrupt = p.haul;
	must(sigaction(SIGUSR1, &action, NULL) == 0);
	must_be(haul_isend(p.peer, TAG_TOKEN, NULL, 0, 0, &token), 0);
	haul_req_free(token);
	must_be(haul_recv(p.haul, NULL, buf, len, -1, &status), -EINTR);
	must_be(status.error, -EINTR);
	send_token(p.peer);
	must_be(haul_recv(p.haul, NULL, buf, len, -1, &status), len);
	must_hold(buf, len, 1, 0);
	free(buf);
	pairing_end(&p);
}

static void *interrupt_from_thread(void *arg)
{
	haul_interrupt(arg);
	return NULL;
}

static void stay_until_told(struct haul *h, struct haul_peer *p, const void *arg)
{
	(void)arg;
	await_token(h, p);
}

Test(request, another_thread_interrupts_each_kind_of_wait)
{
	struct haul_req *r;
	struct haul_status status;
	struct pairing p;
	pthread_t thread;
	pairing_start(&p, NULL, NULL, stay_until_told, NULL);
	must_be(haul_irecv(p.haul, NULL, NULL, 0, &r), 0);
	for (int kind = 0; kind < 4; kind++) {
		static char big[100000];
		int rc = 0;
		must(pthread_create(&thread, NULL, interrupt_from_thread, p.haul) == 0);
		if (kind == 0)
			rc = haul_req_wait(r, -1);
		else if (kind == 1)
			rc = haul_probe(p.haul, NULL, -1, &status);
		else if (kind == 2)
			rc = haul_send(p.peer, 1, big, sizeof(big), -1);
		else
			rc = (int)haul_recv(p.haul, &(struct haul_match){ .tag = 2 }, NULL, 0, -1, NULL);
		must_be(rc, -EINTR);
		must(pthread_join(thread, NULL) == 0);
	}
	must_be(haul_req_test(r), -EINPROGRESS);
	send_token(p.peer);
	pairing_end(&p);
}

static void receive_until_goodbye(struct haul *h, struct haul_peer *p, const void *arg)
{
	ssize_t n;
	(void)p;
	(void)arg;
	do
		n = haul_recv(h, NULL, NULL, 0, PATIENCE_MS, NULL);
	while (n == 0 || n == -ECANCELED);
	must_be(n, -EPIPE);
}

/* Either the send under way ends with it, or, if that succeeds, the next wait does. */
EveryPath(request, an_interrupt_that_crosses_a_success_is_not_lost)
{
	struct haul_options o = path_options(path);
	struct pairing p;
	pthread_t thread;
	pairing_start(&p, &o, &o, receive_until_goodbye, NULL);
	for (int round = 0; round < 200; round++) {
		must(pthread_create(&thread, NULL, interrupt_from_thread, p.haul) == 0);
		int rc = haul_sendv(p.peer, 1, NULL, 0, HAUL_SYNC, PATIENCE_MS);
		must(pthread_join(thread, NULL) == 0);
		if (rc != -EINTR) {
			must_be(rc, 0);
			must_be(haul_recv(p.haul, NULL, NULL, 0, PATIENCE_MS, NULL), -EINTR);
		}
	}
	pairing_end(&p);
}

Test(request, an_interrupt_is_kept_for_the_next_wait_and_spent_by_it)
{
	struct haul_status status;
	struct pairing p;
	pairing_start(&p, NULL, NULL, stay_until_told, NULL);
	haul_interrupt(p.haul);
	haul_interrupt(p.haul);
	must_be(haul_recv(p.haul, NULL, NULL, 0, -1, &status), -EINTR);
	must_be(haul_recv(p.haul, NULL, NULL, 0, 20, &status), -ETIMEDOUT);
	send_token(p.peer);
	pairing_end(&p);
}

/* ---- beside the library's own thread ---- */

static const struct haul_options with_thread = { .progress_thread = 1 };

/* The pull takes several rounds: those after the first are the driver's, which sleeps until it is told. */
Test(request, a_long_receive_beside_a_sleeping_driver_goes_on)
{
	enum { LEN = 40 << 20 };
	unsigned char *from = filled(LEN, 1), *to = malloc(LEN);
	struct iovec iov = { .iov_base = from, .iov_len = LEN };
	struct haul_req *r;
	struct haul *h;
	must(to != NULL);
	must_be(haul_open(&h, &with_thread, sizeof(with_thread)), 0);
	for (int i = 0; i < 3; i++) {
		must_be(haul_isend(haul_self(h), 1, &iov, 1, 0, &r), 0);
		must_be(haul_recv(h, NULL, to, LEN, PATIENCE_MS, NULL), LEN);
		must_hold(to, LEN, 1, 0);
		must_be(haul_req_wait(r, PATIENCE_MS), 0);
		must_be(haul_req_finish(r, NULL), 0);
	}
	must_be(haul_close(h, PATIENCE_MS), 0);
	free(from);
	free(to);
}

Test(request, closing_beside_a_sleeping_driver_ends)
{
	for (int i = 0; i < 300; i++) {
		struct haul *h;
		must_be(haul_open(&h, &with_thread, sizeof(with_thread)), 0);
		must_be(haul_send(haul_self(h), 1, NULL, 0, PATIENCE_MS), 0);
		must_be(haul_recv(h, NULL, NULL, 0, PATIENCE_MS, NULL), 0);
		must_be(haul_close(h, PATIENCE_MS), 0);
	}
}
