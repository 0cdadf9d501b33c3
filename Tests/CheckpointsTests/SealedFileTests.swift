import Checkpoints
import Files
import Foundation
import HDF5
import Kernels
import Models
import TestSupport
import Testing

/// Files whose digests are right and whose content is not: what a faulty or ill-meaning writer could make.
@Suite struct SealedFileTests {
    let scratch = ScratchDirectory()

    /// A sealed file with one chosen tensor as `shape`, or without it.
    private func write(tensor: String, shape: [Int]?, config: String? = nil, type: HDF5Type = .float32, rangesLie: Bool = false)
        throws
    {
        let path = scratch["a.h5"]
        let userBlock = CheckpointSeal.userBlock(ranges: TinyCheckpoint.config.weightShapes.count)
        var ranges: [Range<Int>] = []
        do {
            let file = try HDF5File.create(path: path, userBlock: userBlock)
            try file.setAttribute("format", to: "kvlab checkpoint")
            try file.setAttribute("format_version", to: 1)
            let json = String(decoding: try JSONEncoder().encode(TinyCheckpoint.config), as: UTF8.self)
            try file.setAttribute("config", to: config ?? json)
            try file.setAttribute("token_ids", to: #"{"eos":[]}"#)
            try file.setAttribute("lineage", to: #"{"tokensSeen":0,"steps":0,"toolVersion":"x"}"#)
            try file.setAttribute("content_hash", to: "0")
            try file.createGroup("/weights")
            for (name, expected) in TinyCheckpoint.config.weightShapes {
                guard let shape = name == tensor ? shape : expected else { continue }
                let dataset = try file.createDataset("/weights/" + name, type: name == tensor ? type : .float32, shape: shape)
                // A shape beyond the file has a place, but nothing is ever written to it.
                if dataset.byteCount < 1 << 20 {
                    let bytes = [UInt8](repeating: 0, count: dataset.byteCount)
                    try dataset.write(bytes)
                    try file.setAttribute("sha256", on: "/weights/" + name, to: SHA256Digest(of: bytes).hex)
                    if let offset = dataset.fileOffset, !(rangesLie && name == tensor) {
                        ranges.append(offset..<offset + bytes.count)
                    }
                }
            }
            _ = try file.flush()
        }
        let seal = try CheckpointSeal(sealing: path, userBlock: userBlock, weights: ranges)
        let handle = try FileHandle(forUpdating: URL(fileURLWithPath: path))
        try handle.write(contentsOf: Data(seal.encoded))
        try handle.close()
    }

    private func load() -> String? {
        do { _ = try Checkpoint.load(scratch["a.h5"]) } catch { return "\(error)".replacing(scratch["a.h5"] + ": ", with: "") }
        return nil
    }

    @Test func `a wrong content hash is refused when all else is right`() throws {
        try write(tensor: "", shape: nil)
        #expect(load()?.hasPrefix("its content was changed") == true)
    }

    @Test func `a missing tensor is named`() throws {
        try write(tensor: "model.norm.weight", shape: nil)
        // The user block was sized for one range more.
        #expect(load() == "tensor 'model.norm.weight' [4] is missing")
    }

    @Test func `a tensor of another shape or type is named`() throws {
        try write(tensor: "model.norm.weight", shape: [5])
        #expect(load() == "tensor 'model.norm.weight' is not valid: it is [5], expected [4]")
        try write(tensor: "model.norm.weight", shape: [4], type: .uint8)
        #expect(load() == "tensor 'model.norm.weight' is not valid: its elements are uint8")
    }

    @Test func `a tensor outside the ranges the seal names is refused`() throws {
        try write(tensor: "model.norm.weight", shape: [4], rangesLie: true)
        #expect(load() == "tensor 'model.norm.weight' is not valid: it is not in one of the file's weight ranges")
    }

    @Test func `a configuration that is none is refused`() throws {
        for config in ["", "{}", "[", #"{"vocab_size": 99999999999999999999}"#, String(repeating: "[", count: 100_000)] {
            try write(tensor: "", shape: nil, config: config)
            #expect(load()?.hasPrefix("the configuration is not valid") == true)
        }
    }

    @Test func `the sentences of the errors`() {
        let sentences: [(CheckpointError, String)] = [
            (
                .foreign(path: "a"),
                "a: an HDF5 file that kvlab did not write, so it is not opened; bring models in with 'kvlab import' from a Hugging Face folder"
            ),
            (.notCheckpoint(path: "a"), "a: not a kvlab checkpoint"),
            (
                .size(path: "a", found: 3, expected: 5),
                "a: truncated: the file has 3 bytes, its header says 5; copy it again or use an older checkpoint"
            ),
            (
                .changed(path: "a", part: "tensor 'b'"),
                "a: tensor 'b' was changed or damaged since it was written (its SHA-256 differs); copy the file again or use an older checkpoint"
            ),
        ]
        for (error, sentence) in sentences { #expect(error.description == sentence) }
    }
}
