/* SPDX-License-Identifier: BSD-3-Clause */
/* A stream as a stdio stream: haul_stream_file(), by fopencookie(3). */
#include <errno.h>
#include <string.h>

#include "os/reason.h"
#include "stream/stream.h"

enum { BUFFER = 64 << 10 };

static ssize_t to_errno(ssize_t rc)
{
	if (rc >= 0)
		return rc;
	errno = (int)-rc;
	return -1;
}

static ssize_t file_read(void *s, char *buf, size_t len)
{
	return to_errno(haul_stream_read(s, buf, len, -1));
}

/* stdio takes 0 for an error, and knows no negative result. */
static ssize_t file_write(void *s, const char *buf, size_t len)
{
	ssize_t n = to_errno(haul_stream_write(s, buf, len, -1));
	return n > 0 ? n : 0;
}

static int file_close(void *s)
{
	return (int)to_errno(haul_stream_close(s));
}

FILE *haul_stream_file(struct haul_stream *s, const char *mode)
{
	cookie_io_functions_t calls = { .read = file_read, .write = file_write, .close = file_close };
	int rc = s == NULL ? reason(-EINVAL, "no stream") : context_check(s->haul);
	bool known =
	    mode != NULL && (strcmp(mode, "r") == 0 || strcmp(mode, "w") == 0 || strcmp(mode, "r+") == 0);
	if (rc == 0 && !known)
		rc = reason(-EINVAL, "a stream is opened with mode r, w or r+");
	if (rc != 0) {
		errno = -rc;
		return NULL;
	}
	FILE *f = fopencookie(s, mode, calls);
	if (f != NULL)
		setvbuf(f, NULL, _IOFBF, BUFFER);
	return f;
}
