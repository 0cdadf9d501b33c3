import Files
import FoundationEssentials
import HDF5
import Kernels
import Models
import Text

/// Reads one checkpoint file: the seal first, then the metadata through HDF5, the weights through a mapping.
struct CheckpointReader: ~Copyable {
    let path: String
    let verify: Checkpoint.Verification
    private let mapped: MappedFile
    private let seal: CheckpointSeal
    private let file: HDF5File

    init(path: String, verify: Checkpoint.Verification) throws {
        let mapped = try MappedFile(path: path)
        let seal = try CheckpointSeal.verified(mapped)
        let file = try HDF5File.open(path: path)
        self.path = path
        self.verify = verify
        self.mapped = mapped
        self.seal = seal
        self.file = file
    }

    consuming func read(trainingState: Bool) throws -> Checkpoint {
        var manifest = ContentManifest()
        guard try file.text("format") == CheckpointLayout.format else { throw CheckpointError.foreign(path: path) }
        let version = try file.number("format_version") ?? 0
        guard version == CheckpointLayout.formatVersion else {
            throw CheckpointError.version(path: path, found: version, supported: CheckpointLayout.formatVersion)
        }
        manifest.config = try text("config")
        manifest.tokenIDs = try text("token_ids")
        manifest.lineage = try text("lineage")
        let config: ModelConfig = try decode("the configuration", manifest.config)
        do { try config.validate() } catch {
            throw CheckpointError.invalid(path: path, part: "the configuration", reason: "\(error)")
        }
        var checkpoint = Checkpoint(
            config: config, parameters: Parameters(), tokenIDs: try decode("the token ids", manifest.tokenIDs),
            lineage: try decode("the lineage", manifest.lineage))
        checkpoint.parameters = try parameters(config, &manifest)
        checkpoint.tokenizer = try tokenizer(&manifest)
        checkpoint.trainingState = try readTrainingState(values: trainingState, &manifest)
        let hash = try text("content_hash")
        guard manifest.hash == hash else { throw CheckpointError.changed(path: path, part: "its content") }
        checkpoint.lineage.contentHash = hash
        return checkpoint
    }

    private func text(_ name: String) throws -> String {
        guard let text = try file.text(name) else { throw CheckpointError.missing(path: path, part: "'\(name)'") }
        return text
    }

    private func decode<Value: Decodable>(_ part: String, _ json: String) throws -> Value {
        do { return try JSONDecoder().decode(Value.self, from: Data(json.utf8)) } catch {
            throw CheckpointError.invalid(path: path, part: part, reason: String(describing: error))
        }
    }

    private func parameters(_ config: ModelConfig, _ manifest: inout ContentManifest) throws -> Parameters {
        let present = Set(try file.children(of: CheckpointLayout.weights))
        var parameters = Parameters()
        for (name, shape) in config.weightShapes {
            guard present.contains(name) else {
                throw CheckpointError.missing(path: path, part: "tensor '\(name)' \(shape)")
            }
            parameters[name] = try weight(name, shape: shape, &manifest)
        }
        if let extra = present.subtracting(parameters.names).min() {
            throw CheckpointError.invalid(path: path, part: "tensor '\(extra)'", reason: "the configuration has no such weight")
        }
        return parameters
    }

    private func weight(_ name: String, shape: [Int], _ manifest: inout ContentManifest) throws -> Weight {
        let dataset = try file.openDataset(CheckpointLayout.weight(name), byteLimit: mapped.count)
        let part = "tensor '\(name)'"
        guard let type = ElementType(dataset.type) else {
            throw CheckpointError.invalid(path: path, part: part, reason: "its elements are \(dataset.type.rawValue)")
        }
        guard dataset.shape == shape else {
            throw CheckpointError.invalid(path: path, part: part, reason: "it is \(dataset.shape), expected \(shape)")
        }
        // Only a range the seal leaves out of the metadata's digest has its own; any other place would go unchecked.
        guard let offset = dataset.fileOffset, seal.weights.contains(offset..<offset + dataset.byteCount) else {
            throw CheckpointError.invalid(path: path, part: part, reason: "it is not in one of the file's weight ranges")
        }
        let weight = Weight(elementType: type, shape: shape, file: mapped, byteOffset: offset)
        guard let digest = try file.text("sha256", on: CheckpointLayout.weight(name)) else {
            throw CheckpointError.missing(path: path, part: "the SHA-256 of \(part)")
        }
        if verify == .full {
            let found = unsafe weight.withUnsafeBytes { unsafe SHA256Digest(of: $0).hex }
            guard found == digest else { throw CheckpointError.changed(path: path, part: part) }
        }
        manifest.weights.append((name, type.rawValue, shape, digest))
        return weight
    }

    private func tokenizer(_ manifest: inout ContentManifest) throws -> SerializedTokenizer? {
        guard file.contains(CheckpointLayout.tokenizer) else { return nil }
        let dataset = try file.openDataset(CheckpointLayout.tokenizer, byteLimit: mapped.count)
        guard let kind = try file.text("kind", on: CheckpointLayout.tokenizer) else {
            throw CheckpointError.missing(path: path, part: "the tokenizer's kind")
        }
        let bytes = try dataset.bytes()
        manifest.tokenizer = (kind, SHA256Digest(of: bytes))
        return SerializedTokenizer(kind: kind, bytes: bytes)
    }

    private func readTrainingState(values: Bool, _ manifest: inout ContentManifest) throws -> TrainingState? {
        guard file.contains(CheckpointLayout.training) else { return nil }
        guard let json = try file.text("state", on: CheckpointLayout.training) else {
            throw CheckpointError.missing(path: path, part: "the training state's JSON")
        }
        manifest.trainingState = json
        var state = TrainingState(json: json)
        for name in try trainingArrays() {
            let object = CheckpointLayout.training + "/" + name
            let dataset = try file.openDataset(object, byteLimit: mapped.count)
            guard let digest = try file.text("sha256", on: object) else {
                throw CheckpointError.missing(path: path, part: "the SHA-256 of training state '\(name)'")
            }
            manifest.trainingArrays.append((name, dataset.count, digest))
            guard values else { continue }
            let array = try dataset.floats()
            guard unsafe array.withUnsafeBytes({ unsafe SHA256Digest(of: $0).hex }) == digest else {
                throw CheckpointError.changed(path: path, part: "training state '\(name)'")
            }
            state.arrays[name] = Storage(copying: array)
        }
        return values ? state : nil
    }

    /// Names as `group/name`, or a name alone.
    private func trainingArrays() throws -> [String] {
        try file.children(of: CheckpointLayout.training).flatMap { name -> [String] in
            let object = CheckpointLayout.training + "/" + name
            return try file.isGroup(object) ? file.children(of: object).map { name + "/" + $0 } : [name]
        }
    }
}
