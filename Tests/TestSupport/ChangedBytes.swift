import Foundation

/// Changes single bytes of a file in place.
public enum ChangedBytes {
    /// Flips a bit in the bytes of the file at `path` at `indices`, one at a time, and puts each back; gives those during whose change
    /// `notices` was false, and throws what it throws.
    public static func unnoticed(
        in path: String, at indices: some Sequence<Int>, notices: (_ index: Int) throws -> Bool
    ) throws -> [Int] {
        let handle = try FileHandle(forUpdating: URL(fileURLWithPath: path))
        defer { try? handle.close() }
        func put(_ byte: UInt8, at index: Int) throws {
            try handle.seek(toOffset: UInt64(index))
            try handle.write(contentsOf: Data([byte]))
        }
        var unnoticed: [Int] = []
        for index in indices {
            try handle.seek(toOffset: UInt64(index))
            guard let byte = try handle.read(upToCount: 1)?.first else { continue }
            try put(byte ^ (1 << UInt8(index % 8)), at: index)
            if try !notices(index) { unnoticed.append(index) }
            try put(byte, at: index)
        }
        return unnoticed
    }
}
