import JSON

/// Writes byte-level BPE as Hugging Face's `tokenizer.json`, an entry a line.
enum TokenizerJSONWriter {
    /// - Parameters:
    ///   - tokens: by id, in the alphabet's characters; the first `specialCount` are special.
    ///   - merges: in the order learnt.
    static func byteLevel(
        tokens: [[UInt8]], specialCount: Int, merges: [(left: [UInt8], right: [UInt8])]
    ) -> [UInt8] {
        var output = Array("{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n".utf8)
        let added = (0..<specialCount).map { id in
            #"{"id": \#(id), "content": \#(quoted(tokens[id])), "single_word": false, "lstrip": false, "rstrip": false, "#
                + #""normalized": false, "special": true}"#
        }
        list("  \"added_tokens\": [", added, "  ],\n", &output)
        output += Array(
            """
              "normalizer": null,
              "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
              "post_processor": null,
              "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
              "model": {
                "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,

            """.utf8)
        // A key of kvlab's own, which `tokenizers` accepts here.
        if specialCount > 0 { output += Array("    \"eos_token\": \(quoted(tokens[0])),\n".utf8) }
        list("    \"vocab\": {", tokens.enumerated().map { "\(quoted($1)): \($0)" }, "    },\n", &output)
        list("    \"merges\": [", merges.map { "[\(quoted($0.left)), \(quoted($0.right))]" }, "    ]\n", &output)
        output += Array("  }\n}\n".utf8)
        return output
    }

    private static func list(_ start: String, _ items: [String], _ end: String, _ output: inout [UInt8]) {
        output += Array(start.utf8)
        for (index, item) in items.enumerated() { output += Array(((index == 0 ? "\n      " : ",\n      ") + item).utf8) }
        output += Array(("\n" + end).utf8)
    }

    private static func quoted(_ bytes: [UInt8]) -> String {
        var output: [UInt8] = []
        JSONValue.write(bytes, to: &output)
        return String(decoding: output, as: UTF8.self)
    }
}
