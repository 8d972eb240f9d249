/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * For tests/test_cat.sh: an other side of haul cat that says what none should, and what a shell can't do.
 *
 *     catpeer sender LIE ADDRESS      connects, sends "hello\n", and lies somewhere
 *     catpeer receiver LIE ADDRESS    listens, and lies somewhere; takes one buffer at the most
 *     catpeer nonblock COMMAND...     becomes the command, its standard input and output non-blocking
 *     catpeer listening NAME COMMAND...   the same, with a socket that listens at @NAME as its descriptor 3
 *
 * The lies are in the table below. A liar stays until its standard input ends.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <err.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../tools/cat.h"

enum { PATIENCE_MS = 30000 };

static struct haul *context;
static const char text[] = "hello\n";
enum { TEXT = sizeof(text) - 1 };

struct lie {
	const char *name;
	void (*tell)(struct haul_peer *);
};

static void say(struct haul_peer *p, uint64_t tag, const void *at, size_t len)
{
	int rc = haul_send(p, tag, at, len, PATIENCE_MS);
	if (rc < 0)
		warnx("%s", haul_reason()); /* it need not listen any more */
}

/* ---- lies of the first word ---- */

static struct cat_hello truth(void)
{
	struct cat_hello hello = { .version = CAT_VERSION, .flags = CAT_WANTS_SUM, .size = TEXT };
	memcpy(hello.magic, CAT_MAGIC, sizeof(hello.magic));
	return hello;
}

static void hello(struct haul_peer *p)
{
	struct cat_hello note = truth();
	say(p, CAT_HELLO, &note, sizeof(note));
}

static void magic(struct haul_peer *p)
{
	struct cat_hello note = truth();
	note.magic[7] = 'r';
	say(p, CAT_HELLO, &note, sizeof(note));
}

static void version(struct haul_peer *p)
{
	struct cat_hello note = truth();
	note.version = CAT_VERSION + 1;
	say(p, CAT_HELLO, &note, sizeof(note));
}

static void brief(struct haul_peer *p)
{
	say(p, CAT_HELLO, CAT_MAGIC, 8);
}

static void longer(struct haul_peer *p)
{
	static char much[4096] = CAT_MAGIC;
	say(p, CAT_HELLO, much, sizeof(much));
}

static void rude(struct haul_peer *p)
{
	say(p, CAT_DATA, text, TEXT);
}

static void silent(struct haul_peer *p)
{
	(void)p;
}

/* ---- lies of the last one ---- */

static struct cat_end end_of(uint64_t bytes)
{
	struct cat_end end = { .bytes = bytes };
	struct cat_sum *sum = cat_sum_able() ? cat_sum_new() : NULL;
	if (sum == NULL)
		errx(77, "no libmd");
	cat_sum_add(sum, text, TEXT);
	cat_sum_end(sum, end.sum);
	return end;
}

static void end_with(struct haul_peer *p, const struct cat_end *end, size_t len)
{
	hello(p);
	say(p, CAT_DATA, text, TEXT);
	say(p, CAT_END, end, len);
}

static void none(struct haul_peer *p)
{
	struct cat_end end = end_of(TEXT);
	end_with(p, &end, sizeof(end));
}

static void count(struct haul_peer *p)
{
	struct cat_end end = end_of(TEXT + 1);
	end_with(p, &end, sizeof(end));
}

static void sum(struct haul_peer *p)
{
	struct cat_end end = end_of(TEXT);
	end.sum[31] ^= 1;
	end_with(p, &end, sizeof(end));
}

static void cut(struct haul_peer *p)
{
	struct cat_end end = end_of(TEXT);
	end_with(p, &end, sizeof(end) - 1);
}

static void escape(struct haul_peer *p)
{
	struct cat_end end = { .bytes = TEXT, .status = 33 };
	memset(end.why, '\033', sizeof(end.why)); /* and no 0 */
	end_with(p, &end, sizeof(end));
}

static void status(struct haul_peer *p)
{
	struct cat_end end = { .bytes = TEXT, .status = 0x100, .why = "nonsense" };
	end_with(p, &end, sizeof(end));
}

/* ---- lies in between ---- */

static void tag(struct haul_peer *p)
{
	hello(p);
	say(p, 4, text, TEXT);
}

static void again(struct haul_peer *p)
{
	hello(p);
	hello(p);
}

