/* SPDX-License-Identifier: BSD-3-Clause */
/* Crews. See crew.h. */
#include "crew.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fds.h"
#include "wire/job.h"

/* Of the address sanitizer's leak checker, where there is one: a member ends by _exit(2), which it does not see. */
int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

/* What a member is given. In a member, its own. */
static struct place {
	const struct crew_options *options;
	crew_part *part;
	const void *arg;
	int rank, size;
	char job[32];
	int line, listening, control; /* -1: none */
} own;

/* ---- in a member ---- */

int crew_rank(void)
{
	return own.rank;
}

int crew_size(void)
{
	return own.size;
}

const char *crew_address(int rank)
{
	static char names[CREW_MOST][sizeof(own.job) + 16];
	snprintf(names[rank], sizeof(names[rank]), "@%s-%d", own.job, rank);
	return names[rank];
}

static int init_by_addresses(struct haul *h, struct haul_group **g)
{
	const char *addresses[CREW_MOST];
	for (int i = 0; i < own.size; i++)
		addresses[i] = crew_address(i);
	struct haul_group_options o = { .rank = own.rank, .size = own.size, .addresses = addresses };
	return haul_group_init(h, &o, sizeof(o), g);
}

static void set_number(const char *name, int value)
{
	char text[16];
	snprintf(text, sizeof(text), "%d", value);
	setenv(name, text, 1);
}

int crew_init(struct haul *h, struct haul_group **g)
{
	if (!own.options->launched)
		return init_by_addresses(h, g);
	set_number("HAUL_RANK", own.rank);
	set_number("HAUL_SIZE", own.size);
	set_number("HAUL_LISTEN", own.listening);
	set_number("HAUL_CONTROL", own.control);
	setenv("HAUL_JOB", own.job, 1);
	return haul_group_init(h, NULL, 0, g);
}

struct haul_group *crew_open(struct haul **h)
{
	const struct haul_options *o = own.options->options;
	struct haul_group *g;
	must_be(haul_open(h, o, o != NULL ? sizeof(*o) : 0), 0);
	must_be(crew_init(*h, &g), 0);
	return g;
}

void crew_close(struct haul *h, struct haul_group *g)
{
	must_be(haul_group_free(g, CREW_PATIENCE_MS), 0);
	must_be(haul_close(h, CREW_PATIENCE_MS), 0);
}

void crew_say(void)
{
	must_be(write(own.line, "", 1), 1);
}

void crew_heed(void)
{
	char byte;
	must_be(read(own.line, &byte, 1), 1);
}

void crew_meet(void)
{
	crew_say();
	crew_heed();
}

void crew_meet_in(struct haul *h)
{
	struct pollfd fds[] = { { .fd = own.line, .events = POLLIN },
		{ .fd = haul_fd(h), .events = POLLIN } };
	crew_say();
	do {
		while (haul_progress(h) > 0)
			;
		if (haul_arm(h) == 0)
			poll(fds, 2, -1);
	} while ((fds[0].revents & (POLLIN | POLLHUP)) == 0);
	crew_heed();
}

/* Nothing else that the test has open is a member's: a copy of another's socket would hide its end. */
static void keep_only(int a, int b, int c)
{
	int most = getdtablesize();
	for (int fd = STDERR_FILENO + 1; fd < most && fd < 1024; fd++)
		if (fd != a && fd != b && fd != c)
			close(fd);
}

static int run_member(void *arg)
{
	struct haul *h = NULL;
	own = *(struct place *)arg;
	must_in_child();
	must_note_case("rank %d of %d", own.rank, own.size);
	keep_only(own.line, own.listening, own.control);
	int fds = fds_count() - (own.listening >= 0) - (own.control >= 0); /* which become the library's */
	struct haul_group *g = own.options->bare ? NULL : crew_open(&h);
	own.part(g, own.arg);
	if (h != NULL)
		crew_close(h, g);
	if (fds_count() != fds) {
		fds_print();
		must_be(fds_count(), fds);
	}
	if (__lsan_do_recoverable_leak_check != NULL)
		must_be(__lsan_do_recoverable_leak_check(), 0);
	return 0;
}

/* ---- in the test ---- */

static int listen_at(const char *job, int rank)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int len = snprintf(un.sun_path + 1, sizeof(un.sun_path) - 1, JOB_ADDRESS, job, (unsigned)rank);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	must(fd >= 0);
	must(bind(fd, (struct sockaddr *)&un,
	         (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len)) == 0);
	must(listen(fd, SOMAXCONN) == 0);
	return fd;
}

