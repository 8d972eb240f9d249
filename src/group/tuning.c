/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From where on something else pays. What is short goes in few messages, as each costs some 3 us, the time of a copy of
 * some 20 KiB; what is long is copied few times one after the other. In between lies what this says, for 4 to 16
 * members; `haul run -n N haul perf --tune` measures it, and HAUL_TUNING overrides it.
 */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include <bsd/libutil.h>
#include <bsd/string.h>

#include "group/algorithms.h"
#include "os/reason.h"

const struct tuning tuning_default = {
	.bcast_large = 128 << 10,
	.gather_large = 2 << 10,
	.allgather_large = 4 << 10,
	.alltoall_large = 256,
	.reduce_large = 64 << 10,
	.allreduce_large = 64 << 10,
	.readers = 4,
	.crowd = SIZE_MAX,
	.block = 128 << 10,
};

static const struct {
	const char *name;
	size_t field;
} names[] = {
	{ "bcast", offsetof(struct tuning, bcast_large) },
	{ "gather", offsetof(struct tuning, gather_large) },
	{ "allgather", offsetof(struct tuning, allgather_large) },
	{ "alltoall", offsetof(struct tuning, alltoall_large) },
	{ "reduce", offsetof(struct tuning, reduce_large) },
	{ "allreduce", offsetof(struct tuning, allreduce_large) },
	{ "readers", offsetof(struct tuning, readers) },
	{ "crowd", offsetof(struct tuning, crowd) },
	{ "block", offsetof(struct tuning, block) },
};

enum { NAMES = sizeof(names) / sizeof(names[0]) };

static size_t *field_of(struct tuning *t, size_t i)
{
	return (size_t *)((char *)t + names[i].field);
}

/* expand_number(3bsd) takes signs, and what follows the unit. */
static bool read_size(const char *text, uint64_t *value)
{
	enum { DIGITS = 15 };
	size_t digits = strspn(text, "0123456789"), unit = strspn(text + digits, "kKmMgG");
	if (strcmp(text, "never") == 0) {
		*value = SIZE_MAX;
		return true;
	}
	return digits > 0 && digits <= DIGITS && unit <= 1 && text[digits + unit] == '\0' &&
	    expand_number(text, value) == 0;
}

static int read_one(struct tuning *t, char *word)
{
	uint64_t value;
	char *text = strchr(word, '=');
	size_t i = 0;
	if (text != NULL)
		*text++ = '\0';
	while (i < NAMES && strcmp(names[i].name, word) != 0)
		i++;
	if (i == NAMES)
		return reason(-EINVAL, "HAUL_TUNING: there is no '%s'", word);
	if (text == NULL || !read_size(text, &value))
		return reason(-EINVAL, "HAUL_TUNING: %s is to be a number, or never", word);
	*field_of(t, i) = (size_t)value;
	return 0;
}

int tuning_read(struct tuning *t, const char *list)
{
	char copy[256], *rest = copy;
	int rc = 0;
	if (strlcpy(copy, list, sizeof(copy)) >= sizeof(copy))
		return reason(-EINVAL, "HAUL_TUNING is too long");
	for (char *word; rc == 0 && (word = strsep(&rest, ",")) != NULL;)
		if (*word != '\0')
			rc = read_one(t, word);
	return rc;
}

/*
 * Where members take turns on CPUs nobody copies sooner for having company, and each message makes somebody wait for
 * his turn. So there everything goes by way of one member, or of few: of the fewest messages, with the fewest turns.
 * No more than there are CPUs read from that one at a time. (Of few CPUs: of many, one member's messages would take
 * longer than a tree's turns. And not too many members: the one has connections, and so descriptors, to all.)
 */
static bool takes_turns(int size, int cpus)
{
	enum { FEW_CPUS = 4, CROWD_MOST = 128 };
	return size > cpus && cpus <= FEW_CPUS && size <= CROWD_MOST;
}

/* The list is read twice: whether this is a crowd decides what the rest is when the list does not name it. */
int tuning_for(struct tuning *t, int size, int cpus, const char *list)
{
	*t = tuning_default;
	t->crowd = takes_turns(size, cpus) ? 0 : SIZE_MAX;
	int rc = tuning_read(t, list);
	if (rc != 0)
		return rc;
	size_t crowd = t->crowd;
	*t = tuning_default;
	t->crowd = crowd;
	if (tuning_is_crowd(t, size)) {
		t->bcast_large = t->gather_large = 0;
		t->allgather_large = 16 << 10;
		t->readers = SIZE_MAX;
	} else if (size > cpus) {
		t->bcast_large = SIZE_MAX;
	}
	return tuning_read(t, list);
}

uint64_t tuning_mark(const struct tuning *t)
{
	const uint64_t odd = UINT64_C(0x9e3779b97f4a7c15);
	uint64_t mark = 0;
	for (size_t i = 0; i < NAMES; i++)
		mark = (mark ^ *field_of((struct tuning *)t, i)) * odd;
	return mark;
}
