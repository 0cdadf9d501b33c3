import Kernels

/// The encodings of a cache's layers: one for all, and others for some.
///
/// Its name is that of the first, with a term `+ENCODING:LAYERS` for each run of layers that has another one:
///
///     int8+kivi4:8-15+fp16:0     layer 0 in fp16, layers 8 to 15 in kivi4, all others in int8
public struct CacheEncoding: Sendable {
    /// The encoding of layers that have none of their own.
    public private(set) var base: KVEncoding
    /// The encodings of single layers, none of them `base`.
    public private(set) var exceptions: [Int: KVEncoding] = [:]

    /// One encoding for all layers.
    public init(_ encoding: KVEncoding) { base = encoding }

    /// The encodings of layers from 0 on, nil for one that has no cache of its own; the most frequent one, or the first of them, is
    /// the base.
    ///
    /// Precondition: some layer has a cache.
    public init(layers: [KVEncoding?]) {
        let counts = layers.compactMap { $0 }.reduce(into: [:]) { $0[$1, default: 0] += 1 }
        guard let base = layers.compactMap({ $0 }).first(where: { counts[$0] == counts.values.max() }) else {
            preconditionFailure("CacheEncoding: no layer has a cache")
        }
        self.base = base
        for case (let layer, let encoding?) in layers.enumerated() where encoding != base { exceptions[layer] = encoding }
    }

    /// Unrounded elements, in 4 bytes.
    public static let float32 = CacheEncoding(.float32)
    /// Elements rounded to nearest, in 2 bytes.
    public static let float16 = CacheEncoding(.float16), bfloat16 = CacheEncoding(.bfloat16)
    /// The encoding of a cache where none is named.
    public static let standard = CacheEncoding(.standard)
    /// Every encoding that is one for all layers.
    public static let all = KVEncoding.all.map { CacheEncoding($0) }

    /// The encoding of a layer.
    public subscript(layer: Int) -> KVEncoding { exceptions[layer] ?? base }

    /// The encodings of all layers that a model may have: the base, and those of single layers in their order.
    private var encodings: [KVEncoding] { [base] + exceptions.sorted { $0.key < $1.key }.map(\.value) }

    /// The name in flags, recipes and reports.
    public var name: String {
        var text = base.name
        var run: (encoding: KVEncoding, layers: ClosedRange<Int>)?
        func close() {
            guard let run else { return }
            text += "+\(run.encoding.name):\(run.layers.lowerBound)" + (run.layers.count > 1 ? "-\(run.layers.upperBound)" : "")
        }
        for (layer, encoding) in exceptions.sorted(by: { $0.key < $1.key }) {
            if let held = run, held.encoding == encoding, held.layers.upperBound == layer - 1 {
                run = (encoding, held.layers.lowerBound...layer)
            } else {
                close()
                run = (encoding, layer...layer)
            }
        }
        close()
        return text
    }

    /// Whether each layer stores each element by itself.
    public var isElementwise: Bool { encodings.allSatisfy(\.isElementwise) }

    /// Tokens that are encoded together in some layer; 1 where each is encoded as it comes.
    public var blockTokens: Int { encodings.reduce(1) { max($0, $1.blockTokens) } }

    /// Tokens that stay unrounded before the block that is filled at present, in layers that encode blocks of tokens.
    public var residual: Int { encodings.reduce(0) { max($0, $1.residual) } }

    /// The same encodings with `residual` unrounded tokens in the layers that encode blocks of tokens.
    ///
    /// Throws ``ResidualMismatch`` as ``KVEncoding/with(residual:)`` does, and where no layer encodes blocks.
    public func with(residual: Int) throws(ResidualMismatch) -> CacheEncoding {
        let isBlocked = blockTokens > 1
        func changed(_ encoding: KVEncoding) throws(ResidualMismatch) -> KVEncoding {
            encoding.blockTokens == 1 && isBlocked ? encoding : try encoding.with(residual: residual)
        }
        var copy = CacheEncoding(try changed(base))
        for (layer, encoding) in exceptions { copy.exceptions[layer] = try changed(encoding) }
        return copy
    }

    /// The same encodings with `change` made to each.
    private func mapped(_ change: (KVEncoding) -> KVEncoding) -> CacheEncoding {
        var copy = CacheEncoding(change(base))
        copy.exceptions = exceptions.mapValues(change)
        return copy
    }

    /// The same encodings on the portable path, decoded before attention.
    public var portable: CacheEncoding { mapped(\.portable) }

    /// The encodings of tokens that wait for their block to be full.
    public var open: CacheEncoding { mapped(\.open) }

    /// A bound in nats on the mean KL divergence from predictions over unrounded values that small models keep to.
    public var divergenceBound: Double { encodings.reduce(0) { max($0, $1.divergenceBound) } }
}

