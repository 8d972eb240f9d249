/* SPDX-License-Identifier: BSD-3-Clause */
/* SHA-256 for haul cat, by libmd, which a build may be without. */
#include "cat.h"

#include <stdlib.h>

#ifdef HAVE_LIBMD

#include <sha2.h>

_Static_assert(CAT_SUM_SIZE == SHA256_DIGEST_LENGTH, "a sum is one of SHA-256");

struct cat_sum {
	SHA2_CTX state;
};

bool cat_sum_able(void)
{
	return true;
}

struct cat_sum *cat_sum_new(void)
{
	struct cat_sum *s = malloc(sizeof(*s));
	if (s != NULL)
		SHA256Init(&s->state);
	return s;
}

void cat_sum_add(struct cat_sum *s, const void *at, size_t len)
{
	SHA256Update(&s->state, at, len);
}

void cat_sum_end(struct cat_sum *s, unsigned char digest[CAT_SUM_SIZE])
{
	SHA256Final(digest, &s->state);
	free(s);
}

#else

bool cat_sum_able(void)
{
	return false;
}

struct cat_sum *cat_sum_new(void)
{
	return NULL;
}

void cat_sum_add(struct cat_sum *s, const void *at, size_t len)
{
	(void)s, (void)at, (void)len;
}

void cat_sum_end(struct cat_sum *s, unsigned char digest[CAT_SUM_SIZE])
{
	(void)s, (void)digest;
}

#endif
