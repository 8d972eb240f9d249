/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The loop over faults: the same round of a test again and again, with the first call failing that the library
 * makes under it, then the second, and so on until there are no more; for each errno that is plausible, once
 * and from then on, and with transfers that fall short. Between two rounds nothing may be left over.
 */
#ifndef HAUL_TESTS_LIB_SWEEP_H
#define HAUL_TESTS_LIB_SWEEP_H

#include <time.h>

#include "fault.h"
#include "pairing.h"

/* Runs round(arg) with every fault there is. Fails the test if a round leaves a descriptor or a block behind. With
 * HAUL_TEST_FAULTS set, each fault is printed before its consequences. */
void sweep(void (*round)(const void *arg), const void *arg);

/* The same, but only calls of these names fail (fault.h), for rounds that make very many. */
void sweep_only(const char *names, void (*round)(const void *arg), const void *arg);

/* In a round: the result of a call that is exposed to the fault. */
#define faulty(call) (fault_go_on(), sweep_held(call))
long long sweep_held(long long result);

/* In a round: from here on there are no more faults. */
void sweep_over(void);

/* The result of a call that was exposed is 0 or more, or an error that may come of the fault: its own, or that
 * a connection has ended. */
#define must_be_told(call) sweep_judge(__FILE__, __LINE__, #call, (call))
long long sweep_judge(const char *file, int line, const char *call, long long result);

/* Whether a request, NULL for none, has not completed yet. Asking makes progress, so of the side that is at fault it
 * must be exposed, too. */
bool sweep_goes_on(struct haul_req *r, bool at_fault);

/* How long a call may wait that is exposed: a fault that passes must not let it time out, one that lasts may. */
int sweep_timeout(void);

/* Both make progress until the request is complete; its result. status may be NULL. */
int sweep_finish(struct haul *a, struct haul *b, struct haul_req *r, struct haul_status *status);

/* A message from a to b, by that connection, comes as it was sent. */
void sweep_send(struct haul *a, struct haul_peer *to_b, struct haul *b, size_t len);

/* The two contexts can do all that is to be done, by a connection of their own. */
void sweep_usable(struct haul *a, struct haul *b);

/* False once PATIENCE_MS have gone by since it was first asked; *since is zero then. */
bool sweep_patient(struct timespec *since);

#endif
