/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A pool of workers that compress files, as gzip(1) does:
 *
 *     pool [--workers N] [--kill JOB] DIR FILE...
 *
 * Each worker is this program again, started by haul_spawn(). It is sent a file at a time, which it copies straight
 * out of the parent's mapping of it, and sends back the result. If one dies its file is given to another, and a new
 * worker takes its place; --kill has the one die that is given that file, the first being 0, to see that.
 */
#include <haul/worker.h>

#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "pool_files.h"

enum { PATIENCE_MS = 60000, WORKERS_MOST = 64, TRIES = 3, NONE = -1 };

static struct haul *haul;

static long must(const char *what, long rc)
{
	if (rc < 0)
		errx(1, "%s: %s (%s)", what, strerror((int)-rc), haul_reason());
	return rc;
}

/* ---- a worker ---- */

static int work(void)
{
	struct haul_peer *parent;
	struct haul_msg *m;
	struct haul_status s;
	void *room = NULL;
	int rc;
	must("inherit", haul_inherit(haul, PATIENCE_MS, &parent));
	while ((rc = haul_take(haul, NULL, -1, &m)) == 0) {
		haul_msg_status(m, &s);
		room = need(room, s.len);
		struct iovec into = { room, s.len };
		must("read", haul_msg_read(m, 0, &into, 1, -1));
		must("done", haul_msg_done(m));
		struct bytes result = compress_bytes((struct bytes){ room, s.len });
		must("send", haul_send(parent, s.tag, result.at, result.len, -1));
	}
	free(room);
	return rc == -EPIPE ? 0 : 1; /* a goodbye */
}

/* ---- the parent ---- */

struct job {
	const char *path;
	struct bytes file; /* while it is with a worker */
	int tries;
	bool done;
};

struct worker {
	struct haul_peer *peer;
	struct haul_req *sent; /* its job, as a message */
	struct haul_req *end;  /* completes when it has died */
	long job;              /* NONE: it is idle */
};

static const char *dir;
static struct job *jobs;
static size_t job_count, done_count, replaced;
static size_t next_job; /* all before it were given to somebody once */
static struct worker workers[WORKERS_MOST];
static size_t worker_count = 4;
static long to_kill = NONE;

static void hire(struct worker *w)
{
	char *argv[] = { (char *)"/proc/self/exe", (char *)"--work", NULL };
	struct haul_spawn s = { .argv = argv };
	must("spawn", haul_spawn(haul, &s, sizeof(s), PATIENCE_MS, &w->peer));
	must("watch", haul_peer_watch(w->peer, &w->end));
	haul_peer_set_user(w->peer, w);
	w->job = NONE;
}

static void give(struct worker *w, size_t number)
{
	struct job *j = &jobs[number];
	if (j->tries++ == TRIES)
		errx(1, "%s: %d workers have died of it", j->path, TRIES);
	j->file = map_file(j->path);
	w->job = (long)number;
	if (w->job == to_kill && j->tries == 1)
		must("kill", haul_peer_kill(w->peer, SIGKILL));
	struct iovec bytes = { j->file.at, j->file.len };
	int rc = haul_isend(w->peer, number, &bytes, 1, 0, &w->sent);
	if (rc != -ECONNRESET) /* it has died, and its end is about to be told */
		must("send", rc);
}

/* The job has come back, or its worker won't bring it any more. */
static void take_back(struct worker *w)
{
	if (w->sent != NULL)
		haul_req_finish(w->sent, NULL); /* complete, or it would not have come to this */
	w->sent = NULL;
	unmap_file(jobs[w->job].file);
	w->job = NONE;
}

/* A result. If its sender dies while it is read that is not one, and its end will be told as well. */
static void collect(struct haul_msg *m)
{
	struct haul_status s;
	haul_msg_status(m, &s);
	struct bytes result = { need(NULL, s.len), s.len };
	struct iovec into = { result.at, result.len };
	struct worker *w = haul_peer_user(s.peer);
	ssize_t n = haul_msg_read(m, 0, &into, 1, PATIENCE_MS);
	haul_msg_done(m);
	if (w != NULL && n == (ssize_t)s.len) {
		must("sent", haul_req_wait(w->sent, PATIENCE_MS));
		save_result(dir, s.tag, jobs[s.tag].path, result);
		jobs[s.tag].done = true;
		done_count++;
		take_back(w);
	}
	free(result.at);
}

