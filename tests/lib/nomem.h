/* SPDX-License-Identifier: BSD-3-Clause */
/* Running out of memory: while nomem is set, the library's calloc() fails. Link with -Wl,--wrap=calloc. */
#ifndef HAUL_TESTS_NOMEM_H
#define HAUL_TESTS_NOMEM_H

#include <stdbool.h>

extern bool nomem;

#endif
