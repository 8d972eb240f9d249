/* SPDX-License-Identifier: BSD-3-Clause */
/* Running out of memory. See nomem.h. */
#include "lib/nomem.h"

#include <stdlib.h>

/* Names that the linker makes of calloc. */
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);

bool nomem;

void *__wrap_calloc(size_t count, size_t size)
{
	return nomem ? NULL : __real_calloc(count, size);
}
