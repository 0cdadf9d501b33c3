/// Holds text back while it may begin a stop string, and truncates it at a complete one.
public struct StopMatcher: Sendable {
    private let stops: [[UInt8]]
    private var held: [UInt8] = []

    /// A matcher of these strings; empty ones are ignored.
    public init(_ stops: [String]) { self.stops = stops.map { Array($0.utf8) }.filter { !$0.isEmpty } }

    /// Returns the text that is final by now, and whether a stop string ended it.
    public mutating func append(_ text: String) -> (text: String, stopped: Bool) {
        guard !stops.isEmpty else { return (text, false) }
        held += text.utf8
        if let end = stops.compactMap({ Self.first($0, in: held) }).min() {
            defer { held = [] }
            return (String(decoding: held[..<end], as: UTF8.self), true)
        }
        // The longest suffix that is a prefix of a stop string.
        let keep = stops.reduce(0) { longest, stop in
            var length = min(stop.count - 1, held.count)
            while length > longest, !held.suffix(length).elementsEqual(stop.prefix(length)) { length -= 1 }
            return max(longest, length)
        }
        defer { held.removeFirst(held.count - keep) }
        return (String(decoding: held.dropLast(keep), as: UTF8.self), false)
    }

    /// Returns the text held back, at the end.
    public mutating func finish() -> String {
        defer { held = [] }
        return String(decoding: held, as: UTF8.self)
    }

    private static func first(_ stop: [UInt8], in text: [UInt8]) -> Int? {
        guard text.count >= stop.count else { return nil }
        return (0...text.count - stop.count).first { text[$0..<$0 + stop.count].elementsEqual(stop) }
    }
}
