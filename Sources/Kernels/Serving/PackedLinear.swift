import CKernels
import Glibc
import Threads

/// x·Wᵀ for serving, with weights packed once in their stored element type.
///
/// BFloat16 weights are multiplied with the input rounded to BFloat16, the others in Float32; sums are Float32. Each output
/// element is one chain of additions, so a row's result is batch-invariant: the same, bit for bit, whatever the other rows.
public struct PackedLinear: Sendable {
    /// The epilogue of the product.
    public enum Epilogue: Sendable {
        /// Writes the product.
        case store
        /// Adds the product to the output.
        case add
    }

    /// Width of an input row.
    public let inputs: Int
    /// Width of an output row.
    public let outputs: Int
    /// The element type of the packed weights.
    public let elementType: ElementType
    /// Whether gate and up outputs are combined to silu(gate)·up.
    public let isSwiGLU: Bool
    private let panels: Storage
    private let panelBytes: Int
    let panelCount: Int

    /// One weight of a layer: [rows, inputs] in the layer's element type, as stored.
    @unsafe public struct Part {
        /// Its rows.
        public var rows: Int
        /// rows · inputs elements, any alignment.
        public var bytes: UnsafeRawBufferPointer

        /// A weight of `rows` rows in `bytes`.
        public init(rows: Int, bytes: UnsafeRawBufferPointer) {
            unsafe self.rows = rows
            unsafe self.bytes = bytes
        }
    }

    /// Packs weights with concatenated outputs.
    public init(inputs: Int, elementType: ElementType, parts: [Part]) {
        unsafe self.init(inputs: inputs, elementType: elementType, parts: parts, isSwiGLU: false)
    }

    /// Packs the gate and up projections of a gated layer, of equally many rows: the output is silu(x·gateᵀ)·(x·upᵀ).
    public init(inputs: Int, elementType: ElementType, gate: Part, up: Part) {
        precondition(unsafe gate.rows == up.rows, "packed linear: gate and up of different heights")
        unsafe self.init(inputs: inputs, elementType: elementType, parts: [gate, up], isSwiGLU: true)
    }

    private init(inputs: Int, elementType: ElementType, parts: [Part], isSwiGLU: Bool) {
        for index in unsafe parts.indices {
            precondition(
                unsafe parts[index].bytes.count == parts[index].rows * inputs * elementType.byteCount,
                "packed linear: a part's bytes don't hold its rows")
        }
        let kernel = unsafe kernels.panels
        let element = elementType.kernel
        let columns = Int(kernel.columns)
        let wide = isSwiGLU ? columns / 2 : columns
        self.inputs = inputs
        self.elementType = elementType
        self.isSwiGLU = isSwiGLU
        outputs = isSwiGLU ? unsafe parts[0].rows : unsafe parts.reduce(0) { unsafe $0 + $1.rows }
        panelCount = (outputs + wide - 1) / wide
        panelBytes = Int(kk_panel_bytes(element, Int64(inputs), Int64(columns)))
        // Padding for AVX-512's prefetch, so that it stays inside.
        panels = Storage(repeating: 0, count: (panelCount * panelBytes + 3) / 4 + 3072)
        let (panelBytes, outputs, rowBytes) = (panelBytes, outputs, inputs * elementType.byteCount)
        nonisolated(unsafe) let base = unsafe UnsafeMutableRawPointer(panels.pointer).assumingMemoryBound(to: UInt8.self)
        nonisolated(unsafe) let parts = unsafe parts
        Parallel.forEach(panelCount) { panel in
            let range = panel * wide..<min((panel + 1) * wide, outputs)
            var start = 0
            for index in unsafe parts.indices {
                let part = unsafe parts[index]
                let rows = isSwiGLU ? range : unsafe range.clamped(to: start..<start + part.rows)
                if !rows.isEmpty, let source = unsafe part.bytes.baseAddress {
                    let first = isSwiGLU ? rows.lowerBound : rows.lowerBound - start
                    let column = isSwiGLU ? index * wide : rows.lowerBound - range.lowerBound
                    unsafe kernel.pack(
                        element, source + first * rowBytes, Int64(rows.count), Int64(inputs), base + panel * panelBytes,
                        Int64(column))
                }
                start += unsafe part.rows
            }
        }
    }

