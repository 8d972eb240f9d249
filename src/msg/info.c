/* SPDX-License-Identifier: BSD-3-Clause */
/* What is known of a peer. See info.h. */
#include "msg/info.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <bsd/string.h>

#include "msg/context.h"
#include "os/log.h"
#include "os/reason.h"

_Static_assert((int)LOG_ERROR == HAUL_LOG_ERROR && (int)LOG_INFO == HAUL_LOG_INFO &&
        (int)LOG_DEBUG == HAUL_LOG_DEBUG,
    "levels are told apart by the same numbers everywhere");

/* How large messages come, and how they go. */
static enum haul_path in_path(const struct haul_peer *p)
{
	const struct link *l = &p->conn.link;
	if (l->in.error == 0)
		return HAUL_PATH_PULL;
	return push_works(p) ? HAUL_PATH_PUSH : HAUL_PATH_STREAM;
}

static enum haul_path out_path(const struct haul_peer *p)
{
	const struct link *l = &p->conn.link;
	if (l->out.error == 0)
		return HAUL_PATH_PULL;
	return link_may_push(l) && l->in.error == 0 && !p->never_pushed ? HAUL_PATH_PUSH : HAUL_PATH_STREAM;
}

/* ---- the log ---- */

static const char *transport_name(bool outbox)
{
	return outbox ? "outbox" : "socket";
}

static const char *path_name(enum haul_path path)
{
	return path == HAUL_PATH_PULL ? "pull" : path == HAUL_PATH_PUSH ? "push" : "stream";
}

/* "stream (why)", or "pull". */
static const char *path_words(char *to, size_t size, enum haul_path path, const struct link_verdict *v)
{
	if (v->error == 0)
		strlcpy(to, path_name(path), size);
	else
		snprintf(to, size, "%s (%s)", path_name(path), v->words);
	return to;
}

void info_up(struct haul_peer *p)
{
	const struct link *l = &p->conn.link;
	char in[2 * LINK_WORDS], out[2 * LINK_WORDS];
	p->told_in = in_path(p);
	p->told_out = out_path(p);
	log_line(&p->haul->engine.shared.log, LOG_INFO,
	    "peer %d, user %u: large messages come by %s, go by %s; all else comes by %s, goes by %s",
	    (int)l->pid, (unsigned)l->uid, path_words(in, sizeof(in), in_path(p), &l->in),
	    path_words(out, sizeof(out), out_path(p), &l->out), transport_name(l->inbox.open),
	    transport_name(l->outbox.open));
}

/* Each way depends on what is known of both. */
void info_changed(struct haul_peer *p)
{
	const struct link *l = &p->conn.link;
	const struct log *log = &p->haul->engine.shared.log;
	char words[2 * LINK_WORDS];
	if (in_path(p) != p->told_in)
		log_line(log, LOG_INFO, "peer %d: from now on large messages come by %s", (int)l->pid,
		    path_words(words, sizeof(words), in_path(p), &l->in));
	if (out_path(p) != p->told_out)
		log_line(log, LOG_INFO, "peer %d: from now on large messages go by %s", (int)l->pid,
		    path_words(words, sizeof(words), out_path(p), &l->out));
	p->told_in = in_path(p);
	p->told_out = out_path(p);
}

void info_assists_no_more(struct haul_peer *p, int error)
{
	log_line(&p->haul->engine.shared.log, LOG_INFO,
	    "peer %d: from now on large messages are copied to it by itself alone (process_vm_writev: %s)",
	    (int)peer_link(p)->pid, strerror(error));
}

/* An end that is nobody's fault is for those who look closely; what nobody should see is an error. */
void info_down(struct haul_peer *p)
{
	const struct link *l = &p->conn.link;
	int level = LOG_ERROR;
	if (p->error == -EPIPE)
		level = LOG_DEBUG;
	else if (p->error == -ECONNRESET || p->error == -ETIMEDOUT || p->error == -EACCES)
		level = LOG_INFO;
	log_line(&p->haul->engine.shared.log, level,
	    p->up ? "peer %d has gone: %s" : "no peer came of a connection (pid %d): %s", (int)l->pid,
	    l->words);
}

/* ---- public ---- */

static enum haul_transport transport(bool outbox)
{
	return outbox ? HAUL_TRANSPORT_OUTBOX : HAUL_TRANSPORT_SOCKET;
}

int haul_peer_info(struct haul_peer *p, struct haul_peer_info *info, size_t info_size)
{
	int rc = peer_enter(p);
	if (rc != 0)
		return rc;
	if (info == NULL)
		return context_leave(p->haul, reason(-EINVAL, "no place for the description"));
	const struct link *l = &p->conn.link;
	struct haul_peer_info i = { .pid = l->pid,
		.uid = l->uid,
		.gid = l->gid,
		.alive = !p->conn.ended && !p->bye_got,
		.in_path = in_path(p),
		.out_path = out_path(p),
		.in_error = l->in.error,
		.out_error = l->out.error,
		.in_transport = transport(l->inbox.open),
		.out_transport = transport(l->outbox.open),
		.worker = p->worker != NULL ? p->worker->pid : 0,
		.two_handed = !p->self && link_may_assist(l) && !p->never_assist };
	strlcpy(i.in_words, l->in.words, sizeof(i.in_words));
	strlcpy(i.out_words, l->out.words, sizeof(i.out_words));
	return context_leave(p->haul, context_copy_out(info, info_size, &i, sizeof(i)));
}
