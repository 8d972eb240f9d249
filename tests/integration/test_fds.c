/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Descriptors that go with messages: they come as they were sent, to who asks for them and to nobody else; and
 * whatever goes wrong, none is left open on either side. The same on every path and by outboxes. Peers that lie about
 * them are in test_hostile_fds.c.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/asleep.h"
#include "lib/fds.h"
#include "lib/pairing.h"
#include "lib/paths.h"
#include "lib/pattern.h"
#include "lib/talk.h"

TestSuite(fds, .timeout = 120);

enum { SOON_MS = 30, TAG = 7, OTHER = 8, LONG = 300000, MANY = 100 };

/* ---- pipes that are sent ---- */

/* As many pipes; the ends that are written to are what is sent. */
struct pipes {
	size_t count;
	int out[HAUL_FDS_MOST], in[HAUL_FDS_MOST];
};

static void open_pipes(struct pipes *p, size_t count)
{
	p->count = count;
	for (size_t i = 0; i < count; i++) {
		int ends[2];
		must_be(pipe2(ends, O_CLOEXEC), 0);
		p->in[i] = ends[0];
		p->out[i] = ends[1];
	}
}

/* Each has got a byte that tells which it is, and nobody holds an end to write to any more. */
static void check_pipes(struct pipes *p)
{
	for (size_t i = 0; i < p->count; i++) {
		unsigned char c[2];
		close(p->out[i]);
		must_be(read(p->in[i], c, 2), 1);
		must_be(c[0], (unsigned char)i);
		must_be(read(p->in[i], c, 1), 0);
		close(p->in[i]);
	}
}

/* Nothing was written, and nobody could any more. */
static void check_untouched(struct pipes *p)
{
	for (size_t i = 0; i < p->count; i++) {
		unsigned char c;
		close(p->out[i]);
		must_be(read(p->in[i], &c, 1), 0);
		close(p->in[i]);
	}
}

static void use(int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		unsigned char c = (unsigned char)i;
		must_be(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
		must_be(write(fds[i], &c, 1), 1);
		must_be(close(fds[i]), 0);
	}
}

static struct haul_msg *take(struct haul *h, struct haul_peer *p, uint64_t tag)
{
	struct haul_match m = { .from = p, .tag = tag };
	struct haul_msg *msg;
	must_be(haul_take(h, &m, PATIENCE_MS, &msg), 0);
	return msg;
}

/* ---- every path ---- */

static const size_t counts[] = { 1, 3, HAUL_FDS_MOST };
static const size_t lengths[] = { 0, 10, LONG };

static void receive_all(struct haul *h, struct haul_peer *p, const void *arg)
{
	const struct path *path = arg;
	unsigned char *buf = room_for(LONG);
	for (size_t l = 0; l < 3; l++) {
		for (size_t c = 0; c < 3; c++) {
			int fds[HAUL_FDS_MOST];
			struct haul_status s;
			size_t len = path_most(path, lengths[l]);
			struct haul_msg *m = take(h, p, TAG);
			must_be(haul_msg_status(m, &s), 0);
			must_be(s.len, len);
			must_be(s.flags, HAUL_STATUS_FDS);
			struct iovec iov = { buf, LONG };
			must_be(haul_msg_read(m, 0, &iov, 1, PATIENCE_MS), len);
			must_hold(buf, len, l, 0);
			must_be(haul_msg_fds(m, fds, HAUL_FDS_MOST, PATIENCE_MS), counts[c]);
			use(fds, counts[c]);
			must_be(haul_msg_done(m), 0);
		}
	}
	free(buf);
}

EveryPath(fds, come_as_they_were_sent_with_the_bytes)
{
	struct haul_options o = path_options(path);
	struct pairing p;
	pairing_start(&p, &o, &o, receive_all, path);
	int fds = fds_count();
	for (size_t l = 0; l < 3; l++) {
		size_t len = path_most(path, lengths[l]);
		unsigned char *buf = filled(len, l);
		for (size_t c = 0; c < 3; c++) {
			struct pipes pipes;
			open_pipes(&pipes, counts[c]);
			must_be(haul_send_fds(p.peer, TAG, buf, len, pipes.out, counts[c], PATIENCE_MS), 0);
			check_pipes(&pipes);
			fds_expect(fds);
		}
		free(buf);
	}
	pairing_end(&p);
}

