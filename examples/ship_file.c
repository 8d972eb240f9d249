/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ships a file from one process to another: the parent maps it and sends it, the worker it forked receives
 * it and writes it out. The same by pipe, to compare; and with pulling refused by a seccomp filter, to see
 * that the result is the same.
 *
 *     ship_file [--refuse | --via pipe] [--message BYTES] FILE OUT
 *
 * The last line on standard output says by which path, how many bytes, how long (writing the file included),
 * how much processor time that took on both sides, how many copies of each byte were made on the way (by the
 * library's counters), and the SHA-256 of both ends.
 */
#include <haul/haul.h>

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <seccomp.h>
#include <sha2.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <bsd/stdlib.h>

/* What the worker tells at the end. */
struct report {
	uint64_t bytes, copied;
	double cpu; /* seconds of processor time that the transfer and the writing took */
	int path;
	char sha[SHA256_DIGEST_STRING_LENGTH];
};

enum { TAG_PART = 1, TAG_END = 2, TAG_REPORT = 3, PATIENCE_MS = 60000 };

static size_t message = 4 << 20;

static void die(const char *what, int error)
{
	fprintf(stderr, "ship_file: %s: %s\n", what, strerror(error < 0 ? -error : error));
	exit(1);
}

/* For calls of haul: the words of the library say more than the errno. */
static long must(const char *what, long rc)
{
	if (rc >= 0)
		return rc;
	fprintf(stderr, "ship_file: %s: %s (%s)\n", what, strerror((int)-rc), haul_reason());
	exit(1);
}

static double clock_seconds(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double now(void)
{
	return clock_seconds(CLOCK_MONOTONIC);
}

static double cpu_now(void)
{
	return clock_seconds(CLOCK_PROCESS_CPUTIME_ID);
}

/* Real refusal: from here on this process may not call process_vm_readv(2). */
static void refuse_pulling(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	int rc = filter == NULL
	    ? -ENOMEM
	    : seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(process_vm_readv), 0);
	if (rc == 0)
		rc = seccomp_load(filter);
	if (rc != 0)
		die("seccomp", rc);
	seccomp_release(filter);
}

/* ---- the worker ---- */

struct sink {
	int fd;
	SHA2_CTX sha;
	uint64_t bytes;
};

static void sink_open(struct sink *s, const char *path)
{
	s->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (s->fd < 0)
		die(path, errno);
	s->bytes = 0;
}

static void sink_write(struct sink *s, const char *buf, size_t len)
{
	s->bytes += len;
	while (len > 0) {
		ssize_t n = write(s->fd, buf, len);
		if (n < 0)
			die("write", errno);
		buf += n;
		len -= (size_t)n;
	}
}

/* The checksum of what was written, read back, so that it doesn't count as time of the transfer. */
static void sink_report(struct sink *s, const char *path, struct report *r)
{
	r->bytes = s->bytes;
	if (close(s->fd) != 0)
		die(path, errno);
	if (SHA256File(path, r->sha) == NULL)
		die(path, errno);
}

static int work_by_haul(int end, const char *out, bool refuse)
{
	struct haul *h;
	struct haul_peer *parent;
	struct haul_status status;
	struct haul_stats stats;
	struct haul_peer_info info;
	struct report r = { 0 };
	struct sink s;
	char *buf = malloc(message);
	if (buf == NULL)
		die("memory", ENOMEM);
	sink_open(&s, out);
	if (refuse)
		refuse_pulling();
	must("open", haul_open(&h, NULL, 0));
	must("adopt", haul_adopt(h, end, PATIENCE_MS, &parent));
	double cpu = cpu_now();
	for (;;) {
		must("receive", haul_recv(h, NULL, buf, message, PATIENCE_MS, &status));
		if (status.tag == TAG_END)
			break;
		sink_write(&s, buf, status.got);
	}
	must("stats", haul_stats(h, &stats, sizeof(stats)));
	must("info", haul_peer_info(parent, &info, sizeof(info)));
	must("send", haul_send(parent, TAG_END, NULL, 0, PATIENCE_MS));
	r.cpu = cpu_now() - cpu;
	sink_report(&s, out, &r);
	r.copied = stats.copied_bytes;
	r.path = info.in_path;
	must("send", haul_send(parent, TAG_REPORT, &r, sizeof(r), PATIENCE_MS));
	must("close", haul_close(h, PATIENCE_MS));
	free(buf);
	return 0;
}

static int work_by_pipe(int in, int back, const char *out)
{
	struct report r = { 0 };
	struct sink s;
	char *buf = malloc(message);
	if (buf == NULL)
		die("memory", ENOMEM);
	sink_open(&s, out);
	double cpu = cpu_now();
	for (ssize_t n; (n = read(in, buf, message)) != 0;) {
		if (n < 0)
			die("read", errno);
		sink_write(&s, buf, (size_t)n);
	}
	if (write(back, "", 1) != 1)
		die("write", errno);
	r.cpu = cpu_now() - cpu;
	sink_report(&s, out, &r);
	r.copied = r.bytes;
	if (write(back, &r, sizeof(r)) != sizeof(r))
		die("write", errno);
	free(buf);
	return 0;
}

/* ---- the parent ---- */

static void progress(uint64_t done, uint64_t all)
{
	static int last = -1;
	int percent = all > 0 ? (int)(done * 100 / all) : 100;
	if (percent == last || !isatty(STDERR_FILENO))
		return;
	last = percent;
	fprintf(stderr, "\r%3d %%%s", percent, percent == 100 ? "\n" : "");
}

static void ship_by_haul(int end, const char *file, size_t len, struct report *r, double *seconds)
{
	struct haul *h;
	struct haul_peer *worker;
	struct haul_stats stats;
	must("open", haul_open(&h, NULL, 0));
	must("adopt", haul_adopt(h, end, PATIENCE_MS, &worker));
	double start = now(), cpu = cpu_now();
	for (size_t at = 0, n; at < len; at += n) {
		n = len - at < message ? len - at : message;
		must("send", haul_send(worker, TAG_PART, file + at, n, PATIENCE_MS));
		progress(at + n, len);
	}
	must("send", haul_send(worker, TAG_END, NULL, 0, PATIENCE_MS));
	struct haul_match last = { .from = worker, .tag = TAG_END };
	must("receive", haul_recv(h, &last, NULL, 0, PATIENCE_MS, NULL));
	*seconds = now() - start;
	cpu = cpu_now() - cpu;
	last.tag = TAG_REPORT;
	must("stats", haul_stats(h, &stats, sizeof(stats)));
	must("receive", haul_recv(h, &last, r, sizeof(*r), PATIENCE_MS, NULL));
	r->copied += stats.copied_bytes;
	r->cpu += cpu;
	must("close", haul_close(h, PATIENCE_MS));
}

static void ship_by_pipe(int out, int back, const char *file, size_t len, struct report *r, double *seconds)
{
	char done;
	fcntl(out, F_SETPIPE_SZ, 1 << 20); /* the best a careful user gets */
	double start = now(), cpu = cpu_now();
	for (size_t at = 0; at < len;) {
		ssize_t n = write(out, file + at, len - at < message ? len - at : message);
		if (n < 0)
			die("write", errno);
		at += (size_t)n;
		progress(at, len);
	}
	close(out);
	if (read(back, &done, 1) != 1)
		die("the worker", EPIPE);
	*seconds = now() - start;
	cpu = cpu_now() - cpu;
	if (read(back, r, sizeof(*r)) != sizeof(*r))
		die("the worker", EPIPE);
	r->copied += len;
	r->cpu += cpu;
}

static const char *map(const char *path, size_t *len)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) != 0)
		die(path, errno);
	*len = (size_t)st.st_size;
	void *at = *len > 0 ? mmap(NULL, *len, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0) : NULL;
	if (at == MAP_FAILED)
		die(path, errno);
	close(fd);
	return at;
}

