/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kernel refuses to let one process read the other's memory: for each of the real causes, on either side,
 * from the start or in the middle of a long message. All of it arrives, the other direction keeps its path, and
 * both sides can say what stood in the way.
 *
 * Two children of the test are the sender and the receiver of the long message. They are users without any
 * rights, since root is refused hardly anything.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/causes.h"
#include "lib/child.h"
#include "lib/fds.h"
#include "lib/pairing.h"
#include "lib/pattern.h"
#include "lib/talk.h"
#include "lib/world.h"

TestSuite(refusal, .timeout = 60);

enum { SMALL_LEN = 100, LARGE_LEN = (1 << 20) + 3, STARTED_LEN = 20 << 20, LONG_LEN = 256 << 20 };

/* ---- the scenes ---- */

enum { RECEIVER = 1, SENDER = 2, BOTH = 3 };

/* Who is in it, from when on. By value: Criterion copies it to another process. */
struct scene {
	int cause, who;
	bool early;
	bool push; /* both have opted in */
};

/* Whether this side can't read the other. */
static bool refused(const struct scene *s, int side)
{
	const struct cause *c = &causes_all[s->cause];
	bool reader_in = (s->who & side) != 0, other_in = (s->who & ~side) != 0;
	if (reader_in && other_in && c->mends)
		return false;
	return (reader_in && c->blinds) || (other_in && c->hides);
}

/* How large messages come to this side, once that is settled. */
static int in_path(const struct scene *s, int side)
{
	if (!refused(s, side))
		return HAUL_PATH_PULL;
	return s->push && !refused(s, BOTH - side) ? HAUL_PATH_PUSH : HAUL_PATH_STREAM;
}

/* ---- what either side is told ---- */

static void check_words(const char *words, const struct cause *c)
{
	const char *what = c->words != NULL ? c->words : "process_vm_readv of pid";
	must(strnlen(words, 128) < 128);
	must(strstr(words, what) != NULL);
	must(c->words != NULL || strstr(words, strerror(c->error)) != NULL); /* not cut short */
}

static void check_path(int path, int error, const char *words, int expected, const struct cause *c)
{
	must_be(path, expected);
	must_be(error, expected != HAUL_PATH_PULL ? c->error : 0);
	if (expected != HAUL_PATH_PULL)
		check_words(words, c);
	else
		must_be(words[0], '\0');
}

/* in, out: that this direction is refused must have come out by now, if it is. */
static void check_told(struct haul_peer *p, const struct scene *s, int side, bool in, bool out)
{
	const struct cause *c = &causes_all[s->cause];
	struct haul_peer_info info;
	must_be(haul_peer_info(p, &info, sizeof(info)), 0);
	check_path(info.in_path, info.in_error, info.in_words, in ? in_path(s, side) : HAUL_PATH_PULL, c);
	check_path(info.out_path, info.out_error, info.out_words,
	    out ? in_path(s, BOTH - side) : HAUL_PATH_PULL, c);
	must(info.pid > 0 || info.in_error == ESRCH);
}

/* ---- the talk ---- */

/* One of the two, in its process. */
struct end {
	struct scene scene;
	int side, fd, other_fd;
	int asks, told; /* a byte each: the receiver wants the sender to enter, which it has done */
	struct haul *haul;
	struct haul_peer *peer;
};

static void exchange(const struct end *e)
{
	static const size_t lens[] = { SMALL_LEN, LARGE_LEN };
	for (uint64_t i = 0; i < 2; i++) {
		if (e->side == SENDER)
			send_pattern(e->peer, lens[i], 10 + i);
		receive_pattern(e->haul, lens[i], (e->side == SENDER ? 20 : 10) + i);
		if (e->side == RECEIVER)
			send_pattern(e->peer, lens[i], 20 + i);
	}
}

static void enter(const struct end *e)
{
	const char *cannot = causes_all[e->scene.cause].enter();
	must(cannot == NULL);
}

static void send_long(const struct end *e)
{
	size_t len = e->scene.early ? STARTED_LEN : LONG_LEN;
	unsigned char *buf = filled(len, 1);
	struct iovec iov = { buf, len };
	struct haul_stats stats;
	struct haul_req *r;
	char byte = 0;
	must_be(haul_isend(e->peer, 1, &iov, 1, HAUL_SYNC, &r), 0);
	if (!e->scene.early && e->scene.who == SENDER) {
		must_be(read(e->asks, &byte, 1), 1);
		enter(e);
		must_be(write(e->told, &byte, 1), 1);
	}
	must_be(haul_req_wait(r, PATIENCE_MS), 0);
	must_be(haul_req_finish(r, NULL), 0);
	must_be(haul_stats(e->haul, &stats, sizeof(stats)), 0);
	int path = in_path(&e->scene, RECEIVER);
	must_be(stats.sent_pull_bytes, path == HAUL_PATH_PULL ? len : 0);
	must_be(stats.sent_push_bytes, path == HAUL_PATH_PUSH ? len : 0);
	must_be(stats.sent_stream_bytes, path == HAUL_PATH_STREAM ? len : 0);
	if (path == HAUL_PATH_PULL)
		must_be(stats.copied_bytes, 0);
	else if (e->scene.early)
		must_be(stats.copied_bytes, len);
	else
		must(stats.copied_bytes < len); /* it went on where the pull stood */
	free(buf);
}

