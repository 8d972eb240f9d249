/* SPDX-License-Identifier: BSD-3-Clause */
/* Workers for tests. See hire.h. */
#include "lib/hire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/fds.h"
#include "lib/must.h"
#include "lib/pairing.h"

#define VARIABLE "HAUL_TEST_ROLE"

void hire_roles(const struct role *roles, size_t count)
{
	const char *name = getenv(VARIABLE);
	if (name == NULL)
		return;
	must_in_child();
	for (size_t i = 0; i < count; i++)
		if (strcmp(roles[i].name, name) == 0)
			_exit(roles[i].run());
	must(!"a role of that name");
}

void hire_as(const char *role)
{
	if (role == NULL)
		must_be(unsetenv(VARIABLE), 0);
	else
		must_be(setenv(VARIABLE, role, 1), 0);
}

const char *hire_program(void)
{
	static char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	must(n > 0);
	path[n] = '\0';
	return path;
}

struct haul_peer *hire(struct haul *h, const char *role)
{
	char *argv[] = { (char *)"/proc/self/exe", NULL };
	struct haul_spawn s = { .argv = argv };
	struct haul_peer *p;
	hire_as(role);
	must_be(haul_spawn(h, &s, sizeof(s), PATIENCE_MS, &p), 0);
	hire_as(NULL);
	return p;
}

struct haul_peer *hire_inherit(struct haul **h)
{
	struct haul_peer *parent;
	must_be(haul_open(h, NULL, 0), 0);
	must_be(haul_inherit(*h, PATIENCE_MS, &parent), 0);
	return parent;
}

bool hire_has_none(void)
{
	siginfo_t info;
	return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 && errno == ECHILD;
}

int hire_in_vain(struct haul *h, const struct haul_spawn *s, int timeout_ms)
{
	struct haul_peer *p = NULL;
	int fds = fds_count();
	int rc = haul_spawn(h, s, sizeof(*s), timeout_ms, &p);
	must(p == NULL);
	while (!hire_has_none()) /* the kernel may take its time to end it */
		must(haul_progress(h) >= 0);
	must_be(fds_count(), fds);
	return rc;
}
