import Threads

/// Keys and values of rows rounded as a compressed cache stores them: encoded and decoded again.
///
/// Keys are encoded as in the cache, rotated at their positions, and turned back: a kernel that rotates them anew attends to the
/// cache's keys, up to the rounding of the two rotations. Vectors that an encoding rotates are turned back too.
public struct StoredRows: Sendable {
    /// The forms in which a token's key and value are read.
    public enum Form: Sendable, CaseIterable {
        /// Encoded.
        case sealed
        /// Unrounded until their block is full, in an encoding that takes blocks of tokens.
        case open
    }

    /// The encoding of keys and values.
    public var encoding: KVEncoding
    /// The rows of each sequence in the cache, from its first token on.
    public var sequences: [Range<Int>]
    /// Elements of a row.
    public var rowWidth: Int
    /// The element of a row at which its keys begin, [kvHeads, keyDim].
    public var keys: Int
    /// The element at which its values begin, [kvHeads, valueDim]; nil where a value is the beginning of its key.
    public var values: Int?
    /// Heads with keys and values of their own.
    public var kvHeads: Int
    /// Width of a key, and of a value.
    public var keyDim: Int, valueDim: Int
    /// The rotation of keys; nil for none. A table narrower than a key rotates the elements from ``rotaryStart`` on.
    public var rotary: RotaryTable?
    /// The element of a key at which the rotated ones begin.
    public var rotaryStart = 0

    /// The rows of `sequences`, whose keys and values begin at the elements `keys` and `values`.
    ///
    /// Precondition: both fit into a row, and the encoding stores vectors of their widths.
    public init(
        _ encoding: KVEncoding, sequences: [Range<Int>], rowWidth: Int, keys: Int, values: Int?, kvHeads: Int, keyDim: Int,
        valueDim: Int, rotary: RotaryTable? = nil, rotaryStart: Int = 0
    ) {
        precondition(
            keys + kvHeads * keyDim <= rowWidth && (values.map { $0 + kvHeads * valueDim <= rowWidth } ?? (valueDim <= keyDim)),
            "StoredRows: keys at \(keys) and values at \(values ?? keys) of \(kvHeads) heads in rows of \(rowWidth)")
        precondition(
            encoding.misfit(keyDim: keyDim, valueDim: valueDim, valuesAreKeys: values == nil) == nil,
            "StoredRows: \(encoding.name) does not store keys of \(keyDim) and values of \(valueDim) elements")
        (self.encoding, self.sequences, self.rowWidth) = (encoding, sequences, rowWidth)
        (self.keys, self.values, self.kvHeads, self.keyDim, self.valueDim) = (keys, values, kvHeads, keyDim, valueDim)
        (self.rotary, self.rotaryStart) = (rotary, rotaryStart)
    }

    /// A copy of `rows` [rows, rowWidth] with keys and values in `form`.
    ///
    /// A token is sealed with those of its block, counted from its sequence's first one; tokens without a full block have no sealed
    /// form, and are left in the open one.
    public func rounded(_ rows: Storage, _ form: Form) -> Storage {
        precondition(
            rows.count % rowWidth == 0 && sequences.allSatisfy { $0.lowerBound >= 0 && $0.upperBound * rowWidth <= rows.count },
            "StoredRows: \(rows.count) elements in rows of \(rowWidth) don't hold \(sequences)")
        let result = Storage(count: rows.count)
        Elementwise.scale(rows, by: 1, into: result)
        guard encoding != .float32 else { return result }
        rotate(result)
        // Whole blocks of tokens each.
        let grain = max(64, encoding.blockTokens)
        let pieces = sequences.flatMap { rows in
            stride(from: rows.lowerBound, to: rows.upperBound, by: grain).map { $0..<min($0 + grain, rows.upperBound) }
        }
        let keyWidths = KVEncoding.keyWidths(keyDim: keyDim, valueDim: valueDim, valuesAreKeys: values == nil)
        Parallel.forEach(pieces.count * kvHeads) { unit in
            let (piece, head) = (pieces[unit / kvHeads], unit % kvHeads)
            var column = keys + head * keyDim
            for width in keyWidths {
                round(result, piece, column, width, encoding.keys, open: encoding.open.keys, form)
                column += width
            }
            guard let values else { return }
            round(result, piece, values + head * valueDim, valueDim, encoding.values, open: encoding.open.values, form)
        }
        rotate(result, inverse: true)
        return result
    }

    /// Rotates the keys of each sequence at their positions in it, or back.
    private func rotate(_ rows: Storage, inverse: Bool = false) {
        guard let rotary else { return }
        for sequence in sequences {
            rotary.rotate(
                rows, offset: sequence.lowerBound * rowWidth + keys, positions: (0..<sequence.count).map { Int32($0) },
                rows: sequence.count, stride: rowWidth, heads: kvHeads, headDim: keyDim, start: rotaryStart, inverse: inverse)
        }
        // A table with an amplitude scales both ways.
        let square = rotary.amplitude * rotary.amplitude
        guard inverse, square != 1 else { return }
        Parallel.forEach(sequences.count) { index in
            for row in sequences[index] {
                for head in 0..<kvHeads {
                    let first = row * rowWidth + keys + head * keyDim + rotaryStart
                    for element in first..<first + rotary.headDim { unsafe rows.pointer[element] /= square }
                }
            }
        }
    }

    /// Rounds the elements [column, column + width) of the rows `range`.
    private func round(
        _ rows: Storage, _ range: Range<Int>, _ column: Int, _ width: Int, _ codec: any KVCodec, open: any KVCodec, _ form: Form
    ) {
        let isBlocked = encoding.blockTokens > 1
        for row in range where encoding.isRotated || isBlocked {
            let vector = unsafe rows.pointer + row * rowWidth + column
            if encoding.isRotated { unsafe Hadamard.transform(vector, width: width) }
            // A block is encoded from the elements in its open pages.
            if isBlocked { round(rows, row, column, width, open) }
        }
        if form == .sealed || !isBlocked {
            for row in stride(from: range.lowerBound, through: range.upperBound - codec.blockTokens, by: codec.blockTokens) {
                round(rows, row, column, width, codec)
            }
        }
        for row in range where encoding.isRotated {
            unsafe Hadamard.transform(rows.pointer + row * rowWidth + column, width: width)
        }
    }

    /// Rounds the vectors that `codec` encodes together, of which `row` has the first.
    private func round(_ rows: Storage, _ row: Int, _ column: Int, _ width: Int, _ codec: any KVCodec) {
        var vectors: [Float] = []
        vectors.reserveCapacity(codec.blockTokens * width)
        for token in row..<row + codec.blockTokens {
            unsafe vectors += UnsafeBufferPointer(start: rows.pointer + token * rowWidth + column, count: width)
        }
        let decoded = codec.rounded(vectors[...])
        for (index, value) in decoded.enumerated() {
            unsafe rows.pointer[(row + index / width) * rowWidth + column + index % width] = value
        }
    }
}

extension StoredRows.Form {
    /// The forms that rows read in `encoding`.
    public static func all(of encoding: KVEncoding) -> [StoredRows.Form] { encoding.blockTokens > 1 ? allCases : [.sealed] }
}