/* Until some of it has been pulled; then whoever is to enters. */
static uint64_t change_in_the_middle(const struct end *e, struct haul_req *r)
{
	struct haul_stats stats;
	char byte = 0;
	do {
		must(haul_progress(e->haul) >= 0);
		must_be(haul_stats(e->haul, &stats, sizeof(stats)), 0);
	} while (stats.pull_calls == 0);
	must(stats.copied_bytes > 0);
	must_be(haul_req_finish(r, NULL), -EINPROGRESS);
	check_told(e->peer, &e->scene, RECEIVER, false, false);
	if (e->scene.who == RECEIVER) {
		enter(e);
	} else {
		must_be(write(e->asks, &byte, 1), 1);
		must_be(read(e->told, &byte, 1), 1);
	}
	return stats.copied_bytes;
}

static void receive_long(const struct end *e)
{
	size_t len = e->scene.early ? STARTED_LEN : LONG_LEN;
	unsigned char *buf = room_for(len);
	struct iovec iov = { buf, len };
	struct haul_stats stats;
	struct haul_req *r;
	must_be(haul_irecv(e->haul, &(struct haul_match){ .tag = 1 }, &iov, 1, &r), 0);
	uint64_t pulled = e->scene.early ? 0 : change_in_the_middle(e, r);
	must_be(haul_req_wait(r, PATIENCE_MS), 0);
	must_be(haul_req_finish(r, NULL), 0);
	must_hold(buf, len, 1, 0);
	must_be(haul_stats(e->haul, &stats, sizeof(stats)), 0);
	int path = in_path(&e->scene, RECEIVER);
	must_be(stats.received_pull_bytes, path == HAUL_PATH_PULL ? len : 0);
	must_be(stats.received_push_bytes, path == HAUL_PATH_PUSH ? len : 0);
	must_be(stats.received_stream_bytes, path == HAUL_PATH_STREAM ? len : 0);
	must_be(stats.copied_bytes, path == HAUL_PATH_PUSH ? pulled : len); /* nothing twice */
	must_be(stats.withdrawn, 0);
	if (e->scene.early && path != HAUL_PATH_PULL)
		must_be(stats.pull_calls, 0);
	free(buf);
}

static int admit(void *arg, pid_t pid, uid_t uid, gid_t gid)
{
	(void)arg, (void)pid, (void)uid, (void)gid;
	return 1;
}

static void open_context(struct end *e)
{
	struct haul_options o = { .admit = causes_all[e->scene.cause].strangers ? admit : NULL,
		.push = e->scene.push };
	must_be(haul_open(&e->haul, &o, sizeof(o)), 0);
}

static int talk(struct end *e)
{
	bool early = e->scene.early;
	check_told(e->peer, &e->scene, e->side, early, early);
	if (e->side == SENDER)
		send_long(e);
	else
		receive_long(e);
	check_told(e->peer, &e->scene, e->side, early || e->side == RECEIVER, early || e->side == SENDER);
	exchange(e);
	check_told(e->peer, &e->scene, e->side, true, true);
	must_be(haul_close(e->haul, PATIENCE_MS), 0);
	return 0;
}

static int adopt_and_talk(struct end *e)
{
	int fds = fds_count();
	open_context(e);
	must_be(haul_adopt(e->haul, e->fd, PATIENCE_MS, &e->peer), 0);
	talk(e);
	must_be(fds_count(), fds - 1); /* the socket became the library's */
	return 0;
}

/* ---- the processes ---- */

/* Runs in the program started anew: test_refusal end <cause> <who> <push> <side> fd:<N>. */
static int end_anew(char **argv)
{
	struct end e = { .scene = { atoi(argv[2]), atoi(argv[3]), true, atoi(argv[4]) != 0 },
		.side = atoi(argv[5]) };
	must_in_child();
	must_note(causes_all[e.scene.cause].name);
	open_context(&e);
	must_be(haul_connect(e.haul, argv[6], PATIENCE_MS, &e.peer), 0);
	return talk(&e);
}

