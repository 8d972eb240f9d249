/* SPDX-License-Identifier: BSD-3-Clause */
/* The fault trigger itself: it hits what it is told to, and nothing else. */
#include "lib/fault.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "lib/child.h"
#include "lib/must.h"
#include "lib/pairing.h"

TestSuite(fault_trigger, .timeout = 60);

/* So that the compiler doesn't see that nobody needs it. */
static void allocate(void)
{
	void *volatile p = malloc(1);
	free(p);
}

static int opened(void)
{
	struct haul *h;
	int rc = haul_open(&h, NULL, 0);
	if (rc == 0)
		haul_close(h, 0);
	return rc;
}

Test(fault_trigger, a_call_of_the_library_fails_with_the_errno_that_was_chosen)
{
	fault_arm(&(struct fault){ .nth = 1, .only = "eventfd epoll_create1", .error = ENFILE });
	int rc = opened();
	fault_disarm();
	must_be(rc, -ENFILE);
	must_be(fault_fired(), 1);
	must_be(strcmp(fault_name(), "epoll_create1"), 0);
	must_be(opened(), 0);
}

Test(fault_trigger, the_nth_call_is_hit_and_those_before_and_after_are_not)
{
	for (unsigned nth = 1; nth <= 3; nth++) {
		fault_arm(&(struct fault){ .nth = nth, .only = "malloc" });
		for (unsigned i = 1; i <= 4; i++) {
			void *p = malloc(1);
			must((p == NULL) == (i == nth));
			free(p);
		}
		fault_disarm();
		must_be(fault_calls(), 4);
	}
}

Test(fault_trigger, a_lasting_one_hits_all_from_then_on_until_it_is_disarmed)
{
	fault_arm(&(struct fault){ .nth = 2, .lasting = true, .only = "malloc" });
	for (unsigned i = 1; i <= 3; i++) {
		void *p = malloc(1);
		must((p == NULL) == (i >= 2));
		free(p);
	}
	fault_disarm();
	must_be(fault_fired(), 2);
	allocate();
	must_be(fault_calls(), 3);
}

Test(fault_trigger, a_variant_counts_only_the_calls_that_have_it)
{
	int fds[2];
	must_be(haul_pair(fds), 0);
	fault_arm(&(struct fault){ .nth = 1, .variant = 2 });
	allocate();                     /* one errno */
	must_be(listen(fds[0], 0), -1); /* one */
	must_be(haul_pair(fds), -ENOBUFS);
	fault_disarm();
	must_be(fault_calls(), 1);
	close(fds[0]);
	close(fds[1]);
}

Test(fault_trigger, a_short_transfer_moves_half)
{
	int fds[2];
	char out[] = "0123456789", in[10];
	struct iovec ours[] = { { in, 3 }, { in + 3, 7 } }, theirs = { out, 10 };
	struct msghdr msg = { .msg_iov = ours, .msg_iovlen = 2 };
	must_be(haul_pair(fds), 0);
	fault_arm(&(struct fault){ .action = FAULT_SHORT, .nth = 1, .lasting = true });
	must_be(send(fds[0], out, 10, 0), 5);
	must_be(send(fds[0], out + 5, 1, 0), 1);
	must_be(recvmsg(fds[1], &msg, 0), 5);
	must_be(msg.msg_iovlen, 2);
	must_be(process_vm_readv(getpid(), ours, 2, &theirs, 1, 0), 5);
	fault_disarm();
	must_be(fault_calls(), 3);
	close(fds[0]);
	close(fds[1]);
}

static int raises(void *arg)
{
	const bool *after = arg;
	int fds[2];
	char byte;
	if (haul_pair(fds) != 0)
		return 1;
	pid_t pid = fork();
	if (pid == 0) {
		enum fault_action action = *after ? FAULT_RAISE_AFTER : FAULT_RAISE;
		fault_arm(&(struct fault){ .action = action, .nth = 2, .only = "write", .signal = SIGKILL });
		while (write(fds[1], "x", 1) == 1)
			;
		_exit(0);
	}
	close(fds[1]);
	int n = 0;
	while (read(fds[0], &byte, 1) == 1)
		n++;
	return n;
}

Test(fault_trigger, a_signal_comes_before_or_after_the_call)
{
	for (int after = 0; after < 2; after++) {
		struct child c;
		bool is = after;
		child_start(&c, PATIENCE_MS, raises, &is);
		child_expect(&c, 1 + after);
	}
}

static int refuse_sockets(const char *name, long first, void *arg)
{
	allocate(); /* not counted */
	++*(int *)arg;
	return strcmp(name, "socketpair") == 0 && first == AF_UNIX ? EACCES : 0;
}

Test(fault_trigger, the_test_can_decide_for_itself)
{
	int fds[2], asked = 0;
	fault_arm(&(struct fault){ .action = FAULT_ASK,
	    .nth = 1,
	    .lasting = true,
	    .hook = refuse_sockets,
	    .arg = &asked });
	must_be(haul_pair(fds), -EACCES);
	allocate();
	fault_disarm();
	must_be(asked, 2);
}

static void *allocates(void *arg)
{
	free(*(void **)arg = malloc(1));
	return NULL;
}

Test(fault_trigger, other_threads_are_hit_only_if_that_was_asked_for)
{
	for (int all = 0; all < 2; all++) {
		pthread_t t;
		void *p;
		fault_arm(&(struct fault){ .nth = 1, .only = "malloc", .all_threads = all });
		must_be(pthread_create(&t, NULL, allocates, &p), 0);
		pthread_join(t, NULL);
		fault_disarm();
		must((p == NULL) == all);
	}
}

Test(fault_trigger, what_a_context_allocates_is_counted_and_comes_back)
{
	must_be(opened(), 0); /* what the library keeps for good */
	long before = fault_live();
	struct haul *h;
	must_be(haul_open(&h, NULL, 0), 0);
	must(fault_live() > before);
	haul_close(h, 0);
	must_be(fault_live(), before);
}
