/* SPDX-License-Identifier: BSD-3-Clause */
/* Socket activation. See activated.h. */
#include "os/activated.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bsd/stdlib.h>

#include "os/reason.h"
#include "os/sock.h"

#define PID "LISTEN_PID"
#define FDS "LISTEN_FDS"
#define NAMES "LISTEN_FDNAMES"
#define NAMELESS "unknown" /* what one is called that has no name */

enum { FIRST = 3, MOST = 1024 };

static long long number(const char *variable, long long most)
{
	const char *text = secure_getenv(variable), *wrong;
	return text != NULL ? strtonum(text, 1, most, &wrong) : 0;
}

/* How many were passed to this very process. */
static int count_passed(void)
{
	return number(PID, INT_MAX) == getpid() ? (int)number(FDS, MOST) : 0;
}

/* The name of one, *len bytes long: the i-th between colons. */
static const char *name_of(int i, size_t *len)
{
	const char *at = secure_getenv(NAMES);
	for (; at != NULL && i > 0; i--)
		if ((at = strchr(at, ':')) != NULL)
			at++;
	if (at == NULL)
		at = NAMELESS;
	const char *end = strchr(at, ':');
	*len = end != NULL ? (size_t)(end - at) : strlen(at);
	return at;
}

int activated_find(const char *name)
{
	int count = count_passed(), found = -1;
	if (count == 0)
		return reason(-ENOENT,
		    "no socket was passed to this process: " FDS " and " PID " say of none");
	if (name == NULL && count > 1)
		return reason(-EINVAL,
		    "%d sockets were passed to this process: which is told by systemd:NAME", count);
	for (int i = 0; i < count && found < 0; i++) {
		size_t len;
		const char *its = name_of(i, &len);
		if (len > 0 && (name == NULL || (strlen(name) == len && memcmp(its, name, len) == 0)))
			found = FIRST + i;
	}
	if (found < 0)
		return reason(-ENOENT,
		    "no socket of that name was passed to this process, or it is taken: " NAMES);
	return found;
}

/* All names but those of the ones that are taken; NULL without memory. *left: how many. */
static char *names_without(int count, int taken, int *left)
{
	size_t room = 1, at = 0, len;
	for (int i = 0; i < count; i++) {
		name_of(i, &len);
		room += len + 1;
	}
	char *names = malloc(room);
	for (int i = 0; i < count && names != NULL; i++) {
		const char *its = name_of(i, &len);
		if (i > 0)
			names[at++] = ':';
		if (i == taken)
			len = 0;
		memcpy(names + at, its, len);
		at += len;
		*left += len > 0;
	}
	if (names != NULL)
		names[at] = '\0';
	return names;
}

int activated_take(int fd)
{
	int count = count_passed(), left = 0;
	char *names = names_without(count, fd - FIRST, &left);
	bool kept = names != NULL && (left == 0 || setenv(NAMES, names, 1) == 0);
	free(names);
	if (!kept)
		return reason(-ENOMEM, "no memory to note which of the sockets passed is taken");
	for (int i = 0; i < count; i++)
		sock_keep_from_exec(FIRST + i);
	if (left == 0) {
		unsetenv(PID);
		unsetenv(FDS);
		unsetenv(NAMES);
	}
	return 0;
}
