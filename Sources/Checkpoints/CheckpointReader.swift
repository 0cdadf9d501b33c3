import Files
import FoundationEssentials
import HDF5
import Kernels
import Models
import Text

/// A reader of one checkpoint file: the seal first, then the listing by libhdf5, then the arrays.
struct CheckpointReader {
    let path: String
    let verify: Checkpoint.Verification
    private let file: RegularFile
    private let seal: CheckpointSeal
    /// The mapped file of the weights; nil if each weight is copied.
    private let mapped: MappedFile?

    init(path: String, verify: Checkpoint.Verification, copiesWeights: Bool) throws {
        file = try RegularFile(path: path)
        seal = try CheckpointSeal.verified(file)
        mapped = try copiesWeights ? nil : MappedFile(file)
        self.path = path
        self.verify = verify
    }

    func read(trainingState: Bool) throws -> Checkpoint {
        let listing = try ListingProcess.listing(of: file)
        func text(_ name: String) throws -> String {
            guard let text = listing.texts[name] else { throw CheckpointError.missing(path: path, part: "'\(name)'") }
            return text
        }
        var manifest = ContentManifest()
        guard listing.format == CheckpointLayout.format else { throw CheckpointError.foreign(path: path) }
        let version = listing.version ?? 0
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
        do { try checkpoint.lineage.readNotes() } catch {
            throw CheckpointError.invalid(path: path, part: "the lineage's training basis", reason: String(describing: error))
        }
        checkpoint.parameters = try parameters(config, listing, &manifest)
        checkpoint.tokenizer = try tokenizer(listing, &manifest)
        checkpoint.trainingState = try readTrainingState(listing, wanted: trainingState, &manifest)
        let hash = try text("content_hash")
        guard manifest.hash == hash else { throw CheckpointError.changed(path: path, part: "its content") }
        checkpoint.lineage.contentHash = hash
        return checkpoint
    }

    private func decode<Value: Decodable>(_ part: String, _ json: String) throws -> Value {
        do { return try JSONDecoder().decode(Value.self, from: Data(json.utf8)) } catch {
            throw CheckpointError.invalid(path: path, part: part, reason: String(describing: error))
        }
    }

    private func parameters(
        _ config: ModelConfig, _ listing: CheckpointListing, _ manifest: inout ContentManifest
    ) throws -> Parameters {
        let present = Dictionary(listing.weights.map { ($0.name, $0) }) { first, _ in first }
        var parameters = Parameters()
        for (name, shape) in config.weightShapes {
            guard let array = present[name] else {
                throw CheckpointError.missing(path: path, part: "tensor '\(name)' \(shape)")
            }
            parameters[name] = try weight(array, shape: shape, &manifest)
        }
        if let extra = Set(present.keys).subtracting(parameters.names).min() {
            throw CheckpointError.invalid(path: path, part: "tensor '\(extra)'", reason: "the configuration has no such weight")
        }
        return parameters
    }

    private func weight(
        _ array: CheckpointListing.Array, shape: [Int], _ manifest: inout ContentManifest
    ) throws -> Weight {
        let part = "tensor '\(array.name)'"
        guard let type = HDF5Type(rawValue: array.type).flatMap({ ElementType($0) }) else {
            throw CheckpointError.invalid(path: path, part: part, reason: "its elements are \(array.type)")
        }
        guard array.shape == shape else {
            throw CheckpointError.invalid(path: path, part: part, reason: "it is \(array.shape), expected \(shape)")
        }
        // Only the seal's weight ranges have digests of their own; any other place would go unverified.
        guard let range = range(of: array), seal.weights.contains(range) else {
            throw CheckpointError.invalid(path: path, part: part, reason: "it is not in one of the file's weight ranges")
        }
        guard let digest = array.sha256 else {
            throw CheckpointError.missing(path: path, part: "the SHA-256 of \(part)")
        }
        manifest.weights.append((array.name, type.rawValue, shape, digest))
        // The digest is of the copy.
        let copy = try mapped == nil ? MappedFile(copying: range, of: file) : nil
        if verify == .full {
            let found = try copy.map { SHA256Digest(of: $0) } ?? file.digest(of: [range])
            guard found.hex == digest else { throw CheckpointError.changed(path: path, part: part) }
        }
        if let copy { return Weight(elementType: type, shape: shape, file: copy, byteOffset: 0) }
        guard let mapped else { throw CheckpointError.missing(path: path, part: part) }
        return Weight(elementType: type, shape: shape, file: mapped, byteOffset: range.lowerBound)
    }

