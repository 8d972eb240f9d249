/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A sender that is stopped in the middle of its write, with its claim made and looked at, and what then becomes of
 * the receive: it waits, whatever is to end it, until the write has ended, or the sender has. By the fault trigger the
 * meeting is sure: the receiver's first piece waits until the sender has stopped.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/fault.h"
#include "lib/fds.h"
#include "lib/hands.h"
#include "lib/pattern.h"
#include "lib/refuse.h"
#include "lib/talk.h"
#include "lib/world.h"

TestSuite(fault_twohand, .timeout = 60);

enum { LEN = (3 << 20) + 5, MOMENT_MS = 20 };

/* ---- the sender ---- */

/* Before the first write, which is then done. */
static int stop_once(const char *name, long first, void *arg)
{
	bool *stopped = arg;
	(void)name;
	(void)first;
	if (!*stopped) {
		*stopped = true;
		raise(SIGSTOP);
	}
	return 0;
}

static bool stopped;

static const struct fault at_write = { .action = FAULT_ASK,
	.nth = 1,
	.lasting = true,
	.only = "process_vm_writev",
	.hook = stop_once,
	.arg = &stopped };

static void send_and_stop(struct haul *h, struct haul_peer *p, const void *arg)
{
	unsigned char *buf = filled(LEN, 1);
	(void)h;
	(void)arg;
	fault_arm(&at_write);
	must_be(haul_send(p, 1, buf, LEN, -1), 0);
	fault_disarm();
	free(buf);
	must(stats_of(h).assisted == 1);
}

/* What it ends with is the test's business. */
static void send_stop_and_lose(struct haul *h, struct haul_peer *p, const void *arg)
{
	unsigned char *buf = filled(LEN, 1);
	(void)h;
	(void)arg;
	fault_arm(&at_write);
	haul_send(p, 1, buf, LEN, -1);
	fault_disarm();
	free(buf);
}

/* ---- the receiver ---- */

/* A receive of the child's message; the child has stopped in its write, and nothing is left for this side to do. */
struct held {
	struct pairing p;
	struct haul_req *r;
	unsigned char *buf;
};

static int await_the_stop(const char *name, long first, void *arg)
{
	(void)name;
	(void)first;
	child_await_stop(arg);
	return 0;
}

static void pull_beside_it(struct held *s)
{
	fault_arm(&(struct fault){ .action = FAULT_ASK,
	    .nth = 1,
	    .only = "process_vm_readv",
	    .hook = await_the_stop,
	    .arg = &s->p.child });
	while (haul_progress(s->p.haul) > 0)
		continue;
	must_be(fault_fired(), 1);
	fault_disarm();
}

static void start(struct held *s, pairing_part *part)
{
	hands_start(&s->p, part, NULL);
	s->buf = calloc(1, LEN);
	must(s->buf != NULL);
	await_message(s->p.haul, 1);
	s->r = post_receive(s->p.haul, s->buf, LEN, 1);
	pull_beside_it(s);
}

static void must_go_on(struct held *s)
{
	for (int i = 0; i < 3; i++)
		must_be(haul_req_test(s->r), -EINPROGRESS);
	must_be(haul_req_wait(s->r, MOMENT_MS), -ETIMEDOUT);
	must_be(haul_req_finish(s->r, NULL), -EINPROGRESS);
}

static void must_complete(struct held *s)
{
	must_be(end_of(s->r, NULL), 0);
	must_hold(s->buf, LEN, 1, 0);
	must_be(stats_of(s->p.haul).received_pull, 1);
	must_be(stats_of(s->p.haul).received_stream, 0);
}

static void end(struct held *s)
{
	pairing_end(&s->p);
	free(s->buf);
}

/* Nothing comes after it. */
static void end_killed(struct held *s, int error)
{
	child_signal(&s->p.child, SIGKILL);
	must_be(end_of(s->r, NULL), error);
	memset(s->buf, CANARY, LEN);
	must_be(haul_peer_close(s->p.peer, -1), 0);
	must_be(haul_close(s->p.haul, -1), 0);
	child_expect_killed(&s->p.child, SIGKILL);
	must_be_untouched(s->buf, LEN);
	fds_expect(s->p.fds);
	free(s->buf);
}

