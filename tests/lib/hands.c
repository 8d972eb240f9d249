/* SPDX-License-Identifier: BSD-3-Clause */
/* Two-handed pulls. See hands.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sched_setaffinity */
#endif
#include "hands.h"

#include <criterion/criterion.h>
#include <sched.h>

#include "talk.h"

#define TAG_HELP (TAG_TOKEN + 1)
#define TAG_AGAIN (TAG_TOKEN + 2)

const struct haul_options hands_options = { .two_handed = 1 };

static void run_on(int cpu)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	must_be(sched_setaffinity(0, sizeof(set), &set), 0);
}

/* Of those that this thread may run on. */
static int nth_cpu(int n)
{
	cpu_set_t set;
	must_be(sched_getaffinity(0, sizeof(set), &set), 0);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET((size_t)cpu, &set) && n-- == 0)
			return cpu;
	return -1;
}

/* What it is inherited by runs there as well. */
static void start(struct pairing *p, const struct haul_options *ours, const struct haul_options *theirs,
    pairing_part *part, const void *arg, int our_cpu, int their_cpu)
{
	run_on(their_cpu);
	pairing_fork(p, theirs, part, arg);
	run_on(our_cpu);
	must_be(haul_open(&p->haul, ours, ours != NULL ? sizeof(*ours) : 0), 0);
	pairing_adopt(p, p->haul);
}

static int cpus[2] = { -1, -1 };

static void find_cpus(void)
{
	if (cpus[0] < 0)
		for (int i = 0; i < 2; i++)
			cpus[i] = nth_cpu(i);
	if (cpus[1] < 0)
		cr_skip("there is one CPU only");
}

void hands_start_unlike(struct pairing *p, const struct haul_options *ours, const struct haul_options *theirs,
    pairing_part *part, const void *arg)
{
	find_cpus();
	start(p, ours, theirs, part, arg, cpus[0], cpus[1]);
}

void hands_start(struct pairing *p, pairing_part *part, const void *arg)
{
	hands_start_unlike(p, &hands_options, &hands_options, part, arg);
}

void hands_start_on_one_cpu(struct pairing *p, pairing_part *part, const void *arg)
{
	int cpu = nth_cpu(0);
	start(p, &hands_options, &hands_options, part, arg, cpu, cpu);
}

void send_help(struct haul *h, struct haul_peer *p)
{
	struct haul_stats s = stats_of(h);
	struct help help = { .messages = s.assisted, .bytes = s.assisted_bytes, .copied = s.copied_bytes };
	must_be(haul_send(p, TAG_HELP, &help, sizeof(help), PATIENCE_MS), 0);
}

struct help receive_help(struct haul *h)
{
	struct help help;
	must_be(haul_recv(h, &(struct haul_match){ .tag = TAG_HELP }, &help, sizeof(help), PATIENCE_MS, NULL),
	    sizeof(help));
	return help;
}

bool hands_again(struct pairing *p)
{
	bool again = receive_help(p->haul).messages == 0;
	must_be(haul_send(p->peer, TAG_AGAIN, &again, sizeof(again), PATIENCE_MS), 0);
	return again;
}

bool hands_told_again(struct haul *h, struct haul_peer *p)
{
	bool again;
	send_help(h, p);
	must_be(haul_recv(h, &(struct haul_match){ .from = p, .tag = TAG_AGAIN }, &again, sizeof(again),
	            PATIENCE_MS, NULL),
	    sizeof(again));
	return again;
}
