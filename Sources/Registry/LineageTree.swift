import Console

/// The lineage of a checkpoint: its ancestors and its descendants.
public struct LineageTree: Sendable, Equatable {
    /// One checkpoint; files of equal content are one node.
    public struct Node: Sendable, Equatable {
        /// Content hash.
        public var hash: String
        /// The files that hold the checkpoint; none if it is only known as a parent.
        public var paths: [String]
        /// The checkpoint's record; nil if it is only known as a parent.
        public var checkpoint: CheckpointRecord?
        /// Whether the tree is this checkpoint's.
        public var isSubject: Bool
        /// The checkpoints made from this one, by path.
        public var children: [Node]
    }

    /// The eldest known ancestor.
    public var root: Node

    /// The tree of `subject` among `checkpoints`: its ancestors and its descendants, without other branches.
    ///
    /// A cyclic lineage, which no honest file has, is cut at the first repetition.
    public init(of subject: CheckpointRecord, in checkpoints: [CheckpointRecord]) {
        let hash = subject.hash ?? subject.path
        let byHash = Dictionary(grouping: checkpoints.filter { $0.hash != nil }) { $0.hash ?? "" }
        let byParent = Dictionary(grouping: checkpoints.filter { $0.hash != nil && $0.parentHash != nil }) {
            $0.parentHash ?? ""
        }
        func node(_ hash: String, children: [Node]) -> Node {
            let files = (byHash[hash] ?? []).sorted { $0.path < $1.path }
            return Node(
                hash: hash, paths: files.map(\.path), checkpoint: files.first, isSubject: hash == (subject.hash ?? ""),
                children: children)
        }
        func descendants(_ hash: String, _ seen: Set<String>) -> [Node] {
            let children = (byParent[hash] ?? []).sorted { $0.path < $1.path }
            var done = seen
            return children.compactMap { child in
                guard let key = child.hash, done.insert(key).inserted else { return nil }
                return node(key, children: descendants(key, done))
            }
        }
        var tree = node(hash, children: descendants(hash, [hash]))
        var seen: Set<String> = [hash]
        var parent = subject.parentHash
        while let hash = parent, seen.insert(hash).inserted {
            tree = node(hash, children: [tree])
            parent = byHash[hash]?.first?.parentHash
        }
        root = tree
    }

    /// The tree as text, a line a checkpoint, indented by generation, with an arrow at the subject.
    public var text: String {
        func lines(_ node: Node, _ depth: Int) -> [String] {
            let mark = node.isSubject ? "→ " : "  "
            let place = node.paths.isEmpty ? "not under this folder" : node.paths.joined(separator: " = ")
            var facts: [String] = []
            if let checkpoint = node.checkpoint {
                facts = [
                    checkpoint.conversion ?? checkpoint.source.map { "from \($0)" } ?? "", "\(checkpoint.steps) steps",
                    "\(checkpoint.tokensSeen) tokens", "\(checkpoint.kvBytesPerToken) cache bytes per token",
                ]
            }
            let line = ([place] + facts.filter { !$0.isEmpty }).joined(separator: ", ")
            return ["\(mark)\(String(repeating: "  ", count: depth))\(node.hash.prefix(12))  \(line)".onOneLine]
                + node.children.flatMap { lines($0, depth + 1) }
        }
        return lines(root, 0).joined(separator: "\n")
    }
}
