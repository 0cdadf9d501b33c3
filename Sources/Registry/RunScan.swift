import Checkpoints
import Files
import Foundation
import JSON
import Models
import Training

/// The runs and checkpoints under a folder, found without opening them.
///
/// A run is a folder with a recipe.json beside a lock or metrics. Hidden folders and symbolic links are not entered.
struct RunScan {
    /// Folders of runs, relative to the root.
    private(set) var runs: [String] = []
    /// Files called *.h5, relative to the root.
    private(set) var checkpoints: [String] = []
    private let root: String
    /// The most bytes read of a recipe.
    private static let recipeLimit = 16 << 20

    init(root: String) throws {
        self.root = root
        guard FolderListing.isFolder(root) else { throw RegistryError.noFolder(root: root) }
        let keys: [URLResourceKey] = [.isRegularFileKey]
        let base = URL(fileURLWithPath: root).standardizedFileURL.path
        let files = FileManager.default.enumerator(
            at: URL(fileURLWithPath: base), includingPropertiesForKeys: keys, options: [.skipsHiddenFiles])
        for case let url as URL in files ?? FileManager.DirectoryEnumerator() {
            guard (try? url.resourceValues(forKeys: Set(keys)))?.isRegularFile == true else { continue }
            let path = String(url.path.dropFirst(base.count + 1))
            if url.lastPathComponent == "recipe.json" {
                let folder = url.deletingLastPathComponent().path
                guard ["/lock", "/metrics.jsonl"].contains(where: { FileManager.default.fileExists(atPath: folder + $0) })
                else { continue }
                runs.append(folder == base ? "." : String(folder.dropFirst(base.count + 1)))
            } else if url.pathExtension == "h5" {
                checkpoints.append(path)
            }
        }
        runs.sort()
        checkpoints.sort()
    }

    private func absolute(_ path: String) -> String { path == "." ? root : root + "/" + path }

    /// A stamp of the files that ``run(_:)`` reads and of the run's lock, which changes with them.
    func stamp(run: String) -> String {
        let folder = absolute(run)
        let files = ["recipe.json", "metrics.jsonl", "model.h5", "checkpoint.h5"].map { FileStamp(folder + "/" + $0).text }
        return (files + [FileLock.isHeld(path: folder + "/lock") ? "held" : "free"]).joined(separator: " ")
    }

    /// A stamp of the checkpoint file, which changes with it.
    func stamp(checkpoint: String) -> String { FileStamp(absolute(checkpoint)).text }

    /// The run in the folder `path`, and its validations.
    func run(_ path: String) -> (RunRecord, [ValidationRecord]) {
        let folder = absolute(path)
        let stamp = stamp(run: path)
        let bytes = (try? RegularFile.contents(folder + "/recipe.json", links: .refused, limit: Self.recipeLimit)) ?? []
        let recipe = String(validating: bytes, as: UTF8.self) ?? ""
        let name = (try? JSONValue(parsing: Array(recipe.utf8)))?["name"]?.string
        let lines = MetricsFile.read(path: folder + "/metrics.jsonl")
        let speeds = lines.compactMap(\.tokensPerSecond).sorted()
        let status: RunRecord.Status =
            if stamp.hasSuffix("held") {
                .running
            } else if FileManager.default.fileExists(atPath: folder + "/model.h5") {
                .finished
            } else {
                .stopped
            }
        let files = ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).map { FileStamp(folder + "/" + $0) }
        let record = RunRecord(
            path: path, name: name ?? (path as NSString).lastPathComponent, status: status, step: lines.last?.step ?? 0,
            recipe: recipe, loss: lines.last { $0.loss != nil }?.loss,
            validationLoss: lines.last { $0.validationLoss != nil }?.validationLoss,
            validationBitsPerByte: lines.last { $0.validationBitsPerByte != nil }?.validationBitsPerByte,
            tokensPerSecond: speeds.isEmpty ? nil : speeds[speeds.count / 2],
            bytes: files.reduce(0) { $0 + $1.bytes },
            updated: max(FileStamp(folder + "/metrics.jsonl").modified, FileStamp(folder + "/recipe.json").modified),
            stamp: stamp)
        let validations = lines.enumerated().compactMap { index, line in
            line.validationBitsPerByte.map { ValidationRecord(run: path, line: index, step: line.step, bitsPerByte: $0) }
        }
        return (record, validations)
    }

    /// The record of a checkpoint that has not been read.
    private func unread(_ path: String) -> CheckpointRecord {
        CheckpointRecord(
            path: path, steps: 0, tokensSeen: 0, parameters: 0, kvHeads: "", attention: "",
            kvBytesPerToken: 0, bytes: FileStamp(absolute(path)).bytes, stamp: stamp(checkpoint: path))
    }

    /// The record of a checkpoint postponed to the next refresh, with a stamp that no file has.
    func postponed(_ path: String, after seconds: Double) -> CheckpointRecord {
        var record = unread(path)
        record.stamp = ""
        record.problem =
            "\(absolute(path)): not read this time: files that are no sound checkpoints took \(Int(seconds)) s; "
            + "remove those that are named, or list again to go on"
        return record
    }

    /// The checkpoint in the file `path`, or its record with the error.
    func checkpoint(_ path: String) -> CheckpointRecord {
        let file = absolute(path)
        var record = unread(path)
        do {
            let checkpoint = try Checkpoint.load(file, verify: .structure, trainingState: false)
            let (config, lineage) = (checkpoint.config, checkpoint.lineage)
            record.hash = lineage.contentHash
            record.parentHash = lineage.parentHash
            record.name = lineage.name
            record.conversion = lineage.conversion
            record.source = lineage.source
            record.steps = lineage.steps
            record.tokensSeen = lineage.tokensSeen
            record.parameters = config.parameterCount
            record.kvHeads =
                config.kvHeads.uniform.map(String.init)
                ?? (0..<config.layers).map { String(config.kvHeads[$0]) }.joined(separator: " ")
            record.attention = config.attentionLabel
            record.kvBytesPerToken = config.kvBytesPerToken(.float16)
        } catch {
            record.problem = "\(error)"
        }
        return record
    }
}

/// The size and modification time of a file; both 0 for a missing one.
struct FileStamp {
    var bytes = 0
    var modified = 0.0

    init(_ path: String) {
        guard let attributes = try? FileManager.default.attributesOfItem(atPath: path) else { return }
        bytes = (attributes[.size] as? NSNumber)?.intValue ?? 0
        modified = (attributes[.modificationDate] as? Date)?.timeIntervalSince1970 ?? 0
    }

    var text: String { "\(bytes):\(modified)" }
}
