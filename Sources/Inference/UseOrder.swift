/// Numbers in the order in which they were added; each operation takes the time of one, however many there are.
struct UseOrder: Sendable {
    private struct Links: Sendable {
        var older: Int?
        var newer: Int?
    }

    private var links: [Int: Links] = [:]
    /// The number added first of those there are.
    private(set) var oldest: Int?
    private var newest: Int?

    /// All of them, the oldest first.
    var all: [Int] {
        Array(
            sequence(state: oldest) { next in
                defer { next = next.flatMap { links[$0]?.newer } }
                return next
            })
    }

    func contains(_ number: Int) -> Bool { links[number] != nil }

    /// Adds a number that is not there.
    mutating func append(_ number: Int) {
        precondition(links[number] == nil, "UseOrder: \(number) is there already")
        links[number] = Links(older: newest)
        if let newest { links[newest]?.newer = number } else { oldest = number }
        newest = number
    }

    /// Takes a number out, if it is there.
    mutating func remove(_ number: Int) {
        guard let found = links.removeValue(forKey: number) else { return }
        if let older = found.older { links[older]?.newer = found.newer } else { oldest = found.newer }
        if let newer = found.newer { links[newer]?.older = found.older } else { newest = found.older }
    }
}
