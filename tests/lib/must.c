/* SPDX-License-Identifier: BSD-3-Clause */
/* Checks for either process. See must.h. */
#include "must.h"

#include <criterion/criterion.h>
#include <haul/haul.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "child.h"
#include "pattern.h"

static const char *note = "";
static bool in_child;

void must_note(const char *words)
{
	note = words;
}

void must_note_case(const char *format, ...)
{
	static char words[160];
	va_list args;
	va_start(args, format);
	vsnprintf(words, sizeof(words), format, args);
	va_end(args);
	note = words;
}

void must_in_child(void)
{
	in_child = true;
}

void must_failed(const char *file, int line, const char *what)
{
	char words[512];
	snprintf(words, sizeof(words), "%s%s%s", what, *note != '\0' ? "; with: " : "", note);
	if (in_child)
		child_check_failed(file, line, words);
	cr_assert_fail("%s:%d: not true: %s", file, line, words);
	__builtin_unreachable();
}

void must_equal(const char *file, int line, const char *call, long long result, long long expected)
{
	char words[384];
	if (result == expected)
		return;
	snprintf(words, sizeof(words), "%s gives %lld (%s; haul says: %s); expected: %lld", call, result,
	    result < 0 && result > -4096 ? strerror((int)-result) : "no error", haul_reason(), expected);
	must_failed(file, line, words);
}

void must_match(const char *file, int line, const void *buf, size_t len, uint64_t seed, uint64_t offset)
{
	char words[128];
	size_t right = pattern_check(buf, len, seed, offset);
	if (right == len)
		return;
	snprintf(words, sizeof(words), "byte %zu of %zu is the one of message %llu, offset %llu", right, len,
	    (unsigned long long)seed, (unsigned long long)(offset + right));
	must_failed(file, line, words);
}

void must_be_canary(const char *file, int line, const void *buf, size_t len)
{
	const unsigned char *at = buf;
	char words[128];
	for (size_t i = 0; i < len; i++) {
		if (at[i] != CANARY) {
			snprintf(words, sizeof(words), "byte %zu of the %zu beyond the buffer is untouched",
			    i, len);
			must_failed(file, line, words);
		}
	}
}
