import TestSupport
import Testing

extension ScratchDirectory {
    /// Trains a model of bytes by the tool, into run/model.h5, on text.txt.
    func trainTinyModel() throws {
        let text = (0..<900).map { "line \($0 % 17) of \($0 % 5) and \($0 % 3)\n" }.joined()
        try write(Array(text.utf8), to: "text.txt")
        try write(
            Array(
                """
                {"name": "tiny", "tokenizer": {"kind": "byte"}, "data": {"files": ["text.txt"]},
                 "model": {"dim": 16, "layers": 2, "heads": 4, "ffn": 24, "maxSeq": 64},
                 "train": {"steps": 4, "batch": 2, "seq": 32, "learningRate": 0.003}}
                """.utf8), to: "recipe.json")
        #expect(try Tool.run(["train", "recipe.json", "--out", "run"], in: path).status == 0)
    }
}
