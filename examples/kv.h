/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What kv_server.c and its clients say to each other: calls. The tag tells what to do, and the length of the key; the
 * body is the key, and to put a value, that behind it. The reply to a get is the value, other replies are empty; a key
 * that is not there is refused with ENOENT.
 */
#ifndef HAUL_EXAMPLES_KV_H
#define HAUL_EXAMPLES_KV_H

#include <stdint.h>

enum kv_op { KV_PUT = 1, KV_GET = 2, KV_DELETE = 3 };

enum { KV_KEY_MOST = 255, KV_VALUE_MOST = 64 << 20 };

#define KV_TAG(op, key_len) ((uint64_t)(key_len) << 8 | (uint64_t)(op))
#define KV_TAG_OP(tag) ((tag)&0xff)
#define KV_TAG_KEY_LEN(tag) ((tag) >> 8)

#endif
