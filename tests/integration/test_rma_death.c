/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Regions whose owner is stopped, killed, leaves, or becomes another program; and whose getter does. Timeouts are kept,
 * ends are told, and nobody else notices.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "lib/child.h"
#include "lib/duo.h"
#include "lib/fds.h"
#include "lib/pairing.h"
#include "lib/paths.h"
#include "lib/pattern.h"
#include "lib/regions.h"
#include "lib/talk.h"

TestSuite(rma_death, .timeout = 60);

enum { LEN = 1000003, SOON_MS = 20, SEVERAL = 8, SCRIBBLE = 0xa5 };

#define VARIABLE "HAUL_TEST_RMA_DEATH"

/* ---- the other program ---- */

static void __attribute__((constructor)) become_another(void)
{
	const char *words = getenv(VARIABLE);
	if (words == NULL)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (write(atoi(words), "x", 1) != 1)
		_exit(1);
	pause();
	_exit(0);
}

/* ---- stopped ---- */

static void own(struct haul *h, struct haul_peer *p, const void *arg)
{
	unsigned char *buf = filled(LEN, 1);
	struct haul_handle hd;
	(void)arg;
	struct haul_region *r = region_of(h, buf, LEN, &hd);
	send_handle(p, &hd);
	await_token(h, p);
	must_be(haul_region_withdraw(r, PATIENCE_MS), 0);
	for (size_t i = 0; i < LEN; i++)
		must(buf[i] != SCRIBBLE || pattern_check(buf + i, 1, 1, i) == 1 ||
		    pattern_check(buf + i, 1, 2, i) == 1);
	free(buf);
}

EveryPath(rma_death, of_a_stopped_owner_gets_are_pulled_and_the_rest_times_out)
{
	struct haul_options o = path_options(path);
	unsigned char *buf = filled(LEN, 2), *in = room_for(LEN);
	struct haul_req *r;
	struct pairing p;
	pairing_start(&p, &o, &o, own, NULL);
	struct haul_handle hd = receive_handle(p.haul, p.peer);
	child_signal(&p.child, SIGSTOP);
	child_await_stop(&p.child);
	struct iovec iov = { in, LEN }, out = { buf, LEN };
	ssize_t n = haul_get(p.peer, &hd, 0, &iov, 1, o.path == HAUL_PATH_STREAM ? SOON_MS : PATIENCE_MS);
	must_be(n, o.path == HAUL_PATH_STREAM ? -ETIMEDOUT : LEN);
	if (n > 0)
		must_hold(in, LEN, 1, 0);
	must_be(haul_put(p.peer, &hd, 0, &out, 1, SOON_MS), -ETIMEDOUT);
	must_be(haul_iput(p.peer, &hd, 0, &out, 1, &r), 0);
	must_be(haul_rma_flush(p.peer, SOON_MS), -ETIMEDOUT);
	must_be(haul_req_deadline(r, 1), 0);
	must_be(haul_req_wait(r, PATIENCE_MS), 0);
	must_be(haul_req_finish(r, NULL), -ETIMEDOUT);
	must_be(haul_rma_flush(p.peer, SOON_MS), 0);
	must_be(haul_iput(p.peer, &hd, LEN - 8, &(struct iovec){ buf + LEN - 8, 8 }, 1, &r), 0);
	haul_interrupt(p.haul);
	must_be(haul_rma_flush(p.peer, PATIENCE_MS), -EINTR);
	must_be(haul_req_deadline(r, 0), 0);
	must_be(haul_req_wait(r, PATIENCE_MS), 0);
	must_be(haul_req_finish(r, NULL), -ETIMEDOUT);
	memset(buf, SCRIBBLE, LEN); /* which does not reach it */
	memset(in, SCRIBBLE, LEN);
	child_signal(&p.child, SIGCONT);
	pattern_fill(buf, 100, 2, 50);
	must_be(put_bytes_of(p.peer, &hd, 50, buf, 100), 100);
	must_get(p.peer, &hd, 50, 100, 2);
	for (size_t i = 0; i < LEN; i++) /* nor anything late what is ours again */
		must(in[i] == SCRIBBLE);
	send_token(p.peer);
	pairing_end(&p);
	free(buf);
	free(in);
}

