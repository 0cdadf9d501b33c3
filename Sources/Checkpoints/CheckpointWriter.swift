import Files
import HDF5
import Kernels
import Models

/// A writer of one checkpoint file.
///
/// libhdf5 writes the metadata and the training state; the weights' values are written directly to the offsets that it
/// allocated, hashed in passing; the seal is written last.
struct CheckpointWriter {
    let checkpoint: Checkpoint
    let elementType: ElementType?

    func write(to path: String, links: SymbolicLinks, faults: AtomicFile.Faults?) throws -> String {
        try checkpoint.config.validate()
        try checkpoint.parameters.validate(against: checkpoint.config)
        let target = try AtomicFile(path: path, links: links, faults: faults)
        do {
            let hash = try write(into: target)
            try target.commit()
            return hash
        } catch let error as HDF5Error {
            throw error.naming(path)
        }
    }

    private func write(into target: borrowing AtomicFile) throws -> String {
        var manifest = ContentManifest()
        let names = checkpoint.parameters.names
        let userBlock = CheckpointSeal.userBlock(ranges: names.count)
        let (ranges, size) = try writeContent(into: target, userBlock: userBlock, manifest: &manifest)
        // HDF5 is closed; its file may be longer than it needs because of the reservation.
        try target.truncate(to: size)
        let seal = try CheckpointSeal(sealing: target.temporaryPath, userBlock: userBlock, weights: ranges)
        try target.write(seal.encoded, at: 0)
        return manifest.hash
    }

    private func writeContent(
        into target: borrowing AtomicFile, userBlock: Int, manifest: inout ContentManifest
    ) throws -> (ranges: [Range<Int>], size: Int) {
        let file = try HDF5File.create(
            path: target.temporaryPath, userBlock: userBlock, alignment: CheckpointLayout.alignment)
        try target.reserve(expectedSize(userBlock: userBlock))
        try file.setAttribute("format", to: CheckpointLayout.format)
        try file.setAttribute("format_version", to: CheckpointLayout.formatVersion)
        manifest.config = try CanonicalJSON.text(of: checkpoint.config)
        manifest.tokenIDs = try CanonicalJSON.text(of: checkpoint.tokenIDs)
        var lineage = checkpoint.lineage
        lineage.contentHash = nil
        manifest.lineage = try CanonicalJSON.text(of: lineage)
        try file.setAttribute("config", to: manifest.config)
        try file.setAttribute("token_ids", to: manifest.tokenIDs)
        try file.setAttribute("lineage", to: manifest.lineage)
        if let tokenizer = checkpoint.tokenizer {
            let dataset = try file.createDataset(CheckpointLayout.tokenizer, type: .uint8, shape: [tokenizer.bytes.count])
            try dataset.write(tokenizer.bytes)
            try file.setAttribute("kind", on: CheckpointLayout.tokenizer, to: tokenizer.kind)
            manifest.tokenizer = (tokenizer.kind, SHA256Digest(of: tokenizer.bytes))
        }
        let ranges = try writeWeights(into: target, file, &manifest)
        try writeTrainingState(file, &manifest)
        try file.setAttribute("content_hash", to: manifest.hash)
        return (ranges, try file.flush())
    }

    private func writeWeights(
        into target: borrowing AtomicFile, _ file: borrowing HDF5File, _ manifest: inout ContentManifest
    ) throws -> [Range<Int>] {
        try file.createGroup(CheckpointLayout.weights)
        var ranges: [Range<Int>] = []
        for name in checkpoint.parameters.names {
            guard CheckpointLayout.isValid(name), let weight = checkpoint.parameters[name] else {
                throw CheckpointError.name(name)
            }
            let type = elementType ?? weight.elementType
            let dataset = try file.createDataset(CheckpointLayout.weight(name), type: type.hdf5, shape: weight.shape)
            guard let offset = dataset.fileOffset else {
                throw HDF5Error.library(file: file.path, action: "place '\(name)'", reason: "no place was allotted")
            }
            var hasher = SHA256Digest.Hasher()
            var end = offset
            try unsafe weight.forEachPiece(as: type) { piece in
                unsafe hasher.update(piece)
                try unsafe target.write(piece, at: end)
                end += piece.count
            }
            let digest = hasher.finalize().hex
            try file.setAttribute("sha256", on: CheckpointLayout.weight(name), to: digest)
            manifest.weights.append((name, type.rawValue, weight.shape, digest))
            ranges.append(offset..<end)
        }
        return ranges
    }

    private func writeTrainingState(_ file: borrowing HDF5File, _ manifest: inout ContentManifest) throws {
        guard let state = checkpoint.trainingState else { return }
        try file.createGroup(CheckpointLayout.training)
        try file.setAttribute("state", on: CheckpointLayout.training, to: state.json)
        manifest.trainingState = state.json
        for (name, storage) in state.arrays.sorted(by: { $0.key < $1.key }) {
            let parts = name.split(separator: "/", omittingEmptySubsequences: false)
            guard parts.count <= 2, parts.allSatisfy({ CheckpointLayout.isValid($0) }) else { throw CheckpointError.name(name) }
            if parts.count == 2 {
                let group = CheckpointLayout.training + "/" + parts[0]
                if !file.contains(group) { try file.createGroup(group) }
            }
            let path = CheckpointLayout.training + "/" + name
            let dataset = try file.createDataset(
                path, type: .float32, shape: [storage.count], layout: .checksummed(elements: CheckpointLayout.chunk))
            let digest = try unsafe storage.withUnsafeBytes { bytes in
                try unsafe dataset.write(bytes)
                return unsafe SHA256Digest(of: bytes).hex
            }
            try file.setAttribute("sha256", on: path, to: digest)
            manifest.trainingArrays.append((name, storage.count, digest))
        }
    }

    /// An upper bound of the file's size, reserved on the disk.
    private func expectedSize(userBlock: Int) -> Int {
        var size = userBlock + 65536 + (checkpoint.tokenizer?.bytes.count ?? 0) + (checkpoint.trainingState?.json.utf8.count ?? 0)
        size += checkpoint.lineage.recipe?.utf8.count ?? 0
        for name in checkpoint.parameters.names {
            guard let weight = checkpoint.parameters[name] else { continue }
            size += weight.count * (elementType ?? weight.elementType).byteCount + 1024
        }
        for storage in (checkpoint.trainingState?.arrays ?? [:]).values { size += 4 * storage.count + 4096 }
        return size
    }
}

extension HDF5Error {
    /// The error with the path that the user knows: HDF5 itself has a temporary name.
    func naming(_ path: String) -> HDF5Error {
        switch self {
        case .library(_, let action, let reason): .library(file: path, action: action, reason: reason)
        case .missing(_, let object): .missing(file: path, object: object)
        case .unexpected(_, let object, let found, let expected):
            .unexpected(file: path, object: object, found: found, expected: expected)
        }
    }
}
