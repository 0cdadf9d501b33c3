import CZlib

/// Decompresses gzip's members, one after another; zeros behind a member are padding, as for gzip itself.
@safe final class GzipDecoder: StreamDecoder, @unchecked Sendable {
    // Sendable: used by one stream at a time, which owns it.

    // At a fixed address, to which zlib's state points back.
    private let stream: UnsafeMutablePointer<z_stream>
    private let isReady: Bool
    private(set) var isComplete = false

    init() {
        unsafe stream = .allocate(capacity: 1)
        unsafe stream.initialize(to: z_stream())
        isReady = unsafe kvlab_inflate_gzip(stream) == Z_OK
    }

    deinit {
        if isReady { unsafe inflateEnd(stream) }
        unsafe stream.deallocate()
    }

    func decode(_ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) throws(DecodingFault) -> (
        consumed: Int, produced: Int
    ) {
        guard isReady else { throw DecodingFault(reason: "no memory for the decoder") }
        var skipped = 0
        if isComplete {
            skipped = unsafe input.firstIndex { $0 != 0 } ?? input.count
            guard skipped < input.count else { return (skipped, 0) }
            isComplete = false
            guard unsafe inflateReset(stream) == Z_OK else { throw DecodingFault(reason: "the decoder cannot be reset") }
        }
        let bytes = unsafe UnsafeMutablePointer(mutating: input.bindMemory(to: UInt8.self).baseAddress)
        let (inputCount, outputCount) = (min(input.count - skipped, 1 << 30), min(output.count, 1 << 30))
        unsafe stream.pointee.next_in = unsafe bytes.map { unsafe $0 + skipped }
        unsafe stream.pointee.avail_in = UInt32(inputCount)
        unsafe stream.pointee.next_out = unsafe output.bindMemory(to: UInt8.self).baseAddress
        unsafe stream.pointee.avail_out = UInt32(outputCount)
        let status = unsafe inflate(stream, Z_NO_FLUSH)
        let (consumed, produced) = unsafe (
            inputCount - Int(stream.pointee.avail_in), outputCount - Int(stream.pointee.avail_out)
        )
        switch status {
        case Z_STREAM_END: isComplete = true
        // Z_BUF_ERROR: nothing more to do with this input.
        case Z_OK, Z_BUF_ERROR: break
        default: throw DecodingFault(reason: unsafe stream.pointee.msg.map { unsafe String(cString: $0) } ?? "status \(status)")
        }
        return (skipped + consumed, produced)
    }
}
