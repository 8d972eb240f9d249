/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The processes: started as an ordinary user, so that a refusal is one; stopped, killed and asked to leave at random,
 * each by its own pidfd. None outlives this process. Which one gets nothing from another, although both run, hangs.
 */
#include "soak_herd.h"

#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void complain(struct herd *h, const char *words)
{
	fprintf(stderr, "soak: %s\n", words);
	for (unsigned i = 0; i < NODES; i++)
		if (h->slots[i].pidfd >= 0)
			fprintf(stderr, "        node %u (pid %d, %s, %s%s): in %s\n", i,
			    (int)h->slots[i].pid, board->nodes[i].flavour,
			    board->nodes[i].refusal != NULL ? board->nodes[i].refusal : "not refused",
			    h->slots[i].stopped ? ", stopped" : "", board->nodes[i].doing);
	h->failed = true;
}

static void become(unsigned index, uint64_t random)
{
	if (geteuid() == 0 &&
	    (setgroups(0, NULL) != 0 || setresgid(ORDINARY, ORDINARY, ORDINARY) != 0 ||
	        setresuid(ORDINARY, ORDINARY, ORDINARY) != 0))
		fail("no other user: %s", strerror(errno));
	prctl(PR_SET_DUMPABLE, 1); /* which the change of user has taken, and this signal, too: */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != board->controller)
		_exit(1);
	node_live(index, random);
}

static void start(struct herd *h, unsigned i)
{
	struct slot *s = &h->slots[i];
	uint64_t random = random_next(&h->random);
	*s = (struct slot){ .pidfd = -1 };
	board->nodes[i].leave = false;
	fflush(NULL);
	s->pid = fork();
	if (s->pid < 0)
		fail("fork: %s", strerror(errno));
	if (s->pid == 0) {
		janitor_end();
		for (unsigned k = 0; k < NODES; k++)
			if (h->slots[k].pidfd >= 0)
				close(h->slots[k].pidfd);
		become(i, random);
	}
	s->pidfd = pidfd_open(s->pid, 0);
	if (s->pidfd < 0)
		fail("pidfd_open: %s", strerror(errno));
	h->events[EVENT_START]++;
	for (unsigned k = 0; k < NODES; k++)
		h->slots[k].quiet_ms[i] = 0;
}

void herd_start(struct herd *h)
{
	h->random = mix(board->seed);
	h->last_ms = now_ms();
	for (unsigned i = 0; i < NODES; i++)
		h->slots[i].pidfd = -1;
	for (unsigned i = 0; i < NODES; i++) {
		board->nodes[i].term = 1;
		start(h, i);
	}
}

static void send_signal(struct slot *s, int signal)
{
	if (pidfd_send_signal(s->pidfd, signal, NULL, 0) != 0)
		fail("signal %d to %d: %s", signal, (int)s->pid, strerror(errno));
}

unsigned herd_running(const struct herd *h)
{
	unsigned count = 0;
	for (unsigned i = 0; i < NODES; i++)
		count += h->slots[i].pidfd >= 0;
	return count;
}

static void collect(struct herd *h, unsigned i)
{
	struct slot *s = &h->slots[i];
	int status;
	char words[80];
	waitpid(s->pid, &status, 0);
	close(s->pidfd);
	s->pidfd = -1;
	s->stopped = false;
	s->again_at = now_ms() + (int64_t)random_below(&h->random, 1000);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && (board->nodes[i].leave || board->over))
		return;
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && s->killed)
		return;
	if (WIFSIGNALED(status))
		snprintf(words, sizeof(words), "node %u died of signal %d (%s)", i, WTERMSIG(status),
		    strsignal(WTERMSIG(status)));
	else
		snprintf(words, sizeof(words), "node %u exited with %d", i, WEXITSTATUS(status));
	if (!h->failed)
		complain(h, words);
}

