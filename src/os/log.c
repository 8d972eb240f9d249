/* SPDX-License-Identifier: BSD-3-Clause */
/* Lines for whoever runs the program. See log.h. */
#include "os/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

/* In one write, so that lines of several processes do not mix. */
static void to_stderr(const char *line)
{
	char all[512];
	int n = snprintf(all, sizeof(all), "haul[%d]: %s\n", (int)getpid(), line);
	ssize_t written = write(STDERR_FILENO, all, n < (int)sizeof(all) ? (size_t)n : sizeof(all) - 1);
	(void)written; /* there is nowhere to complain */
}

void log_line(const struct log *l, int level, const char *format, ...)
{
	if (level > l->level)
		return;
	int saved = errno;
	char line[448];
	va_list args;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (l->write != NULL)
		l->write(l->arg, level, line);
	else
		to_stderr(line);
	errno = saved;
}