EveryPath(rma_death, requests_can_be_canceled)
{
	struct haul_options o = path_options(path);
	unsigned char *region = filled(LEN, 1), *buf = room_for(LEN);
	struct haul_handle hd;
	struct twins t;
	twins_start(&t, &o);
	struct haul_region *exposed = region_of(t.b, region, LEN, &hd);
	for (int puts = 0; puts < 2; puts++) {
		for (int later = 0; later < 3; later++) {
			memset(buf, 0x11, LEN);
			struct haul_req *r = move_bytes_of(t.to_b, &hd, puts, buf, LEN);
			for (int i = 0; i < later; i++)
				must(haul_progress(t.a) >= 0 && haul_progress(t.b) >= 0);
			int asked = haul_req_cancel(r);
			must(asked == 0 || asked == -EALREADY);
			int rc = twins_finish(&t, r, NULL);
			must(rc == 0 || rc == -ECANCELED);
			if (rc == 0 && !puts)
				must_hold(buf, LEN, 1, 0);
			memset(buf, SCRIBBLE, LEN);
			twins_settle(&t);
			for (size_t i = 0; i < LEN; i++)
				must(buf[i] == SCRIBBLE);
		}
	}
	for (size_t i = 0; i < LEN; i++)
		must(region[i] == 0x11 || region[i] == SCRIBBLE || pattern_check(region + i, 1, 1, i) == 1 ||
		    path->path == HAUL_PATH_STREAM);
	must_be(haul_region_withdraw(exposed, 0), 0);
	twins_end(&t);
	free(region);
	free(buf);
}

/* ---- killed ---- */

EveryPath(rma_death, of_a_killed_owner_all_is_econnreset)
{
	struct haul_options o = path_options(path);
	unsigned char *buf = filled(LEN, 2), *in = room_for(LEN);
	struct iovec iov = { in, LEN }, out = { buf, LEN };
	struct haul_req *get = NULL, *put;
	struct pairing p;
	pairing_start(&p, &o, &o, own, NULL);
	struct haul_handle hd = receive_handle(p.haul, p.peer);
	child_signal(&p.child, SIGSTOP);
	child_await_stop(&p.child);
	if (o.path == HAUL_PATH_STREAM)
		must_be(haul_iget(p.peer, &hd, 0, &iov, 1, &get), 0);
	must_be(haul_iput(p.peer, &hd, 0, &out, 1, &put), 0);
	must_be(haul_req_test(put), -EINPROGRESS);
	child_expect_killed((child_signal(&p.child, SIGKILL), &p.child), SIGKILL);
	must_be(end_of(put, NULL), -ECONNRESET);
	if (get != NULL)
		must_be(end_of(get, NULL), -ECONNRESET);
	must_be(get_bytes_of(p.peer, &hd, 0, in, LEN), -ECONNRESET);
	must_be(put_bytes_of(p.peer, &hd, 0, buf, LEN), -ECONNRESET);
	must_be(haul_peer_read(p.peer, &iov, 1, &out, 1), -ECONNRESET);
	must_be(haul_rma_flush(p.peer, 0), 0);
	must_be(haul_close(p.haul, 0), 0);
	fds_expect(p.fds);
	free(buf);
	free(in);
}

/* Nothing was heard of its death before: the get itself finds out. */
Test(rma_death, a_get_finds_out_by_itself)
{
	unsigned char *in = room_for(LEN);
	struct pairing p;
	pairing_start(&p, NULL, NULL, own, NULL);
	struct haul_handle hd = receive_handle(p.haul, p.peer);
	child_expect_killed((child_signal(&p.child, SIGKILL), &p.child), SIGKILL);
	must_be(get_bytes_of(p.peer, &hd, 0, in, LEN), -ECONNRESET);
	must_be(haul_close(p.haul, 0), 0);
	free(in);
}

