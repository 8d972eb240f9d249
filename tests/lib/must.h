/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks that read the same in both processes of a test: a failed one says where, what came instead and in
 * the library's words why, then fails the test, or in a child of pairing.h ends that child.
 */
#ifndef HAUL_TESTS_LIB_MUST_H
#define HAUL_TESTS_LIB_MUST_H

#include <stddef.h>
#include <stdint.h>

/* The condition holds. */
#define must(condition) ((condition) ? (void)0 : must_failed(__FILE__, __LINE__, #condition))

/* The call returns that number. */
#define must_be(call, expected) \
	must_equal(__FILE__, __LINE__, #call, (long long)(call), (long long)(expected))

/* The len bytes of buf are those that belong at offset of the message that seed names (pattern.h). */
#define must_hold(buf, len, seed, offset) must_match(__FILE__, __LINE__, buf, len, seed, offset)

/* The len bytes of buf are all CANARY. */
#define must_be_untouched(buf, len) must_be_canary(__FILE__, __LINE__, buf, len)

enum { CANARY = 0xc3 };

/* What a failed check says besides, for instance which parameter it ran with. Kept, not copied. */
void must_note(const char *words);
/* The same, made of numbers as by printf(). */
void must_note_case(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* From here on this process is a child, where the test's own means of failing do not work. */
void must_in_child(void);

void must_failed(const char *file, int line, const char *what) __attribute__((noreturn));
void must_equal(const char *file, int line, const char *call, long long result, long long expected);
void must_match(const char *file, int line, const void *buf, size_t len, uint64_t seed, uint64_t offset);
void must_be_canary(const char *file, int line, const void *buf, size_t len);

#endif
