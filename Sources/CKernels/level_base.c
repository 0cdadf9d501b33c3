#include "ckernels.h"
#define KK(name) name##_base
#define KK_NAME "base"
#define KK_VW 4
#if defined(__x86_64__)
#define KK_MR 4 // of 16 registers
#else
#define KK_MR 8 // of 32
#endif
#define KK_NR 8
#include "families.h"
