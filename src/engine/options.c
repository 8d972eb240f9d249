/* SPDX-License-Identifier: BSD-3-Clause */
/* Options. See options.h, and haul.h for what each means. */
#include "engine/options.h"

#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <bsd/stdlib.h>
#include <bsd/string.h>

#include "os/reason.h"
#include "wire/protocol.h"

enum { LEAST_BUDGET = 65536 };

/* A number from the environment, if the variable is set and not empty. A 0 there is said, not left out: it
 * means none, as -1 does in the struct. */
static int from_env(const char *name, long long most, long long *value)
{
	const char *text = secure_getenv(name), *wrong;
	if (text == NULL || *text == '\0')
		return 0;
	long long n = strtonum(text, -1, most, &wrong);
	if (wrong != NULL)
		return reason(-EINVAL, "%s=%s: %s, -1 to %lld", name, text, wrong, most);
	*value = n != 0 ? n : -1;
	return 0;
}

/* A word from the environment, and what it stands for. */
struct word {
	const char *name;
	int value;
};

static const struct word paths[] = { { "auto", HAUL_PATH_AUTO }, { "pull", HAUL_PATH_PULL },
	{ "stream", HAUL_PATH_STREAM }, { NULL, 0 } };

static const struct word log_levels[] = { { "off", HAUL_LOG_OFF }, { "error", HAUL_LOG_ERROR },
	{ "info", HAUL_LOG_INFO }, { "debug", HAUL_LOG_DEBUG }, { NULL, 0 } };

static const struct word ptracers[] = { { "none", HAUL_PTRACER_NONE }, { "peer", HAUL_PTRACER_PEER },
	{ "ancestor", HAUL_PTRACER_ANCESTOR }, { "any", HAUL_PTRACER_ANY }, { NULL, 0 } };

static const struct word transports[] = { { "auto", HAUL_TRANSPORT_AUTO },
	{ "socket", HAUL_TRANSPORT_SOCKET }, { "outbox", HAUL_TRANSPORT_OUTBOX }, { NULL, 0 } };

static const struct word switches[] = { { "on", 1 }, { "off", -1 }, { NULL, 0 } };

static int word_from_env(const char *variable, const struct word *words, int *value)
{
	char known[64] = "";
	const char *text = secure_getenv(variable);
	if (text == NULL || *text == '\0')
		return 0;
	for (; words->name != NULL; words++) {
		if (strcmp(text, words->name) == 0) {
			*value = words->value;
			return 0;
		}
		strlcat(known, " ", sizeof(known));
		strlcat(known, words->name, sizeof(known));
	}
	return reason(-EINVAL, "%s=%s: none of%s", variable, text, known);
}

static int fill_from_env(struct haul_options *o)
{
	long long spin_us = o->spin_us, eager_max = o->eager_max;
	int rc = 0;
	if (o->path == 0)
		rc = word_from_env("HAUL_PATH", paths, &o->path);
	if (rc == 0 && o->transport == 0)
		rc = word_from_env("HAUL_TRANSPORT", transports, &o->transport);
	if (rc == 0 && o->two_handed == 0)
		rc = word_from_env("HAUL_TWO_HANDED", switches, &o->two_handed);
	if (rc == 0 && o->pull_helper == 0)
		rc = word_from_env("HAUL_PULL_HELPER", switches, &o->pull_helper);
	if (rc == 0 && o->log_level == 0)
		rc = word_from_env("HAUL_LOG", log_levels, &o->log_level);
	if (rc == 0 && o->allow_ptracer == 0)
		rc = word_from_env("HAUL_PTRACER", ptracers, &o->allow_ptracer);
	if (rc == 0 && o->spin_us == 0)
		rc = from_env("HAUL_SPIN_US", INT32_MAX, &spin_us);
	if (rc == 0 && o->eager_max == 0)
		rc = from_env("HAUL_EAGER_MAX", WIRE_EAGER_LONGEST, &eager_max);
	o->spin_us = (int)spin_us;
	o->eager_max = eager_max;
	return rc;
}

