import ArgumentParser
import Checkpoints
import Foundation

/// A model to serve: its path, and the id that clients know it by.
struct ServedPath: ExpressibleByArgument {
    let id: String
    let path: String

    /// Reads PATH or NAME=PATH; a path that is there is one whatever is in it.
    init?(argument: String) {
        if !FileManager.default.fileExists(atPath: argument), let equals = argument.firstIndex(of: "=") {
            let (name, path) = (argument[..<equals], argument[argument.index(after: equals)...])
            // A folder's name may have a "=" in it.
            if !name.contains("/") {
                guard !name.isEmpty, !path.isEmpty else { return nil }
                (id, self.path) = (String(name), String(path))
                return
            }
        }
        path = argument
        id = ModelImport.name(of: argument)
    }
}
