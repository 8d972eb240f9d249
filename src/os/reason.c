/* SPDX-License-Identifier: BSD-3-Clause */
/* The words behind a thread's last failure. See reason.h. */
#include "os/reason.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local struct {
	int error; /* what the words are about; 0: nothing of this call */
	bool kept;
	char words[256];
} last __attribute__((tls_model("initial-exec")));

int reason(int error, const char *format, ...)
{
	if (last.kept)
		return error;
	va_list args;
	va_start(args, format);
	vsnprintf(last.words, sizeof(last.words), format, args);
	va_end(args);
	last.error = error;
	return error;
}

static const char *usual_words(int error)
{
	switch (error) {
	case -ECONNRESET:
		return "the peer has exited or hung up";
	case -EPIPE:
		return "the peer said goodbye, or there is neither a peer nor a listener left";
	case -ECANCELED:
		return "canceled: by this side, or by a sender that took its message back";
	case -ETIMEDOUT:
		return "the time was up";
	case -EFAULT:
		return "a buffer cannot be accessed";
	case -EPROTO:
		return "the peer broke the protocol";
	case -ECONNREFUSED:
		return "the receiver refused the message";
	default:
		return strerror(-error);
	}
}

void reason_known(int error)
{
	if (last.error != error)
		reason(error, "%s", usual_words(error));
}

void reason_begin(void)
{
	last.error = 0;
}

void reason_keep(bool keep)
{
	last.kept = keep;
}

const char *reason_get(void)
{
	return last.words[0] != '\0' ? last.words : "no failure yet";
}
