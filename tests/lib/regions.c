/* SPDX-License-Identifier: BSD-3-Clause */
/* Regions, for tests. See regions.h. */
#include "regions.h"

#include <stdlib.h>
#include <string.h>

#include "pairing.h"
#include "talk.h"

struct haul_region *region_of(struct haul *h, void *buf, size_t len, struct haul_handle *hd)
{
	struct iovec iov = { buf, len };
	struct haul_region *r;
	must_be(haul_region_expose(h, &iov, 1, HAUL_READ | HAUL_WRITE, &r), 0);
	haul_region_handle(r, hd);
	return r;
}

void send_handle(struct haul_peer *p, const struct haul_handle *hd)
{
	must_be(haul_send(p, TAG_HANDLE, hd, sizeof(*hd), PATIENCE_MS), 0);
}

struct haul_handle receive_handle(struct haul *h, struct haul_peer *p)
{
	struct haul_handle hd;
	struct haul_match match = { .from = p, .tag = TAG_HANDLE };
	must_be(haul_recv(h, &match, &hd, sizeof(hd), PATIENCE_MS, NULL), sizeof(hd));
	return hd;
}

ssize_t get_bytes_of(struct haul_peer *p, const struct haul_handle *hd, uint64_t offset, void *buf,
    size_t len)
{
	return haul_get(p, hd, offset, &(struct iovec){ buf, len }, 1, PATIENCE_MS);
}

ssize_t put_bytes_of(struct haul_peer *p, const struct haul_handle *hd, uint64_t offset, const void *buf,
    size_t len)
{
	return haul_put(p, hd, offset, &(struct iovec){ (void *)buf, len }, 1, PATIENCE_MS);
}

struct haul_req *move_bytes_of(struct haul_peer *p, const struct haul_handle *hd, bool put, void *buf,
    size_t len)
{
	struct iovec iov = { buf, len };
	struct haul_req *r;
	must_be(put ? haul_iput(p, hd, 0, &iov, 1, &r) : haul_iget(p, hd, 0, &iov, 1, &r), 0);
	return r;
}

void must_get(struct haul_peer *p, const struct haul_handle *hd, uint64_t offset, size_t len, uint64_t seed)
{
	unsigned char *buf = room_for(len + 1);
	memset(buf, CANARY, len + 1);
	must_be(get_bytes_of(p, hd, offset, buf, len), len);
	must_hold(buf, len, seed, offset);
	must_be_untouched(buf + len, 1);
	free(buf);
}
