import Kernels

/// A model's weights under their Hugging Face names, in file order, with ownership of them.
public struct Parameters: Sendable {
    /// Names in order.
    public private(set) var names: [String] = []
    private var weights: [String: Weight] = [:]

    /// A collection without weights; names keep the order in which they are set.
    public init() {}

    /// The weight called `name`; setting a new name appends it, setting nil removes it.
    public subscript(name: String) -> Weight? {
        get { weights[name] }
        set {
            if let newValue {
                if weights.updateValue(newValue, forKey: name) == nil { names.append(name) }
            } else if weights.removeValue(forKey: name) != nil {
                names.removeAll { $0 == name }
            }
        }
    }

    /// The weight called `name`.
    public subscript(name: WeightName) -> Weight? {
        get { self["\(name)"] }
        set { self["\(name)"] = newValue }
    }

    /// The weight called `name`; throws ``ParametersError/missing(name:shape:)`` where there is none.
    public func weight(_ name: WeightName, shape: [Int]) throws(ParametersError) -> Weight {
        guard let weight = self[name] else { throw .missing(name: "\(name)", shape: shape) }
        return weight
    }

    /// Elements over all weights.
    public var count: Int { weights.values.reduce(0) { $0 + $1.count } }

    /// Bytes of memory that the weights take, computed ones left out.
    public var residentBytes: Int { weights.values.reduce(0) { $0 + $1.residentBytes } }

    /// Throws the first weight that is missing, superfluous or misshapen for `config`.
    public func validate(against config: ModelConfig) throws(ParametersError) {
        let expected = config.weightShapes
        for (name, shape) in expected {
            guard let weight = self[name] else { throw .missing(name: name, shape: shape) }
            guard weight.shape == shape else { throw .shape(name: name, found: weight.shape, expected: shape) }
        }
        if names.count > expected.count {
            let known = Set(expected.map(\.name))
            if let extra = names.first(where: { !known.contains($0) }) { throw .unexpected(name: extra) }
        }
    }
}

/// A mismatch between weights and a configuration.
public enum ParametersError: Error, CustomStringConvertible, Equatable {
    /// A weight of the configuration is missing; `shape` is its expected shape.
    case missing(name: String, shape: [Int])
    /// A weight has another shape than the configuration gives it.
    case shape(name: String, found: [Int], expected: [Int])
    /// A weight has no place in the configuration.
    case unexpected(name: String)

    /// The sentence for the user, without the file, which the caller puts in front.
    public var description: String {
        switch self {
        case .missing(let name, let shape): "'\(name)' \(shape) is missing"
        case .shape(let name, let found, let expected): "'\(name)' is \(found), the configuration expects \(expected)"
        case .unexpected(let name): "'\(name)' belongs to no layer of this configuration"
        }
    }
}