/* ---- all that would end it ---- */

Test(fault_twohand, a_stopped_sender_is_waited_for)
{
	struct held s;
	start(&s, send_and_stop);
	must_go_on(&s);
	duo_continue(&s.p.child);
	must_complete(&s);
	end(&s);
}

Test(fault_twohand, a_killed_one_fails_the_receive)
{
	struct held s;
	start(&s, send_and_stop);
	must_go_on(&s);
	end_killed(&s, -ECONNRESET);
}

Test(fault_twohand, a_deadline_that_is_set_later_waits)
{
	struct held s;
	start(&s, send_and_stop);
	must_be(haul_req_deadline(s.r, 1), 0);
	must_go_on(&s);
	must_be(haul_req_deadline(s.r, 0), 0);
	must_go_on(&s);
	duo_continue(&s.p.child);
	int rc = end_of(s.r, NULL);
	must(rc == 0 || rc == -ETIMEDOUT); /* if something was missing yet, it is put back, */
	if (rc != 0)
		receive_pattern(s.p.haul, LEN, 1); /* and comes again, with all of it */
	else
		must_hold(s.buf, LEN, 1, 0);
	end(&s);
}

Test(fault_twohand, a_deadline_that_waits_ends_with_the_sender)
{
	struct held s;
	start(&s, send_and_stop);
	must_be(haul_req_deadline(s.r, 0), 0);
	must_go_on(&s);
	end_killed(&s, -ECONNRESET);
}

Test(fault_twohand, a_cancel_waits)
{
	struct held s;
	start(&s, send_and_stop);
	must_be(haul_req_cancel(s.r), 0);
	must_go_on(&s);
	duo_continue(&s.p.child);
	must_complete(&s);
	end(&s);
}

Test(fault_twohand, an_interrupt_ends_the_wait_and_not_the_request)
{
	struct held s;
	start(&s, send_and_stop);
	haul_interrupt(s.p.haul);
	must_be(haul_req_wait(s.r, -1), -EINTR);
	must_go_on(&s);
	duo_continue(&s.p.child);
	must_complete(&s);
	end(&s);
}

Test(fault_twohand, a_peer_stays_until_it_can_be_closed)
{
	struct held s;
	start(&s, send_stop_and_lose);
	must_be(haul_peer_close(s.p.peer, 0), -EBUSY);
	must_be(haul_peer_close(s.p.peer, MOMENT_MS), -EBUSY);
	must_go_on(&s);
	duo_continue(&s.p.child);
	must_be(haul_peer_close(s.p.peer, -1), 0);
	s.p.peer = NULL;
	int rc = end_of(s.r, NULL);
	must(rc == 0 || rc == -ECANCELED);
	if (rc == 0)
		must_hold(s.buf, LEN, 1, 0);
	end(&s);
}

Test(fault_twohand, a_context_stays_until_it_can_be_closed)
{
	struct held s;
	start(&s, send_stop_and_lose);
	must_be(haul_close(s.p.haul, 0), -EBUSY);
	must_be(haul_close(s.p.haul, MOMENT_MS), -EBUSY);
	must_go_on(&s);
	end_killed(&s, -ECANCELED);
}

Test(fault_twohand, a_read_holds_its_message)
{
	struct held s;
	struct haul_msg *m;
	hands_start(&s.p, send_and_stop, NULL);
	s.buf = room_for(LEN);
	must_be(haul_take(s.p.haul, NULL, PATIENCE_MS, &m), 0);
	must_be(haul_msg_iread(m, 0, &(struct iovec){ s.buf, LEN }, 1, &s.r), 0);
	pull_beside_it(&s);
	must_go_on(&s);
	must_be(haul_msg_done(m), -EBUSY);
	duo_continue(&s.p.child);
	must_complete(&s);
	must_be(haul_msg_done(m), 0);
	end(&s);
}