static void replace(struct worker *w)
{
	int status;
	haul_req_finish(w->end, NULL);
	must("reap", haul_peer_reap(w->peer, PATIENCE_MS, &status));
	fprintf(stderr, "pool: a worker has died (%s %d)%s\n", WIFSIGNALED(status) ? "signal" : "status",
	    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
	    w->job != NONE ? ", its job is given to another" : "");
	if (w->job != NONE) {
		if ((size_t)w->job < next_job)
			next_job = (size_t)w->job;
		take_back(w);
	}
	haul_peer_close(w->peer, 0);
	hire(w);
	replaced++;
}

static bool is_given(size_t number)
{
	for (size_t i = 0; i < worker_count; i++)
		if (workers[i].job == (long)number)
			return true;
	return jobs[number].done;
}

static void give_to_the_idle(void)
{
	for (size_t i = 0; i < worker_count; i++) {
		while (next_job < job_count && is_given(next_job))
			next_job++;
		if (workers[i].job == NONE && next_job < job_count)
			give(&workers[i], next_job);
	}
}

/* Nobody is left from whom a result could come. */
static void replace_all(void)
{
	for (size_t i = 0; i < worker_count; i++) {
		must("wait", haul_req_wait(workers[i].end, PATIENCE_MS));
		replace(&workers[i]);
	}
}

static void run(void)
{
	struct haul_req *reqs[1 + WORKERS_MOST]; /* the next result, and everybody's end */
	struct haul_status s;
	must("take", haul_itake(haul, NULL, &reqs[0]));
	while (done_count < job_count) {
		give_to_the_idle();
		for (size_t i = 0; i < worker_count; i++)
			reqs[1 + i] = workers[i].end;
		long at = must("wait", haul_wait_any(reqs, 1 + worker_count, PATIENCE_MS));
		if (at > 0) {
			replace(&workers[at - 1]);
			continue;
		}
		int rc = haul_req_finish(reqs[0], &s);
		if (rc == -EPIPE)
			replace_all();
		else if (must("take", rc) == 0)
			collect(s.msg);
		must("take", haul_itake(haul, NULL, &reqs[0]));
	}
	haul_req_free(reqs[0]);
}

static void usage(void)
{
	fprintf(stderr, "usage: pool [--workers N] [--kill JOB] DIR FILE...\n");
	exit(64);
}

static void read_options(int argc, char **argv)
{
	static const struct option options[] = { { "workers", required_argument, NULL, 'w' },
		{ "kill", required_argument, NULL, 'k' }, { NULL, 0, NULL, 0 } };
	for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (c == 'w')
			worker_count = (size_t)atoi(optarg);
		else if (c == 'k')
			to_kill = atol(optarg);
		else
			usage();
	}
	if (worker_count < 1 || worker_count > WORKERS_MOST || argc - optind < 2)
		usage();
	dir = argv[optind++];
	job_count = (size_t)(argc - optind);
	jobs = need(NULL, job_count * sizeof(*jobs));
	for (size_t i = 0; i < job_count; i++)
		jobs[i] = (struct job){ .path = argv[optind + (int)i] };
}

int main(int argc, char **argv)
{
	must("open", haul_open(&haul, NULL, 0));
	if (argc == 2 && strcmp(argv[1], "--work") == 0)
		return work();
	read_options(argc, argv);
	for (size_t i = 0; i < worker_count; i++)
		hire(&workers[i]);
	double begin = now();
	run();
	printf("pool: %zu files by %zu workers, %zu replaced, %.3f s\n", job_count, worker_count, replaced,
	    now() - begin);
	haul_close(haul, PATIENCE_MS); /* says goodbye to the workers, which then exit */
	while (wait(NULL) > 0)
		;
	free(jobs);
	return 0;
}
