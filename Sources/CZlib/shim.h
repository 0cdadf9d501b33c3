// zlib's initializers are macros: as functions Swift can call them.
#include <zlib.h>

// 15 bits of window, as gzip writes; 16 for gzip's header and trailer alone.
static inline int kvlab_inflate_gzip(z_stream *stream) { return inflateInit2(stream, 15 + 16); }