/* Other things go on. */
Test(fault_twohand, others_are_not_held)
{
	struct held s;
	char got;
	start(&s, send_and_stop);
	struct haul_peer *self = haul_self(s.p.haul);
	must_be(haul_send(self, 5, "x", 1, PATIENCE_MS), 0);
	must_be(haul_recv(s.p.haul, &(struct haul_match){ .tag = 5 }, &got, 1, PATIENCE_MS, NULL), 1);
	must_be(got, 'x');
	duo_continue(&s.p.child);
	must_complete(&s);
	end(&s);
}

/* ---- what is not held ---- */

/* It is stopped where it has claimed nothing: its message is pulled by the receiver alone. */
static void offer_and_stop(struct haul *h, struct haul_peer *p, const void *arg)
{
	unsigned char *buf = filled(LEN, 1);
	struct haul_req *r;
	(void)arg;
	must_be(haul_isend(p, 1, &(struct iovec){ buf, LEN }, 1, 0, &r), 0);
	while (haul_progress(h) > 0)
		continue;
	raise(SIGSTOP);
	must_be(end_of(r, NULL), 0);
	must_be(stats_of(h).assisted, 0);
	free(buf);
}

Test(fault_twohand, nobody_is_held_by_an_offer)
{
	struct held s;
	start(&s, offer_and_stop);
	must_complete(&s);
	must_be(haul_peer_close(s.p.peer, 0), 0);
	s.p.peer = NULL;
	duo_continue(&s.p.child);
	end(&s);
}

/* ---- the sender's own reasons ---- */

/* Its timeout comes while it is stopped, and waits for the write; the buffer is its own again only then. */
static void time_out_in_the_middle(struct haul *h, struct haul_peer *p, const void *arg)
{
	unsigned char *buf = filled(LEN, 1);
	(void)arg;
	fault_arm(&at_write);
	int rc = haul_send(p, 1, buf, LEN, 1000);
	fault_disarm();
	must(rc == 0 || rc == -ETIMEDOUT);
	memset(buf, CANARY, LEN);
	must_be(haul_send(p, 2, &rc, sizeof(rc), PATIENCE_MS), 0);
	free(buf);
	(void)h;
}

Test(fault_twohand, a_sender_that_times_out_in_its_write_takes_nothing_back_before)
{
	struct held s;
	int theirs;
	start(&s, time_out_in_the_middle);
	must_be(haul_req_wait(s.r, 1100), -ETIMEDOUT);
	duo_continue(&s.p.child);
	int rc = end_of(s.r, NULL);
	must(rc == 0 || rc == -ECANCELED);
	if (rc == 0)
		must_hold(s.buf, LEN, 1, 0);
	must_be(haul_recv(s.p.haul, &(struct haul_match){ .tag = 2 }, &theirs, sizeof(theirs), PATIENCE_MS,
	            NULL),
	    sizeof(theirs));
	must(rc == 0 || theirs != 0);
	end(&s);
}

/* It becomes another program in the middle, by another thread's doing: its end of file tells. */
static void *exec_soon(void *arg)
{
	(void)arg;
	execl("/bin/sleep", "sleep", "60", (char *)NULL);
	_exit(1);
}

static int exec_instead(const char *name, long first, void *arg)
{
	pthread_t other;
	(void)name;
	(void)first;
	(void)arg;
	raise(SIGSTOP);
	pthread_create(&other, NULL, exec_soon, NULL);
	pthread_join(other, NULL); /* it does not come back */
	return EINTR;
}

static void send_and_exec(struct haul *h, struct haul_peer *p, const void *arg)
{
	unsigned char *buf = filled(LEN, 1);
	struct fault f = at_write;
	(void)h;
	(void)arg;
	f.hook = exec_instead;
	fault_arm(&f);
	haul_send(p, 1, buf, LEN, -1);
}

Test(fault_twohand, another_program_in_its_place_ends_it)
{
	struct held s;
	start(&s, send_and_exec);
	must_go_on(&s);
	duo_continue(&s.p.child);
	must_be(end_of(s.r, NULL), -ECONNRESET);
	s.r = NULL;
	child_signal(&s.p.child, SIGKILL);
	must_be(haul_peer_close(s.p.peer, -1), 0);
	must_be(haul_close(s.p.haul, -1), 0);
	child_expect_killed(&s.p.child, SIGKILL);
	fds_expect(s.p.fds);
	free(s.buf);
}

