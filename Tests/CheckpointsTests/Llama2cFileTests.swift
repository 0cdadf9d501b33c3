import Checkpoints
import Foundation
import TestSupport
import Testing

@Suite struct Llama2cFileTests {
    @Test(.enabled(if: SharedData.isPresent, "\(SharedData.skipped)"))
    func `a llama2.c model has the weights of its Hugging Face form, bit for bit`() throws {
        let folder = SharedData.path("models/stories260K")
        let found = try ModelImport.load(folder + "/stories260K.bin", tokenizer: folder + "/tok512.bin")
        let expected = try HuggingFaceFolder.load(folder)
        #expect(found.config == expected.config)
        #expect(found.parameters.names == expected.parameters.names)
        for name in found.parameters.names {
            #expect(found.parameters[name]?.bytes == expected.parameters[name]?.bytes, "\(name)")
        }
    }

    @Test(.enabled(if: SharedData.isPresent, "\(SharedData.skipped)"))
    func `a llama2.c file that is cut, longer or has another header is refused`() throws {
        let bytes = [UInt8](
            try #require(FileManager.default.contents(atPath: SharedData.path("models/stories260K/stories260K.bin"))))
        let scratch = ScratchDirectory()
        var others = [Array(bytes.dropLast(4)), bytes + [0, 0, 0, 0], Array(bytes[..<28]), Array(bytes[..<5])]
        for byte in 0..<28 {
            var changed = bytes
            changed[byte] ^= 0x81
            others.append(changed)
        }
        for other in others {
            try scratch.write(other, to: "x.bin")
            #expect(throws: (any Error).self) { try ModelImport.load(scratch["x.bin"]) }
        }
    }
}
