import Kernels

/// The gradients of one scalar with respect to every variable it depends on.
public struct Gradients: Sendable {
    struct Entry {
        var storage: Storage
        /// Whether the storage has no other reference, so that gradients may be accumulated into it in place.
        var owned: Bool
    }

    var entries: [ObjectIdentifier: Entry] = [:]
    /// The variables, retained because an identifier is only unique among living objects.
    var leaves: [Node] = []

    /// Empty gradients, the start of an accumulation over several batches.
    public init() {}

    /// The gradient for `variable`; nil if the scalar does not depend on it.
    public subscript(variable: Tensor) -> Tensor? {
        guard let node = variable.node, let entry = entries[ObjectIdentifier(node)] else { return nil }
        return Tensor(shape: variable.shape, storage: entry.storage)
    }
}

/// The accumulator to which a pullback adds the gradients of its op's inputs.
struct GradientSink {
    fileprivate var inputs: [Node?] = []
    /// Whether the gradient passed to the pullback has no other reference, so that it may be passed on as owned.
    fileprivate(set) var ownsGradient = false
    fileprivate var entries: [ObjectIdentifier: Gradients.Entry] = [:]

    /// Whether the op has an input `index`.
    func hasInput(_ index: Int) -> Bool { index < inputs.count }

    /// Whether input `index` requires a gradient.
    func needs(_ index: Int) -> Bool { inputs[index] != nil }

    /// Adds `gradient`, which is not written to afterwards. `owned` means that it has no other reference.
    mutating func add(_ index: Int, _ gradient: Storage, owned: Bool = true) {
        guard let node = inputs[index] else { return }
        let key = ObjectIdentifier(node)
        guard let slot = entries.index(forKey: key) else {
            entries[key] = Gradients.Entry(storage: gradient, owned: owned)
            return
        }
        if mayWrite(slot) {
            Elementwise.add(gradient, into: entries.values[slot].storage)
        } else {
            let sum = Storage(count: gradient.count)
            Elementwise.binary(.add, entries.values[slot].storage, gradient, into: sum)
            entries[key] = Gradients.Entry(storage: sum, owned: true)
        }
    }

    /// Whether an entry may be accumulated in place: no other entry and no earlier `Gradients` references its storage.
    private mutating func mayWrite(_ slot: Dictionary<ObjectIdentifier, Gradients.Entry>.Index) -> Bool {
        entries.values[slot].owned && isKnownUniquelyReferenced(&entries.values[slot].storage)
    }

    /// Calls `body` to write (beta 0) or accumulate (beta 1) the gradient of input `index`, `count` elements, in place.
    ///
    /// If the input requires no gradient, `body` is not called, or with `orDiscard` writes to scratch memory.
    mutating func accumulate(_ index: Int, count: Int, orDiscard: Bool = false, _ body: (_ into: Storage, _ beta: Float) -> Void)
    {
        guard let node = inputs[index] else {
            if orDiscard { body(Storage(count: count), 0) }
            return
        }
        let key = ObjectIdentifier(node)
        if let slot = entries.index(forKey: key), mayWrite(slot) {
            body(entries.values[slot].storage, 1)
        } else {
            let storage = Storage(count: count)
            body(storage, 0)
            add(index, storage)
        }
    }
}

extension Tensor {
    /// The gradients of this scalar with respect to every variable it depends on.
    ///
    /// Reverse mode. The pass consumes the graph: saved activations are freed as it proceeds, and differentiating a second time
    /// is a programming error, also through another scalar that shares part of the graph. With `adding`, the new gradients are
    /// accumulated into earlier ones, in place if these are passed with `consume`; `seed` is the scalar's own gradient.
    public func gradients(adding earlier: consuming Gradients = Gradients(), seed: Float = 1) -> Gradients {
        precondition(shape.count == 1, "gradients: \(shape) is no scalar")
        return gradients(adding: consume earlier, ofOutput: Storage(repeating: seed, count: 1))
    }

    /// The gradients of a tensor of any shape whose own gradient is `output`; see ``gradients(adding:seed:)``.
    func gradients(adding earlier: consuming Gradients = Gradients(), ofOutput output: Storage) -> Gradients {
        var result = earlier
        guard let node else { return result }
        let order = node.descendingOrder()
        var sink = GradientSink()
        swap(&sink.entries, &result.entries)
        sink.entries[ObjectIdentifier(node)] = Gradients.Entry(storage: output, owned: false)
        var known = Set(result.leaves.map(ObjectIdentifier.init))
        for current in order {
            if current.isLeaf {
                if known.insert(ObjectIdentifier(current)).inserted { result.leaves.append(current) }
                continue
            }
            let (inputs, pullback) = current.take()
            guard let pullback else { preconditionFailure("gradients: this graph has been differentiated before") }
            guard let entry = sink.entries.removeValue(forKey: ObjectIdentifier(current)) else { continue }
            sink.inputs = inputs
            sink.ownsGradient = entry.owned
            pullback(entry.storage, &sink)
            OpProfile.mark(current.op, backward: true)
        }
        sink.inputs = []
        swap(&sink.entries, &result.entries)
        return result
    }
}

extension Node {
    /// The nodes that this one depends on in reverse topological order, itself first.
    fileprivate func descendingOrder() -> [Node] {
        var order: [Node] = []
        var visited: Set<ObjectIdentifier> = [ObjectIdentifier(self)]
        var stack: [(node: Node, inputs: [Node?], next: Int)] = [(self, inputs, 0)]
        while let (node, inputs, next) = stack.last {
            if next < inputs.count {
                stack[stack.count - 1].next += 1
                if let input = inputs[next], visited.insert(ObjectIdentifier(input)).inserted {
                    stack.append((input, input.inputs, 0))
                }
            } else {
                stack.removeLast()
                order.append(node)
            }
        }
        return order.reversed()
    }
}