static void fill_defaults(struct haul_options *o)
{
	if (o->max_msg == 0)
		o->max_msg = INT64_MAX;
	if (o->budget == 0)
		o->budget = 1 << 20;
	if (o->budget_all == 0)
		o->budget_all = 256 << 20;
	if (o->window == 0)
		o->window = WIRE_WINDOW_MOST;
	if (o->handshakes == 0)
		o->handshakes = 128;
	if (o->handshake_ms == 0)
		o->handshake_ms = 5000;
	if (o->stall_ms == 0)
		o->stall_ms = 1000;
	if (o->copy_budget == 0)
		o->copy_budget = 16 << 20;
	if (o->log_level == 0)
		o->log_level = o->log != NULL ? HAUL_LOG_INFO : HAUL_LOG_OFF;
}

static int check(const struct haul_options *o)
{
	if (o->path != HAUL_PATH_AUTO && o->path != HAUL_PATH_PULL && o->path != HAUL_PATH_STREAM)
		return reason(-EINVAL, "option path: %d is none of auto, pull, stream", o->path);
	if (o->spin_us < -1)
		return reason(-EINVAL, "option spin_us: %d is less than -1", o->spin_us);
	if (o->eager_max < -1 || o->eager_max > WIRE_EAGER_LONGEST)
		return reason(-EINVAL, "option eager_max: %" PRId64 " is not within -1 to %d", o->eager_max,
		    WIRE_EAGER_LONGEST);
	if (o->max_msg > INT64_MAX)
		return reason(-EINVAL, "option max_msg: more than 2^63-1");
	if (o->budget < LEAST_BUDGET || o->budget > WIRE_CREDIT_MOST)
		return reason(-EINVAL, "option budget: %" PRIu64 " is not within %d to %d", o->budget,
		    LEAST_BUDGET, WIRE_CREDIT_MOST);
	if (o->window > WIRE_WINDOW_MOST)
		return reason(-EINVAL, "option window: %" PRIu32 " is more than %d", o->window,
		    WIRE_WINDOW_MOST);
	if (o->log_level < HAUL_LOG_OFF || o->log_level > HAUL_LOG_DEBUG)
		return reason(-EINVAL, "option log_level: %d is no HAUL_LOG_*", o->log_level);
	if (o->progress_thread != 0 && o->progress_thread != 1)
		return reason(-EINVAL, "option progress_thread: %d is neither 0 nor 1", o->progress_thread);
	if (o->allow_ptracer < HAUL_PTRACER_NONE || o->allow_ptracer > HAUL_PTRACER_ANY)
		return reason(-EINVAL, "option allow_ptracer: %d is no HAUL_PTRACER_*", o->allow_ptracer);
	if (o->push != 0 && o->push != 1)
		return reason(-EINVAL, "option push: %d is neither 0 nor 1", o->push);
	if (o->transport < HAUL_TRANSPORT_AUTO || o->transport > HAUL_TRANSPORT_OUTBOX)
		return reason(-EINVAL, "option transport: %d is no HAUL_TRANSPORT_*", o->transport);
	if (o->two_handed < -1 || o->two_handed > 1)
		return reason(-EINVAL, "option two_handed: %d is not within -1 to 1", o->two_handed);
	if (o->pull_helper < -1 || o->pull_helper > 1)
		return reason(-EINVAL, "option pull_helper: %d is not within -1 to 1", o->pull_helper);
	if (o->handshake_ms < 0 || o->stall_ms < 0)
		return reason(-EINVAL, "option handshake_ms or stall_ms is negative");
	return 0;
}

int options_copy(void *to, size_t room, const void *given, size_t size)
{
	memset(to, 0, room);
	if (given == NULL)
		return 0;
	for (size_t i = room; i < size; i++)
		if (((const char *)given)[i] != 0)
			return reason(-E2BIG, "an option is set that this library does not know");
	memcpy(to, given, size < room ? size : room);
	return 0;
}

int options_resolve(struct haul_options *out, const struct haul_options *given, size_t given_size)
{
	int rc = options_copy(out, sizeof(*out), given, given_size);
	if (rc == 0)
		rc = fill_from_env(out);
	if (rc == 0)
		fill_defaults(out);
	return rc != 0 ? rc : check(out);
}
