/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Static probes (USDT) of the provider "haul", for bpftrace, perf and systemtap: a no-op each until somebody
 * attaches. Compiled in where <sys/sdt.h> was there; docs/probes.md names them and their arguments.
 */
#ifndef HAUL_OS_TRACE_H
#define HAUL_OS_TRACE_H

#ifdef HAVE_SYS_SDT_H

#include <sys/sdt.h>

#define TRACE_REQUEST_START(request, kind) DTRACE_PROBE2(haul, request__start, request, kind)
#define TRACE_REQUEST_COMPLETE(request, error, got) \
	DTRACE_PROBE3(haul, request__complete, request, error, got)
#define TRACE_MATCH(request, pid, tag, len) DTRACE_PROBE4(haul, match, request, pid, tag, len)
#define TRACE_PULL_BEGIN(pid, id, len) DTRACE_PROBE3(haul, pull__begin, pid, id, len)
#define TRACE_PULL_END(pid, id, moved, error) DTRACE_PROBE4(haul, pull__end, pid, id, moved, error)
#define TRACE_ASSIST_BEGIN(pid, id, len) DTRACE_PROBE3(haul, assist__begin, pid, id, len)
#define TRACE_ASSIST_END(pid, id, moved, error) DTRACE_PROBE4(haul, assist__end, pid, id, moved, error)
#define TRACE_PATH_CHANGE(pid, error) DTRACE_PROBE2(haul, path__change, pid, error)
#define TRACE_BELL(pid) DTRACE_PROBE1(haul, bell, pid)
#define TRACE_TRANSPORT_CHANGE(pid, in) DTRACE_PROBE2(haul, transport__change, pid, in)

#else

#define TRACE_REQUEST_START(request, kind) ((void)0)
#define TRACE_REQUEST_COMPLETE(request, error, got) ((void)0)
#define TRACE_MATCH(request, pid, tag, len) ((void)0)
#define TRACE_PULL_BEGIN(pid, id, len) ((void)0)
#define TRACE_PULL_END(pid, id, moved, error) ((void)0)
#define TRACE_ASSIST_BEGIN(pid, id, len) ((void)0)
#define TRACE_ASSIST_END(pid, id, moved, error) ((void)0)
#define TRACE_PATH_CHANGE(pid, error) ((void)0)
#define TRACE_BELL(pid) ((void)0)
#define TRACE_TRANSPORT_CHANGE(pid, in) ((void)0)

#endif

#endif
