/* SPDX-License-Identifier: BSD-3-Clause */
/* A caller's buffers. See buffers.h. */
#include "msg/buffers.h"

#include <errno.h>
#include <stdlib.h>

#include "os/iov.h"
#include "os/reason.h"
#include "wire/protocol.h"

int buffers_init_many(struct buffers *b, const struct iovec *iov, size_t count)
{
	b->iov = b->few;
	b->count = 0;
	if (count > WIRE_RANGES_MOST)
		return reason(-EINVAL, "%zu buffers, where %d are the most", count, WIRE_RANGES_MOST);
	if (iov == NULL && count > 0)
		return reason(-EINVAL, "no iovec array, but a count of %zu", count);
	if (!iov_total(iov, count, &b->len))
		return reason(-EINVAL, "an iovec with a length is NULL, or the lengths overflow");
	if (count > BUFFERS_FEW && (b->iov = calloc(count, sizeof(*b->iov))) == NULL) {
		b->iov = b->few;
		return reason(-ENOMEM, "no memory for a list of %zu buffers", count);
	}
	for (size_t i = 0; i < count; i++)
		if (iov[i].iov_len > 0)
			b->iov[b->count++] = iov[i];
	return 0;
}

void buffers_free(struct buffers *b)
{
	free(b->iov);
	b->iov = b->few;
}
