import Glibc

/// The names in a folder.
public enum FolderListing {
    /// Whether a folder, or a link to one, is at `path`.
    public static func isFolder(_ path: String) -> Bool {
        var status = stat()
        return unsafe stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    /// The names in the folder at `path` in byte order, hidden ones (with a leading dot) only where `hidden` is true; throws `FileError`.
    public static func names(in path: String, hidden: Bool = false) throws -> [String] {
        guard let listing = unsafe opendir(path) else {
            throw FileError.system(path: path, action: "list the folder", errno: errno)
        }
        defer { unsafe closedir(listing) }
        var names: [String] = []
        while let entry = unsafe readdir(listing) {
            let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) {
                unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if hidden || !name.hasPrefix(".") { names.append(name) }
        }
        return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }
}