/* Each message has a tag of its own; some are short, some long, each third has a descriptor. */
static void receive_in_order(struct haul *h, struct haul_peer *p, const void *arg)
{
	const struct path *path = arg;
	unsigned char *buf = room_for(LONG);
	for (unsigned i = 0; i < MANY; i++) {
		struct haul_match any = { .from = p, .ignore = UINT64_MAX };
		struct haul_msg *m;
		struct haul_status s;
		int fd;
		must_be(haul_take(h, &any, PATIENCE_MS, &m), 0);
		must_be(haul_msg_status(m, &s), 0);
		must_be(s.tag, i);
		struct iovec iov = { buf, LONG };
		must_be(haul_msg_read(m, 0, &iov, 1, PATIENCE_MS), path_most(path, i % 2 ? LONG : 100));
		must_hold(buf, s.len, i, 0);
		must_be(haul_msg_fds(m, &fd, 1, PATIENCE_MS), i % 3 == 0);
		if (i % 3 == 0)
			use(&fd, 1);
		must_be(haul_msg_done(m), 0);
	}
	free(buf);
}

EveryPath(fds, come_in_order_with_other_messages)
{
	struct haul_options o = path_options(path);
	struct pairing p;
	struct haul_req *r[MANY];
	unsigned char *buf[MANY];
	struct pipes pipes;
	pairing_start(&p, &o, &o, receive_in_order, path);
	open_pipes(&pipes, (MANY + 2) / 3);
	for (unsigned i = 0; i < MANY; i++) {
		size_t len = path_most(path, i % 2 ? LONG : 100);
		buf[i] = filled(len, i);
		struct iovec iov = { buf[i], len };
		must_be(i % 3 ? haul_isend(p.peer, i, &iov, 1, 0, &r[i])
		              : haul_isend_fds(p.peer, i, &iov, 1, &pipes.out[i / 3], 1, &r[i]),
		    0);
	}
	for (unsigned i = 0; i < MANY; i++) {
		must_be(end_of(r[i], NULL), 0);
		free(buf[i]);
	}
	for (size_t i = 0; i < pipes.count; i++) {
		unsigned char c[2];
		close(pipes.out[i]);
		must_be(read(pipes.in[i], c, 2), 1);
		must_be(c[0], 0);
		close(pipes.in[i]);
	}
	pairing_end(&p);
}

static void receive_bytes(struct haul *h, struct haul_peer *p, const void *arg)
{
	const struct path *path = arg;
	int fds = fds_count();
	size_t len = path_most(path, LONG);
	unsigned char *buf = room_for(len);
	struct haul_match m = { .from = p, .tag = TAG };
	must_be(haul_recv(h, &m, buf, len, PATIENCE_MS, NULL), len);
	must_hold(buf, len, 3, 0);
	free(buf);
	must_be(haul_msg_done(take(h, p, TAG)), 0);
	must_be(haul_msg_refuse(take(h, p, TAG), -EACCES), 0);
	must_be(fds_count(), fds);
}

EveryPath(fds, go_nowhere_if_nobody_asks_for_them)
{
	struct haul_options o = path_options(path);
	struct pairing p;
	struct pipes pipes;
	size_t len = path_most(path, LONG);
	unsigned char *buf = filled(len, 3);
	pairing_start(&p, &o, &o, receive_bytes, path);
	open_pipes(&pipes, 2);
	must_be(haul_send_fds(p.peer, TAG, buf, len, pipes.out, 2, PATIENCE_MS), 0);
	must_be(haul_send_fds(p.peer, TAG, buf, len, pipes.out, 2, PATIENCE_MS), 0);
	must_be(haul_send_fds(p.peer, TAG, buf, len, pipes.out, 2, PATIENCE_MS), -EACCES);
	check_untouched(&pipes);
	free(buf);
	pairing_end(&p);
}

/* ---- in one process ---- */

static const struct haul_options outboxes = { .transport = HAUL_TRANSPORT_OUTBOX };

/* What is sent from a to b, and taken there. */
static struct haul_msg *pass(struct twins *t, const int *fds, size_t count, struct haul_req **sent)
{
	struct haul_req *r;
	struct haul_status s;
	must_be(haul_isend_fds(t->to_b, TAG, NULL, 0, fds, count, sent), 0);
	must_be(haul_itake(t->b, NULL, &r), 0);
	must_be(twins_finish(t, r, &s), 0);
	return s.msg;
}

