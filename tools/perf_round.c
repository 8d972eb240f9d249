/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One round of haul perf from outside: makes the descriptors, forks the two processes, waits for their
 * reports until a deadline, reaps them. Nothing of a round outlives perf_round_run(). When one process
 * fails, the other is killed: it may be spinning on a message that will never come.
 */
#include "perf.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define GRACE_NS ((uint64_t)100 * 1000000)

/* A process under way, seen from the parent. */
struct worker {
	pid_t pid;
	int reports; /* the end of a pipe */
};

/* What a round can take at the most: far longer than any machine needs. */
static uint64_t deadline_ns(const struct perf_round *round)
{
	const struct perf_options *o = round->options;
	uint64_t touched = (uint64_t)round->bytes * (o->common.buffers + 2 * PERF_MIN_MESSAGES);
	uint64_t ms = 30000 + 20 * (uint64_t)o->common.budget_ms + touched / 50000;
	return perf_now() + ms * 1000000;
}

static void close_both(int fd[2])
{
	for (int i = 0; i < 2; i++)
		if (fd[i] >= 0)
			close(fd[i]);
}

/* Closes the contender's and the harness's descriptors of one process, or rather of who is not it. */
static void close_side(const struct perf_round *round, int rank)
{
	if (round->rx[rank] >= 0)
		close(round->rx[rank]);
	if (round->tx[rank] >= 0 && round->tx[rank] != round->rx[rank])
		close(round->tx[rank]);
	close(round->sync[rank]);
}

static int start(const struct perf_round *round, int rank, const struct worker *other, struct worker *worker)
{
	int fd[2];
	if (pipe(fd) < 0)
		return -1;
	pid_t pid = fork();
	if (pid < 0) {
		int error = errno;
		close_both(fd);
		errno = error;
		return -1;
	}
	if (pid == 0) {
		struct perf_report report;
		close(fd[0]);
		if (other != NULL)
			close(other->reports);
		close_side(round, 1 - rank);
		perf_worker_run(round, rank, &report);
		_exit(write(fd[1], &report, sizeof(report)) == sizeof(report) ? 0 : 1);
	}
	close(fd[1]);
	*worker = (struct worker){ .pid = pid, .reports = fd[0] };
	return 0;
}

static void stop(struct worker *worker)
{
	if (worker->pid <= 0)
		return;
	kill(worker->pid, SIGKILL);
	while (waitpid(worker->pid, NULL, 0) < 0 && errno == EINTR)
		;
	close(worker->reports);
}

/* Reads one report. It is shorter than PIPE_BUF, so it comes whole or, from a process that died, not at all. */
static void read_report(const struct worker *worker, struct perf_report *report)
{
	_Static_assert(sizeof(*report) <= 512, "POSIX's least PIPE_BUF");
	if (read(worker->reports, report, sizeof(*report)) != sizeof(*report))
		*report = (struct perf_report){ .failed = true, .words = "died" };
}

/* Both reports, in whatever order they come. A failure in one process often causes one in the other, which
 * may be heard of first: hence a short grace after the first, and a look at the times. */
static int collect(const struct perf_round *round, const struct worker worker[2],
    struct perf_report report[2], char *words, size_t size)
{
	struct pollfd fd[2];
	uint64_t deadline = deadline_ns(round);

	for (int i = 0; i < 2; i++) {
		fd[i] = (struct pollfd){ .fd = worker[i].reports, .events = POLLIN };
		report[i] =
		    (struct perf_report){ .failed = true, .failed_ns = UINT64_MAX, .words = "took too long" };
	}
	while (fd[0].fd >= 0 || fd[1].fd >= 0) {
		uint64_t now = perf_now();
		int ready = poll(fd, 2, now < deadline ? (int)((deadline - now) / 1000000) + 1 : 0);
		if (ready < 0 && errno == EINTR)
			continue;
		if (ready <= 0)
			break;
		for (int i = 0; i < 2; i++) {
			if (fd[i].fd < 0 || fd[i].revents == 0)
				continue;
			read_report(&worker[i], &report[i]);
			fd[i].fd = -1;
			if (report[i].failed)
				deadline = perf_now() + GRACE_NS;
		}
	}

