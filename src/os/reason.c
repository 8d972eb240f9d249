/* SPDX-License-Identifier: BSD-3-Clause */
/* The words behind a thread's last failure. See reason.h. */
#include "os/reason.h"

#include <stdarg.h>
#include <stdio.h>

static _Thread_local char words[256] = "no failure yet";

int reason(int error, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(words, sizeof(words), format, args);
	va_end(args);
	return error;
}

const char *reason_get(void)
{
	return words;
}
