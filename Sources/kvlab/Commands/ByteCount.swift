import ArgumentParser

/// A number of bytes on the command line: 512MiB, 16KiB, 2GiB, 1048576.
struct ByteCount: ExpressibleByArgument {
    var bytes: Int

    init(_ bytes: Int) { self.bytes = bytes }

    init?(argument: String) {
        let units = [
            ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("KB", 1000), ("MB", 1_000_000), ("GB", 1_000_000_000),
        ]
        let (unit, size) = units.first { argument.hasSuffix($0.0) } ?? ("", 1)
        guard let count = Int(argument.dropLast(unit.count)), count > 0 else { return nil }
        let (bytes, overflow) = count.multipliedReportingOverflow(by: size)
        guard !overflow else { return nil }
        self.bytes = bytes
    }

    var defaultValueDescription: String { Self.text(bytes) }

    /// The bytes in the largest unit below them, to three digits.
    static func text(_ bytes: Int) -> String {
        for (unit, size) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] where bytes >= size {
            let value = Double(bytes) / Double(size)
            return value == value.rounded() ? "\(Int(value))\(unit)" : "\((value * 100).rounded() / 100)\(unit)"
        }
        return "\(bytes) bytes"
    }
}
