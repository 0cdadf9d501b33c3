// The processor count and the pause of a spin loop, for which Swift has no calls.
#pragma once

/// Processors this process may run on.
int ct_processors(void);

/// A pause inside a spin loop.
static inline void ct_pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}
