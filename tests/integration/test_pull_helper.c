/* SPDX-License-Identifier: BSD-3-Clause */
/* The option pull_helper: long messages pulled by two threads of the receiver. unit/test_helper.c has the copying. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* CPU_SET */
#endif
#include <criterion/criterion.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/pairing.h"
#include "lib/pattern.h"
#include "lib/talk.h"

TestSuite(pull_helper, .timeout = 120);

enum { LEN = (20 << 20) + 77, TIMES = 500 };

static const struct haul_options helped = { .pull_helper = 1 };

static void send_until_told(struct haul *h, struct haul_peer *p, const void *arg)
{
	unsigned char *buf = filled(LEN, 1);
	char again;
	(void)arg;
	do {
		must_be(haul_send(p, 1, buf, LEN, -1), 0);
		must_be(haul_recv(h, NULL, &again, 1, -1, NULL), 1);
	} while (again);
	free(buf);
}

static void receive_until(struct pairing *p, bool (*enough)(const struct haul_stats *s, int times))
{
	char again = 1;
	for (int i = 1; again; i++) {
		receive_pattern_within(p->haul, LEN, 1, -1);
		struct haul_stats s = stats_of(p->haul);
		must_be(s.received_pull, i);
		must_be(s.copied_bytes, (uint64_t)i * LEN + (uint64_t)i - 1); /* and a byte of our own each time */
		again = !enough(&s, i);
		must_be(haul_send(p->peer, 1, &again, 1, -1), 0);
	}
}

static bool has_helped(const struct haul_stats *s, int times)
{
	must(times < TIMES);
	return s->helped_bytes > 0;
}

static bool ten_times(const struct haul_stats *s, int times)
{
	must_be(s->helped_bytes, 0);
	return times == 10;
}

static void need_two_cpus(void)
{
	cpu_set_t set;
	if (sched_getaffinity(0, sizeof(set), &set) != 0 || CPU_COUNT(&set) < 2)
		cr_skip_test("there is one CPU only");
}

Test(pull_helper, every_byte_comes_with_its_help)
{
	struct pairing p;
	need_two_cpus();
	pairing_start(&p, &helped, NULL, send_until_told, NULL);
	receive_until(&p, has_helped);
	pairing_end(&p);
}

Test(pull_helper, there_is_none_unless_asked_for)
{
	static const struct haul_options never = { .pull_helper = -1 };
	struct pairing p;
	setenv("HAUL_PULL_HELPER", "on", 1);
	pairing_start(&p, &never, NULL, send_until_told, NULL);
	receive_until(&p, ten_times);
	pairing_end(&p);
}

Test(pull_helper, the_environment_may_ask_for_it)
{
	struct pairing p;
	need_two_cpus();
	setenv("HAUL_PULL_HELPER", "on", 1);
	pairing_start(&p, NULL, NULL, send_until_told, NULL);
	receive_until(&p, has_helped);
	pairing_end(&p);
}

Test(pull_helper, there_is_none_on_a_single_cpu)
{
	struct pairing p;
	cpu_set_t one;
	CPU_ZERO(&one);
	CPU_SET((size_t)sched_getcpu(), &one);
	must_be(sched_setaffinity(0, sizeof(one), &one), 0);
	pairing_start(&p, &helped, NULL, send_until_told, NULL);
	receive_until(&p, ten_times);
	pairing_end(&p);
}

Test(pull_helper, a_forked_child_closes_without_it)
{
	struct haul *h;
	must_be(haul_open(&h, &helped, sizeof(helped)), 0);
	pid_t child = fork();
	if (child == 0)
		_exit(haul_close(h, 0) == -ESTALE ? 0 : 1);
	int status;
	must_be(waitpid(child, &status, 0), child);
	must_be(status, 0);
	must_be(haul_close(h, 0), 0);
}

Test(pull_helper, what_it_is_not_is_refused)
{
	static const struct haul_options wrong = { .pull_helper = 2 };
	struct haul *h = NULL;
	must_be(haul_open(&h, &wrong, sizeof(wrong)), -EINVAL);
	must(strstr(haul_reason(), "pull_helper") != NULL);
	setenv("HAUL_PULL_HELPER", "perhaps", 1);
	must_be(haul_open(&h, NULL, 0), -EINVAL);
	must(strstr(haul_reason(), "HAUL_PULL_HELPER=perhaps") != NULL);
}
