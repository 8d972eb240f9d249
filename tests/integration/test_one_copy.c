/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * No shared memory, and one copy: what both ends of a connection ask of the kernel, and what memory they
 * have, while messages are pulled. The test traces two children (ptrace(2)) that are the ends; marks in
 * their system calls tell it when to count.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/pairing.h"
#include "lib/pattern.h"

TestSuite(one_copy, .timeout = 60);

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MIB ((size_t)1 << 20)

/* ---- the ends ---- */

enum { SENDER, RECEIVER, ENDS, NO_PULLING = 77, NO_TRACING = 78 };

/* What is sent: count messages of len bytes, in and out of so many buffers. */
struct load {
	size_t count, len, from_iovs, into_iovs;
	int path;
};

static void cut_evenly(unsigned char *buf, size_t len, size_t count, struct iovec *iov)
{
	for (size_t i = 0; i < count; i++) {
		size_t n = len / (count - i);
		iov[i] = (struct iovec){ buf, n };
		buf += n;
		len -= n;
	}
}

static int shared_mappings(void)
{
	FILE *f = fopen("/proc/self/maps", "r");
	char line[4096];
	int n = 0;
	must(f != NULL);
	while (fgets(line, sizeof(line), f) != NULL)
		n += strstr(line, " rw-s ") != NULL || strstr(line, " -w-s ") != NULL ||
		    strstr(line, " rwxs ") != NULL;
	fclose(f);
	return n;
}

/* The nth of them turns counting on, the next off, and so on. Nothing else calls this. */
static void mark(void)
{
	syscall(SYS_getppid);
}

static void check_copies(const struct haul_stats *before, const struct haul_stats *s, const struct load *load,
    int side)
{
	uint64_t all = load->count * load->len;
	bool pull = load->path == HAUL_PATH_PULL;
	must_be(s->copied_bytes - before->copied_bytes, side == RECEIVER || !pull ? all : 0);
	must_be(s->received_pull_bytes, side == RECEIVER && pull ? all : 0);
	must_be(s->received_stream_bytes, side == RECEIVER && !pull ? all : 0);
	must_be(s->sent_pull_bytes, side == SENDER && pull ? all : 0);
	must_be(s->sent_stream_bytes, side == SENDER && !pull ? all : 0);
}

static int run_end(int side, int fd, const struct load *load)
{
	struct haul_options o = { .path = load->path, .eager_max = -1 };
	struct haul *h;
	struct haul_peer *p;
	struct haul_peer_info info;
	struct haul_stats before, after;
	struct iovec iov[2000];
	unsigned char *buf = malloc(load->len);
	int shared = shared_mappings();
	must(buf != NULL);
	cut_evenly(buf, load->len, side == SENDER ? load->from_iovs : load->into_iovs, iov);

	mark();
	must_be(haul_open(&h, &o, sizeof(o)), 0);
	must_be(haul_adopt(h, fd, PATIENCE_MS, &p), 0);
	mark();
	must_be(haul_peer_info(p, &info, sizeof(info)), 0);
	if (load->path == HAUL_PATH_PULL &&
	    (info.in_path != HAUL_PATH_PULL || info.out_path != HAUL_PATH_PULL))
		return NO_PULLING;
	must_be(haul_stats(h, &before, sizeof(before)), 0);
	must_be(before.pull_calls, 0);
	for (size_t i = 0; i < load->count; i++) {
		if (side == SENDER)
			pattern_fill(buf, load->len, i, 0);
		else
			memset(buf, CANARY, load->len);
		mark();
		if (side == SENDER)
			must_be(haul_sendv(p, i, iov, load->from_iovs, HAUL_SYNC, PATIENCE_MS), 0);
		else
			must_be(haul_recvv(h, NULL, iov, load->into_iovs, PATIENCE_MS, NULL), load->len);
		mark();
		if (side == RECEIVER)
			must_hold(buf, load->len, i, 0);
	}
	must_be(haul_stats(h, &after, sizeof(after)), 0);
	check_copies(&before, &after, load, side);
	must_be(shared_mappings(), shared);
	mark();
	must_be(haul_close(h, PATIENCE_MS), 0);
	mark();
	free(buf);
	return 0;
}

/* ---- the tracer ---- */

struct end {
	pid_t pid;
	bool over, counting;
	int status; /* exit status, once over */
	uint64_t nr, args[6];
	unsigned marks;
	uint64_t pulls;        /* process_vm_readv while messages moved */
	uint64_t pushes;       /* process_vm_writev at any time */
	uint64_t socket_bytes; /* handed to send calls while messages moved */
	uint64_t sharing;      /* calls that make memory others can write, at any time from haul_open() on */
};

static bool makes_shared_memory(const struct end *e)
{
	switch (e->nr) {
	case SYS_mmap:
		return (e->args[3] & MAP_SHARED) != 0 && (e->args[2] & PROT_WRITE) != 0;
	case SYS_memfd_create:
	case SYS_memfd_secret:
	case SYS_shmget:
	case SYS_shmat:
	case SYS_userfaultfd:
	case SYS_remap_file_pages:
		return true;
	default:
		return false;
	}
}

static void on_entry(struct end *e, const struct __ptrace_syscall_info *info)
{
	e->nr = info->entry.nr;
	memcpy(e->args, info->entry.args, sizeof(e->args));
	if (e->nr == SYS_getppid) {
		e->marks++;
		e->counting = e->marks % 2 == 1;
	}
	if (e->counting)
		e->sharing += makes_shared_memory(e);
	e->pushes += e->nr == SYS_process_vm_writev;
	e->pulls += e->nr == SYS_process_vm_readv && e->counting && e->marks > 2;
}

