/* SPDX-License-Identifier: BSD-3-Clause */
/* The loop over faults. See sweep.h. */
#include "sweep.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fds.h"
#include "pattern.h"

static bool lasting;

struct leftovers {
	int fds;
	long live;
};

static void check_leftovers(struct leftovers l)
{
	char what[128];
	int fds = fds_count() - l.fds;
	long live = fault_live() - l.live;
	if (fds == 0 && live == 0)
		return;
	fds_print();
	snprintf(what, sizeof(what), "%d descriptors and %ld blocks remain", fds, live);
	must_failed(__FILE__, __LINE__, what);
}

static bool try(void (*round)(const void *arg), const void *arg, const struct fault *f, struct leftovers l)
{
	lasting = f->lasting;
	fault_arm(f);
	fault_hold();
	round(arg);
	fault_disarm();
	if (getenv("HAUL_TEST_FAULTS") != NULL)
		fprintf(stderr, "so much for: %s\n", fault_words());
	check_leftovers(l);
	return fault_fired() > 0;
}

/* The same fault at every call in turn; returns how many there were. */
static unsigned every_call(void (*round)(const void *arg), const void *arg, struct fault f,
    struct leftovers l)
{
	for (f.nth = 1; try(round, arg, &f, l); f.nth++)
		;
	return f.nth - 1;
}

/* A first round, without a fault: after it, the library has what it keeps for good. */
static struct leftovers warm_up(void (*round)(const void *arg), const void *arg)
{
	must_note(fault_words());
	fault_disarm();
	lasting = false;
	round(arg);
	return (struct leftovers){ .fds = fds_count(), .live = fault_live() };
}

static void every_fault(void (*round)(const void *arg), const void *arg, struct fault f, struct leftovers l)
{
	f.action = FAULT_SHORT;
	every_call(round, arg, f, l);
	f.action = FAULT_FAIL;
	while (every_call(round, arg, f, l) > 0)
		f.variant++;
}

void sweep(void (*round)(const void *arg), const void *arg)
{
	/* What runs short for long runs short alone: not everything else with it. */
	static const char *const shortages[] = { NULL, FAULT_ALLOCATIONS, "send sendmsg",
		"process_vm_readv" };
	struct leftovers l = warm_up(round, arg);
	every_fault(round, arg, (struct fault){ 0 }, l);
	for (size_t i = 0; i < sizeof(shortages) / sizeof(shortages[0]); i++)
		every_fault(round, arg, (struct fault){ .lasting = true, .only = shortages[i] }, l);
	/* A page that is back when it is looked for. */
	struct fault f = { .only = "process_vm_readv", .error = EFAULT };
	every_call(round, arg, f, l);
}

void sweep_only(const char *names, void (*round)(const void *arg), const void *arg)
{
	struct leftovers l = warm_up(round, arg);
	every_fault(round, arg, (struct fault){ .only = names }, l);
	every_fault(round, arg, (struct fault){ .only = names, .lasting = true }, l);
}

long long sweep_held(long long result)
{
	fault_hold();
	return result;
}

void sweep_over(void)
{
	fault_disarm();
}

/* What the faults say themselves, and what follows for whoever depends on the connection. */
long long sweep_judge(const char *file, int line, const char *call, long long result)
{
	static const int plausible[] = { ECONNRESET, EPIPE, EAGAIN, ENOMEM, ENOBUFS, EMFILE, ENFILE, ENOSPC,
		EPERM, EACCES, ENOSYS, ENOPROTOOPT, EIO, ENOTCONN, ENOENT, ECONNREFUSED, EADDRINUSE, EROFS,
		ENOLCK, EBUSY, EFAULT, EINTR, EINVAL };
	if (result >= 0 || (lasting && result == -ETIMEDOUT))
		return result;
	for (size_t i = 0; i < sizeof(plausible) / sizeof(plausible[0]); i++)
		if (result == -plausible[i])
			return result;
	must_equal(file, line, call, result, 0);
	return result;
}

bool sweep_patient(struct timespec *since)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (since->tv_sec == 0)
		*since = now;
	return now.tv_sec - since->tv_sec < PATIENCE_MS / 1000;
}

bool sweep_goes_on(struct haul_req *r, bool at_fault)
{
	if (r == NULL)
		return false;
	return (at_fault ? faulty(haul_req_test(r)) : haul_req_test(r)) == -EINPROGRESS;
}

int sweep_timeout(void)
{
	return lasting ? 4 : PATIENCE_MS / 3;
}

int sweep_finish(struct haul *a, struct haul *b, struct haul_req *r, struct haul_status *status)
{
	struct timespec since = { 0 };
	while (haul_req_test(r) == -EINPROGRESS) {
		must(haul_progress(a) >= 0);
		must(haul_progress(b) >= 0);
		must(sweep_patient(&since));
	}
	return haul_req_finish(r, status);
}

void sweep_send(struct haul *a, struct haul_peer *to, struct haul *b, size_t len)
{
	enum { TAG = 0x75736162 };
	unsigned char *out = malloc(len), *in = malloc(len);
	struct iovec from = { out, len }, into = { in, len };
	struct haul_match match = { .tag = TAG };
	struct haul_req *sent, *received;
	struct haul_status status;
	must(out != NULL && in != NULL);
	pattern_fill(out, len, TAG, 0);
	memset(in, 0, len);
	must_be(haul_irecv(b, &match, &into, 1, &received), 0);
	must_be(haul_isend(to, TAG, &from, 1, HAUL_SYNC, &sent), 0);
	must_be(sweep_finish(a, b, sent, NULL), 0);
	must_be(sweep_finish(a, b, received, &status), 0);
	must_be(status.got, len);
	must_hold(in, len, TAG, 0);
	free(out);
	free(in);
}

void sweep_usable(struct haul *a, struct haul *b)
{
	enum { SHORT = 100, LONG = 100000 };
	struct twins t = { .a = a, .b = b };
	struct haul_req *adopt_b, *adopt_a;
	struct haul_status status;
	int fds[2];
	must_be(haul_pair(fds), 0);
	must_be(haul_iadopt(a, fds[0], &adopt_b), 0);
	must_be(haul_iadopt(b, fds[1], &adopt_a), 0);
	must_be(sweep_finish(a, b, adopt_b, &status), 0);
	t.to_b = status.peer;
	must_be(sweep_finish(a, b, adopt_a, &status), 0);
	t.to_a = status.peer;
	sweep_send(a, t.to_b, b, SHORT);
	sweep_send(b, t.to_a, a, LONG);
	must_be(haul_peer_close(t.to_b, 0), 0);
	must_be(haul_peer_close(t.to_a, 0), 0);
}
