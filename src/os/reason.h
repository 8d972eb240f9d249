/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The words behind a thread's last failure, as haul_reason() shows them. Whoever finds the cause writes
 * it; whoever only passes an error on does not.
 */
#ifndef HAUL_OS_REASON_H
#define HAUL_OS_REASON_H

/* Notes the words and returns error (a negative errno), so that `return reason(-EINVAL, "…")` reads well. */
int reason(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The last words of this thread; never NULL. */
const char *reason_get(void);

#endif
