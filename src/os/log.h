/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Lines for whoever runs the program: to a function of the program's, or to standard error. Rare events
 * only, never one for each message. Who decides what is worth a line is the floor that knows what it means.
 */
#ifndef HAUL_OS_LOG_H
#define HAUL_OS_LOG_H

/* Higher ones are for those who look more closely. 0 and below: nothing. */
enum { LOG_ERROR = 1, LOG_INFO = 2, LOG_DEBUG = 3 };

struct log {
	int level;                                             /* the highest that is written */
	void (*write)(void *arg, int level, const char *line); /* NULL: standard error */
	void *arg;
};

/* A line, without its end; longer ones are cut. Keeps errno. */
void log_line(const struct log *l, int level, const char *format, ...)
    __attribute__((cold, format(printf, 3, 4)));

#endif
