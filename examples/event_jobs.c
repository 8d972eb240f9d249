/* SPDX-License-Identifier: BSD-3-Clause */
/* The work of the examples event_*.c. See event_jobs.h. */
#include "event_jobs.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORKERS = 4, JOBS = 400, AT_A_TIME = 2, LONGEST = 8 << 19, TAG_END = JOBS, PATIENCE_MS = 5000 };

static const char *name = "?";

static void fail(const char *what, const char *why)
{
	fprintf(stderr, "%s: %s: %s\n", name, what, why);
	exit(1);
}

int must(int rc)
{
	if (rc < 0)
		fail(strerror(-rc), haul_reason());
	return rc;
}

/* ---- the jobs: number n has length(n) bytes, and the answer to it is each of them inverted ---- */

static size_t length(unsigned n)
{
	return (size_t)8 << n % 20;
}

static unsigned char byte(unsigned n, size_t at)
{
	return (unsigned char)(n + at + (at >> 8));
}

static void invert(unsigned char *buf, size_t len)
{
	for (size_t i = 0; i < len; i++)
		buf[i] = (unsigned char)~buf[i];
}

/* ---- a worker: calls that block are good enough for it ---- */

static int work(int end, int notes)
{
	struct haul *h;
	struct haul_peer *parent;
	struct haul_status job;
	unsigned char *buf = malloc(LONGEST);
	if (buf == NULL)
		fail("worker", "no memory");
	must(haul_open(&h, NULL, 0));
	must(haul_adopt(h, end, PATIENCE_MS, &parent));
	for (;;) {
		must((int)haul_recv(h, NULL, buf, LONGEST, -1, &job));
		if (job.tag == TAG_END)
			break;
		invert(buf, job.got);
		must(haul_send(parent, job.tag, buf, job.got, -1));
		if (write(notes, ".", 1) != 1)
			fail("worker", "the pipe takes no note");
	}
	must(haul_close(h, PATIENCE_MS));
	free(buf);
	return 0;
}

/* ---- the parent: nothing here may block ---- */

/* A job under way. It is over when the send and the receive are, in either order. */
struct slot {
	struct jobs *jobs;
	struct haul_peer *worker;
	struct haul_req *send, *recv;
	int left; /* of the two */
	unsigned n;
	unsigned char *out, *in;
};

static struct slot slots[WORKERS * AT_A_TIME];
static struct haul_peer *workers[WORKERS];
static unsigned next_job;

static void start_job(struct slot *s);

static void check_answer(struct slot *s)
{
	struct haul_status status;
	must(haul_req_finish(s->send, NULL));
	must(haul_req_finish(s->recv, &status));
	if (status.got != length(s->n))
		fail("answer", "has another length than the job");
	for (size_t i = 0; i < status.got; i++)
		if (s->in[i] != (unsigned char)~byte(s->n, i))
			fail("answer", "has a wrong byte");
	s->jobs->answers++;
}

static void send_workers_home(void)
{
	struct haul_req *r;
	for (int w = 0; w < WORKERS; w++) {
		must(haul_isend(workers[w], TAG_END, NULL, 0, 0, &r));
		haul_req_free(r); /* goes on by itself */
	}
}

/* Called by haul_progress(), when a request of the slot's has completed. */
static void on_completion(struct haul_req *r, void *arg)
{
	struct slot *s = arg;
	(void)r;
	if (--s->left > 0)
		return;
	check_answer(s);
	if (next_job < JOBS)
		start_job(s);
	else if (s->jobs->answers == JOBS)
		send_workers_home();
}

static void start_job(struct slot *s)
{
	const struct haul_notify notify = { .call = on_completion, .arg = s };
	s->n = next_job++;
	s->left = 2;
	struct haul_match match = { .from = s->worker, .tag = s->n };
	struct iovec out = { s->out, length(s->n) }, in = { s->in, LONGEST };
	for (size_t i = 0; i < out.iov_len; i++)
		s->out[i] = byte(s->n, i);
	must(haul_irecv(s->jobs->haul, &match, &in, 1, &s->recv));
	must(haul_isend(s->worker, s->n, &out, 1, 0, &s->send));
	must(haul_req_notify(s->recv, &notify));
	must(haul_req_notify(s->send, &notify));
}

/* Forks them before there is a context: that could not be shared with a child. Returns our ends in ours[]. */
static int fork_workers(int ours[WORKERS])
{
	int notes[2], pair[2];
	if (pipe(notes) != 0)
		fail("pipe", "none to be had");
	for (int w = 0; w < WORKERS; w++) {
		must(haul_pair(pair));
		pid_t pid = fork();
		if (pid < 0)
			fail("fork", "no more processes");
		if (pid == 0) {
			for (int i = 0; i < w; i++)
				close(ours[i]); /* or the others' connections would seem to live on in us */
			close(pair[0]);
			close(notes[0]);
			_exit(work(pair[1], notes[1]));
		}
		close(pair[1]);
		ours[w] = pair[0];
	}
	close(notes[1]);
	return notes[0];
}

void jobs_start(struct jobs *j, const char *program)
{
	int ours[WORKERS];
	name = program;
	*j = (struct jobs){ .name = program, .notes = fork_workers(ours) };
	must(haul_open(&j->haul, NULL, 0));
	for (int w = 0; w < WORKERS; w++)
		must(haul_adopt(j->haul, ours[w], PATIENCE_MS, &workers[w]));
	for (int i = 0; i < WORKERS * AT_A_TIME; i++) {
		struct slot *s = &slots[i];
		*s = (struct slot){ .jobs = j, .worker = workers[i % WORKERS] };
		if ((s->out = malloc(LONGEST)) == NULL || (s->in = malloc(LONGEST)) == NULL)
			fail("jobs", "no memory");
		start_job(s);
	}
}

void jobs_read_notes(struct jobs *j)
{
	char notes[64];
	ssize_t n = read(j->notes, notes, sizeof(notes));
	if (n > 0)
		j->noted += (unsigned)n;
	else
		j->over = true;
}

void jobs_tick(const struct jobs *j)
{
	printf("%s: %u of %d answers\n", j->name, j->answers, JOBS);
}

int jobs_end(struct jobs *j)
{
	int status;
	must(haul_close(j->haul, PATIENCE_MS));
	close(j->notes);
	for (int i = 0; i < WORKERS * AT_A_TIME; i++) {
		free(slots[i].out);
		free(slots[i].in);
	}
	for (int w = 0; w < WORKERS; w++)
		if (wait(&status) < 0 || status != 0)
			fail("worker", "ended badly");
	if (j->answers != JOBS || j->noted != JOBS)
		fail("jobs", "some were left undone");
	printf("%s: %d workers, %u answers, all bytes right\n", j->name, WORKERS, j->answers);
	return 0;
}