    /// Words of a block of rows: half a core's second-level cache.
    private static let blockWords: Int = {
        let bytes = sysconf(Int32(_SC_LEVEL2_CACHE_SIZE))
        return (bytes > 0 ? bytes : 1 << 20) / 8
    }()

    /// Bytes of the packed weights.
    public var byteCount: Int { panelCount * panelBytes }

    /// Computes output [rows, outputs] from the first `rows` rows of input [.., inputs].
    public func run(_ input: Storage, rows: Int, into output: Storage, _ epilogue: Epilogue = .store) {
        run(PackedRows(input, count: rows, width: inputs), into: output, epilogue)
    }

    /// Computes output [rows, outputs] from rows of `inputs`, packed for ``elementType`` or rounded now.
    public func run(_ input: PackedRows, into output: Storage, _ epilogue: Epilogue = .store) {
        precondition(
            output.count >= input.count * outputs && !(isSwiGLU && epilogue == .add),
            "packed linear: [\(input.count), \(inputs)] → [\(input.count), \(outputs)] doesn't fit its storage")
        let kind = isSwiGLU ? KK_PANEL_SWIGLU : epilogue == .add ? KK_PANEL_ADD : KK_PANEL_STORE
        run(input, kind, into: output, stride: outputs, isRounded: false)
    }

    /// Computes rows of `outputs`, packed for `next`.
    public func run(_ input: PackedRows, for next: PackedLinear) -> PackedRows {
        precondition(next.inputs == outputs, "packed linear: \(outputs) outputs for \(next.inputs) inputs")
        let output = PackedRows(count: input.count, width: outputs, for: next.elementType)
        run(
            input, isSwiGLU ? KK_PANEL_SWIGLU : KK_PANEL_STORE, into: output.storage, stride: output.stride,
            isRounded: output.isRounded)
        return output
    }

    private func run(_ input: PackedRows, _ kind: kk_epilogue, into output: Storage, stride: Int, isRounded: Bool) {
        precondition(input.width == inputs, "packed linear: rows of \(input.width) for \(inputs) inputs")
        let rows = input.count
        guard rows > 0 else { return }
        let input = input.packed(for: elementType)
        precondition(!input.isRounded || elementType == .bfloat16, "packed linear: rows rounded for other weights")
        // Blocks of rows that stay in the second-level cache beside a panel.
        let rowBlock = max(24, min(240, Self.blockWords / max(1, input.stride) / 12 * 12))
        let rowBlocks = (rows + rowBlock - 1) / rowBlock
        let columns = unsafe Int(kernels.panels.columns)
        var whole = unsafe product
        unsafe whole.input = UnsafeRawPointer(input.words)
        unsafe whole.inputStride = Int64(input.stride)
        unsafe whole.epilogue = Int32(kind.rawValue)
        unsafe whole.output = UnsafeMutableRawPointer(output.pointer)
        unsafe whole.outputStride = Int64(stride)
        unsafe whole.isRounded = isRounded ? 1 : 0
        // The closure captures no reference-counted value: threads would contend for the count.
        let (inputStride, panelCount) = (input.stride, panelCount)
        nonisolated(unsafe) let (shared, multiply) = unsafe (whole, kernels.panels.multiply!)
        Parallel.forShrinkingRanges(rowBlocks * panelCount) { range in
            for block in range.lowerBound / panelCount...(range.upperBound - 1) / panelCount {
                let start = block * rowBlock
                let first = block * panelCount
                let panels = range.clamped(to: first..<first + panelCount)
                var job = unsafe shared
                let count = min(rowBlock, rows - start)
                unsafe job.rows = Int64(count)
                unsafe job.input += 4 * start * inputStride
                unsafe job.output += 4 * start * stride
                unsafe Scratch.with(count * columns) { scratch in
                    unsafe multiply(&job, Int64(panels.lowerBound - first), Int64(panels.count), scratch)
                }
            }
        }
        extendLifetime((panels, input.storage, output))
    }

    /// The product's arguments for these weights, without input and output.
    @unsafe var product: kk_panel_product {
        var job = unsafe kk_panel_product()
        unsafe job.inner = Int64(inputs)
        unsafe job.outer = Int64(outputs)
        unsafe job.panels = UnsafeRawPointer(panels.pointer).assumingMemoryBound(to: UInt8.self)
        unsafe job.element = elementType.kernel
        return unsafe job
    }
}