extension CacheEncoding: Hashable, LosslessStringConvertible {
    /// The encoding that a name spells; nil where ``init(name:encoding:)`` refuses it.
    public init?(_ description: String) {
        do { try self.init(name: description) } catch { return nil }
    }

    /// Its ``name``.
    public var description: String { name }
}

/// The refusal of a text that names no encoding of a cache.
public struct CacheEncodingError: Error, Hashable, CustomStringConvertible {
    /// The sentence for the user.
    public let description: String
}

extension CacheEncoding {
    /// A name of several encodings.
    public static let example = "int8+kivi4:8-15"

    /// The encoding that a name spells; `encoding` reads the name of a layer's.
    ///
    /// Throws ``CacheEncodingError``: layers have one encoding each, and not the base's.
    public init(
        name: String, encoding: (String) -> KVEncoding? = { KVEncoding(name: $0) }
    ) throws(CacheEncodingError) {
        func read(_ text: some StringProtocol) throws(CacheEncodingError) -> KVEncoding {
            guard let found = encoding(String(text)) else {
                throw CacheEncodingError(
                    description: "'\(text)' in '\(name)' is no encoding, expected one of "
                        + KVEncoding.all.map(\.name).joined(separator: ", "))
            }
            return found
        }
        let terms = name.split(separator: "+", omittingEmptySubsequences: false)
        self.init(try read(terms[0]))
        for term in terms.dropFirst() {
            let sides = term.split(separator: ":", omittingEmptySubsequences: false)
            guard sides.count == 2, let layers = Self.layers(sides[1]) else {
                throw CacheEncodingError(
                    description: "'\(term)' in '\(name)' names no layers, expected ENCODING:LAYER or ENCODING:FIRST-LAST")
            }
            let encoding = try read(sides[0])
            guard encoding != base else {
                throw CacheEncodingError(
                    description: "'\(term)' in '\(name)' gives layers the encoding that all others have; leave it out")
            }
            for layer in layers {
                guard exceptions.updateValue(encoding, forKey: layer) == nil else {
                    throw CacheEncodingError(description: "layer \(layer) has two encodings in '\(name)'")
                }
            }
        }
    }

    /// The layers `text` names, "8" or "8-15"; nil where it names none.
    private static func layers(_ text: Substring) -> ClosedRange<Int>? {
        let ends = text.split(separator: "-", omittingEmptySubsequences: false).map { $0.allSatisfy(\.isNumber) ? Int($0) : nil }
        guard (1...2).contains(ends.count), let first = ends[0], let last = ends[ends.count - 1],
            first <= last, last < mostLayers
        else { return nil }
        return first...last
    }

    /// More layers than any model has.
    private static let mostLayers = 1 << 16
}

/// The refusal of an encoding that a model's layers cannot have.
public enum EncodingMismatch: Error, Hashable, CustomStringConvertible {
    /// A layer caches vectors of a width that is no multiple of the encoding's block of elements.
    case width(encoding: String, layer: Int, width: Int, block: Int)
    /// An encoding names a layer that the model has not.
    case noLayer(encoding: String, layer: Int, layers: Int)
    /// An encoding names a layer that reads the cache of another one, its source.
    case sharedLayer(encoding: String, layer: Int, source: Int)

    /// The sentence for the user.
    public var description: String {
        switch self {
        case .width(let encoding, let layer, let width, let block):
            "\(encoding) stores blocks of \(block) elements, layer \(layer) caches vectors of \(width); use another --kv-dtype"
        case .noLayer(let encoding, let layer, let layers):
            "'\(encoding)' names layer \(layer), the model's are 0 to \(layers - 1)"
        case .sharedLayer(let encoding, let layer, let source):
            "'\(encoding)' names layer \(layer), which reads the cache of layer \(source) and has none of its own"
        }
    }
}

extension Array<KVGeometry> {
    /// Throws ``EncodingMismatch`` where these layers, whose keys and values are in `encoding`, cannot have it.
    public func check(_ encoding: CacheEncoding) throws(EncodingMismatch) {
        if let layer = encoding.exceptions.keys.max(), layer >= count {
            throw .noLayer(encoding: encoding.name, layer: layer, layers: count)
        }
        for (layer, geometry) in enumerated() {
            if let source = geometry.source {
                guard encoding.exceptions[layer] == nil else {
                    throw .sharedLayer(encoding: encoding.name, layer: layer, source: source)
                }
                continue
            }
            let misfit = geometry.encoding.misfit(
                keyDim: geometry.keyDim, valueDim: geometry.valueDim, valuesAreKeys: geometry.valuesAreKeys)
            guard let misfit else { continue }
            throw .width(encoding: geometry.encoding.name, layer: layer, width: misfit.width, block: misfit.block)
        }
    }
}
