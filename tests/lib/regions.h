/* SPDX-License-Identifier: BSD-3-Clause */
/* Regions, for tests: one exposed with a pattern in it, its handle sent and received. They check by must.h. */
#ifndef HAUL_TESTS_LIB_REGIONS_H
#define HAUL_TESTS_LIB_REGIONS_H

#include <haul/rma.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TAG_HANDLE = 77 };

/* One range of memory, exposed for both; the handle in *hd. */
struct haul_region *region_of(struct haul *h, void *buf, size_t len, struct haul_handle *hd);
void send_handle(struct haul_peer *p, const struct haul_handle *hd);
struct haul_handle receive_handle(struct haul *h, struct haul_peer *p);

/* haul_get() and haul_put() of one buffer, without end. */
ssize_t get_bytes_of(struct haul_peer *p, const struct haul_handle *hd, uint64_t offset, void *buf,
    size_t len);
ssize_t put_bytes_of(struct haul_peer *p, const struct haul_handle *hd, uint64_t offset, const void *buf,
    size_t len);
/* haul_iget() or haul_iput() of one buffer, at the beginning of the region. */
struct haul_req *move_bytes_of(struct haul_peer *p, const struct haul_handle *hd, bool put, void *buf,
    size_t len);
/* Gets them afresh and checks them against the pattern. */
void must_get(struct haul_peer *p, const struct haul_handle *hd, uint64_t offset, size_t len, uint64_t seed);

#endif
