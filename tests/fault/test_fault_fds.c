/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Descriptors while calls fail, on the side that sends them and on the side that receives: they come, or both are told,
 * and none is left open.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/fds.h"
#include "lib/must.h"
#include "lib/sweep.h"
#include "lib/talk.h"

TestSuite(fault_fds, .timeout = 300);

enum { COUNT = 3, TAG = 4, ROUNDS = 200 };

struct scene {
	struct haul_options options;
	bool sender; /* is at fault */
};

static bool same_file(int a, int b)
{
	struct stat sa, sb;
	must_be(fstat(a, &sa), 0);
	must_be(fstat(b, &sb), 0);
	return sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

static long long exposed(bool at_fault, long long (*call)(void *), void *arg)
{
	if (!at_fault)
		return call(arg);
	fault_go_on();
	return sweep_held(call(arg));
}

struct fetch {
	struct haul_msg *msg;
	int fds[COUNT];
};

static long long fetch(void *arg)
{
	struct fetch *f = arg;
	return haul_msg_fds(f->msg, f->fds, COUNT, 0);
}

static long long progress(void *arg)
{
	return haul_progress(arg);
}

static void passing(const void *arg)
{
	const struct scene *s = arg;
	struct twins t;
	struct haul_req *sent = NULL, *taken = NULL;
	struct haul_status status;
	struct fetch f = { .msg = NULL };
	int ends[2], fds[COUNT], rc;
	twins_start(&t, &s->options);
	must_be(pipe2(ends, O_CLOEXEC), 0);
	for (int i = 0; i < COUNT; i++)
		fds[i] = ends[i % 2];
	if (s->sender)
		rc = (int)must_be_told(faulty(haul_isend_fds(t.to_b, TAG, NULL, 0, fds, COUNT, &sent)));
	else
		must_be(rc = haul_isend_fds(t.to_b, TAG, NULL, 0, fds, COUNT, &sent), 0);
	if (rc == 0)
		must_be(haul_itake(t.b, NULL, &taken), 0);
	long long n = -EAGAIN;
	for (int i = 0; i < ROUNDS && rc == 0 && n == -EAGAIN; i++) {
		must_be_told(exposed(s->sender, progress, t.a));
		must_be_told(exposed(!s->sender, progress, t.b));
		if (f.msg == NULL && haul_req_test(taken) == 0) {
			int took = haul_req_finish(taken, &status);
			taken = NULL;
			must_be_told(took);
			if (took != 0)
				break;
			f.msg = status.msg;
		}
		if (f.msg != NULL)
			n = exposed(!s->sender, fetch, &f);
	}
	sweep_over();
	if (n == -EAGAIN && f.msg != NULL) { /* a fault that lasts has kept it from coming until now */
		struct timespec since = { 0 };
		while ((n = fetch(&f)) == -EAGAIN) {
			must(haul_progress(t.a) >= 0);
			must(sweep_patient(&since));
		}
	}
	if (n >= 0) {
		must_be(n, COUNT);
		for (int i = 0; i < COUNT; i++) {
			must(same_file(f.fds[i], fds[i]));
			must_be(close(f.fds[i]), 0);
		}
	} else if (f.msg != NULL) {
		must_be_told(n);
	}
	must(n == COUNT || fault_fired() > 0);
	must_be(haul_msg_done(f.msg), 0);
	if (taken != NULL)
		haul_req_free(taken);
	if (rc == 0) {
		int end;
		haul_req_deadline(sent, n >= 0 ? -1 : 1);
		end = sweep_finish(t.a, t.b, sent, NULL);
		must(n < 0 || end == 0 || end == -ECONNRESET); /* or the connection ended right after */
		must(n >= 0 || end == -ETIMEDOUT || must_be_told(end) == end);
	}
	close(ends[0]);
	close(ends[1]);
	twins_settle(&t);
	sweep_usable(t.a, t.b);
	haul_close(t.a, 0);
	haul_close(t.b, 0);
}

static void run(int transport, bool sender)
{
	struct scene s = { .options = { .transport = transport }, .sender = sender };
	sweep(passing, &s);
}

Test(fault_fds, a_sender_at_fault_passes_them_or_both_are_told)
{
	run(HAUL_TRANSPORT_SOCKET, true);
}

Test(fault_fds, a_receiver_at_fault_gets_them_or_both_are_told)
{
	run(HAUL_TRANSPORT_SOCKET, false);
}

Test(fault_fds, a_sender_at_fault_by_outbox_as_well)
{
	run(HAUL_TRANSPORT_OUTBOX, true);
}

Test(fault_fds, a_receiver_at_fault_by_outbox_as_well)
{
	run(HAUL_TRANSPORT_OUTBOX, false);
}
