/// A queue of numbers in insertion order; every operation takes constant time.
struct UseOrder: Sendable {
    private struct Links: Sendable {
        var older: Int?
        var newer: Int?
    }

    private var links: [Int: Links] = [:]
    /// The number inserted first; nil where the queue is empty.
    private(set) var oldest: Int?
    private var newest: Int?

    /// All numbers, oldest first.
    var all: [Int] {
        Array(
            sequence(state: oldest) { next in
                defer { next = next.flatMap { links[$0]?.newer } }
                return next
            })
    }

    func contains(_ number: Int) -> Bool { links[number] != nil }

    /// Appends a number that is not in the queue.
    mutating func append(_ number: Int) {
        precondition(links[number] == nil, "UseOrder: \(number) is there already")
        links[number] = Links(older: newest)
        if let newest { links[newest]?.newer = number } else { oldest = number }
        newest = number
    }

    /// Removes a number, if it is in the queue.
    mutating func remove(_ number: Int) {
        guard let found = links.removeValue(forKey: number) else { return }
        if let older = found.older { links[older]?.newer = found.newer } else { oldest = found.newer }
        if let newer = found.newer { links[newer]?.older = found.older } else { newest = found.older }
    }
}
