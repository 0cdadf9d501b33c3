import Kernels
import Synchronization

/// One op's place in the graph: its inputs and how a gradient of its output becomes gradients of them.
final class Node: Sendable {
    typealias Pullback = @Sendable (_ gradient: Storage, _ sink: inout GradientSink) -> Void

    private struct Links {
        var inputs: [Node?]
        var pullback: Pullback?
    }

    /// Whether this is a variable: gradients stop and are kept here.
    let isLeaf: Bool
    /// The op's function name, for profiles.
    let op: StaticString
    private let links: Mutex<Links>

    /// A leaf.
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

    /// Hands out the pullback once and lets go of what it holds, so that activations are freed as the backward pass
    /// leaves them behind.
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
