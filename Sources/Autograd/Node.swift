import Kernels
import Synchronization

/// A node of the computation graph: an op's inputs and its pullback, from the output's gradient to the inputs'.
final class Node: Sendable {
    typealias Pullback = @Sendable (_ gradient: Storage, _ sink: inout GradientSink) -> Void

    private struct Links {
        var inputs: [Node?]
        var pullback: Pullback?
    }

    /// Whether the node is a variable, at which gradients are accumulated.
    let isLeaf: Bool
    /// The op's function name, for profiles.
    let op: StaticString
    private let links: Mutex<Links>

    /// The node of a variable.
    init() {
        isLeaf = true
        op = "variable"
        links = Mutex(Links(inputs: [], pullback: nil))
    }

    init(_ op: StaticString, inputs: [Node?], pullback: @escaping Pullback) {
        isLeaf = false
        self.op = op
        links = Mutex(Links(inputs: inputs, pullback: pullback))
    }

    var inputs: [Node?] { links.withLock { $0.inputs } }

    /// Moves the inputs and the pullback out of the node, once, so that the backward pass frees activations as it proceeds.
    func take() -> (inputs: [Node?], pullback: Pullback?) {
        links.withLock { links in
            defer { links = Links(inputs: [], pullback: nil) }
            return (links.inputs, links.pullback)
        }
    }

    deinit {
        // A long chain of nodes would otherwise be freed by recursion as deep as the graph.
        var pending = take().inputs.compactMap { $0 }
        while var node = pending.popLast() {
            if isKnownUniquelyReferenced(&node) { pending += node.take().inputs.compactMap { $0 } }
        }
    }
}