/* ---- refusals ---- */

/* The receiver may read no more while the sender has a claim: it can't know, and asks. */
Test(fault_twohand, who_can_not_read_the_hand_any_more_asks)
{
	struct held s;
	start(&s, send_and_stop);
	must(world_refuse_reads(EPERM) == NULL);
	must_go_on(&s);
	duo_continue(&s.p.child);
	must_be(end_of(s.r, NULL), 0);
	must_hold(s.buf, LEN, 1, 0);
	end(&s);
}

static int refuse_reads_then(const char *name, long first, void *arg)
{
	(void)name;
	(void)first;
	child_await_stop(arg);
	must(world_refuse_reads(EPERM) == NULL);
	return 0;
}

/* From the first piece on. The rest comes by stream. */
Test(fault_twohand, nor_is_anything_lost_if_that_is_at_once)
{
	struct held s;
	hands_start(&s.p, send_stop_and_lose, NULL);
	s.buf = room_for(LEN);
	await_message(s.p.haul, 1);
	s.r = post_receive(s.p.haul, s.buf, LEN, 1);
	fault_arm(&(struct fault){ .action = FAULT_ASK,
	    .nth = 1,
	    .only = "process_vm_readv",
	    .hook = refuse_reads_then,
	    .arg = &s.p.child });
	while (haul_progress(s.p.haul) > 0)
		continue;
	fault_disarm();
	must_go_on(&s);
	duo_continue(&s.p.child);
	must_be(end_of(s.r, NULL), 0);
	must_hold(s.buf, LEN, 1, 0);
	must_be(stats_of(s.p.haul).received_stream, 1);
	end(&s);
}

/* ---- the receiver's death ---- */

static int stop(const char *name, long first, void *arg)
{
	(void)name;
	(void)first;
	(void)arg;
	raise(SIGSTOP);
	return 0;
}

static void receive_and_stop(struct haul *h, struct haul_peer *p, const void *arg)
{
	unsigned char *buf = room_for(LEN);
	(void)p;
	(void)arg;
	await_message(h, 1);
	fault_arm(&(struct fault){ .action = FAULT_ASK, .nth = 1, .only = "process_vm_readv", .hook = stop });
	haul_recv(h, NULL, buf, LEN, -1, NULL);
	free(buf);
}

static int kill_it(const char *name, long first, void *arg)
{
	struct child *c = arg;
	(void)name;
	(void)first;
	child_signal(c, SIGKILL);
	siginfo_t info;
	must_be(waitid(P_PID, (id_t)c->pid, &info, WEXITED | WNOWAIT), 0);
	return 0;
}

Test(fault_twohand, a_receiver_killed_while_it_is_written_to_costs_only_the_send)
{
	unsigned char *buf = filled(LEN, 1);
	struct pairing p;
	hands_start(&p, receive_and_stop, NULL);
	fault_arm(&(struct fault){ .action = FAULT_ASK,
	    .nth = 1,
	    .only = "process_vm_writev",
	    .hook = kill_it,
	    .arg = &p.child });
	must_be(haul_send(p.peer, 1, buf, LEN, -1), -ECONNRESET);
	must_be(fault_fired(), 1);
	fault_disarm();
	must_be(haul_peer_close(p.peer, 0), 0);
	must_be(haul_close(p.haul, 0), 0);
	child_expect_killed(&p.child, SIGKILL);
	fds_expect(p.fds);
	free(buf);
}

/* ---- a write that fails ---- */

static void send_refused(struct haul *h, struct haul_peer *p, const void *arg)
{
	unsigned char *buf = filled(LEN, 1);
	struct haul_peer_info info;
	must_be(refuse_call(SYS_process_vm_writev, *(const int *)arg), 0);
	do {
		must_be(haul_send(p, 1, buf, LEN, -1), 0);
		must_be(haul_peer_info(p, &info, sizeof(info)), 0);
		must_be(haul_send(p, 2, &info.two_handed, sizeof(int), PATIENCE_MS), 0);
	} while (info.two_handed);
	must_be(stats_of(h).assisted, 0);
	must_be(stats_of(h).assisted_bytes, 0);
	must_be(stats_of(h).copied_bytes / LEN, 0);
	free(buf);
}

