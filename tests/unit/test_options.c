/* SPDX-License-Identifier: BSD-3-Clause */
/* Options: whose word counts (the caller's, the environment's, the default), and what is refused. */
#include "engine/options.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "os/reason.h"

static void clean_environment(void)
{
	unsetenv("HAUL_PATH");
	unsetenv("HAUL_EAGER_MAX");
	unsetenv("HAUL_SPIN_US");
	unsetenv("HAUL_TRANSPORT");
	unsetenv("HAUL_TWO_HANDED");
}

TestSuite(options, .init = clean_environment, .timeout = 60);

static struct haul_options resolve(const struct haul_options *given)
{
	struct haul_options out;
	cr_assert_eq(options_resolve(&out, given, given != NULL ? sizeof(*given) : 0), 0, "%s", reason_get());
	return out;
}

/* Refused, with words that name what is wrong. */
static void expect_refused(const struct haul_options *given, const char *name)
{
	struct haul_options out;
	reason(0, "%s", "");
	cr_assert_eq(options_resolve(&out, given, given != NULL ? sizeof(*given) : 0), -EINVAL, "%s", name);
	cr_assert_not_null(strstr(reason_get(), name), "\"%s\" does not say \"%s\"", reason_get(), name);
}

static void expect_env_refused(const char *name, const char *value)
{
	setenv(name, value, 1);
	expect_refused(NULL, name);
	unsetenv(name);
}

/* ---- defaults ---- */

static void expect_defaults(const struct haul_options *o)
{
	cr_assert_eq(o->path, HAUL_PATH_AUTO);
	cr_assert_eq(o->spin_us, 0);
	cr_assert_eq(o->eager_max, 0); /* depends on the transport */
	cr_assert_eq(o->max_msg, INT64_MAX);
	cr_assert_eq(o->budget, 1 << 20);
	cr_assert_eq(o->budget_all, 256 << 20);
	cr_assert_eq(o->window, 65536);
	cr_assert_eq(o->handshakes, 128);
	cr_assert_eq(o->handshake_ms, 5000);
	cr_assert_eq(o->stall_ms, 1000);
	cr_assert_null(o->admit);
	cr_assert_null(o->admit_arg);
}

Test(options, none_given_are_the_defaults)
{
	struct haul_options zero = { 0 }, o = resolve(NULL);
	expect_defaults(&o);
	o = resolve(&zero);
	expect_defaults(&o);
}

static int admit_all(void *arg, pid_t pid, uid_t uid, gid_t gid)
{
	(void)arg;
	(void)pid;
	(void)uid;
	(void)gid;
	return 1;
}

Test(options, what_is_given_is_kept)
{
	int arg;
	struct haul_options given = { .path = HAUL_PATH_STREAM,
		.spin_us = 7,
		.eager_max = 100,
		.max_msg = 1,
		.budget = 65536,
		.budget_all = 5,
		.window = 1,
		.handshakes = 1,
		.handshake_ms = 1,
		.stall_ms = 1,
		.admit = admit_all,
		.admit_arg = &arg },
	                    o = resolve(&given);
	cr_assert_eq(o.path, HAUL_PATH_STREAM);
	cr_assert_eq(o.spin_us, 7);
	cr_assert_eq(o.eager_max, 100);
	cr_assert_eq(o.max_msg, 1);
	cr_assert_eq(o.budget, 65536);
	cr_assert_eq(o.budget_all, 5);
	cr_assert_eq(o.window, 1);
	cr_assert_eq(o.handshakes, 1);
	cr_assert_eq(o.handshake_ms, 1);
	cr_assert_eq(o.stall_ms, 1);
	cr_assert_eq(o.admit, admit_all);
	cr_assert_eq(o.admit_arg, &arg);
}

/* ---- the environment ---- */

Test(options, the_environment_fills_what_is_not_given)
{
	setenv("HAUL_PATH", "stream", 1);
	setenv("HAUL_EAGER_MAX", "1234", 1);
	setenv("HAUL_SPIN_US", "56", 1);
	struct haul_options o = resolve(NULL);
	cr_assert_eq(o.path, HAUL_PATH_STREAM);
	cr_assert_eq(o.eager_max, 1234);
	cr_assert_eq(o.spin_us, 56);
	setenv("HAUL_PATH", "pull", 1);
	o = resolve(NULL);
	cr_assert_eq(o.path, HAUL_PATH_PULL);
	setenv("HAUL_PATH", "auto", 1);
	o = resolve(NULL);
	cr_assert_eq(o.path, HAUL_PATH_AUTO);
}

Test(options, what_is_given_wins_over_the_environment)
{
	struct haul_options given = { .path = HAUL_PATH_PULL, .eager_max = -1, .spin_us = -1 };
	setenv("HAUL_PATH", "stream", 1);
	setenv("HAUL_EAGER_MAX", "1234", 1);
	setenv("HAUL_SPIN_US", "56", 1);
	struct haul_options o = resolve(&given);
	cr_assert_eq(o.path, HAUL_PATH_PULL);
	cr_assert_eq(o.eager_max, -1);
	cr_assert_eq(o.spin_us, -1);
}

Test(options, zero_in_the_environment_means_none)
{
	setenv("HAUL_EAGER_MAX", "0", 1);
	setenv("HAUL_SPIN_US", "0", 1);
	struct haul_options o = resolve(NULL);
	cr_assert_eq(o.eager_max, -1);
	cr_assert_eq(o.spin_us, -1);
	setenv("HAUL_EAGER_MAX", "-1", 1);
	setenv("HAUL_SPIN_US", "-1", 1);
	o = resolve(NULL);
	cr_assert_eq(o.eager_max, -1);
	cr_assert_eq(o.spin_us, -1);
}