void crew_start(struct crew *c, int size, const struct crew_options *options, crew_part *part,
    const void *arg)
{
	static const struct crew_options plain;
	static int crews;
	static int theirs[CREW_MOST], listening[CREW_MOST], controls[CREW_MOST];
	struct place p = { .options = options != NULL ? options : &plain,
		.part = part,
		.arg = arg,
		.size = size };
	must(size <= CREW_MOST);
	*c = (struct crew){ .size = size, .fds = fds_count() };
	snprintf(p.job, sizeof(p.job), "crew-%d-%d", (int)getpid(), crews++);
	/* All listen before the first one starts, as under a launcher. */
	for (int i = 0; i < size; i++) {
		int line[2], control[2] = { -1, -1 };
		must(socketpair(AF_UNIX, SOCK_STREAM, 0, line) == 0);
		must(!p.options->launched || socketpair(AF_UNIX, SOCK_SEQPACKET, 0, control) == 0);
		listening[i] = p.options->launched ? listen_at(p.job, i) : -1;
		c->lines[i] = line[0];
		theirs[i] = line[1];
		c->controls[i] = control[0];
		controls[i] = control[1];
	}
	for (int i = 0; i < size; i++) {
		p.rank = i;
		p.line = theirs[i];
		p.listening = listening[i];
		p.control = controls[i];
		child_start(&c->members[i], CREW_PATIENCE_MS + 5000, run_member, &p);
	}
	for (int i = 0; i < size; i++) {
		close(theirs[i]);
		if (p.options->launched) {
			close(listening[i]);
			close(controls[i]);
		}
	}
}

static void let_go(struct crew *c, int rank)
{
	close(c->lines[rank]);
	c->lines[rank] = -1;
}

void crew_expect(struct crew *c, int rank, int status)
{
	child_expect(&c->members[rank], status);
	let_go(c, rank);
}

void crew_expect_killed(struct crew *c, int rank, int signal)
{
	child_expect_killed(&c->members[rank], signal);
	let_go(c, rank);
}

/* Of those that fail, one tells why, and others that they wait for it in vain; all are to be collected. */
void crew_end(struct crew *c)
{
	char words[sizeof(((struct child_end *)0)->words) + 32] = "";
	for (int i = 0; i < c->size; i++) {
		if (c->lines[i] < 0)
			continue;
		struct child_end end = child_collect(&c->members[i]);
		if ((end.fate != CHILD_EXITED || end.code != 0) && words[0] == '\0')
			snprintf(words, sizeof(words), "rank %d %s", i, end.words);
		let_go(c, i);
	}
	for (int i = 0; i < c->size; i++)
		if (c->controls[i] >= 0)
			close(c->controls[i]);
	if (words[0] != '\0')
		must_failed(__FILE__, __LINE__, words);
	fds_expect(c->fds);
}

void crew_run(int size, const struct crew_options *options, crew_part *part, const void *arg)
{
	struct crew c;
	crew_start(&c, size, options, part, arg);
	crew_end(&c);
}

void crew_tell(struct crew *c, int rank, bool left)
{
	struct job_note note = { .kind = left ? JOB_LEFT : JOB_DEAD,
		.rank = (uint32_t)rank,
		.status = left ? 0 : 137 };
	for (int i = 0; i < c->size; i++)
		if (i != rank && c->controls[i] >= 0)
			send(c->controls[i], &note, sizeof(note),
			    MSG_NOSIGNAL); /* one that has ended hears nothing */
}

int crew_hear_abort(struct crew *c, int rank, char *why, size_t room)
{
	struct job_note note;
	char bytes[sizeof(note) + JOB_TEXT_MOST];
	ssize_t n = recv(c->controls[rank], bytes, sizeof(bytes), 0);
	must(n >= (ssize_t)sizeof(note));
	memcpy(&note, bytes, sizeof(note));
	must_be(note.kind, JOB_ABORT);
	must_be(n, sizeof(note) + note.len);
	snprintf(why, room, "%.*s", (int)note.len, bytes + sizeof(note));
	return note.status;
}

void crew_await(struct crew *c, int rank)
{
	struct pollfd fd = { .fd = c->lines[rank], .events = POLLIN };
	char byte;
	if (poll(&fd, 1, CREW_PATIENCE_MS) != 1 || read(c->lines[rank], &byte, 1) != 1) {
		fprintf(stderr, "rank %d says nothing\n", rank);
		must(false);
	}
}

void crew_go(struct crew *c, int rank)
{
	must_be(send(c->lines[rank], "", 1, MSG_NOSIGNAL), 1);
}

void crew_await_all(struct crew *c)
{
	for (int i = 0; i < c->size; i++)
		if (c->lines[i] >= 0)
			crew_await(c, i);
}

void crew_go_all(struct crew *c)
{
	for (int i = 0; i < c->size; i++)
		if (c->lines[i] >= 0)
			crew_go(c, i);
}