/* What haul_msg_fds() says when they have come. */
static ssize_t get(struct twins *t, struct haul_msg *m, int *fds, size_t room)
{
	ssize_t n;
	while ((n = haul_msg_fds(m, fds, room, 0)) == -EAGAIN)
		must(haul_progress(t->a) >= 0);
	return n;
}

static void both(void (*run)(struct twins *t))
{
	const struct haul_options *kinds[] = { NULL, &outboxes };
	for (int i = 0; i < 2; i++) {
		struct twins t;
		must_note(i == 0 ? "by socket" : "by outbox");
		twins_start(&t, kinds[i]);
		run(&t);
		twins_end(&t);
	}
}

static void close_at_once(struct twins *t)
{
	struct haul_req *sent;
	struct pipes pipes;
	int fds[2];
	open_pipes(&pipes, 2);
	must_be(haul_isend_fds(t->to_b, TAG, NULL, 0, pipes.out, 2, &sent), 0);
	close(pipes.out[0]);
	close(pipes.out[1]);
	int reused = open("/dev/null", O_WRONLY | O_CLOEXEC);
	must_be(reused, pipes.out[0]);
	twins_settle(t);
	struct haul_msg *m = take(t->b, t->to_a, TAG);
	must_be(get(t, m, fds, 2), 2);
	use(fds, 2);
	must_be(haul_msg_done(m), 0);
	must_be(twins_finish(t, sent, NULL), 0);
	pipes.out[1] = -1;
	check_pipes(&pipes);
}

Test(fds, may_be_closed_by_their_sender_at_once)
{
	both(close_at_once);
}

static void too_little_room(struct twins *t)
{
	struct haul_req *sent;
	struct pipes pipes;
	int fds[3];
	open_pipes(&pipes, 3);
	struct haul_msg *m = pass(t, pipes.out, 3, &sent);
	must_be(get(t, m, NULL, 0), -EMSGSIZE);
	must_be(get(t, m, fds, 2), -EMSGSIZE);
	must_be(get(t, m, fds, 3), 3);
	use(fds, 3);
	must_be(get(t, m, fds, 3), 3); /* again: new ones */
	must_be(haul_msg_done(m), 0);
	must_be(twins_finish(t, sent, NULL), 0);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	check_pipes(&pipes);
}

Test(fds, are_not_lost_for_want_of_room_in_the_array)
{
	both(too_little_room);
}

static void come_unseen(struct twins *t)
{
	struct haul_req *sent[2];
	struct pipes pipes;
	int fds[2], before;
	open_pipes(&pipes, 2);
	before = fds_count();
	struct haul_msg *m = pass(t, pipes.out, 2, &sent[0]);
	must_be(haul_msg_fds(m, fds, 2, 0), -EAGAIN);
	twins_settle(t); /* now they are held */
	must_be(fds_count(), before + 4);
	must_be(haul_msg_done(m), 0);
	twins_settle(t);
	must_be(fds_count(), before);
	must_be(end_of(sent[0], NULL), 0);
	/* And those that come when it is too late for them. */
	m = pass(t, pipes.out, 2, &sent[1]);
	must_be(haul_msg_fds(m, fds, 2, 0), -EAGAIN);
	must_be(haul_msg_done(m), 0);
	must_be(twins_finish(t, sent[1], NULL), 0);
	twins_settle(t);
	must_be(fds_count(), before);
	check_untouched(&pipes);
}

Test(fds, that_nobody_fetched_after_asking_are_closed)
{
	both(come_unseen);
}

static void no_room_in_the_process(struct twins *t)
{
	struct rlimit was, low;
	struct haul_req *sent;
	struct pipes pipes;
	int fds[20], before;
	open_pipes(&pipes, 20);
	struct haul_msg *m = pass(t, pipes.out, 20, &sent);
	before = fds_count();
	must_be(getrlimit(RLIMIT_NOFILE, &was), 0);
	for (rlim_t room = 0; room < 20; room += 19) {
		int next = dup(0);
		close(next);
		low = (struct rlimit){ .rlim_cur = (rlim_t)next + room, .rlim_max = was.rlim_max };
		must_be(setrlimit(RLIMIT_NOFILE, &low), 0);
		must_be(get(t, m, fds, 20), -EMFILE);
		must_be(setrlimit(RLIMIT_NOFILE, &was), 0);
		must_be(fds_count(), before);
	}
	must_be(get(t, m, fds, 20), 20);
	use(fds, 20);
	must_be(haul_msg_done(m), 0);
	must_be(twins_finish(t, sent, NULL), 0);
	check_pipes(&pipes);
}

