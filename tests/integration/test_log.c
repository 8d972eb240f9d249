/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The log: a line when a peer has come, when a path changes, when it has gone; none for messages. And what it
 * says is what haul_peer_info() says, on both sides.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/handmade.h"
#include "lib/pairing.h"
#include "lib/pattern.h"
#include "lib/talk.h"
#include "lib/world.h"

TestSuite(log, .timeout = 60);

enum { LEN = 1 << 20, LONG_LEN = 64 << 20, LINES = 16 };

struct lines {
	int count;
	int level[LINES];
	char line[LINES][512];
};

static void keep(void *arg, int level, const char *line)
{
	struct lines *l = arg;
	must(l->count < LINES);
	must(strchr(line, '\n') == NULL);
	l->level[l->count] = level;
	snprintf(l->line[l->count++], sizeof(l->line[0]), "%s", line);
}

static struct haul_options logging(struct lines *l)
{
	return (struct haul_options){ .log = keep, .log_arg = l };
}

static void send_many(struct haul *h, struct haul_peer *p, const void *arg)
{
	unsigned char *buf = filled(LEN, 1);
	(void)h;
	(void)arg;
	for (int i = 0; i < 100; i++) {
		must_be(haul_send(p, 1, buf, 100, PATIENCE_MS), 0);
		must_be(haul_send(p, 1, buf, LEN, PATIENCE_MS), 0);
	}
	free(buf);
}

static void receive_many(struct haul *h)
{
	unsigned char *buf = room_for(LEN);
	for (int i = 0; i < 200; i++)
		must(haul_recv(h, NULL, buf, LEN, PATIENCE_MS, NULL) > 0);
	free(buf);
}

Test(log, has_one_line_for_a_peer_and_none_for_its_messages)
{
	struct lines lines = { 0 };
	struct haul_options o = logging(&lines);
	struct pairing p;
	char pid[32];
	pairing_start(&p, &o, NULL, send_many, NULL);
	receive_many(p.haul);
	snprintf(pid, sizeof(pid), "peer %d,", (int)p.child.pid);
	pairing_end(&p);
	must_be(lines.count, 1);
	must_be(lines.level[0], HAUL_LOG_INFO);
	must(strstr(lines.line[0], pid) == lines.line[0]);
	must(strstr(lines.line[0], "come by pull, go by pull") != NULL);
}

Test(log, says_no_more_than_was_asked_for)
{
	struct lines lines = { 0 };
	struct haul_options o = logging(&lines);
	struct pairing p;
	o.log_level = HAUL_LOG_ERROR;
	pairing_start(&p, &o, NULL, send_many, NULL);
	receive_many(p.haul);
	pairing_end(&p);
	must_be(lines.count, 0);
}

static void send_long_and_be_told(struct haul *h, struct haul_peer *p, const void *arg)
{
	unsigned char *buf = filled(LONG_LEN, 1);
	struct haul_peer_info info;
	(void)arg;
	struct iovec iov = { buf, LONG_LEN };
	must_be(haul_sendv(p, 1, &iov, 1, HAUL_SYNC, PATIENCE_MS), 0);
	await_token(h, p);
	must_be(haul_peer_info(p, &info, sizeof(info)), 0);
	must_be(info.out_path, HAUL_PATH_STREAM);
	must_be(info.out_error, EPERM);
	must(strstr(info.out_words, "process_vm_readv of pid ") == info.out_words);
	must_be(info.in_path, HAUL_PATH_PULL);
	must_be(info.in_error, 0);
	free(buf);
}

Test(log, tells_of_a_path_that_changes_and_so_hears_the_peer)
{
	struct lines lines = { 0 };
	struct haul_options o = logging(&lines);
	struct haul_stats s;
	struct haul_req *r;
	struct pairing p;
	unsigned char *buf = room_for(LONG_LEN);
	struct iovec iov = { buf, LONG_LEN };
	pairing_start(&p, &o, NULL, send_long_and_be_told, NULL);
	must_be(haul_irecv(p.haul, NULL, &iov, 1, &r), 0);
	do {
		must(haul_progress(p.haul) >= 0);
		must_be(haul_stats(p.haul, &s, sizeof(s)), 0);
	} while (s.pull_calls == 0);
	must(world_refuse_reads(EPERM) == NULL);
	must_be(haul_req_wait(r, PATIENCE_MS), 0);
	must_be(haul_req_finish(r, NULL), 0);
	must_hold(buf, LONG_LEN, 1, 0);
	send_token(p.peer);
	pairing_end(&p);
	must_be(lines.count, 2);
	must_be(lines.level[1], HAUL_LOG_INFO);
	must(strstr(lines.line[1], "from now on large messages come by stream (process_vm_readv") != NULL);
	must(strstr(lines.line[1], "Operation not permitted") != NULL);
	free(buf);
}

/* To be pushed to, this side has to be read. */
Test(log, tells_of_both_ways_where_one_refusal_changes_both)
{
	struct lines lines = { 0 };
	struct haul_options o = logging(&lines);
	struct handmade m;
	uint8_t verdict[WIRE_VERDICT_SIZE] = { EPERM };
	o.push = 1;
	handmade_start_as(&m, &o, &(struct raw){ .features = WIRE_FEATURE_PUSH, .impostor = true });
	must_be(lines.count, 2); /* the first is of the good peer */
	must(strstr(lines.line[1], "come by push (pid ") != NULL);
	must(strstr(lines.line[1], "go by pull") != NULL);
	must(raw_send_frame(&m.raw, WIRE_VERDICT, 0, verdict, sizeof(verdict)));
	handmade_must_live(&m);
	must_be(lines.count, 4);
	must(strstr(lines.line[2], "from now on large messages come by stream (pid ") != NULL);
	must(strstr(lines.line[3], "from now on large messages go by stream (") != NULL);
	handmade_end(&m);
}

static void vanish(struct haul *h, struct haul_peer *p, const void *arg)
{
	(void)arg;
	await_token(h, p);
	_exit(0);
}

Test(log, tells_of_a_death)
{
	struct lines lines = { 0 };
	struct haul_options o = logging(&lines);
	struct pairing p;
	pairing_start(&p, &o, NULL, vanish, NULL);
	send_token(p.peer);
	must_be(haul_recv(p.haul, &(struct haul_match){ .from = p.peer, .ignore = UINT64_MAX }, NULL, 0,
	            PATIENCE_MS, NULL),
	    -ECONNRESET);
	pairing_end(&p);
	must_be(lines.count, 2);
	must_be(lines.level[1], HAUL_LOG_INFO);
	must(strstr(lines.line[1], "has gone: ") != NULL);
}

/* What standard error gets in a process whose environment asks for it. */
Test(log, goes_to_standard_error_if_the_environment_asks)
{
	struct twins t;
	char text[1024] = "", begin[32];
	int fds[2], saved = dup(STDERR_FILENO);
	must(pipe(fds) == 0 && saved >= 0);
	must(setenv("HAUL_LOG", "info", 1) == 0);
	must(dup2(fds[1], STDERR_FILENO) >= 0);
	twins_start(&t, NULL);
	dup2(saved, STDERR_FILENO);
	unsetenv("HAUL_LOG");
	close(fds[1]);
	must(read(fds[0], text, sizeof(text) - 1) > 0);
	snprintf(begin, sizeof(begin), "haul[%d]: peer %d", (int)getpid(), (int)getpid());
	must(strncmp(text, begin, strlen(begin)) == 0);
	close(fds[0]);
	close(saved);
	haul_close(t.a, 0);
	haul_close(t.b, 0);
}
