/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * haul cat: what both sides do before and after the bytes. SIGPIPE is ignored meanwhile, so that the sender can be told;
 * then it ends the receiver, as it would have cat(1).
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "cat.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sysexits.h>
#include <unistd.h>

#include "commands.h"

/* What is on its way when this side ends: the other's goodbye if all went well, else a last word. */
enum { LINGER_MS = 2000, HUGE = 2 << 20 };

struct cat_slot *cat_slots(void)
{
	static struct cat_slot slots[CAT_SLOTS];
	size_t size = (size_t)CAT_SLOTS * CAT_CHUNK;
	char *buffers = aligned_alloc(HUGE, size);
	if (buffers == NULL)
		return NULL;
	madvise(buffers, size, MADV_HUGEPAGE); /* if there are any: a pull takes page after page */
	for (size_t i = 0; i < CAT_SLOTS; i++)
		slots[i].at = buffers + i * CAT_CHUNK;
	return slots;
}

/* Nothing that is opened later may be taken for a standard descriptor. */
static void check_descriptors(const struct cat_options *o)
{
	int needed = o->listen ? STDOUT_FILENO : STDIN_FILENO;
	if (fcntl(needed, F_GETFD) < 0)
		err(EX_IOERR, "standard %s", o->listen ? "output" : "input");
	int fd;
	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fd <= STDERR_FILENO);
	close(fd);
}

static void start_meter(struct cat *c, uint64_t size)
{
	bool people = isatty(STDERR_FILENO) == 1 && !(c->options.listen && isatty(STDOUT_FILENO) == 1);
	cat_meter_start(&c->meter, c->options.progress < 0 ? people : c->options.progress == 1, size);
}

static bool start_sum(struct cat *c, const struct cat_hello *theirs)
{
	if (!c->options.sum && (theirs->flags & CAT_WANTS_SUM) == 0)
		return true;
	c->sum = cat_sum_new();
	if (c->sum == NULL)
		cat_fail(c, EX_UNAVAILABLE, "a checksum is wanted, and there is no libmd, or no memory");
	return c->sum != NULL;
}

/* In the form of sha256sum(1). Standard output may have the data. */
static void print_sum(const struct cat *c)
{
	for (size_t i = 0; i < CAT_SUM_SIZE; i++)
		fprintf(stderr, "%02x", c->own.sum[i]);
	fputs("  -\n", stderr);
}

static void run(struct cat *c)
{
	struct cat_hello theirs;
	uint64_t size = c->options.listen ? CAT_SIZE_UNKNOWN : cat_send_size();
	c->slots = cat_slots();
	if (c->slots == NULL)
		cat_fail(c, EX_OSERR, "no memory");
	if (cat_failed(c) || !cat_meet(c) || !cat_greet(c, size, &theirs))
		return;
	if (start_sum(c, &theirs)) {
		start_meter(c, c->options.listen ? theirs.size : size);
		if (c->options.listen)
			cat_receive(c);
		else
			cat_send(c);
	}
	cat_tell(c);
}

int command_cat(int argc, char **argv)
{
	struct cat c = { 0 };
	struct haul_options options = { .progress_thread = 1 };
	cat_options_parse(&c.options, argc, argv);
	check_descriptors(&c.options);
	c.ignores_sigpipe = signal(SIGPIPE, SIG_IGN) == SIG_IGN;
	int rc = haul_open(&c.h, &options, sizeof(options));
	if (rc < 0)
		errx(rc == -EINVAL ? EX_USAGE : EX_OSERR, "%s", haul_reason());
	run(&c);
	cat_meter_end(&c.meter);
	haul_close(c.h, LINGER_MS);
	if (c.by_sigpipe) {
		signal(SIGPIPE, SIG_DFL);
		raise(SIGPIPE);
	}
	if (!cat_failed(&c) && c.options.sum)
		print_sum(&c);
	return (int)c.own.status;
}