Test(fds, without_room_for_them_are_an_error_of_that_message_alone)
{
	both(no_room_in_the_process);
}

/* One pipe is passed, and asked for; it has not come yet. */
static struct haul_msg *ask_for_one(struct twins *t, struct pipes *pipes, struct haul_req **sent)
{
	int fd;
	open_pipes(pipes, 1);
	struct haul_msg *m = pass(t, pipes->out, 1, sent);
	must_be(haul_msg_fds(m, &fd, 1, 0), -EAGAIN);
	return m;
}

static void take_back(struct twins *t)
{
	struct haul_req *sent;
	struct pipes pipes;
	int fd;
	struct haul_msg *m = ask_for_one(t, &pipes, &sent);
	must_be(haul_req_deadline(sent, 0), 0); /* too late for a cancel, but not for this */
	must_be(twins_finish(t, sent, NULL), -ETIMEDOUT);
	twins_settle(t);
	ssize_t n = haul_msg_fds(m, &fd, 1, SOON_MS);
	must(n == -ECANCELED || n == 1);
	if (n == 1)
		close(fd);
	must_be(haul_msg_done(m), 0);
	check_untouched(&pipes);
}

Test(fds, that_their_sender_takes_back_are_an_error_of_that_message_alone)
{
	both(take_back);
}

static void put_back(struct twins *t)
{
	struct haul_req *sent, *r;
	struct pipes pipes;
	int fd;
	open_pipes(&pipes, 1);
	must_be(haul_isend_fds(t->to_b, TAG, NULL, 0, pipes.out, 1, &sent), 0);
	must_be(haul_itake(t->b, NULL, &r), 0);
	twins_settle(t);
	must_be(haul_req_test(r), 0);
	haul_req_free(r); /* back to the queue */
	struct haul_msg *m = take(t->b, t->to_a, TAG);
	must_be(get(t, m, &fd, 1), 1);
	use(&fd, 1);
	must_be(haul_msg_done(m), 0);
	must_be(twins_finish(t, sent, NULL), 0);
	check_pipes(&pipes);
}

Test(fds, stay_with_a_message_that_was_given_back)
{
	both(put_back);
}

static void close_in_between(struct twins *t)
{
	struct haul_req *sent;
	struct pipes pipes;
	int fd;
	struct haul_msg *m = ask_for_one(t, &pipes, &sent);
	haul_peer_close(t->to_a, 0);
	must_be(haul_msg_fds(m, &fd, 1, SOON_MS), -EPIPE);
	must_be(haul_msg_done(m), 0);
	must(twins_finish(t, sent, NULL) < 0);
	check_untouched(&pipes);
	t->to_a = NULL;
}

Test(fds, of_a_peer_that_is_closed_are_gone)
{
	both(close_in_between);
}

Test(fds, go_to_oneself_as_well)
{
	struct haul *h;
	struct haul_req *sent[2];
	struct pipes pipes;
	int fds[3], before = fds_count();
	must_be(haul_open(&h, NULL, 0), 0);
	open_pipes(&pipes, 3);
	struct haul_peer *self = haul_self(h);
	must_be(haul_isend_fds(self, TAG, NULL, 0, pipes.out, 2, &sent[0]), 0);
	must_be(haul_isend_fds(self, TAG, NULL, 0, &pipes.out[2], 1, &sent[1]), 0);
	struct haul_msg *first = take(h, self, TAG), *second = take(h, self, TAG);
	must_be(haul_msg_fds(first, NULL, 0, 0), -EMSGSIZE);
	must_be(haul_msg_fds(second, &fds[2], 1, PATIENCE_MS), 1);
	must_be(haul_msg_fds(first, fds, 3, PATIENCE_MS), 2);
	use(fds, 3);
	must_be(haul_msg_done(first), 0);
	must_be(haul_msg_done(second), 0);
	must_be(end_of(sent[0], NULL), 0);
	must_be(end_of(sent[1], NULL), 0);
	check_pipes(&pipes);
	must_be(haul_close(h, 0), 0);
	fds_expect(before);
}

