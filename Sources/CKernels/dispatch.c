#include "ckernels.h"
#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

extern const kk_table kk_table_base;
#if defined(__x86_64__)
extern const kk_table kk_table_v3, kk_table_v4, kk_table_v4_bf16;
void kk_amx(kk_table *to);

// Whether the processor has AMX's tiles of BFloat16 and the system lets the process use them, which has to be asked for.
static int kk_has_amx(void) {
#if defined(__linux__)
    const unsigned bf16 = 1u << 22, tiles = 1u << 24;
    const long permission = 0x1023, tileData = 18; // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & (bf16 | tiles)) != (bf16 | tiles)) return 0;
    return syscall(SYS_arch_prctl, permission, tileData) == 0;
#else
    return 0;
#endif
}

static kk_table kk_table_amx;

static void kk_make_amx(void) {
    if (kk_has_amx()) kk_amx(&kk_table_amx);
}

// The table with AMX's products, NULL where the processor has none; made once, as threads read it while others ask for it.
static const kk_table *kk_amx_table(void) {
#if defined(__linux__)
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, kk_make_amx);
#endif
    return kk_table_amx.name ? &kk_table_amx : NULL;
}
#endif

const kk_table *const *kk_all(int *count) {
    static const kk_table *tables[5];
    int n = 0;
    tables[n++] = &kk_table_base;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("x86-64-v3")) tables[n++] = &kk_table_v3;
    if (__builtin_cpu_supports("x86-64-v4")) tables[n++] = &kk_table_v4;
    if (n == 3 && __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni")) tables[n++] = &kk_table_v4_bf16;
    if (n == 4 && kk_amx_table()) tables[n++] = kk_amx_table();
#endif
    *count = n;
    return tables;
}

const kk_table *kk_best(void) {
    int count;
    const kk_table *const *tables = kk_all(&count);
    return tables[count - 1];
}
