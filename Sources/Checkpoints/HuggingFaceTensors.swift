import Files
import Glibc
import JSON
import Models

/// All tensors of a Hugging Face folder: `model.safetensors`, or shards named by `model.safetensors.index.json`.
struct HuggingFaceTensors {
    private var shards: [SafetensorsFile] = []
    /// The shard of each tensor.
    private var shardOf: [String: Int] = [:]
    private let directory: String

    /// Every tensor's name.
    var names: [String] { Array(shardOf.keys) }

    /// Opens and checks all files.
    init(directory: String) throws {
        self.directory = directory
        let single = directory + "/model.safetensors"
        let index = directory + "/model.safetensors.index.json"
        // transformers prefers the single file.
        if unsafe access(single, F_OK) == 0 {
            try add(try SafetensorsFile(path: single))
        } else if unsafe access(index, F_OK) == 0 {
            try openShards(index)
        } else {
            let hasPickles = unsafe access(directory + "/pytorch_model.bin", F_OK) == 0
            throw ImportError.invalid(
                path: directory,
                reason: "there is no model.safetensors and no model.safetensors.index.json"
                    + (hasPickles ? "; pytorch_model.bin can run code when opened, convert it to safetensors first" : ""))
        }
    }

    /// The weight `name`, mapped from its file; nil without one.
    func weight(_ name: String) throws -> Weight? {
        guard let shard = shardOf[name] else { return nil }
        return try shards[shard].weight(name)
    }

    /// The file of tensor `name`, else the folder, for messages.
    func path(of name: String) -> String { shardOf[name].map { shards[$0].path } ?? directory }

    private mutating func add(_ file: SafetensorsFile) throws {
        for tensor in file.tensors {
            guard shardOf.updateValue(shards.count, forKey: tensor.name) == nil else {
                throw ImportError.tensor(path: file.path, name: tensor.name, reason: "is in another shard too")
            }
        }
        shards.append(file)
    }

    private mutating func openShards(_ path: String) throws {
        let file = try MappedFile(path: path)
        guard file.count <= 1 << 26 else {
            throw ImportError.invalid(path: path, reason: "\(file.count) bytes are too many for an index")
        }
        let json: JSONValue
        do { json = try JSONValue(parsing: try file.bytes(in: 0..<file.count), nodes: 200_000) } catch let error as JSONError {
            throw ImportError.json(path: path, error)
        }
        guard let map = json["weight_map"]?.members else { throw ImportError.missingKey(path: path, key: "weight_map") }
        var wanted: [String: String] = [:]
        for member in map {
            let (tensor, value) = (member.name, member.value)
            // A shard lies beside the index: a path would let an index read any file of this machine.
            guard let shard = value.string, !shard.isEmpty, !shard.contains("/"), !shard.contains("\\"), !shard.utf8.contains(0),
                shard.hasSuffix(".safetensors")
            else {
                throw ImportError.wrongValue(
                    path: path, key: "weight_map.\(tensor)", found: value.text,
                    expected: "the name of a .safetensors file beside it")
            }
            wanted[tensor] = shard
        }
        for shard in Set(wanted.values).sorted() { try add(try SafetensorsFile(path: directory + "/" + shard)) }
        for (tensor, shard) in wanted {
            guard let found = shardOf[tensor], shards[found].path == directory + "/" + shard else {
                throw ImportError.tensor(path: path, name: tensor, reason: "should be in \(shard), but is not")
            }
        }
        if let extra = shardOf.keys.filter({ wanted[$0] == nil }).min() {
            throw ImportError.tensor(path: self.path(of: extra), name: extra, reason: "is not in the index")
        }
    }
}