static void on_exit_of_call(struct end *e, const struct __ptrace_syscall_info *info)
{
	bool sends = e->nr == SYS_sendto || e->nr == SYS_sendmsg || e->nr == SYS_write || e->nr == SYS_writev;
	if (sends && e->counting && info->exit.rval > 0)
		e->socket_bytes += (uint64_t)info->exit.rval;
}

static void start_end(struct end *e, int side, const int fds[2], const struct load *load)
{
	pid_t tester = getpid();
	*e = (struct end){ .pid = fork() };
	cr_assert_geq(e->pid, 0);
	if (e->pid > 0)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != tester)
		_exit(1);
	must_in_child();
	close(fds[1 - side]);
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
		_exit(NO_TRACING);
	raise(SIGSTOP);
	_exit(run_end(side, fds[side], load));
}

static void on_stop(struct end *e, int status)
{
	struct __ptrace_syscall_info info;
	int signal = WSTOPSIG(status);
	if (signal == (SIGTRAP | 0x80)) {
		signal = 0;
		cr_assert_gt(ptrace(PTRACE_GET_SYSCALL_INFO, e->pid, sizeof(info), &info), 0);
		if (info.op == PTRACE_SYSCALL_INFO_ENTRY)
			on_entry(e, &info);
		else if (info.op == PTRACE_SYSCALL_INFO_EXIT)
			on_exit_of_call(e, &info);
	} else if (signal == SIGSTOP) { /* its own, at the start */
		signal = 0;
		cr_assert_eq(ptrace(PTRACE_SETOPTIONS, e->pid, NULL,
		                 PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL),
		    0);
	}
	cr_assert_eq(ptrace(PTRACE_SYSCALL, e->pid, NULL, signal), 0);
}

/* Runs both ends to their end. */
static void trace(struct end ends[ENDS], const struct load *load)
{
	int fds[2];
	must_be(haul_pair(fds), 0);
	for (int i = 0; i < ENDS; i++)
		start_end(&ends[i], i, fds, load);
	close(fds[0]);
	close(fds[1]);
	while (!ends[SENDER].over || !ends[RECEIVER].over) {
		int status;
		pid_t pid = waitpid(-1, &status, __WALL);
		cr_assert_gt(pid, 0);
		struct end *e = pid == ends[SENDER].pid ? &ends[SENDER] : &ends[RECEIVER];
		cr_assert_eq(pid, e->pid);
		if (WIFSTOPPED(status)) {
			on_stop(e, status);
			continue;
		}
		e->over = true;
		cr_assert(WIFEXITED(status), "an end was killed by signal %d", WTERMSIG(status));
		e->status = WEXITSTATUS(status);
	}
	if (ends[SENDER].status == NO_TRACING)
		cr_skip_test("processes can't be traced here");
	if (ends[SENDER].status == NO_PULLING || ends[RECEIVER].status == NO_PULLING)
		cr_skip_test("memory of a sibling can't be read here");
	for (int i = 0; i < ENDS; i++) {
		must_be(ends[i].status, 0);
		must_be(ends[i].sharing, 0);
		must_be(ends[i].pushes, 0);
		must(ends[i].marks == 2 * load->count + 4);
	}
}

/* ---- claims ---- */

static void pull_takes(struct load load, uint64_t calls)
{
	struct end ends[ENDS];
	load.path = HAUL_PATH_PULL;
	trace(ends, &load);
	must_be(ends[RECEIVER].pulls, calls);
	must_be(ends[SENDER].pulls, 0);
	/* Only descriptions and answers go over the socket. */
	must(ends[SENDER].socket_bytes <= load.count * 512);
	must(ends[RECEIVER].socket_bytes <= load.count * 512);
}

Test(one_copy, a_pulled_message_takes_one_call)
{
	pull_takes((struct load){ .count = 20, .len = 100001, .from_iovs = 1, .into_iovs = 1 }, 20);
	pull_takes((struct load){ .count = 5, .len = 16 * MIB, .from_iovs = 1, .into_iovs = 1 }, 5);
	pull_takes((struct load){ .count = 10, .len = 1, .from_iovs = 1, .into_iovs = 1 }, 10);
}

Test(one_copy, a_pulled_message_in_pieces_takes_one_call)
{
	pull_takes((struct load){ .count = 10, .len = 100001, .from_iovs = 4, .into_iovs = 1000 }, 10);
}

Test(one_copy, a_longer_one_takes_a_call_for_each_16_mib)
{
	pull_takes((struct load){ .count = 3, .len = 40 * MIB + 5, .from_iovs = 1, .into_iovs = 3 }, 9);
}

/* The list is fetched, too. */
Test(one_copy, a_long_list_takes_few_calls)
{
	struct end ends[ENDS];
	struct load load = { .count = 4, .len = 8 * MIB, .from_iovs = 1500, .into_iovs = 1500 };
	load.path = HAUL_PATH_PULL;
	trace(ends, &load);
	must(ends[RECEIVER].pulls <= load.count * 1500 / 100);
}

Test(one_copy, a_streamed_message_is_copied_twice_and_shares_nothing)
{
	struct end ends[ENDS];
	struct load load = { .count = 10, .len = 1000003, .from_iovs = 3, .into_iovs = 5 };
	load.path = HAUL_PATH_STREAM;
	trace(ends, &load);
	must_be(ends[RECEIVER].pulls, 0);
	must(ends[SENDER].socket_bytes >= load.count * load.len);
}