Test(fds, that_make_no_sense_are_refused)
{
	struct twins t;
	struct haul_req *r;
	struct haul_msg *m;
	int fds[HAUL_FDS_MOST + 1] = { 0 }, bad[] = { 0, -1 }, before;
	twins_start(&t, NULL);
	before = fds_count();
	must_be(haul_isend_fds(t.to_b, TAG, NULL, 0, fds, 0, &r), -EINVAL);
	must_be(haul_isend_fds(t.to_b, TAG, NULL, 0, NULL, 1, &r), -EINVAL);
	must_be(haul_isend_fds(t.to_b, TAG, NULL, 0, fds, HAUL_FDS_MOST + 1, &r), -EINVAL);
	must_be(haul_isend_fds(t.to_b, TAG, NULL, 0, bad, 2, &r), -EBADF);
	must_be(haul_isend_fds(t.to_b, TAG, NULL, 0, fds, 1, NULL), -EINVAL);
	must_be(haul_isend_fds(NULL, TAG, NULL, 0, fds, 1, &r), -EINVAL);
	must_be(haul_send_fds(NULL, TAG, NULL, 0, fds, 1, 0), -EINVAL);
	must_be(haul_send_fds(t.to_b, TAG, NULL, 0, fds, 1, 0), -EAGAIN);
	must_be(haul_send_fds(t.to_b, TAG, NULL, 0, fds, 1, SOON_MS), -ETIMEDOUT);
	must_be(haul_msg_fds(NULL, fds, 1, 0), -EINVAL);
	must_be(fds_count(), before);
	twins_settle(&t);
	must_be(haul_send(t.to_b, TAG, NULL, 0, 0), 0);
	twins_settle(&t);
	m = take(t.b, t.to_a, TAG);
	must_be(haul_msg_fds(m, fds, 1, PATIENCE_MS), 0); /* a message that has none */
	must_be(haul_msg_fds(m, NULL, 1, PATIENCE_MS), -EINVAL);
	must_be(haul_msg_done(m), 0);
	twins_end(&t);
}

/* ---- peers that stop, die, leave ---- */

static void offer_and_stop(struct haul *h, struct haul_peer *p, const void *arg)
{
	struct haul_req *r;
	int fd = open("/dev/null", O_RDONLY);
	(void)arg;
	must_be(haul_isend_fds(p, TAG, NULL, 0, &fd, 1, &r), 0);
	must(haul_progress(h) >= 0);
	raise(SIGSTOP);
	must_be(end_of(r, NULL), 0);
	close(fd);
}

static void stopped(const struct haul_options *o)
{
	struct pairing p;
	int fd;
	pairing_start(&p, o, o, offer_and_stop, NULL);
	child_await_stop(&p.child);
	int fds = fds_count();
	struct haul_msg *m = take(p.haul, p.peer, TAG);
	must_be(haul_msg_fds(m, &fd, 1, SOON_MS), -ETIMEDOUT);
	must_be(haul_msg_fds(m, &fd, 1, 0), -EAGAIN);
	haul_interrupt(p.haul);
	must_be(haul_msg_fds(m, &fd, 1, -1), -EINTR);
	child_signal(&p.child, SIGCONT);
	must_be(haul_msg_fds(m, &fd, 1, PATIENCE_MS), 1);
	must_be(fds_count(), fds + 1);
	must_be(close(fd), 0);
	must_be(haul_msg_done(m), 0);
	pairing_end(&p);
}

Test(fds, of_a_stopped_sender_can_be_waited_for_again)
{
	stopped(NULL);
	stopped(&outboxes);
}

static void killed(const struct haul_options *o)
{
	struct pairing p;
	int fd;
	pairing_start(&p, o, o, offer_and_stop, NULL);
	child_await_stop(&p.child);
	int fds = fds_count();
	struct haul_msg *m = take(p.haul, p.peer, TAG);
	must_be(haul_msg_fds(m, &fd, 1, 0), -EAGAIN);
	child_signal(&p.child, SIGKILL);
	must_be(haul_msg_fds(m, &fd, 1, PATIENCE_MS), -ECONNRESET);
	must_be(haul_msg_done(m), 0);
	must_be(fds_count(), fds);
	haul_peer_close(p.peer, 0);
	must_be(haul_close(p.haul, 0), 0);
	child_expect_killed(&p.child, SIGKILL);
}