	int cause = report[1].failed && (!report[0].failed || report[1].failed_ns < report[0].failed_ns);
	if (!report[cause].failed)
		return 0;
	snprintf(words, size, "process %c: %s", 'A' + cause, report[cause].words);
	return -1;
}

/* 100: both together took as long as the longer one alone; 0: as long as one after the other. */
static double overlap_percent(const struct perf_overlap *o)
{
	double comm = (double)o->comm_ns, comp = (double)o->comp_ns, both = (double)o->both_ns;
	double longer = comm > comp ? comm : comp, shorter = comm > comp ? comp : comm;
	return shorter > 0 ? (1 - (both - longer) / shorter) * 100 : 0;
}

/* The CPU that both had, for the time it took the leader; with a CPU each that may be 200 %. */
static double idle_percent(const struct perf_report report[2], const struct perf_report *lead)
{
	double cpu = (double)(report[0].idle_cpu_ns + report[1].idle_cpu_ns);
	return lead->idle_ns > 0 ? cpu / (double)lead->idle_ns * 100 : -1;
}

/* The worse of the two processes. */
static double astray(const struct perf_options *o, const struct perf_report report[2])
{
	double a = o->common.huge ? 1 - report[0].huge : report[0].huge;
	double b = o->common.huge ? 1 - report[1].huge : report[1].huge;
	return a > b ? a : b;
}

static void summarize(const struct perf_round *round, const struct perf_report report[2],
    struct perf_result *result)
{
	const struct perf_kind *kind = &perf_kinds[round->what];
	const struct perf_report *lead = &report[kind->leader];
	unsigned legs = perf_legs(kind), timed = legs * perf_stride(kind);
	double messages = (double)lead->iterations * legs;
	double bytes = messages * (double)round->bytes;
	double seconds = (double)lead->elapsed_ns / 1e9;
	bool alone = round->options->spin && !perf_one_cpu(round->options);
	double cpu = (double)(report[0].cpu_ns + report[1].cpu_ns) / 1e9;

	*result = (struct perf_result){
		.usec_p50 = (double)lead->p50_ns / 1e3 / timed,
		.usec_p99 = (double)lead->p99_ns / 1e3 / timed,
		.mb_per_s = bytes / 1e6 / seconds,
		.msg_per_s = messages / seconds,
		.cpu_per_gib = cpu / (bytes / (1 << 30)),
		.idle_percent = idle_percent(report, lead),
		.messages = messages,
		.counters = perf_counters_sum(&report[0].counters, &report[1].counters),
		.overlap = lead->overlap,
		.overlap_percent = overlap_percent(&lead->overlap),
		.lost = alone ? 1 - (double)lead->cpu_ns / (double)lead->elapsed_ns : 0,
		.astray = astray(round->options, report),
	};
}

int perf_round_run(struct perf_round *round, struct perf_result *result, char *words, size_t words_size)
{
	struct worker worker[2] = { { .pid = -1 }, { .pid = -1 } };
	struct perf_report report[2];
	int rc = -1;

	for (int i = 0; i < 2; i++)
		round->rx[i] = round->tx[i] = -1;
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, round->sync) < 0) {
		snprintf(words, words_size, "socketpair: %s", strerror(errno));
		return -1;
	}
	if (round->contender->setup != NULL && round->contender->setup(round) < 0) {
		snprintf(words, words_size, "setup: %s", strerror(errno));
		goto err_close;
	}
	if (start(round, 0, NULL, &worker[0]) < 0 || start(round, 1, &worker[0], &worker[1]) < 0) {
		snprintf(words, words_size, "fork: %s", strerror(errno));
		goto err_close;
	}
	/* The parent keeps no end, so that each process sees the other's death as end of file. */
	close_side(round, 0);
	close_side(round, 1);
	rc = collect(round, worker, report, words, words_size);
	if (rc == 0)
		summarize(round, report, result);
	stop(&worker[0]);
	stop(&worker[1]);
	return rc;

err_close:
	close_side(round, 0);
	close_side(round, 1);
	stop(&worker[0]);
	stop(&worker[1]);
	return -1;
}
