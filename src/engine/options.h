/* SPDX-License-Identifier: BSD-3-Clause */
/* Options: what the caller set, what the environment fills in, what is left to defaults; all checked. */
#ifndef HAUL_ENGINE_OPTIONS_H
#define HAUL_ENGINE_OPTIONS_H

#include <stddef.h>

#include "haul/haul.h"

/* A public struct that grows with versions: the caller's, of whatever size, into ours; what that lacks is 0, and so is all
 * if given is NULL. -E2BIG, with a reason: it sets what we don't know. */
int options_copy(void *to, size_t room, const void *given, size_t size);

/* Fills *out. 0, -EINVAL or -E2BIG with a reason. given may be NULL. */
int options_resolve(struct haul_options *out, const struct haul_options *given, size_t given_size);

#endif
