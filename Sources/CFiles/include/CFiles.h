// Faults in mapped files and limits of the own process, for which Swift has no calls.
#pragma once

#include <stddef.h>
#include <sys/types.h>

// Makes a fault in the `count` bytes mapped at `base` from the file `path` end the process with a sentence on stderr and exit
// status 1 in place of SIGBUS: the file became shorter, or its disk failed. Other faults go to the previous handler.
// Returns the argument of kvlab_unwatch; NULL where there is no memory for it, and the fault stays a SIGBUS.
void *kvlab_watch(const void *base, size_t count, const char *path);
void kvlab_unwatch(void *watch);

// A pipe whose ends are closed where a program is started: pipe2 with O_CLOEXEC.
int kvlab_pipe(int ends[2]);

// Limits the calling process, for good, to `address_space` bytes of memory, `seconds` of processor time from now on and
// descriptors 0 to 2, without opening or growing files, core dumps and new processes (as far as limits can: see kvlab_confine).
void kvlab_limit(size_t address_space, double seconds);

// Restricts the calling process, for good, to the system calls of a computation in memory and of writing to descriptors 1 and
// 2: a filter (seccomp-bpf) of all its threads refuses others with EPERM. Returns 0, or the error number: ENOSYS where the
// kernel was built without such filters.
int kvlab_confine(void);

// Attempts an operation that a confined process is refused. Returns the name of attempt `index`, NULL past the last, and sets
// its error number, 0 where it succeeded.
const char *kvlab_attempt(int index, int *error);