    /// The byte range of a contiguous array; nil outside the file.
    private func range(of array: CheckpointListing.Array) -> Range<Int>? {
        guard let offset = array.offset, let count = array.byteCount, offset >= 0, offset <= file.count,
            count <= file.count - offset
        else { return nil }
        return offset..<offset + count
    }

    private func tokenizer(
        _ listing: CheckpointListing, _ manifest: inout ContentManifest
    ) throws -> SerializedTokenizer? {
        guard let array = listing.tokenizer else { return nil }
        guard let kind = listing.tokenizerKind else {
            throw CheckpointError.missing(path: path, part: "the tokenizer's kind")
        }
        var bytes: [UInt8] = []
        if array.byteCount != 0 {
            guard array.type == HDF5Type.uint8.rawValue, let range = range(of: array) else {
                throw CheckpointError.invalid(path: path, part: "the tokenizer", reason: "its bytes are not in one piece")
            }
            bytes = try file.bytes(in: range)
        }
        manifest.tokenizer = (kind, SHA256Digest(of: bytes))
        return SerializedTokenizer(kind: kind, bytes: bytes)
    }

    private func readTrainingState(
        _ listing: CheckpointListing, wanted: Bool, _ manifest: inout ContentManifest
    ) throws -> TrainingState? {
        guard let json = listing.trainingState else {
            guard listing.trainingArrays.isEmpty else {
                throw CheckpointError.missing(path: path, part: "the training state's JSON")
            }
            return nil
        }
        manifest.trainingState = json
        var state = TrainingState(json: json)
        // The origin of chunk offsets, which depends on the version of libhdf5.
        var base = seal.userBlock
        for array in listing.trainingArrays {
            let part = "training state '\(array.name)'"
            guard let digest = array.sha256 else {
                throw CheckpointError.missing(path: path, part: "the SHA-256 of \(part)")
            }
            guard array.type == HDF5Type.float32.rawValue, let bytes = array.byteCount else {
                throw CheckpointError.invalid(path: path, part: part, reason: "it is \(array.shape) \(array.type)")
            }
            manifest.trainingArrays.append((array.name, bytes / 4, digest))
            guard wanted else { continue }
            func values(_ base: Int) throws -> [Float]? {
                guard let values = try self.values(array, bytes: bytes, base: base) else { return nil }
                return unsafe values.withUnsafeBytes { unsafe SHA256Digest(of: $0).hex } == digest ? values : nil
            }
            var found = try values(base)
            if found == nil {
                base = seal.userBlock - base
                found = try values(base)
            }
            guard let found else { throw CheckpointError.changed(path: path, part: part) }
            state.arrays[array.name] = Storage(copying: found)
        }
        return wanted ? state : nil
    }

    /// The values of an array of `bytes` bytes, chunked with offsets from `base` or contiguous; nil outside the file.
    private func values(_ array: CheckpointListing.Array, bytes: Int, base: Int) throws -> [Float]? {
        guard bytes <= file.count else { return nil }
        var pieces: [Range<Int>] = []
        if let chunks = array.chunks, let elements = array.chunkElements {
            guard elements > 0, elements <= file.count / 4, chunks.count == (bytes / 4 + elements - 1) / elements else {
                return nil
            }
            for (index, offset) in chunks.enumerated() {
                let count = min(4 * elements, bytes - 4 * elements * index)
                guard offset >= 0, offset <= file.count - base, count <= file.count - base - offset else { return nil }
                pieces.append(base + offset..<base + offset + count)
            }
        } else if bytes > 0 {
            guard let range = range(of: array) else { return nil }
            pieces = [range]
        }
        return try unsafe [Float](unsafeUninitializedCapacity: bytes / 4) { buffer, initialized in
            let all = UnsafeMutableRawBufferPointer(buffer)
            var position = 0
            for piece in pieces {
                try unsafe file.read(
                    into: UnsafeMutableRawBufferPointer(rebasing: all[position..<position + piece.count]), at: piece.lowerBound)
                position += piece.count
            }
            initialized = bytes / 4
        }
    }
}