Test(fds, of_a_killed_sender_are_gone)
{
	killed(NULL);
	killed(&outboxes);
}

static void take_and_stop(struct haul *h, struct haul_peer *p, const void *arg)
{
	int fd;
	(void)arg;
	struct haul_msg *m = take(h, p, TAG);
	must_be(haul_msg_fds(m, &fd, 1, PATIENCE_MS), 1);
	raise(SIGSTOP);
}

Test(fds, of_a_receiver_that_is_killed_are_the_senders_to_close)
{
	struct pairing p;
	struct pipes pipes;
	char c;
	pairing_start(&p, NULL, NULL, take_and_stop, NULL);
	open_pipes(&pipes, 1);
	struct haul_req *r;
	must_be(haul_isend_fds(p.peer, TAG, NULL, 0, pipes.out, 1, &r), 0);
	must_be(haul_req_wait(r, SOON_MS), -ETIMEDOUT);
	child_await_stop(&p.child);
	child_signal(&p.child, SIGKILL);
	must_be(end_of(r, NULL), -ECONNRESET);
	close(pipes.out[0]);
	must_be(read(pipes.in[0], &c, 1), 0); /* not even in flight */
	close(pipes.in[0]);
	haul_peer_close(p.peer, 0);
	must_be(haul_close(p.haul, 0), 0);
	child_expect_killed(&p.child, SIGKILL);
}

/* ---- threads ---- */

struct getter {
	struct haul_msg *msg;
	struct pipes pipes;
	struct haul_req *sent;
	_Atomic pid_t tid; /* 0 until it is about to get them */
	ssize_t n;
};

static void *get_in_a_thread(void *arg)
{
	struct getter *g = arg;
	int fds[HAUL_FDS_MOST];
	g->n = haul_msg_fds(g->msg, fds, HAUL_FDS_MOST, PATIENCE_MS);
	if (g->n > 0)
		use(fds, (size_t)g->n);
	return NULL;
}

Test(fds, of_many_messages_are_fetched_by_as_many_threads)
{
	for (int transport = HAUL_TRANSPORT_SOCKET; transport <= HAUL_TRANSPORT_OUTBOX; transport++) {
		struct haul_options o = { .transport = transport, .progress_thread = 1 };
		struct getter g[6];
		pthread_t t[6];
		struct twins twins;
		twins_start(&twins, &o);
		for (size_t i = 0; i < 6; i++) {
			open_pipes(&g[i].pipes, i + 1);
			must_be(haul_isend_fds(twins.to_b, i, NULL, 0, g[i].pipes.out, i + 1, &g[i].sent), 0);
			g[i].msg = take(twins.b, twins.to_a, i);
		}
		for (size_t i = 0; i < 6; i++)
			must_be(pthread_create(&t[i], NULL, get_in_a_thread, &g[i]), 0);
		for (size_t i = 0; i < 6; i++) {
			must_be(pthread_join(t[i], NULL), 0);
			must_be(g[i].n, i + 1);
			must_be(haul_msg_done(g[i].msg), 0);
			must_be(end_of(g[i].sent, NULL), 0);
			check_pipes(&g[i].pipes);
		}
		twins_end(&twins);
	}
}

static void *get_for_ever(void *arg)
{
	struct getter *g = arg;
	int fd;
	g->tid = gettid();
	g->n = haul_msg_fds(g->msg, &fd, 1, -1);
	return NULL;
}

Test(fds, that_are_waited_for_do_not_keep_a_context_from_closing)
{
	int before = fds_count();
	struct twins t;
	struct getter g = { .tid = 0 };
	pthread_t thread;
	twins_start(&t, NULL);
	open_pipes(&g.pipes, 1);
	g.msg = pass(&t, g.pipes.out, 1, &g.sent);
	must_be(pthread_create(&thread, NULL, get_for_ever, &g), 0);
	until_asleep(&g.tid);
	haul_close(t.b, 0);
	must_be(pthread_join(thread, NULL), 0);
	must(g.n == -EPIPE || g.n == -EBADF);
	haul_close(t.a, 0);
	check_untouched(&g.pipes);
	fds_expect(before);
}