/* Gets and puts by turns, all of the same bytes. */
static void begin_several(struct haul_peer *p, const struct haul_handle *hd, void *buf,
    struct haul_req *r[SEVERAL])
{
	for (int i = 0; i < SEVERAL; i++)
		r[i] = move_bytes_of(p, hd, i % 2 == 1, buf, LEN);
}

/* In the middle of what the owner serves. */
static void get_and_die(struct haul *h, struct haul_peer *p, const void *arg)
{
	static unsigned char buf[LEN];
	struct haul_req *r[SEVERAL];
	struct haul_handle hd = receive_handle(h, p);
	(void)arg;
	begin_several(p, &hd, buf, r);
	while (haul_progress(h) > 0)
		continue;
	raise(SIGKILL);
}

EveryPath(rma_death, of_who_asks_is_no_harm_to_the_owner)
{
	struct haul_options o = path_options(path);
	unsigned char *region = filled(LEN, 1);
	struct haul_handle hd;
	struct haul_req *watch, *send;
	struct pairing p;
	pairing_start(&p, &o, &o, get_and_die, NULL);
	struct haul_region *r = region_of(p.haul, region, LEN, &hd);
	must_be(haul_peer_watch(p.peer, &watch), 0);
	struct iovec iov = { &hd, sizeof(hd) };
	must_be(haul_isend(p.peer, TAG_HANDLE, &iov, 1, HAUL_COPY, &send),
	    0); /* it may die before that is answered */
	haul_req_free(send);
	must_be(end_of(watch, NULL), -ECONNRESET);
	child_expect_killed(&p.child, SIGKILL);
	must_be(haul_region_withdraw(r, PATIENCE_MS), 0);
	memset(region, SCRIBBLE, LEN);
	must_be(haul_close(p.haul, 0), 0);
	for (size_t i = 0; i < LEN; i++)
		must(region[i] == SCRIBBLE);
	fds_expect(p.fds);
	free(region);
}

/* The owner closes the asker's connection, or all, while it serves. */
EveryPath(rma_death, closing_ends_what_is_being_served)
{
	struct haul_options o = path_options(path);
	unsigned char *region = filled(LEN, 1), *buf = room_for(LEN);
	struct haul_handle hd;
	struct haul_req *r[SEVERAL];
	for (int whole = 0; whole < 2; whole++) {
		struct twins t;
		twins_start(&t, &o);
		struct haul_region *exposed = region_of(t.b, region, LEN, &hd);
		begin_several(t.to_b, &hd, buf, r);
		for (int i = 0; i < 2; i++)
			must(haul_progress(t.b) >= 0);
		if (whole) {
			haul_close(t.b, 0);
		} else {
			haul_peer_close(t.to_a, 0);
			must_be(haul_region_withdraw(exposed, 0), 0);
		}
		memset(region, SCRIBBLE, LEN);
		for (int i = 0; i < SEVERAL; i++) {
			must_be(haul_req_wait(r[i], PATIENCE_MS), 0);
			int rc = haul_req_finish(r[i], NULL);
			must(rc == 0 || rc == -EPIPE || rc == -ECONNRESET || rc == -ESTALE ||
			    rc == -ECANCELED || rc == -ECONNREFUSED);
		}
		for (size_t i = 0; i < LEN; i++)
			must(region[i] == SCRIBBLE);
		pattern_fill(region, LEN, 1, 0);
		haul_close(t.a, 0);
		if (!whole)
			haul_close(t.b, 0);
		fds_expect(t.fds);
	}
	free(region);
	free(buf);
}

