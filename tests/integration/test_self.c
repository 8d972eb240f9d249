/* SPDX-License-Identifier: BSD-3-Clause */
/* This process as a peer of its own: what holds for messages to others holds for those to oneself. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/fds.h"
#include "lib/pairing.h"
#include "lib/paths.h"
#include "lib/pattern.h"
#include "lib/talk.h"

TestSuite(self, .timeout = 60);

enum { TAG_DATA = 7, LONG_LEN = 1000003, SOON_MS = 20, SCRIBBLE = 0xa5 };

static int fds;

static struct haul *start(const struct haul_options *o)
{
	struct haul *h;
	fds = fds_count();
	must_be(haul_open(&h, o, o != NULL ? sizeof(*o) : 0), 0);
	must(haul_self(h) != NULL);
	return h;
}

static void end(struct haul *h)
{
	must_be(haul_close(h, PATIENCE_MS), 0);
	fds_expect(fds);
}

static void finish(struct haul_req *r, int expected, struct haul_status *status)
{
	must_be(haul_req_wait(r, PATIENCE_MS), 0);
	must_be(haul_req_finish(r, status), expected);
}

/* ---- what it is ---- */

Test(self, is_one_handle_that_takes_no_descriptor_and_can_not_be_closed)
{
	struct haul *h;
	struct haul_peer_info info;
	struct haul_req *watch;
	fds = fds_count();
	must(haul_self(NULL) == NULL);
	must_be(haul_open(&h, NULL, 0), 0);
	int before = fds_count();
	struct haul_peer *self = haul_self(h);
	must(self != NULL);
	must(haul_self(h) == self);
	fds_expect(before);
	must_be(haul_peer_info(self, &info, sizeof(info)), 0);
	must_be(info.pid, getpid());
	must_be(info.uid, geteuid());
	must_be(info.gid, getegid());
	must_be(info.alive, 1);
	must_be(haul_peer_watch(self, &watch), 0);
	must_be(haul_peer_close(self, 0), -EINVAL);
	must_be(haul_peer_close(self, -1), -EINVAL);
	must_be(haul_req_test(watch), -EINPROGRESS);
	must_be(haul_send(self, 1, "x", 1, 0), 0);
	must_be(haul_recv(h, NULL, &(char){ 0 }, 1, PATIENCE_MS, NULL), 1);
	fds_expect(before);
	end(h);
}

Test(self, once_asked_for_counts_as_somebody_to_hear_from)
{
	struct haul *h;
	fds = fds_count();
	must_be(haul_open(&h, NULL, 0), 0);
	must_be(haul_recv(h, NULL, NULL, 0, -1, NULL), -EPIPE);
	must(haul_self(h) != NULL);
	must_be(haul_recv(h, NULL, NULL, 0, 0, NULL), -EAGAIN);
	must_be(haul_recv(h, NULL, NULL, 0, SOON_MS, NULL), -ETIMEDOUT);
	must_be(haul_recv(h, &(struct haul_match){ .from = haul_self(h) }, NULL, 0, SOON_MS, NULL),
	    -ETIMEDOUT);
	end(h);
}

/* ---- messages ---- */

EveryPath(self, messages_of_every_length_arrive)
{
	static const size_t lens[] = { 0, 1, 7, 64, 447, 448, 4096, 4097, 16384, 16385, 65536, 65537,
		262144, 1 << 20, (4 << 20) + 3, 17 << 20 };
	struct haul_options o = path_options(path);
	struct haul *h = start(&o);
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		size_t len = path_most(path, lens[i]);
		for (int posted = 0; posted < 2; posted++) {
			unsigned char *out = filled(len, i), *in = room_for(len + 1);
			struct iovec from = { out, len }, to = { in, len + 1 };
			struct haul_req *send, *recv;
			struct haul_status status;
			memset(in, CANARY, len + 1);
			if (posted)
				must_be(haul_irecv(h, NULL, &to, 1, &recv), 0);
			must_be(haul_isend(haul_self(h), i, &from, 1, 0, &send), 0);
			if (!posted)
				must_be(haul_irecv(h, NULL, &to, 1, &recv), 0);
			finish(recv, 0, &status);
			must(status.peer == haul_self(h));
			must_be(status.tag, i);
			must_be(status.len, len);
			must_be(status.got, len);
			must_hold(in, len, i, 0);
			must_be_untouched(in + len, 1);
			finish(send, 0, NULL);
			free(out);
			free(in);
		}
	}
	end(h);
}

EveryPath(self, many_ranges_arrive_in_many_ranges)
{
	enum { COUNT = 2000 };
	struct haul_options o = path_options(path);
	struct haul *h = start(&o);
	size_t len = COUNT * 31;
	unsigned char *out = filled(len, 1), *in = room_for(len);
	struct iovec from[COUNT], to[COUNT / 2];
	struct haul_req *send;
	for (size_t i = 0; i < COUNT; i++)
		from[i] = (struct iovec){ out + i * 31, 31 };
	for (size_t i = 0; i < COUNT / 2; i++)
		to[i] = (struct iovec){ in + i * 62, 62 };
	must_be(haul_isend(haul_self(h), 1, from, COUNT, HAUL_SYNC, &send), 0);
	must_be(haul_recvv(h, NULL, to, COUNT / 2, PATIENCE_MS, NULL), len);
	must_hold(in, len, 1, 0);
	finish(send, 0, NULL);
	end(h);
	free(out);
	free(in);
}

