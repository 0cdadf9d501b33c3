// What Swift cannot say about mapped files and about a process that limits itself.
#pragma once

#include <stddef.h>
#include <sys/types.h>

// Makes a fault in the `count` bytes mapped at `base` from the file `path` end the process with a sentence on stderr and exit
// status 1 in place of SIGBUS: the file became shorter, or its disk failed. Other faults go to whoever handled them before.
// Returns what kvlab_unwatch takes; NULL where there is no memory for it, and the fault stays a SIGBUS.
void *kvlab_watch(const void *base, size_t count, const char *path);
void kvlab_unwatch(void *watch);

// A pipe whose ends are closed where a program is started: pipe2 with O_CLOEXEC.
int kvlab_pipe(int ends[2]);

// Takes from the calling process, for good, all memory beyond `address_space` bytes, all processor time after `seconds` from
// now, all descriptors above 2, and that it can open, write to or grow a file, dump core or start a process (as far as limits
// can: see kvlab_confine).
void kvlab_limit(size_t address_space, double seconds);

// Restricts the calling process, for good, to the system calls of a computation in memory and of writing to descriptors 1 and
// 2: a filter (seccomp-bpf) of all its threads refuses others with EPERM. Returns 0, or the error number: ENOSYS where the
// kernel was built without such filters.
int kvlab_confine(void);

// Tries what a confined process may not do: the name of attempt `index`, NULL past the last, and the error number that it
// gave, 0 where it succeeded.
const char *kvlab_attempt(int index, int *error);
