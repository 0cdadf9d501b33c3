#include "ckernels.h"
#define KK(name) name##_base
#define KK_NAME "base"
#include "families.h"
