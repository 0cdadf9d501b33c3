import CZstd

/// Decompresses Zstandard's frames, one after another; a frame's window has at most 128 MiB, the library's own limit.
@safe final class ZstdDecoder: StreamDecoder, @unchecked Sendable {
    // Sendable: used by one stream at a time, which owns it.

    private let context: OpaquePointer?
    private(set) var isComplete = false

    init() {
        unsafe context = ZSTD_createDCtx()
    }

    deinit { unsafe ZSTD_freeDCtx(context) }

    func decode(_ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) throws(DecodingFault) -> (
        consumed: Int, produced: Int
    ) {
        guard let context = unsafe context else { throw DecodingFault(reason: "no memory for the decoder") }
        var source = unsafe ZSTD_inBuffer(src: input.baseAddress, size: input.count, pos: 0)
        var target = unsafe ZSTD_outBuffer(dst: output.baseAddress, size: output.count, pos: 0)
        let status = unsafe ZSTD_decompressStream(context, &target, &source)
        guard ZSTD_isError(status) == 0 else { throw DecodingFault(reason: unsafe String(cString: ZSTD_getErrorName(status))) }
        let (consumed, produced) = unsafe (source.pos, target.pos)
        // 0: a frame has ended and all of it is out.
        if consumed > 0 || produced > 0 { isComplete = status == 0 }
        return (consumed, produced)
    }
}
