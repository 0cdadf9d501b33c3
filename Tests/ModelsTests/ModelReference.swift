import Foundation
import Kernels
import Models

/// A tiny model with figures that PyTorch computed once: see Fixtures/make_model_reference.py.
struct ModelReference: Sendable {
    struct Figures: Decodable, Sendable {
        var config: ModelConfig
        var batch: Int
        var seq: Int
        var tokens: [Int32]
        var targets: [Int32]
        var keyStarts: [Int32]
        var loss: Double
    }

    private struct Entry: Decodable {
        var shape: [Int]
        var offsets: [Int]

        enum CodingKeys: String, CodingKey {
            case shape
            case offsets = "data_offsets"
        }
    }

    let figures: Figures
    /// Values and shapes by name: logits, weight.NAME, gradient.NAME.
    let tensors: [String: (shape: [Int], values: [Float])]

    /// Reads `name`.safetensors, trusting it: it is part of this package.
    init(_ name: String) throws {
        let url = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appendingPathComponent("Fixtures/\(name).safetensors")
        let bytes = try Data(contentsOf: url)
        func word(_ offset: Int, _ count: Int) -> UInt64 {
            (0..<count).reduce(0) { $0 | UInt64(bytes[bytes.startIndex + offset + $1]) << (8 * UInt64($1)) }
        }
        let start = 8 + Int(word(0, 8))
        var header = try JSONSerialization.jsonObject(with: bytes[8..<start]) as? [String: Any] ?? [:]
        let metadata = header.removeValue(forKey: "__metadata__") as? [String: String] ?? [:]
        figures = try JSONDecoder().decode(Figures.self, from: Data((metadata["reference"] ?? "").utf8))
        let entries = try JSONDecoder().decode([String: Entry].self, from: JSONSerialization.data(withJSONObject: header))
        tensors = entries.mapValues { entry in
            let values = stride(from: start + entry.offsets[0], to: start + entry.offsets[1], by: 4).map {
                Float(bitPattern: UInt32(truncatingIfNeeded: word($0, 4)))
            }
            return (entry.shape, values)
        }
    }

    /// The weights, in the configuration's order.
    var parameters: Parameters {
        var parameters = Parameters()
        for (name, shape) in figures.config.weightShapes {
            guard let tensor = tensors["weight." + name], tensor.shape == shape else { continue }
            parameters[name] = Weight(shape: shape, storage: Storage(copying: tensor.values))
        }
        return parameters
    }

    var input: ModelInput {
        let masked = figures.keyStarts.contains { $0 != 0 }
        return ModelInput(
            batch: figures.batch, seq: figures.seq, tokens: figures.tokens, keyStarts: masked ? figures.keyStarts : nil)
    }
}