static void empty(struct haul_peer *p)
{
	hello(p);
	say(p, CAT_DATA, NULL, 0);
}

static void huge(struct haul_peer *p)
{
	static char much[CAT_CHUNK + 1];
	hello(p);
	say(p, CAT_DATA, much, sizeof(much));
}

static void early(struct haul_peer *p)
{
	struct cat_end end = end_of(TEXT);
	hello(p);
	say(p, CAT_END, &end, sizeof(end));
}

/* Those of a receiver, which says END when the sender has. */
static void hear_all(struct haul_peer *p)
{
	static char much[CAT_CHUNK];
	struct haul_match match = { .from = p, .ignore = UINT64_MAX };
	struct haul_status status = { 0 };
	do
		if (haul_recv(context, &match, much, sizeof(much), PATIENCE_MS, &status) < 0)
			errx(1, "%s", haul_reason());
	while (status.tag != CAT_END);
}

static void miscount(struct haul_peer *p)
{
	struct cat_end end = end_of(TEXT - 1);
	hello(p);
	hear_all(p);
	say(p, CAT_END, &end, sizeof(end));
}

static void missum(struct haul_peer *p)
{
	struct cat_end end = { .bytes = TEXT };
	hello(p);
	hear_all(p);
	say(p, CAT_END, &end, sizeof(end));
}

static void moan(struct haul_peer *p)
{
	struct cat_end end = { .status = 33, .why = "it\thurts" };
	hello(p);
	say(p, CAT_END, &end, sizeof(end));
}

static const struct lie lies[] = {
	{ "magic", magic }, { "version", version }, { "brief", brief }, { "longer", longer },
	{ "rude", rude }, { "silent", silent }, { "none", none }, { "count", count }, { "sum", sum },
	{ "cut", cut }, { "escape", escape }, { "status", status }, { "tag", tag }, { "again", again },
	{ "empty", empty }, { "huge", huge }, { "early", early }, { "miscount", miscount },
	{ "missum", missum }, { "moan", moan }, { "greets", hello }, /* and says no more */
};

static int lie(struct haul_peer *p, const char *name)
{
	size_t i = 0;
	while (i < sizeof(lies) / sizeof(lies[0]) && strcmp(lies[i].name, name) != 0)
		i++;
	if (i == sizeof(lies) / sizeof(lies[0]))
		errx(64, "there is no lie '%s'", name);
	lies[i].tell(p);
	char byte;
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	haul_close(context, PATIENCE_MS);
	return 0;
}

static int meet(bool listens, const char *name, const char *address)
{
	struct haul_listener *listener;
	struct haul_peer *p;
	int rc = haul_open(&context, NULL, 0);
	if (rc == 0 && listens) {
		rc = haul_listen(context, address, &listener);
		if (rc == 0)
			rc = haul_accept(listener, PATIENCE_MS, &p);
	} else if (rc == 0)
		rc = haul_connect(context, address, PATIENCE_MS, &p);
	if (rc < 0)
		errx(1, "%s", haul_reason());
	return lie(p, name);
}

static void become(char **command) __attribute__((noreturn));
static void become(char **command)
{
	execvp(command[0], command);
	err(1, "%s", command[0]);
}

static void listen_at(const char *name)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	size_t len = strlen(name);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	if (len >= sizeof(a.sun_path))
		errx(64, "too long");
	memcpy(a.sun_path + 1, name, len);
	if (fd < 0 ||
	    bind(fd, (void *)&a, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + len)) != 0 ||
	    listen(fd, 5) != 0 || (fd != 3 && (dup2(fd, 3) != 3 || close(fd) != 0)))
		err(1, "%s", name);
}

int main(int argc, char **argv)
{
	const char *what = argc > 2 ? argv[1] : "";
	bool receives = strcmp(what, "receiver") == 0;
	if (argc == 4 && (receives || strcmp(what, "sender") == 0))
		return meet(receives, argv[2], argv[3]);
	if (strcmp(what, "nonblock") == 0) {
		for (int fd = 0; fd < 2; fd++)
			if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0)
				err(1, "fcntl");
		become(argv + 2);
	}
	if (argc > 3 && strcmp(what, "listening") == 0) {
		listen_at(argv[2]);
		become(argv + 3);
	}
	errx(64, "see its first comment");
}