static void prepare_rerun(const struct end *e)
{
	static char words[5][16];
	const int numbers[] = { e->scene.cause, e->scene.who, e->scene.push, e->side };
	for (int i = 0; i < 4; i++)
		snprintf(words[i], sizeof(words[i]), "%d", numbers[i]);
	snprintf(words[4], sizeof(words[4]), "fd:%d", e->fd);
	causes_rerun[1] = "end";
	for (int i = 0; i < 5; i++)
		causes_rerun[2 + i] = words[i];
	must_be(fcntl(e->fd, F_SETFD, 0), 0);
}

static int run_end(void *arg)
{
	struct end *e = arg;
	const struct cause *c = &causes_all[e->scene.cause];
	bool affected = e->scene.early && (e->scene.who & e->side) != 0;
	must_in_child();
	close(e->other_fd); /* or this process would hide the other's end */
	prepare_rerun(e);
	if (affected && c->as_root)
		enter(e);
	world_become_plain(c->capabilities);
	if (affected && !c->as_root)
		enter(e);
	return adopt_and_talk(e);
}

static void play(const struct scene *s)
{
	const struct cause *c = &causes_all[s->cause];
	struct child children[2];
	int fds[2], asks[2], told[2], before = fds_count();
	must_note(c->name);
	const char *cannot = world_try(c->enter, c->capabilities, c->as_root);
	if (cannot != NULL)
		cr_skip_test("%s: %s", c->name, cannot);
	must_be(haul_pair(fds), 0);
	must_be(pipe2(asks, O_CLOEXEC), 0);
	must_be(pipe2(told, O_CLOEXEC), 0);
	for (int i = 0; i < 2; i++) {
		struct end e = { .scene = *s, .side = i == 0 ? RECEIVER : SENDER, .fd = fds[i] };
		e.other_fd = fds[1 - i];
		e.asks = asks[i == 0];
		e.told = told[i == 1];
		child_start(&children[i], PATIENCE_MS, run_end, &e);
	}
	for (int i = 0; i < 2; i++) {
		close(fds[i]);
		close(asks[i]);
		close(told[i]);
	}
	child_expect(&children[0], 0);
	child_expect(&children[1], 0);
	fds_expect(before);
}

/* ---- the tests ---- */

/* With push, those in which the long message can't be pulled: the others would be the same. */
static struct criterion_test_params scenes(bool early, bool push)
{
	static struct scene all[BOTH * CAUSES];
	size_t n = 0;
	for (int i = 0; i < CAUSES; i++) {
		for (int who = RECEIVER; who <= (early ? BOTH : SENDER); who++) {
			struct scene s = { i, who, early, push };
			if ((early || !causes_all[i].only_early) && (!push || refused(&s, RECEIVER)))
				all[n++] = s;
		}
	}
	return cr_make_param_array(struct scene, all, n);
}

ParameterizedTestParameters(refusal, a_cause_from_the_start_costs_only_a_copy)
{
	return scenes(true, false);
}

ParameterizedTest(struct scene *s, refusal, a_cause_from_the_start_costs_only_a_copy)
{
	play(s);
}

ParameterizedTestParameters(refusal, a_cause_in_the_middle_of_a_message_costs_only_a_copy_of_the_rest)
{
	return scenes(false, false);
}

ParameterizedTest(struct scene *s, refusal, a_cause_in_the_middle_of_a_message_costs_only_a_copy_of_the_rest)
{
	play(s);
}

ParameterizedTestParameters(refusal, a_sender_that_may_write_pushes_what_cannot_be_pulled)
{
	return scenes(true, true);
}

ParameterizedTest(struct scene *s, refusal, a_sender_that_may_write_pushes_what_cannot_be_pulled)
{
	play(s);
}

ParameterizedTestParameters(refusal, a_sender_that_may_write_pushes_the_rest_of_what_was_pulled)
{
	return scenes(false, true);
}

ParameterizedTest(struct scene *s, refusal, a_sender_that_may_write_pushes_the_rest_of_what_was_pulled)
{
	play(s);
}

/* Of its own, because this program is also what world_run_unreadable() runs. Visible, because Criterion looks for
 * it when it starts a test's process. */
int main(int argc, char **argv) __attribute__((visibility("default")));
int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "nothing") == 0)
		_exit(0);
	if (argc == 7 && strcmp(argv[1], "end") == 0)
		_exit(end_anew(argv)); /* a search for leaks needs to be dumpable */
	struct criterion_test_set *tests = criterion_initialize();
	criterion_options.jobs = 2; /* half a GiB each */
	int rc = criterion_handle_args(argc, argv, true) && !criterion_run_all_tests(tests);
	criterion_finalize(tests);
	return rc;
}