static int usage(void)
{
	fprintf(stderr, "usage: ship_file [--refuse | --via pipe] [--message BYTES] FILE OUT\n");
	return 64;
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "refuse", no_argument, NULL, 'r' },
		{ "via", required_argument, NULL, 'v' }, { "message", required_argument, NULL, 'm' }, { 0 } };
	bool refuse = false, by_pipe = false;
	const char *wrong = NULL;
	for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (c == 'r')
			refuse = true;
		else if (c == 'v' && strcmp(optarg, "pipe") == 0)
			by_pipe = true;
		else if (c == 'm')
			message = (size_t)strtonum(optarg, 1, 1LL << 32, &wrong);
		else
			return usage();
	}
	if (argc - optind != 2 || wrong != NULL || (refuse && by_pipe))
		return usage();
	const char *in = argv[optind], *out = argv[optind + 1];

	size_t len;
	const char *file = map(in, &len);
	int ends[2], forth[2], back[2];
	if (by_pipe ? pipe(forth) != 0 || pipe(back) != 0 : haul_pair(ends) != 0)
		die("pair", errno);
	pid_t worker = fork();
	if (worker < 0)
		die("fork", errno);
	if (worker == 0 && by_pipe) {
		close(forth[1]);
		close(back[0]);
		return work_by_pipe(forth[0], back[1], out);
	}
	if (worker == 0) {
		close(ends[0]);
		return work_by_haul(ends[1], out, refuse);
	}
	struct report r = { 0 };
	double seconds = 0;
	if (by_pipe) {
		close(forth[0]);
		close(back[1]);
		ship_by_pipe(forth[1], back[0], file, len, &r, &seconds);
	} else {
		close(ends[1]);
		ship_by_haul(ends[0], file, len, &r, &seconds);
	}
	int status;
	if (waitpid(worker, &status, 0) != worker || status != 0)
		die("the worker", ECHILD);

	char sha[SHA256_DIGEST_STRING_LENGTH];
	SHA256Data((const uint8_t *)file, len, sha);
	if (r.bytes != len || strcmp(sha, r.sha) != 0) {
		fprintf(stderr, "ship_file: %s and %s differ\n", in, out);
		return 1;
	}
	const char *way = r.path == HAUL_PATH_PULL ? "pull" : "stream";
	printf("path %s, %zu bytes, %.3f s, %.3f s of CPU, %.2f copies per byte, sha256 %s\n",
	    by_pipe ? "pipe" : way, len, seconds, r.cpu, len > 0 ? (double)r.copied / (double)len : 0.0, sha);
	return 0;
}