static void refused(int error)
{
	struct pairing p;
	int two_handed;
	hands_start(&p, send_refused, &error);
	do {
		receive_pattern_within(p.haul, LEN, 1, -1);
		must_be(haul_recv(p.haul, &(struct haul_match){ .tag = 2 }, &two_handed, sizeof(int),
		            PATIENCE_MS, NULL),
		    sizeof(int));
	} while (two_handed);
	must_be(stats_of(p.haul).received_stream, 0);
	pairing_end(&p);
}

Test(fault_twohand, who_is_refused_to_write_does_not_help_again)
{
	refused(EPERM);
	refused(ENOSYS);
}

/* Any of the calls that the sender's help takes fails, once or from then on, or falls short. */
static void send_with_faults(struct haul *h, struct haul_peer *p, const void *arg)
{
	unsigned char *buf = filled(LEN, 1);
	const struct fault *f = arg;
	for (unsigned nth = 1; nth < 20; nth++) {
		struct fault now = *f;
		struct haul_req *r;
		now.nth = nth;
		must_be(haul_isend(p, 1, &(struct iovec){ buf, LEN }, 1, 0, &r), 0);
		fault_arm(&now);
		must_be(haul_req_wait(r, PATIENCE_MS), 0);
		fault_disarm();
		must_be(haul_req_finish(r, NULL), 0);
	}
	free(buf);
	send_help(h, p);
}

static void survive(const struct fault *f)
{
	struct pairing p;
	hands_start(&p, send_with_faults, f);
	for (int i = 1; i < 20; i++)
		receive_pattern_within(p.haul, LEN, 1, -1);
	receive_help(p.haul);
	pairing_end(&p);
}

Test(fault_twohand, whatever_fails_for_the_sender_nothing_is_lost)
{
	static const int errors[] = { EFAULT, ENOMEM, ESRCH, EPERM };
	static const char *const calls[] = { "process_vm_writev", "process_vm_readv" };
	for (size_t k = 0; k < 2; k++) {
		survive(&(struct fault){ .action = FAULT_SHORT, .only = calls[k] });
		survive(&(struct fault){ .action = FAULT_SHORT, .only = calls[k], .lasting = true });
		for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
			survive(&(struct fault){ .only = calls[k], .error = errors[i] });
			survive(&(struct fault){ .only = calls[k], .error = errors[i], .lasting = true });
		}
	}
	survive(&(struct fault){ .only = "malloc calloc" });
}

/* The same for the receiver. */
static void send_row(struct haul *h, struct haul_peer *p, const void *arg)
{
	unsigned char *buf = filled(LEN, 1);
	(void)h;
	for (int i = 0; i < *(const int *)arg; i++)
		must_be(haul_send(p, 1, buf, LEN, -1), 0);
	free(buf);
}

static void survive_receiving(const struct fault *f)
{
	static const int row = 29;
	unsigned char *buf = room_for(LEN);
	struct pairing p;
	hands_start(&p, send_row, &row);
	for (unsigned nth = 1; nth <= (unsigned)row; nth++) {
		struct fault now = *f;
		now.nth = nth;
		memset(buf, CANARY, LEN);
		await_message(p.haul, 1);
		fault_arm(&now);
		ssize_t n = haul_recv(p.haul, &(struct haul_match){ .tag = 1 }, buf, LEN, -1, NULL);
		fault_disarm();
		must_be(n, LEN);
		must_hold(buf, LEN, 1, 0);
	}
	free(buf);
	pairing_end(&p);
}

Test(fault_twohand, whatever_fails_for_the_receiver_nothing_is_lost)
{
	static const int errors[] = { EFAULT, ENOMEM, EPERM };
	survive_receiving(&(struct fault){ .action = FAULT_SHORT, .only = "process_vm_readv" });
	survive_receiving(
	    &(struct fault){ .action = FAULT_SHORT, .only = "process_vm_readv", .lasting = true });
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		survive_receiving(&(struct fault){ .only = "process_vm_readv", .error = errors[i] });
	survive_receiving(&(struct fault){ .only = "calloc", .lasting = true });
}
