#define _GNU_SOURCE
#include "CFiles.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

int kvlab_pipe(int ends[2]) { return pipe2(ends, O_CLOEXEC); }

static void limit(int resource, rlim_t value) {
    struct rlimit found;
    if (getrlimit(resource, &found) != 0) return;
    if (found.rlim_max != RLIM_INFINITY && found.rlim_max < value) value = found.rlim_max;
    struct rlimit wanted = {value, value};
    (void)setrlimit(resource, &wanted);
}

void kvlab_limit(size_t address_space, double seconds) {
    // Older kernels (before 5.9) close them one by one.
    if (close_range(3, ~0U, 0) != 0) {
        long last = sysconf(_SC_OPEN_MAX);
        for (int descriptor = 3; descriptor < (last > 0 && last < 65536 ? last : 65536); descriptor++) close(descriptor);
    }
    limit(RLIMIT_AS, address_space);
    limit(RLIMIT_CORE, 0);
    // Output goes to a pipe, which has no size; a file need not become large.
    limit(RLIMIT_FSIZE, 16 << 20);
    limit(RLIMIT_NPROC, 0);
    limit(RLIMIT_NOFILE, 0);
    // Of processor time, which a loaded machine does not use up. The signal ends the process.
    signal(SIGPROF, SIG_DFL);
    struct itimerval timer = {{0, 0}, {(time_t)seconds, (suseconds_t)((seconds - (double)(time_t)seconds) * 1e6)}};
    if (timer.it_value.tv_sec == 0 && timer.it_value.tv_usec == 0) timer.it_value.tv_usec = 1;
    (void)setitimer(ITIMER_PROF, &timer, NULL);
    limit(RLIMIT_CPU, (rlim_t)seconds + 2);
}

#ifdef ARCHITECTURE
#define ARGUMENT(index) (offsetof(struct seccomp_data, args) + 8 * (index))
#define ALLOW(call) \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##call, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
// Memory that is mapped or changed must not be executable. The low half of the argument: all supported machines are little-endian.
#define ALLOW_DATA(call) \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##call, 0, 4), \
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARGUMENT(2)), \
    BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1), \
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM), \
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

int kvlab_confine(void) {
    static struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
#ifdef __x86_64__
        // The calls of x32 are other numbers of the same architecture.
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
#endif
        ALLOW(exit_group), ALLOW(exit), ALLOW(brk), ALLOW(munmap), ALLOW(mremap), ALLOW(madvise), ALLOW(futex), ALLOW(rt_sigreturn),
        ALLOW(rt_sigprocmask), ALLOW(sigaltstack), ALLOW(clock_gettime), ALLOW(gettimeofday), ALLOW(sched_yield),
        ALLOW(sched_getaffinity), ALLOW(getrandom), ALLOW(getpid), ALLOW(gettid),
        // Writing: to standard output and standard error alone.
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 0, 5),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARGUMENT(0)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 1, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        ALLOW_DATA(mmap), ALLOW_DATA(mprotect),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    // Before a filter without privileges, and so that no program that is set-uid can undo it.
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return errno == EINVAL ? ENOSYS : errno;
    long result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
    if (result == 0) return 0;
    // A thread that could not be confined.
    if (result > 0) return ESRCH;
    return errno == EINVAL ? ENOSYS : errno;
}
#else
int kvlab_confine(void) { return ENOSYS; }
#endif

static long try_open(void) { return open("/dev/null", O_RDONLY | O_CLOEXEC); }
static long try_create(void) { return open(".kvlab-attempt", O_WRONLY | O_CREAT | O_EXCL, 0600); }
static long try_socket(void) { return socket(AF_INET, SOCK_STREAM, 0); }
static long try_execve(void) {
    char *arguments[] = {"true", NULL};
    return execve("/bin/true", arguments, NULL);
}
static long try_fork(void) {
    pid_t child = fork();
    if (child == 0) _exit(0);
    return child;
}
static long try_kill(void) { return kill(getppid(), 0); }
static long try_ptrace(void) { return syscall(SYS_ptrace, 0, 0, 0, 0); }
static long try_unlink(void) { return unlink(".kvlab-attempt"); }
static long try_executable(void) {
    return (intptr_t)mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}
static long try_setitimer(void) {
    struct itimerval none = {{0, 0}, {0, 0}};
    return setitimer(ITIMER_PROF, &none, NULL);
}

const char *kvlab_attempt(int index, int *error) {
    static const struct {
        const char *name;
        long (*make)(void);
    } attempts[] = {
        {"open", try_open}, {"create", try_create}, {"socket", try_socket}, {"execve", try_execve}, {"fork", try_fork},
        {"kill", try_kill}, {"ptrace", try_ptrace}, {"unlink", try_unlink}, {"executable memory", try_executable},
        {"more time", try_setitimer},
    };
    if (index < 0 || index >= (int)(sizeof attempts / sizeof *attempts)) return NULL;
    errno = 0;
    *error = attempts[index].make() < 0 ? errno : 0;
    return attempts[index].name;
}
