/* SPDX-License-Identifier: BSD-3-Clause */
/* The peer's second verdict: after the handshake, once, and only for the worse. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "lib/handmade.h"
#include "lib/must.h"

TestSuite(verdict, .timeout = 60);

static void say_verdict(struct handmade *m, uint32_t error, const char *words)
{
	uint8_t body[WIRE_VERDICT_SIZE + WIRE_WORDS_LONGEST] = { 0 };
	raw_put(body, error, 4);
	memcpy(body + WIRE_VERDICT_SIZE, words, strlen(words));
	must(raw_send_frame(&m->raw, WIRE_VERDICT, 0, body, WIRE_VERDICT_SIZE + strlen(words)));
	handmade_settle(m);
}

static struct haul_peer_info info_of(struct handmade *m)
{
	struct haul_peer_info info;
	must_be(haul_peer_info(m->peer, &info, sizeof(info)), 0);
	return info;
}

Test(verdict, that_gets_worse_is_known)
{
	struct handmade m;
	handmade_start(&m, NULL);
	must_be(info_of(&m).out_path, HAUL_PATH_PULL);
	must_be(info_of(&m).out_error, 0);
	say_verdict(&m, EPERM, "a filter\x1b[31m");
	handmade_must_live(&m);
	struct haul_peer_info info = info_of(&m);
	must_be(info.out_path, HAUL_PATH_STREAM);
	must_be(info.out_error, EPERM);
	must(strcmp(info.out_words, "a filter?[31m") == 0);
	must_be(info.in_path, HAUL_PATH_PULL);
	handmade_end(&m);
}

Test(verdict, of_an_error_that_there_is_not_is_one_all_the_same)
{
	struct handmade m;
	handmade_start(&m, NULL);
	say_verdict(&m, UINT32_MAX, "");
	handmade_must_live(&m);
	must_be(info_of(&m).out_error, EPROTO);
	handmade_end(&m);
}

Test(verdict, that_says_nothing_new_drops_the_peer)
{
	struct handmade m;
	handmade_start(&m, NULL);
	say_verdict(&m, 0, "");
	handmade_lost(&m, -EPROTO);
}

Test(verdict, is_given_once_after_the_handshake)
{
	struct handmade m;
	handmade_start(&m, NULL);
	say_verdict(&m, EPERM, "");
	handmade_must_live(&m);
	say_verdict(&m, EACCES, "");
	handmade_must_be_lost(&m, -EPROTO);
	must_be(info_of(&m).out_error, EPERM);
	handmade_end(&m);
}

Test(verdict, that_was_bad_is_not_given_again)
{
	static const uint32_t again[] = { 0, EPERM, ENOSYS };
	for (size_t i = 0; i < sizeof(again) / sizeof(again[0]); i++) {
		struct handmade m;
		handmade_start_as(&m, NULL, &(struct raw){ .features = WIRE_FEATURE_PUSH, .verdict = EPERM });
		must_be(info_of(&m).out_error, EPERM);
		say_verdict(&m, again[i], "");
		handmade_lost(&m, -EPROTO);
	}
}
