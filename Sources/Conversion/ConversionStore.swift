import Checkpoints
import Files
import Foundation
import Kernels
import Models

/// The state of a conversion's refinement, kept in a folder from which the same conversion resumes after its last step.
///
///     FOLDER/refined-KEY-N.safetensors   attention's matrices after N steps, under "m." and "v." with the optimizer's moments
///
/// KEY is a hash of all that decides the refinement. A state takes the place of the one before, and of another refinement's.
public struct ConversionStore: Sendable {
    private let folder: String
    /// The content hash of the model that is converted.
    let parent: String
    /// The least time between two savings.
    let interval: Duration

    /// A store in `folder`, which is made when a state is first kept, for a conversion of the model of content hash `parent`.
    public init(folder: String, parent: String, interval: Duration = .seconds(60)) {
        (self.folder, self.parent, self.interval) = (folder, parent, interval)
    }

    /// Whether nothing is kept.
    public var isEmpty: Bool { !FileManager.default.fileExists(atPath: folder) }

    /// The state kept under `key` of a refinement that begins with `start`; nil without one, or where it is damaged.
    func state(_ key: String, of start: [RefinedMatrix]) -> (steps: Int, matrices: [RefinedMatrix])? {
        let prefix = "refined-\(key)-"
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        let steps = names.compactMap { name -> Int? in
            guard name.hasPrefix(prefix), name.hasSuffix(".safetensors") else { return nil }
            return Int(name.dropFirst(prefix.count).dropLast(".safetensors".count))
        }
        guard let newest = steps.max(), let file = try? SafetensorsFile(path: path(key, newest)) else { return nil }
        var matrices: [RefinedMatrix] = []
        for matrix in start {
            let values = ["", "m.", "v."].compactMap { try? file.weight($0 + matrix.name) }
            guard values.count == 3, values.allSatisfy({ $0.shape == matrix.shape && $0.elementType == .float32 }) else {
                return nil
            }
            let copies = values.map { Storage(copying: $0.float32().array()) }
            matrices.append(
                RefinedMatrix(name: matrix.name, shape: matrix.shape, values: copies[0], first: copies[1], second: copies[2]))
        }
        return (newest, matrices)
    }

    /// Keeps `matrices` after `steps` steps, in place of all that was kept before.
    func keep(_ matrices: [RefinedMatrix], steps: Int, _ key: String) throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let weights = matrices.flatMap { matrix in
            [("", matrix.values), ("m.", matrix.first), ("v.", matrix.second)].map { prefix, values in
                (name: prefix + matrix.name, weight: Weight(shape: matrix.shape, storage: values))
            }
        }
        let newest = path(key, steps)
        try SafetensorsWriter.write(weights, to: newest)
        try remove { folder + "/" + $0 != newest }
    }

    /// Removes all that was kept.
    public func remove() throws {
        guard FileManager.default.fileExists(atPath: folder) else { return }
        try remove { _ in true }
        // A file of somebody else's keeps the folder.
        guard try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty else { return }
        try FileManager.default.removeItem(atPath: folder)
    }

    private func remove(_ isOld: (String) -> Bool) throws {
        // A stopped conversion of an earlier version has left streams too.
        for name in try FileManager.default.contentsOfDirectory(atPath: folder)
        where ["refined-", "streams-"].contains(where: name.hasPrefix) && name.hasSuffix(".safetensors") && isOld(name) {
            try FileManager.default.removeItem(atPath: folder + "/" + name)
        }
    }

    private func path(_ key: String, _ steps: Int) -> String { "\(folder)/refined-\(key)-\(steps).safetensors" }
}
