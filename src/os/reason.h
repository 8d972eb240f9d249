/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The words behind a thread's last failure, as haul_reason() shows them. Whoever finds the cause writes
 * it; whoever only passes an error on does not.
 */
#ifndef HAUL_OS_REASON_H
#define HAUL_OS_REASON_H

#include <stdbool.h>

/* Notes the words and returns error (a negative errno), so that `return reason(-EINVAL, "…")` reads well. Being cold, as
 * link_fail() and log_line() are, it has GCC lay out every branch that ends there apart from the way that messages take:
 * worth a twelfth of the rate of 64-byte messages. */
int reason(int error, const char *format, ...) __attribute__((cold, format(printf, 2, 3)));

/* For an error that another thread, or an earlier call, has found the cause of: what the errno says by itself,
 * unless this thread's last words are about it. */
void reason_known(int error);

/* A call begins: what was noted before is not about it. The words stay until there are others. */
void reason_begin(void);

/* While it is kept, notes nothing: what this thread still does is not what its call failed of. */
void reason_keep(bool keep);

/* The last words of this thread; never NULL. */
const char *reason_get(void);

#endif
