import Autograd
import Checkpoints
import Files
import Foundation
import Kernels
import Models

/// The layers that a conversion has refined so far, kept in a folder so that the same conversion goes on behind them.
///
///     FOLDER/refined-KEY-N.safetensors   weights refined with layer N − 1, the last layer of a group that shares keys and values
///     FOLDER/streams-KEY-N.safetensors   both models' residual streams behind layer N − 1, for the last N that was kept
///
/// KEY is a hash of all that decides the refinement. Files of another one are removed when the first layers are kept.
public struct ConversionStore: Sendable {
    private let folder: String
    /// The content hash of the model that is converted.
    let parent: String
    /// The least time from one keeping to the next: streams are large, and a few layers are soon refined again.
    let interval: Duration

    /// A store in `folder`, which is made when the first layers are kept, for a conversion of the model of content hash `parent`.
    public init(folder: String, parent: String, interval: Duration = .seconds(10)) {
        (self.folder, self.parent, self.interval) = (folder, parent, interval)
    }

    /// Whether nothing is kept.
    public var isEmpty: Bool { !FileManager.default.fileExists(atPath: folder) }

    /// The state behind the layers refined so far.
    struct State {
        /// Number of these layers.
        var layers: Int
        /// Their refined weights.
        var weights: [String: Weight]
        /// The residual stream of the parent behind them, batch by batch.
        var parentStream: [Tensor]
        /// The residual stream of the child.
        var childStream: [Tensor]
    }

    /// The newest state kept under `key`; nil without one, or where files of it are missing or damaged.
    func state(_ key: String, runs: [Range<Int>], batches: Int) -> State? {
        let newest = runs.last { FileManager.default.fileExists(atPath: path("streams", key, $0)) }
        guard let newest else { return nil }
        do {
            var state = State(layers: newest.upperBound, weights: [:], parentStream: [], childStream: [])
            for run in runs where run.upperBound <= newest.upperBound {
                let file = try SafetensorsFile(path: path("refined", key, run))
                for tensor in file.tensors { state.weights[tensor.name] = try file.copy(tensor.name) }
            }
            let file = try SafetensorsFile(path: path("streams", key, newest))
            for batch in 0..<batches {
                guard let parent = try file.copy("parent.\(batch)"), let child = try file.copy("child.\(batch)") else {
                    return nil
                }
                state.parentStream.append(Tensor(parent))
                state.childStream.append(Tensor(child))
            }
            return state
        } catch {
            // The layers are refined again.
            return nil
        }
    }

    /// Keeps the weights that `layers` were refined to, run by run, and both streams behind the last in place of the earlier ones.
    func keep(
        _ layers: [(run: Range<Int>, weights: [(name: String, weight: Weight)])], parentStream: [Tensor], childStream: [Tensor],
        _ key: String
    ) throws {
        guard let last = layers.last else { return }
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        for (run, weights) in layers { try SafetensorsWriter.write(weights, to: path("refined", key, run)) }
        let streams = [("parent", parentStream), ("child", childStream)].flatMap { name, stream in
            stream.enumerated().map { (name: "\(name).\($0)", weight: $1.weight) }
        }
        let newest = path("streams", key, last.run)
        try SafetensorsWriter.write(streams, to: newest)
        try remove { !$0.hasPrefix("refined-\(key)-") && folder + "/" + $0 != newest }
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
        for name in try FileManager.default.contentsOfDirectory(atPath: folder)
        where ["refined-", "streams-"].contains(where: name.hasPrefix) && name.hasSuffix(".safetensors") && isOld(name) {
            try FileManager.default.removeItem(atPath: folder + "/" + name)
        }
    }

    private func path(_ kind: String, _ key: String, _ run: Range<Int>) -> String {
        "\(folder)/\(kind)-\(key)-\(run.upperBound).safetensors"
    }
}

extension SafetensorsFile {
    /// A copy of the tensor `name` in memory; nil without one.
    fileprivate func copy(_ name: String) throws -> Weight? { try weight(name)?.owned }
}

extension Tensor {
    fileprivate init(_ weight: Weight) { self.init(shape: Shape(weight.shape), storage: weight.float32()) }

    fileprivate var weight: Weight { Weight(shape: shape.dimensions, storage: storage) }
}