void herd_kill(struct herd *h)
{
	for (unsigned i = 0; i < NODES; i++)
		term_shaky(i);
	for (unsigned i = 0; i < NODES; i++) {
		if (h->slots[i].pidfd < 0)
			continue;
		h->slots[i].killed = true;
		send_signal(&h->slots[i], SIGKILL);
		collect(h, i);
	}
}

/* ---- what is done to them ---- */

static void stop(struct herd *h, unsigned i)
{
	struct slot *s = &h->slots[i];
	send_signal(s, SIGSTOP);
	s->stopped = true;
	s->again_at = now_ms() + 1 + (int64_t)random_below(&h->random, one_in(&h->random, 8) ? 3000 : 300);
	h->events[EVENT_STOP]++;
}

static void do_something(struct herd *h)
{
	unsigned i = (unsigned)random_below(&h->random, NODES);
	struct slot *s = &h->slots[i];
	size_t what = random_below(&h->random, 3);
	if (s->pidfd < 0 || s->killed)
		return;
	if (i < LASTING || what == 0) {
		if (!s->stopped)
			stop(h, i);
	} else if (what == 1) {
		term_shaky(i);
		s->killed = true;
		send_signal(s, SIGKILL);
		h->events[EVENT_KILL]++;
	} else if (!board->nodes[i].leave) {
		board->nodes[i].leave = true;
		h->events[EVENT_LEAVE]++;
	}
}

static void go_on(struct herd *h, unsigned i, int64_t now)
{
	struct slot *s = &h->slots[i];
	if (now < s->again_at && !board->over)
		return;
	if (s->stopped) {
		send_signal(s, SIGCONT);
		s->stopped = false;
	} else if (s->pidfd < 0 && !board->over) {
		start(h, i);
	}
}

/* ---- watching ---- */

static bool runs(const struct slot *s)
{
	return s->pidfd >= 0 && !s->stopped && !s->killed;
}

static void watch(struct herd *h, unsigned i, int64_t passed)
{
	struct slot *s = &h->slots[i];
	char words[80];
	if (!runs(s))
		return;
	if (board->nodes[i].leave || board->over)
		s->leaving_ms += passed;
	if (s->leaving_ms > 2 * PATIENCE_MS && !h->failed) {
		snprintf(words, sizeof(words), "node %u was asked to leave, and does not", i);
		complain(h, words);
	}
	for (unsigned from = 0; from < NODES; from++) {
		uint64_t delivered = board->delivered[from][i];
		if (delivered != s->delivered[from] || from == i || board->over)
			s->quiet_ms[from] = 0;
		else if (runs(&h->slots[from]) && !board->nodes[from].leave && !board->nodes[i].leave)
			s->quiet_ms[from] += passed;
		s->delivered[from] = delivered;
		if (s->quiet_ms[from] > PATIENCE_MS && !h->failed) {
			snprintf(words, sizeof(words), "node %u gets nothing from node %u", i, from);
			complain(h, words);
		}
	}
}

void herd_round(struct herd *h)
{
	struct pollfd fds[NODES];
	for (unsigned i = 0; i < NODES; i++)
		fds[i] = (struct pollfd){ .fd = h->slots[i].pidfd, .events = POLLIN };
	if (poll(fds, NODES, 20) < 0 && errno != EINTR)
		fail("poll: %s", strerror(errno));
	for (unsigned i = 0; i < NODES; i++)
		if (fds[i].fd >= 0 && fds[i].revents != 0)
			collect(h, i);
	int64_t now = now_ms(), passed = now - h->last_ms < 200 ? now - h->last_ms : 200;
	h->last_ms = now;
	for (unsigned i = 0; i < NODES && !h->failed; i++) {
		go_on(h, i, now);
		watch(h, i, passed);
	}
	if (now >= h->next_event && !h->failed && !board->over) {
		h->next_event = now + 50 + (int64_t)random_below(&h->random, 2000);
		do_something(h);
	}
}
