/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * haul doctor: facts in, words out. From what was seen of this process, of another, and of a try to read that
 * other's memory: a verdict, the layers that stand in the way, and a remedy for each. No system call is made
 * here, so that a table can test it for machines that nobody has at hand.
 *
 * Layers that refuse by themselves, given the facts, are certain; if there is none, those that could have
 * refused come in order of likelihood, and are not. What the kernel asks before it lets one process read
 * another is told in ptrace(2), "Ptrace access mode checking": PTRACE_MODE_ATTACH_REALCREDS.
 */
#ifndef TOOLS_DOCTOR_VERDICT_H
#define TOOLS_DOCTOR_VERDICT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Zero is what nobody has found out. */
enum doctor_answer { DOCTOR_UNKNOWN, DOCTOR_NO, DOCTOR_YES };

/* In place of an errno: no answer until the deadline; the caller was killed for it; nobody asked. */
enum { DOCTOR_HUNG = 4096, DOCTOR_KILLED, DOCTOR_UNTRIED };

enum doctor_container {
	DOCTOR_NO_CONTAINER,
	DOCTOR_DOCKER,
	DOCTOR_PODMAN,
	DOCTOR_KUBERNETES,
	DOCTOR_OTHER_CONTAINER,
};

/* This process, and the machine. */
struct doctor_facts {
	char kernel[72];
	enum doctor_answer configured; /* with CONFIG_CROSS_MEMORY_ATTACH */
	int self_error;       /* of process_vm_readv of one's own memory, which only a filter refuses */
	int self_write_error; /* the same of process_vm_writev */
	int yama;             /* ptrace_scope, -1: no Yama */
	int seccomp, filters; /* the mode, how many; -1: not known */
	enum doctor_answer no_new_privs;
	uint64_t effective, permitted; /* capabilities */
	uid_t uid[3];                  /* real, effective, saved */
	gid_t gid[3];
	uid_t nobody; /* a user without rights, as far as this user namespace knows one */
	char user_ns[48], pid_ns[48], uid_map[64];
	enum doctor_answer first_user_ns, first_pid_ns; /* is it the machine's own? */
	enum doctor_answer proc;                        /* does /proc show this pid namespace? */
	enum doctor_answer dumpable;
	char lsm[128];   /* the kernel's list, "" if it can't be read */
	char label[128]; /* AppArmor's or SELinux's for this process; "" none */
	int landlock;    /* the ABI; 0: none */
	enum doctor_container container;
	char path[16];      /* HAUL_PATH in the environment, which concerns programs, not this one's tries, */
	char transport[16]; /* and HAUL_TRANSPORT */
};

/* What is known of a process that is to be read, as against the one that reads. */
struct doctor_relation {
	enum doctor_answer same_user;   /* the reader's real ids are all of the other's ids */
	enum doctor_answer dumpable;    /* the other is */
	enum doctor_answer within_caps; /* what the other may, the reader may too */
	enum doctor_answer same_user_ns;
	enum doctor_answer descendant; /* the other is one of the reader's */
	uint64_t missing_caps;         /* that the other has and the reader has not */
};

enum doctor_layer {
	DOCTOR_NOTHING,
	DOCTOR_KERNEL,
	DOCTOR_SECCOMP,
	DOCTOR_YAMA,
	DOCTOR_USER,
	DOCTOR_DUMPABLE,
	DOCTOR_CAPABILITIES,
	DOCTOR_USER_NS,
	DOCTOR_PID_NS,
	DOCTOR_LANDLOCK,
	DOCTOR_LSM,
	DOCTOR_MAIN_THREAD, /* it has left, the others live */
	DOCTOR_GONE,        /* no such process, or dead */
	DOCTOR_STREAM,      /* not even that works */
	DOCTOR_OBSCURE,     /* none of the above would have refused */
	DOCTOR_LAYERS,
};

enum doctor_outcome { DOCTOR_PULL, DOCTOR_PARTLY, DOCTOR_STREAM_ONLY, DOCTOR_NONE };

/* Of those who ask for an outbox. */
enum doctor_transport {
	DOCTOR_NO_TRANSPORT, /* nothing arrived, or it is not known */
	DOCTOR_OUTBOX,
	DOCTOR_SOME_OUTBOX, /* some ways */
	DOCTOR_SOCKET,
};

struct doctor_cause {
	enum doctor_layer layer;
	bool certain;
	char words[176], remedy[256];
};

enum { DOCTOR_CAUSES = 6 };

struct doctor_verdict {
	enum doctor_outcome outcome;
	char words[200];
	struct doctor_cause cause[DOCTOR_CAUSES];
	size_t causes;
	enum doctor_transport transport;
	char transport_words[200]; /* "": nothing can be said */
};

/* One direction of a try between two processes. */
struct doctor_leg {
	const char *reader, *read; /* "parent", "child" */
	bool arrived;              /* a large message was received, byte for byte */
	bool pulled;               /* by pull */
	bool outbox;               /* and what is short out of the other's outbox */
	int error;                 /* why not, 0 if it was */
	char words[160];           /* the same in the library's words */
	struct doctor_relation relation;
};

/* A given process, and what became of reading a byte of it. */
struct doctor_target {
	pid_t pid;
	enum { DOCTOR_ALIVE, DOCTOR_ABSENT, DOCTOR_ZOMBIE, DOCTOR_LEADERLESS, DOCTOR_KTHREAD } state;
	char name[32];
	pid_t thread_group; /* 0: not known */
	uid_t uid[3];       /* real, effective, saved */
	gid_t gid[3];
	enum doctor_answer ids; /* are these known? */
	uint64_t permitted;
	int seccomp; /* -1: not known */
	char user_ns[48], pid_ns[48];
	enum doctor_answer same_pid_ns;
	uint64_t address; /* that was read from */
	int error; /* 0 if a byte came; EFAULT: the kernel permits it, but there was nothing at that address */
	struct doctor_relation relation;
};

/* What can be said of count directions that were tried by one user. */
void doctor_judge_legs(struct doctor_verdict *v, const struct doctor_facts *f, const struct doctor_leg *legs,
    size_t count);

/* What can be said of reading a given process. */
void doctor_judge_target(struct doctor_verdict *v, const struct doctor_facts *f,
    const struct doctor_target *t);

/* And then, with the verdict there: what frames travel by. doctor_transport.c */
void doctor_judge_transport(struct doctor_verdict *v, const struct doctor_facts *f,
    const struct doctor_leg *legs, size_t count);
void doctor_judge_target_transport(struct doctor_verdict *v, const struct doctor_facts *f,
    const struct doctor_target *t);

/* False where a try with outboxes would hang or be killed, and one without would not. */
bool doctor_dares_outbox(const struct doctor_facts *f);

/* "" for what is not known. */
const char *doctor_transport_name(enum doctor_transport transport);

/* The exit status that goes with it: 0, 1 or 2. */
int doctor_status(enum doctor_outcome outcome);

const char *doctor_outcome_name(enum doctor_outcome outcome);
const char *doctor_layer_name(enum doctor_layer layer);
const char *doctor_container_name(enum doctor_container container);

/* Fills in words and remedy of a cause (doctor_words.c). t is NULL where siblings or parent and child tried. */
void doctor_cause_words(struct doctor_cause *c, const struct doctor_facts *f, const struct doctor_relation *r,
    const struct doctor_target *t);

/* An errno or one of those in its place, as "EPERM", "no answer". */
const char *doctor_error_name(int error);

/* Names of capabilities, separated by spaces, cut to fit. */
void doctor_caps_words(uint64_t caps, char *words, size_t size);

#endif