EveryPath(self, order_is_kept)
{
	enum { ROW = 60 };
	struct haul_options o = path_options(path);
	struct haul *h = start(&o);
	unsigned char *out[ROW], *in = room_for(300000);
	struct haul_req *r[ROW];
	struct haul_status status;
	for (size_t i = 0; i < ROW; i++) {
		size_t len = path_most(path, i % 3 == 0 ? 300000 : i % 3 * 500);
		out[i] = filled(len, i);
		must_be(haul_isend(haul_self(h), i, &(struct iovec){ out[i], len }, 1, 0, &r[i]), 0);
	}
	for (size_t i = 0; i < ROW; i++) {
		size_t len = path_most(path, i % 3 == 0 ? 300000 : i % 3 * 500);
		must_be(haul_recv(h, NULL, in, 300000, PATIENCE_MS, &status), len);
		must_be(status.tag, i);
		must_hold(in, len, i, 0);
	}
	must_be(haul_wait_all(r, ROW, PATIENCE_MS), 0);
	for (size_t i = 0; i < ROW; i++) {
		must_be(haul_req_finish(r[i], NULL), 0);
		free(out[i]);
	}
	free(in);
	end(h);
}

static void send_data(struct haul *h, struct haul_peer *p, const void *arg)
{
	size_t len = path_most(arg, LONG_LEN);
	unsigned char *out = filled(len, 2);
	must_be(haul_send(p, TAG_DATA, out, len, PATIENCE_MS), 0);
	await_token(h, p);
	free(out);
}

/* From anybody means from oneself and from others. */
EveryPath(self, and_others_are_heard_side_by_side)
{
	struct haul_options o = path_options(path);
	size_t len = path_most(path, LONG_LEN);
	unsigned char *out = filled(len, 1), *in = room_for(len);
	struct haul_status status;
	struct haul_req *r;
	struct pairing p;
	pairing_start(&p, &o, &o, send_data, path);
	must_be(haul_isend(haul_self(p.haul), TAG_DATA, &(struct iovec){ out, len }, 1, HAUL_SYNC, &r), 0);
	for (int seen = 0, i = 0; i < 2; i++) {
		must_be(haul_recv(p.haul, NULL, in, len, PATIENCE_MS, &status), len);
		int who = status.peer == p.peer ? 2 : 1;
		must(who == 2 || status.peer == haul_self(p.haul));
		must((seen & who) == 0);
		seen |= who;
		must_hold(in, len, (uint64_t)who, 0);
	}
	finish(r, 0, NULL);
	send_token(p.peer);
	pairing_end(&p);
	free(out);
	free(in);
}

/* ---- what can be done with them ---- */

EveryPath(self, a_synchronous_send_hears_what_became_of_it)
{
	struct haul_options o = path_options(path);
	struct haul *h = start(&o);
	size_t len = path_most(path, LONG_LEN);
	unsigned char *out = filled(len, 1), *in = room_for(len);
	struct iovec from = { out, len };
	struct haul_status status;
	struct haul_req *r;
	struct haul_msg *m;
	must_be(haul_isend(haul_self(h), 1, &from, 1, HAUL_SYNC, &r), 0);
	must_be(haul_req_wait(r, SOON_MS), -ETIMEDOUT);
	must_be(haul_recv(h, NULL, in, len, PATIENCE_MS, NULL), len);
	must_hold(in, len, 1, 0);
	finish(r, 0, &status);
	must_be(status.got, len);

	must_be(haul_isend(haul_self(h), 1, &from, 1, HAUL_SYNC, &r), 0);
	must_be(haul_recv(h, NULL, in, 100, PATIENCE_MS, &status), -EMSGSIZE);
	must_be(status.len, len);
	must_hold(in, 100, 1, 0);
	finish(r, -EMSGSIZE, &status);
	must_be(status.got, 100);

	must_be(haul_isend(haul_self(h), 1, &from, 1, HAUL_SYNC, &r), 0);
	must_be(haul_take(h, NULL, PATIENCE_MS, &m), 0);
	must_be(haul_msg_read(m, 500, &(struct iovec){ in, 100 }, 1, PATIENCE_MS), 100);
	must_hold(in, 100, 1, 500);
	must_be(haul_msg_refuse(m, -EACCES), 0);
	finish(r, -EACCES, NULL);

	must_be(haul_isend(haul_self(h), 1, &from, 1, HAUL_SYNC, &r), 0);
	must_be(haul_take(h, NULL, PATIENCE_MS, &m), 0);
	must_be(haul_msg_done(m), 0);
	finish(r, 0, NULL);

	must_be(haul_sendv(haul_self(h), 1, &from, 1, HAUL_SYNC, SOON_MS), -ETIMEDOUT);
	must_be(haul_probe(h, NULL, 0, &status), -EAGAIN);
	end(h);
	free(out);
	free(in);
}

