/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What tests of push share: a pairing whose end in the test is refused process_vm_readv(2), while the child may
 * reach the test's memory; and a message that was granted to a child that then stopped.
 */
#ifndef HAUL_TESTS_LIB_BLIND_H
#define HAUL_TESTS_LIB_BLIND_H

#include "pairing.h"

/* Both sides' options, where they are to push. */
extern const struct haul_options blind_options;

/* As pairing_start(), and this process can't read from then on. */
void blind_start(struct pairing *p, const struct haul_options *ours, const struct haul_options *theirs,
    pairing_part *part, const void *arg);

/* Both with blind_options. */
void blind_start_pushed(struct pairing *p, pairing_part *part, const void *arg);

/* A receive of a message that is there already, or will be; its GRANT is out when this returns. */
struct haul_req *blind_grant(struct haul *h, void *buf, size_t len, uint64_t tag);

/* A message of a child's with the tag 1, and the child stopped before it can hear of a grant. */
enum { OFFERED_LEN = (1 << 20) + 3 };

struct offered {
	struct pairing p;
	struct haul_req *r; /* the test's, for its receive */
	unsigned char *buf; /* with room for it */
};

/* In the child: offers it, and stops. */
struct haul_req *blind_offer(struct haul *h, struct haul_peer *p, unsigned char *buf);
/* In the test. */
void offered_start(struct offered *o, pairing_part *part);
/* The child has been killed, the receive has ended: closes all. Nothing was written
 * after its end. */
void offered_leave_killed(struct offered *o);

/* Message 1 is in buf, which was all 0, as far as it was written, and nothing else. */
void blind_must_be_a_part(const unsigned char *buf, size_t len);
/* A receive of it has ended with rc: all of it is there, or the error tells of the sender's end. */
void blind_must_have_ended(int rc, const unsigned char *buf, size_t len);

#endif
