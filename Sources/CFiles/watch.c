#define _GNU_SOURCE
#include "CFiles.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// Entries are never freed, as the handler may be reading them; those whose base is 0 are used again.
struct watch {
    _Atomic uintptr_t base;
    _Atomic size_t count;
    char path[1024];
    struct watch *next;
    struct watch *next_free;
};

static struct watch *_Atomic watches;
static struct watch *free_watches;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct sigaction previous;

// Async-signal-safe calls alone, none of which waits longer than a second for a reader of stderr.
static void say(const char *text) {
    struct pollfd error = {.fd = 2, .events = POLLOUT};
    if (poll(&error, 1, 1000) == 1) (void)!write(2, text, strlen(text));
}

static void on_bus_error(int signal_number, siginfo_t *info, void *context) {
    uintptr_t address = (uintptr_t)info->si_addr;
    for (struct watch *watch = atomic_load(&watches); watch; watch = watch->next) {
        uintptr_t base = atomic_load(&watch->base);
        if (base == 0 || address < base || address - base >= atomic_load(&watch->count)) continue;
        say("\nError: ");
        say(watch->path);
        say(": became shorter while it was in use, or its disk cannot give it; put back the whole file and start again\n");
        _exit(1);
    }
    if (previous.sa_flags & SA_SIGINFO) {
        previous.sa_sigaction(signal_number, info, context);
    } else if (previous.sa_handler == SIG_DFL || previous.sa_handler == SIG_IGN) {
        // The instruction faults again, and the process ends as it would have.
        signal(SIGBUS, SIG_DFL);
    } else {
        previous.sa_handler(signal_number);
    }
}

static void install(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    sigemptyset(&action.sa_mask);
    action.sa_sigaction = on_bus_error;
    // On the alternate stack where the thread has one.
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(SIGBUS, &action, &previous);
}

void *kvlab_watch(const void *base, size_t count, const char *path) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install);
    pthread_mutex_lock(&lock);
    struct watch *watch = free_watches;
    int is_new = watch == NULL;
    if (is_new) {
        watch = calloc(1, sizeof *watch);
    } else {
        free_watches = watch->next_free;
    }
    if (watch) {
        strncpy(watch->path, path, sizeof watch->path - 1);
        atomic_store(&watch->count, count);
        atomic_store(&watch->base, (uintptr_t)base);
        if (is_new) {
            watch->next = atomic_load(&watches);
            atomic_store(&watches, watch);
        }
    }
    pthread_mutex_unlock(&lock);
    return watch;
}

void kvlab_unwatch(void *entry) {
    struct watch *watch = entry;
    if (!watch) return;
    pthread_mutex_lock(&lock);
    atomic_store(&watch->base, 0);
    watch->next_free = free_watches;
    free_watches = watch;
    pthread_mutex_unlock(&lock);
}
