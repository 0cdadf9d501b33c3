import Files
import Glibc

/// A text as a recipe or a command names it: a file, a folder or a pattern, and how its files are read.
public struct TextSource: Sendable, Hashable {
    /// A file; a folder, for all files in it and its folders but hidden ones; or a pattern of the shell (`*`, `?`, `[…]`).
    public var path: String
    /// The files' format; nil: each by its name, see ``TextFormat/init(name:)``.
    public var format: TextFormat?
    /// The member of each JSON line that is read; nil: ``TextFormat/defaultField``.
    public var field: String?
    /// The share of training sequences drawn from this text, relative to the other texts' weights; nil: texts follow one another.
    public var weight: Double?

    /// The text at `path`.
    public init(path: String, format: TextFormat? = nil, field: String? = nil, weight: Double? = nil) {
        (self.path, self.format, self.field, self.weight) = (path, format, field, weight)
    }

    /// The files, in the order of their paths' bytes.
    ///
    /// Throws ``TextError/emptyFolder(path:)`` or ``TextError/noMatch(pattern:)``; a missing file is found when it is opened.
    func files() throws -> [String] {
        var status = stat()
        guard unsafe stat(path, &status) != 0 else {
            guard status.st_mode & S_IFMT == S_IFDIR else { return [path] }
            let files = try Self.files(in: path, above: [])
            guard !files.isEmpty else { throw TextError.emptyFolder(path: path) }
            return files
        }
        guard path.contains(where: { "*?[".contains($0) }) else { return [path] }
        guard !path.contains("**") else { throw TextError.recursivePattern(path) }
        let files = try Self.matches(of: path).flatMap { try TextSource(path: $0).files() }
        guard !files.isEmpty else { throw TextError.noMatch(pattern: path) }
        return files
    }

    /// All files in a folder and its folders; a link to a folder that the walk is in is passed over.
    private static func files(in folder: String, above: Set<FolderIdentity>) throws -> [String] {
        guard let identity = FolderIdentity(folder), !above.contains(identity) else { return [] }
        let prefix = folder.hasSuffix("/") ? folder : folder + "/"
        return try FolderListing.names(in: folder).flatMap { name in
            let path = prefix + name
            return FolderListing.isFolder(path) ? try files(in: path, above: above.union([identity])) : [path]
        }
    }

    private struct FolderIdentity: Hashable {
        private var device: UInt
        private var inode: UInt

        init?(_ path: String) {
            var status = stat()
            guard unsafe stat(path, &status) == 0 else { return nil }
            (device, inode) = (status.st_dev, status.st_ino)
        }
    }

    private static func matches(of pattern: String) throws -> [String] {
        var found = unsafe glob_t()
        defer { unsafe globfree(&found) }
        let status = unsafe glob(pattern, GLOB_ERR | GLOB_NOSORT, nil, &found)
        guard status == 0 || status == GLOB_NOMATCH else {
            throw FileError.system(path: pattern, action: "list the files that match", errno: errno)
        }
        let paths = (0..<Int(unsafe found.gl_pathc)).compactMap { index in
            unsafe found.gl_pathv[index].map { unsafe String(cString: $0) }
        }
        return paths.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }
}

extension TextSource: Encodable {
    private enum CodingKeys: String, CodingKey { case path, weight, field, format }

    /// The path alone where there is nothing else, as in a recipe.
    public func encode(to encoder: any Encoder) throws {
        guard format != nil || field != nil || weight != nil else {
            var container = encoder.singleValueContainer()
            return try container.encode(path)
        }
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(path, forKey: .path)
        try container.encodeIfPresent(weight, forKey: .weight)
        try container.encodeIfPresent(field, forKey: .field)
        try container.encodeIfPresent(format, forKey: .format)
    }
}