EveryPath(self, can_be_copied_canceled_and_given_a_deadline)
{
	struct haul_options o = path_options(path);
	struct haul *h = start(&o);
	size_t len = path_most(path, LONG_LEN);
	unsigned char *out = filled(len, 1), *in = room_for(len);
	struct iovec from = { out, len };
	struct haul_status status;
	struct haul_req *r;
	must_be(haul_sendv(haul_self(h), 1, &from, 1, HAUL_COPY, PATIENCE_MS), 0);
	memset(out, SCRIBBLE, len);
	must_be(haul_recv(h, NULL, in, len, PATIENCE_MS, NULL), len);
	must_hold(in, len, 1, 0);

	for (int how = 0; how < 2; how++) {
		must_be(haul_isend(haul_self(h), 1, &from, 1, HAUL_SYNC, &r), 0);
		must_be(haul_probe(h, NULL, PATIENCE_MS, &status), 0);
		must_be(how == 0 ? haul_req_cancel(r) : haul_req_deadline(r, 0), 0);
		finish(r, how == 0 ? -ECANCELED : -ETIMEDOUT, &status);
		must_be(status.flags, 0);
		must_be(haul_recv(h, NULL, in, len, 0, NULL), -EAGAIN);
	}
	must_be(haul_irecv(h, &(struct haul_match){ .from = haul_self(h) }, NULL, 0, &r), 0);
	must_be(haul_peer_cancel(haul_self(h)), 1);
	finish(r, -ECANCELED, NULL);
	end(h);
	free(out);
	free(in);
}

EveryPath(self, a_flush_waits_for_what_was_sent)
{
	struct haul_options o = path_options(path);
	struct haul *h = start(&o);
	size_t len = path_most(path, LONG_LEN);
	unsigned char *out = filled(len, 1), *in = room_for(len);
	struct haul_req *r;
	must_be(haul_peer_flush(haul_self(h), PATIENCE_MS), 0);
	must_be(haul_isend(haul_self(h), 1, &(struct iovec){ out, len }, 1, 0, &r), 0);
	must_be(haul_peer_flush(haul_self(h), SOON_MS), -ETIMEDOUT);
	must_be(haul_recv(h, NULL, in, len, PATIENCE_MS, NULL), len);
	must_hold(in, len, 1, 0);
	must_be(haul_peer_flush(haul_self(h), PATIENCE_MS), 0);
	finish(r, 0, NULL);
	end(h);
	free(out);
	free(in);
}

EveryPath(self, a_send_and_a_receive_at_once)
{
	struct haul_options o = path_options(path);
	struct haul *h = start(&o);
	size_t len = path_most(path, LONG_LEN);
	unsigned char *out = filled(len, 1), *in = room_for(len);
	for (int i = 0; i < 20; i++) {
		memset(in, 0, len);
		must_be(haul_sendrecv(haul_self(h), 1, out, len, NULL, in, len, PATIENCE_MS, NULL), len);
		must_hold(in, len, 1, 0);
	}
	end(h);
	free(out);
	free(in);
}

/* ---- the end ---- */

/* Nobody would ever receive them. */
EveryPath(self, the_context_can_be_closed_with_messages_waiting)
{
	struct haul_options o = path_options(path);
	size_t len = path_most(path, LONG_LEN);
	unsigned char *out = filled(len, 1), *in = room_for(len);
	struct iovec from = { out, len }, to = { in, len };
	for (int linger = 0; linger < 2; linger++) {
		struct haul *h = start(&o);
		struct haul_req *r;
		struct haul_msg *m;
		for (uint64_t i = 0; i < 6; i++)
			must_be(haul_isend(haul_self(h), i, &from, 1, i % 2 ? HAUL_SYNC : HAUL_COPY, &r), 0);
		must_be(haul_take(h, &(struct haul_match){ .tag = 2 }, PATIENCE_MS, &m), 0);
		must_be(haul_irecv(h, &(struct haul_match){ .tag = 3 }, &to, 1, &r), 0);
		must_be(haul_irecv(h, &(struct haul_match){ .tag = 99 }, &to, 1, &r), 0);
		int rc = haul_close(h, linger == 0 ? 0 : PATIENCE_MS);
		must(rc == 0 || (linger == 0 && rc == -ETIMEDOUT));
		fds_expect(fds);
	}
	free(out);
	free(in);
}

Test(self, is_the_parents_in_a_forked_child)
{
	struct haul *h = start(NULL);
	must_be(haul_send(haul_self(h), 1, "x", 1, 0), 0);
	pid_t pid = fork();
	must(pid >= 0);
	if (pid == 0) {
		bool good = haul_self(h) == NULL && haul_close(h, 0) == -ESTALE;
		_exit(good ? 0 : 1);
	}
	int status;
	must(waitpid(pid, &status, 0) == pid);
	must_be(status, 0);
	must_be(haul_recv(h, NULL, &(char){ 0 }, 1, PATIENCE_MS, NULL), 1);
	end(h);
}