Test(options, an_empty_variable_is_not_set)
{
	setenv("HAUL_PATH", "", 1);
	setenv("HAUL_EAGER_MAX", "", 1);
	setenv("HAUL_SPIN_US", "", 1);
	struct haul_options o = resolve(NULL);
	expect_defaults(&o);
}

Test(options, a_bad_variable_is_refused_by_name)
{
	expect_env_refused("HAUL_PATH", "eager");
	expect_env_refused("HAUL_PATH", "Pull");
	expect_env_refused("HAUL_PATH", "2");
	expect_env_refused("HAUL_EAGER_MAX", "65537");
	expect_env_refused("HAUL_EAGER_MAX", "-2");
	expect_env_refused("HAUL_EAGER_MAX", "8k");
	expect_env_refused("HAUL_EAGER_MAX", "99999999999999999999");
	expect_env_refused("HAUL_SPIN_US", "-2");
	expect_env_refused("HAUL_SPIN_US", "2147483648");
	expect_env_refused("HAUL_SPIN_US", "much");
}

Test(options, a_bad_variable_is_not_read_where_a_value_is_given)
{
	struct haul_options given = { .path = HAUL_PATH_PULL, .eager_max = 1, .spin_us = 1 };
	setenv("HAUL_PATH", "no", 1);
	setenv("HAUL_EAGER_MAX", "no", 1);
	setenv("HAUL_SPIN_US", "no", 1);
	resolve(&given);
}

/* ---- values ---- */

Test(options, a_bad_value_is_refused_by_name)
{
	static const struct {
		const char *name;
		struct haul_options bad;
	} table[] = {
		{ "path", { .path = HAUL_PATH_EAGER } },
		{ "path", { .path = 4 } },
		{ "path", { .path = -1 } },
		{ "spin_us", { .spin_us = -2 } },
		{ "eager_max", { .eager_max = -2 } },
		{ "eager_max", { .eager_max = 65537 } },
		{ "eager_max", { .eager_max = INT64_MAX } },
		{ "eager_max", { .eager_max = INT64_MIN } },
		{ "max_msg", { .max_msg = (uint64_t)INT64_MAX + 1 } },
		{ "max_msg", { .max_msg = UINT64_MAX } },
		{ "budget", { .budget = 65535 } },
		{ "budget", { .budget = (1 << 30) + 1 } },
		{ "budget", { .budget = UINT64_MAX } },
		{ "window", { .window = 65537 } },
		{ "window", { .window = UINT32_MAX } },
		{ "handshake_ms", { .handshake_ms = -1 } },
		{ "stall_ms", { .stall_ms = -1 } },
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		expect_refused(&table[i].bad, table[i].name);
}

Test(options, the_edges_are_good)
{
	static const struct haul_options good[] = {
		{ .spin_us = -1, .eager_max = -1, .budget = 65536, .window = 1, .max_msg = 1 },
		{ .spin_us = INT32_MAX,
		    .eager_max = 65536,
		    .budget = 1 << 30,
		    .window = 65536,
		    .max_msg = INT64_MAX },
		{ .budget_all = UINT64_MAX,
		    .handshakes = UINT32_MAX,
		    .handshake_ms = INT32_MAX,
		    .stall_ms = INT32_MAX },
	};
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		resolve(&good[i]);
}

/* ---- sizes ---- */

/* The options of a newer header. */
struct newer {
	struct haul_options known;
	char unknown[32];
};

Test(options, those_of_a_newer_header_may_be_zero)
{
	struct newer given = { .known = { .eager_max = 77 } };
	struct haul_options out;
	cr_assert_eq(options_resolve(&out, &given.known, sizeof(given)), 0);
	cr_assert_eq(out.eager_max, 77);
}

Test(options, those_of_a_newer_header_that_are_set_are_too_big)
{
	for (size_t i = 0; i < sizeof(((struct newer *)0)->unknown); i++) {
		struct newer given = { 0 };
		struct haul_options out;
		given.unknown[i] = 1;
		reason(0, "%s", "");
		cr_assert_eq(options_resolve(&out, &given.known, sizeof(given)), -E2BIG, "byte %zu", i);
		cr_assert_str_neq(reason_get(), "");
		cr_assert_eq(options_resolve(&out, &given.known, sizeof(given.known) + i), 0,
		    "byte %zu lies beyond", i);
	}
}

Test(options, of_an_older_header_no_byte_beyond_its_size_is_read)
{
	struct haul_options all = { .path = HAUL_PATH_STREAM,
		.eager_max = 100,
		.budget = 65536,
		.window = 9 };
	for (size_t size = 0; size <= sizeof(all); size++) {
		struct haul_options *given = malloc(size), out;
		memcpy(given, &all, size);
		cr_assert_eq(options_resolve(&out, size > 0 ? given : NULL, size), 0, "%zu bytes: %s", size,
		    reason_get());
		if (size == offsetof(struct haul_options, budget)) {
			cr_assert_eq(out.path, HAUL_PATH_STREAM);
			cr_assert_eq(out.eager_max, 100);
			cr_assert_eq(out.budget, 1 << 20, "the rest is by default");
			cr_assert_eq(out.window, 65536);
		}
		free(given);
	}
}