/* The getter closes while it waits. */
EveryPath(rma_death, closing_ends_what_is_waited_for)
{
	struct haul_options o = path_options(path);
	unsigned char *region = filled(LEN, 1), *buf = room_for(LEN);
	struct haul_handle hd;
	struct haul_req *r[SEVERAL];
	for (int whole = 0; whole < 2; whole++) {
		struct twins t;
		twins_start(&t, &o);
		struct haul_region *exposed = region_of(t.b, region, LEN, &hd);
		begin_several(t.to_b, &hd, buf, r);
		must(haul_progress(t.b) >= 0);
		if (whole) {
			haul_close(t.a, 0);
		} else {
			haul_peer_close(t.to_b, 0);
			for (int i = 0; i < SEVERAL; i++) {
				must(haul_req_test(r[i]) == 0);
				int rc = haul_req_finish(r[i], NULL);
				must(rc == 0 || rc == -ECANCELED || rc == -EPIPE);
			}
			must_be(haul_close(t.a, 0), 0);
		}
		twins_settle(&(struct twins){ .a = t.b, .b = t.b });
		must_be(haul_region_withdraw(exposed, 0), 0);
		haul_close(t.b, 0);
		fds_expect(t.fds);
	}
	free(region);
	free(buf);
}

/* ---- another program ---- */

struct becoming {
	int ready[2];
	bool stray; /* a child of its own keeps the socket open: nothing tells of an end */
};

static void own_and_exec(struct haul *h, struct haul_peer *p, const struct becoming *b)
{
	static unsigned char buf[LEN];
	char fd[16];
	struct haul_handle hd;
	pattern_fill(buf, LEN, 1, 0);
	region_of(h, buf, LEN, &hd);
	send_handle(p, &hd);
	uint64_t where = (uintptr_t)buf;
	must_be(haul_send(p, 1, &where, sizeof(where), PATIENCE_MS), 0);
	await_token(h, p);
	if (b->stray && fork() == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(b->ready[1]);
		pause();
	}
	snprintf(fd, sizeof(fd), "%d", b->ready[1]);
	must_be(setenv(VARIABLE, fd, 1), 0);
	execl("/proc/self/exe", "test_rma_death", (char *)NULL);
	must(!"reached");
}

static int exec_part(struct haul *h, struct haul_peer *p, void *arg)
{
	own_and_exec(h, p, arg);
	return 1;
}

static void read_another_program(bool stray)
{
	struct becoming b = { .stray = stray };
	unsigned char *in = room_for(LEN);
	char byte, string[16];
	uint64_t where;
	struct duo d;
	must_be(pipe(b.ready), 0);
	must_be(fcntl(b.ready[0], F_SETFD, FD_CLOEXEC), 0);
	duo_start(&d, &(struct duo_plan){ .run = exec_part, .arg = &b, .timeout_ms = PATIENCE_MS });
	struct haul_handle hd = receive_handle(d.haul, d.peer);
	must_be(haul_recv(d.haul, &(struct haul_match){ .tag = 1 }, &where, sizeof(where), PATIENCE_MS, NULL),
	    sizeof(where));
	must_get(d.peer, &hd, 0, LEN, 1);
	struct iovec local = { in, LEN }, remote = { (void *)(uintptr_t)where, LEN };
	must_be(haul_peer_read(d.peer, &local, 1, &remote, 1), LEN);
	must_hold(in, LEN, 1, 0);
	send_token(d.peer);
	must_be(read(b.ready[0], &byte, 1), 1);
	ssize_t n = haul_get(d.peer, &hd, 0, &local, 1, PATIENCE_MS);
	must(n == -ESTALE || (!stray && n == -ECONNRESET));
	n = haul_peer_read(d.peer, &local, 1, &remote, 1);
	must(n == -ESTALE || (!stray && n == -ECONNRESET));
	n = haul_peer_read_string(d.peer, where, string, sizeof(string));
	must(n == -ESTALE || (!stray && n == -ECONNRESET));
	if (stray) /* by message it can't be, either: nobody hears */
		must_be(haul_put(d.peer, &hd, 0, &local, 1, SOON_MS), -ETIMEDOUT);
	child_signal(&d.child, SIGKILL);
	child_expect_killed(&d.child, SIGKILL);
	duo_close(&d);
	close(b.ready[0]);
	close(b.ready[1]);
	free(in);
}

Test(rma_death, an_owner_that_is_another_program_is_not_read)
{
	read_another_program(false);
}

Test(rma_death, an_owner_that_is_another_program_is_not_read_though_a_stray_child_holds_the_socket)
{
	read_another_program(true);
}
